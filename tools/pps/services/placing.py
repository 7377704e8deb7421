"""Where the energy of points lies in time (docs/metering.md, "Placing the points").

A point is what a module kept while it did not know the time. It is placed once a slot's record follows it, by then
everything that can be known about it is known. All times are Unix seconds.
"""

import itertools
from dataclasses import dataclass, field

from tools.pps.readings_body import (
    ESTIMATED,
    MISSING,
    RESET,
    ClockBody,
    PointBody,
    SlotBody,
    slot_of,
    slot_start,
)

PLACED = 256
"""Flag of values that were made from points."""

_POINT_EVERY_S = 1800
_MOST_UNKNOWN_S = 900
_MOST_BOUNDARIES = 8
_QUANTITIES = 7


@dataclass
class Interval:
    """Energy that was used between two times. `sure`: how it fell in between may be interpolated."""

    start: int
    end: int
    number: int
    energies: list
    resets: int
    """Bit per quantity: its counter began anew."""
    flags: int
    sure: bool


@dataclass
class Placed:
    """Values of a slot, or of the `span` of them that ends with it."""

    slot: int
    span: int
    number: int
    energies: list = field(default_factory=lambda: [None] * _QUANTITIES)
    resets: int = 0
    flags: int = PLACED

    def add(self, interval, energies):
        for index, energy in enumerate(energies):
            if energy is not None:
                self.energies[index] = (self.energies[index] or 0) + energy
        self.number = max(self.number, interval.number)
        self.resets |= interval.resets
        self.flags |= interval.flags

    @property
    def quality(self):
        """Four bits a quantity."""
        quality = 0
        for index, energy in enumerate(self.energies):
            each = MISSING if energy is None else RESET if self.resets >> index & 1 else ESTIMATED
            quality |= each << 4 * index
        return quality


def closed_part(records):
    """The records up to the last slot's record: only what lies before that one can be placed.

    records: [(number, body)], in order.
    """
    for index in range(len(records) - 1, -1, -1):
        if isinstance(records[index][1], SlotBody):
            return records[: index + 1]
    return []


def intervals(records):
    """The Interval of each point. records: [(number, body)] of slots, points and clocks, closed by a slot's record.

    The first of them may be what was known before the points.
    """
    marks = _marks(records)
    _fill_in_times(marks)
    found = []
    before = None
    for mark in marks:
        if mark.point is not None:
            unsure = not mark.sure or (before is not None and not before.sure)
            start = mark.time - _POINT_EVERY_S if before is None else min(before.time, mark.time)
            found.append(_interval(mark, start, not unsure))
        if mark.point is not None or mark.is_slot:
            before = mark
    return _joined(found)


def open_slots(records):
    """{slot: slot of the record that has it}, for the records that begin when the clock became known: to those what the
    points have of the same half hour is added."""
    found, became_known = {}, False
    for _, body in records:
        if isinstance(body, ClockBody):
            became_known = became_known or not body.step_s
        elif isinstance(body, SlotBody):
            if became_known:
                found.update(dict.fromkeys(range(body.slot - body.span + 1, body.slot + 1), body.slot))
            became_known = False
    return found


def spread(found, taken, open_to):
    """([Placed] to make, [Placed] to add to rows that are there, [Interval] that finds no free slot).

    taken: set of slots that have values already; open_to: see open_slots. What there is of energy is in one of the
    three, to the Wh.
    """
    closed = taken - open_to.keys()
    rows, spans, left = {}, [], []
    for interval in found:
        if _is_interpolated(interval) and not _interpolate(rows, interval, closed):
            left.append(interval)
    for interval in found:
        if _is_interpolated(interval):
            continue
        run = _longest_free_run(interval, closed | rows.keys() | open_to.keys())
        if run:
            placed = Placed(run[-1], len(run), interval.number)
            placed.add(interval, interval.energies)
            closed = closed | set(run)
            spans.append(placed)
        elif not _interpolate(rows, interval, closed):
            left.append(interval)
    made, added = spans, {}
    for slot, placed in rows.items():
        if slot not in open_to:
            made.append(placed)
        elif open_to[slot] in added:
            added[open_to[slot]].add(placed, placed.energies)
        else:
            placed.slot = open_to[slot]
            added[placed.slot] = placed
    return sorted(made, key=lambda placed: placed.slot), list(added.values()), left


def merged_quality(one, other, energies):
    """Quality of a row to which something was added. energies: of the row after that."""
    quality = 0
    for index, energy in enumerate(energies):
        pair = {one >> 4 * index & 15, other >> 4 * index & 15}
        each = MISSING if energy is None else RESET if RESET in pair else ESTIMATED
        quality |= each << 4 * index
    return quality


def _is_interpolated(interval):
    return interval.sure and len(_slots(interval)) - 1 <= _MOST_BOUNDARIES


@dataclass
class _Mark:
    """A record on the line of powered-on time."""

    number: int
    powered_s: int
    boot: int | None
    time: int | None
    point: PointBody | None
    is_slot: bool
    sure: bool = True


def _marks(records):
    clocks = {}
    for _, body in records:
        if isinstance(body, ClockBody):
            clocks.setdefault(body.boot, body)
    marks = []
    boot = None
    for number, body in records:
        if isinstance(body, ClockBody):
            boot = body.boot
            marks.append(_Mark(number, body.powered_s, boot, body.time, None, False))
        elif isinstance(body, SlotBody):
            marks.append(_Mark(number, body.powered_s, boot, slot_start(body.slot + 1), None, True))
        else:
            boot = body.boot
            clock = clocks.get(boot)
            time = None if clock is None else clock.time - clock.powered_s + body.powered_s
            marks.append(_Mark(number, body.powered_s, boot, time, body, False))
    return marks


def _fill_in_times(marks):
    """Give times to the points of boots that never learned it, from what is known around them."""
    index = 0
    while index < len(marks):
        if marks[index].time is not None:
            index += 1
            continue
        end = index
        while marks[end].time is None:  # the last one is a slot's, which has a time
            end += 1
        _place_group(marks[index - 1] if index else None, marks[index:end], marks[end])
        index = end
    latest = marks[-1].time
    for mark in marks:
        mark.time = min(mark.time, latest)


def _place_group(left, group, right):
    if left is None:
        # How long the pauses were is anybody's guess.
        for mark in group:
            mark.time = right.time - (right.powered_s - mark.powered_s)
            mark.sure = False
        return
    line = [left, *group, right]
    pauses = [_boots_between(one, other) for one, other in itertools.pairwise(line)]
    powered_s = right.powered_s - left.powered_s
    passed_s = max(0, right.time - left.time)
    unknown_s = passed_s - powered_s
    seen = 0
    for mark, count in zip(group, pauses, strict=False):
        seen += count
        since_s = mark.powered_s - left.powered_s
        if unknown_s >= 0:
            mark.time = left.time + since_s + (unknown_s * seen // sum(pauses) if any(pauses) else 0)
        else:  # each boot adds a minute to powered-on time, so that it can be the longer of the two
            mark.time = left.time + passed_s * since_s // powered_s
        mark.sure = unknown_s <= _MOST_UNKNOWN_S


def _boots_between(one, other):
    """How many pauses lie between two records, as far as that is known."""
    if one.boot is None or other.boot is None:
        return 1 if one.point is None and other.point is not None else 0
    return max(0, other.boot - one.boot)


def _interval(mark, start, sure):
    quality, resets = mark.point.quality, 0
    for index in range(_QUANTITIES):
        resets |= (quality >> 4 * index & 15 == RESET) << index
    return Interval(start, mark.time, mark.number, list(mark.point.energies), resets, mark.point.flags, sure)


def _joined(found):
    """Neighbours of which nobody can say how they fell become one."""
    joined = []
    for interval in found:
        last = joined[-1] if joined else None
        if last is None or last.sure or interval.sure or last.end != interval.start:
            joined.append(interval)
            continue
        last.end, last.number = interval.end, interval.number
        last.energies = [
            one if other is None else other if one is None else one + other
            for one, other in zip(last.energies, interval.energies, strict=True)
        ]
        last.resets |= interval.resets
        last.flags |= interval.flags
    return joined


def _slots(interval):
    return range(slot_of(interval.start), slot_of(max(interval.end - 1, interval.start)) + 1)


def _interpolate(rows, interval, taken):
    """Add an interval to its free slots by the time that it has in each. Returns whether there was one."""
    free = []
    for slot in _slots(interval):
        if slot not in taken:
            seconds = min(interval.end, slot_start(slot + 1)) - max(interval.start, slot_start(slot))
            free.append((slot, max(seconds, 1)))
    if not free:
        return False
    whole_s = sum(seconds for _, seconds in free)
    passed_s = 0
    for slot, seconds in free:
        # Totals are rounded, not parts: together they are the whole.
        parts = [
            None if energy is None else energy * (passed_s + seconds) // whole_s - energy * passed_s // whole_s
            for energy in interval.energies
        ]
        passed_s += seconds
        rows.setdefault(slot, Placed(slot, 1, interval.number)).add(interval, parts)
    return True


def _longest_free_run(interval, taken):
    best, run = [], []
    for slot in _slots(interval):
        if slot in taken:
            run = []
            continue
        run.append(slot)
        if len(run) >= len(best):
            best = run
    return best
