"""Figures of the GC heap: what each import takes in its three forms, the idle module, and whole operations.

The limit is the microcontroller's 128 KiB. Where the interpreter's words are as wide as the microcontroller's, which
set-up sees to, they are bytes here too. Words of 64 bits have as many heap blocks of twice the size; then the limit is
that, and the rows say it: pointers take twice the bytes and buffers do not, so neither figure follows from the other.
"""

import asyncio
import os
import re
import subprocess
import tempfile
from pathlib import Path

from firmware.errors import LinkError
from tools.bench import phone
from tools.flash.layout import IMAGE_SIZE
from tools.phone.client import PhoneError
from tools.pps.ca import DevelopmentCa
from tools.provision.service import Order, VirtualConsole, provision
from tools.setup import ROOT
from tools.setup.interpreter import WORD_BITS, probe
from tools.setup.stage import parts_of, rom_of, stage
from tools.sim.chips.flash import NorFlash
from tools.sim.demo import Demo
from tools.sim.house import House, HouseError
from tools.sim.module import MICROPYTHON, Module, ModuleStopped
from tools.sim.narrator import Narrator

_LIMIT_KIB = 128

# In the order in which the application brings them.
_IMPORTS = (
    "asyncio",
    "errors",
    "settings",
    "crypto.drbg",
    "store.store",
    "unique_info",
    "identity",
    "preferences",
    "clock",
    "attempts",
    "audit",
    "detection",
    "acquisition",
    "session",
    "control",
    "readings",
    "sunspec",
    "metering",
    "reporting",
    "link.endpoint",
    "link.server_link",
    "link.phone",
    "app",
    "panel.canvas",
    "panel.machine",
    "panel.resident",
    "panel.screens_session",
    "panel.screens_flows",
    "panel.editor",
    "link.enrol",
    "drivers.gatt",
    "crypto.spake2plus_verifier",
    "link.phone_session",
)

_MEASURE = """
import gc
before = 0
for name in {names!r}:
    if name not in {there!r}:
        continue  # it has become a part of one that follows
    __import__(name)
    gc.collect()
    print(name, gc.mem_alloc() - before)
    before = gc.mem_alloc()
"""

_WATCHED_MAIN = """
import asyncio
import gc

from firmware.app import App
from firmware.boards.esp32_s3 import Board


async def watch():
    while True:
        await asyncio.sleep_ms(500)
        gc.collect()
        print("heap", gc.mem_alloc())


async def main():
    task = asyncio.create_task(watch())
    await App(Board()).run()
    task.cancel()


asyncio.run(main())
"""

_CHAPTERS = ("factory", "credential", "authenticate", "change", "enrol", "delete")
_STEP_TIMEOUT_S = 8
_STEP_KIB = 4
_LEAST_KIB = 64


def rows(progress=lambda text: None):
    """Rows {name, value, unit, limit, peer, ok}; the peer of a row for an import is its .py form."""
    progress("imports, in three forms")
    found = _import_rows()
    word_bits = probe([MICROPYTHON]).word_bits
    unit_bytes = 1024 * word_bits // WORD_BITS  # of MicroPython's `wK`
    words = "" if word_bits == WORD_BITS else f", {word_bits}-bit words"
    progress("the idle screen")
    found.append(_row(f"idle screen, in use{words}", asyncio.run(idle()), _LIMIT_KIB * unit_bytes))
    for name, operation in (("operation 1", _operation_1), ("operation 2", _operation_2)):
        least_kib = _least_kib(operation, lambda kib, name=name: progress(f"{name} in {kib} KiB{words}"))
        least = None if least_kib is None else least_kib * unit_bytes
        found.append(_row(f"{name}, least heap for all of it{words}", least, _LIMIT_KIB * unit_bytes))
    return found


def _import_rows():
    names = ["asyncio", *(f"firmware.{name}" for name in _IMPORTS[1:])]
    forms = {form: imports(form, names) for form in ("source", "mpy", "rom")}
    found = []
    for form, title in (("mpy", ".mpy"), ("rom", ".mpy run in place")):
        waiting = 0  # bytes of the sources of what was joined to the next one
        for name in names:
            waiting += forms["source"][name]
            if name in forms[form]:
                found.append(_row(f"import {name}, {title}", forms[form][name], peer=waiting))
                waiting = 0
        total, peer = sum(forms[form].values()), sum(forms["source"].values())
        found.append(_row(f"all imports, {title}", total, peer=peer))
    return found


def imports(form, names):
    """{name: bytes of heap that stay} of one form of the firmware; without what was joined to others."""
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        staged = stage(Path(folder, "module"), form=form)
        parts = parts_of(staged)
        there = [name for name in names if name in parts or name == "asyncio"] if parts else names
        script = _MEASURE.format(names=names, there=there)
        if form == "rom":
            script = f"import _rom\n_rom.start({str(rom_of(staged))!r}, '')\n" + script
        path = f"{ROOT / 'tools' / 'sim' / 'shims'}:{staged}:.frozen"
        done = subprocess.run(
            [MICROPYTHON, "-X", "heapsize=4M", "-c", script],
            cwd=folder,  # not where another firmware/ lies
            env=dict(os.environ, MICROPYPATH=path),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return {name: int(size) for name, size in re.findall(r"^(\S+) (-?\d+)$", done.stdout, re.MULTILINE)}


async def idle():
    """Bytes of heap in use while the idle screen stands."""
    flash = NorFlash(IMAGE_SIZE)
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        ca = DevelopmentCa(Path(folder, "ca"))
        order = Order("INK-00000001", "https://localhost:1", ca.pps.certificate_der)
        async with Module(flash, folder=Path(folder, "first")) as module:
            await module.power_on()
            await provision(VirtualConsole(module).ask, order, ca.sign_factory_request)
        watched = {"overlay": {"main.py": _WATCHED_MAIN}, "heap": "4M"}
        async with Module(flash, folder=Path(folder, "watched"), **watched) as module:
            await module.power_on()
            await module.wait_text("INK-00000001")
            seen = len(module.output)
            return int((await module.wait_output(r"^heap (\d+)$", after=seen)).group(1))


def _least_kib(operation, progress):
    """The smallest heap in which it goes through, fragmentation included, or None; in KiB of 32-bit words."""

    def goes_through(kib):
        progress(kib)
        return asyncio.run(operation(f"{kib}wK"))

    least, fails = _LIMIT_KIB, _LEAST_KIB
    if not goes_through(least):
        return None
    while least - fails > _STEP_KIB:
        middle = (least + fails) // 2 // _STEP_KIB * _STEP_KIB
        if goes_through(middle):
            least = middle
        else:
            fails = middle
    return least


async def _operation_1(heap):
    """Whether every step was right, and no task fell over for want of memory and had to be started again."""
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        narrator = Narrator(Path(folder, "demo.json"), write=lambda *text, **options: None)
        async with House(Path(folder, "house"), heap=heap) as house:
            try:
                await house.start(fresh=True)
                ok = await Demo(house, narrator, _STEP_TIMEOUT_S).run(_CHAPTERS)
            except (HouseError, ModuleStopped, TimeoutError):
                return False
            return ok and not any("MemoryError" in line for line in house.module.output)


async def _operation_2(heap):
    """The same of operation 2, over BLE, after the credential has come."""
    try:
        return await phone.operation_2(heap) is not None
    except (HouseError, LinkError, PhoneError, ModuleStopped, TimeoutError):
        return False


def _row(name, value, limit=None, peer=None):
    ok = None if limit is None else value is not None and value <= limit
    return {"name": f"heap: {name}", "value": value, "unit": "B", "limit": limit, "peer": peer, "ok": ok}
