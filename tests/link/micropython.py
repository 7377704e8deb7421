"""Runs a client of this folder on the firmware's interpreter, with the firmware as it is flashed."""

import json
import subprocess
import threading

from tests.on_micropython import command, environment
from tools.sim.house import HEAP


def start(module, options, heap=HEAP):
    """Popen of a module in tests/link; `options` is what the script finds, as JSON, in its environment.

    (An argument of more than 255 characters ends MicroPython before it begins.)
    """
    return subprocess.Popen(
        command(f"tests.link.{module}", heap=heap),
        env=environment(OPTIONS=json.dumps(options)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process, timeout_s=60):
    """What a client printed, each line read as JSON."""
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        printed, _ = process.communicate()
        raise AssertionError(f"not done after {timeout_s} s:\n{printed}") from None
    assert process.returncode == 0, printed
    return [json.loads(line) for line in printed.splitlines()]


def run(module, options, heap=HEAP, timeout_s=60):
    return finish(start(module, options, heap), timeout_s)


class Talk:
    """Context manager around a client that runs until its input ends; each line that it prints is JSON."""

    def __init__(self, module, options, heap=HEAP, timeout_s=60):
        self._process = start(module, options, heap)
        self._timer = threading.Timer(timeout_s, self._process.kill)
        self.lines = []

    def __enter__(self):
        self._timer.start()
        return self

    def __exit__(self, *exception):
        self._process.stdin.close()
        self._process.wait()
        self._timer.cancel()
        self._process.stdout.close()

    def tell(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def read_line(self):
        return self._process.stdout.readline()

    def rest(self):
        """All that comes until it has ended."""
        return self._process.stdout.read()

    def until(self, condition):
        """Read lines until one meets the condition; returns that one."""
        while True:
            line = self.read_line()
            assert line.startswith("{"), line + self.rest() + f"after {self.lines}"
            self.lines.append(json.loads(line))
            if condition(self.lines[-1]):
                return self.lines[-1]
