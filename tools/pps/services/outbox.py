"""Messages that go out: what waits for a gateway, what was sent, what was erased (S4)."""

import random

from sqlalchemy import func, select, update

from tools.pps.models import Message, Module

TRIES = 5
CLAIM_S = 60
_FIRST_WAIT_S = 10
_LONGEST_WAIT_S = 600


class Outbox:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def claim(self, channel=None):
        """A queued message (of a channel) whose time has come, reserved for this process for a minute, or None."""
        now = self._now()
        due = (Message.status == "queued") & (Message.next_try_at <= now)
        if channel is not None:
            due &= Message.channel == channel
        with self._database.read() as session:  # as a rule there is none, and looking writes nothing
            if session.scalar(select(Message.id).where(due).limit(1)) is None:
                return None
        with self._database.write() as session:
            message = session.scalar(select(Message).where(due).order_by(Message.next_try_at).limit(1))
            if message is None:
                return None
            claimed = session.execute(
                update(Message)
                .where(Message.id == message.id, due)
                .values(next_try_at=now + CLAIM_S, tries=Message.tries + 1)
                .execution_options(synchronize_session=False)
            )
            if not claimed.rowcount:  # another replica was faster
                return None
        return message

    def sent(self, message_id):
        """A gateway has taken the message: its text is erased."""
        now = self._now()
        with self._database.write() as session:
            message = session.get(Message, message_id)
            message.status = "sent"
            message.sent_at = now
            message.problem = None
            message.text = None
            message.erased_at = now

    def not_sent(self, message_id, problem):
        """A gateway did not take it: later again, or given up and erased. problem: a short code."""
        now = self._now()
        with self._database.write() as session:
            message = session.get(Message, message_id)
            if message.status != "queued":
                return
            message.problem = problem
            if message.tries >= TRIES:
                message.status = "failed"
                message.text = None
                message.erased_at = now
            else:
                message.next_try_at = now + wait_s(message.tries)

    def messages(self, offset=0, limit=50):
        """([(Message, Module or None)], how many there are): newest first, without what goes to the staff."""
        to_users = Message.operator_id.is_(None)
        with self._database.read() as session:
            query = select(Message, Module).outerjoin(Module, Module.id == Message.module_id).where(to_users)
            rows = session.execute(query.order_by(Message.id.desc()).offset(offset).limit(limit))
            return [tuple(row) for row in rows], session.scalar(
                select(func.count()).select_from(Message).where(to_users)
            )

    def counts(self):
        """{status: how many messages}, for those that wait or were given up."""
        with self._database.read() as session:
            query = select(Message.status, func.count()).where(Message.status.in_(("queued", "failed", "shown")))
            return {"queued": 0, "failed": 0, "shown": 0} | dict(session.execute(query.group_by(Message.status)).all())


def wait_s(tries, draw=random.random):
    """Seconds until the next try: twice as long each time, up to ten minutes; of that a random half to all of it, so
    that what failed together is not tried together."""
    longest = min(_FIRST_WAIT_S * 2 ** (tries - 1), _LONGEST_WAIT_S)
    return round(longest * (1 + draw()) / 2)
