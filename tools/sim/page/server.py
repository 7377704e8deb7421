"""Serves the page on 127.0.0.1, and nobody but a page of its own may open its socket."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

from tools.flash import layout
from tools.pps.phone_page import page_headers, phone_routes
from tools.setup import phone
from tools.sim.chips.keys import Finger
from tools.sim.module import ModuleStopped
from tools.sim.page.feed import Feed
from tools.sim.page.radio import MESSAGE_LIMIT, RadioHost

HOST = "127.0.0.1"
_STATIC = Path(__file__).with_name("static")
_SEAL = Path(__file__).parents[2] / "pps" / "static" / "seal.svg"
_HELD_AT_MOST_S = 10
_READ_WITHIN_S = 5
_KEYS_WAITING = 16
_GRACE_S = 2
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Page:
    """The page of a started house, and the phone's. port 0 = any free one; `url` and `phone_url` from bind() on."""

    def __init__(self, house, port=0):
        self._house = house
        self._port = port
        self._bound = None
        self._server = None
        self._tasks = []
        self.url = self.phone_url = None

    def bind(self):
        """Take the port, before the house is started. OSError where it is taken."""
        self._bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._bound.bind((HOST, self._port))
            self._bound.listen()
        except OSError:
            self._bound.close()
            raise
        self._port = self._bound.getsockname()[1]
        self.url = f"http://{HOST}:{self._port}/"
        # Where real phones find the module, the page on this computer has its browser's Bluetooth alone.
        self.phone_url = self.url + ("phone/" if self._house.is_on_the_air else "phone/#radio")

    async def start(self):
        """Serve the page; the house is started. OSError as `bind`."""
        if self._bound is None:
            self.bind()
        feed = Feed(self._house)
        config = uvicorn.Config(
            page_app(self._house, feed, (f"{HOST}:{self._port}", f"localhost:{self._port}")),
            ws="websockets-sansio",
            ws_max_size=MESSAGE_LIMIT,
            lifespan="off",
            timeout_graceful_shutdown=_GRACE_S,
            server_header=False,
            access_log=False,
            log_config=None,
        )
        self._server = _Server(config)
        self._tasks = [asyncio.create_task(feed.run()), asyncio.create_task(self._server.serve([self._bound]))]

    async def stop(self):
        if self._server is None:
            if self._bound is not None:
                self._bound.close()
            return
        self._server.should_exit = True
        await self._tasks[1]
        self._tasks[0].cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    """Signals are the house's business."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield


class _OwnHostOnly:
    """Refuses what was sent to another name, as by a page whose name was turned to this address, or by another page."""

    def __init__(self, app, hosts):
        self._app = app
        self._hosts = {host.encode() for host in hosts}
        self._origins = {f"http://{host}".encode() for host in hosts}

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        allowed = headers.get(b"host") in self._hosts
        if scope["type"] == "websocket":
            allowed = allowed and headers.get(b"origin") in self._origins
        if allowed:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse("not here", 403)(scope, receive, send)


def page_app(house, feed, hosts):
    """The ASGI application. hosts: those that a browser may have in its address line, with the port."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    radio_host = RadioHost(house.phones)

    @app.middleware("http")
    async def add_headers(request, call_next):
        response = await call_next(request)
        if request.url.path.startswith("/phone/"):
            response.headers.update({name.decode(): value.decode() for name, value in page_headers(request.url.path)})
        else:
            response.headers.update(_HEADERS)
        return response

    @app.get("/")
    async def index():
        return FileResponse(_STATIC / "index.html")

    @app.get("/static/seal.svg")
    async def seal():
        return FileResponse(_SEAL)

    @app.websocket("/feed")
    async def follow(client: WebSocket):
        await client.accept()
        await _serve(client, house, feed)

    @app.websocket("/phone/radio")
    async def radio(client: WebSocket):
        await client.accept()
        await radio_host.serve(client)

    app.router.routes += phone_routes(phone.OUT)
    app.mount("/static", StaticFiles(directory=_STATIC))
    return _OwnHostOnly(app, hosts)


async def _serve(client, house, feed):
    """One browser: what happens goes out, what it does comes in, until either end is over."""
    hands = Hands(house)
    queue = feed.join()
    sending = asyncio.create_task(_send(client, queue))
    receiving = asyncio.create_task(_receive(client, hands))
    try:
        await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        feed.leave(queue)
        for task in (sending, receiving):
            task.cancel()
        await asyncio.gather(sending, receiving, return_exceptions=True)
        await hands.let_go()
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the other end was first
            await client.close()


async def _send(client, queue):
    while (message := await queue.get()) is not None:
        if isinstance(message, bytes):
            await client.send_bytes(message)
        else:
            await client.send_text(json.dumps(message, ensure_ascii=False))


async def _receive(client, hands):
    while True:
        try:
            message = json.loads(await client.receive_text())
            await hands.do(message)
        except (ValueError, KeyError, TypeError):
            continue  # no page of ours sends that
        except WebSocketDisconnect:
            return


class Hands:
    """One browser's fingers on the keys, and what else it does to the house.

    A key that is told to be down once more is one that somebody holds; of any other the end may come late.
    """

    def __init__(self, house):
        self._house = house
        self._fingers = {}  # by code
        self._tasks = set()
        self._acts = {
            "power_on": house.power_on,
            "power_off": house.power_off,
            "restart": house.restart,
            "play_back": house.play_back,
            "cut_at_next_write": house.cut_at_next_write,
            "take_image": house.take_image,
            "unplug": house.unplug,
            "plug": house.plug,
            "carry_phone_away": house.carry_phone_away,
            "bring_phone_back": house.bring_phone_back,
        }

    async def do(self, message):
        """Carry out {"do": name, ...}. KeyError, TypeError, ValueError for what is not known."""
        name = message["do"]
        if name == "key":
            self._key(str(message["code"]), bool(message["down"]))
        elif name == "flip_bit":
            self._flip(message.get("area"), message.get("sector"))
        else:
            done = self._acts[name]()
            if asyncio.iscoroutine(done):
                await done

    async def let_go(self):
        """Let every key go that is still down."""
        for finger in self._fingers.values():
            finger.lift()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flip(self, area, sector):
        if sector is not None:
            if not 0 <= int(sector) < layout.SECTORS:
                raise ValueError("no such sector")
            self._house.flip_bit(sector=int(sector))
        else:
            self._house.flip_bit(area if area in layout.AREAS else "vault")

    def _key(self, code, down):
        keys = self._house.module.keys
        if keys is None or code not in keys.codes or code == " ":
            raise ValueError("no such key")
        finger = self._fingers.get(code)
        if not down:
            if finger:
                self._fingers.pop(code).lift()
            return
        if finger:
            finger.stay()
            return
        if len(self._tasks) >= _KEYS_WAITING or not self._house.module.running:
            return
        finger = self._fingers[code] = Finger()
        task = asyncio.create_task(self._hold(code, finger))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold(self, code, finger):
        """Down until it is let go, and at least until the firmware has seen it."""
        asyncio.get_running_loop().call_later(_HELD_AT_MOST_S, finger.lift)
        with contextlib.suppress(TimeoutError, ModuleStopped):
            await self._house.module.press(code, timeout_s=_HELD_AT_MOST_S + _READ_WITHIN_S, finger=finger)
