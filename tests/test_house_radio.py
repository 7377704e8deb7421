"""The virtual radio of docs/phone.md at a running house: what it says to whom, and what it does with nonsense."""

import asyncio
import base64
import contextlib
import json

import httpx
import pytest
import pytest_asyncio
import websockets

from firmware import settings, wire
from tools.setup import locked, phone
from tools.sim.house import SERIAL, House
from tools.sim.page.radio import MESSAGE_LIMIT
from tools.sim.page.server import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")
INFO, TO_MODULE, FROM_MODULE = settings.BLE_INFO_UUID, settings.BLE_TO_MODULE_UUID, settings.BLE_FROM_MODULE_UUID
NAME = "Inkan 00000001"
TIMEOUT_S = 30


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory):
    with locked("setup"):
        phone.ensure()
    async with House(tmp_path_factory.mktemp("house")) as house:
        await house.start()
        page = Page(house)
        await page.start()
        try:
            await house.module.wait_text("通信 正常")
            page.house = house
            yield page
        finally:
            await page.stop()


class Radio:
    """A page's end of the WebSocket. `events`: those that came."""

    def __init__(self, socket):
        self.socket = socket
        self.events = asyncio.Queue()
        self._answers = {}
        self._last = 0
        self._task = asyncio.create_task(self._receive())

    async def ask(self, op, **more):
        """`ok` of the answer, or its error's code as LookupError."""
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps({"id": self._last, "op": op, **more}))
        async with asyncio.timeout(TIMEOUT_S):
            told = await answer
        if "error" in told:
            raise LookupError(told["error"]["code"])
        return told["ok"]

    async def event(self):
        async with asyncio.timeout(TIMEOUT_S):
            return await self.events.get()

    async def connected(self):
        """Look for the module and connect; returns self."""
        found = await self.ask("scan")
        await self.ask("connect", address=found[0]["address"])
        return self

    async def _receive(self):
        async for message in self.socket:
            told = json.loads(message)
            if "event" in told:
                self.events.put_nowait(told)
            else:
                self._answers.pop(told["id"]).set_result(told)

    async def close(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@contextlib.asynccontextmanager
async def radio_at(page, origin=None):
    address = page.url.replace("http", "ws") + "phone/radio"
    async with websockets.connect(address, origin=origin or page.url.rstrip("/")) as socket:
        radio = Radio(socket)
        try:
            yield radio
        finally:
            await radio.close()


async def refused(awaitable):
    """The code that it is answered with."""
    with pytest.raises(LookupError) as caught:
        await awaitable
    return caught.value.args[0]


def base64_of(data):
    return base64.b64encode(data).decode()


async def test_r18_info_by_every_operation(page):
    async with radio_at(page) as radio:
        found = await radio.ask("scan")
        assert [(one["name"], one["state"]) for one in found] == [(NAME, "waiting")]  # the factory label's ID
        assert await radio.ask("connect", address=found[0]["address"]) is None
        value = base64.b64decode(await radio.ask("read", characteristic=INFO))
        assert value[0] == wire.PROTOCOL and value.endswith(SERIAL.encode())
        assert await radio.ask("subscribe", characteristic=FROM_MODULE) is None
        ask_info = base64_of(wire.frame(wire.ASK_INFO))
        told = b""
        for response in (True, False):
            await radio.ask("write", characteristic=TO_MODULE, value=ask_info, response=response)
            while len(told) < 2 or len(told) < 2 + int.from_bytes(told[:2], "little"):
                event = await radio.event()
                assert (event["event"], event["characteristic"]) == ("notify", FROM_MODULE)
                told += base64.b64decode(event["value"])
            assert told[2:3] == bytes((wire.INFO,)) and told[3:] == value
            told = b""
        assert await radio.ask("disconnect") is None
        assert await radio.event() == {"event": "disconnected"}
        await radio.connected()  # the WebSocket stays


async def test_errors_are_typed(page):
    async with radio_at(page) as radio:
        assert await refused(radio.ask("connect", address="C0:FF:EE:00:00:99")) == "not_found"
        for op, more in (
            ("read", {"characteristic": INFO}),
            ("subscribe", {"characteristic": FROM_MODULE}),
            ("write", {"characteristic": TO_MODULE, "value": "AAAA", "response": True}),
            ("disconnect", {}),
        ):
            assert await refused(radio.ask(op, **more)) == "not_connected"
        await radio.connected()
        address = (await radio.ask("scan"))[0]["address"]
        assert await refused(radio.ask("connect", address=address)) == "already_connected"
        for op, more, code in (
            ("read", {"characteristic": "51644330-28e6-4c56-a4d1-f27e4c2bfcfb"}, "not_found"),
            ("write", {"characteristic": INFO, "value": "AAAA", "response": True}, "refused"),
            ("write", {"characteristic": TO_MODULE, "value": "A", "response": True}, "bad_request"),
            ("write", {"characteristic": TO_MODULE, "value": base64_of(bytes(513)), "response": True}, "bad_request"),
            ("write", {"characteristic": TO_MODULE, "value": "AAAA", "response": 1}, "bad_request"),
            ("write", {"characteristic": TO_MODULE, "response": True}, "bad_request"),
            ("connect", {"address": 7}, "bad_request"),
            ("fly", {}, "bad_request"),
            ("_tell", {}, "bad_request"),
        ):
            assert await refused(radio.ask(op, **more)) == code, (op, more)
        assert await radio.ask("read", characteristic=INFO)  # nothing of that has ended the link


async def test_ids_ascend(page):
    async with radio_at(page) as radio:
        await radio.ask("scan")
        radio._last = 0
        assert await refused(radio.ask("scan")) == "bad_request"


@pytest.mark.parametrize("message", ["", "[]", "7", '"scan"', "{", "[" * 3000, '{"id": 1}' * 2])
async def test_what_is_no_object_ends_the_socket(page, message):
    async with radio_at(page) as radio:
        await radio.socket.send(message)
        await radio.socket.wait_closed()
        assert radio.socket.close_code == 1008


async def test_a_message_that_is_too_long_ends_the_socket(page):
    async with radio_at(page) as radio:
        await radio.socket.send('{"id": 1, "op": "' + "x" * MESSAGE_LIMIT + '"}')
        await radio.socket.wait_closed()
        assert radio.socket.close_code == 1009


async def test_a_flood_of_requests_ends_the_socket(page):
    async with radio_at(page) as radio:
        with contextlib.suppress(websockets.ConnectionClosed):
            for number in range(1, 200):
                await radio.socket.send(json.dumps({"id": number, "op": "scan"}))
        await radio.socket.wait_closed()
        assert radio.socket.close_code == 1008


async def test_opens_to_the_houses_own_pages_only(page):
    for origin in ("http://evil.example", "https://127.0.0.1", "null"):
        with pytest.raises(websockets.InvalidStatus):
            async with radio_at(page, origin):
                pass


async def test_a_phone_out_of_range_is_told_and_finds_the_module_when_it_is_back(page):
    async with radio_at(page) as radio:
        await radio.connected()
        page.house.carry_phone_away()
        try:
            assert await radio.event() == {"event": "disconnected"}
            assert await radio.ask("scan") == []
            async with radio_at(page) as another:
                assert await another.ask("scan") == []
        finally:
            page.house.bring_phone_back()
        await radio.connected()
        assert await radio.ask("read", characteristic=INFO)


async def test_socket_that_closes_ends_the_connection(page):
    """Two phones have all the connections that there are; a third is turned down until one goes."""
    async with radio_at(page) as first, radio_at(page) as second, radio_at(page) as third:
        await first.connected()
        await second.connected()
        address = (await third.ask("scan"))[0]["address"]
        assert await refused(third.ask("connect", address=address)) == "refused"
        await second.socket.close()
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                with contextlib.suppress(LookupError):
                    await third.ask("connect", address=address)
                    break
        assert await third.ask("read", characteristic=INFO)


async def test_there_is_a_limit_to_phones(page):
    async with contextlib.AsyncExitStack() as stack:
        radios = [await stack.enter_async_context(radio_at(page)) for _ in range(9)]
        await radios[-1].socket.wait_closed()
        assert radios[-1].socket.close_code == 1013
        assert await radios[0].ask("scan")


async def test_phones_page_is_served_as_its_document_says(page):
    async with httpx.AsyncClient() as client:
        for path, kind in (
            ("phone/", "text/html"),
            ("phone/worker.js", "text/javascript"),
            ("phone/manifest.webmanifest", "application/manifest+json"),
            ("phone/seal.svg", "image/svg+xml"),
        ):
            answer = await client.get(page.url + path)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind), path
            assert answer.headers["cache-control"] == "no-cache"
            policy = answer.headers["content-security-policy"]
            assert "worker-src 'self'" in policy and "connect-src 'self'" in policy and "unsafe" not in policy
        asset = next((phone.OUT / "assets").iterdir()).name
        answer = await client.get(page.url + "phone/assets/" + asset)
        assert "immutable" in answer.headers["cache-control"]
        assert (await client.get(page.url + "phone/../static/page.js")).headers["cache-control"] == "no-store"
        assert page.phone_url == page.url + "phone/#radio"
