"""Runs firmware and dual tests on MicroPython as on the microcontroller: from a ROM image, in a heap of its size."""

import os

from tools.setup import BUILD, ROOT
from tools.setup.stage import PACKAGES, StageError, rom_of, write_rom, write_tree
from tools.sim.house import HEAP
from tools.sim.module import MICROPYTHON, SHIMS

_STAGED = BUILD / "test-module"
_FOLDERS = (*PACKAGES, "tests/firmware", "tests/power")
_FILES = ("tests/dual.py", "tests/mp_runner.py", "tools/sim/chips/flash.py")
_OF_LINK = (
    "contract",
    "enrol_client",
    "http_client",
    "link_client",
    "ntp_client",
    "outage_module",
    "relay_module",
    "report_client",
    "spare_heap",
)
# The current folder is not on the path: the sources are there. What is wanted is called from here, not from an
# import: those nest deep, and the stack is as narrow as the words. While modules are imported, garbage is collected
# often, as main.py and app.py do it, so that what stays lies close together.
# And the one with the longest tail goes first.
_START = """import _rom, gc, sys
gc.threshold(4096)
_rom.mount({image!r}, "/rom")
sys.path[:] = ["/rom", "/rom/lib", "/rom/tests/firmware", "/rom/tests/link", ".frozen"]
del _rom, sys.modules["_rom"]
import firmware.store.store
import {module}
gc.collect()
gc.threshold((gc.mem_alloc() + gc.mem_free()) // 8)
{module}.main(*{arguments!r})
"""


def stage_tests():
    """Compile what runs on MicroPython into the image; returns what did not compile, or ""."""
    paths = [ROOT / name for name in _FILES]
    for folder in _FOLDERS:
        paths += (ROOT / folder).rglob("*.py")
    paths += [ROOT / "tests" / "link" / f"{name}.py" for name in _OF_LINK]
    try:
        write_tree(_STAGED, {"_rom.py": (SHIMS / "_rom.py").read_bytes()})
        write_rom(rom_of(_STAGED), {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths})
    except StageError as error:
        return str(error)
    return ""


def command(module, *arguments, heap=HEAP):
    """Of the interpreter that calls main(*arguments) of a module in the image; it wants `environment` too."""
    start = _START.format(image=str(rom_of(_STAGED)), module=module, arguments=arguments)
    return [str(MICROPYTHON), "-X", f"heapsize={heap}", "-c", start]


def environment(**more):
    return dict(os.environ, MICROPYPATH=f"{_STAGED}:.frozen", **more)
