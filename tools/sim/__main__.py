"""`python -m tools.sim run` (the house on a web page), `demo` (all of the story, unattended), `pictures`."""

import argparse
import asyncio
import logging
import signal
import sys
import webbrowser
from pathlib import Path

from tools.setup import BUILD, ROOT, SetupError, mip
from tools.setup.stage import StageError
from tools.sim.circuit import CIRCUITS
from tools.sim.demo import CHAPTERS, TIMEOUT_S, Demo
from tools.sim.demo_energy import EnergyDay
from tools.sim.house import HEAP, HOSTS, OPERATOR, ROOMY_HEAP, House, HouseError
from tools.sim.module import BOARD, MICROPYTHON

_ENERGY = "energy"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tools.sim")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="the virtual house on a web page")
    run.add_argument("--port", type=int, default=8000, help="of the page; 0 = any free one (default: 8000)")
    run.add_argument("--fresh", action="store_true", help="start anew: another module, server and certificates")
    run.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    run.add_argument("--radio", help="a Bluetooth adapter as Bumble names it (usb:0), for real phones; see docs/ble.md")
    run.add_argument("--board", choices=CIRCUITS, default=BOARD, help="what the module is built on (%(default)s)")
    demo = commands.add_parser(
        "demo", help="operations 1 and 2 and a fast day, unattended; exit code 0 only if every step was ok"
    )
    demo.add_argument("--pictures", action="store_true", help="print displays dot by dot")
    demo.add_argument("--json", type=Path, default=BUILD / "demo.json", help="where the steps go (%(default)s)")
    demo.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds that a step waits (%(default)s)")
    demo.add_argument("--chapters", default=",".join((*CHAPTERS, _ENERGY)), help="only some of %(default)s")
    pictures = commands.add_parser("pictures", help="pictures of the pages for the documents; needs Chromium")
    pictures.add_argument("--to", type=Path, default=ROOT / "docs", help="folder (%(default)s)")
    for command, folder in ((run, BUILD / "house"), (demo, BUILD / "demo"), (pictures, BUILD / "pictures")):
        command.add_argument("--folder", type=Path, default=folder, help="what the house holds (%(default)s)")
        if command is not pictures:
            command.add_argument("--host", choices=HOSTS, default=HOSTS[0], help="what the module is in (%(default)s)")
        # MicroPython's own letter: 160wK is as many words as 160 KiB are on a 32-bit microcontroller.
        heap = ROOMY_HEAP if command is run else HEAP
        command.add_argument("--heap", default=heap, help="the interpreter's, as 2M or 160wK (%(default)s)")
        command.add_argument("--interpreter", type=Path, default=MICROPYTHON, help="MicroPython (%(default)s)")
        command.add_argument("--overlay", type=Path, help="a folder whose .py files stand in for the repository's")
    options = parser.parse_args(arguments)
    act = {"run": _run, "demo": _demo, "pictures": _pictures}[options.command]
    try:
        return asyncio.run(act(options))
    except (HouseError, SetupError, StageError) as error:
        print(f"house: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _house(options):
    overlay = {}
    if options.overlay:
        for path in options.overlay.rglob("*.py"):
            overlay[path.relative_to(options.overlay).as_posix()] = path.read_text()
    return House(
        options.folder,
        overlay=overlay,
        heap=options.heap,
        micropython=options.interpreter.absolute(),
        ble=getattr(options, "radio", None),
        board=getattr(options, "board", BOARD),
        host=getattr(options, "host", HOSTS[0]),
    )


async def _describe(house):
    print(f"interpreter: MicroPython {await house.interpreter()}")
    print(f"firmware:    {'ROM image' if house.as_mpy else 'source'}, heap of {house.heap}")
    print(f"aioble:      {mip.choose().text}", flush=True)


async def _run(options):
    from tools.sim.page.server import Page

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _house(options) as house:
        page = Page(house, options.port)
        try:
            page.bind()
        except OSError as error:
            raise HouseError(f"port {options.port}: {error.strerror}; choose another with --port") from None
        try:
            await _describe(house)
            await house.start(fresh=options.fresh)
            await page.start()
            print(f"house:       {'new' if house.is_new else 'as it was left'}, in {house.folder}")
            print(f"page:        {page.url}")
            print(f"phone:       {page.phone_url}")
            print(f"console:     {house.server.console_url}  (user {OPERATOR}, password {house.operator_password})")
            print(f"outbox:      {house.server.console_url}outbox")
            if house.module.serial_path:
                print(
                    f"serial line: {house.module.serial_path}  (inkan-phone --serial {house.module.serial_path} info)"
                )
            print("Ctrl-C ends it; what it holds stays. --fresh starts anew.", flush=True)
            if not options.no_open:
                webbrowser.open(page.url)
            await stop.wait()
            print("\nending", flush=True)
        finally:
            await page.stop()
    return 0


async def _demo(options):
    from tools.sim.narrator import Narrator

    # It warns of each link that the module was the first to end.
    logging.getLogger("bumble.device").setLevel(logging.ERROR)
    async with _house(options) as house:
        await _describe(house)
        narrator = Narrator(options.json, options.pictures)
        chapters = options.chapters.split(",")
        ok = True
        if set(chapters) & set(CHAPTERS):
            await house.start(fresh=True)
            ok = await Demo(house, narrator, options.timeout).run(chapters)
        if not ok:
            print("\n    the module's last lines:", *list(house.module.output)[-10:], sep="\n    ")
    if ok and _ENERGY in chapters:
        heap = ROOMY_HEAP if options.heap == HEAP else options.heap
        day = EnergyDay(
            options.folder.with_name(options.folder.name + "-energy"),
            narrator,
            heap=heap,
            micropython=options.interpreter.absolute(),
            host=options.host,
        )
        ok = await day.run()
    print(f"\n{len(narrator.steps)} steps, {'all ok' if ok else 'the last one FAILED'}; {options.json}")
    return 0 if ok else 1


async def _pictures(options):
    from tools.sim.pictures import take_pictures

    await take_pictures(options.to, options.folder, options.heap)
    return 0


if __name__ == "__main__":
    sys.exit(main())
