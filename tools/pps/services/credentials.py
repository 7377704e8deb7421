"""One-time credentials: made, handed to the module, acknowledged, revoked (R6, R7, R8, R11; S4, S7)."""

import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tools.derivation import derive_w
from tools.pps.errors import ServiceError
from tools.pps.messages import user_message
from tools.pps.models import OPEN_STATUSES, Credential, Message, Module
from tools.pps.services.common import (
    erase_text,
    erase_verifier,
    limit_relay,
    module_by_serial,
    module_of,
    note_action,
    raise_alarm,
)

GROUPS = ("customer", "usage_history", "site", "capacity", "connection")
CHANNEL_LIFETIME_S = {"email": 24 * 3600, "sms": 600}

ID_DIGITS = 8
TOKEN_BYTES = 16
PASSWORD_DIGITS = (8, 16)
LIFETIME_S = (60, 365 * 24 * 3600)
MAX_SUCCESSES = (1, 1000)
MAX_FAILURES = (1, 100)
MAX_CHANGES = (1, 1000)
ITERATIONS = (1000, 100_000)
DEFAULT_ITERATIONS = 10_000

_HIGHEST_SEQUENCE = 2**32 - 1
ISSUES_A_DAY = 30
"""For one module (S5): each lets a phone guess three times, so this is 90 of 10^8 passwords a day."""

_DAY_S = 24 * 3600
_SEEN_EVERY_S = 15

CHANNEL_DEFAULT = -1
"""As lifetime_s: what the channel has by default."""


@dataclass(frozen=True)
class Scope:
    """Which groups may be seen, changed and deleted; `recover` lets a tampered module be wiped (S19)."""

    see: tuple = ()
    change: tuple = ()
    delete: tuple = ()
    recover: bool = False

    def as_dict(self):
        """As on the wire: groups in their usual order."""
        chosen = {
            action: [group for group in GROUPS if group in getattr(self, action)]
            for action in ("see", "change", "delete")
        }
        return chosen | {"recover": self.recover}


EVERYTHING = Scope(see=GROUPS, change=GROUPS, delete=GROUPS)


@dataclass(frozen=True)
class CredentialOrder:
    """What an operator asks for. lifetime_s: seconds, None = no limit, CHANNEL_DEFAULT; relay: from afar, too.

    ServiceError bad_request.
    """

    channel: str
    recipient: str
    language: str = "ja"
    scope: Scope = EVERYTHING
    lifetime_s: int | None = CHANNEL_DEFAULT
    max_successes: int = 3
    max_failures: int = 5
    max_changes: int = 20
    password_digits: int = PASSWORD_DIGITS[0]
    iterations: int = DEFAULT_ITERATIONS
    relay: bool = False
    form_token: str | None = field(default=None, repr=False)

    def __post_init__(self):
        if self.channel not in CHANNEL_LIFETIME_S:
            raise ServiceError("bad_request", "channel: email or sms")
        if self.language not in ("ja", "en"):
            raise ServiceError("bad_request", "language: ja or en")
        if self.lifetime_s == CHANNEL_DEFAULT:
            object.__setattr__(self, "lifetime_s", CHANNEL_LIFETIME_S[self.channel])
        if not 1 <= len(self.recipient) <= 254:
            raise ServiceError("bad_request", "recipient: 1 to 254 characters")
        if self.lifetime_s is not None:
            self._check("lifetime_s", LIFETIME_S)
        self._check("max_successes", MAX_SUCCESSES)
        self._check("max_failures", MAX_FAILURES)
        self._check("max_changes", MAX_CHANGES)
        self._check("password_digits", PASSWORD_DIGITS)
        self._check("iterations", ITERATIONS)
        named = {*self.scope.see, *self.scope.change, *self.scope.delete}
        if not named <= set(GROUPS):
            raise ServiceError("bad_request", "scope: no such group")
        if not named and not self.scope.recover:
            raise ServiceError("bad_request", "scope: nothing is allowed")

    def _check(self, name, limits):
        if not limits[0] <= getattr(self, name) <= limits[1]:
            raise ServiceError("bad_request", f"{name}: {limits[0]} to {limits[1]}")


@dataclass(frozen=True)
class Draft:
    """A credential that is made but not issued yet: for one `add`."""

    order: CredentialOrder
    user_id: str = field(repr=False)
    password: str = field(repr=False)
    salt: bytes = field(repr=False)
    w0: bytes = field(repr=False)
    l: bytes = field(repr=False)  # noqa: E741  as in the table


@dataclass(frozen=True)
class IssuedCredential:
    """A new credential. ID and password are nowhere else but in the message to the user."""

    id: str
    password: str = field(repr=False)
    sequence: int
    text: str = field(repr=False)
    delivered_by_gateway: bool


@dataclass(frozen=True)
class Offer:
    """Answer to a poll: `credential` as on the wire or None; news_version that it was made from."""

    credential: dict | None
    revoked: int
    news_version: int
    has_news: bool


def _limit_issues(session, module, now):
    """ServiceError too_many, with the time when the oldest of a day's credentials no longer counts."""
    query = select(Credential.issued_at).where(Credential.module_id == module.id, Credential.issued_at > now - _DAY_S)
    issued = list(session.scalars(query.order_by(Credential.issued_at.desc()).limit(ISSUES_A_DAY)))
    if len(issued) == ISSUES_A_DAY:
        raise ServiceError(
            "too_many", f"{ISSUES_A_DAY} credentials a day for one module", retry_after_s=issued[-1] + _DAY_S - now
        )


def derive_verifier(user_id, password, serial, salt, iterations):
    """w0 (32 bytes) and L (65 bytes, uncompressed): see `derive_w`, with its ValueError."""
    w0, w1 = derive_w(user_id, password, serial, salt, iterations)
    l_point = ec.derive_private_key(w1, ec.SECP256R1()).public_key()
    return w0.to_bytes(32, "big"), l_point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


class Credentials:
    def __init__(self, database, now, wakeups, delivered_channels, phone_url):
        self._phone_url = phone_url
        self._database = database
        self._now = now
        self._wakeups = wakeups
        self._delivered = delivered_channels

    def issue(self, serial, order, operator):
        """Make a credential for a module; it replaces the one before as soon as the module has it.

        Returns IssuedCredential. ServiceError unknown_module; conflict where the form was sent before; bad_request:
        through the relay, and there is no page for phones; too_many: ISSUES_A_DAY are made (S5).
        """
        draft = self.draft(serial, order)
        try:
            with self._database.write() as session:
                module = module_by_serial(session, serial, lock=True)
                _, issued = self.add(session, module, draft, operator)
        except IntegrityError:
            if order.form_token is None:
                raise
            raise ServiceError("conflict", "this form was sent before") from None
        self._wakeups.notify(module.id)
        return issued

    def draft(self, serial, order):
        """A Draft for `add`: what takes long is done before a transaction waits for it. ServiceError bad_request."""
        if order.relay and not self._phone_url:
            raise ServiceError("bad_request", "relay: there is no page for phones")
        user_id = _digits(ID_DIGITS)
        password = _digits(order.password_digits)
        salt = secrets.token_bytes(16)
        w0, l_point = derive_verifier(user_id, password, serial, salt, order.iterations)
        return Draft(order, user_id, password, salt, w0, l_point)

    def add(self, session, module, draft, operator):
        """Issue a Draft within a transaction that holds the module's lock. Returns (Credential, IssuedCredential).

        Wakes nobody up: that is for afterwards. ServiceError too_many; IntegrityError: the form was sent before.
        """
        order, now = draft.order, self._now()
        _limit_issues(session, module, now)
        for former in _open_credentials(session, module):
            if former.status != "accepted":  # that one holds until the module has the new one
                _close(session, former, "replaced", now)
        token = secrets.token_hex(TOKEN_BYTES) if order.relay else None
        credential = Credential(
            module_id=module.id,
            sequence=_next_sequence(module),
            status="waiting",
            w0=draft.w0,
            l=draft.l,
            salt=draft.salt,
            iterations=order.iterations,
            password_digits=order.password_digits,
            lifetime_s=order.lifetime_s,
            max_successes=order.max_successes,
            max_failures=order.max_failures,
            max_changes=order.max_changes,
            scope=order.scope.as_dict(),
            channel=order.channel,
            issued_at=now,
            issued_by=operator,
            form_token=order.form_token,
            relay_hash=token and token_hash(token),
        )
        session.add(credential)
        session.flush()
        link = token and f"{self._phone_url}#relay={token}"
        text = user_message(order, module.name, module.serial, draft.user_id, draft.password, link)
        by_gateway = order.channel in self._delivered
        session.add(
            Message(
                module_id=module.id,
                credential_id=credential.id,
                channel=order.channel,
                recipient=order.recipient,
                language=order.language,
                text=text,
                status="queued" if by_gateway else "shown",
                created_at=now,
            )
        )
        module.news_version += 1
        note_action(session, now, operator, "issue", module, sequence=credential.sequence, channel=order.channel)
        return credential, IssuedCredential(draft.user_id, draft.password, credential.sequence, text, by_gateway)

    def revoke(self, serial, operator):
        """End every credential that a module has or may have. Returns the highest revoked sequence.

        ServiceError conflict where none was issued since the last time.
        """
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            if module.last_sequence == module.revoked_sequence:
                raise ServiceError("conflict", "there is no credential to revoke")
            _revoke_through(session, module, module.last_sequence, now)
            note_action(session, now, operator, "revoke", module, sequence=module.revoked_sequence)
        self._wakeups.notify(module.id)
        return module.revoked_sequence

    def offer(self, identity, sequence, revoked):
        """What a poll is answered now; see docs/api.md. Returns Offer, or raises ServiceError."""
        now = self._now()
        with self._database.read() as session:
            module = module_of(session, identity)
            settled = self._is_settled(session, module, identity, sequence, revoked, now)
        if settled:
            return Offer(None, module.revoked_sequence, module.news_version, module.revoked_sequence > revoked)
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            module.last_seen_at = now
            module.last_identity = identity.kind
            module.last_sequence = max(module.last_sequence, sequence)
            module.revoked_confirmed = max(module.revoked_confirmed, min(revoked, module.revoked_sequence))
            credential = _offerable(session, module, identity)
            wire = None
            if credential is not None and credential.status == "offered" and credential.sequence <= sequence:
                _accept(session, credential, module, now)
            elif credential is not None:
                if credential.sequence <= sequence:
                    credential.sequence = _next_sequence(module)
                if credential.status == "waiting":
                    credential.status = "offered"
                    credential.identity = identity.kind
                    credential.offered_at = now
                wire = _as_wire(credential)
            news = wire is not None or module.revoked_sequence > revoked
            return Offer(wire, module.revoked_sequence, module.news_version, news)

    def _is_settled(self, session, module, identity, sequence, revoked, now):
        """Whether a poll has nothing to fetch and nothing to tell that is worth a transaction that writes."""
        return (
            module.last_sequence >= sequence
            and module.revoked_confirmed >= min(revoked, module.revoked_sequence)
            and module.last_identity == identity.kind
            and now - (module.last_seen_at or 0) < _SEEN_EVERY_S
            and _offerable(session, module, identity) is None
        )

    def acknowledge(self, identity, sequence, result, code):
        """The module has (accepted, ignored) or refuses a credential; repeating it changes nothing. conflict."""
        now = self._now()
        with self._database.write() as session:
            module = module_of(session, identity, lock=True)
            module.last_seen_at = now
            credential = session.scalar(
                select(Credential).where(
                    Credential.module_id == module.id,
                    Credential.sequence == sequence,
                    Credential.identity == identity.kind,
                )
            )
            if credential is None:
                raise ServiceError("conflict", "no credential of this number was handed to this identity")
            if credential.status != "offered":
                return
            if result != "refused":
                # Ignored means seen before, so an earlier acknowledgement was lost: the module may well have it.
                _accept(session, credential, module, now)
                return
            credential.settled_at = now
            credential.refusal = code
            _close(session, credential, "refused", now)
            raise_alarm(session, module, "credential_refused", {"sequence": sequence, "code": code}, now)

    def news_versions(self, module_ids):
        """{module id: news_version} for those that polls wait for."""
        versions = {}
        with self._database.read() as session:
            for start in range(0, len(module_ids), 500):  # SQLite bounds the parameters of a statement
                chunk = module_ids[start : start + 500]
                rows = session.execute(select(Module.id, Module.news_version).where(Module.id.in_(chunk)))
                versions.update(tuple(row) for row in rows)
        return versions

    def of_module(self, module_id, limit=20):
        """The module's newest credentials, newest first."""
        with self._database.read() as session:
            query = select(Credential).where(Credential.module_id == module_id)
            return list(session.scalars(query.order_by(Credential.sequence.desc()).limit(limit)))


def revoke_these(session, module, credentials, now):
    """End some of a module's credentials, and with them, as revocations count, those handed out before. The caller
    holds the module's lock, and wakes its polls up afterwards."""
    for credential in credentials:
        if credential.status == "waiting":  # the module never had it, and never will
            _close(session, credential, "revoked", now)
    handed_out = [each.sequence for each in credentials if each.offered_at is not None and each.status != "refused"]
    if handed_out and max(handed_out) > module.revoked_sequence:
        _revoke_through(session, module, max(handed_out), now)


def _revoke_through(session, module, sequence, now):
    for credential in _open_credentials(session, module):
        if credential.sequence <= sequence:
            _close(session, credential, "revoked", now)
    module.revoked_sequence = sequence
    module.news_version += 1


def accept_reported(session, credential, module, now):
    """The module reports a credential as its own: that settles it, should the acknowledgement have been lost."""
    if credential.status == "offered":
        _accept(session, credential, module, now)


def token_hash(token):
    """What the server keeps of a relay's token (32 hex digits): SHA-256, hex."""
    return hashlib.sha256(bytes.fromhex(token)).hexdigest()


def _digits(count):
    return "".join(secrets.choice("0123456789") for _ in range(count))


def _next_sequence(module):
    if module.last_sequence >= _HIGHEST_SEQUENCE:
        raise ServiceError("conflict", "this module's sequence numbers are used up")
    module.last_sequence += 1
    return module.last_sequence


def _open_credentials(session, module):
    query = select(Credential).where(Credential.module_id == module.id, Credential.status.in_(OPEN_STATUSES))
    return list(session.scalars(query.order_by(Credential.sequence.desc())))


def _offerable(session, module, identity):
    """The credential that this identity may still fetch, or None."""
    query = select(Credential).where(
        Credential.module_id == module.id,
        Credential.status.in_(("waiting", "offered")),
        Credential.identity.is_(None) | (Credential.identity == identity.kind),
    )
    return session.scalar(query.order_by(Credential.sequence.desc()).limit(1))


def _accept(session, credential, module, now):
    credential.status = "accepted"
    credential.settled_at = now
    erase_verifier(credential)
    erase_text(session, credential, now, dropped=False)
    for former in _open_credentials(session, module):
        if former.sequence < credential.sequence:
            _close(session, former, "replaced", now)


def _close(session, credential, status, now):
    credential.status = status
    credential.closed_at = now
    erase_verifier(credential)
    erase_text(session, credential, now, dropped=True)
    limit_relay(session, credential, now)


def _as_wire(credential):
    return {
        "sequence": credential.sequence,
        "w0": credential.w0.hex(),
        "l": credential.l.hex(),
        "salt": credential.salt.hex(),
        "iterations": credential.iterations,
        "password_digits": credential.password_digits,
        "lifetime_s": credential.lifetime_s,
        "max_successes": credential.max_successes,
        "max_failures": credential.max_failures,
        "max_changes": credential.max_changes,
        "scope": credential.scope,
    }
