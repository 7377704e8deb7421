"""Operators: accounts with roles, and their log-in (Argon2 hashes, throttled)."""

import secrets
import threading

import argon2
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from tools.pps.errors import ServiceError
from tools.pps.models import AlarmNotice, LoginFailure, Module, ModuleAssignment, Operator
from tools.pps.services.access import OPERATOR, ROLES
from tools.pps.services.common import module_by_serial, note_action
from tools.pps.services.contacts import clean_address

PASSWORD_LENGTH = (10, 200)
FAILURE_WINDOW_S = 15 * 60
FAILURES_BY_NAME = 5
FAILURES_BY_ADDRESS = 20

_HASHES_AT_ONCE = 4
"""Each takes 64 MiB while it runs."""


class Operators:
    def __init__(self, database, now):
        self._database = database
        self._now = now
        self._hasher = argon2.PasswordHasher()
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._nobody = None

    # Accounts

    def add(self, name, password, role=OPERATOR, by=None):
        """Make an operator. by: name of who does it. ServiceError bad_request, conflict."""
        if not 1 <= len(name) <= 80 or not name.isprintable() or name != name.strip():
            raise ServiceError("bad_request", "name: 1 to 80 characters", field="name")
        _check_role(role)
        hashed = self._hash(password)
        now = self._now()
        try:
            with self._database.write() as session:
                session.add(Operator(name=name, password_hash=hashed, created_at=now, role=role))
                note_action(session, now, by or name, "operator_added", name=name, role=role)
        except IntegrityError:
            raise ServiceError("conflict", "there is an operator of this name", field="name") from None

    def all(self):
        """Every operator, those who may log in first, by name."""
        with self._database.read() as session:
            return list(session.scalars(select(Operator).order_by(Operator.disabled_at.is_not(None), Operator.name)))

    def named(self, name):
        """The operator of a name. ServiceError not_found."""
        with self._database.read() as session:
            return _by_name(session, name)

    def set_role(self, name, role, by):
        """Change a role, from the next request on. ServiceError bad_request, not_found, conflict (the last)."""
        _check_role(role)
        with self._database.write() as session:
            operator = _by_name(session, name)
            if operator.role == OPERATOR != role:
                _check_not_last(session, operator)
            if operator.role != role:
                note_action(session, self._now(), by, "role_changed", name=name, role=role)
            operator.role = role

    def disable(self, name, by):
        """Take an account away: nobody logs in with it, its sessions end. The name stays in the trail and taken."""
        with self._database.write() as session:
            operator = _by_name(session, name)
            _check_not_last(session, operator)
            if operator.disabled_at is None:
                operator.disabled_at = self._now()
                operator.session_epoch += 1
                operator.alarm_mail = False
                _drop_notices(session, operator)
                note_action(session, self._now(), by, "operator_disabled", name=name)

    def set_password(self, name, password, by):
        """Give an account another password, and its use back if it was taken away. Its sessions end."""
        hashed = self._hash(password)
        with self._database.write() as session:
            operator = _by_name(session, name)
            operator.password_hash = hashed
            operator.session_epoch += 1
            operator.disabled_at = None
            note_action(session, self._now(), by, "password_changed", name=name)
        return operator

    def set_mail(self, operator_id, address, language, alarm_mail):
        """Where an operator's alarms go. address: "" = nowhere. ServiceError bad_request."""
        if address and clean_address("email", address) is None:
            raise ServiceError("bad_request", "mail: an e-mail address", field="mail")
        if language not in ("ja", "en") or (alarm_mail and not address):
            raise ServiceError("bad_request", "mail: an address and a language", field="mail")
        with self._database.write() as session:
            operator = session.get(Operator, operator_id)
            operator.mail = address or None
            operator.language = language
            operator.alarm_mail = alarm_mail
            if not alarm_mail:
                _drop_notices(session, operator)
            note_action(session, self._now(), operator.name, "mail_changed", alarms=alarm_mail)

    # Installers' modules

    def assign(self, serial, name, by):
        """Put a module on an operator's list. Doing it again changes nothing. ServiceError."""
        with self._database.write() as session:
            module, operator = module_by_serial(session, serial), _by_name(session, name)
            if session.get(ModuleAssignment, (operator.id, module.id)) is None:
                session.add(ModuleAssignment(operator_id=operator.id, module_id=module.id))
                note_action(session, self._now(), by, "assigned", module, name=name)

    def unassign(self, serial, name, by):
        """Take it off again. ServiceError."""
        with self._database.write() as session:
            module, operator = module_by_serial(session, serial), _by_name(session, name)
            found = session.get(ModuleAssignment, (operator.id, module.id))
            if found is not None:
                session.delete(found)
                note_action(session, self._now(), by, "unassigned", module, name=name)

    def assigned_to(self, module_id):
        """Names of those who have a module on their list."""
        with self._database.read() as session:
            query = select(Operator.name).join(ModuleAssignment, ModuleAssignment.operator_id == Operator.id)
            return list(session.scalars(query.where(ModuleAssignment.module_id == module_id).order_by(Operator.name)))

    def modules_of(self, operator_id):
        """Ids of the modules on an operator's list."""
        with self._database.read() as session:
            query = select(ModuleAssignment.module_id).join(Module, Module.id == ModuleAssignment.module_id)
            return list(session.scalars(query.where(ModuleAssignment.operator_id == operator_id)))

    # Log-in

    def log_in(self, name, password, address):
        """The operator, or None where name or password is wrong. ServiceError too_many.

        Failures count by name and by address for a quarter of an hour; above the limit nothing is judged.
        """
        now = self._now()
        with self._database.write() as session:
            session.execute(delete(LoginFailure).where(LoginFailure.at <= now - FAILURE_WINDOW_S))
            by_name = _count(session, LoginFailure.name == name[:80])
            by_address = _count(session, LoginFailure.address == address)
            if by_name >= FAILURES_BY_NAME or by_address >= FAILURES_BY_ADDRESS:
                raise ServiceError("too_many", "too many failed log-ins", retry_after_s=FAILURE_WINDOW_S)
            operator = session.scalar(select(Operator).where(Operator.name == name, Operator.disabled_at.is_(None)))
            # Counted before it is judged, so that tries at the same time do not slip through.
            failure = LoginFailure(name=name[:80], address=address, at=now)
            session.add(failure)
        if not self._matches(operator, password):
            return None
        with self._database.write() as session:
            session.execute(delete(LoginFailure).where(LoginFailure.name == name))
            note_action(session, now, operator.name, "log_in")
        return operator

    def of_session(self, operator_id, epoch):
        """The operator of a session, or None where it was ended."""
        with self._database.read() as session:
            operator = session.get(Operator, operator_id)
        if operator is None or operator.session_epoch != epoch or operator.disabled_at is not None:
            return None
        return operator

    def log_out(self, operator_id):
        """End all sessions of an operator."""
        now = self._now()
        with self._database.write() as session:
            operator = session.get(Operator, operator_id)
            operator.session_epoch += 1
            note_action(session, now, operator.name, "log_out")

    def _hash(self, password):
        if not PASSWORD_LENGTH[0] <= len(password) <= PASSWORD_LENGTH[1]:
            raise ServiceError(
                "bad_request", f"password: {PASSWORD_LENGTH[0]} to {PASSWORD_LENGTH[1]} characters", field="password"
            )
        with self._hashing:
            return self._hasher.hash(password)

    def _matches(self, operator, password):
        with self._hashing:
            if self._nobody is None:
                self._nobody = self._hasher.hash(secrets.token_hex(16))
            # An unknown name costs as much time as a wrong password.
            hashed = operator.password_hash if operator is not None else self._nobody
            try:
                self._hasher.verify(hashed, password)
            except argon2.exceptions.VerifyMismatchError:
                return False
        return operator is not None


def new_password():
    """A password to hand over once: 16 characters, 96 bits."""
    return secrets.token_urlsafe(12)


def _drop_notices(session, operator):
    waiting = (AlarmNotice.operator_id == operator.id) & AlarmNotice.message_id.is_(None)
    session.execute(delete(AlarmNotice).where(waiting))


def _check_role(role):
    if role not in ROLES:
        raise ServiceError("bad_request", f"role: {', '.join(ROLES)}", field="role")


def _by_name(session, name):
    operator = session.scalar(select(Operator).where(Operator.name == name).with_for_update())
    if operator is None:
        raise ServiceError("not_found", "there is no operator of this name")
    return operator


def _check_not_last(session, operator):
    """Somebody has to be left who may manage the others."""
    query = select(Operator.id).where(Operator.role == OPERATOR, Operator.disabled_at.is_(None)).with_for_update()
    if list(session.scalars(query)) == [operator.id]:
        raise ServiceError("conflict", "the last operator stays one")


def _count(session, condition):
    return session.scalar(select(func.count()).select_from(LoginFailure).where(condition))
