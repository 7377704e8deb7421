"""Shrinking: the program does what it did, line by line, and its private names are gone."""

import subprocess

import pytest

from tools.setup import BUILD
from tools.setup.shrink import ShrinkError, shrink

TREE = {
    "firmware/__init__.py": "",
    "firmware/limits.py": """
from micropython import const

RETRIES = 3
WAIT_MS = const(1_000)
LOWEST = -1
ASKED_FOR_BY_STRING = 7
USED_OUTSIDE = 8
NAME = "limits"
CHANGED = 1
CHANGED = 2
""",
    "firmware/parts.py": """
from micropython import const

from firmware import limits
from firmware.limits import (
    NAME,
    RETRIES,
)

_SIZE = const(4)
_MAGIC = b"MAGIC"
_PAIR = (1, b"x", "long enough not to be a name")
_BLANK = b"x" * _SIZE
_ZEROS = bytes(_SIZE)
_TEXT = "ab" * _SIZE
_made = [_MAGIC, _SIZE]


class Base:
    'A class.'

    _shared = 5

    def __init__(self, size, _start=2, *, named=0):
        self._size = size
        self.total = self._sum(_start, named)

    def _sum(self, first, second):
        try:
            return first + second + self._size + self._shared
        except TypeError as _error:
            return _error

    def each(self, items):
        def one(item, size=self._size):
            return item * size

        return [one(item) for item in items] + [(lambda item: item + self._size)(9)]


class Plain:
    size = 6


def late():
    return _LATE, _LATER


_LATE = "late"
_LATER = b"l" * 3


def _private(items, *more, **rest):
    global _count
    _count = len(items) + len(more) + len(rest)
    return _count, "_private text", getattr(limits, "ASKED_FOR_BY_STRING")


def everything():
    base = Base(1, named=limits.WAIT_MS - limits.LOWEST)
    return (
        RETRIES, NAME, _MAGIC, _PAIR, _made, base.total, base.each((1, 2)), late(),
        _private("ab", 3, name=4), limits.CHANGED, _size_of(items="abc"), _BLANK, _ZEROS, _TEXT, Plain.size, Plain,
    )


def _size_of(items):
    return len(items)
""",
    "firmware/shadow.py": """
from firmware import limits


def shadowing(limits):
    return limits.RETRIES


def retries():
    return shadowing(limits)
""",
    "main.py": """
from firmware.limits import USED_OUTSIDE
from firmware.parts import _made, everything
from firmware.shadow import retries

print(everything(), retries(), USED_OUTSIDE, _made)
""",
}


def encoded(texts):
    return {path: text.encode() for path, text in texts.items()}


def run(tree, folder):
    """What main.py of a tree prints."""
    for path, text in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text)
    command = [BUILD / "bin" / "micropython", "main.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_shrunk_program_does_what_it_did(tmp_path):
    tree = encoded(TREE)
    shrunk = shrink(tree)
    assert run(shrunk, tmp_path / "shrunk") == run(tree, tmp_path / "plain")
    for path, text in tree.items():
        assert shrunk[path].count(b"\n") == text.count(b"\n"), path


def test_what_nobody_else_refers_to_is_gone():
    shrunk = shrink(encoded(TREE))
    assert shrunk["main.py"].decode() == TREE["main.py"]
    limits, parts = (shrunk[f"firmware/{name}.py"].decode() for name in ("limits", "parts"))
    assert "_WAIT_MS = const(1_000)" in limits and "_LOWEST = const(-1)" in limits
    for name in ("RETRIES = ", "ASKED_FOR_BY_STRING = ", "USED_OUTSIDE = ", "CHANGED = "):
        assert f"\n{name}" in limits  # in shadow.py RETRIES may be anything's
    assert "const(b'xxxx')" in parts and "bytes(" not in parts and '"ab" *' in parts
    assert parts.count("; del __module__, __qualname__") == 1 and "del __module__, __qualname__; size = 6" in parts
    assert '_MAGIC = const(b"MAGIC")' in parts and "limits.WAIT_MS" not in parts
    assert "\n_LATE" not in parts and 'const("late")' not in parts  # renamed, but too late to be folded
    for name in ("_size", "_sum", "_shared", "_size_of"):
        assert name not in parts
    for name in ("_made", "_private", "_error", "_count"):  # main.py's, a string's, without a place
        assert name in parts
    assert "def each(self, items)" in parts and "def one(item" not in parts  # somebody passes items=


def test_private_names_do_not_meet_in_one_object():
    child = "from firmware.parts import Base\nclass Child(Base):\n    pass\n"
    with pytest.raises(ShrinkError, match=r"firmware/child\.py: Child inherits private names of firmware\.parts\.Base"):
        shrink(encoded({**TREE, "firmware/child.py": child}))


def test_a_file_that_does_not_parse_is_left_to_the_compiler():
    broken = {"firmware/broken.py": b"def (:"}
    assert shrink({**encoded(TREE), **broken})["firmware/broken.py"] == b"def (:"
