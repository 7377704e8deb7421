"""Operators and their log-in: Argon2 hashes, throttled."""

import secrets

import argon2
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from tools.pps.errors import ServiceError
from tools.pps.models import LoginFailure, Operator
from tools.pps.services.common import note_action

PASSWORD_LENGTH = (10, 200)
FAILURE_WINDOW_S = 15 * 60
FAILURES_BY_NAME = 5
FAILURES_BY_ADDRESS = 20


class Operators:
    def __init__(self, database, now):
        self._database = database
        self._now = now
        self._hasher = argon2.PasswordHasher()
        self._nobody = None

    def add(self, name, password):
        """Make an operator. ServiceError bad_request, conflict."""
        if not 1 <= len(name) <= 80 or not name.isprintable() or name != name.strip():
            raise ServiceError("bad_request", "name: 1 to 80 characters")
        if not PASSWORD_LENGTH[0] <= len(password) <= PASSWORD_LENGTH[1]:
            raise ServiceError("bad_request", f"password: {PASSWORD_LENGTH[0]} to {PASSWORD_LENGTH[1]} characters")
        hashed = self._hasher.hash(password)
        now = self._now()
        try:
            with self._database.write() as session:
                session.add(Operator(name=name, password_hash=hashed, created_at=now))
                note_action(session, now, name, "operator_added")
        except IntegrityError:
            raise ServiceError("conflict", "there is an operator of this name") from None

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
            operator = session.scalar(select(Operator).where(Operator.name == name))
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
        return operator if operator is not None and operator.session_epoch == epoch else None

    def log_out(self, operator_id):
        """End all sessions of an operator."""
        now = self._now()
        with self._database.write() as session:
            operator = session.get(Operator, operator_id)
            operator.session_epoch += 1
            note_action(session, now, operator.name, "log_out")

    def _matches(self, operator, password):
        if self._nobody is None:
            self._nobody = self._hasher.hash(secrets.token_hex(16))
        # An unknown name costs as much time as a wrong password.
        hashed = operator.password_hash if operator is not None else self._nobody
        try:
            self._hasher.verify(hashed, password)
        except argon2.exceptions.VerifyMismatchError:
            return False
        return operator is not None


def _count(session, condition):
    return session.scalar(select(func.count()).select_from(LoginFailure).where(condition))
