"""The relay: frames through the server, by the link out of a user's message (docs/api.md, "Relay").

The server keeps each frame until it has heard that it came. So what has no answer is asked again as it was.
"""

import asyncio
import base64
import re
import secrets
import ssl
from urllib.parse import urlsplit

import httpx

from firmware.errors import LinkError
from tools.phone.links import WRITE_S
from tools.phone.links.inbox import Inbox

_WAIT_S = 20
_ANSWER_S = 15  # beyond that
_RETRY_S = (0.5, 1, 2, 4, 8)
_LATER = (429, 500, 502, 503, 504)
_OVER = 409


class RelayCarrier:
    """link: as in the message. ca: a file with the certificate that signs the server's, None for the system's own."""

    def __init__(self, link, ca=None):
        parts = urlsplit(link.strip())
        token = re.fullmatch("relay=([0-9a-f]{32})", parts.fragment)
        if not token or parts.scheme != "https" or not parts.netloc:
            raise LinkError("bad_link")
        self._url = f"https://{parts.netloc}/v1/relay"
        self._token = token[1]
        try:
            trusted = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise LinkError("bad_ca") from error
        self._client = httpx.AsyncClient(verify=trusted, timeout=_WAIT_S + _ANSWER_S, trust_env=False)
        self._links = []

    async def open(self):
        """Nothing is asked before the first frame."""
        link = RelayLink(self._client, self._url, self._token)
        self._links = [*(one for one in self._links if not one.over), link]
        return link

    async def close(self):
        for link in self._links:
            link.close()
            await link.closed()
        await self._client.aclose()


class RelayLink:
    """One conversation."""

    def __init__(self, client, url, token):
        self._client = client
        self._url = url
        self._token = token
        self._name = secrets.token_hex(8)
        self._sent = 0
        self._received = 0
        self._inbox = Inbox()
        self._ending = None

    @property
    def over(self):
        return self._inbox.over

    async def read_into(self, view):
        """May be cancelled: what came meanwhile comes again."""
        while not self._inbox.waiting and not self._inbox.over:
            await self._exchange([], _WAIT_S)
        return await self._inbox.read_into(view)

    async def write(self, data):
        if self._inbox.over:
            raise LinkError("closed")
        self._sent += 1
        frame = {"number": self._sent, "frame": base64.b64encode(bytes(data)).decode()}
        try:
            async with asyncio.timeout(WRITE_S + sum(_RETRY_S)):
                await self._exchange([frame], 0)
        except TimeoutError:
            self.close()
            raise LinkError("no_server") from None

    def close(self):
        if not self._inbox.over and self._sent:
            self._ending = asyncio.ensure_future(self._leave())
        self._inbox.end()

    async def closed(self):
        """Wait until the server has been told, or could not be."""
        if self._ending:
            await self._ending

    async def _leave(self):
        try:
            await self._client.post(self._url, json=self._body([], 0, True), timeout=WRITE_S)
        except httpx.HTTPError:
            return  # it finds out by itself

    def _body(self, frames, wait_s, close=False):
        return {
            "token": self._token,
            "conversation": self._name,
            "received": self._received,
            "frames": frames,
            "wait_s": wait_s,
            "close": close,
        }

    async def _exchange(self, frames, wait_s):
        """Say something until the server has answered; what comes is put into the inbox. LinkError."""
        failures = 0
        while True:
            answer = await self._post(frames, wait_s)
            if answer is not None:
                break
            if failures == len(_RETRY_S):
                self._end("no_server")
            await asyncio.sleep(_RETRY_S[failures])
            failures += 1
        try:
            self._take(answer)
        except (KeyError, TypeError, ValueError):
            self._end("no_server")
        if not self._inbox.over and answer["module"] == "offline" and not answer["frames"]:
            self._end("module_offline")

    async def _post(self, frames, wait_s):
        """The answer, None where it is worth asking again. LinkError."""
        try:
            answer = await self._client.post(self._url, json=self._body(frames, wait_s))
            if answer.status_code == 200:
                return answer.json()
        except (httpx.TransportError, ValueError):
            return None
        if answer.status_code not in _LATER:
            self._end("closed" if answer.status_code == _OVER else "no_conversation")
        return None

    def _end(self, code):
        self._inbox.end()
        raise LinkError(code)

    def _take(self, answer):
        for each in answer["frames"]:
            if each["number"] == self._received + 1:
                self._received += 1
                self._inbox.put(base64.b64decode(each["frame"], validate=True))
        if answer["closed"]:
            self._inbox.end()
