"""Set-up: what has to be on the machine before Inkan runs, and how it gets there.

`python3 -m tools.setup python interpreter fonts` needs nothing but Python
3.11's own library. Everything lands in build/.
"""

import contextlib
import fcntl
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"


class SetupError(Exception):
    """Set-up cannot go on; the text says what is missing and what helps."""


def say(text):
    """One line of progress, seen at once also through a pipe."""
    print(f"set-up: {text}", flush=True)


@contextlib.contextmanager
def locked(name):
    """Hold build/NAME.lock, so that two runs in one checkout wait for each other."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_if_changed(path, data):
    """Write bytes by rename, so that a reader sees all of them or the old ones.

    Returns whether anything was written.
    """
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    temporary.write_bytes(data)
    temporary.replace(path)
    return True
