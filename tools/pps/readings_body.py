"""The bodies of readings records by docs/format.md, "Readings body": 80 bytes, little-endian.

Written from that document and not from the firmware.
"""

import struct
from dataclasses import dataclass

SIZE = 80
SLOT, CIRCUITS, POINT, CLOCK = 1, 2, 3, 4
MEASURED, ESTIMATED, MISSING, RESET = range(4)
STARTED, CLOCK_STEPPED, DEVICE_REPLACED, CIRCUITS_FOLLOW = 1, 2, 4, 8

EPOCH_2000 = 946_684_800
"""2000-01-01T00:00 UTC in Unix seconds."""
SLOT_S = 1800
MOST_WH = 2**31 - 1
"""More is no house's energy, whatever the span."""

_QUANTITIES = 7
_LAST_SLOT = 2**31 - 1
_SLOT = struct.Struct("<BBHIII7I7III")
_CIRCUITS = struct.Struct("<BBHII16H16HI")
_CLOCK = struct.Struct("<B3sIIIIi56s")


class BodyError(ValueError):
    """Not a body that the document allows; the text names the field."""


@dataclass(frozen=True, slots=True)
class SlotBody:
    """Kind 1. Energies in Wh, None where missing."""

    flags: int
    span: int
    slot: int
    contract: int
    quality: int
    energies: tuple
    powered_s: int


@dataclass(frozen=True, slots=True)
class CircuitsBody:
    """Kind 2. Energies in Wh."""

    span: int
    slot: int
    quality: int
    energies: tuple


@dataclass(frozen=True, slots=True)
class PointBody:
    """Kind 3. Energies since the record before, in Wh, None where missing."""

    flags: int
    boot: int
    contract: int
    quality: int
    energies: tuple
    powered_s: int


@dataclass(frozen=True, slots=True)
class ClockBody:
    """Kind 4. time: Unix seconds."""

    boot: int
    contract: int
    time: int
    powered_s: int
    step_s: int


def slot_start(slot):
    """Unix seconds."""
    return EPOCH_2000 + slot * SLOT_S


def slot_of(unix_s):
    """The slot that a time lies in."""
    return (unix_s - EPOCH_2000) // SLOT_S


def decode(body):
    """SlotBody, CircuitsBody, PointBody or ClockBody of 80 bytes. BodyError."""
    if len(body) != SIZE:
        raise BodyError("size")
    kind = body[0]
    if kind == SLOT:
        return _slot(body)
    if kind == POINT:
        return _point(body)
    if kind == CIRCUITS:
        return _circuits(body)
    if kind == CLOCK:
        return _clock(body)
    raise BodyError("kind")


def _slot(body):
    _, flags, span, slot, contract, quality, *rest = _SLOT.unpack(body)
    if flags & ~0b1111:
        raise BodyError("flags")
    _need_span(span, slot)
    _need_contract(contract)
    return SlotBody(flags, span, slot, contract, quality, _energies(rest, quality), rest[15])


def _point(body):
    _, flags, zero, boot, contract, quality, *rest = _SLOT.unpack(body)
    if flags & ~0b101 or zero:
        raise BodyError("flags")
    _need_contract(contract)
    return PointBody(flags, boot, contract, quality, _energies(rest, quality), rest[15])


def _energies(values, quality):
    if quality >> 4 * _QUANTITIES:
        raise BodyError("quality")
    found = []
    for value in values[:_QUANTITIES]:
        each = quality & 15
        quality >>= 4
        if each > RESET:
            raise BodyError("quality")
        if each == MISSING:
            if value:
                raise BodyError("energy")
            value = None
        elif value > MOST_WH:
            raise BodyError("energy")
        found.append(value)
    return tuple(found)


def _circuits(body):
    _, count, span, slot, quality, *rest = _CIRCUITS.unpack(body)
    if not 1 <= count <= 16 or rest[32]:
        raise BodyError("circuits")
    if any(rest[count:16]) or any(rest[16 + count : 32]) or quality >> 2 * count:
        raise BodyError("circuits")
    _need_span(span, slot)
    return CircuitsBody(span, slot, quality, tuple(rest[:count]))


def _clock(body):
    _, zero, boot, contract, seconds, powered_s, step_s, rest = _CLOCK.unpack(body)
    if any(zero) or any(rest):
        raise BodyError("clock")
    _need_contract(contract)
    return ClockBody(boot, contract, EPOCH_2000 + seconds, powered_s, step_s)


def _need_span(span, slot):
    if slot > _LAST_SLOT:
        raise BodyError("slot")
    if not 1 <= span <= slot + 1:
        raise BodyError("span")


def _need_contract(contract):
    if not contract:
        raise BodyError("contract")
