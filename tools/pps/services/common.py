"""Queries that several services share. All take a session and belong to the caller's transaction."""

from sqlalchemy import select, update

from tools.pps.errors import ServiceError
from tools.pps.identity import CONNECTION
from tools.pps.models import Alarm, ConnectionCertificate, Message, Module, OperatorAction, RelayConversation

_ONE_OPEN = ("rollback", "audit_conflict", "readings_rollback", "readings_conflict", "readings_foreign", "report_key")
_LAST_WORDS_S = 30


def module_by_serial(session, serial, *, lock=False):
    """The module of a serial number; with lock, other transactions wait for this one. ServiceError unknown_module."""
    query = select(Module).where(Module.serial == serial)
    module = session.scalar(query.with_for_update() if lock else query)
    if module is None:
        raise ServiceError("unknown_module", "this serial number is not registered")
    return module


def module_of(session, identity, *, lock=False):
    """The module that an identity belongs to. ServiceError unknown_module, unauthenticated."""
    module = module_by_serial(session, identity.serial, lock=lock)
    if identity.kind == CONNECTION:
        certificate = certificate_of(session, identity)
        if certificate is not None and certificate.superseded_at is not None:
            raise ServiceError("unauthenticated", "a newer certificate is in use")
    return module


def certificate_of(session, identity):
    """The issued certificate of a connection, or None where it is not on record."""
    return session.scalar(
        select(ConnectionCertificate).where(ConnectionCertificate.fingerprint == identity.fingerprint)
    )


def raise_alarm(session, module, kind, detail, now):
    """Raise an alarm, or renew the open one that says the same."""
    open_alarms = session.scalars(
        select(Alarm).where(Alarm.module_id == module.id, Alarm.kind == kind, Alarm.acknowledged_at.is_(None))
    )
    for alarm in open_alarms:
        if kind in _ONE_OPEN or alarm.detail == detail:
            alarm.last_at = now
            alarm.over_at = None
            return
    session.add(Alarm(module_id=module.id, kind=kind, detail=detail, raised_at=now, last_at=now))


def end_alarms(session, module, kind, now, *, but=None):
    """Mark alarms of a kind as over: the module does not say so any more. `but`: a detail that it still says."""
    for alarm in session.scalars(
        select(Alarm).where(Alarm.module_id == module.id, Alarm.kind == kind, Alarm.over_at.is_(None))
    ):
        if alarm.detail != but:
            alarm.over_at = now


def erase_verifier(credential):
    credential.w0 = credential.l = credential.salt = None


def erase_text(session, credential, now, *, dropped):
    """Erase the message's text (S4).

    One that a gateway has still to take stays until it did, unless its credential is dead (dropped).
    """
    message = session.scalar(select(Message).where(Message.credential_id == credential.id))
    if message is None or message.text is None or (message.status == "queued" and not dropped):
        return
    if message.status == "queued":
        message.status = "dropped"
    message.text = None
    message.erased_at = now


def limit_relay(session, credential, now):
    """A credential has ended, and with it what goes through the relay: the module may still say so."""
    session.execute(
        update(RelayConversation)
        .where(RelayConversation.credential_id == credential.id, RelayConversation.ended_at.is_(None))
        .values(last_at=now + _LAST_WORDS_S)
    )


def note_action(session, now, operator, action, module=None, **detail):
    """Write down what an operator did. Never a secret."""
    session.add(
        OperatorAction(at=now, operator=operator, action=action, module_id=module.id if module else None, detail=detail)
    )
