"""What the tests of the relay share: a credential with a token, and a phone's end of a conversation."""

import asyncio
import base64
import re
import secrets

import httpx

from firmware.errors import LinkError
from tools.pps.services.credentials import CredentialOrder

_RETRY_S = 0.2
_TOKEN = re.compile(r"#relay=([0-9a-f]{32})\b")


def order(**changed):
    """An order for a credential that reaches the module through the relay."""
    return CredentialOrder(**({"channel": "email", "recipient": "resident@example.com", "relay": True} | changed))


def token_of(text):
    """The token in a user's message."""
    return _TOKEN.search(text)[1]


def numbered(*frames, first=1):
    """`frames` of a request."""
    return [{"number": number, "frame": base64.b64encode(frame).decode()} for number, frame in enumerate(frames, first)]


class RelayPhone:
    """A phone's end of one conversation, as the phone's page has it. `relay`: URL of /v1/relay.

    patient: what fails or is put off is asked again, as it was. lossy: so is everything else, once; the first answer
    is lost.
    """

    def __init__(self, relay, token, wait_s=20, *, patient=False, lossy=False):
        self._patient = patient
        self._lossy = lossy
        self.name = secrets.token_hex(8)
        self.closed = False
        self._relay = relay
        self._token = token
        self._wait_s = wait_s
        self._sent = 0
        self._received = 0
        self._frames = []
        self._client = httpx.AsyncClient(verify=False, timeout=60)

    def body(self, frames=(), **changed):
        """A request, with some of it changed."""
        base = {
            "token": self._token,
            "conversation": self.name,
            "received": self._received,
            "frames": list(frames),
            "wait_s": self._wait_s,
        }
        return base | changed

    async def ask(self, body):
        """(status, answer) of a request."""
        answer = await self._client.post(self._relay, json=body)
        return answer.status_code, answer.json()

    async def write(self, frame):
        """Hand over one frame, and keep what comes with the answer."""
        self._sent += 1
        await self._exchange(self.body(numbered(frame, first=self._sent), wait_s=0))

    async def read(self):
        """The next frame; b"" once the conversation is over."""
        while not self._frames and not self.closed:
            await self._exchange(self.body())
        return self._frames.pop(0) if self._frames else b""

    async def close(self):
        await self._exchange(self.body(close=True, wait_s=0))

    async def drop(self):
        """Leave without a word."""
        await self._client.aclose()

    async def _ask(self, body):
        while True:
            try:
                status, answer = await self.ask(body)
            except httpx.TransportError:
                status = None
            if not self._patient or status not in (None, 429, 500, 503):
                return status, answer
            await asyncio.sleep(_RETRY_S)

    async def _exchange(self, body):
        if self._lossy:
            await self._ask(body)
        status, answer = await self._ask(body)
        assert status == 200, (status, answer)
        for each in answer["frames"]:
            assert each["number"] == self._received + 1
            self._received += 1
            self._frames.append(base64.b64decode(each["frame"]))
        self.closed = answer["closed"]


class RelayPhoneLink:
    """The same as a link of `tools.phone.client.PhoneClient`."""

    def __init__(self, *arguments, **options):
        self.phone = RelayPhone(*arguments, **options)
        self._left = b""

    async def read_into(self, view):
        self._left = self._left or await self.phone.read()
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    async def write(self, frame):
        if self.phone.closed:
            raise LinkError("closed")
        await self.phone.write(bytes(frame))

    def close(self):
        self.phone.closed = True
