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

    def records(self, module_id=None, offset=0, limit=50):
        """([(AuditRecord, Module)], how many there are): newest first, of one module or of all."""
        with self._database.read() as session:
            query = select(AuditRecord, Module).join(Module, Module.id == AuditRecord.module_id)
            count = select(func.count()).select_from(AuditRecord)
            if module_id is not None:
                query = query.where(AuditRecord.module_id == module_id)
                query = query.order_by(AuditRecord.epoch.desc(), AuditRecord.number.desc())
                count = count.where(AuditRecord.module_id == module_id)
            else:
                query = query.order_by(AuditRecord.id.desc())
            rows = session.execute(query.offset(offset).limit(limit))
            return [tuple(row) for row in rows], session.scalar(count)

    def actions(self, offset=0, limit=50):
        """([(OperatorAction, Module or None)], how many there are): newest first."""
        with self._database.read() as session:
            query = select(OperatorAction, Module).outerjoin(Module, Module.id == OperatorAction.module_id)
            rows = session.execute(query.order_by(OperatorAction.id.desc()).offset(offset).limit(limit))
            total = session.scalar(select(func.count()).select_from(OperatorAction))
            return [tuple(row) for row in rows], total
