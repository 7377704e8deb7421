"""Holds the tree to the table of ranks in docs/architecture.md, by parsing the imports."""

import ast
from pathlib import PurePosixPath

import pytest

from tools.setup import ROOT

FOLDER_RANKS = {"crypto": 1, "store": 2, "panel": 4, "link": 4, "drivers": 4, "boards": 5}
FILE_RANKS = {
    "firmware/__init__.py": 0,
    "firmware/errors.py": 0,
    "firmware/settings.py": 0,
    "firmware/modules.py": 0,
    "firmware/codec.py": 0.5,  # rank 0 too, standing on the two above
    "firmware/wire.py": 0.5,
    "firmware/app.py": 5,
    "firmware/provisioning.py": 4,
    "main.py": 6,
    "boot.py": 6,
}
UNITS = (
    "acquisition attempts audit clock control detection identity metering preferences readings reporting session "
    "sunspec unique_info"
)
FILE_RANKS.update((f"firmware/{name}.py", 3) for name in UNITS.split())

HARDWARE = {"machine", "network", "bluetooth", "esp32", "rp2", "aioble"}
HARDWARE_FOLDERS = {"drivers", "boards"}
# MicroPython has none of these, or only as a package to install.
NOT_ON_THE_MODULE = {"abc", "contextlib", "dataclasses", "enum", "functools", "logging", "typing"}


def rank_of(path):
    """Rank of a file of the module by its path, or None where the table names none."""
    if path in FILE_RANKS:
        return FILE_RANKS[path]
    parts = PurePosixPath(path).parts
    return FOLDER_RANKS.get(parts[1]) if parts[0] == "firmware" and len(parts) > 2 else None


def imported_names(path, text):
    """Every (line, dotted name) that a file imports; None for a name that only a run would tell."""
    package = PurePosixPath(path).parent.parts
    for node in ast.walk(ast.parse(text, path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "__import__":
            literal = isinstance(node.args[0], ast.Constant)
            yield node.lineno, node.args[0].value if literal else None


def file_of(name, files):
    """The file of the module that a dotted name leads to, or None where it is not ours."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        stem = "/".join(parts[:length])
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if path in files:
                return path
    return None


def violations(files):
    """What breaks the table in `files`, a dict of path to source text."""
    found = []
    for path, text in files.items():
        if path.startswith("tools/"):
            found += (
                f"{path}:{line}: imports tests"
                for line, name in imported_names(path, text)
                if top(name) == "tests"
            )
        elif rank_of(path) is None:
            found.append(f"{path}: has no rank: give it one in docs/architecture.md and here")
        else:
            for line, name in imported_names(path, text):
                fault = fault_of(path, name, files)
                if fault:
                    found.append(f"{path}:{line}: {fault}")
    return found


def top(name):
    return (name or "").split(".")[0]


def fault_of(path, name, files):
    """Why a file of the module may not import a name, or None."""
    parts = PurePosixPath(path).parts
    folder = parts[1] if len(parts) > 2 else None
    if name is None:
        return None if path == "main.py" else "only main.py may import by a computed name"
    if top(name) in ("tools", "tests"):
        return f"the module has no {top(name)}"
    if top(name) in NOT_ON_THE_MODULE:
        return f"the module has no {top(name)}"
    if top(name) in HARDWARE and folder not in HARDWARE_FOLDERS:
        return f"{top(name)} is for drivers and boards"
    target = file_of(name, files)
    if target in (None, "firmware/__init__.py"):
        return f"there is no {name}" if top(name) == "firmware" else None
    if path == "firmware/app.py" and target.startswith("firmware/boards/"):
        return "the app never names a board"
    if folder and target.startswith(f"firmware/{folder}/"):
        return None
    if (rank_of(target) or 0) >= rank_of(path):
        return f"rank {rank_of(path)} imports {target} of rank {rank_of(target)}"
    return None


def the_tree():
    paths = [ROOT / "boot.py", ROOT / "main.py", *ROOT.glob("firmware/**/*.py"), *ROOT.glob("tools/**/*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths if path.is_file()}


def test_the_tree_keeps_to_the_table():
    assert violations(the_tree()) == []


def test_every_ranked_folder_is_in_the_architecture_document():
    table = (ROOT / "docs" / "architecture.md").read_text()
    for name in FOLDER_RANKS:
        assert f"`{name}/" in table or f" {name}/" in table, name


GOOD = {
    "firmware/__init__.py": "",
    "firmware/errors.py": "",
    "firmware/codec.py": "from firmware.errors import SealError",
    "firmware/crypto/__init__.py": "",
    "firmware/crypto/seal.py": "from firmware import errors\nimport hashlib",
    "firmware/crypto/drbg.py": "from firmware.crypto import seal\nfrom . import seal\nfrom .seal import open",
    "firmware/store/__init__.py": "",
    "firmware/store/vault.py": "from firmware.crypto.seal import open\nfrom micropython import const",
    "firmware/control.py": "def f():\n    from firmware.store import vault",
    "firmware/session.py": "import asyncio",
    "firmware/drivers/__init__.py": "",
    "firmware/drivers/flash.py": "from machine import Pin\nimport esp32",
    "firmware/boards/__init__.py": "",
    "firmware/boards/esp32_s3.py": "import machine\nfrom firmware.drivers.flash import PartitionFlash",
    "firmware/app.py": "import firmware.control\nfrom firmware import session",
    "main.py": "from firmware import app\n__import__('firmware.boards.' + name)",
    "tools/flash/cli.py": "import typing\nfrom firmware.store import vault",
}

BAD = [
    ("firmware/errors.py", "from firmware import codec", "rank 0 imports firmware/codec.py"),
    (
        "firmware/codec.py",
        "from firmware.crypto import seal",
        "rank 0.5 imports firmware/crypto/seal.py of rank 1",
    ),
    ("firmware/crypto/seal.py", "from firmware.store import vault", "rank 1 imports"),
    ("firmware/store/vault.py", "def f():\n    import firmware.control", "rank 2 imports"),
    ("firmware/crypto/seal.py", "from firmware import store", "rank 1 imports"),
    ("firmware/store/vault.py", "from ..control import Control", "rank 2 imports"),
    ("firmware/store/vault.py", "__import__('firmware.control')", "rank 2 imports"),
    ("firmware/control.py", "from firmware.session import Session", "rank 3 imports"),
    ("firmware/control.py", "from firmware import errors, session", "rank 3 imports"),
    ("firmware/control.py", "from firmware.drivers import flash", "rank 3 imports"),
    ("firmware/control.py", "__import__(name)", "computed name"),
    ("firmware/control.py", "from machine import Pin", "machine is for drivers and boards"),
    ("firmware/app.py", "import network", "network is for drivers and boards"),
    ("main.py", "import bluetooth", "bluetooth is for drivers and boards"),
    ("firmware/app.py", "from firmware.boards import esp32_s3", "never names a board"),
    ("firmware/app.py", "import firmware.boards.esp32_s3", "never names a board"),
    ("firmware/app.py", "import main", "rank 5 imports main.py of rank 6"),
    ("firmware/drivers/flash.py", "from firmware import app", "rank 4 imports"),
    ("firmware/control.py", "from tools.compat import micropython", "no tools"),
    ("firmware/control.py", "import tests.dual", "no tests"),
    ("firmware/control.py", "from typing import Any", "no typing"),
    ("firmware/control.py", "from firmware.storage import vault", "there is no firmware.storage"),
    ("firmware/extra.py", "", "give it one in docs/architecture.md"),
    ("firmware/extra/part.py", "", "give it one in docs/architecture.md"),
    ("tools/flash/cli.py", "from tests import dual", "imports tests"),
]


def test_the_check_passes_a_tree_that_keeps_to_the_table():
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"), BAD, ids=lambda value: value.replace("\n", " ") if value else "empty"
)
def test_the_check_finds(path, text, expected):
    found = violations({**GOOD, path: text})
    assert len(found) == 1 and expected in found[0], found
