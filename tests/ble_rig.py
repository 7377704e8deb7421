"""A module on the virtual board with a small application, and phones around it."""

import asyncio
import contextlib
import textwrap

from tools.sim.chips.flash import NorFlash
from tools.sim.module import Module

FLASH_BYTES = 192 * 4096

PREFACE = """
import asyncio

def run(board):
    asyncio.run(main(board))

async def main(board):
"""


def in_the_air(tmp_path, body, test, phones=1, files=None):
    """Run test(module, *phones) while `body` runs as the module's main(board); the power is on."""
    # Bumble is imported for those tests only that want it.
    from tools.sim.phone_radio import PhoneRadio

    async def run():
        overlay = {"firmware/app.py": PREFACE + textwrap.indent(textwrap.dedent(body), "    "), **(files or {})}
        async with contextlib.AsyncExitStack() as stack:
            module = Module(NorFlash(FLASH_BYTES), folder=tmp_path / "module", overlay=overlay)
            await stack.enter_async_context(module)
            radios = [
                await stack.enter_async_context(PhoneRadio(module.air, f"phone {number}")) for number in range(phones)
            ]
            await module.power_on()
            await test(module, *radios)
            assert module.faults == []

    asyncio.run(run())


async def read(link, count):
    """The next `count` bytes of a link."""
    buffer = bytearray(count)
    done = 0
    async with asyncio.timeout(60):
        while done < count:
            got = await link.read_into(memoryview(buffer)[done:])
            assert got, f"the link ended after {done} of {count} bytes"
            done += got
    return bytes(buffer)
