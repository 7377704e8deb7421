"""Runs one dual test on MicroPython."""

import gc
import sys

_WHILE_IMPORTING = 4096  # bytes between two collections, as in on_micropython.py


def main(module_name, function_name, timeout_s):
    from tests.dual import Skip

    try:
        then = gc.threshold()
        gc.threshold(_WHILE_IMPORTING)
        module = __import__(module_name)
        gc.collect()
        gc.threshold(then)
        result = getattr(module, function_name)()
        if hasattr(result, "send"):
            import asyncio

            asyncio.run(asyncio.wait_for(result, timeout_s))
    except Skip as error:
        print("SKIP", error)
    except Exception as error:
        sys.print_exception(error)
        sys.exit(1)
