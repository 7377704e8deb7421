"""BLE for a page that has none: the virtual radio of docs/phone.md, one WebSocket a phone."""

import asyncio
import base64
import binascii
import contextlib
import json

from fastapi import WebSocketDisconnect

from firmware import settings, wire
from firmware.errors import LinkError

MESSAGE_LIMIT = 4096  # bytes
_SCAN_S = 2
_ANSWER_S = 10
_SEND_S = 10  # for a browser that takes nothing
_CONNECT_S = 6
_WAITING = 8  # requests
_UNTOLD = 256  # events
_PHONES = 8
_PIECE_BYTES = 512
_NONSENSE = 1008
_TRY_LATER = 1013
_CHARACTERISTICS = {settings.BLE_INFO_UUID, settings.BLE_TO_MODULE_UUID, settings.BLE_FROM_MODULE_UUID}


class _Refused(Exception):
    """The answer is this error code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class _Nonsense(Exception):
    """No page of ours sends that."""


class RadioHost:
    """Serves the phones of a house."""

    def __init__(self, phones):
        self._phones = phones
        self._count = 0

    async def serve(self, client):
        """One WebSocket that was accepted, until either end is over."""
        if self._count >= _PHONES:
            await client.close(_TRY_LATER)
            return
        self._count += 1
        try:
            async with self._phones.radio() as radio:
                await _Phone(client, radio).run()
        finally:
            self._count -= 1


class _Phone:
    def __init__(self, client, radio):
        self._client = client
        self._radio = radio
        self._link = None
        self._follower = None  # the task that waits for the link's end
        self._subscribed = set()
        self._requests = asyncio.Queue(_WAITING)
        self._events = asyncio.Queue(_UNTOLD)
        self._last_id = 0

    async def run(self):
        tasks = [asyncio.create_task(work()) for work in (self._receive, self._answer, self._notify)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            code = _NONSENSE if any(isinstance(task.exception(), _Nonsense) for task in done) else 1000
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._hang_up()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the other end was first
            await self._client.close(code)

    async def _receive(self):
        while True:
            try:
                asked = json.loads(await self._client.receive_text())
            except (ValueError, KeyError, RecursionError):
                raise _Nonsense from None
            if not isinstance(asked, dict):
                raise _Nonsense
            try:
                self._requests.put_nowait(asked)
            except asyncio.QueueFull:
                raise _Nonsense from None

    async def _answer(self):
        while True:
            asked = await self._requests.get()
            number = asked.get("id")
            try:
                answer = {"ok": await self._do(asked)}
            except _Refused as error:
                answer = {"error": {"code": error.code}}
            await self._send({"id": number, **answer})

    async def _notify(self):
        while True:
            await self._send(await self._events.get())

    def _tell(self, **event):
        """What has no room is lost, and a stream with a gap is worth nothing: the link ends."""
        try:
            self._events.put_nowait(event)
        except asyncio.QueueFull:
            if self._link is not None:
                self._link.close()

    async def _send(self, message):
        async with asyncio.timeout(_SEND_S):
            await self._client.send_text(json.dumps(message))

    # The operations

    async def _do(self, asked):
        """What `ok` of the answer is. _Refused."""
        number, operation = asked.get("id"), _OPERATIONS.get(_text(asked, "op"))
        if operation is None or type(number) is not int or number <= self._last_id:
            raise _Refused("bad_request")
        self._last_id = number
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await operation(self, asked)
        except TimeoutError:
            raise _Refused("timeout") from None
        except LinkError as error:
            raise _Refused("timeout" if error.code == "timeout" else "not_connected") from None
        except self._radio.REFUSED:
            raise _Refused("refused") from None

    async def _scan(self, asked):
        found = await self._find(lambda one: True)
        if found is None:
            return []
        return [{"address": str(found.address), "name": found.name, "state": wire.STATES[found.state]}]

    async def _connect(self, asked):
        address = _text(asked, "address")
        if self._link is not None:
            raise _Refused("already_connected")
        found = await self._find(lambda one: str(one.address) == address)
        if found is None:
            raise _Refused("not_found")
        if not found.connectable:
            raise _Refused("refused")
        try:
            self._link = await self._radio.connect(found, subscribe=False, timeout_s=_CONNECT_S)
        except LinkError:
            raise _Refused("refused") from None
        self._follower = asyncio.create_task(self._follow(self._link))

    async def _find(self, wanted):
        """The first module heard that is wanted, or None."""
        try:
            return await self._radio.scan(lambda one: one.state < len(wire.STATES) and wanted(one), _SCAN_S)
        except TimeoutError:
            return None

    async def _read(self, asked):
        uuid = self._characteristic(asked)
        return base64.b64encode(await self._standing().read(uuid)).decode()

    async def _subscribe(self, asked):
        uuid = self._characteristic(asked)
        link = self._standing()
        if uuid in self._subscribed:
            return

        def take(value):
            self._tell(event="notify", characteristic=uuid, value=base64.b64encode(value).decode())

        await link.subscribe(uuid, take)
        self._subscribed.add(uuid)

    async def _write(self, asked):
        uuid = self._characteristic(asked)
        with_response = asked.get("response")
        try:
            value = base64.b64decode(_text(asked, "value"), validate=True)
        except binascii.Error:
            raise _Refused("bad_request") from None
        if type(with_response) is not bool or len(value) > _PIECE_BYTES:
            raise _Refused("bad_request")
        if uuid != settings.BLE_TO_MODULE_UUID:
            raise _Refused("refused")
        await self._standing().write(value, with_response)

    async def _disconnect(self, asked):
        self._standing().close()

    # The link

    def _standing(self):
        if self._link is None:
            raise _Refused("not_connected")
        return self._link

    @staticmethod
    def _characteristic(asked):
        uuid = _text(asked, "characteristic")
        if uuid not in _CHARACTERISTICS:
            raise _Refused("not_found")
        return uuid

    async def _follow(self, link):
        await link.ended(None)
        self._link = None
        self._subscribed.clear()
        self._tell(event="disconnected")

    async def _hang_up(self):
        """End the link as a phone does it, if there is time; else the radio falls silent."""
        if self._link is not None:
            self._link.close()
            with contextlib.suppress(TimeoutError):
                await self._link.ended(_SCAN_S)
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)


_OPERATIONS = {
    "scan": _Phone._scan,
    "connect": _Phone._connect,
    "read": _Phone._read,
    "subscribe": _Phone._subscribe,
    "write": _Phone._write,
    "disconnect": _Phone._disconnect,
}


def _text(asked, name):
    value = asked.get(name)
    if not isinstance(value, str):
        raise _Refused("bad_request")
    return value
