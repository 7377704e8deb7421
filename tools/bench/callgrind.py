"""Instructions that a script takes on the MicroPython interpreter, counted by valgrind's callgrind.

Counts repeat to within a few hundred instructions, on any machine with the same interpreter.
"""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from tools.setup import BUILD, ROOT

_TIMEOUT_S = 600
VALGRIND = BUILD / "bin" / "valgrind"


class CallgrindError(Exception):
    """The script failed, or valgrind did not count; the text is what they printed."""


def instructions(script_text, heap="128K"):
    """Instructions of one whole run of the interpreter, start-up and imports included.

    The repository's root is on the script's path. Raises CallgrindError.
    """
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        script = Path(folder, "script.py")
        script.write_text(script_text)
        # build/bin/micropython may be a wrapper that ends in exec: follow it, and take the last count.
        command = [str(VALGRIND), "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null"]
        command += [str(BUILD / "bin" / "micropython"), "-X", f"heapsize={heap}", str(script)]
        if not VALGRIND.exists():
            raise CallgrindError("valgrind is missing: python3 -m tools.setup valgrind says what it needs")
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    counts = re.findall(r"Collected : (\d+)", done.stderr)
    if done.returncode or not counts:
        raise CallgrindError(done.stdout + done.stderr)
    return int(counts[-1])


def instructions_of(work, preparation, heap="128K"):
    """Instructions of `work` alone: a run of preparation and work less a run of the preparation."""
    return instructions(preparation + work, heap) - instructions(preparation, heap)
