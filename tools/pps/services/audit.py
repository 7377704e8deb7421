"""The modules' audit trails (R26) and the operators' actions."""

import hmac

from sqlalchemy import func, select

from tools.pps.errors import ServiceError
from tools.pps.models import AuditRecord, Module, OperatorAction, ReportKey
from tools.pps.services import plans
from tools.pps.services.common import module_of, raise_alarm


def audit_mac(key, number, before, tag):
    """`mac` of docs/api.md, hex. key: bytes; before and tag: hex."""
    message = b"inkan audit" + number.to_bytes(4, "little") + bytes.fromhex(before) + bytes.fromhex(tag)
    return hmac.digest(key, message, "sha256")[:16].hex()


class AuditTrail:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def take(self, identity, records, before=None):
        """Store records (dicts as on the wire, numbers ascending), each number once. Returns `through`.

        before: tag of the record before the first one, hex, where the module says it. ServiceError conflict where that
        or a MAC does not fit.
        """
        now = self._now()
        wrong = self._wrong(identity, records, before)
        if wrong is not None:
            with self._database.write() as session:
                module = module_of(session, identity, lock=True)
                raise_alarm(session, module, "audit_conflict", wrong, now)
            raise ServiceError("conflict", "the chain of the records does not hold")
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            module.last_seen_at = now
            numbers = [record["number"] for record in records]
            query = select(AuditRecord).where(AuditRecord.module_id == module.id, AuditRecord.number.in_(numbers))
            known, tags, added = {}, set(), []
            for row in session.scalars(query):
                tags.add((row.number, row.tag))
                if row.epoch == module.audit_epoch:
                    known[row.number] = row.tag
            through = module.audit_through
            # After a new start the ring need not begin with number 1: what it no longer holds is not missed.
            expected = None if through == 0 and module.audit_epoch else through + 1
            for record in records:
                number = record["number"]
                if expected is not None and number > expected:
                    gap = {"first": expected, "last": number - 1}
                    raise_alarm(session, module, "audit_gap", gap, now)
                expected = max(number, through) + 1
                through = max(number, through)
                if number in known:
                    if known[number] != record["tag"]:
                        raise_alarm(session, module, "audit_conflict", {"number": number}, now)
                elif (number, record["tag"]) not in tags:
                    row = AuditRecord(module_id=module.id, epoch=module.audit_epoch, received_at=now, **record)
                    row.before = before
                    session.add(row)
                    added.append(row)
                before = record["tag"] if number + 1 in numbers else None
            module.audit_through = through
            plans.take_audit(session, module, added, now)
            return through

    def _wrong(self, identity, records, before):
        """What is wrong with the chain, for the alarm, or None."""
        macs = any(record.get("mac") is not None for record in records)
        if before is None and not macs:
            return None
        with self._database.read() as session:
            module = module_of(session, identity)
            first = records[0]["number"]
            query = select(AuditRecord.tag).where(
                AuditRecord.module_id == module.id,
                AuditRecord.epoch == module.audit_epoch,
                AuditRecord.number == first - 1,
            )
            here = session.scalar(query)
            key = session.scalar(select(ReportKey.key).where(ReportKey.fingerprint == identity.fingerprint))
        if before is not None and here is not None and here != before:
            return {"number": first, "reason": "before"}
        if not macs:
            return None
        last = first - 1
        for record in records:
            number = record["number"]
            if number != last + 1:
                before = None  # a gap: what the record continues is not here
            last = number
            if record.get("mac") is not None:
                fits = key is not None and before is not None
                if not fits or not hmac.compare_digest(audit_mac(key, number, before, record["tag"]), record["mac"]):
                    return {"number": number, "reason": "mac"}
            before = record["tag"]
        return None

    def records(self, module_id=None, offset=0, limit=50, *, event=None, door=None, since=None, until=None):
        """([(AuditRecord, Module)], how many there are): newest first, of one module or of all.

        Where they are given, only those of an event, of a door, received from `since` on, before `until`.
        """
        wanted = _wanted(
            (module_id, AuditRecord.module_id == module_id),
            (event, AuditRecord.event == event),
            (door, AuditRecord.door == door),
            (since, AuditRecord.received_at >= (since or 0)),
            (until, AuditRecord.received_at < (until or 0)),
        )
        with self._database.read() as session:
            query = select(AuditRecord, Module).join(Module, Module.id == AuditRecord.module_id).where(*wanted)
            if module_id is not None:
                query = query.order_by(AuditRecord.epoch.desc(), AuditRecord.number.desc())
            else:
                query = query.order_by(AuditRecord.id.desc())
            rows = session.execute(query.offset(offset).limit(limit))
            total = session.scalar(select(func.count()).select_from(AuditRecord).where(*wanted))
            return [tuple(row) for row in rows], total

    def actions(self, offset=0, limit=50, *, module_id=None, operator=None, action=None, since=None, until=None):
        """([(OperatorAction, Module or None)], how many there are): newest first, filtered likewise."""
        wanted = _wanted(
            (module_id, OperatorAction.module_id == module_id),
            (operator, OperatorAction.operator == operator),
            (action, OperatorAction.action == action),
            (since, OperatorAction.at >= (since or 0)),
            (until, OperatorAction.at < (until or 0)),
        )
        with self._database.read() as session:
            query = select(OperatorAction, Module).outerjoin(Module, Module.id == OperatorAction.module_id)
            rows = session.execute(query.where(*wanted).order_by(OperatorAction.id.desc()).offset(offset).limit(limit))
            total = session.scalar(select(func.count()).select_from(OperatorAction).where(*wanted))
            return [tuple(row) for row in rows], total


def _wanted(*conditions):
    """The conditions whose value was given."""
    return [condition for given, condition in conditions if given is not None]
