"""The board file and its drivers, unchanged, on the virtual board: every wire of it does what it is for.

Each test stages a small application and runs it through boot.py and main.py.
"""

import asyncio
import re
import struct
import textwrap
from unittest import mock

import pytest

from firmware.boards import esp32_s3
from tools.sim.chips.flash import NorFlash, PowerCut
from tools.sim.circuit import Esp32S3Circuit
from tools.sim.module import Module, ModuleStopped
from tools.sim.shims import _opcodes as op
from tools.sim.wire import Wire

FLASH_BYTES = 192 * 4096

PREFACE = """
import asyncio
import machine

def run(board):
    asyncio.run(main(board))

async def main(board):
"""


def application(body):
    """Overlay with an application of which `body` is main(board)."""
    return {"firmware/app.py": PREFACE + textwrap.indent(textwrap.dedent(body), "    ")}


def on_board(tmp_path, body, test, flash=None, as_mpy=False, **options):
    """Run test(module) with that application, the power still off."""

    async def run():
        chip = flash or NorFlash(FLASH_BYTES)
        overlay = {**application(body), **options.pop("files", {})}
        # As source: to shrink and link all of the firmware for each small application takes longer than to run it.
        async with Module(chip, folder=tmp_path / "module", overlay=overlay, as_mpy=as_mpy, **options) as module:
            await test(module)

    asyncio.run(run())


def test_pin_table_is_the_schematics():
    pins, circuit = esp32_s3.PINS, Esp32S3Circuit
    assert pins == {
        "lcd_sck": circuit.LCD_SCK,
        "lcd_mosi": circuit.LCD_MOSI,
        "lcd_cs": circuit.LCD_CS,
        "lcd_dc": circuit.LCD_DC,
        "lcd_reset": circuit.LCD_RESET,
        "key_rows": circuit.KEY_ROWS,
        "key_columns": circuit.KEY_COLUMNS,
    }
    assert "".join(circuit.KEY_CAPS) == esp32_s3.KEY_CODES
    used = [pins["lcd_sck"], pins["lcd_mosi"], pins["lcd_cs"], pins["lcd_dc"], pins["lcd_reset"]]
    used += [*pins["key_rows"], *pins["key_columns"]]
    assert len(set(used)) == len(used)
    taken_by_the_chip = {0, 3, 45, 46, 19, 20, 43, 44, *range(26, 38)}
    assert not taken_by_the_chip & set(used)


def test_frames_of_the_driver_are_what_the_eye_sees(tmp_path):
    pattern = [bytes((x * 7 + page * 31 + step) & 0xFF for page in range(8) for x in range(128)) for step in (0, 1)]
    body = """
        lcd = board.lcd()
        lcd.start()
        keypad = board.keypad()
        asyncio.create_task(keypad.run())
        frame = bytearray(1024)
        for step in (0, 1):
            for at in range(1024):
                frame[at] = (at % 128 * 7 + at // 128 * 31 + step) & 0xFF
            lcd.show(frame)
            await keypad.next_key()
        lcd.sleep(True)
        await keypad.next_key()
        lcd.sleep(False)
        await keypad.next_key()
        lcd.contrast(63)
        await keypad.next_key()
    """

    async def test(module):
        assert module.frame() == bytes(1024)
        await module.power_on()
        await module.wait_frame(lambda frame: frame == pattern[0])
        await module.press("O")
        await module.wait_frame(lambda frame: frame == pattern[1])
        await module.press("O")
        await module.wait_frame(lambda frame: not any(frame))
        await module.press("O")
        await module.wait_frame(lambda frame: frame == pattern[1])
        await module.press("O")
        await module.wait_frame(lambda frame: set(frame) == {0xFF})
        await module.power_off()
        assert module.frame() == bytes(1024)
        assert module.faults == []

    on_board(tmp_path, body, test)


def test_start_never_shows_what_the_ram_held_at_power_on(tmp_path):
    seen = set()
    body = """
        lcd = board.lcd()
        lcd.start()
        print("ready")
    """

    async def test(module):
        module.lcd.listeners.append(lambda: seen.add(module.frame()))
        await module.power_on()
        await module.wait_output("ready")
        assert seen == {bytes(1024)}

    on_board(tmp_path, body, test)


def test_every_key_arrives_and_a_ghost_does_not(tmp_path):
    body = """
        keypad = board.keypad()
        asyncio.create_task(keypad.run())
        print("ready")
        while True:
            print("key", await keypad.next_key())
    """

    async def test(module):
        keys = []
        module.on_output.append(lambda line: keys.append(line[4:]) if line.startswith("key ") else None)
        await module.power_on()
        await module.wait_output("ready")
        await module.type("0123456789*#UDLROB")
        await module.wait_output("key B")
        assert "".join(keys) == "0123456789*#UDLROB"
        keys.clear()
        module.output.clear()
        # With 1 and 2 held, 4 reads as 4 and 5.
        for code in "12":
            module.keys.close(code)
            await module.wait_output(f"key {code}")
        await module.press("4")
        module.keys.release_all()
        async with asyncio.timeout(60):
            for code in "12":
                await module.keys.looked_at(code, 1)
        await module.press("#")
        await module.wait_output("key #")
        assert "".join(keys) == "12#"
        assert module.keys.shorts == 0

    on_board(tmp_path, body, test)


def test_flash_partition_reads_programs_and_erases(tmp_path):
    body = """
        from firmware.errors import FlashError
        flash = board.flash()
        print("size", flash.size, flash.sector_size)
        buffer = bytearray(4)
        flash.read(5 * 4096 + 3, buffer)
        print("found", bytes(buffer))
        flash.erase(5)
        flash.program(5 * 4096, b"head")
        flash.program(6 * 4096 - 2, b"over")
        flash.read(6 * 4096 - 2, buffer)
        print("written", bytes(buffer))
        try:
            flash.program(5 * 4096, bytes((0xFF,)))
        except FlashError as error:
            print("refused", error.code)
    """

    async def test(module):
        module.flash.load_sector(5, b"\x00\x01\x02old!")
        await module.power_on()
        await module.wait_output(f"size {FLASH_BYTES} 4096")
        await module.wait_output("found b'old!'")
        await module.wait_output("written b'over'")
        await module.wait_output("refused flash")
        assert module.flash.sector(5) == b"head" + b"\xff" * 4090 + b"ov"
        assert module.flash.sector(6) == b"er" + b"\xff" * 4094
        assert len(module.faults) == 1, "zero to one is not for a NOR flash"

    on_board(tmp_path, body, test)


@pytest.mark.parametrize("torn", ["before", ("bytes", 2, 0), "after"])
def test_power_cut_within_a_program_ends_everything_at_once(tmp_path, torn):
    body = """
        flash = board.flash()
        flash.program(0, b"\\x01")
        print("one")
        flash.program(1, b"\\x02\\x03\\x04")
        print("two")
        flash.program(8, b"\\x05")
    """

    async def test(module):
        await module.power_on(cut_at=(1, torn))
        await module.wait_power_loss()
        assert not module.running
        assert "two" not in module.output
        done = {"before": b"", "after": b"\x02\x03\x04"}.get(torn, b"\x02\x03")
        assert module.flash.sector(0) == (b"\x01" + done).ljust(4096, b"\xff")
        with pytest.raises(ModuleStopped):
            await module.press("1")

    on_board(tmp_path, body, test)


def test_nothing_reaches_the_chips_after_power_off(tmp_path):
    body = """
        flash = board.flash()
        at = 0
        while at < flash.size:
            flash.program(at, b"\\x00")
            at += 1
    """

    async def test(module):
        await module.power_on()
        while not module.flash.programs:
            await asyncio.sleep(0.001)
        await module.power_off()
        image, programs = module.flash.image(), module.flash.programs
        await asyncio.sleep(0.05)
        assert (module.flash.image(), module.flash.programs) == (image, programs)
        assert image.count(0) == programs < FLASH_BYTES
        with pytest.raises(PowerCut):
            module.flash.read(0, bytearray(1))

    on_board(tmp_path, body, test)


def test_what_is_left_in_the_pipe_after_the_cut_is_lost():
    request = struct.Struct(op.REQUEST_FORMAT)
    circuit = Esp32S3Circuit(NorFlash(FLASH_BYTES), {})
    control, transport = mock.Mock(), mock.Mock()
    wire = Wire(circuit, control)
    wire.connection_made(transport)
    clock = struct.pack("<H6B", 2026, 1, 1, 3, 0, 0, 0)
    wire.data_received(request.pack(op.RTC_SET, 0, 0, 0, len(clock)) + clock)
    assert circuit.rtc[0] == 2026
    late = request.pack(op.WATCHDOG_FEED, 0, 0, 0, 0)
    wire.data_received(request.pack(op.RESET, 0, 0, 0, 0) + late)
    wire.data_received(late + request.pack(op.PIN_READ, circuit.KEY_COLUMNS[0], 0, 0, 0))
    control.reset.assert_called_once_with()
    control.watchdog_feed.assert_not_called()
    transport.write.assert_not_called()
    transport.abort.assert_called_once_with()


def test_power_comes_back_after_a_cut(tmp_path):
    body = """
        flash = board.flash()
        buffer = bytearray(1)
        flash.read(0, buffer)
        print("cause", machine.reset_cause(), "found", buffer[0])
        flash.program(0, b"\\x07")
        flash.program(1, b"\\x07")
    """

    async def test(module):
        await module.power_on(cut_at=(0, "after"))
        await module.wait_power_loss()
        module.output.clear()
        await module.power_on()
        await module.wait_output("cause 1 found 7")
        assert module.starts == 2

    on_board(tmp_path, body, test)


def test_reset_restarts_the_interpreter_and_not_the_display(tmp_path):
    body = """
        if machine.reset_cause() == machine.PWRON_RESET:
            lcd = board.lcd()
            lcd.start()
            lcd.show(bytearray(b"\\x3C" * 1024))
            try:
                board.reset()
            except BaseException:
                print("survived")
            print("survived")
        print("cause", machine.reset_cause())
        while True:
            await asyncio.sleep(1)
    """

    async def test(module):
        await module.power_on()
        await module.wait_output(r"cause 2")
        assert module.starts == 2 and module.running
        assert "survived" not in module.output
        assert module.lcd.powered

    on_board(tmp_path, body, test)


def test_r27_watchdog_restarts_a_module_that_hangs(tmp_path):
    body = """
        print("cause", machine.reset_cause())
        if machine.reset_cause() == machine.PWRON_RESET:
            watchdog = board.watchdog(200)
            for _ in range(3):
                watchdog.feed()
                await asyncio.sleep_ms(20)
            print("hanging")
            while True:
                pass
        while True:
            await asyncio.sleep(1)
    """

    async def test(module):
        await module.power_on()
        await module.wait_output("hanging")
        await module.wait_output("cause 3")
        assert module.starts == 2

    on_board(tmp_path, body, test)


def test_wifi_joins_and_sees_the_plug(tmp_path):
    body = """
        from firmware.errors import LinkError
        wifi = board.wifi()
        print("joined", wifi.connected())
        for ssid, passphrase in (("other", "p"), ("house", "wrong")):
            try:
                await wifi.connect(ssid, passphrase)
            except LinkError as error:
                print("refused", error.code)
        while True:
            try:
                await wifi.connect("house", "secret", 2000)
            except LinkError as error:
                print("lost", error.code)
                continue
            print("joined", wifi.connected())
            while wifi.connected():
                await asyncio.sleep_ms(20)
    """

    async def test(module):
        await module.power_on()
        await module.wait_output("joined False")
        assert not module.network.up
        await module.wait_output("refused wifi_not_found")
        await module.wait_output("refused wifi_passphrase")
        await module.wait_output("joined True")
        assert module.network.up
        module.output.clear()
        module.unplug()
        assert not module.network.up
        await module.wait_output("lost wifi_not_found")
        module.output.clear()
        module.plug()
        await module.wait_output("joined True")
        assert module.network.up

    on_board(tmp_path, body, test, access_points={"house": "secret"})


def test_module_reaches_a_server_through_the_network_and_the_plug_cuts_it(tmp_path):
    body = """
        await board.wifi().connect("house", "secret")
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        while True:
            writer.write(b"ping")
            await writer.drain()
            answer = await reader.read(4)
            print("answer", answer)
            if not answer:
                break
            await asyncio.sleep_ms(20)
    """

    async def test(module):
        async def pong(reader, writer):
            while await reader.read(4):
                writer.write(b"pong")

        server = await asyncio.start_server(pong, "127.0.0.1", 0)
        port = await module.network.forward("127.0.0.1", server.sockets[0].getsockname()[1])
        overlay = module._overlay
        overlay["firmware/app.py"] = overlay["firmware/app.py"].replace("PORT", str(port))
        await module.power_on()
        await module.wait_output("answer b'pong'")
        module.unplug()
        await module.wait_output(r"answer b''|stopped: OSError")
        server.close()

    on_board(tmp_path, body, test, access_points={"house": "secret"})


def test_s17_no_entropy_before_the_radio_is_on(tmp_path):
    body = """
        from firmware.drivers import DriverError
        try:
            board.entropy(16)
            print("given")
        except DriverError as error:
            print("refused", error.code)
        board.wifi().start()
        first, second = board.entropy(32), board.entropy(32)
        print("differ", len(first), first != second)
    """

    async def test(module):
        await module.power_on()
        await module.wait_output("differ 32 True")
        assert "refused radio_off" in module.output
        assert "given" not in module.output

    on_board(tmp_path, body, test)


def test_clock_is_set_from_seconds_since_2000(tmp_path):
    body = """
        board.set_rtc(820540800 + 3661)  # 2026-01-01, 01:01:01
        print("clock", machine.RTC().datetime())
    """

    async def test(module):
        await module.power_on()
        await module.wait_output(re.escape("clock (2026, 1, 1, 3, 1, 1, 1, 0)"))

    on_board(tmp_path, body, test)


def test_r4_error_that_ends_the_application_is_told_without_its_message(tmp_path):
    body = """
        print("cause", machine.reset_cause())
        raise ValueError("secret 1234\\n  second secret")
    """

    async def test(module):
        lines = []
        module.on_output.append(lines.append)
        await module.power_on()
        await module.wait_output("stopped: ValueError")
        await module.wait_start(2)
        await module.wait_output("cause 2")
        assert not any("secret" in line for line in lines)
        assert any("firmware/app.py" in line for line in lines), "where it happened is told"

    on_board(tmp_path, body, test, as_mpy=True)


@pytest.mark.parametrize("files", [{}, {"locked": ""}], ids=["bench", "locked"])
def test_s21_locked_module_takes_no_interrupt_from_the_console(tmp_path, files):
    body = """
        print("running")
        while True:
            await asyncio.sleep(1)
    """

    async def test(module):
        await module.power_on()
        await module.wait_output("running")
        module.interrupt()
        with pytest.raises(ModuleStopped):
            await module.wait_output("never")
        interrupted = any("KeyboardInterrupt" in line for line in module.output)
        # With its interrupts off the unix port falls back to the signal's own effect; a real module goes on.
        assert interrupted != bool(files)

    on_board(tmp_path, body, test, files=files)


def test_board_file_names_the_board(tmp_path):
    other = "class Board:\n    NAME = 'other'\n    def reset(self):\n        pass\n"
    body = """
        print("board", board.NAME)
    """

    async def test(module):
        await module.power_on()
        await module.wait_output("board other")

    on_board(tmp_path, body, test, files={"firmware/boards/other.py": other, "board.txt": "other\n"})
