"""Procedures: what operators plan for a module when house, equipment or supplier changes (S5, S20, R26).

docs/lifecycle.md, "At the console". Each step is one transaction: a procedure is open with its credential, its plan and
its enrolment code, or not at all, and closed with all that this takes back.
"""

import contextlib
from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from tools.pps.errors import ServiceError
from tools.pps.models import Credential, Module, Procedure, ProcedureCredential, Site
from tools.pps.services import plans
from tools.pps.services.common import module_by_serial
from tools.pps.services.credentials import LIFETIME_S, IssuedCredential, revoke_these
from tools.pps.services.enrolment import add_code, code_key, new_code, withdraw_code
from tools.pps.services.plans import KINDS, SERVER
from tools.pps.services.procedure_steps import Step, steps_of
from tools.pps.services.sites import CONTRACT, NUMBER, end_site

DAYS = (1, 30)
DEFAULT_DAYS = 7
_DAY_S = 24 * 3600


@dataclass(frozen=True)
class Opened:
    """A new procedure, with what is told once: the credential, and the enrolment code where there is one."""

    procedure: Procedure
    issued: IssuedCredential
    code: str | None


@dataclass(frozen=True)
class View:
    """A procedure as it stands: its newest Credential, what the module has now (Site or None), and the steps."""

    procedure: Procedure
    module: Module
    credential: Credential
    site: Site | None
    steps: tuple[Step, ...]


class Procedures:
    def __init__(self, database, now, wakeups, credentials):
        self._database = database
        self._now = now
        self._wakeups = wakeups
        self._credentials = credentials

    def open(self, serial, kind, order, operator, *, site=None, contract=None, days=DEFAULT_DAYS):
        """Open a procedure and issue what it takes. Of the CredentialOrder all but the scope counts; its lifetime ends
        with the deadline at the latest. Returns Opened.

        ServiceError unknown_module, too_many; bad_request with its field: kind, site, contract, days; conflict: one is
        open (field procedure), the site is another module's (field site), the form was sent before (no field).
        """
        self._check(kind, site, contract, days)
        now = self._now()
        draft = self._credentials.draft(serial, _bounded(order, kind, days * _DAY_S))
        code = new_code() if KINDS[kind].enrols else None
        key = code and code_key(code, serial)
        with self._changing(serial) as (session, module):
            self._undo_if_overdue(session, module, now)
            if plans.open_procedure_of(session, module.id) is not None:
                raise ServiceError("conflict", "a procedure is open for this module", field="procedure")
            self._need_news(session, module, site, contract)
            procedure = Procedure(
                module_id=module.id,
                kind=kind,
                status="open",
                site=site,
                contract=contract,
                opened_at=now,
                opened_by=operator,
                deadline_at=now + days * _DAY_S,
            )
            session.add(procedure)
            try:
                session.flush()
            except IntegrityError:  # an operator at another module, at once
                raise ServiceError("conflict", "this site is planned for another module", field="site") from None
            issued = self._issue(session, module, procedure, draft, operator)
            if key is not None:
                add_code(session, module, key, operator, now)
            plans.note(session, procedure, module, "opened", operator, now)
        self._wakeups.notify(module.id)
        return Opened(procedure, issued, code)

    def issue_again(self, serial, procedure_id, order, operator):
        """Another credential for an open procedure, with the same scope, in place of the one before. Returns
        IssuedCredential. ServiceError as `open`, not_found; conflict where it is not open."""
        now = self._now()
        with self._database.read() as session:
            procedure = _the(session, module_by_serial(session, serial), procedure_id)
        left_s = max(procedure.deadline_at - now, LIFETIME_S[0])
        draft = self._credentials.draft(serial, _bounded(order, procedure.kind, left_s))
        with self._changing(serial) as (session, module):
            procedure = _the_open(session, module, procedure_id)
            issued = self._issue(session, module, procedure, draft, operator)
        self._wakeups.notify(module.id)
        return issued

    def call_off(self, serial, procedure_id, operator):
        """Drop what was planned; credential and enrolment code are revoked. ServiceError not_found, conflict."""
        with self._changing(serial) as (session, module):
            procedure = _the_open(session, module, procedure_id)
            self._undo(session, procedure, module, "called_off", operator, self._now())
        self._wakeups.notify(module.id)

    def finish(self, serial, procedure_id, operator):
        """The module has left: nothing is assigned to it any more. ServiceError not_found; conflict: it is not open, or
        of a kind that is done by what the module does."""
        now = self._now()
        with self._changing(serial) as (session, module):
            procedure = _the_open(session, module, procedure_id)
            if not KINDS[procedure.kind].by_hand:
                raise ServiceError("conflict", "this is done when the module says so")
            end_site(session, module, now)
            plans.finish(session, procedure, module, operator, now)

    def undo_overdue(self):
        """Undo the procedures whose deadline has passed. To be called now and then; returns how many there were."""
        now = self._now()
        overdue = Procedure.status == "open", Procedure.deadline_at <= now
        with self._database.read() as session:
            module_ids = list(session.scalars(select(Procedure.module_id).where(*overdue)))
        count = 0
        for module_id in module_ids:
            with self._database.write() as session:
                module = session.scalar(select(Module).where(Module.id == module_id).with_for_update())
                count += self._undo_if_overdue(session, module, now)
            self._wakeups.notify(module_id)
        return count

    def of_module(self, module_id, limit=5):
        """The module's newest procedures, newest first."""
        with self._database.read() as session:
            query = select(Procedure).where(Procedure.module_id == module_id)
            return list(session.scalars(query.order_by(Procedure.id.desc()).limit(limit)))

    def listed(self, past=False, offset=0, limit=50):
        """([(Procedure, Module)], how many there are): by deadline; past: those that are over, the last one first."""
        wanted = Procedure.status != "open" if past else Procedure.status == "open"
        order = (Procedure.closed_at.desc(), Procedure.id.desc()) if past else (Procedure.deadline_at, Procedure.id)
        with self._database.read() as session:
            query = select(Procedure, Module).join(Module, Module.id == Procedure.module_id).where(wanted)
            rows = [tuple(row) for row in session.execute(query.order_by(*order).offset(offset).limit(limit))]
            return rows, session.scalar(select(func.count()).select_from(Procedure).where(wanted))

    def look(self, serial, procedure_id):
        """A View. ServiceError unknown_module, not_found."""
        with self._database.read() as session:
            module = module_by_serial(session, serial)
            procedure = _the(session, module, procedure_id)
            credentials = _credentials_of(session, procedure)
            site = session.scalar(select(Site).where(Site.module_id == module.id, Site.until_at.is_(None)))
            steps = steps_of(session, procedure, credentials)
            return View(procedure, module, credentials[-1], site, steps)

    @staticmethod
    def _check(kind, site, contract, days):
        if kind not in KINDS:
            raise ServiceError("bad_request", "kind: " + ", ".join(KINDS), field="kind")
        forms = (("site", site, NUMBER, "22 digits"), ("contract", contract, CONTRACT, "1 to 20 of 0-9 A-Z -"))
        for name, value, form, words in forms:
            if name not in KINDS[kind].plans and value is not None:
                raise ServiceError("bad_request", f"{name}: not planned here", field=name)
            if name in KINDS[kind].plans and (value is None or not form.fullmatch(value)):
                raise ServiceError("bad_request", f"{name}: {words}", field=name)
        if not DAYS[0] <= days <= DAYS[1]:
            raise ServiceError("bad_request", f"days: {DAYS[0]} to {DAYS[1]}", field="days")

    @staticmethod
    def _need_news(session, module, site, contract):
        """What is planned is not what the module has, nor another module's."""
        current = session.scalar(select(Site).where(Site.module_id == module.id, Site.until_at.is_(None)))
        if site is not None:
            elsewhere = select(Site.id).where(Site.number == site, Site.module_id != module.id, Site.until_at.is_(None))
            if session.scalar(elsewhere) is not None or plans.planned_elsewhere(session, module.id, site):
                raise ServiceError("conflict", "this site is another module's", field="site")
        if current is None or (site is None and contract is None):
            return
        if (site or current.number, contract or current.contract) == (current.number, current.contract):
            field = "site" if contract is None else "contract"
            raise ServiceError("bad_request", f"{field}: the module has it already", field=f"same_{field}")

    @contextlib.contextmanager
    def _changing(self, serial):
        """A transaction that has a module's lock. What another one was quicker to store is a conflict."""
        try:
            with self._database.write() as session:
                yield session, module_by_serial(session, serial, lock=True)
        except IntegrityError:
            raise ServiceError("conflict", "this form was sent before, or somebody else was quicker") from None

    def _issue(self, session, module, procedure, draft, operator):
        credential, issued = self._credentials.add(session, module, draft, operator)
        session.add(ProcedureCredential(procedure_id=procedure.id, credential_id=credential.id))
        return issued

    def _undo_if_overdue(self, session, module, now):
        procedure = plans.open_procedure_of(session, module.id, lock=True)
        if procedure is None or now < procedure.deadline_at:
            return False
        self._undo(session, procedure, module, "undone", SERVER, now)
        return True

    @staticmethod
    def _undo(session, procedure, module, status, operator, now):
        revoke_these(session, module, _credentials_of(session, procedure), now)
        if KINDS[procedure.kind].enrols:
            withdraw_code(session, module, operator, now)
        plans.close(session, procedure, module, status, operator, now)


def _bounded(order, kind, seconds):
    """An order with exactly the scope of a kind, and a lifetime that ends with the procedure at the latest."""
    lifetime_s = seconds if order.lifetime_s is None else min(order.lifetime_s, seconds)
    return replace(order, scope=KINDS[kind].scope, lifetime_s=lifetime_s)


def _the(session, module, procedure_id):
    procedure = session.get(Procedure, procedure_id)
    if procedure is None or procedure.module_id != module.id:
        raise ServiceError("not_found", "no such procedure")
    return procedure


def _the_open(session, module, procedure_id):
    """The module's procedure of this id, locked. ServiceError not_found; conflict where it is not open any more."""
    _the(session, module, procedure_id)
    procedure = plans.open_procedure_of(session, module.id, lock=True)
    if procedure is None or procedure.id != procedure_id:
        raise ServiceError("conflict", "this procedure is not open", field="procedure")
    return procedure


def _credentials_of(session, procedure):
    """The credentials that were issued for it, oldest first."""
    query = select(Credential).join(ProcedureCredential, ProcedureCredential.credential_id == Credential.id)
    return list(session.scalars(query.where(ProcedureCredential.procedure_id == procedure.id).order_by(Credential.id)))
