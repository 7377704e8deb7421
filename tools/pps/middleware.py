"""What stands before every application: limits, and one place that turns errors into answers.

All of it is plain ASGI, so that a long poll still learns that its client has left.
"""

import asyncio
import ipaddress
import json
import logging
import traceback

from tools.pps.errors import ServiceError
from tools.pps.identity import CERTIFICATE_EXTENSION

BODY_LIMIT = 16 * 1024
BODY_TIMEOUT_S = 20
_DROPPED_LIMIT = 8 * BODY_LIMIT

_log = logging.getLogger("inkan.pps")


class ErrorBoundary:
    """Answers what nothing else has caught. Neither the answer nor the log gets a traceback, which could hold secrets:
    the log gets the error's class and place."""

    def __init__(self, app, render=None):
        self._app = app
        self._render = render or render_json

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message):
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ServiceError as error:
            if not started:
                await self._render(error, scope, send)
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("%s at %s:%s in %s", type(error).__name__, frame.filename, frame.lineno, scope["path"])
            if not started:
                await self._render(ServiceError("internal", "the server failed"), scope, send)


async def render_json(error, scope, send):
    """Answer a ServiceError as docs/api.md says. The connection is closed: its request may not have been read."""
    content = json.dumps(error.body()).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class AddedHeaders:
    """Adds headers to every answer. choose: callable (path) -> [(name, value)] in bytes."""

    def __init__(self, app, choose):
        self._app = app
        self._choose = choose

    async def __call__(self, scope, receive, send):
        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._choose(scope["path"])]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def client_address(scope):
    """Whom a request counts against: an IPv4 address, or the /64 of an IPv6 one, which one customer has whole."""
    client = scope.get("client")
    if not client:
        return ""
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0][:64]
    mapped = getattr(address, "ipv4_mapped", None)
    if address.version == 4 or mapped:
        return str(mapped or address)
    return str(ipaddress.ip_network((address, 64), strict=False))


class BodyLimit:
    """Reads the whole body first, bounded in size and time. Raises ServiceError too_large, bad_request."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _read_body(receive)
        except TimeoutError:
            raise ServiceError("bad_request", "the body took too long", status=400) from None
        if body is None:
            return
        handed_over = False

        async def replay():
            nonlocal handed_over
            if handed_over:
                return await receive()
            handed_over = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


async def _read_body(receive):
    """The body, or None where the client left. One that is too large is read on for a while and dropped, since a client
    that is still writing when the connection closes may never see the answer."""
    body = bytearray()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size <= BODY_LIMIT:
            body += piece
        if size > _DROPPED_LIMIT or not message.get("more_body"):
            break
    if size > BODY_LIMIT:
        raise ServiceError("too_large", f"a body has at most {BODY_LIMIT} bytes")
    return bytes(body)


class ModuleIdentityGate:
    """Lets a request pass with its ModuleIdentity in scope["state"]["identity"].

    A factory identity reaches the paths in `factory_paths` and nothing else, whatever else there will be (S18).
    """

    def __init__(self, app, reader, factory_paths):
        self._app = app
        self._reader = reader
        self._factory_paths = factory_paths

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            certificate_der = scope.get("extensions", {}).get(CERTIFICATE_EXTENSION)
            identity = self._reader.read(certificate_der) if certificate_der else None
            if identity is None:
                raise ServiceError("unauthenticated", "a module's certificate is needed")
            if identity.kind != "connection" and scope["path"] not in self._factory_paths:
                raise ServiceError("forbidden", "a factory identity may not do this")
            scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, receive, send)
