"""The radio of a running house, over a WebSocket (docs/phone.md, "Virtual radio")."""

import asyncio
import base64
import contextlib
import itertools
import json
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from firmware import settings
from firmware.errors import LinkError
from tools.phone.links import OPEN_S, WRITE_MAX_BYTES, Found, choose
from tools.phone.links.inbox import Inbox

DEFAULT_URL = "http://localhost:8000"

_PATH = "/phone/radio"
_MESSAGE_MAX_BYTES = 4_096
_ANSWER_S = 15
_ERRORS = {"not_found": "not_found", "timeout": "timeout"}  # all others: the link is over


class HouseCarrier:
    """url: of the house's page, or of its radio. module: name or address, None for the only one."""

    def __init__(self, url=None, module=None):
        parts = urlsplit(url or DEFAULT_URL)
        secure = parts.scheme in ("https", "wss")
        path = parts.path if parts.path.strip("/") else _PATH
        self._url = f"{'wss' if secure else 'ws'}://{parts.netloc}{path}"
        self._origin = f"{'https' if secure else 'http'}://{parts.netloc}"
        self._module = module

    async def scan(self):
        async with self._radio() as radio:
            return await _heard(radio)

    async def open(self):
        radio = await self._connected()
        try:
            found = choose(await _heard(radio), self._module)
            self._module = found.address
            await radio.ask("connect", address=found.address)
            await radio.ask("subscribe", characteristic=settings.BLE_FROM_MODULE_UUID)
        except BaseException:
            radio.close()
            raise
        return radio

    async def close(self):
        """Each link has a radio of its own."""

    @contextlib.asynccontextmanager
    async def _radio(self):
        radio = await self._connected()
        try:
            yield radio
        finally:
            radio.close()

    async def _connected(self):
        try:
            socket = await connect(
                self._url, origin=self._origin, max_size=_MESSAGE_MAX_BYTES, open_timeout=OPEN_S, proxy=None
            )
        except (OSError, WebSocketException, ValueError) as error:
            raise LinkError("no_house") from error
        return RadioLink(socket)


class RadioLink:
    """One WebSocket: one radio, and the link to a module once it is connected."""

    def __init__(self, socket):
        self._socket = socket
        self._inbox = Inbox()
        self._ids = itertools.count(1)
        self._asked = {}  # id -> future of what is `ok`
        self._reader = asyncio.ensure_future(self._read())

    async def ask(self, op, **more):
        """What is `ok` of an operation. LinkError."""
        if self._inbox.over:
            raise LinkError("closed")
        number = next(self._ids)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._socket.send(json.dumps({"id": number, "op": op, **more}))
                return await answer
        except ConnectionClosed:
            raise LinkError("closed") from None
        except TimeoutError:
            raise LinkError("timeout") from None
        finally:
            del self._asked[number]

    async def read_into(self, view):
        return await self._inbox.read_into(view)

    async def write(self, data):
        data = bytes(data)
        for at in range(0, len(data), WRITE_MAX_BYTES):
            value = base64.b64encode(data[at : at + WRITE_MAX_BYTES]).decode()
            await self.ask("write", characteristic=settings.BLE_TO_MODULE_UUID, value=value, response=True)

    def close(self):
        self._reader.cancel()
        self._end()

    async def _read(self):
        try:
            async for message in self._socket:
                self._take(json.loads(message))
        except (ConnectionClosed, ValueError, KeyError, TypeError, AttributeError):
            pass  # it is over, or no house
        finally:
            self._end()
            await self._socket.close()

    def _take(self, message):
        event = message.get("event")
        if event == "notify" and message["characteristic"] == settings.BLE_FROM_MODULE_UUID:
            self._inbox.put(base64.b64decode(message["value"], validate=True))
        elif event == "disconnected":
            self._end()
        answer = self._asked.get(message.get("id"))
        if answer and not answer.done():
            if "error" in message:
                answer.set_exception(LinkError(_ERRORS.get(message["error"]["code"], "closed")))
            else:
                answer.set_result(message["ok"])

    def _end(self):
        self._inbox.end()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkError("closed"))


async def _heard(radio):
    try:
        return [Found(one["address"], one["name"], one["state"]) for one in await radio.ask("scan")]
    except (KeyError, TypeError):
        raise LinkError("no_house") from None
