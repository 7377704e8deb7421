"""The console's signed cookie: who is signed in since when, and the token that forms have to carry.

A session ends after `IDLE_S` without anything being done in it, and `LIFETIME_S` after the log-in whatever is done.
Both times are in the cookie, under its signature: an old copy of it is older, so it ends sooner.
"""

import hmac
import secrets
from dataclasses import dataclass, replace

from itsdangerous import BadSignature, URLSafeSerializer

LIFETIME_S = 8 * 3600
IDLE_S = 30 * 60
_RENEW_S = 60
_SKEW_S = 60


@dataclass(frozen=True)
class ConsoleSession:
    """operator_id and epoch are None until somebody signs in. began_at, seen_at: UTC seconds, whole ones."""

    form_token: str
    began_at: int
    seen_at: int
    operator_id: int | None = None
    epoch: int | None = None

    def has_ended(self, now):
        """Whether its time is over. A time in the future is no better than one long ago, but for servers whose clocks
        differ a little."""
        idle_s = LIFETIME_S if self.operator_id is None else IDLE_S
        return not (-_SKEW_S <= now - self.began_at < LIFETIME_S and -_SKEW_S <= now - self.seen_at < idle_s)


class SessionCookie:
    """Reads and writes ConsoleSession. The cookie is signed, not secret."""

    def __init__(self, key, behind_https, now):
        self._serializer = URLSafeSerializer(key, salt="console session 2")
        self._secure = behind_https
        self._now = now
        self.name = "__Host-inkan_console" if behind_https else "inkan_console"

    def read(self, request):
        """The session of a request, or None where there is none that is valid."""
        try:
            form_token, began_at, seen_at, operator_id, epoch = self._serializer.loads(
                request.cookies.get(self.name, "")
            )
        except (BadSignature, ValueError, TypeError):
            return None
        session = ConsoleSession(form_token, began_at, seen_at, operator_id, epoch)
        return None if session.has_ended(self._now()) else session

    def renewal(self, session):
        """The session as it goes on from now, or None where that is not worth a cookie yet."""
        now = self._now()
        return replace(session, seen_at=now) if now - session.seen_at >= _RENEW_S else None

    def write(self, response, session):
        values = [session.form_token, session.began_at, session.seen_at, session.operator_id, session.epoch]
        response.set_cookie(
            self.name,
            self._serializer.dumps(values),
            max_age=LIFETIME_S,
            httponly=True,
            samesite="lax",
            secure=self._secure,
            path="/",
        )

    def clear(self, response):
        response.delete_cookie(self.name, httponly=True, samesite="lax", secure=self._secure, path="/")


def new_form_token():
    return secrets.token_urlsafe(24)


def token_matches(session, form):
    """Whether a form was made for this session (against forged requests from other sites)."""
    return session is not None and hmac.compare_digest(session.form_token.encode(), form.get("form_token", "").encode())
