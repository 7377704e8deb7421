"""Modules that are needed once in a long while do not stay in RAM."""

import gc
import sys


def forget(*names):
    """Give back the RAM of modules that nobody holds any more; an import brings them again."""
    for name in names:
        module = sys.modules.pop(name, None)
        package, _, attribute = name.rpartition(".")
        if module is not None and hasattr(sys.modules.get(package), attribute):
            delattr(sys.modules[package], attribute)
    gc.collect()
