"""Figures of the GC heap: what each import takes in its three forms, the idle module, and a whole operation 1.

The interpreter here has 64-bit words. A heap that is given as `160wK` has as many blocks as 160 KiB have on the
32-bit microcontroller, and twice the bytes; the rows tell the bytes.
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.flash.layout import IMAGE_SIZE
from tools.pps.ca import DevelopmentCa
from tools.provision.service import Order, VirtualConsole, provision
from tools.setup import BUILD, ROOT
from tools.setup.stage import rom_of, stage
from tools.sim.chips.flash import NorFlash
from tools.sim.module import Module

LIMIT_BYTES = 131_072

# In the order in which the application brings them.
_IMPORTS = (
    "asyncio",
    "errors",
    "settings",
    "crypto.drbg",
    "store.store",
    "app",
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
    "link.endpoint",
    "link.server_link",
    "panel.canvas",
    "panel.machine",
    "panel.screens_session",
    "panel.editor",
    "link.enrol",
)

_MEASURE = """
import gc
before = 0
for name in {names!r}:
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

_WORDS_KIB = (128, 120, 112, 104, 96, 88, 80, 72, 64)
_CHAPTERS = "factory,credential,authenticate,change,enrol,delete"
_STEP_TIMEOUT_S = 8
_RUN_TIMEOUT_S = 150
_BYTES_OF_WORD_KIB = 2048


def rows(progress=lambda text: None):
    """Rows {name, value, unit, limit, peer, ok}; the peer of a row for an import is its .py form."""
    progress("imports, in three forms")
    return [*_import_rows(), *_idle_rows(progress), *_operation_rows(progress)]


def _import_rows():
    names = ["asyncio", *(f"firmware.{name}" for name in _IMPORTS[1:])]
    forms = {form: imports(form, names) for form in ("source", "mpy", "rom")}
    found = []
    for form, title in (("mpy", ".mpy"), ("rom", ".mpy run in place")):
        for name in names:
            found.append(_row(f"import {name}, {title}", forms[form][name], peer=forms["source"][name]))
        total, peer = sum(forms[form].values()), sum(forms["source"].values())
        found.append(_row(f"all imports, {title}", total, peer=peer))
    return found


def imports(form, names):
    """{name: bytes of heap that stay} of one form of the firmware."""
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        staged = stage(Path(folder, "module"), form=form)
        script = _MEASURE.format(names=names)
        if form == "rom":
            script = f"import _rom\n_rom.start({str(rom_of(staged))!r}, '')\n" + script
        path = f"{ROOT / 'tools' / 'sim' / 'shims'}:{staged}:.frozen"
        done = subprocess.run(
            [BUILD / "bin" / "micropython", "-X", "heapsize=4M", "-c", script],
            cwd=folder,  # not where another firmware/ lies
            env=dict(os.environ, MICROPYPATH=path),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return {name: int(size) for name, size in re.findall(r"^(\S+) (-?\d+)$", done.stdout, re.MULTILINE)}


def _idle_rows(progress):
    progress("the idle screen")
    return [_row("idle screen: heap in use", asyncio.run(_idle()), limit=LIMIT_BYTES)]


async def _idle():
    flash = NorFlash(IMAGE_SIZE)
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        ca = DevelopmentCa(Path(folder, "ca"))
        order = Order("INK-00000001", "https://localhost:1", ca.pps.certificate_der)
        async with Module(flash, folder=Path(folder, "first")) as module:
            await module.power_on()
            await provision(VirtualConsole(module).ask, order, ca.sign_factory_request)
        overlay = {"main.py": _WATCHED_MAIN}
        async with Module(flash, folder=Path(folder, "watched"), overlay=overlay, heap="4M") as module:
            await module.power_on()
            await module.wait_text("INK-00000001")
            seen = len(module.output)
            return int((await module.wait_output(r"^heap (\d+)$", after=seen)).group(1))


def _operation_rows(progress):
    """The smallest heap with which operation 1 goes through: an honest peak, fragmentation included."""
    least = None
    for kib in _WORDS_KIB:
        progress(f"operation 1 with a heap of {kib}wK")
        if not _operation_1(f"{kib}wK"):
            break
        least = kib
    value = least * _BYTES_OF_WORD_KIB if least else None
    return [
        _row("operation 1: least heap that it goes through with", value, limit=LIMIT_BYTES),
        _row("operation 1: the same on 32-bit words, by blocks", value and value // 2, limit=LIMIT_BYTES),
    ]


def _operation_1(heap):
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        command = [sys.executable, "-m", "tools.sim", "demo", "--heap", heap, "--chapters", _CHAPTERS]
        command += ["--folder", str(Path(folder, "house")), "--json", str(Path(folder, "demo.json"))]
        command += ["--timeout", str(_STEP_TIMEOUT_S)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=_RUN_TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def _row(name, value, limit=None, peer=None):
    ok = None if limit is None else value is not None and value <= limit
    return {"name": f"heap: {name}", "value": value, "unit": "B", "limit": limit, "peer": peer, "ok": ok}
