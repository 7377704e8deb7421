"""Where the energy of points goes: the cases of docs/metering.md, and that no watt-hour is lost or made."""

import random

import pytest

from tests.readings_sender import clock_body, point_body, slot_body, slot_of, slot_time
from tools.pps.readings_body import BodyError, decode
from tools.pps.services.placing import closed_part, intervals, open_slots, spread

SLOT = slot_of(1_790_000_000)
T = slot_time(SLOT)


def placed(*bodies, taken=()):
    """(rows {slot: (span, energy of quantity 0)}, additions likewise, energy that found no place)."""
    records = [(number, decode(body)) for number, body in enumerate(bodies, 1)]
    assert closed_part(records) == records
    taken = {SLOT - 1, records[-1][1].slot, *taken}
    made, added, left = spread(intervals(records), taken, open_slots(records))
    return (
        {each.slot: (each.span, each.energies[0]) for each in made},
        {each.slot: each.energies[0] for each in added},
        sum(each.energies[0] for each in left),
    )


def before(powered_s=1000):
    """The last slot before the power was cut; it ends at T."""
    return slot_body(SLOT - 1, powered_s=powered_s)


def test_r23_points_of_a_boot_that_learned_the_time_are_exact_to_the_clock():
    # On again at T + 600; the first point reaches back to T.
    rows, added, left = placed(
        before(),
        point_body(4, 1060 + 1800, [2400] * 7),
        point_body(4, 1060 + 2400, [600] * 7),
        clock_body(4, T + 3000, 1060 + 2400),
        slot_body(SLOT + 1, [60] * 7, powered_s=1060 + 3000),
    )
    # T .. T + 2400: 1 Wh a second, of which 600 s lie behind the boundary; then 600 s more.
    assert rows == {SLOT: (1, 1800)}
    assert added == {SLOT + 1: 1200}
    assert left == 0


def test_r23_boots_that_never_learned_the_time_share_the_pauses():
    # 3,600 s between two known times, 3,000 s of them powered: 300 s for each of two pauses.
    rows, added, left = placed(
        before(),
        point_body(7, 1000 + 1500, [1800] * 7),
        point_body(8, 1000 + 3000, [1800] * 7),
        clock_body(8, T + 3600, 1000 + 3000),
        slot_body(SLOT + 2, powered_s=5000),
    )
    assert (sum(energy for _, energy in rows.values()), added, left) == (3600, {}, 0)
    assert rows == {SLOT: (1, 1800), SLOT + 1: (1, 1800)}


def test_r23_where_the_pauses_are_long_one_record_spans_them():
    rows, added, left = placed(
        before(),
        point_body(7, 1000 + 1800, [70] * 7),
        point_body(8, 1000 + 3600, [30] * 7),
        point_body(9, 1000 + 4000, [11] * 7),
        clock_body(9, T + 6 * 1800, 1000 + 4000),
        slot_body(SLOT + 6, powered_s=6000),
    )
    (slot, (span, energy)), *others = sorted(rows.items())
    assert span > 1 and slot - span + 1 == SLOT
    assert energy + sum(each for _, each in others) + sum(added.values()) == 111 and left == 0


def test_r23_slot_that_was_measured_is_never_changed_by_points():
    rows, added, left = placed(
        before(),
        point_body(4, 1060 + 1800, [100] * 7),
        clock_body(4, T + 3600, 1060 + 1800),
        slot_body(SLOT + 2, powered_s=5000),
        taken=(SLOT + 1,),
    )
    assert set(rows) == {SLOT} and rows[SLOT] == (1, 100) and not left and not added
    rows, added, left = placed(
        before(),
        point_body(4, 1060 + 1800, [100] * 7),
        clock_body(4, T + 3600, 1060 + 1800),
        slot_body(SLOT + 2, powered_s=5000),
        taken=(SLOT, SLOT + 1),
    )
    assert (rows, added, left) == ({}, {}, 100)


def test_r23_points_without_a_record_before_them_are_placed_back_from_what_follows():
    rows, added, left = placed(
        point_body(4, 1800, [90] * 7),
        point_body(4, 3600, [90] * 7),
        clock_body(4, T + 3600, 3600),
        slot_body(SLOT + 2, powered_s=5000),
    )
    assert rows == {SLOT: (1, 90), SLOT + 1: (1, 90)} and not added and not left


def test_r23_missing_stays_missing_and_reset_stays_reset():
    records = [
        (1, decode(before())),
        (2, decode(point_body(4, 1000 + 1800, [5, None, 5, 5, 5, 5, 5], quality=[0, 2, 3, 0, 0, 0, 0]))),
        (3, decode(clock_body(4, T + 1800, 2800))),
        (4, decode(slot_body(SLOT + 1, powered_s=4000))),
    ]
    ((made,), added, left) = spread(intervals(records), {SLOT - 1, SLOT + 1}, open_slots(records))
    assert made.energies == [5, None, 5, 5, 5, 5, 5]
    assert [made.quality >> 4 * index & 15 for index in range(7)] == [1, 2, 3, 1, 1, 1, 1]
    assert not added and not left


def test_r23_whatever_boots_and_pauses_there_were_every_watt_hour_is_in_one_place():
    for seed in range(200):
        _hold_one(seed)


def _hold_one(seed):
    chance = random.Random(seed)
    now, powered_s, boot, total = T, 1000, 3, 0
    bodies = [before()]
    for _ in range(chance.randrange(1, 6)):
        boot += chance.randrange(1, 3)
        now += chance.choice((30, 400, 5000, 40_000))
        for _ in range(chance.randrange(4)):
            now, powered_s = now + 1800, powered_s + 1800
            total += (energy := chance.randrange(5000))
            bodies.append(point_body(boot, powered_s, [energy] * 7))
        if chance.random() < 0.3 and bodies[-1][0] == 3:
            bodies.append(clock_body(boot, now, powered_s))
    bodies.append(slot_body(slot_of(now) + chance.randrange(2), powered_s=powered_s + 60))
    rows, added, left = placed(*bodies)
    assert sum(energy for _, energy in rows.values()) + sum(added.values()) + left == total, seed
    covered = [slot for slot, (span, _) in rows.items() for slot in range(slot - span + 1, slot + 1)]
    assert len(covered) == len(set(covered)) and not {SLOT - 1, slot_of(now) + 9} & set(covered), seed


@pytest.mark.parametrize("at", [1, 2, 3, 12, 15])
def test_r27_body_with_bits_that_the_format_does_not_have_is_none(at):
    body = bytearray(slot_body(SLOT))
    body[at] = 0xFF
    if at in (2, 3):  # a span may be long, but not 0
        body[2:4] = bytes(2)
    with pytest.raises(BodyError):
        decode(bytes(body))
