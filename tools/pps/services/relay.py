"""The relay (R20, S5): passes a phone's and a module's frames on, and understands none of them. See docs/api.md."""

import threading
from dataclasses import dataclass

from sqlalchemy import delete, func, select

from tools.pps.errors import ServiceError
from tools.pps.identity import CONNECTION
from tools.pps.models import OPEN_STATUSES, USED_UP, Credential, Module, RelayConversation, RelayFrame
from tools.pps.services.common import module_of, note_action
from tools.pps.services.credentials import token_hash

OPERATOR = "relay"
"""Under this name the server's audit trail has what phones do."""

FRAMES_WAITING = 4
SILENCE_S = 120
ONLINE_S = 90
KEPT_S = 600
BEGUN_IN_KEPT_S = 20
USED_UP_S = 3600
REFUSALS = 30
REFUSALS_S = 60
_ADDRESSES = 4096
_SEEN_EVERY_S = 15


@dataclass(frozen=True)
class PhoneView:
    """Answer to a phone. frames: [(number, bytes)]; conversation_id: None where there is nothing to wait for."""

    conversation_id: int | None
    frames: list
    online: bool
    closed: bool
    version: int = 0

    @property
    def has_news(self):
        return bool(self.frames) or self.closed or not self.online


@dataclass(frozen=True)
class ModuleView:
    """`relay` of the answer to a poll: `name` of a conversation and its next frame, or no frame: it is over."""

    name: str
    number: int | None = None
    frame: bytes | None = None


class Relay:
    """wakeups: of the modules' polls; phone_wakeups: of the phones', by conversation."""

    def __init__(self, database, now, wakeups, phone_wakeups):
        self._database = database
        self._now = now
        self._wakeups = wakeups
        self.phone_wakeups = phone_wakeups
        self._refusals = _Refusals()

    # The phone

    def phone(self, token, name, received, frames, close, address):
        """Take what a phone sends, frames as [(number, bytes)] ascending, and see what there is. Returns PhoneView.

        ServiceError not_found, conflict, too_many; then nothing was taken.
        """
        now = self._now()
        with self._database.read() as session:
            found = session.scalar(select(Credential).where(Credential.relay_hash == token_hash(token)))
        if found is None:
            raise self._refusals.refuse(address, now)
        with self._database.write() as session:
            module = session.scalar(select(Module).where(Module.id == found.module_id).with_for_update())
            credential = session.get(Credential, found.id)
            conversation = session.scalar(
                select(RelayConversation).where(
                    RelayConversation.module_id == module.id, RelayConversation.name == name
                )
            )
            if conversation is not None and conversation.credential_id != credential.id:
                return PhoneView(None, [], _is_online(module, now), True)
            if conversation is None:
                if not _begins_conversations(credential, now):
                    raise self._refusals.refuse(address, now)
                if close or received or not frames or frames[0][0] != 1:
                    return PhoneView(None, [], _is_online(module, now), True)
                if not _is_online(module, now):
                    return PhoneView(None, [], False, False)
                conversation = self._begin(session, module, credential, name, now)
            else:
                _end_if_due(session, conversation, now)
            if conversation.ended_at is None:
                if close:
                    _end(session, conversation, "phone", now)
                else:
                    conversation.phone_seen_at = now
                    _take(session, conversation, True, frames)
            _taken(session, conversation, False, received)
            if frames or close:
                module.news_version += 1
            view = _phone_view(session, module, conversation, received, now)
        if frames or close:
            self._wakeups.notify(module.id)
        return view

    def look(self, conversation_id, received):
        """What a phone that waits would be answered now: PhoneView."""
        now = self._now()
        with self._database.read() as session:
            conversation = session.get(RelayConversation, conversation_id)
            if conversation is None:
                return PhoneView(None, [], False, True)
            module = session.get(Module, conversation.module_id)
            return _phone_view(session, module, conversation, received, now)

    def _begin(self, session, module, credential, name, now):
        recent = select(func.count()).where(
            RelayConversation.credential_id == credential.id, RelayConversation.begun_at > now - KEPT_S
        )
        if session.scalar(recent) >= BEGUN_IN_KEPT_S:
            raise ServiceError("too_many", "too many conversations", retry_after_s=60)
        former = _open_conversation(session, module)
        if former is not None:
            _end(session, former, "replaced", now)
            self.phone_wakeups.notify(former.id)
        conversation = RelayConversation(
            module_id=module.id,
            credential_id=credential.id,
            name=name,
            begun_at=now,
            phone_seen_at=now,
            module_seen_at=now,
        )
        session.add(conversation)
        session.flush()
        note_action(session, now, OPERATOR, "relay_begun", module, sequence=credential.sequence)
        return conversation

    # The module

    def for_module(self, identity, asked):
        """What a poll is answered now: ModuleView or None. asked: (name, last number taken), None for no conversation.

        ServiceError unknown_module, unauthenticated.
        """
        now = self._now()
        with self._database.read() as session:
            module = module_of(session, identity)
            conversation = _open_conversation(session, module, identity)
            if not _has_to_write(conversation, asked, now):
                return _module_view(session, conversation, asked)
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            conversation = _open_conversation(session, module, identity)
            heard = conversation is None or _hear(session, conversation, asked, now)
            view = _module_view(session, conversation if heard else None, asked)
        if not heard:
            self.phone_wakeups.notify(conversation.id)
        return view

    def from_module(self, identity, name, number, frame):
        """Take a frame, or None for the end, of a module's conversation. ServiceError conflict, too_many."""
        now = self._now()
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            conversation = _open_conversation(session, module, identity)
            if conversation is None or conversation.name != name or _end_if_due(session, conversation, now):
                raise ServiceError("conflict", "this conversation is over")
            conversation.module_seen_at = module.last_seen_at = now
            if frame is not None:
                _take(session, conversation, False, [(number, frame)])
            else:
                _end(session, conversation, "module", now)
            conversation.version += 1
        self.phone_wakeups.notify(conversation.id)

    # Keeping

    def sweep(self):
        """End what is due and forget what ended long ago; to be called now and then."""
        now = self._now()
        ended = []
        with self._database.write() as session:
            query = select(RelayConversation).where(RelayConversation.ended_at.is_(None))
            for conversation in session.scalars(query):
                if _end_if_due(session, conversation, now):
                    session.get(Module, conversation.module_id).news_version += 1
                    ended.append(conversation)
            old = select(RelayConversation.id).where(RelayConversation.ended_at <= now - KEPT_S)
            session.execute(delete(RelayFrame).where(RelayFrame.conversation_id.in_(old)))
            session.execute(delete(RelayConversation).where(RelayConversation.ended_at <= now - KEPT_S))
        for conversation in ended:
            self._wakeups.notify(conversation.module_id)
            self.phone_wakeups.notify(conversation.id)

    def versions(self, conversation_ids):
        """{conversation id: version} for those that phones wait for."""
        versions = {}
        with self._database.read() as session:
            for start in range(0, len(conversation_ids), 500):  # SQLite bounds the parameters of a statement
                chunk = conversation_ids[start : start + 500]
                query = select(RelayConversation.id, RelayConversation.version)
                versions.update(tuple(row) for row in session.execute(query.where(RelayConversation.id.in_(chunk))))
        return versions

    def is_open(self, module_id):
        """Whether a phone has a conversation with the module."""
        with self._database.read() as session:
            query = select(RelayConversation.id).where(
                RelayConversation.module_id == module_id, RelayConversation.ended_at.is_(None)
            )
            return session.scalar(query.limit(1)) is not None


class _Refusals:
    """How often an address named a token that is none, of late. Bounded; each process counts for itself."""

    def __init__(self):
        self._counts = {}
        self._since = 0
        self._lock = threading.Lock()

    def refuse(self, address, now):
        """Count one; returns the ServiceError to raise."""
        with self._lock:
            if not 0 <= now - self._since < REFUSALS_S or len(self._counts) >= _ADDRESSES:
                self._counts = {}
                self._since = now
            count = self._counts[address] = self._counts.get(address, 0) + 1
        if count > REFUSALS:
            return ServiceError("too_many", "slow down", retry_after_s=REFUSALS_S)
        return ServiceError("not_found", "no such token")


def _begins_conversations(credential, now):
    """Whether a credential's token may begin a conversation."""
    if credential.status in OPEN_STATUSES:
        lifetime_s, since = credential.lifetime_s, credential.settled_at
        return lifetime_s is None or since is None or now < since + lifetime_s
    return credential.ended in USED_UP and credential.status == "ended" and now < credential.closed_at + USED_UP_S


def _is_online(module, now):
    return module.last_seen_at is not None and now - module.last_seen_at <= ONLINE_S


def _open_conversation(session, module, identity=None):
    """A module's open conversation, or None; with an identity, only where that one may carry it."""
    query = select(RelayConversation).where(
        RelayConversation.module_id == module.id, RelayConversation.ended_at.is_(None)
    )
    if identity is not None and identity.kind != CONNECTION:
        query = query.join(Credential).where(Credential.identity == identity.kind)
    return session.scalar(query)


def _end_if_due(session, conversation, now):
    """End a conversation whose time is up; whether it has ended, now or before."""
    if conversation.ended_at is None:
        if now - min(conversation.phone_seen_at, conversation.module_seen_at) > SILENCE_S:
            _end(session, conversation, "silent", now)
        elif conversation.last_at is not None and now > conversation.last_at:
            _end(session, conversation, "credential", now)
    return conversation.ended_at is not None


def _end(session, conversation, reason, now):
    conversation.ended_at = now
    conversation.version += 1
    frames = delete(RelayFrame).where(RelayFrame.conversation_id == conversation.id)
    if reason == "module":  # its last words are still to be fetched
        frames = frames.where(RelayFrame.to_module)
    session.execute(frames)
    sequence = session.get(Credential, conversation.credential_id).sequence
    module = session.get(Module, conversation.module_id)
    note_action(session, now, OPERATOR, "relay_ended", module, sequence=sequence, reason=reason)


def _hear(session, conversation, asked, now):
    """Note what a module says of the conversation that it should have; whether that goes on."""
    if _end_if_due(session, conversation, now):
        return False
    conversation.module_seen_at = now
    if asked is None:
        lost = conversation.taken_by_module or conversation.from_module  # it was restarted
    elif asked[0] == conversation.name:
        lost = asked[1] > conversation.from_phone
        if not lost:
            _taken(session, conversation, True, asked[1])
    else:
        lost = False
    if lost:
        _end(session, conversation, "lost", now)
    return not lost


def _take(session, conversation, to_module, frames):
    """Queue the frames, [(number, bytes)], that are new. ServiceError conflict, too_many."""
    last = conversation.from_phone if to_module else conversation.from_module
    taken = conversation.taken_by_module if to_module else conversation.taken_by_phone
    for number, frame in frames:
        if number <= last:
            continue
        if number != last + 1:
            raise ServiceError("conflict", "a frame before this one is missing")
        if number > taken + FRAMES_WAITING:
            raise ServiceError("too_many", "the other end has not fetched the frames before", retry_after_s=1)
        session.add(RelayFrame(conversation_id=conversation.id, to_module=to_module, number=number, frame=frame))
        last = number
    if to_module:
        conversation.from_phone = last
    else:
        conversation.from_module = last


def _taken(session, conversation, to_module, received):
    """An end has the frames up to `received`. ServiceError conflict where there was no such frame."""
    if received > (conversation.from_phone if to_module else conversation.from_module):
        raise ServiceError("conflict", "received: there was no such frame")
    if to_module:
        conversation.taken_by_module = max(received, conversation.taken_by_module)
    else:
        conversation.taken_by_phone = max(received, conversation.taken_by_phone)
    session.execute(
        delete(RelayFrame).where(
            RelayFrame.conversation_id == conversation.id,
            RelayFrame.to_module == to_module,
            RelayFrame.number <= received,
        )
    )


def _waiting(session, conversation, to_module, received):
    """[(number, bytes)] for one end, above what it has."""
    query = select(RelayFrame.number, RelayFrame.frame).where(
        RelayFrame.conversation_id == conversation.id,
        RelayFrame.to_module == to_module,
        RelayFrame.number > received,
    )
    return [tuple(row) for row in session.execute(query.order_by(RelayFrame.number))]


def _phone_view(session, module, conversation, received, now):
    frames = _waiting(session, conversation, False, received)
    closed = conversation.ended_at is not None
    return PhoneView(conversation.id, frames, _is_online(module, now), closed, conversation.version)


def _has_to_write(conversation, asked, now):
    """Whether a module's poll says something about an open conversation that is not noted yet."""
    if conversation is None:
        return False
    if asked is None:
        return bool(conversation.taken_by_module or conversation.from_module)
    if now - conversation.module_seen_at >= _SEEN_EVERY_S:
        return True
    return asked[0] == conversation.name and asked[1] != conversation.taken_by_module


def _module_view(session, conversation, asked):
    name, received = asked or (None, 0)
    if conversation is not None:
        waiting = _waiting(session, conversation, True, received if name == conversation.name else 0)
        if waiting:
            return ModuleView(conversation.name, *waiting[0])
        if name == conversation.name:
            return None
    return ModuleView(name) if name else None
