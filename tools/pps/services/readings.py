"""Half-hour values as they come from the modules (R23; S12, S18)."""

import hmac

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tools.pps.errors import ServiceError
from tools.pps.identity import CONNECTION
from tools.pps.models import ReportKey
from tools.pps.partitions import Partitions, month_of
from tools.pps.readings_body import CIRCUITS, BodyError, SlotBody, decode, slot_of, slot_start
from tools.pps.services.common import module_of, raise_alarm
from tools.pps.services.taking import Contradiction, Taking
from tools.pps.services.writes import ComesTwice

_AHEAD_S = 24 * 3600
_TRIES = 3


class Readings:
    def __init__(self, database, now, settings):
        self._database = database
        self._now = now
        self._settings = settings
        keep = {
            "reading_records": settings.keep_records_months,
            "slot_values": settings.keep_values_months,
            "circuit_values": settings.keep_values_months,
        }
        self.partitions = Partitions(database, keep)

    def tell_key(self, identity, key):
        """Keep a connection's report key (bytes). ServiceError forbidden, conflict; unknown_module, unauthenticated."""
        _need_connection(identity)
        now = self._now()
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            known = session.scalar(select(ReportKey).where(ReportKey.fingerprint == identity.fingerprint))
            if known is None:
                told = ReportKey(module_id=module.id, fingerprint=identity.fingerprint, key=key, told_at=now)
                session.add(told)
                return
            same = hmac.compare_digest(known.key, key)
            if not same:
                raise_alarm(session, module, "report_key", {}, now)
        if not same:
            raise ServiceError("conflict", "another key was told with this certificate")

    def take(self, identity, report):
        """Store a Report, each record once. Returns `through`.

        ServiceError forbidden, no_report_key, conflict, bad_request; unknown_module, unauthenticated.
        """
        _need_connection(identity)
        now = self._now()
        bodies = self._read_bodies(report, now)
        self._need_partitions(bodies, now)
        for left in reversed(range(_TRIES)):
            try:
                with self._database.begin() as connection:
                    return Taking(connection, identity, report, bodies, now, self._first_kept_slot(now)).run()
            except Contradiction as found:
                with self._database.write() as session:
                    module = module_of(session, identity, lock=True)
                    raise_alarm(session, module, found.alarm, found.detail, now)
                raise found.refusal from None
            except (ComesTwice, IntegrityError):  # somebody else was a little earlier
                if not left:
                    raise

    def keep_partitions(self):
        """Make what is needed soon and drop what is kept no longer. To be called now and then."""
        now = self._now()
        self._need_partitions((), now)
        return self.partitions.drop_old(now)

    def _first_kept_slot(self, now):
        return max(0, slot_of(self.partitions.first_kept("slot_values", now)))

    def _read_bodies(self, report, now):
        numbers = [record.number for record in report.records]
        if numbers and numbers[-1] > report.head:
            raise ServiceError("bad_request", "head: below the newest record")
        if report.oldest is not None and not 1 <= report.oldest <= report.head + 1:
            raise ServiceError("bad_request", "oldest: 1 to head + 1")
        if numbers and report.oldest is not None and numbers[0] < report.oldest:
            raise ServiceError("bad_request", "oldest: above the first record")
        newest = slot_of(now + _AHEAD_S)
        bodies, contracts = [], set()
        for record in report.records:
            try:
                body = decode(record.body)
            except BodyError as error:
                raise ServiceError("bad_request", f"body: {error}") from None
            if isinstance(body, SlotBody) and body.slot > newest:
                raise ServiceError("bad_request", "body: a slot that has not come yet")
            if record.body[0] != CIRCUITS:
                contracts.add(body.contract)
            bodies.append(body)
        if len(contracts) > 1:
            raise ServiceError("bad_request", "body: records of several contracts")
        return bodies

    def _need_partitions(self, bodies, now):
        this_month = month_of(now)
        months = set(range(this_month, this_month + self._settings.ahead_months + 1))
        first = self._first_kept_slot(now)
        slots = [body.slot for body in bodies if getattr(body, "slot", -1) >= first]
        ends = {month_of(slot_start(slot)) for slot in (slots[:1] + slots[-1:])}
        slots = ends if len(ends) < 2 else {month_of(slot_start(slot)) for slot in slots}
        self.partitions.need(
            {"reading_records": months, "slot_values": months | slots, "circuit_values": months | slots}
        )


def _need_connection(identity):
    if identity.kind != CONNECTION:
        raise ServiceError("forbidden", "a factory identity may not do this")
