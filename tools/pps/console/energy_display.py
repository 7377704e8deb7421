"""Half-hour values made ready to be shown: what the rows of tables and charts say."""

import datetime
from dataclasses import dataclass

from tools.pps.models import QUANTITIES
from tools.pps.readings_body import CLOCK_STEPPED, DEVICE_REPLACED, STARTED, slot_start
from tools.pps.services.energy import SILENT_S, SLOTS_A_DAY, HalfHours
from tools.pps.services.placing import PLACED

GRACE_S = 15 * 60
"""How long after its end a half hour may take to arrive before it is called missing."""

_MARKS = {"measured": "", "estimated": "≈ ", "reset": "≥ "}
_NOTES = (
    (STARTED, "note_started"),
    (CLOCK_STEPPED, "note_clock_stepped"),
    (DEVICE_REPLACED, "note_device_replaced"),
    (PLACED, "note_placed"),
)
_JAPAN = datetime.timedelta(hours=9)


@dataclass(frozen=True)
class Cell:
    """A value in Wh, None where it is missing."""

    wh: int | None
    quality: str = "measured"

    def shown(self, unit):
        """The value in Wh or kWh with the mark of its quality."""
        if self.wh is None:
            return "—"
        return _MARKS[self.quality] + (f"{self.wh:,}" if unit == "Wh" else f"{self.wh / 1000:,.2f}")


@dataclass(frozen=True)
class Row:
    """A half hour, a total of several, or a day.

    state: values, missing or to_come. span: how many half hours the values cover, `on_page` of them are on this page;
    missing: how many half hours of a day are. notes: (key of a text, values to fill in).
    """

    label: str
    spoken: str
    state: str
    cells: tuple
    span: int = 1
    on_page: int = 1
    missing: int = 0
    notes: tuple = ()
    date: datetime.date | None = None


_NOTHING = tuple(Cell(None, "missing") for _ in QUANTITIES)


def zone_words(zone, text):
    """How a page names the zone by which days are cut."""
    return text("zone_japan") if zone.utcoffset(None) == _JAPAN else str(zone)


def day_rows(day, zone, now):
    """Rows of a Day: its half hours in order, a total of several as one row."""
    spans = {}
    for span in day.spans:
        for slot in range(span.slot - span.span + 1, span.slot + 1):
            spans[slot] = span
    rows, index = [], 0
    while index < SLOTS_A_DAY:
        slot = day.first_slot + index
        values = day.slots[index] or spans.get(slot)
        on_page = 1
        if values is not None and values.span > 1:
            while (
                index + on_page < SLOTS_A_DAY
                and day.slots[index + on_page] is None
                and spans.get(slot + on_page) is values
            ):
                on_page += 1
        rows.append(_half_hour(values, slot, on_page, zone, now))
        index += on_page
    return rows


def _half_hour(values, slot, on_page, zone, now):
    start_s, end_s = slot_start(slot), slot_start(slot + on_page)
    label, spoken = _clock(start_s, zone), f"{_clock(start_s, zone)}–{_clock(end_s, zone, '24:00')}"
    if values is None:
        if end_s + GRACE_S > now:
            return Row(label, spoken, "to_come", _NOTHING, notes=(("note_to_come", {}),))
        return Row(label, spoken, "missing", _NOTHING, missing=1)
    cells = tuple(Cell(wh, quality) for wh, quality in zip(values.energies, values.qualities, strict=True))
    notes = [(key, {}) for flag, key in _NOTES if values.flags & flag]
    if values.span > 1:
        spread = {"count": values.span, "first": _moment(values.start, zone), "last": _moment(values.end, zone)}
        notes.insert(0, ("note_across" if on_page < values.span else "note_span", spread))
    return Row(label, spoken, "values", cells, values.span, on_page, notes=tuple(notes))


def day_totals(rows):
    """Seven Cells: the sums of a day. A total of several that reaches over a midnight belongs to no day."""
    return _sums([row.cells for row in rows if row.state == "values" and row.span == row.on_page])


def _sums(rows):
    found = []
    for column in zip(*rows, strict=True) if rows else [()] * len(QUANTITIES):
        known = [cell for cell in column if cell.wh is not None]
        if not known:
            found.append(Cell(None, "missing"))
            continue
        seen = {cell.quality for cell in known}
        quality = "reset" if "reset" in seen else "estimated" if "estimated" in seen else "measured"
        found.append(Cell(sum(cell.wh for cell in known), quality))
    return found


def month_rows(month):
    """Rows of a Month: its days."""
    rows = []
    for day in month.days:
        known = any(wh is not None for wh in day.energies)
        state = "values" if known else "missing" if day.missing else "to_come"
        cells = tuple(Cell(wh, "missing" if wh is None else "measured") for wh in day.energies)
        notes = (("note_estimated", {"count": day.estimated}),) if day.estimated else ()
        label, spoken = str(day.date.day), day.date.isoformat()
        rows.append(Row(label, spoken, state, cells, missing=day.missing, notes=notes, date=day.date))
    return rows


def month_totals(month):
    """Seven Cells: the sums of a month."""
    return [Cell(wh, "missing" if wh is None else "measured") for wh in month.energies]


@dataclass(frozen=True)
class Circuits:
    """A day's branch circuits. totals: a Cell each; rows: (spoken half hour, Cells)."""

    totals: tuple
    rows: tuple


def circuits_of(found, zone):
    """Circuits of {slot: (span, energies, qualities)}, or None where there are none."""
    if not found:
        return None
    count = max(len(energies) for _, energies, _ in found.values())
    rows, cells_of = [], []
    for slot, (span, energies, qualities) in sorted(found.items()):
        cells = [Cell(wh, quality) for wh, quality in zip(energies, qualities, strict=True)]
        cells += [Cell(None, "missing")] * (count - len(cells))
        start_s, end_s = slot_start(slot - span + 1), slot_start(slot + 1)
        rows.append((f"{_clock(start_s, zone)}–{_clock(end_s, zone, '24:00')}", tuple(cells)))
        cells_of.append(cells)
    return Circuits(tuple(_sums(cells_of)), tuple(rows))


def look_reasons(status, now):
    """[(key of a text, values, kind of chip)]: why somebody should look at a module."""
    reasons = []
    if status.tamper:
        reasons.append(("look_tamper", {}, "bad"))
    if status.open_alarms:
        reasons.append(("look_alarm", {"count": status.open_alarms}, "bad"))
    if status.reported_at is None:
        reasons.append(("look_never", {}, "quiet"))
    elif status.reported_at < now - SILENT_S:
        reasons.append(("look_silent", {}, "warn"))
    if status.device in ("silent", "none", "unknown_map"):
        reasons.append((f"device_{status.device}", {}, "warn"))
    if status.missing:
        reasons.append(("look_missing", {}, "warn"))
    return reasons


def with_missing(rows, first_slot, end_slot, last_over):
    """Half hours from first_slot to before end_slot with those in between that are missing, up to last_over."""
    expected = first_slot
    for row in rows:
        for slot in range(expected, min(row.slot - row.span + 1, end_slot)):
            yield _missing(slot)
        expected = max(expected, row.slot + 1)
        yield row
    for slot in range(expected, min(end_slot, last_over + 1)):
        yield _missing(slot)


def _missing(slot):
    count = len(QUANTITIES)
    return HalfHours(slot, 1, (None,) * count, ("missing",) * count, 0, "", "")


def _clock(unix_s, zone, midnight="00:00"):
    shown = datetime.datetime.fromtimestamp(unix_s, zone).strftime("%H:%M")
    return midnight if shown == "00:00" else shown


def _moment(unix_s, zone):
    return datetime.datetime.fromtimestamp(unix_s, zone).strftime("%Y-%m-%d %H:%M")
