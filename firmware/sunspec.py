"""Wh counters of a power control device whose registers are SunSpec's (docs/metering.md): where they are, read afresh.

Layouts by SunSpec's Device Information Model, models 1, 201 to 204 and 714; 64,860 is ours. Offsets of registers count
from the model's id.
"""

import hashlib

from micropython import const

from firmware import settings
from firmware.errors import InkanError, LinkError

QUANTITIES = const(7)  # as docs/format.md numbers them, "Readings body"
_BOUGHT = const(5)
_SOLD = const(6)

_BASES = (40_000, 0, 50_000)
_MOST_MODELS = const(48)
_LAST_REGISTER = const(65_535)
_MOST_REGISTERS = const(125)  # in one request
_END = const(0xFFFF)  # where the next model's id would be
_NOT_THERE = const(3)  # exceptions 1 to 3: no such function, address or count; others pass by themselves

# Model 1. It begins the map, behind the two registers of the mark, and is read together with that.
_COMMON = const(1)
_COMMON_REGISTERS = const(68)
_NAMES = (8, 40, 104)  # bytes behind the map's base: manufacturer, model, serial number
_NAME_BYTES = const(32)

# Model 714
_PORTS = const(714)
_PORTS_COUNT = const(4)
_PORTS_SCALE = const(18)
_PORTS_FIRST = const(20)
_PORT_REGISTERS = const(25)
_PORT_INJECTED = const(13)  # within a port, u64
_PORT_ABSORBED = const(17)
_MOST_PORTS = const(16)
_INJECTED = b"\x00\x02\x04"  # by the port's type (PV, storage, EV): the quantity of what came out of the source
_ABSORBED = b"\xff\x01\x03"  # and of what went into it; 0xFF: of no interest

# Models 201 to 204, alike up to here
_METER_FIRST = const(201)
_METER_LAST = const(204)
_METER_EXPORTED = const(38)  # acc32
_METER_IMPORTED = const(46)
_METER_SCALE = const(54)
_METER_REGISTERS = const(55)

# Model 64,860
_PANEL = const(64_860)
_PANEL_COUNT = const(2)
_PANEL_SCALE = const(3)
_PANEL_FIRST = const(4)
_MOST_CIRCUITS = const(16)

_MOST_SCALE = const(10)
_ACC32_END = const(1 << 32)


class Device:
    """What one device has counted. `modbus`: an object with `await read(address, register, count)`.

    `state`: ok; silent (it answered once, and does not now); none (it never did); unknown_map (it answers, and has no
    counters where they are looked for). The rest is what the last good `read` found: `identity` (u32, 0 unknown),
    `counters` (seven, in Wh, None where there is none), `wraps` (for each the Wh at which it goes on with 0; 0 never),
    `circuits` (Wh of each branch circuit), `circuits_wrap`.
    """

    def __init__(self, modbus):
        self.state = "none"
        self.identity = 0
        self.counters = [None] * QUANTITIES
        self.wraps = [0] * QUANTITIES
        self.circuits = []
        self.circuits_wrap = 0
        self._modbus = modbus
        self._base = -1  # of the map; -1 while it is not known
        self._ports = 0  # where the models are, 0 where there is none
        self._ports_there = 0
        self._meter = 0
        self._panel = 0
        self._panel_registers = 0
        self._counted = 0  # ports that had a counter once, two bits each: injected, absorbed

    async def read(self):
        """Read every counter. The line's DriverError, or LinkError("unknown_map"), and then nothing is to be used."""
        try:
            fresh = self._base < 0
            if fresh:
                await self._discover()
            if not await self._read_all(fresh):
                await self._discover()
                if not await self._read_all(True):
                    raise LinkError("unknown_map")
        except InkanError as error:
            self._base = -1  # what answers next may be another one
            if error.code == "unknown_map":
                self.state = "unknown_map"
            elif self.state != "none":
                self.state = "silent"
            raise
        self.state = "ok"

    # The map

    async def _discover(self):
        """Find the map and walk along its models. The first one of each kind counts."""
        self._base = -1
        self._ports = self._meter = self._panel = 0
        self.circuits = []
        for base in _BASES:
            view = await self._read_there(base, 2)
            if view and bytes(view) == b"SunS":
                break
        else:
            raise LinkError("unknown_map")
        at = base + 2
        for _ in range(_MOST_MODELS):
            view = await self._read_there(at, 2)
            if not view or _u16(view, 0) == _END:
                break
            model = _u16(view, 0)
            length = _u16(view, 1)
            if model == _PORTS and not self._ports and length >= _PORTS_FIRST - 2:
                self._ports = at
                self._ports_there = min((length - _PORTS_FIRST + 2) // _PORT_REGISTERS, _MOST_PORTS)
            elif _METER_FIRST <= model <= _METER_LAST and not self._meter and length >= _METER_REGISTERS - 2:
                self._meter = at
            elif model == _PANEL and not self._panel and length >= _PANEL_FIRST:
                self._panel = at
                self._panel_registers = min(length + 2, _PANEL_FIRST + 2 * _MOST_CIRCUITS)
            at += 2 + length
            if at >= _LAST_REGISTER:
                break
        if not (self._ports or self._meter or self._panel):
            raise LinkError("unknown_map")
        self._base = base

    async def _read_there(self, register, count):
        """The view, or None where the device says that there is nothing."""
        try:
            return await self._modbus.read(settings.MODBUS_ADDRESS, register, count)
        except InkanError as error:
            if error.code != "modbus_exception" or error.detail > _NOT_THERE:
                raise
            return None

    # The values

    async def _read_all(self, fresh):
        """False where the map is no longer what it was; `fresh`: it has just been found."""
        view = await self._read_there(self._base, _COMMON_REGISTERS)
        if not view or bytes(view[:4]) != b"SunS" or not (self._is_known(view) or fresh):
            return False
        counters = self.counters
        for quantity in range(QUANTITIES):
            counters[quantity] = None
        return (
            (not self._ports or await self._read_ports())
            and (not self._meter or await self._read_meter())
            and (not self._panel or await self._read_panel())
        )

    def _is_known(self, view):
        """Whether it is the device of the reading before; another one's ports have never counted here."""
        identity = 0
        if _u16(view, 2) == _COMMON:
            digest = hashlib.sha256()
            for start in _NAMES:
                end = start
                while end < start + _NAME_BYTES and view[end]:
                    end += 1
                digest.update(view[start:end])
                digest.update(b"\0")
            identity = int.from_bytes(digest.digest()[:4], "little")
        if identity == self.identity:
            return True
        self.identity = identity
        self._counted = 0
        return False

    async def _read_ports(self):
        view = await self._read_there(self._ports, min(self._ports_there, 4) * _PORT_REGISTERS + _PORTS_FIRST)
        if not view or _u16(view, 0) != _PORTS:
            return False
        scale = _scale(view, _PORTS_SCALE)
        ports = min(self._ports_there, _u16(view, _PORTS_COUNT))
        at = _PORTS_FIRST
        lost = 0  # bit for each quantity of which a part that was there is not
        for port in range(ports):
            if 2 * at >= len(view):
                count = min(ports - port, _MOST_REGISTERS // _PORT_REGISTERS) * _PORT_REGISTERS
                view = await self._read_there(self._ports + _PORTS_FIRST + port * _PORT_REGISTERS, count)
                if not view:
                    return False
                at = 0
            kind = _u16(view, at)
            if kind < len(_INJECTED):
                lost |= self._add(_INJECTED[kind], view, at + _PORT_INJECTED, 1 << 2 * port)
                if _ABSORBED[kind] < QUANTITIES:
                    lost |= self._add(_ABSORBED[kind], view, at + _PORT_ABSORBED, 2 << 2 * port)
            at += _PORT_REGISTERS
        for quantity in range(_BOUGHT):
            value = self.counters[quantity]
            if value is not None:
                self.counters[quantity] = None if lost >> quantity & 1 else _scaled(value, scale)
        return True

    def _add(self, quantity, view, at, counted):
        """Add a port's counter. The bit of the quantity where it had a counter and has none now, else 0."""
        at *= 2
        if view[at] & view[at + 1] == 0xFF:  # not implemented
            return 1 << quantity if self._counted & counted else 0
        self._counted |= counted
        self.counters[quantity] = (self.counters[quantity] or 0) + int.from_bytes(view[at : at + 8], "big")
        return 0

    async def _read_meter(self):
        view = await self._read_there(self._meter, _METER_REGISTERS)
        if not view or not _METER_FIRST <= _u16(view, 0) <= _METER_LAST:
            return False
        scale = _scale(view, _METER_SCALE)
        self.counters[_BOUGHT] = _scaled(_u32(view, _METER_IMPORTED), scale)
        self.counters[_SOLD] = _scaled(_u32(view, _METER_EXPORTED), scale)
        self.wraps[_BOUGHT] = self.wraps[_SOLD] = _scaled(_ACC32_END, scale) or 0
        return True

    async def _read_panel(self):
        view = await self._read_there(self._panel, self._panel_registers)
        if not view or _u16(view, 0) != _PANEL:
            return False
        scale = _scale(view, _PANEL_SCALE)
        count = min(_u16(view, _PANEL_COUNT), (self._panel_registers - _PANEL_FIRST) // 2)
        if scale is None:
            count = 0
        if count != len(self.circuits):
            self.circuits = [0] * count
        for circuit in range(count):
            self.circuits[circuit] = _scaled(_u32(view, _PANEL_FIRST + 2 * circuit), scale)
        self.circuits_wrap = _scaled(_ACC32_END, scale) or 0
        return True


def _u16(view, at):
    """A register of a view."""
    return view[2 * at] << 8 | view[2 * at + 1]


def _u32(view, at):
    return _u16(view, at) << 16 | _u16(view, at + 1)


def _scale(view, at):
    """The exponent of a scale factor, None where there is none that can be."""
    value = _u16(view, at)
    if value >= 0x8000:
        value -= 0x10000
    return value if -_MOST_SCALE <= value <= _MOST_SCALE else None


def _scaled(value, scale):
    """Whole units, rounded down; None without a scale."""
    if scale is None:
        return None
    return value * 10**scale if scale >= 0 else value // 10**-scale
