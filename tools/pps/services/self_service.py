"""Residents who ask for a credential themselves: a serial number typed on a web page, a link to the registered address.

Asking only leaves a row behind, the same for a serial number that exists and one that does not; what it leads to is
done later, by `work`. So neither the answer nor the time it takes says what is registered here.
"""

import hashlib
import json
import re
import secrets
import unicodedata
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update

from tools.pps.errors import ServiceError
from tools.pps.messages import link_message
from tools.pps.models import AccessLink, LinkRequest, Message, Module
from tools.pps.services.common import note_action
from tools.pps.services.credentials import CredentialOrder, Scope
from tools.pps.services.fleet import SERIAL

OPERATOR = "self-service"
"""Under this name the server's audit trail has what residents do."""

LINK_S = 15 * 60
WINDOW_S = 3600
BY_ADDRESS = 10
BY_SERIAL = 3
MOST_WAITING = 1000
_AT_ONCE = 50
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")


_SCOPE = Scope(see=("customer", "site"), change=("customer",))


@dataclass(frozen=True)
class Policy:
    """What a resident gets, whoever asks: scope and limits of the credential."""

    scope: Scope = _SCOPE
    lifetime_s: int | None = None
    max_successes: int = 3
    max_failures: int = 5
    max_changes: int = 20

    def order(self, module, form_token):
        """The CredentialOrder for a module with a registered address. ServiceError bad_request."""
        lifetime = {} if self.lifetime_s is None else {"lifetime_s": self.lifetime_s}
        return CredentialOrder(
            channel=module.contact_channel,
            recipient=module.contact_address,
            language=module.contact_language,
            scope=self.scope,
            max_successes=self.max_successes,
            max_failures=self.max_failures,
            max_changes=self.max_changes,
            form_token=form_token,
            **lifetime,
        )


def read_policy(text):
    """A Policy from JSON: {"see": [groups], "change": [...], "delete": [...], "lifetime_s", "max_successes",
    "max_failures", "max_changes"}, all optional but one group. `recover` is for no resident. ServiceError bad_request.
    """
    try:
        values = json.loads(text)
        groups = {action: tuple(values.pop(action, ())) for action in ("see", "change", "delete")}
        policy = Policy(Scope(**groups), **values)
        CredentialOrder("email", "a@example.com", scope=policy.scope, **_limits(policy))
    except (ValueError, TypeError, AttributeError) as error:
        raise ServiceError("bad_request", f"self-service policy: {error}") from None
    return policy


def _limits(policy):
    limits = {name: getattr(policy, name) for name in ("max_successes", "max_failures", "max_changes")}
    return limits | ({} if policy.lifetime_s is None else {"lifetime_s": policy.lifetime_s})


@dataclass(frozen=True)
class Opened:
    """What a link leads to: the Module and the CredentialOrder that is issued at the press of a button."""

    module: Module
    order: CredentialOrder


class SelfService:
    """policy: None = not offered. page_url: of the page, ending in "/". channels: those that a gateway delivers."""

    def __init__(self, database, now, credentials, policy, page_url, channels):
        self._database = database
        self._now = now
        self._credentials = credentials
        self._policy = policy
        self._page_url = page_url
        self._channels = channels

    @property
    def is_offered(self):
        return self._policy is not None and bool(self._channels)

    def ask(self, typed, address):
        """Somebody wants a link for a serial number. ServiceError bad_request (no serial number has such a form),
        too_many: of this address, for this number, or of all that wait."""
        serial = unicodedata.normalize("NFKC", typed).strip()  # signs of full width, as a Japanese keyboard gives them
        if not SERIAL.fullmatch(serial):
            raise ServiceError("bad_request", "serial number: 1 to 32 letters, digits and hyphens", field="serial")
        now = self._now()
        with self._database.write() as session:
            since = LinkRequest.at > now - WINDOW_S
            by_address = _count(session, since & (LinkRequest.address == address))
            by_serial = _count(session, since & (LinkRequest.serial == serial))
            waiting = _count(session, LinkRequest.handled_at.is_(None))
            if by_address >= BY_ADDRESS or by_serial >= BY_SERIAL or waiting >= MOST_WAITING:
                raise ServiceError("too_many", "too many requests", retry_after_s=WINDOW_S)
            session.add(LinkRequest(serial=serial, address=address, at=now))

    def work(self):
        """Send the links that were asked for, where there is an address to send them to. Returns how many requests."""
        now = self._now()
        waiting = LinkRequest.handled_at.is_(None)
        with self._database.read() as session:
            old = _count(session, LinkRequest.at <= now - WINDOW_S)
            if not old and session.scalar(select(LinkRequest.id).where(waiting).limit(1)) is None:
                return 0
        with self._database.write() as session:
            session.execute(delete(LinkRequest).where(LinkRequest.at <= now - WINDOW_S))
            query = select(LinkRequest).where(waiting).order_by(LinkRequest.id).limit(_AT_ONCE)
            requests = list(session.scalars(query.with_for_update(skip_locked=True)))
            for request in requests:
                request.handled_at = now
                module = session.scalar(select(Module).where(Module.serial == request.serial).with_for_update())
                if module is not None and module.contact_channel in self._channels:
                    self._send_link(session, module, now)
        return len(requests)

    def look(self, token):
        """What a link is for: Opened. ServiceError not_found: unknown, used or too old, without saying which."""
        now = self._now()
        with self._database.read() as session:
            query = select(AccessLink, Module).join(Module, Module.id == AccessLink.module_id)
            row = session.execute(query.where(AccessLink.token_hash == _hash(token))).one_or_none()
        if row is None or row[0].used_at is not None or now >= row[0].expires_at or not row[1].contact_channel:
            raise ServiceError("not_found", "no such link")
        return Opened(row[1], self._policy.order(row[1], row[0].token_hash))

    def issue(self, token):
        """Issue what a link is for, once. ServiceError not_found, too_many (credentials of the day)."""
        opened = self.look(token)
        try:
            # The order carries the link's hash in place of a form's token: of two at once, one gets conflict.
            self._credentials.issue(opened.module.serial, opened.order, OPERATOR)
        except ServiceError as error:
            if error.code != "conflict":
                raise
            raise ServiceError("not_found", "no such link") from None
        with self._database.write() as session:
            link = select(AccessLink).where(AccessLink.token_hash == _hash(token))
            session.scalar(link).used_at = self._now()

    def _send_link(self, session, module, now):
        token = secrets.token_urlsafe(24)
        open_links = (AccessLink.module_id == module.id) & AccessLink.used_at.is_(None)
        session.execute(update(AccessLink).where(open_links, AccessLink.expires_at > now).values(expires_at=now))
        session.add(AccessLink(module_id=module.id, token_hash=_hash(token), made_at=now, expires_at=now + LINK_S))
        link = self._page_url + token
        session.add(
            Message(
                kind="link",
                module_id=module.id,
                channel=module.contact_channel,
                recipient=module.contact_address,
                language=module.contact_language,
                text=link_message(module.contact_channel, module.contact_language, module.serial, LINK_S // 60, link),
                status="queued",
                created_at=now,
            )
        )
        note_action(session, now, OPERATOR, "link_sent", module, channel=module.contact_channel)


def _hash(token):
    return hashlib.sha256(token.encode()).hexdigest() if _TOKEN.fullmatch(token) else ""


def _count(session, condition):
    return session.scalar(select(func.count()).select_from(LinkRequest).where(condition))
