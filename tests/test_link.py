"""Joining: the program does what it did, and of what the application always needs only the application is left."""

import subprocess

import pytest

from tools.setup import BUILD
from tools.setup.link import LinkError, link

TREE = {
    "firmware/__init__.py": "",
    "firmware/errors.py": """
class Failure(Exception):
    code = "failure"


class Refusal(Failure):
    pass
""",
    "firmware/limits.py": """
from micropython import const

_STEP = const(3)
NAMES = ("one", "two")
size = _STEP + 1


def text(number):
    return "limit %d" % number
""",
    "firmware/store/__init__.py": "",
    "firmware/store/ring.py": """
import struct

from micropython import const

from firmware import limits
from firmware.errors import Failure
from firmware.limits import size as most

_STEP = const(5)
_made = []


def _packed(value):
    return struct.pack("<H", value)


class Ring:
    limit = most

    def __init__(self, size=_STEP):
        self.size = size
        _made.append(self)

    def append(self, text):
        # `text` of limits is another one
        if len(text) > self.size:
            raise Failure(limits.text(self.size))
        return _packed(len(text)), [text for text in limits.NAMES], (lambda size: size + most)(1)


def made():
    return len(_made)
""",
    "firmware/store/pair.py": """
from struct import pack

from firmware.store import ring


def _packed(value):
    return pack("B", value)


def both(first, second):
    return _packed(first), _packed(second), ring.made(), [ring for ring in (1, 2)]
""",
    "firmware/tools.py": """
def helped():
    return "helped"
""",
    "firmware/late.py": """
from firmware import limits, tools
from firmware.store.ring import Ring as Circle


def run(handed):
    return Circle(2).size, limits.NAMES, limits.text(1), handed.helped(), tools.helped(), handed is tools
""",
    "firmware/app.py": """
from firmware import limits
from firmware import tools as handed_around
from firmware.errors import Failure, Refusal
from firmware.store.pair import both
from firmware.store.ring import Ring


def run():
    from firmware import late
    from firmware.late import run as run_late

    try:
        Ring(1).append("long")
    except Failure as error:
        message = str(error)
    ring = Ring()
    return (
        message, ring.append("text"), Ring.limit, both(1, 2), limits.size, issubclass(Refusal, Failure),
        Refusal.__name__, late.run(handed_around), run_late(handed_around),
    )
""",
    "firmware/boards.py": """
from firmware.errors import Failure


class Board:
    failure = Failure.code
""",
    "main.py": """
board = __import__("firmware." + "boards", None, None, ("Board",)).Board()
from firmware.app import run
from firmware import limits

print(board.failure, run(), limits.text(7))
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


def test_a_joined_program_does_what_it_did(tmp_path):
    tree = encoded(TREE)
    assert run(link(tree).texts, tmp_path / "linked") == run(tree, tmp_path / "plain")


def test_what_the_application_imports_at_its_head_becomes_a_part_of_it():
    linked = link(encoded(TREE))
    assert linked.parts == {
        "firmware.app": [
            "firmware/limits.py",
            "firmware/tools.py",
            "firmware/errors.py",
            "firmware/store/ring.py",
            "firmware/store/pair.py",
            "firmware/app.py",
        ],
        "firmware.late": ["firmware/late.py"],
        "firmware.boards": ["firmware/boards.py"],
        "firmware": ["firmware/__init__.py"],
        "firmware.store": ["firmware/store/__init__.py"],
    }
    # The two that are left besides are handed around, or wanted from outside: they lead to the application.
    assert set(linked.texts) == {
        "main.py",
        *(f"firmware/{name}.py" for name in ("app", "late", "boards", "tools", "limits")),
    }
    assert linked.texts["firmware/tools.py"].startswith(b"from firmware.app import ")
    assert linked.texts["main.py"].decode() == TREE["main.py"]


def test_lines_stay_what_they_were_within_their_part():
    linked = link(encoded(TREE))
    lines = linked.texts["firmware/app.py"].split(b"\n")
    for number, path in enumerate(linked.parts["firmware.app"]):
        for place, line in enumerate(TREE[path].encode().split(b"\n")):
            if line.strip().startswith(b"return"):
                assert lines[number * 1000 + place].strip().startswith(b"return"), (path, place)


def test_a_file_that_only_one_needs_goes_with_that_one():
    tree = {
        "firmware/app.py": "def run():\n    from firmware.one import f\n    from firmware.two import g\n",
        "firmware/one.py": "from firmware.own import f\nfrom firmware.shared import h\n",
        "firmware/two.py": "from firmware.shared import h as g\n",
        "firmware/own.py": "def f():\n    pass\n",
        "firmware/shared.py": "def h():\n    pass\n",
    }
    parts = link(encoded(tree)).parts
    assert parts["firmware.one"] == ["firmware/own.py", "firmware/one.py"]
    assert parts["firmware.two"] == ["firmware/two.py"] and parts["firmware.shared"] == ["firmware/shared.py"]


BOARDS = {
    "firmware/errors.py": "class Failure(Exception):\n    pass\n",
    "firmware/app.py": "from firmware.errors import Failure\n\n\ndef run(board):\n    return board.flash(), Failure\n",
    "firmware/boards/__init__.py": "",
    "firmware/boards/chip.py": """
from firmware.drivers import flash
from firmware.errors import Failure


class Chip:
    panel = False

    def flash(self):
        from firmware.drivers.wifi import name

        return flash.size(), name(), Failure.__name__
""",
    "firmware/boards/bare.py": "from firmware.boards.chip import Chip\n\n\nclass Board(Chip):\n    serial = True\n",
    "firmware/boards/full.py": "from firmware.boards.chip import Chip\n\n\nclass Board(Chip):\n    panel = True\n",
    "firmware/drivers/__init__.py": "",
    "firmware/drivers/flash.py": "def size():\n    return 4096\n",
    "firmware/drivers/wifi.py": "from firmware.drivers.flash import size\n\n\ndef name():\n    return 'w%d' % size()\n",
    "main.py": """
import sys

from firmware.app import run

for name in ("bare", "full"):
    board = __import__("firmware.boards." + name, None, None, ("Board",)).Board()
    print(board.panel, run(board)[0])
print("firmware.boards.chip" in sys.modules)
""",
}


def test_what_boards_share_is_in_each_of_them(tmp_path):
    tree = encoded(BOARDS)
    linked = link(tree)
    assert linked.parts["firmware.boards.bare"] == ["firmware/boards/chip.py", "firmware/boards/bare.py"]
    assert linked.parts["firmware.boards.full"] == ["firmware/boards/chip.py", "firmware/boards/full.py"]
    said = run(linked.texts, tmp_path / "linked")
    assert said.splitlines()[-1] == "False"
    assert said.replace("False\n", "True\n") == run(tree, tmp_path / "plain").replace("False\n", "True\n")


def test_what_is_called_from_a_module_leaves_there_what_both_need():
    tree = {
        "firmware/app.py": "def run():\n    from firmware.panel import f\n    return f\n",
        "firmware/panel.py": "from firmware.rows import f\n\n\ndef g():\n    from firmware.session import h\n",
        "firmware/session.py": "from firmware.rows import f as h\n",
        "firmware/rows.py": "def f():\n    pass\n",
    }
    parts = link(encoded(tree)).parts
    assert parts["firmware.panel"] == ["firmware/rows.py", "firmware/panel.py"]
    assert parts["firmware.session"] == ["firmware/session.py"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 0\n\n\ndef f():\n    global n\n    n = 1\n", "line 5: a function that sets variables of another scope"),
        ("from firmware import errors\n\nx = (\n    errors\n    .Failure\n)\n", "line 4: write this on one line"),
        ("from firmware import errors\n\nx = errors.none\n", "line 3: firmware.errors has no none"),
        ("\n" * 1001, "has more than 1000 lines"),
    ],
)
def test_what_cannot_be_joined_is_named(text, expected):
    app = TREE["firmware/app.py"] + "\n\nfrom firmware import part\n"
    with pytest.raises(LinkError, match=r"^firmware/part\.py") as caught:
        link(encoded({**TREE, "firmware/app.py": app, "firmware/part.py": text}))
    assert expected in str(caught.value)


def test_a_file_that_does_not_parse_is_left_to_the_compiler():
    broken = encoded({**TREE, "firmware/broken.py": "def (:"})
    assert link(broken).texts == broken
