"""The modules' audit trails (R26) and the operators' actions."""

from sqlalchemy import func, select

from tools.pps.models import AuditRecord, Module, OperatorAction
from tools.pps.services.common import module_of, raise_alarm


class AuditTrail:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def take(self, identity, records):
        """Store records (dicts as on the wire, numbers ascending), each number once. Returns `through`."""
        now = self._now()
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            module.last_seen_at = now
            numbers = [record["number"] for record in records]
            query = select(AuditRecord).where(AuditRecord.module_id == module.id, AuditRecord.number.in_(numbers))
            known, tags = {}, set()
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
                    session.add(AuditRecord(module_id=module.id, epoch=module.audit_epoch, received_at=now, **record))
            module.audit_through = through
            return through

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
