"""A meter on a flash chip model, a device that plays a house, and world time that passes only when it waits.

Nothing here needs an event loop, and virtual_time's ends after six days on MicroPython: `run` is what there is of one.
"""

import struct

from firmware import settings
from firmware.clock import Clock
from firmware.errors import InkanError, TamperError
from firmware.metering import Meter
from firmware.readings import CIRCUITS, CLOCK, POINT, SLOT, Readings
from firmware.store import layout
from firmware.store.window import Window
from tests.power.kit import CountingRandom, make_device

# The world's time at the virtual time 0: five minutes into a half hour.
START_S = settings.BUILD_TIME_S + 40 * 86_400 + 300
SLOT_S = 1800
KEY = bytes(range(64))
NO_WRAP = [0] * 7
_WMS_A_WH = 3_600_000


_now_ms = 0


def now_ms():
    return _now_ms


def advance(ms):
    global _now_ms
    _now_ms += ms


def run(coroutine):
    """Run a coroutine, from time 0 on, that waits for nothing but time."""
    global _now_ms
    _now_ms = 0
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("it waits for what never comes")


def world_ms():
    return START_S * 1000 + _now_ms


class Silent(InkanError):
    code = "modbus_timeout"


class House:
    """Power of each quantity, another one every five minutes, and what it adds up to. Nothing of it is kept."""

    def __init__(self, seed=1, scale=1):
        self._seed = seed
        self._scale = scale

    def watts(self, quantity, turn):
        mixed = (turn * 2654435761 + quantity * 40503 + self._seed * 97) & 0xFFFFFF
        mixed = (mixed ^ mixed >> 9) * 31 & 0xFFFF
        return mixed % (900 * (quantity + 1)) * self._scale

    def wms(self, quantity, from_ms, to_ms):
        """Energy between two times, in thousandths of a Ws."""
        total = 0
        while from_ms < to_ms:
            turn = from_ms // 300_000
            end_ms = min((turn + 1) * 300_000, to_ms)
            total += self.watts(quantity, turn) * (end_ms - from_ms)
            from_ms = end_ms
        return total


class Device:
    """What the meter reads: counters of a house, with the faults that tests give them."""

    def __init__(self, house=None, circuits=0, first_wh=1_000_000):
        self.house = house or House()
        self.identity = 0x1234
        self.counters = [None] * 7
        self.wraps = list(NO_WRAP)
        self.circuits = []
        self.circuits_wrap = 1 << 32
        self.state = "ok"
        self.silent = False
        self.reads = 0
        self.added = [first_wh + 1000 * index for index in range(7 + circuits)]  # what each shows more than it counted
        self.missing = set()
        self._wms = [0] * (7 + circuits)
        self._at_ms = world_ms()

    def go_on(self):
        """Count up to now, whether anybody asks or not."""
        to_ms = world_ms()
        for index in range(len(self._wms)):
            self._wms[index] += self.house.wms(index, self._at_ms, to_ms)
        self._at_ms = to_ms

    def counted_wh(self, index):
        self.go_on()
        return self._wms[index] // _WMS_A_WH + self.added[index]

    async def read(self):
        self.reads += 1
        if self.silent:
            self.state = "silent"
            raise Silent()
        self.state = "ok"
        self.go_on()
        shown = [wms // _WMS_A_WH + added for wms, added in zip(self._wms, self.added)]
        for index in range(7):
            wrap = self.wraps[index]
            self.counters[index] = None if index in self.missing else shown[index] % wrap if wrap else shown[index]
        self.circuits = [value % self.circuits_wrap for value in shown[7:]]


class _ClockRing:
    """The newest record is all that the clock asks for."""

    def __init__(self):
        self._body = None

    def last(self):
        return self._body

    def append(self, body):
        self._body = body


class _Audit:
    def __init__(self):
        self.noted = []

    def has(self, event, detail):
        return (event, detail) in self.noted

    def record(self, event, detail=0):
        self.noted.append((event, detail))


class Module:
    """What is restarted: flash, the clock's ring and the vault's items outlive it."""

    def __init__(self, device, flash=None, key=KEY, contract=b"PPS-1", random=None):
        self.device = device
        self.flash = flash or make_device()
        self.info = {0x21: key, 0x14: contract}
        self.tampered = False
        self.audit = _Audit()
        self.random = random or CountingRandom()
        self._ring = _ClockRing()
        self._stop = False
        self.start()

    def start(self):
        """Power on; the clock is unknown then."""
        self.clock = Clock(self._ring, now_ms, _difference)
        self.clock.start()
        window = Window(self.flash, layout.READINGS[0], layout.READINGS[1])
        self.readings = Readings(window, self.random, self._read_info, self.audit)
        self.meter = Meter(self.device, self.clock, self.readings, self._sleep_ms)

    def _read_info(self):
        if self.tampered:
            raise TamperError("vault_seal")
        return self.info

    def set(self, **items):
        """Change key or contract, as a session does."""
        for name, value in items.items():
            self.info[{"key": 0x21, "contract": 0x14}[name]] = value
        self.readings.changed()

    def learn(self, wrong_s=0):
        """The server tells the time."""
        self.clock.floor = 0
        self.clock.set_from_server(world_ms() // 1000 + wrong_s)

    async def _sleep_ms(self, ms):
        left_ms = self._until_ms - _now_ms
        advance(max(min(ms, left_ms), 0))
        if ms >= left_ms:
            raise _Over()

    async def run(self, seconds):
        """Let the meter's task run for so long; it reads at the beginning, and not at the end."""
        self._until_ms = _now_ms + seconds * 1000
        try:
            await self.meter.run()
        except _Over:
            pass
        self.clock.uptime_ms()

    async def run_to_slot(self, count=1):
        """Run until so many half hours of the world have ended, their cut included."""
        begun_ms = world_ms()
        end_ms = (begun_ms // (SLOT_S * 1000) + count) * SLOT_S * 1000
        self._until_ms = _now_ms + end_ms - begun_ms
        try:
            await self.meter.run()
        except _Over:
            pass
        await self.meter.step()

    async def off(self, seconds):
        advance(seconds * 1000)
        self.start()

    def records(self):
        return [Record(body) for _, body, _ in self.readings.records()]


class _Over(Exception):
    pass


def _difference(end, start):
    return end - start


class Record:
    """A body taken apart by docs/format.md."""

    def __init__(self, body):
        self.kind = kind = body[0]
        if kind in (SLOT, POINT):
            self.flags = body[1]
            self.span, self.slot, self.contract, quality = struct.unpack_from("<HIII", body, 2)
            self.quality = [quality >> 4 * index & 15 for index in range(7)]
            self.energy = struct.unpack_from("<7I", body, 16)
            self.counter = struct.unpack_from("<7I", body, 44)
            self.device, self.powered_s = struct.unpack_from("<II", body, 72)
        elif kind == CIRCUITS:
            count = body[1]
            self.span, self.slot, quality = struct.unpack_from("<HII", body, 2)
            self.quality = [quality >> 2 * index & 3 for index in range(count)]
            self.energy = struct.unpack_from("<%dH" % count, body, 12)
            self.counter = struct.unpack_from("<%dH" % count, body, 44)
        else:
            assert kind == CLOCK and body[1:4] == bytes(3) and body[24:] == bytes(56)
            self.boot_count, self.contract, self.now_s, self.powered_s, self.step_s = struct.unpack_from(
                "<IIIIi", body, 4
            )


def kinds(records):
    return [record.kind for record in records]


def of_kind(records, *wanted):
    return [record for record in records if record.kind in wanted]


def energy_of(records, kind=(SLOT, POINT)):
    """What was kept of each quantity, or circuit, in all."""
    sums = [0] * 16
    for record in records:
        if record.kind in kind:
            for index, value in enumerate(record.energy):
                sums[index] += value
    return sums


def no_slot_twice(records):
    """Slots ascend, and no span covers what another record does."""
    last = 0
    for record in of_kind(records, SLOT):
        assert record.slot - record.span + 1 > last, (record.slot, record.span, last)
        last = record.slot
