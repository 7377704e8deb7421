"""`python -m tools.sim run`: the virtual house on a web page; `python -m tools.sim demo`: operation 1 unattended."""

import argparse
import asyncio
import signal
import sys
import webbrowser

from tools.setup import BUILD
from tools.setup.stage import StageError
from tools.sim.house import HEAP, OPERATOR, House, HouseError


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tools.sim", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="the virtual house on a web page")
    run.add_argument("--port", type=int, default=8000, help="of the page; 0 = any free one (default: 8000)")
    run.add_argument("--fresh", action="store_true", help="start anew: another module, server and certificates")
    run.add_argument("--no-open", action="store_true", help="do not open the page in a browser")
    run.add_argument("--heap", default=HEAP, help="the interpreter's, as 128K or 2M (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_run(options))
    except (HouseError, StageError) as error:
        sys.exit(f"house: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(options):
    from tools.sim.page.server import Page

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    house = House(heap=options.heap)
    print(f"interpreter: {await house.interpreter()}", flush=True)
    print(f"firmware:    {'.mpy files' if house.as_mpy else 'source'}, heap of {house.heap}", flush=True)
    async with house:
        await house.start(fresh=options.fresh)
        page = Page(house, options.port)
        try:
            await page.start()
        except OSError as error:
            raise HouseError(f"port {options.port}: {error.strerror}; choose another with --port") from None
        try:
            folder = house.folder.relative_to(BUILD.parent)
            print(f"house:       {'new' if house.is_new else 'as it was left'}, in {folder}")
            print(f"page:        {page.url}")
            print(f"console:     {house.server.console_url}  (user {OPERATOR}, password {house.operator_password})")
            print(f"outbox:      {house.server.console_url}outbox")
            print("Ctrl-C ends it; what it holds stays. --fresh starts anew.", flush=True)
            if not options.no_open:
                webbrowser.open(page.url)
            await stop.wait()
            print("\nending", flush=True)
        finally:
            await page.stop()


if __name__ == "__main__":
    main()
