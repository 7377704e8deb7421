"""How far a procedure is, from facts: what was sent, what the module took, what its audit trail says, what it reports.

Nothing is ticked by hand, and nothing is kept: a step is done by what is there.
"""

from dataclasses import dataclass

from sqlalchemy import select

from tools.pps.models import AuditRecord, ConnectionCertificate, Message
from tools.pps.services.plans import accepted_sequences, is_under, touches


@dataclass(frozen=True)
class Step:
    """key: what it is; at: when it was done (Unix seconds) or None; problem: why it could not be, a word, or None."""

    key: str
    at: int | None
    problem: str | None = None


_STEPS = {
    "new_resident": ("sent", "taken", "unlocked", "cleared", "entered", "reported"),
    "joins": ("sent", "enrolled", "taken", "unlocked", "entered", "reported"),
    "leaves": ("sent", "taken", "unlocked", "left"),
    "moved": ("sent", "taken", "unlocked", "site", "reported"),
    "equipment": ("sent", "taken", "unlocked", "capacity"),
}
"""In the order in which they are to be expected."""

_RECORDS = {
    "unlocked": ("success", None),
    "cleared": ("delete", "customer"),
    "entered": ("change", "customer"),
    "site": ("change", "site"),
    "capacity": ("change", "capacity"),
}
"""The event of the module's audit trail, and the group, that show a step."""


def steps_of(session, procedure, credentials):
    """The Steps of a procedure; credentials: those issued for it, oldest first."""
    newest = credentials[-1]
    message = session.scalar(select(Message).where(Message.credential_id == newest.id))
    done = {
        "sent": _sent(message),
        "taken": (newest.settled_at if newest.refusal is None else None, newest.refusal and "refused"),
        "enrolled": (_enrolled(session, procedure), None),
    }
    closed = procedure.closed_at if procedure.status == "done" else None
    done["reported"] = done["left"] = (closed, None)
    records = _records(session, procedure)
    for key, (event, group) in _RECORDS.items():
        times = [
            record.received_at if record.time is None else record.time
            for record in records
            if (record.event == event if group is None else touches(record, event, group))
        ]
        done[key] = (min(times, default=None), None)
    return tuple(Step(key, *done[key]) for key in _STEPS[procedure.kind])


def _sent(message):
    if message is None:
        return None, None
    if message.status == "shown":  # there is no gateway: whoever issued it was shown the text
        return message.created_at, None
    return message.sent_at, message.status if message.status in ("failed", "dropped") else None


def _enrolled(session, procedure):
    """When the first certificate was made for the module since the procedure is open."""
    until = procedure.closed_at
    query = select(ConnectionCertificate.issued_at).where(
        ConnectionCertificate.module_id == procedure.module_id,
        ConnectionCertificate.issued_at >= procedure.opened_at,
    )
    if until is not None:
        query = query.where(ConnectionCertificate.issued_at <= until)
    return session.scalar(query.order_by(ConnectionCertificate.id).limit(1))


def _records(session, procedure):
    sequences = accepted_sequences(session, procedure)
    query = select(AuditRecord).where(
        AuditRecord.module_id == procedure.module_id,
        AuditRecord.received_at >= procedure.opened_at,
        AuditRecord.sequence.in_(sequences),
        AuditRecord.event.in_({event for event, _ in _RECORDS.values()}),
    )
    return [record for record in session.scalars(query) if is_under(record, procedure, sequences)]
