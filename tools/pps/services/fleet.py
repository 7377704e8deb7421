"""The modules, what they say of themselves, and alarms (S10, S19)."""

import re

from sqlalchemy import func, or_, select
from sqlalchemy.exc import IntegrityError

from tools.pps.errors import ServiceError
from tools.pps.identity import CONNECTION
from tools.pps.models import (
    HIGHEST,
    OPEN_STATUSES,
    USED_UP,
    Alarm,
    ConnectionCertificate,
    Credential,
    Module,
    ModuleAssignment,
)
from tools.pps.services.common import (
    certificate_of,
    end_alarms,
    limit_relay,
    module_by_serial,
    module_of,
    note_action,
    raise_alarm,
)
from tools.pps.services.credentials import accept_reported

SERIAL = re.compile(r"[A-Za-z0-9-]{1,32}")
NAME_LENGTH = 80


class Fleet:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def register(self, serial, name, operator):
        """Make a module known. ServiceError bad_request, conflict where it is known already."""
        name = name.strip()
        if not SERIAL.fullmatch(serial):
            raise ServiceError("bad_request", "serial number: 1 to 32 letters, digits and hyphens", field="serial")
        if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
            raise ServiceError("bad_request", f"name: 1 to {NAME_LENGTH} characters", field="name")
        now = self._now()
        try:
            with self._database.write() as session:
                module = Module(serial=serial, name=name, registered_at=now, highest={})
                session.add(module)
                session.flush()
                note_action(session, now, operator, "register", module)
        except IntegrityError:
            raise ServiceError("conflict", "this serial number is registered already") from None
        return module

    def id_of(self, identity):
        """Id of an identity's module. ServiceError unknown_module, unauthenticated."""
        with self._database.read() as session:
            return module_of(session, identity).id

    def hello(self, identity, firmware, state):
        """Take a module's state. Returns ({counter: highest}, audit_through, now). Raises ServiceError."""
        now = self._now()
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            if identity.kind == CONNECTION:
                _supersede_older_certificates(session, module, identity, now)
            _take_credential_report(session, module, identity, state["credential"], now)
            behind = {
                counter: [module.highest[counter], state[counter]]
                for counter in HIGHEST
                if state[counter] < module.highest.get(counter, 0)
            }
            if behind:
                raise_alarm(session, module, "rollback", behind, now)
            else:
                end_alarms(session, module, "rollback", now)
            module.highest = {counter: max(state[counter], module.highest.get(counter, 0)) for counter in HIGHEST}
            tamper = {"reason": state["tamper"]} if state["tamper"] else None
            if tamper:
                raise_alarm(session, module, "tamper", tamper, now)
            end_alarms(session, module, "tamper", now, but=tamper)
            module.last_seen_at = module.last_hello_at = now
            module.last_identity = identity.kind
            module.firmware = firmware
            module.state = state
            return dict(module.highest), module.audit_through, now

    def forget_highest(self, serial, operator):
        """Take the module's next state as it comes: it was provisioned anew."""
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            _forget(module)
            note_action(session, now, operator, "forget", module)

    def acknowledge_alarm(self, serial, alarm_id, operator):
        """An operator has seen an alarm. ServiceError not_found."""
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            alarm = session.get(Alarm, alarm_id)
            if alarm is None or alarm.module_id != module.id:
                raise ServiceError("not_found", "no such alarm")
            if alarm.acknowledged_at is None:
                alarm.acknowledged_at = now
                alarm.acknowledged_by = operator
                note_action(session, now, operator, "acknowledge", module, kind=alarm.kind)

    def note_export(self, serial, first, last, operator):
        """Write down that somebody took a module's half-hour values away, from one date (text) to another."""
        with self._database.write() as session:
            module = module_by_serial(session, serial)
            note_action(session, self._now(), operator, "export", module, first=first, last=last)

    def module(self, serial):
        """The module of a serial number. ServiceError unknown_module."""
        with self._database.read() as session:
            return module_by_serial(session, serial)

    def modules(self, search="", offset=0, limit=50, assigned_to=None):
        """([(Module, newest open Credential or None, open alarms)], how many there are in all), by serial number.

        assigned_to: id of an operator whose list is wanted alone.
        """
        matching = select(Module)
        if assigned_to is not None:
            assigned = select(ModuleAssignment.module_id).where(ModuleAssignment.operator_id == assigned_to)
            matching = matching.where(Module.id.in_(assigned))
        if search:
            pattern = "%" + re.sub(r"([\\%_])", r"\\\1", search.lower()) + "%"
            matching = matching.where(
                or_(
                    func.lower(Module.serial).like(pattern, escape="\\"),
                    func.lower(Module.name).like(pattern, escape="\\"),
                )
            )
        with self._database.read() as session:
            total = session.scalar(select(func.count()).select_from(matching.subquery()))
            modules = list(session.scalars(matching.order_by(Module.serial).offset(offset).limit(limit)))
            ids = [module.id for module in modules]
            open_credentials = select(Credential).where(
                Credential.module_id.in_(ids), Credential.status.in_(OPEN_STATUSES)
            )
            newest = {
                credential.module_id: credential
                for credential in session.scalars(open_credentials.order_by(Credential.sequence))
            }
            alarms = {}
            query = select(Alarm).where(Alarm.module_id.in_(ids), Alarm.acknowledged_at.is_(None))
            for alarm in session.scalars(query.order_by(Alarm.raised_at)):
                alarms.setdefault(alarm.module_id, []).append(alarm)
        rows = [(module, newest.get(module.id), alarms.get(module.id, [])) for module in modules]
        return rows, total

    def alarms(self, module_id, limit=20):
        """A module's alarms, open ones first, then newest first."""
        with self._database.read() as session:
            query = select(Alarm).where(Alarm.module_id == module_id)
            query = query.order_by(Alarm.acknowledged_at.is_not(None), Alarm.raised_at.desc()).limit(limit)
            return list(session.scalars(query))

    def all_alarms(self, kinds=None, past=False, offset=0, limit=50):
        """([(Alarm, Module)], how many there are): newest first; of some kinds; past: with those acknowledged."""
        wanted = [] if past else [Alarm.acknowledged_at.is_(None)]
        if kinds is not None:
            wanted.append(Alarm.kind.in_(kinds))
        with self._database.read() as session:
            query = select(Alarm, Module).join(Module, Module.id == Alarm.module_id).where(*wanted)
            query = query.order_by(Alarm.acknowledged_at.is_not(None), Alarm.raised_at.desc(), Alarm.id.desc())
            rows = [tuple(row) for row in session.execute(query.offset(offset).limit(limit))]
            return rows, session.scalar(select(func.count()).select_from(Alarm).where(*wanted))

    def open_alarm_count(self):
        """How many alarms of all modules nobody has acknowledged."""
        with self._database.read() as session:
            query = select(func.count()).select_from(Alarm).where(Alarm.acknowledged_at.is_(None))
            return session.scalar(query)


def _supersede_older_certificates(session, module, identity, now):
    certificate = certificate_of(session, identity)
    if certificate is None or certificate.first_used_at is not None:
        return
    certificate.first_used_at = now
    older = select(ConnectionCertificate).where(
        ConnectionCertificate.module_id == module.id,
        ConnectionCertificate.id < certificate.id,
        ConnectionCertificate.superseded_at.is_(None),
    )
    for other in session.scalars(older):
        other.superseded_at = now


def _take_credential_report(session, module, identity, report, now):
    """Keep what the module says of the credential that it has from us, by whichever identity it says it."""
    if report is None:
        return
    credential = session.scalar(
        select(Credential).where(
            Credential.module_id == module.id,
            Credential.sequence == report["sequence"],
            Credential.identity == report["issuer"],
        )
    )
    if credential is None:
        return
    accept_reported(session, credential, module, now)
    credential.successes = report["successes"]
    credential.failures = report["failures"]
    credential.changes = report["changes"]
    if report["ended"] is None:
        return
    credential.ended = report["ended"]
    if credential.status == "accepted":
        credential.status = "ended"
        credential.closed_at = now
        if report["ended"] not in USED_UP:
            limit_relay(session, credential, now)
    if report["ended"] == "wiped" and credential.scope["recover"] and not credential.wipe_seen:
        credential.wipe_seen = True
        _forget(module)


def _forget(module):
    module.highest = {}
    module.audit_epoch += 1
    module.audit_through = 0
