"""One report in one transaction: what is right about it, what is new, and how far it brings its epoch (R23; S10).

Whoever stores something of a module holds the locks of its epochs' rows, so that the same report at two workers is
stored by one of them and found by the other.
"""

import functools
import hmac
from dataclasses import dataclass
from types import SimpleNamespace

from sqlalchemy import and_, bindparam, insert, or_, select, update
from sqlalchemy.orm import Session

from tools.pps.errors import ServiceError
from tools.pps.models import (
    QUANTITIES,
    CircuitValues,
    ConnectionCertificate,
    Module,
    ReadingGap,
    ReadingRecord,
    ReadingsEpoch,
    ReportKey,
    Site,
    SlotValues,
)
from tools.pps.readings_body import CIRCUITS, CLOCK, POINT, SLOT, PointBody, SlotBody, decode, slot_of
from tools.pps.services import placing, plans
from tools.pps.services.common import module_of, raise_alarm
from tools.pps.services.writes import Writes, first_query

NO_TAG = bytes(28)

_LOOK_BACK = 4
"""Numbers from a point to the slot's record before it, circuits and clock in between."""
_RUN = 256


@dataclass(frozen=True)
class SentRecord:
    """A record of a report. All but the number are bytes."""

    number: int
    body: bytes
    tag: bytes
    mac: bytes


@dataclass(frozen=True)
class Report:
    """A request of docs/api.md, "readings"; records follow one another. epoch: hex; before: bytes."""

    epoch: str
    site: str
    contract: str
    head: int
    oldest: int | None
    before: bytes
    records: tuple


class Contradiction(Exception):
    """What was sent cannot be: refused, nothing of it stored, an alarm raised."""

    def __init__(self, alarm, detail, code, message):
        super().__init__(message)
        self.alarm = alarm
        self.detail = detail
        self.refusal = ServiceError(code, message)


def reading_mac(key, epoch, number, before, tag, body):
    """`mac` of docs/api.md. All but the number are bytes."""
    message = b"inkan reading" + epoch + number.to_bytes(4, "little") + before + tag + body
    return hmac.digest(key, message, "sha256")[:16]


_EPOCHS = (
    select(
        ReportKey.id.label("key_id"),
        ReportKey.key,
        ConnectionCertificate.superseded_at,
        Site.id.label("site_id"),
        Site.number.label("site"),
        Site.contract,
        Site.assigned_by,
        *ReadingsEpoch.__table__.columns,
    )
    .join(Module, Module.id == ReadingsEpoch.module_id)
    .join(ReportKey, and_(ReportKey.module_id == Module.id, ReportKey.fingerprint == bindparam("fingerprint")))
    .outerjoin(ConnectionCertificate, ConnectionCertificate.fingerprint == ReportKey.fingerprint)
    .outerjoin(Site, and_(Site.module_id == Module.id, Site.until_at.is_(None)))
    .where(Module.serial == bindparam("serial"))
    .order_by(ReadingsEpoch.id)
    .with_for_update(of=ReadingsEpoch.__table__)
)
"""All that a report needs to know, in one query that locks the epochs."""

_COME_SO_FAR = ("through", "highest", "highest_tag", "newest_slot", "placed_through", "points_wait", "reported_at")


class Taking:
    """One report in one transaction."""

    def __init__(self, connection, identity, report, bodies, now, first_kept_slot):
        self._connection = connection
        self._identity = identity
        self._report = report
        self._bodies = bodies
        self._now = now
        self._first_kept_slot = first_kept_slot
        self._writes = Writes(connection)

    @functools.cached_property
    def _session(self):
        """For what is rare; a session costs a fifth of a usual report."""
        return Session(self._connection, expire_on_commit=False)

    def run(self):
        """Returns `through`."""
        try:
            return self._run()
        finally:
            if "_session" in self.__dict__:
                self._session.close()

    def _run(self):
        report = self._report
        known, epoch = self._known()
        if epoch is None:  # it only asks, of what is not here
            return 0
        self._module_id = epoch.module_id
        self._check_macs(known.key)
        if report.head < epoch.highest and not self._is_repetition(epoch):
            detail = {"highest": epoch.highest, "head": report.head}
            raise_alarm(self._session, SimpleNamespace(id=epoch.module_id), "readings_rollback", detail, self._now)
            self._flush()
            return epoch.highest
        # What the contract before left unreported is no loss.
        self._gaps_alarm = epoch.through > 0 and (known.site, known.contract) == (report.site, report.contract)
        site_id = self._site_id(known)
        found = self._neighbours(epoch)
        new = [index for index, record in enumerate(report.records) if record.number not in found]
        values = {name: getattr(epoch, name) for name in _COME_SO_FAR} | {"reported_at": self._now}
        if new:
            self._store_slots([index for index in new if self._kind(index) == SLOT], epoch, known.newest, site_id)
            self._store_circuits([index for index in new if self._kind(index) == CIRCUITS], epoch)
            self._store_records(new, epoch, known.key_id)
            last = report.records[new[-1]]
            if last.number > epoch.highest:
                values |= {"highest": last.number, "highest_tag": last.tag}
        through = values["through"] = self._advance(epoch, found)
        slots = [self._bodies[index].slot for index in new if self._kind(index) == SLOT]
        if slots:
            values["newest_slot"] = max(epoch.newest_slot, slots[-1])
        points_wait = epoch.points_wait or any(self._kind(index) == POINT for index in new)
        placed_through = epoch.placed_through
        if not points_wait:
            placed_through = through
        elif through > epoch.through:
            self._flush()
            placed_through, points_wait = self._place(epoch, through, site_id)
        values |= {"points_wait": points_wait, "placed_through": placed_through}
        self._writes.update(ReadingsEpoch.__table__, epoch.id, values)
        self._flush()
        return through

    def _flush(self):
        self._writes.flush()
        if "_session" in self.__dict__:
            self._session.flush()

    def _kind(self, index):
        return self._report.records[index].body[0]

    # Who

    def _known(self):
        """(key, site and newest slot that the server knows, row of the epoch or None), the epochs locked."""
        parameters = {"serial": self._identity.serial, "fingerprint": self._identity.fingerprint}
        rows = first_query(self._connection, _EPOCHS, parameters)
        epoch = next((row for row in rows if row.epoch == self._report.epoch), None)
        if epoch is None or epoch.superseded_at is not None:
            rows = self._first_of_its_epoch(parameters)
            epoch = next((row for row in rows if row.epoch == self._report.epoch), None)
            if epoch is None:
                return None, None
        known = SimpleNamespace(
            key=epoch.key,
            key_id=epoch.key_id,
            site_id=epoch.site_id,
            site=epoch.site,
            contract=epoch.contract,
            assigned_by=epoch.assigned_by,
            newest=max(row.newest_slot for row in rows),
        )
        return known, epoch

    def _first_of_its_epoch(self, parameters):
        """Make the epoch's row, where there is something to keep, or say why not."""
        session = self._session
        module = module_of(session, self._identity, lock=True)
        key = session.scalar(select(ReportKey.id).where(ReportKey.fingerprint == self._identity.fingerprint))
        if key is None:
            raise ServiceError("no_report_key", "no report key was told with this certificate")
        wanted = select(ReadingsEpoch.id).where(
            ReadingsEpoch.module_id == module.id, ReadingsEpoch.epoch == self._report.epoch
        )
        if self._report.records and session.scalar(wanted) is None:
            session.execute(
                insert(ReadingsEpoch),
                {
                    "module_id": module.id,
                    "epoch": self._report.epoch,
                    "begun_at": self._now,
                    "reported_at": self._now,
                },
            )
        return session.execute(_EPOCHS, parameters).all()

    def _site_id(self, known):
        """Id of the site's row, made where the module may say so."""
        report = self._report
        if (known.site, known.contract) == (report.site, report.contract):
            return known.site_id
        session = self._session
        procedure, module = plans.plan_for_report(session, self._module_id, self._now)
        planned = procedure is not None and plans.is_planned(procedure, known.site, known.contract, report)
        pinned = procedure is not None and (known.site is not None or procedure.contract or procedure.site)
        if not planned and (known.assigned_by is not None or pinned):
            # The module has its present pair in any case, so what differs from both is what is wrong.
            other = procedure.site if pinned else None
            raise _foreign("site" if report.site not in (known.site, other) else "contract")
        self._need_nobodys(planned)
        if not report.records:
            return None
        if known.site_id is not None:
            session.execute(update(Site).where(Site.id == known.site_id), {"until_at": self._now})
        site = Site(module_id=self._module_id, number=report.site, contract=report.contract, since_at=self._now)
        if planned:
            site.assigned_by = procedure.opened_by
            plans.finish(session, procedure, module, plans.SERVER, self._now)
        session.add(site)
        session.flush()
        return site.id

    def _need_nobodys(self, planned):
        """What the module says for the first time is not another module's. A contract that an operator planned for it
        may be, as one that is assigned."""
        report, session = self._report, self._session
        same = Site.number == report.site
        if not planned:
            same = or_(same, Site.contract == report.contract)
        taken = select(Site.number).where(Site.until_at.is_(None), Site.module_id != self._module_id, same)
        numbers = list(session.scalars(taken))
        contract = None if planned else report.contract
        numbers += plans.planned_elsewhere(session, self._module_id, report.site, contract)
        for number in numbers:
            raise _foreign("site" if number == report.site else "contract")

    # What is right about it

    def _check_macs(self, key):
        report = self._report
        epoch = bytes.fromhex(report.epoch)
        before = report.before
        if report.records and report.records[0].number == 1 and before != NO_TAG:
            raise _conflict(1, "before", "nothing comes before number 1")
        for record in report.records:
            mac = reading_mac(key, epoch, record.number, before, record.tag, record.body)
            if not hmac.compare_digest(mac, record.mac):
                raise _conflict(record.number, "mac", "a MAC does not fit")
            before = record.tag

    def _is_repetition(self, epoch):
        """Whether all of the report is here: a late copy of what has been answered."""
        if not self._report.records:
            return False
        found = self._neighbours(epoch)
        return all(record.number in found for record in self._report.records)

    def _neighbours(self, epoch):
        """{number: tag} of what is here of the report's numbers, the one before and the one behind them.

        Raises Contradiction where one of them has another tag, or the chain does not hold at either end.
        """
        report = self._report
        if not report.records:
            return {}
        first, last = report.records[0].number, report.records[-1].number
        if first > epoch.highest:
            if first == epoch.highest + 1 and epoch.highest and report.before != epoch.highest_tag:
                raise _conflict(first, "before", "the record before has another tag")
            return {}
        query = select(ReadingRecord.number, ReadingRecord.tag).where(
            *self._of_epoch(epoch), ReadingRecord.number.between(first - 1, last + 1)
        )
        found = {number: tag for number, tag in self._connection.execute(query)}
        if found.get(first - 1, report.before) != report.before:
            raise _conflict(first, "before", "the record before has another tag")
        for record in report.records:
            if found.get(record.number, record.tag) != record.tag:
                raise _conflict(record.number, "tag", "this number came with another tag")
        if last + 1 in found and last not in found:
            self._check_continuation(epoch, report.records[-1])
        return found

    def _check_continuation(self, epoch, record):
        """What came earlier has to continue what comes now, by the MAC that it came with."""
        number = record.number + 1
        query = select(ReadingRecord.body, ReadingRecord.tag, ReadingRecord.mac, ReportKey.key).join(
            ReportKey, ReportKey.id == ReadingRecord.key_id
        )
        body, tag, mac, key = self._session.execute(
            query.where(*self._of_epoch(epoch), ReadingRecord.number == number)
        ).one()
        if reading_mac(key, bytes.fromhex(epoch.epoch), number, record.tag, tag, body) != mac:
            raise _conflict(record.number, "tag", "the record behind it continues another one")

    @staticmethod
    def _of_epoch(epoch):
        return ReadingRecord.module_id == epoch.module_id, ReadingRecord.epoch_id == epoch.id

    # What is kept

    def _store_records(self, new, epoch, key_id):
        sent = [self._report.records[index] for index in new]
        rows = [
            (epoch.module_id, epoch.id, each.number, self._now, key_id, each.body[0], each.body, each.tag, each.mac)
            for each in sent
        ]
        self._writes.insert(ReadingRecord.__table__, rows)

    def _store_slots(self, new, epoch, newest, site_id):
        rows = []
        end = -1
        for index in new:
            body, number = self._bodies[index], self._report.records[index].number
            if body.slot - body.span < end:
                raise _conflict(number, "slot", "a slot came twice")
            end = body.slot
            if body.slot >= self._first_kept_slot:
                rows.append(_slot_row(epoch, body, body.contract, body.energies, site_id, number))
        if not rows:
            return
        first = self._bodies[new[0]].slot - self._bodies[new[0]].span + 1
        if first <= newest:
            self._need_free(epoch, new, first, end)
        self._writes.insert(SlotValues.__table__, rows)

    def _need_free(self, epoch, new, first, last):
        """Only a half hour in which the contract number changed may come twice, once with each."""
        for row in self._rows_between(first, last):
            for index in new:
                body = self._bodies[index]
                begin, end = max(body.slot - body.span + 1, row.slot - row.span + 1), min(body.slot, row.slot)
                other_part = row.epoch_id == epoch.id and row.contract != body.contract and begin == end
                if begin <= end and not other_part:
                    number = self._report.records[index].number
                    raise _conflict(number, "slot", "a slot came under another number")

    def _store_circuits(self, new, epoch):
        rows = []
        for index in new:
            body, number = self._bodies[index], self._report.records[index].number
            before = self._bodies[index - 1] if index else None
            if before is not None and (not isinstance(before, SlotBody) or before.slot != body.slot):
                raise _conflict(number, "slot", "circuits that do not follow their slot")
            if body.slot >= self._first_kept_slot:
                energies = b"".join(energy.to_bytes(2, "little") for energy in body.energies)
                rows.append((epoch.module_id, body.slot, number, body.span, energies, body.quality, epoch.id))
        if rows:
            self._writes.insert(CircuitValues.__table__, rows)

    def _rows_between(self, first, last):
        """Rows that cover any of the slots from first to last."""
        columns = SlotValues.slot, SlotValues.span, SlotValues.contract, SlotValues.epoch_id
        of_module = select(*columns).where(SlotValues.module_id == self._module_id)
        rows = self._session.execute(of_module.where(SlotValues.slot.between(first, last))).all()
        behind = of_module.where(SlotValues.slot > last).order_by(SlotValues.slot).limit(2)
        return rows + [row for row in self._session.execute(behind) if row.slot - row.span < last]

    def _taken(self, first, last):
        """The slots from first to last that have values."""
        taken = set()
        for row in self._rows_between(first, last):
            taken.update(range(max(first, row.slot - row.span + 1), min(last, row.slot) + 1))
        return taken

    def _advance(self, epoch, found):
        """`through` after this report; what will never come is noted."""
        report, through = self._report, epoch.through
        if report.oldest is not None and report.oldest > through + 1:
            self._note_gaps(epoch, through + 1, report.oldest - 1)
            through = max(through, self._end_of_run(epoch, report.oldest - 1))
        if report.records and report.records[0].number <= through + 1:
            last = report.records[-1].number
            through = max(through, last)
            if through == last and last + 1 in found:
                through = self._end_of_run(epoch, through)
        return through

    def _end_of_run(self, epoch, through):
        """The last number that follows `through` without a gap."""
        while True:
            query = select(ReadingRecord.number).where(*self._of_epoch(epoch), ReadingRecord.number > through)
            numbers = self._session.scalars(query.order_by(ReadingRecord.number).limit(_RUN)).all()
            run = next((place for place, number in enumerate(numbers) if number != through + 1 + place), len(numbers))
            through += run
            if run < _RUN:
                return through

    def _note_gaps(self, epoch, first, last):
        """Note which of these numbers are not here; an alarm where that is a loss."""
        query = select(ReadingRecord.number).where(*self._of_epoch(epoch), ReadingRecord.number.between(first, last))
        expected = first
        for number in [*self._session.scalars(query.order_by(ReadingRecord.number)), last + 1]:
            if number > expected:
                self._note_gap(epoch, expected, number - 1, "passed_over", None)
                if self._gaps_alarm:
                    module = SimpleNamespace(id=epoch.module_id)
                    detail = {"first": expected, "last": number - 1}
                    raise_alarm(self._session, module, "readings_gap", detail, self._now)
            expected = number + 1

    def _note_gap(self, epoch, first, last, reason, detail):
        gap = ReadingGap(
            module_id=epoch.module_id,
            epoch_id=epoch.id,
            first=first,
            last=last,
            reason=reason,
            detail=detail,
            noted_at=self._now,
        )
        self._session.add(gap)

    def _place(self, epoch, through, site_id):
        """Place what can be placed. Returns (placed_through, whether points wait)."""
        query = select(ReadingRecord.number, ReadingRecord.body).where(
            *self._of_epoch(epoch),
            ReadingRecord.number > epoch.placed_through - _LOOK_BACK,
            ReadingRecord.number <= through,
            ReadingRecord.kind.in_((SLOT, POINT, CLOCK)),
        )
        rows = self._session.execute(query.order_by(ReadingRecord.number)).all()
        records = [(number, decode(body)) for number, body in rows]
        # Of what was placed already only the newest slot's record is of use: what was known before the points.
        before = [each for each in records if each[0] <= epoch.placed_through and isinstance(each[1], SlotBody)][-1:]
        closed = before + placing.closed_part([each for each in records if each[0] > epoch.placed_through])
        waits = epoch.highest > through or self._report.head > through
        if len(closed) == len(before):
            return epoch.placed_through, True
        intervals = placing.intervals(closed)
        if intervals:
            first = min(slot_of(each.start) for each in intervals)
            last = max(slot_of(each.end) for each in intervals)
            open_to = placing.open_slots(closed)
            placed, added, left = placing.spread(intervals, self._taken(first, last), open_to)
            contract = next(body.contract for _, body in closed if isinstance(body, PointBody))
            rows = [
                _slot_row(epoch, each, contract, each.energies, site_id, each.number)
                for each in placed
                if each.slot >= self._first_kept_slot
            ]
            if rows:
                self._writes.insert(SlotValues.__table__, rows)
            for each in added:
                if not self._add_to_slot(each, contract):
                    self._note_gap(epoch, each.number, each.number, "no_room", {"energies": each.energies})
            for each in left:
                detail = {"energies": each.energies, "start": each.start, "end": each.end}
                self._note_gap(epoch, each.number, each.number, "no_room", detail)
        return closed[-1][0], waits or _has_points(each for each in records if each[0] > closed[-1][0])

    def _add_to_slot(self, added, contract):
        """Returns whether there was one."""
        here = and_(
            SlotValues.module_id == self._module_id, SlotValues.slot == added.slot, SlotValues.contract == contract
        )
        row = self._session.execute(select(*SlotValues.__table__.columns).where(here)).one_or_none()
        if row is None:
            return added.slot < self._first_kept_slot
        energies = [
            one if other is None else other + (one or 0)
            for one, other in zip((getattr(row, name) for name in QUANTITIES), added.energies, strict=True)
        ]
        values = dict(zip(QUANTITIES, energies, strict=True))
        values["quality"] = placing.merged_quality(row.quality, added.quality, energies)
        values["flags"] = row.flags | added.flags
        self._session.execute(update(SlotValues).where(here), values)
        return True


def _slot_row(epoch, body, contract, energies, site_id, number):
    """In the order of the columns of SlotValues."""
    return (
        epoch.module_id,
        body.slot,
        contract,
        body.span,
        *energies,
        body.quality,
        body.flags,
        site_id,
        epoch.id,
        number,
    )


def _has_points(records):
    return any(isinstance(body, PointBody) for _, body in records)


def _conflict(number, reason, message):
    return Contradiction("readings_conflict", {"number": number, "reason": reason}, "conflict", message)


def _foreign(what):
    return Contradiction("readings_foreign", {"what": what}, "forbidden", f"this {what} is not this module's")
