"""R22: driver and map, as they are flashed, ask a real Modbus server over UART and pty, on both boards and hosts."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import textwrap

import pytest

from firmware.boards import esp32_s3, esp32_s3_bare
from firmware.boards.esp32_s3_chip import POWER_PINS
from tests.ble_rig import FLASH_BYTES, PREFACE
from tools.sim.chips.flash import NorFlash
from tools.sim.circuit import CIRCUITS, Esp32S3Chip
from tools.sim.module import Module
from tools.sim.power import device as faults
from tools.sim.power.device import PANEL_BOARD, PCS, PowerDevice
from tools.sim.power.house_model import BOUGHT, FIRST_CIRCUIT, PV, QUANTITIES, SOLD, HouseModel

NOON_S = 1_798_772_400  # of a first of January in Japan
HALF_HOUR_S = 1_800
ACC32 = 1 << 32

# Reads whenever a line comes.
READER = """
    import json
    from firmware.sunspec import Device
    device = Device(board.power_device())
    console = board.console()
    print("ready")
    while True:
        await console.read_line(8)
        found = {"code": None, "detail": 0}
        try:
            await device.read()
        except Exception as error:
            found["code"] = error.code
            found["detail"] = getattr(error, "detail", 0)
        for name in ("state", "identity", "counters", "wraps", "circuits", "circuits_wrap"):
            found[name] = getattr(device, name)
        print("found", json.dumps(found))
"""


def identity_of(title, serial):
    digest = hashlib.sha256(b"".join(text.encode() + b"\0" for text in ("Inkan", title, serial))).digest()
    return int.from_bytes(digest[:4], "little")


class Rig:
    """A module that reads when it is told to, and the device of a house whose time is `now_s`."""

    def __init__(self, module, kind, circuits, **options):
        self.now_s = NOON_S
        self.house = HouseModel(NOON_S, seed=3, circuits=circuits)
        self.device = PowerDevice(self.house, lambda: self.now_s, kind=kind, **options)
        self.module = module
        self._found = asyncio.Queue()
        module.on_output.append(self._heard)

    async def __aenter__(self):
        await self.device.start(self.module.power_path)
        await self.module.power_on()
        await self.module.wait_output("^ready")
        return self

    async def __aexit__(self, *exception):
        await self.device.stop()

    def _heard(self, line):
        found = re.match("found (.*)", line)
        if found:
            self._found.put_nowait(json.loads(found[1]))

    async def read(self):
        """What the module finds now."""
        self.module.write_console("read")
        async with asyncio.timeout(60):
            return await self._found.get()

    async def reads_what_is_counted(self):
        found = await self.read()
        assert found["code"] is None and found["state"] == "ok", found
        assert found["counters"] == self.device.counted()
        return found

    async def fails(self):
        found = await self.read()
        assert found["code"], "it was to fail"
        return found["code"], found["detail"], found["state"]


@contextlib.asynccontextmanager
async def rig_of(tmp_path, kind, board, circuits=0, as_mpy=False, **options):
    overlay = {"firmware/app.py": PREFACE + textwrap.indent(textwrap.dedent(READER), "    ")}
    async with (
        Module(
            NorFlash(FLASH_BYTES), folder=tmp_path / "module", overlay=overlay, board=board, as_mpy=as_mpy
        ) as module,
        Rig(module, kind, circuits, **options) as rig,
    ):
        assert module.circuit.power_line.form == (9_600, 8, 0, 1) == module.circuit.POWER_FORM
        yield rig
        assert module.faults == [] and module.circuit.power_line.lost == 0


@pytest.mark.parametrize("board", [esp32_s3, esp32_s3_bare], ids=lambda board: board.__name__.rpartition(".")[2])
def test_pin_table_is_the_schematics(board):
    assert POWER_PINS == {"power_tx": Esp32S3Chip.POWER_TX, "power_rx": Esp32S3Chip.POWER_RX}
    used = [*POWER_PINS.values()]
    for pins in board.PINS.values():
        used += pins if isinstance(pins, tuple) else [pins]
    assert len(set(used)) == len(used)
    assert not {0, 3, 45, 46, 19, 20, 43, 44, *range(26, 38)} & set(used)


@pytest.mark.parametrize("board", sorted(CIRCUITS))
def test_other_pins_lead_nowhere_and_a_restart_lets_go(board):
    circuit = CIRCUITS[board](NorFlash(FLASH_BYTES), {})
    circuit.uart_open(2, (9_600, 8, 0, 1), 2, 1)
    assert circuit.uart_of(2) is None
    circuit.uart_open(2, (9_600, 8, 0, 1), 1, 2)
    assert circuit.uart_of(2) is circuit.power_line and circuit.uart_of(1) is None
    circuit.reset(2)
    assert circuit.uart_of(2) is None and circuit.power_line.form is None


def test_what_is_set_up_differently_is_not_understood():
    async def run():
        line = Esp32S3Chip(NorFlash(FLASH_BYTES), {}).power_line
        heard = asyncio.Queue()
        line.open()
        try:
            line.connect(heard.put_nowait)
            with open(line.path, "r+b", buffering=0) as other_end:
                os.set_blocking(other_end.fileno(), False)
                for form in ((19_200, 8, 0, 1), (9_600, 8, None, 1), None):
                    line.form = form
                    line.send(b"question")
                    assert other_end.read() is None
                    line.lost = 0
                line.form = line.other_form
                line.send(b"question")
                assert other_end.read() == b"question" and line.lost == 0
                other_end.write(b"answer")
                async with asyncio.timeout(60):
                    assert await heard.get() == b"answer"
        finally:
            line.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "board", "circuits", "options"),
    [
        (PCS, "esp32_s3", 0, {}),
        (PANEL_BOARD, "esp32_s3_bare", 16, {"base": 0, "dc_scale": -1, "meter_scale": 1}),
    ],
    ids=[PCS, PANEL_BOARD],
)
def test_r22_what_the_module_reads_is_what_the_house_did(tmp_path, kind, board, circuits, options):
    async def run():
        async with rig_of(tmp_path, kind, board, circuits, as_mpy=True, **options) as rig:
            unit_wh = 10 if circuits else 1  # of the meter and the circuits
            wraps = [0] * 5 + [ACC32 * unit_wh] * 2

            def as_shown(counted):
                return counted[:BOUGHT] + [value // unit_wh * unit_wh for value in counted[BOUGHT:]]

            begun = rig.device.counted()
            started = [rig.device.counter_wh(QUANTITIES + circuit) for circuit in range(circuits)]
            for _ in range(12):
                found = await rig.read()
                assert found["state"] == "ok", found
                assert found["counters"] == as_shown(rig.device.counted())
                for quantity in range(QUANTITIES):
                    used = rig.house.energy_wh(quantity, NOON_S, rig.now_s)
                    unit = unit_wh if quantity >= BOUGHT else 1
                    assert abs(found["counters"][quantity] - begun[quantity] - used) <= unit
                assert len(found["circuits"]) == circuits
                for circuit, wh in enumerate(found["circuits"]):
                    used = rig.house.energy_wh(FIRST_CIRCUIT + circuit, NOON_S, rig.now_s)
                    assert abs(wh - started[circuit] - used) <= unit_wh
                assert found["wraps"] == wraps and found["circuits_wrap"] == (ACC32 * unit_wh if circuits else 0)
                rig.now_s += HALF_HOUR_S + 7
            title = "Virtual PCS" if kind == PCS else "Virtual panel board"
            assert found["identity"] == identity_of(title, "V0001")

    asyncio.run(run())


def test_r22_every_fault_of_the_device_is_told_and_none_becomes_a_value(tmp_path):
    async def run():
        async with rig_of(tmp_path, PCS, "esp32_s3") as rig:
            first = await rig.reads_what_is_counted()
            device = rig.device

            # What passes within the repeats is not seen at all.
            for name, value in (
                (faults.SILENT, None),
                (faults.BAD_CRC, None),
                (faults.CUT_SHORT, 9),
                (faults.NOISE, b"\x00\x01\x03"),
                (faults.LATE, 1_150),
            ):
                rig.now_s += HALF_HOUR_S
                device.fault(name, value, times=1)
                await rig.reads_what_is_counted()

            # What does not has its name, and the next reading is right again.
            for name, value, expected in (
                (faults.SILENT, None, ("modbus_timeout", 0, "silent")),
                (faults.BAD_CRC, None, ("modbus_bad_crc", 0, "silent")),
                (faults.CUT_SHORT, 20, ("modbus_bad_frame", 0, "silent")),
                (faults.EXCEPTION, 6, ("modbus_exception", 6, "silent")),
                (faults.EXCEPTION, 2, ("unknown_map", 0, "unknown_map")),
            ):
                rig.now_s += HALF_HOUR_S
                device.fault(name, value)
                assert await rig.fails() == expected
                device.heal()
                await rig.reads_what_is_counted()

            # Late for good: an error, or what is right; never another register's.
            device.fault(faults.LATE, 1_600)
            rig.now_s += HALF_HOUR_S
            for _ in range(2):
                found = await rig.read()
                assert found["code"] or found["counters"] == device.counted()
            device.heal()
            await rig.reads_what_is_counted()

            # Counters: as they are shown, for the metering to judge.
            device.set_counter(PV, 0)
            assert (await rig.reads_what_is_counted())["counters"][PV] == 0
            device.set_counter(SOLD, 77_000_000)
            assert (await rig.reads_what_is_counted())["counters"][SOLD] == 77_000_000
            device.set_counter(BOUGHT, ACC32 - 3)
            assert (await rig.reads_what_is_counted())["counters"][BOUGHT] == ACC32 - 3
            bought = rig.house.energy_wh(BOUGHT, rig.now_s, rig.now_s + 36 * HALF_HOUR_S)
            rig.now_s += 36 * HALF_HOUR_S
            found = await rig.read()
            assert found["counters"][BOUGHT] == int(bought) - 3 > 0, "past the end of the register"
            device.set_counter(BOUGHT, 5)

            device.replace("V0002", start_wh=12)
            found = await rig.reads_what_is_counted()
            assert found["counters"] == [12] * QUANTITIES
            assert found["identity"] == identity_of("Virtual PCS", "V0002") != first["identity"]

    asyncio.run(run())


def test_r22_a_line_with_nobody_at_its_end_and_restarts_of_either(tmp_path):
    async def run():
        async with rig_of(tmp_path, PANEL_BOARD, "esp32_s3_bare", circuits=3) as rig:
            await rig.device.stop()
            assert await rig.fails() == ("modbus_timeout", 0, "none")
            await rig.device.start(rig.module.power_path)
            await rig.reads_what_is_counted()
            await rig.module.power_off()
            await rig.module.power_on()
            await rig.module.wait_start(2)
            await rig.reads_what_is_counted()

    asyncio.run(run())
