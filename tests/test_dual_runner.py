"""The runner of dual tests can fail: a suite that cannot would prove nothing."""

import os
import subprocess

import pytest

from tools.setup import ROOT
from tools.sim.module import MICROPYTHON

CASES = """
from tests.dual import raises, skip

def test_good():
    with raises(ValueError) as caught:
        raise ValueError("why")
    assert caught.value.args == ("why",)

def test_wrong():
    assert 1 == 2

def test_nothing_raised():
    with raises(ValueError):
        pass

def test_another_error():
    with raises(ValueError):
        raise KeyError("another")

def test_skipped():
    skip("no such thing here")

async def test_async_wrong():
    assert 1 == 2

async def test_async_hang():
    import asyncio
    await asyncio.sleep(60)
"""


@pytest.mark.parametrize(
    ("function", "status", "printed"),
    [
        ("test_good", 0, ""),
        ("test_wrong", 1, "line 10, in test_wrong"),
        ("test_nothing_raised", 1, "nothing was raised, ValueError was expected"),
        ("test_another_error", 1, "KeyError: another"),
        ("test_skipped", 0, "SKIP no such thing here"),
        ("test_async_wrong", 1, "AssertionError"),
        ("test_async_hang", 1, "TimeoutError"),
        ("test_absent", 1, "AttributeError"),
    ],
)
def test_the_runner_tells_failure_from_success(tmp_path, function, status, printed):
    (tmp_path / "cases.py").write_text(CASES)
    done = subprocess.run(
        [MICROPYTHON, "-c", f"from tests.mp_runner import main\nmain('cases', {function!r}, 0.2)"],
        env={**os.environ, "MICROPYPATH": f"{ROOT}:{tmp_path}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert printed in done.stdout
