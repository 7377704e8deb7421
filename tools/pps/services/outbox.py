"""Messages to users: what waits for a gateway, what was sent, what was erased (S4)."""

from sqlalchemy import func, select, update

from tools.pps.models import Message, Module

TRIES = 5
_FIRST_WAIT_S = 10
_CLAIM_S = 60


class Outbox:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def claim(self):
        """A queued message whose time has come, reserved for this process for a minute, or None."""
        now = self._now()
        with self._database.write() as session:
            due = (Message.status == "queued") & (Message.next_try_at <= now)
            message = session.scalar(select(Message).where(due).order_by(Message.next_try_at).limit(1))
            if message is None:
                return None
            claimed = session.execute(
                update(Message)
                .where(Message.id == message.id, due)
                .values(next_try_at=now + _CLAIM_S, tries=Message.tries + 1)
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
                message.next_try_at = now + _FIRST_WAIT_S * 2 ** (message.tries - 1)

    def messages(self, offset=0, limit=50):
        """([(Message, Module)], how many there are): newest first."""
        with self._database.read() as session:
            query = select(Message, Module).join(Module, Module.id == Message.module_id)
            rows = session.execute(query.order_by(Message.id.desc()).offset(offset).limit(limit))
            return [tuple(row) for row in rows], session.scalar(select(func.count()).select_from(Message))
