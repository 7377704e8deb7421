"""The console's signed cookie: who is signed in, and the token that forms have to carry."""

import hmac
import secrets
from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeTimedSerializer

LIFETIME_S = 8 * 3600


@dataclass(frozen=True)
class ConsoleSession:
    """operator_id and epoch are None until somebody signs in."""

    form_token: str
    operator_id: int | None = None
    epoch: int | None = None


class SessionCookie:
    """Reads and writes ConsoleSession. The cookie is signed, not secret."""

    def __init__(self, key, behind_https):
        self._serializer = URLSafeTimedSerializer(key, salt="console session")
        self._secure = behind_https
        self.name = "__Host-inkan_console" if behind_https else "inkan_console"

    def read(self, request):
        """The session of a request, or None where there is none that is valid."""
        try:
            form_token, operator_id, epoch = self._serializer.loads(
                request.cookies.get(self.name, ""), max_age=LIFETIME_S
            )
        except (BadSignature, ValueError, TypeError):
            return None
        return ConsoleSession(form_token, operator_id, epoch)

    def write(self, response, session):
        response.set_cookie(
            self.name,
            self._serializer.dumps([session.form_token, session.operator_id, session.epoch]),
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
