"""Runs a script of this folder on the firmware's interpreter, with the firmware as it is flashed."""

import json
import os
import subprocess

from tools.setup import BUILD, ROOT


def start(script, options, heap="256K"):
    """Popen of tests/link/SCRIPT; `options` is what the script finds, as JSON, in its environment.

    (An argument of more than 255 characters ends MicroPython before it begins.)
    """
    command = [BUILD / "bin" / "micropython", "-X", f"heapsize={heap}", ROOT / "tests" / "link" / script]
    path = f"{BUILD / 'test-module'}:.frozen"
    environment = dict(os.environ, MICROPYPATH=path, OPTIONS=json.dumps(options))
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, timeout_s=60):
    """What a script printed, each line read as JSON."""
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        raise AssertionError(f"not done after {timeout_s} s:\n{printed}") from None
    assert process.returncode == 0, printed
    return [json.loads(line) for line in printed.splitlines()]


def run(script, options, heap="256K", timeout_s=60):
    return finish(start(script, options, heap), timeout_s)
