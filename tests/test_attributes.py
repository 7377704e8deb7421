"""Attributes: the program does what it did, and objects of different classes share names for theirs."""

import re
import subprocess

from tools.setup import BUILD
from tools.setup.attributes import rename_attributes

TREE = {
    "firmware/__init__.py": "",
    "firmware/parts.py": """
import struct
from collections import namedtuple

from firmware import rules

Found = namedtuple("Found", ("place", "length"))


class Base:
    kind = default = "base"

    def __init__(self, amount):
        self._hidden = 1
        self.amount = amount
        self.by_name = 2
        self.stored_by_others = None

    def describe(self):
        return self.kind, self.amount, self._hidden, self.colour()

    def colour(self):
        return "none"

    @property
    def doubled(self):
        return 2 * self.amount

    shown = property(describe)


class Child(Base):
    kind = "child"

    def __init__(self, amount):
        super().__init__(amount)
        self.label = "label"

    def colour(self):
        return "red", self.label, self.default


class Other:
    def __init__(self):
        self.weight = 5
        self.height = 6

    def read(self):
        return self.weight, self.height, rules.colour(), struct.calcsize("<I"), Found(1, 2).place


def all_of():
    child, other = Child(3), Other()
    child.stored_by_others = other
    other.weight += 1
    return (
        child.describe(), child.doubled, child.shown, getattr(child, "by_name"), other.read(),
        child.stored_by_others.weight, [x.amount for x in (child, Base(4))],
    )
""",
    "firmware/rules.py": "def colour():\n    return 'rule'\n",
    "firmware/drivers/__init__.py": "",
    "firmware/drivers/pin.py": "def level(pin):\n    return pin.height\n",
    "main.py": """
from firmware.drivers.pin import level
from firmware.parts import Base, Other, all_of

print(all_of(), Base(1).doubled, level(Other()))
""",
}


def renamed():
    tree = {path: text.encode() for path, text in TREE.items()}
    return tree, rename_attributes(tree, lambda names: names & {"read"})


def test_a_program_with_other_names_does_what_it_did(tmp_path):
    output = []
    for number, texts in enumerate(renamed()):
        for path, text in texts.items():
            (tmp_path / str(number) / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / str(number) / path).write_bytes(text)
        command = [BUILD / "bin" / "micropython", "main.py"]
        options = {"capture_output": True, "text": True, "timeout": 20, "check": False}
        done = subprocess.run(command, cwd=tmp_path / str(number), **options)
        assert done.returncode == 0, done.stderr
        output.append(done.stdout)
    assert output[0] == output[1]


def test_what_is_more_than_an_attribute_of_its_class_keeps_its_name():
    parts = renamed()[1]["firmware/parts.py"].decode()
    for name in ("by_name", "doubled", "colour", "height", "read", "place", "stored_by_others", "weight"):
        assert re.search(rf"\b{name}\b", parts), name
    for name in ("amount", "describe", "kind", "shown", "default"):
        assert not re.search(rf"(\.|def |    ){name}\b", parts), name


def test_different_classes_share_names_and_one_does_not():
    tree = {
        "firmware/two.py": b"class A:\n    def one(self):\n        self.two = self._a = 1\n\n\n"
        b"class B:\n    def three(self):\n        self.four = 2\n"
    }
    text = rename_attributes(tree, lambda names: set())["firmware/two.py"].decode()
    one, two, private, three, four = re.findall(r"_\w", text)
    assert {one, two} == {"_b", "_c"} and private == "_a" and {three, four} == {"_a", "_b"}


def test_a_file_that_does_not_parse_is_left_to_the_compiler():
    tree = {"firmware/broken.py": b"def (:", "firmware/good.py": b"class A:\n    def long_name(self):\n        pass\n"}
    assert rename_attributes(tree, lambda names: set()) == tree
