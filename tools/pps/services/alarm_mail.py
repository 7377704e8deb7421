"""Alarms by mail, to the operators who want them.

Each new alarm is one mail, as long as an operator gets no more than so many within an hour. Above that the alarms wait,
and go together into the one mail that the hour next has room for. So a fleet that fails at once fills nobody's mailbox,
and nothing is left out.
"""

from sqlalchemy import func, select

from tools.pps.messages import alarm_message
from tools.pps.models import Alarm, AlarmNotice, Message, Module, Operator

HOUR_S = 3600
_AT_ONCE = 500


class AlarmMail:
    """describe: callable (kind of alarm, language) -> words; link: of the console."""

    def __init__(self, database, now, describe, link, an_hour):
        self._database = database
        self._now = now
        self._describe = describe
        self._link = link
        self._an_hour = an_hour

    def collect(self):
        """Queue the mails that are due now. Returns how many. May be called by any number of processes."""
        with self._database.read() as session:
            new = session.scalar(select(Alarm.id).where(Alarm.noticed_at.is_(None)).limit(1))
            waiting = session.scalar(select(AlarmNotice.alarm_id).where(AlarmNotice.message_id.is_(None)).limit(1))
        if new is None and waiting is None:
            return 0
        if new is not None:
            self._note_new()
        return self._write_mails()

    def _note_new(self):
        now = self._now()
        with self._database.write() as session:
            query = select(Alarm).where(Alarm.noticed_at.is_(None)).order_by(Alarm.id).limit(_AT_ONCE)
            alarms = list(session.scalars(query.with_for_update(skip_locked=True)))
            wanting = list(session.scalars(select(Operator.id).where(_wants_mail())))
            for alarm in alarms:
                alarm.noticed_at = now
                session.add_all(AlarmNotice(operator_id=each, alarm_id=alarm.id) for each in wanting)

    def _write_mails(self):
        now = self._now()
        made = 0
        with self._database.write() as session:
            for operator in session.scalars(select(Operator).where(_wants_mail()).with_for_update()):
                recent = select(func.count()).where(
                    Message.operator_id == operator.id, Message.created_at > now - HOUR_S
                )
                room = self._an_hour - session.scalar(recent)
                if room <= 0:
                    continue
                query = select(AlarmNotice, Alarm, Module.serial).join(Alarm, Alarm.id == AlarmNotice.alarm_id)
                query = query.join(Module, Module.id == Alarm.module_id).order_by(Alarm.id)
                query = query.where(AlarmNotice.operator_id == operator.id, AlarmNotice.message_id.is_(None))
                rows = session.execute(query.with_for_update(of=AlarmNotice)).all()
                # Singly as long as there is room, and what is left over with the last.
                singles = rows if len(rows) <= room else rows[: room - 1]
                for part in [*([row] for row in singles), rows[len(singles) :]]:
                    if part:
                        self._queue(session, operator, part, now)
                        made += 1
        return made

    def _queue(self, session, operator, rows, now):
        language = operator.language
        told = [(self._describe(alarm.kind, language), serial, alarm.raised_at) for _, alarm, serial in rows]
        message = Message(
            kind="alarm" if len(rows) == 1 else "alarms",
            operator_id=operator.id,
            channel="email",
            recipient=operator.mail,
            language=language,
            text=alarm_message(language, told, self._link),
            status="queued",
            created_at=now,
        )
        session.add(message)
        session.flush()
        for notice, _, _ in rows:
            notice.message_id = message.id


def _wants_mail():
    return Operator.alarm_mail & Operator.mail.is_not(None) & Operator.disabled_at.is_(None)
