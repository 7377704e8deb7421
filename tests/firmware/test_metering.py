"""Half-hour values from counters (R22): nothing is lost, nothing is counted twice, nothing is wrong in silence."""

import gc
import sys

from meter_rig import (
    SLOT_S,
    START_S,
    Device,
    House,
    Module,
    energy_of,
    kinds,
    no_slot_twice,
    of_kind,
    run,
)

from firmware import settings
from firmware.errors import FlashError
from firmware.readings import CIRCUITS, CLOCK, POINT, SLOT

TIMEOUT_S = 120

_MICROPYTHON = sys.implementation.name == "micropython"
_FIRST = START_S // SLOT_S
MEASURED, ESTIMATED, MISSING, RESET = range(4)
RESTARTED, STEPPED, REPLACED = 1, 2, 4


def metered(story):
    """Run a story from time 0 on: `story(module, device)`, the clock known and the meter begun."""

    async def main():
        device = Device()
        module = Module(device)
        module.learn()
        await story(module, device)
        assert module.audit.noted == []

    run(main())


def conserved(module, first):
    """All that was counted since `first` (counters then) up to the newest record is in the records, to the Wh."""
    records = module.records()
    last = of_kind(records, SLOT, POINT)[-1]
    sums = energy_of(records)
    for index in range(7):
        assert sums[index] == (last.counter[index] - first[index]) % (1 << 32), index
    no_slot_twice(records)
    return records


def first_of(device):
    return [device.counted_wh(index) for index in range(7)]


def test_r22_each_half_hour_has_what_was_counted_in_it():
    async def story(module, device):
        first = first_of(device)
        await module.run_to_slot(6)
        records = conserved(module, first)
        assert kinds(records) == [SLOT] * 6
        assert [record.slot for record in records] == list(range(_FIRST, _FIRST + 6))
        assert records[-1].counter == tuple(device.counted_wh(index) for index in range(7))
        assert records[0].quality == [ESTIMATED] * 7  # it began five minutes before
        for record in records[1:]:
            assert (record.quality, record.flags, record.span, record.device) == ([MEASURED] * 7, 0, 1, 0x1234)
            start_ms = record.slot * SLOT_S * 1000
            for index in range(7):
                wms = device.house.wms(index, start_ms, start_ms + SLOT_S * 1000)
                assert abs(record.energy[index] * 3_600_000 - wms) < 3_600_000
        assert [later.powered_s - one.powered_s for one, later in zip(records, records[1:])] == [SLOT_S] * 5
        assert device.reads > 6 * 180 - 30  # every 10 s
        assert module.readings.newest_slot == _FIRST + 5 and module.meter.state == "ok"

    metered(story)


def test_r22_a_boundary_between_two_readings_is_interpolated():
    async def story(module, device):
        first = first_of(device)
        await module.run(SLOT_S - 300 - 7)
        device.silent = True
        await module.run(12)
        device.silent = False
        await module.run(60)  # 7 s before and 5 s behind it: no further apart than two readings
        await module.run_to_slot()
        device.silent = True
        await module.run(40)
        device.silent = False
        assert module.meter.state == "silent"
        await module.run_to_slot()
        await module.run_to_slot()
        records = conserved(module, first)
        assert [record.quality for record in records[1:]] == [[MEASURED] * 7] * 3
        for record in records[1:]:
            start_ms = record.slot * SLOT_S * 1000
            for index in range(7):
                wh = device.house.wms(index, start_ms, start_ms + SLOT_S * 1000) // 3_600_000
                assert abs(record.energy[index] - wh) <= device.house.watts(index, 0) // 100 + 25

    metered(story)


def test_r22_a_gap_is_shared_out_and_a_long_one_is_one_record():
    async def story(module, device):
        first = first_of(device)
        await module.run_to_slot()
        for gap_s in (90, 3 * SLOT_S, 9 * SLOT_S, 40 * SLOT_S):
            await module.run(SLOT_S - 40)
            device.silent = True
            await module.run(gap_s)
            device.silent = False
            await module.run_to_slot(2)
        records = conserved(module, first)
        spans = [record.span for record in records if record.span > 1]
        assert spans == [9, 40]
        slots = []
        for record in records:
            slots += range(record.slot - record.span + 1, record.slot + 1)
        assert slots == list(range(_FIRST, records[-1].slot + 1))
        for record in records[1:]:
            if record.span > 1:
                assert record.quality == [ESTIMATED] * 7
        # both sides of the first gap, four slots of the second, the spans and what follows them; else measured
        assert sum(record.quality[0] == ESTIMATED for record in records[1:]) == 2 + 4 + 2 + 2

    metered(story)


def test_r22_a_counter_that_stood_still_in_a_gap_is_measured():
    async def story(module, device):
        device.house.watts = lambda quantity, turn: 500 if quantity == 5 else 0
        await module.run_to_slot()
        await module.run_to_slot()
        device.silent = True
        await module.run(20 * SLOT_S)
        device.silent = False
        await module.run_to_slot()
        span = [record for record in module.records() if record.span > 1]
        assert len(span) == 1 and span[0].energy[5] > 0
        assert span[0].quality == [MEASURED] * 5 + [ESTIMATED, MEASURED]

    metered(story)


def test_r22_the_clock_is_stepped_and_no_slot_comes_twice():
    for step_s in (3, -3, 240, -240, 2000, -2000, 4 * SLOT_S):

        async def story(module, device, step_s=step_s):
            first = first_of(device)
            await module.run_to_slot(2)
            await module.run(600)
            module.learn(step_s)
            await module.run(6 * SLOT_S)
            module.learn(step_s + 1)  # less than a step
            await module.run(3 * SLOT_S)
            records = conserved(module, first)
            clocks = of_kind(records, CLOCK)
            assert [clock.step_s for clock in clocks] == [step_s]
            assert clocks[0].boot_count == 1
            slots = of_kind(records, SLOT)
            numbers = [record.slot for record in slots]
            flagged = [record.slot for record in slots if record.flags == STEPPED]
            if step_s == 4 * SLOT_S:
                assert flagged == [_FIRST + 2, _FIRST + 6]
                assert numbers == list(range(_FIRST, _FIRST + 3)) + list(range(_FIRST + 6, numbers[-1] + 1))
            else:
                assert flagged == ([_FIRST + 2, _FIRST + 3] if step_s == 2000 else [_FIRST + 2])
                assert numbers == list(range(_FIRST, numbers[-1] + 1))
            if step_s == -2000:  # what was measured until the clock had caught up
                assert slots[2].energy[6] > 1.5 * slots[3].energy[6] or slots[2].powered_s > slots[1].powered_s + 3000
            powered_s = [record.powered_s for record in slots]
            assert sorted(set(powered_s)) == powered_s

        metered(story)


def test_r22_small_corrections_of_the_clock_add_up_to_no_harm():
    async def story(module, device):
        first = first_of(device)
        wrong_s = 0
        for turn in range(40):
            await module.run(597)
            wrong_s += (2, -2, -1, 1, 2, 2, -1)[turn % 7]
            module.learn(wrong_s)
        records = conserved(module, first)
        assert kinds(records) == [SLOT] * len(records) and len(records) >= 12
        assert all(record.flags == 0 and record.quality == [MEASURED] * 7 for record in records[1:])

    metered(story)


def test_r22_a_restart_in_the_middle_of_a_slot_loses_nothing():
    async def story(module, device):
        first = first_of(device)
        await module.run_to_slot(2)
        await module.run(700)
        await module.off(20)
        await module.run(30)  # nobody has told the time yet
        module.learn()
        await module.run_to_slot(2)
        records = conserved(module, first)
        assert kinds(records) == [SLOT] * 4
        assert [record.flags for record in records] == [0, 0, RESTARTED, 0]
        assert [record.quality[0] for record in records] == [ESTIMATED, MEASURED, MEASURED, MEASURED]
        await module.run(1700)
        await module.off(900)
        module.learn()
        await module.run_to_slot(2)
        records = conserved(module, first)
        assert [record.quality[0] for record in records[4:]] == [ESTIMATED, ESTIMATED, MEASURED]
        assert [record.flags for record in records[4:]] == [0, RESTARTED, 0]
        await module.off(86_400)
        module.learn()
        await module.run_to_slot(2)
        records = conserved(module, first)
        assert [record.span for record in records[7:]] == [48, 1, 1]

    metered(story)


def test_r22_points_are_kept_while_the_clock_is_unknown():
    async def main():
        device = Device()
        module = Module(device)
        first = first_of(device)
        await module.run(2 * SLOT_S + 400)
        assert kinds(module.records()) == [POINT, POINT]
        module.learn()
        await module.run_to_slot(2)
        records = conserved(module, first)
        assert kinds(records) == [POINT, POINT, POINT, CLOCK, SLOT, SLOT]
        assert [record.slot for record in records[:3]] == [1, 1, 1] and records[3].boot_count == 1
        clock = records[3]
        assert clock.step_s == 0 and records[2].powered_s == clock.powered_s
        # The points' places follow, to the second.
        for point, after_s in zip(records, (SLOT_S, 2 * SLOT_S)):
            assert abs(clock.now_s - clock.powered_s + point.powered_s - START_S - after_s) <= 10
        assert records[4].slot == clock.now_s // SLOT_S
        assert records[4].quality == [ESTIMATED] * 7 and records[5].quality == [MEASURED] * 7

    run(main())


def test_r22_boots_that_never_learn_the_time_lose_nothing():
    async def main():
        device = Device()
        module = Module(device)
        module.learn()
        first = first_of(device)
        await module.run_to_slot(2)
        for run_s, off_s in ((900, 300), (2 * SLOT_S + 50, 4000), (500, 60), (SLOT_S + 5, 60)):
            await module.off(off_s)
            await module.run(run_s)
        module.learn()
        await module.run_to_slot(1)
        records = conserved(module, first)
        assert kinds(records) == [SLOT, SLOT, POINT, POINT, POINT, POINT, CLOCK, SLOT]
        points = of_kind(records, POINT)
        assert [point.slot for point in points] == [3, 3, 5, 5]
        assert [point.flags for point in points] == [RESTARTED, 0, RESTARTED, 0]
        assert [point.span for point in points] == [0] * 4
        assert records[-2].boot_count == 5
        # A restart between the clock's record and the next slot goes on from there.
        await module.run(100)
        await module.off(5)
        module.learn()
        await module.run_to_slot()
        assert kinds(conserved(module, first))[-2:] == [SLOT, SLOT]

    run(main())


def test_r22_an_overflow_is_energy():
    async def story(module, device):
        for index in range(7):
            device.added[index] = (1 << 32) - 50 - 100 * index
            device.wraps[index] = 1 << 32
        device.wraps[6] = 1 << 31  # registers finer than a Wh
        first = first_of(device)
        first[6] %= 1 << 31
        device.added[6] = first[6] = (1 << 31) - 650
        await module.run_to_slot(4)
        records = module.records()
        sums = energy_of(records)
        for index in range(7):
            counted = device.counted_wh(index) - first[index]
            assert sums[index] == counted > 700 - 100 * (7 - index), index
        assert all(RESET not in record.quality for record in records)
        assert records[-1].counter[0] < 1 << 20
        await module.off(60)  # and over a restart
        device.added[0] += (1 << 32) - device.counters[0] - 5
        device.wraps[1] = 10 << 32  # in tens of Wh: a record has no more than 32 bits of it
        device.added[1] += 3 << 32
        module.learn()

    metered(story)


def test_r22_an_overflow_while_nobody_looked_is_energy():
    async def story(module, device):
        device.house.watts = lambda quantity, turn: 600
        for index in range(7):
            device.added[index] = (1 << 32) - 400
            device.wraps[index] = 1 << 32
        device.wraps[1] = 10 << 32  # in tens of Wh: a record has no more than 32 bits of it
        first = first_of(device)
        await module.run_to_slot(1)
        await module.off(2 * SLOT_S)
        module.learn()
        await module.run_to_slot(1)
        records = conserved(module, first)
        assert energy_of(records)[:2] == [600 * (3 * SLOT_S + SLOT_S - 300) // 3600] * 2
        assert all(RESET not in record.quality for record in records)

    metered(story)


def test_r22_a_counter_that_begins_anew_is_marked_and_takes_nothing_away():
    async def story(module, device):
        await module.run_to_slot(2)
        before = energy_of(module.records())
        await module.run(1000)
        at_reset = device.counted_wh(0)
        device.added[0] -= at_reset - 3  # it shows 3 Wh at once
        device.added[1] -= device.counted_wh(1) - 200_000  # lower, and more than can have passed
        await module.run_to_slot()
        slot = module.records()[-1]
        assert slot.quality == [RESET, RESET] + [MEASURED] * 5
        last_s = 10  # what passed between the last reading and the reset is not known
        whole_wh = device.house.wms(0, slot.slot * SLOT_S * 1000, (slot.slot + 1) * SLOT_S * 1000) // 3_600_000
        assert whole_wh - 900 * last_s // 3600 - 2 <= slot.energy[0] <= whole_wh + 4
        await module.run_to_slot()
        slot = module.records()[-1]
        assert slot.quality == [MEASURED] * 7
        sums = energy_of(module.records())
        assert all(late > early for late, early in zip(sums[:7], before))

    metered(story)


def test_r22_a_reset_over_a_restart_is_marked():
    async def story(module, device):
        await module.run_to_slot(2)
        await module.off(3000)
        device.added[0] -= device.counted_wh(0) - 40
        device.added[3] += 5_000_000
        module.learn()
        await module.run_to_slot()
        records = module.records()
        gap = records[2:]
        assert [record.quality[0] for record in gap] == [RESET] * len(gap)
        assert [record.quality[3] for record in gap] == [RESET] * len(gap)
        assert energy_of(gap)[0] == device.counted_wh(0)
        assert energy_of(gap)[3] < 4000

    metered(story)


def test_r22_a_jump_is_marked_and_not_counted():
    async def story(module, device):
        await module.run_to_slot()
        first = first_of(device)
        await module.run(500)
        device.added[2] += 1_000_000
        await module.run_to_slot()
        slot = module.records()[-1]
        assert slot.quality == [MEASURED] * 2 + [RESET] + [MEASURED] * 4
        assert 0 <= device.counted_wh(2) - first[2] - 1_000_000 - slot.energy[2] <= 10

    metered(story)


def test_r22_another_device_is_told_and_its_counters_are_not_taken_for_energy():
    async def story(module, device):
        await module.run_to_slot(2)
        await module.run(900)
        device.identity = 0x9999
        device.added = [50_000_000] * 7
        await module.run_to_slot(2)
        replaced, after = module.records()[-2:]
        assert (replaced.flags, replaced.device, replaced.quality) == (REPLACED, 0x9999, [RESET] * 7)
        assert (after.flags, after.quality) == (0, [MEASURED] * 7)
        assert max(replaced.energy) < 4000
        await module.run(100)
        await module.off(30)  # while the power was off
        device.identity = 0x7777
        device.added = [1_000] * 7
        module.learn()
        await module.run_to_slot()
        slot = module.records()[-1]
        assert slot.flags & REPLACED and slot.quality == [RESET] * 7 and slot.device == 0x7777
        await module.run(100)
        device.identity = 0x5555
        device.added = [added + 80 for added in device.added]  # by chance not far from the one before
        await module.run_to_slot()
        slot = module.records()[-1]
        assert (slot.flags, slot.quality) == (REPLACED, [RESET] * 7)
        start_ms = slot.slot * SLOT_S * 1000
        for index in range(7):
            wms = device.house.wms(index, start_ms, start_ms + SLOT_S * 1000)
            assert slot.energy[index] * 3_600_000 <= wms + 3_600_000

    metered(story)


def test_r22_what_a_device_does_not_have_is_missing():
    async def story(module, device):
        device.missing = {3, 4}
        await module.run_to_slot(2)
        record = module.records()[-1]
        assert record.quality == [MEASURED] * 3 + [MISSING] * 2 + [MEASURED] * 2
        assert record.energy[3:5] == record.counter[3:5] == (0, 0)
        await module.off(5)
        module.learn()
        await module.run_to_slot()
        assert module.records()[-1].quality[3:5] == [MISSING] * 2
        await module.run(300)
        device.missing = {4, 5}  # one comes, one goes
        await module.run_to_slot()
        record = module.records()[-1]
        assert record.quality[3:6] == [RESET, MISSING, RESET] and record.energy[5] > 0
        await module.run_to_slot()
        assert module.records()[-1].quality[3:6] == [MEASURED, MISSING, MISSING]

    metered(story)


def test_s19_nothing_is_kept_without_a_contract_or_with_tamper():
    async def story(module, device):
        await module.run_to_slot(2)
        module.tampered = True
        module.readings.changed()
        reads = device.reads
        await module.run_to_slot(2)
        assert device.reads > reads + 300 and module.readings.epoch is None and module.records() == []
        module.tampered = False
        module.set(key=None, contract=None)
        await module.run_to_slot(2)
        assert module.records() == []
        module.flash = None
        module.set(key=bytes(range(1, 65)), contract=b"PPS-2")
        first = first_of(device)
        await module.run_to_slot(2)
        assert len(module.records()) == 2
        conserved(module, first)  # what was measured before belongs to nobody

    metered(story)


def test_s20_each_contract_has_what_was_measured_under_it():
    async def story(module, device):
        first = first_of(device)
        tags = []
        await module.run_to_slot(1)
        for number in (b"PPS-2", b"PPS-3", b"PPS-1"):
            await module.run(300)
            tags.append(module.readings.contract_tag)
            module.set(contract=number)
        await module.run(1)
        tags.append(module.readings.contract_tag)
        await module.run_to_slot(3)
        records = module.records()
        assert [record.contract for record in records] == [tags[0]] + tags + [tags[3]]
        assert tags[3] == tags[0] and len(set(tags)) == 3
        sums = energy_of(records)
        assert sums[:7] == [last - begun for last, begun in zip(records[-1].counter, first)]
        # The slot comes once for each contract, and never twice for one.
        assert [record.slot - _FIRST for record in records] == [0, 1, 1, 2, 2, 3]
        assert all(record.quality == [ESTIMATED] * 7 for record in records[:5])

    metered(story)


def test_s20_what_passed_before_a_restart_belongs_to_the_contract_of_before():
    async def story(module, device):
        first = first_of(device)
        await module.run_to_slot()
        await module.run(500)
        old = module.readings.contract_tag
        module.set(contract=b"PPS-2")
        await module.off(20)  # before the meter could take notice
        counted = first_of(device)
        module.learn()
        await module.run_to_slot(2)
        records = module.records()
        assert [record.slot - _FIRST for record in records] == [0, 1, 1, 2]
        assert [record.contract == old for record in records] == [True, True, False, False]
        for index in range(7):
            assert sum(record.energy[index] for record in records[:2]) == counted[index] - first[index]
        assert energy_of(records)[:7] == [last - begun for last, begun in zip(records[-1].counter, first)]

    metered(story)


def test_s20_a_contract_that_changes_before_the_time_is_known():
    async def main():
        device = Device()
        module = Module(device)
        first = first_of(device)
        await module.run(500)
        old = module.readings.contract_tag
        module.set(contract=b"PPS-2")
        await module.run(100)
        module.learn()
        await module.run_to_slot(1)
        records = conserved(module, first)
        assert kinds(records) == [POINT, POINT, CLOCK, SLOT]
        assert [record.contract == old for record in records] == [True, False, False, False]

    run(main())


def test_r22_branch_circuits_of_a_panel_board():
    async def main():
        device = Device(circuits=16)
        module = Module(device)
        await module.run(SLOT_S + 600)
        module.learn()
        first = [device.counted_wh(7 + index) for index in range(16)]
        await module.run_to_slot(2)
        await module.run(100)
        await module.off(3000)
        module.learn()
        await module.run_to_slot(2)
        records = module.records()
        assert kinds(records) == [POINT, POINT, CLOCK] + [SLOT, CIRCUITS] * 5
        circuits = of_kind(records, CIRCUITS)
        assert [(one.slot, one.span) for one in circuits] == [(one.slot, 1) for one in of_kind(records, SLOT)]
        sums = energy_of(records, (CIRCUITS,))
        for index in range(16):
            begun = 1_000_000 + 1000 * (7 + index)
            assert sums[index] == device.counted_wh(7 + index) - begun > first[index] - begun
            assert circuits[-1].counter[index] == device.counted_wh(7 + index) & 0xFFFF
        assert [one.quality[0] for one in circuits] == [ESTIMATED, MEASURED, ESTIMATED, ESTIMATED, MEASURED]
        # More than a record's 16 bits may have passed: at least so much.
        await module.off(86_400)
        module.learn()
        await module.run_to_slot()
        gap = of_kind(module.records(), CIRCUITS)[5:]
        assert all(one.quality == [RESET] * 16 for one in gap)
        device._wms.pop()
        await module.run_to_slot()
        assert len(of_kind(module.records(), CIRCUITS)[-1].energy) == 15
        assert of_kind(module.records(), CIRCUITS)[-1].quality == [RESET] * 15

    run(main())


def test_r22_what_flash_does_not_take_is_written_later():
    async def main():
        device = Device(circuits=2)
        module = Module(device)
        module.learn()
        first = [device.counted_wh(index) for index in range(9)]
        await module.run_to_slot(2)
        program = module.flash.program
        for fails_at in (0, 1):
            left = [fails_at]

            def failing(address, data, left=left):
                left[0] -= 1
                if left[0] < 0:
                    raise FlashError()
                program(address, data)

            module.flash.program = failing
            await module.run(SLOT_S + 300)
            module.flash.program = program
            await module.run_to_slot(2)
        records = module.records()
        no_slot_twice(records)
        for sums, last, begun in (
            (energy_of(records), of_kind(records, SLOT)[-1].counter, first[:7]),
            (energy_of(records, (CIRCUITS,)), of_kind(records, CIRCUITS)[-1].counter, first[7:]),
        ):
            for index, one in enumerate(last):
                assert sums[index] == (one - begun[index]) & (0xFFFF if len(last) == 2 else 0xFFFFFFFF)

    run(main())


class _Dice:
    def __init__(self, seed):
        self._state = seed

    def __call__(self, below):
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 8) % below


def test_r22_whatever_happens_in_whatever_order_nothing_is_lost():
    for seed in range(2 if _MICROPYTHON else 24):

        async def main(seed=seed):
            dice = _Dice(seed)
            device = Device(House(seed))
            module = Module(device)
            first = first_of(device)
            if seed % 2:
                module.learn()
            await module.run(SLOT_S + 1)  # until then flash knows of nothing
            wrong_s = 0
            for _ in range(14):
                await module.run(dice(2 * SLOT_S) + 1)
                event = dice(6)
                if event == 0:
                    device.silent = True
                    await module.run(dice(14 * SLOT_S))
                    device.silent = False
                elif event == 1:
                    await module.off(dice(14 * SLOT_S))
                elif event == 2:
                    wrong_s += dice(3000) - 1500
                    module.learn(wrong_s)
                elif event == 3:
                    await module.off(dice(100))
                    module.learn(wrong_s)
                else:
                    module.learn(wrong_s)
            module.learn(wrong_s)
            await module.run(SLOT_S + 3000)
            conserved(module, first)

        settings.METER_READ_MS = 60_000
        try:
            run(main())
        except AssertionError:
            print("seed", seed)
            raise
        finally:
            settings.METER_READ_MS = 10_000


def test_r22_forty_days_against_the_power_itself():
    days = 1 if _MICROPYTHON else 40

    async def main():
        device = Device()
        module = Module(device)
        module.learn()
        await module.run_to_slot(1)
        await module.run_to_slot(48 * days)
        records = module.records()[1:]
        assert [record.slot for record in records] == list(range(_FIRST + 1, _FIRST + 1 + 48 * days))
        sums = [0] * 7
        exact = [0] * 7
        for record in records:
            start_ms = record.slot * SLOT_S * 1000
            assert record.quality == [MEASURED] * 7
            for index in range(7):
                wms = device.house.wms(index, start_ms, start_ms + SLOT_S * 1000)
                assert abs(record.energy[index] * 3_600_000 - wms) < 3_600_000
                sums[index] += record.energy[index]
                exact[index] += wms
        assert all(abs(sums[index] * 3_600_000 - exact[index]) < 3_600_000 for index in range(7))

    settings.METER_READ_MS = 600_000
    try:
        run(main())
    finally:
        settings.METER_READ_MS = 10_000


def test_r22_a_year_leaves_the_heap_as_it_was_and_wears_flash_as_calculated():
    days = 365 if _MICROPYTHON else 40

    async def main():
        device = Device()
        device.house.wms = lambda quantity, from_ms, to_ms: (quantity + 1) * 300 * (to_ms - from_ms)
        module = Module(device)
        module.learn()
        await module.run_to_slot(2)
        module.flash.clear_counters()
        used = []
        for _ in range(5):
            await module.run_to_slot(48 * days // 5)
            gc.collect()
            used.append(gc.mem_alloc() if _MICROPYTHON else 0)
        slots = 48 * days // 5 * 5
        assert module.readings.head_number == slots + 2
        # docs/format.md: 31 records a sector, and a header with each.
        assert abs(module.flash.erases - slots // 31) <= 1
        assert module.flash.programs - slots - module.flash.erases == 0
        assert module.flash.bytes_programmed <= 1.04 * 128 * slots
        print("heap in use after each fifth of a year", used)
        assert max(used[1:]) - min(used[1:]) < 512

    settings.METER_READ_MS = 1_800_000
    try:
        run(main())
    finally:
        settings.METER_READ_MS = 10_000
