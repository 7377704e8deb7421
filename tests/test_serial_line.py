"""The serial carrier of the bare board, unchanged, on the virtual board: a pty is the other end of the line (R21)."""

import asyncio
import contextlib
import os
import textwrap

import pytest
import serial

from firmware.boards import esp32_s3_bare
from tests.ble_rig import FLASH_BYTES, PREFACE
from tools.sim.chips.flash import NorFlash
from tools.sim.circuit import Esp32S3BareCircuit
from tools.sim.module import Module

BEGINNING = bytes(1026)

# Says back what comes, and ends the link at a word.
ECHO = """
    async def serve(link):
        print("link", link.door)
        buffer = bytearray(1026)
        while True:
            count = await link.read_into(buffer)
            words = bytes(memoryview(buffer)[:count])
            if not count or words == b"end":
                print("over")
                return
            await link.write(words)
    carrier = board.serial_link(serve)
    print("ready")
    await carrier.run()
"""


class Line:
    """The computer's end."""

    def __init__(self, path):
        self._port = serial.Serial(path, 115_200, timeout=0)
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._came.set)

    async def say(self, data):
        view = memoryview(data)
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._port.fileno(), view[:256]) :]
            await asyncio.sleep(0)

    async def hear(self, count):
        heard = b""
        async with asyncio.timeout(60):
            while len(heard) < count:
                self._came.clear()
                heard += self._port.read(count - len(heard))
                if len(heard) < count:
                    await self._came.wait()
        return heard

    def nothing_waits(self):
        return self._port.in_waiting == 0

    def close(self):
        asyncio.get_running_loop().remove_reader(self._port.fileno())
        self._port.close()


def on_the_line(tmp_path, body, test):
    """Run test(module, line) while `body` runs as the module's main(board); the power is on."""

    async def run():
        overlay = {"firmware/app.py": PREFACE + textwrap.indent(textwrap.dedent(body), "    ")}
        async with Module(
            NorFlash(FLASH_BYTES), folder=tmp_path / "module", overlay=overlay, board="esp32_s3_bare"
        ) as module:
            await module.power_on()
            line = Line(module.serial_path)
            try:
                await test(module, line)
            finally:
                line.close()
            assert module.faults == [] and module.circuit.uart.lost == 0

    asyncio.run(run())


def test_pin_table_is_the_schematics():
    assert esp32_s3_bare.PINS == {
        "serial_tx": Esp32S3BareCircuit.SERIAL_TX,
        "serial_rx": Esp32S3BareCircuit.SERIAL_RX,
    }
    taken_by_the_chip = {0, 3, 45, 46, 19, 20, 43, 44, *range(26, 38)}
    assert not taken_by_the_chip & set(esp32_s3_bare.PINS.values())


def test_r21_links_over_the_line(tmp_path):
    async def test(module, line):
        stream = b"\x0b" + bytes(range(256)) * 3
        await module.wait_output("ready")
        await line.say(BEGINNING)
        await module.wait_output("link 4")
        assert module.circuit.uart.form == (115_200, 8, None, 1)
        await line.say(stream)
        assert await line.hear(len(stream)) == stream
        await line.say(BEGINNING)
        await module.wait_output("over|LinkError closed")
        await module.wait_output("link 4", after=2)
        await line.say(b"hello")
        heard = await line.hear(5)
        while not heard.endswith(b"hello"):  # what was on its way when the link ended
            heard += await line.hear(1)
        await line.say(b"end")
        await module.wait_output("over", after=3)
        assert line.nothing_waits()

    on_the_line(tmp_path, ECHO, test)


def test_r21_the_line_outlives_a_restart_of_the_module(tmp_path):
    async def test(module, line):
        await module.wait_output("ready")
        await line.say(BEGINNING + b"one")
        assert await line.hear(3) == b"one"
        await module.power_off()
        await line.say(b"to nobody")
        await module.power_on()
        await module.wait_output("ready", after=len(module.output))
        await line.say(BEGINNING + b"two")
        assert await line.hear(3) == b"two"

    on_the_line(tmp_path, ECHO, test)


def test_a_board_without_the_line_has_none(tmp_path):
    async def run():
        async with Module(
            NorFlash(FLASH_BYTES),
            folder=tmp_path / "module",
            overlay={"firmware/app.py": "def run(board):\n    pass\n"},
        ) as module:
            await module.power_on()
            assert module.serial_path is None

    asyncio.run(run())


@pytest.mark.parametrize("pins", [(18, 17), (4, 5)])
def test_other_pins_lead_nowhere(pins):
    circuit = Esp32S3BareCircuit(NorFlash(FLASH_BYTES), {})
    circuit.uart_open(1, (115_200, 8, None, 1), *pins)
    assert circuit.uart_of(1) is None and circuit.uart.form is None
