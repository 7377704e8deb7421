"""What the console shows of half-hour values (R24). Energies are Wh, seven of them in the order of QUANTITIES.

Days are local ones (Japan by default), of 48 slots each.
"""

import datetime
from dataclasses import dataclass

from sqlalchemy import and_, case, distinct, func, or_, select

from tools.pps.models import QUANTITIES, Alarm, CircuitValues, Module, ReadingGap, ReadingsEpoch, Site, SlotValues
from tools.pps.readings_body import EPOCH_2000, SLOT_S, slot_of, slot_start

SLOTS_A_DAY = 48
QUALITIES = ("measured", "estimated", "missing", "reset")
MISSING_DAYS = 30
"""How far back the fleet list looks for missing slots."""
SILENT_S = 3 * 3600
"""A module that has not reported for so long needs a look."""

_LATE_SLOTS = 2
"""A slot that has just ended is not missed yet."""
_CHUNK = 2000
_ENERGIES = tuple(getattr(SlotValues, name) for name in QUANTITIES)


@dataclass(frozen=True)
class HalfHours:
    """The energy of a slot, or of the `span` of them that ends with it. energies: None where missing; qualities: of
    QUALITIES; flags: as in the record, 256 = made from points; site and contract: for which it was reported."""

    slot: int
    span: int
    energies: tuple
    qualities: tuple
    flags: int
    site: str
    contract: str

    @property
    def start(self):
        """Unix seconds."""
        return slot_start(self.slot - self.span + 1)

    @property
    def end(self):
        """Unix seconds."""
        return slot_start(self.slot + 1)


@dataclass(frozen=True)
class Day:
    """A site's day. slots: 48, each HalfHours of span 1 or None; spans: HalfHours over several slots that touch the
    day, of which nobody knows how they fell to each; over: how many of the 48 have ended."""

    date: datetime.date
    first_slot: int
    slots: tuple
    spans: tuple
    over: int


@dataclass(frozen=True)
class DayTotal:
    """A day of a month. energies: None where nothing is known; missing: slots that have ended and are not here;
    estimated: slots with an estimated or reset value; over: how many of the 48 have ended."""

    date: datetime.date
    energies: tuple
    missing: int
    estimated: int
    over: int


@dataclass(frozen=True)
class Month:
    """A site's month. spans: HalfHours that reach over a midnight; they are in none of the days, but in the total."""

    days: tuple
    spans: tuple
    energies: tuple


@dataclass(frozen=True)
class EnergyStatus:
    """How a module reports. All but open_alarms are None where it never did; missing: of the last 30 days, or since it
    began; device and report: as the module says in `hello`."""

    reported_at: int | None
    newest_slot: int | None
    missing: int | None
    open_alarms: int
    tamper: str | None
    device: str | None
    report: str | None


class Energy:
    def __init__(self, database, now, settings):
        self._database = database
        self._now = now
        self._zone = datetime.timezone(datetime.timedelta(seconds=settings.utc_offset_s))

    @property
    def zone(self):
        """tzinfo of the local day."""
        return self._zone

    def today(self):
        """The local date."""
        return datetime.datetime.fromtimestamp(self._now(), self._zone).date()

    def first_slot(self, date):
        """The slot with which a local day begins."""
        return slot_of(int(datetime.datetime(date.year, date.month, date.day, tzinfo=self._zone).timestamp()))

    def day(self, module_id, date):
        """The Day of a module."""
        first = self.first_slot(date)
        last = first + SLOTS_A_DAY - 1
        slots, spans = [None] * SLOTS_A_DAY, []
        with self._database.read() as session:
            for row in self._rows(session, module_id, first, last):
                if row.span > 1:
                    spans.append(row)
                else:
                    here = slots[row.slot - first]
                    slots[row.slot - first] = row if here is None else _both(here, row)
        return Day(date, first, tuple(slots), tuple(spans), self._over(first))

    def month(self, module_id, year, month):
        """The Month of a module."""
        date = datetime.date(year, month, 1)
        dates = []
        while date.month == month:
            dates.append(date)
            date += datetime.timedelta(days=1)
        first, end = self.first_slot(dates[0]), self.first_slot(date)
        day = (SlotValues.slot - first) // SLOTS_A_DAY
        estimated = case((SlotValues.quality.op("&")(0x1111111) != 0, SlotValues.slot))
        query = (
            select(
                day.label("day"),
                *(func.sum(energy).label(name) for name, energy in zip(QUANTITIES, _ENERGIES, strict=True)),
                func.count(distinct(SlotValues.slot)).label("slots"),
                func.count(distinct(estimated)).label("estimated"),
            )
            .where(SlotValues.module_id == module_id, SlotValues.slot >= first, SlotValues.slot < end)
            .where(SlotValues.span == 1)
            .group_by(day)
        )
        with self._database.read() as session:
            found = {row.day: row for row in session.execute(query)}
            spans = [row for row in self._rows(session, module_id, first, end - 1, SlotValues.span > 1)]
        energies = [tuple(getattr(found[at], name) for name in QUANTITIES) if at in found else (None,) * 7
                    for at in range(len(dates))]  # fmt: skip
        covered = [found[at].slots if at in found else 0 for at in range(len(dates))]
        across = []
        for row in spans:
            begin = row.slot - row.span + 1
            days = range((begin - first) // SLOTS_A_DAY, (row.slot - first) // SLOTS_A_DAY + 1)
            for at in days:
                if 0 <= at < len(dates):
                    start = first + at * SLOTS_A_DAY
                    covered[at] += min(row.slot, start + SLOTS_A_DAY - 1) - max(begin, start) + 1
            if len(days) == 1:
                energies[days[0]] = _sum(energies[days[0]], row.energies)
            else:
                across.append(row)
        totals = []
        for at, each in enumerate(dates):
            over = self._over(first + at * SLOTS_A_DAY)
            count = found[at].estimated if at in found else 0
            totals.append(DayTotal(each, energies[at], max(0, over - covered[at]), count, over))
        whole = (None,) * 7
        for part in [*energies, *(row.energies for row in across)]:
            whole = _sum(whole, part)
        return Month(tuple(totals), tuple(across), whole)

    def circuits(self, module_id, date):
        """{slot: (span, energies, qualities)} of a local day's branch circuits, one value each."""
        first = self.first_slot(date)
        query = select(CircuitValues).where(
            CircuitValues.module_id == module_id,
            CircuitValues.slot.between(first, first + SLOTS_A_DAY - 1),
        )
        found = {}
        with self._database.read() as session:
            for row in session.scalars(query.order_by(CircuitValues.slot, CircuitValues.number)):
                values = [int.from_bytes(row.energies[at : at + 2], "little") for at in range(0, len(row.energies), 2)]
                qualities = tuple(QUALITIES[row.quality >> 2 * index & 3] for index in range(len(values)))
                if row.slot in found and len(found[row.slot][1]) == len(values):  # the contract number changed in it
                    values = [one + other for one, other in zip(values, found[row.slot][1], strict=True)]
                found[row.slot] = (row.span, tuple(values), qualities)
        return found

    def csv_rows(self, module_id, first_slot, end_slot):
        """Iterator of HalfHours in order, from first_slot to before end_slot. Keeps no transaction open meanwhile."""
        after = (first_slot - 1, 2**62)
        while True:
            behind = or_(SlotValues.slot > after[0], and_(SlotValues.slot == after[0], SlotValues.contract > after[1]))
            query = self._columns().where(SlotValues.module_id == module_id, SlotValues.slot < end_slot, behind)
            query = query.where(SlotValues.slot >= after[0])
            with self._database.read() as session:
                rows = session.execute(query.order_by(SlotValues.slot, SlotValues.contract).limit(_CHUNK)).all()
            yield from map(_half_hours, rows)
            if len(rows) < _CHUNK:
                return
            after = (rows[-1].slot, rows[-1].contract)

    def sites(self, module_id):
        """The module's Site rows, the current one first."""
        query = select(Site).where(Site.module_id == module_id)
        with self._database.read() as session:
            return list(session.scalars(query.order_by(Site.until_at.is_not(None), Site.id.desc())))

    def gaps(self, module_id, limit=20):
        """The module's ReadingGap rows, newest first."""
        query = select(ReadingGap).where(ReadingGap.module_id == module_id).order_by(ReadingGap.id.desc()).limit(limit)
        with self._database.read() as session:
            return list(session.scalars(query))

    def fleet(self, *, needs_look=False, offset=0, limit=50):
        """([(Module, EnergyStatus)], how many there are): those that need a look first, then by serial number.

        A look need: open alarms, tamper, and whoever has not reported for SILENT_S.
        """
        reported = (
            select(
                ReadingsEpoch.module_id,
                func.max(ReadingsEpoch.reported_at).label("reported_at"),
                func.max(ReadingsEpoch.newest_slot).label("newest_slot"),
            )
            .group_by(ReadingsEpoch.module_id)
            .subquery()
        )
        alarms = (
            select(Alarm.module_id, func.count().label("open_alarms"))
            .where(Alarm.acknowledged_at.is_(None))
            .group_by(Alarm.module_id)
            .subquery()
        )
        silent = or_(reported.c.reported_at.is_(None), reported.c.reported_at < self._now() - SILENT_S)
        look = case((or_(alarms.c.open_alarms > 0, silent), 0), else_=1)
        columns = reported.c.reported_at, reported.c.newest_slot, alarms.c.open_alarms
        joined = (
            select(Module, *columns)
            .outerjoin(reported, reported.c.module_id == Module.id)
            .outerjoin(alarms, alarms.c.module_id == Module.id)
        )
        if needs_look:
            joined = joined.where(look == 0)
        with self._database.read() as session:
            total = session.scalar(select(func.count()).select_from(joined.with_only_columns(Module.id).subquery()))
            rows = session.execute(joined.order_by(look, Module.serial).offset(offset).limit(limit)).all()
        return self._with_status(rows), total

    def status(self, module_id):
        """The EnergyStatus of a module."""
        with self._database.read() as session:
            module = session.get(Module, module_id)
            reported_at, newest = session.execute(
                select(func.max(ReadingsEpoch.reported_at), func.max(ReadingsEpoch.newest_slot)).where(
                    ReadingsEpoch.module_id == module_id
                )
            ).one()
            count = select(func.count()).where(Alarm.module_id == module_id, Alarm.acknowledged_at.is_(None))
            rows = [(module, reported_at, newest, session.scalar(count))]
        return self._with_status(rows)[0][1]

    def _with_status(self, rows):
        missing = self._missing([row[0].id for row in rows if row[1] is not None])
        found = []
        for module, reported_at, newest_slot, open_alarms in rows:
            state = module.state or {}
            energy = state.get("energy") or {}
            status = EnergyStatus(
                reported_at,
                newest_slot or None,
                missing.get(module.id),
                open_alarms or 0,
                state.get("tamper"),
                energy.get("device"),
                energy.get("report"),
            )
            found.append((module, status))
        return found

    def _missing(self, module_ids):
        """{module id: slots that are missing of the last days, or since the module's first}."""
        end = slot_of(self._now()) - _LATE_SLOTS + 1
        first = end - MISSING_DAYS * SLOTS_A_DAY
        begin = SlotValues.slot - SlotValues.span + 1
        further = case((begin < first, SlotValues.slot - first), else_=SlotValues.span - 1)
        query = select(
            SlotValues.module_id,
            func.min(begin).label("begin"),
            (func.count(distinct(SlotValues.slot)) + func.sum(further)).label("here"),
        ).where(SlotValues.module_id.in_(module_ids), SlotValues.slot >= first, SlotValues.slot < end)
        begun = select(ReadingsEpoch.module_id, func.min(ReadingsEpoch.begun_at).label("at"))
        begun = begun.where(ReadingsEpoch.module_id.in_(module_ids)).group_by(ReadingsEpoch.module_id)
        missing = {}
        with self._database.read() as session:
            here = {row.module_id: row for row in session.execute(query.group_by(SlotValues.module_id))}
            for module_id, begun_at in session.execute(begun):
                start = max(first, slot_of(begun_at) + 1)
                row = here.get(module_id)
                if row is not None:
                    start = max(first, min(start, row.begin))
                missing[module_id] = max(0, end - start - (row.here if row is not None else 0))
        return missing

    def _over(self, first_slot):
        return min(SLOTS_A_DAY, max(0, slot_of(self._now()) - first_slot))

    @staticmethod
    def _columns():
        columns = [*SlotValues.__table__.columns, Site.number.label("site"), Site.contract.label("contract_number")]
        return select(*columns).outerjoin(Site, Site.id == SlotValues.site_id)

    def _rows(self, session, module_id, first, last, *further):
        """HalfHours that touch the slots from first to last, in order."""
        of_module = self._columns().where(SlotValues.module_id == module_id, *further)
        order = SlotValues.slot, SlotValues.contract
        rows = session.execute(of_module.where(SlotValues.slot.between(first, last)).order_by(*order)).all()
        behind = of_module.where(SlotValues.slot > last).order_by(*order).limit(1)
        rows += [row for row in session.execute(behind) if row.slot - row.span < last]
        return [_half_hours(row) for row in rows]


def date_of(slot, zone):
    """The local date on which a slot begins."""
    return datetime.datetime.fromtimestamp(EPOCH_2000 + slot * SLOT_S, zone).date()


def _half_hours(row):
    qualities = tuple(QUALITIES[row.quality >> 4 * index & 3] for index in range(len(QUANTITIES)))
    energies = tuple(getattr(row, name) for name in QUANTITIES)
    return HalfHours(row.slot, row.span, energies, qualities, row.flags, row.site or "", row.contract_number or "")


def _sum(one, other):
    return tuple(a if b is None else b if a is None else a + b for a, b in zip(one, other, strict=True))


def _both(one, other):
    """Two parts of a half hour in which the contract number changed: the later contract is told."""
    energies = _sum(one.energies, other.energies)
    qualities = tuple(
        "missing" if energy is None else next((q for q in ("reset", "estimated") if q in pair), "measured")
        for energy, *pair in zip(energies, one.qualities, other.qualities, strict=True)
    )
    return HalfHours(one.slot, 1, energies, qualities, one.flags | other.flags, other.site, other.contract)
