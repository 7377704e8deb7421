"""The journal of half-hour values: its records byte for byte, its ring, power cuts in a slot's life (R22, S12)."""

import struct

from meter_rig import (
    KEY,
    SLOT_S,
    START_S,
    Device,
    Module,
    advance,
    energy_of,
    kinds,
    no_slot_twice,
    of_kind,
    run,
)

from firmware import settings
from firmware.crypto.hmac import hmac_sha256
from firmware.readings import CIRCUITS, CLOCK, POINT, SLOT, Readings
from firmware.store import layout
from firmware.store.ring import Ring
from firmware.store.window import Window
from tests.power.harness import explore, tally
from tests.power.kit import CountingRandom, make_device

TIMEOUT_S = 120
HEAP = {"test_r22_cuts_between_a_slot_and_its_circuits": "256wK"}  # the rig's records, taken apart

_VALUES = [(quality % 4, 100 * quality, (1 << 32) + quality) for quality in range(7)]


def opened(flash=None, key=KEY, contract=b"PPS-1"):
    module = Module(Device(), flash, key, contract)
    return module, module.readings


def bodies(readings, from_number=1):
    return [body for _, body, _ in readings.records(from_number)]


def append_slot(readings, slot):
    readings.append_slot(readings.contract_tag, slot, 1, 0, _VALUES, 7, slot * SLOT_S)


def test_r22_records_are_made_as_the_format_says():
    module, readings = opened()
    contract = readings.contract_tag
    readings.append_slot(contract, 471_234, 3, 9, _VALUES, 0xAABBCCDD, 86_400)
    readings.append_circuits(471_234, 3, [(1, 500, 65_537), (0, 70_000, 3), (2, 0, 0)])
    readings.append_point(contract, 12, 5, _VALUES, 0, 1_000)
    readings.append_clock(contract, 12, 820_000_000, 1_234, -77)
    slot, circuits, point, clock = bodies(readings)
    tag = hmac_sha256(KEY[32:], b"inkan contract", b"PPS-1")[:4]
    assert tag == struct.pack("<I", contract)
    qualities = struct.pack("<I", 0x2103210)
    energies = struct.pack("<7I", 0, 100, 200, 300, 400, 500, 600)
    counters = struct.pack("<7I", 0, 1, 2, 3, 4, 5, 6)
    assert slot == (
        struct.pack("<BBHI", 1, 9, 3, 471_234) + tag + qualities + energies + counters
        + struct.pack("<II", 0xAABBCCDD, 86_400)
    )  # fmt: skip
    assert circuits == (
        struct.pack("<BBHII", 2, 3, 3, 471_234, 0b10_11_01)  # too much for 16 bits is "reset"
        + struct.pack("<3H", 500, 65_535, 0) + bytes(26) + struct.pack("<3H", 1, 3, 0) + bytes(30)
    )  # fmt: skip
    assert point == (
        struct.pack("<BBHI", 3, 5, 0, 12) + tag + qualities + energies + counters + struct.pack("<II", 0, 1_000)
    )
    assert clock == struct.pack("<B3xI", 4, 12) + tag + struct.pack("<IIi", 820_000_000, 1_234, -77) + bytes(56)
    assert readings.epoch == hmac_sha256(KEY[32:], b"inkan epoch")[:8]
    assert (readings.head_number, readings.newest_slot) == (4, 471_234)
    # And the ring is number 4, under its own label and the key that lies in the vault.
    ring = Ring(Window(module.flash, *layout.READINGS), KEY, 4, b"inkan readings", CountingRandom())
    ring.start()
    assert [body for _, body, _ in ring.records()] == [slot, circuits, point, clock]
    before = bytes(28)
    for number, body, tag, chained in readings.chained():
        assert (chained, len(body), number) == (before, 80, number)
        before = tag


def test_s12_a_new_key_begins_with_number_one():
    module, readings = opened()
    told = []
    readings.listeners.append(lambda: told.append(readings.head_number))
    for slot in range(40):
        append_slot(readings, slot)
    assert told == list(range(41))  # it was opened, then 40 times
    module.set(key=bytes(64))
    assert (readings.head_number, readings.newest_slot, bodies(readings)) == (0, None, [])
    append_slot(readings, 7)
    assert readings.head_number == 1 and readings.epoch == hmac_sha256(bytes(32), b"inkan epoch")[:8]
    module.start()
    assert [number for number, _, _ in module.readings.records()] == [1]


def test_s19_closed_without_key_contract_or_seal():
    module, readings = opened()
    append_slot(readings, 7)
    for change in ({"key": None}, {"contract": None}, {"key": None, "contract": None}):
        before = dict(module.info)
        module.set(**change)
        assert (readings.ready, readings.epoch, readings.contract_tag, readings.head_number) == (False, None, 0, 0)
        assert bodies(readings) == []
        module.info = before
        readings.changed()
        assert readings.head_number == 1
    module.tampered = True
    readings.changed()
    assert not readings.ready
    module.tampered = False
    assert readings.head_number == 1  # it looks again without being told


def test_s20_another_contract_goes_on_in_the_same_ring():
    module, readings = opened()
    append_slot(readings, 7)
    old, epoch = readings.contract_tag, readings.epoch
    module.set(contract=b"PPS-2")
    append_slot(readings, 8)
    assert readings.epoch == epoch and readings.head_number == 2
    assert [struct.unpack_from("<I", body, 8)[0] for body in bodies(readings)] == [old, readings.contract_tag]
    assert old != readings.contract_tag != 0


def test_r26_a_broken_chain_is_noted_once_when_it_is_found():
    module, readings = opened()
    for slot in range(100):
        append_slot(readings, slot)
    module.flash.flip_bit(layout.READINGS[0] * 4096 + 5 * 128 + 60, 1)
    module.start()
    readings = module.readings
    assert readings.head_number == 100 and module.audit.noted == []
    assert len(bodies(readings)) == 99
    append_slot(readings, 100)
    append_slot(readings, 101)
    assert module.audit.noted == [("finding", 16)]
    module.start()
    assert len(bodies(module.readings)) == 101
    append_slot(module.readings, 102)
    assert module.audit.noted == [("finding", 16)]


def test_r23_reading_from_the_middle_of_a_full_ring_takes_few_reads():
    flash = make_device()
    readings = Readings(Window(flash, 48, 144), CountingRandom(), lambda: {0x21: KEY, 0x14: b"A"}, None)
    for slot in range(600):
        append_slot(readings, slot)
    for number in (1, 300, 599):
        flash.clear_counters()
        assert next(readings.records(number))[0] == number
        assert flash.reads <= 36


# Power cuts. The ring is a small one, so that it is full at once.

RESET = 3


class _Life(Module):
    """A module whose counters are those of the one house at any time, for runs that know nothing of each other."""

    def __init__(self, flash, at_s, circuits=0):
        device = Device(circuits=circuits)
        self.first = [device.counted_wh(index) for index in range(7 + circuits)]
        advance(at_s * 1000)
        super().__init__(device, flash, random=CountingRandom(b"%d" % at_s))

    def start(self):
        super().start()
        window = Window(self.flash, layout.READINGS[0], 3)
        self.readings = self.meter._readings = Readings(window, self.random, self._read_info, self.audit)

    def whole(self):
        """All is there from the first record that the ring still has; returns the records."""
        records = self.records()
        for kinds_of_it in ((SLOT, POINT), (CIRCUITS,)):
            ours = of_kind(records, *kinds_of_it)
            if not ours:
                continue
            sums = energy_of(ours[1:], kinds_of_it)
            for index in range(len(ours[0].counter)):
                end = 1 << (16 if CIRCUITS in kinds_of_it else 32)
                assert sums[index] % end == (ours[-1].counter[index] - ours[0].counter[index]) % end
        no_slot_twice(records)
        assert self.audit.noted == []
        return records


def _lived(name, slots, circuits, untimed_s=0):
    """Cut everywhere in the life of the slot that comes after so many, and after so long without the time."""
    later = untimed_s // SLOT_S

    def prepare(flash):
        async def main():
            module = _Life(flash, 0, circuits)
            module.learn()
            await module.run_to_slot(slots)
            assert len(module.whole()) == slots * (2 if circuits else 1)

        run(main())

    def operation(flash, told):
        async def main():
            module = _Life(flash, slots * SLOT_S + 600, circuits)
            if untimed_s:
                await module.run(untimed_s)
            module.learn()
            await module.run_to_slot()
            told.append(module.readings.newest_slot)

        run(main())

    def check(flash, told):
        async def main():
            module = _Life(flash, (slots + 1 + later) * SLOT_S - 270, circuits)  # half a minute later
            records = module.whole()
            if told:
                assert of_kind(records, SLOT)[-1].slot == told[0]
            module.learn()
            await module.run_to_slot()
            records = module.whole()
            assert of_kind(records, SLOT)[-1].slot == START_S // SLOT_S + slots + 1 + later
            for kind in (SLOT, CIRCUITS) if circuits else (SLOT,):
                assert all(RESET not in record.quality for record in of_kind(records, kind))
            covered = [record.slot for record in of_kind(records, SLOT)]
            if len(of_kind(records, POINT)):
                assert kinds(records)[slots : slots + 3] in ([POINT, POINT, CLOCK], [POINT, POINT, POINT])
                return
            assert covered == list(range(covered[0], covered[-1] + 1))
            assert len(records) >= min(slots, 40)

        run(main())

    settings.METER_READ_MS = 1_800_000
    try:
        done = explore(make_device, prepare, operation, check)
    finally:
        settings.METER_READ_MS = 10_000
    print(tally("readings: " + name, done))
    assert done["points"] >= 8


def test_r22_cuts_in_the_life_of_a_slot():
    _lived("slot", 50, 0)


def test_r22_cuts_in_the_life_of_a_slot_that_needs_a_new_sector():
    _lived("slot in a new sector", 62, 0)


def test_r22_cuts_where_the_oldest_sector_goes_for_a_slot():
    _lived("slot in place of the oldest sector", 93, 0)


def test_r22_cuts_while_the_clock_becomes_known_after_a_point():
    _lived("points", 20, 0, SLOT_S + 100)


def test_r22_cuts_between_a_slot_and_its_circuits():
    _lived("slot and circuits over a change of sector", 46, 3)
