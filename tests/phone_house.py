"""The phone's page and a radio for it, in a thread of its own; behind the radio is a module with its real phone unit.

The radio is what docs/phone.md says of the virtual house's; the relay what docs/api.md says of the server's.
"""

import asyncio
import base64
import contextlib
import threading
import time

import uvicorn
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.staticfiles import StaticFiles
from phone_rig import BLE, RELAY, PhoneRig, phone_message
from unit_rig import blank_flash, provision

from firmware import settings
from firmware.errors import LinkError
from tools.setup import locked, phone

TO_MODULE = "51644328-28e6-4c56-a4d1-f27e4c2bfcfb"
FROM_MODULE = "51644329-28e6-4c56-a4d1-f27e4c2bfcfb"
ADDRESS = "C0:FF:EE:00:00:01"
TOKEN = "00112233445566778899aabbccddeeff"

_TIMEOUT_S = 30
_PIECE = 100  # bytes of a notification
_TICKS_PERIOD = 1 << 30
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Module(PhoneRig):
    """A module whose time is the machine's, and `pass_s` more."""

    def __init__(self, device, **options):
        self.ahead_ms = 0
        super().__init__(device, **options)

    def ticks_ms(self):
        return (_TICKS_PERIOD - 5_000 + self.ahead_ms + time.monotonic_ns() // 1_000_000) % _TICKS_PERIOD

    def pass_s(self, seconds):
        """Let time pass, as a minute at a time would."""
        while seconds > 0:
            step_s = min(seconds, 60)
            seconds -= step_s
            self.ahead_ms += step_s * 1000
            self.clock.tick()
            self.control.tick()


class CarriedLink:
    """The module's end of a link; what it sends goes into `out`, whole writes, None at the end."""

    def __init__(self, door):
        self.door = door
        self.out = asyncio.Queue()
        self.lose_answer = False  # the next one that the module sends is lost, and the link with it
        self.spoil_answer = False  # one bit of the next one that the module sends is another
        self._data = b""
        self._more = asyncio.Event()
        self.closed = False

    async def read_into(self, view):
        while not self._data and not self.closed:
            self._more.clear()
            await self._more.wait()
        size = 0 if self.closed else min(len(view), len(self._data))
        view[:size] = self._data[:size]
        self._data = self._data[size:]
        return size

    async def write(self, data):
        if self.lose_answer:
            self.close()
        if self.closed:
            raise LinkError("closed")
        data = bytearray(data)
        if self.spoil_answer:
            self.spoil_answer = False
            data[30] ^= 1
        self.out.put_nowait(bytes(data))

    def put(self, data):
        self._data += data
        self._more.set()

    def close(self):
        if not self.closed:
            self.closed = True
            self._more.set()
            self.out.put_nowait(None)


class PhoneHouse:
    """Serves `url` from entry to exit. `module` is there after `new_module`."""

    def __init__(self, with_page=True):
        self._with_page = with_page
        self.module = None
        self.in_reach = True
        self.online = True
        self.links = []  # all that there were
        self._conversations = {}
        self._tasks = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        config = uvicorn.Config(
            self._app(),
            port=0,
            ws="websockets-sansio",
            lifespan="off",
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._serving = None
        self.url = None

    def __enter__(self):
        if self._with_page:
            with locked("setup"):
                phone.ensure()
        self._thread.start()
        try:
            self.call(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

    def call(self, work):
        """The result of a coroutine, or of a function that is called in the module's thread."""
        return asyncio.run_coroutine_threadsafe(self._do(work), self._loop).result(_TIMEOUT_S)

    def new_module(self, scope=None, credential=True, knows_time=True, **changed):
        """Another module takes the place of the one before; changed: of the credential."""

        def build():
            self._drop_module()
            device = blank_flash()
            provision(device)
            self.module = Module(device)
            if credential:
                self.module.acquisition.accept(phone_message(1, scope, **changed), settings.ISSUER_CONNECTION)
            if not knows_time:
                self.module = Module(device, now=None)  # started again, without a network
            self.module.start()
            self.in_reach = self.online = True

        self.call(build)
        return self.module

    def break_link(self, stays_away=False):
        """The link that stands now is lost; stays_away: and no other one comes until `in_reach` is set again."""

        def lose():
            self.in_reach = not stays_away
            for link in self.links:
                link.close()

        self.call(lose)

    def lose_next_answer(self):
        """The module does what it is asked next, and the answer is lost with the link."""
        self.call(lambda: setattr(self.links[-1], "lose_answer", True))

    def spoil_next_answer(self):
        self.call(lambda: setattr(self.links[-1], "spoil_answer", True))

    @property
    def linked(self):
        return any(not link.closed for link in self.links)

    async def _do(self, work):
        return await work if asyncio.iscoroutine(work) else work()

    async def _start(self):
        self._serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://localhost:{port}/phone/"

    async def _stop(self):
        self._drop_module()
        self._server.should_exit = True
        if self._serving:
            await self._serving
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop_module(self):
        for link in self.links:
            link.close()
        self.links = []
        self._conversations = {}
        if self.module:
            self.module.power_off()
            if self.module.control.session:
                self.module.control.session.close("lock")

    def _new_link(self, door):
        link = CarriedLink(door)
        self.links.append(link)
        self._keep(self.module.unit.serve(link))
        return link

    def _keep(self, coroutine):
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _app(self):
        app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

        @app.middleware("http")
        async def add_headers(request, call_next):
            response = await call_next(request)
            response.headers.update(HEADERS)
            return response

        @app.websocket("/phone/radio")
        async def radio(socket: WebSocket):
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await _Radio(self, socket).run()

        @app.post("/v1/relay")
        async def relay(request: Request):
            asked = await request.json()
            assert asked["token"] == TOKEN
            return await self._relay(asked)

        app.mount("/phone", StaticFiles(directory=phone.OUT, html=True, check_dir=False))
        return app

    async def _relay(self, asked):
        if not self.online:
            return {"frames": [], "module": "offline", "closed": False}
        if asked["conversation"] not in self._conversations:
            conversation = self._conversations[asked["conversation"]] = _Conversation(self._new_link(RELAY))
            self._keep(conversation.pump())
        return await self._conversations[asked["conversation"]].answer(asked)


class _Conversation:
    def __init__(self, link):
        self._link = link
        self._taken = 0
        self._frames = []
        self._news = asyncio.Condition()
        self._over = False

    async def answer(self, asked):
        for frame in asked["frames"]:
            if frame["number"] > self._taken:
                self._taken = frame["number"]
                self._link.put(base64.b64decode(frame["frame"]))
        if asked["close"]:
            self._link.close()
        received = asked["received"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(asked["wait_s"]), self._news:
                await self._news.wait_for(lambda: self._over or len(self._frames) > received)
        new = [{"number": at + 1, "frame": frame} for at, frame in enumerate(self._frames) if at >= received]
        return {"frames": new, "module": "online", "closed": self._over}

    async def pump(self):
        """Take what the module sends, until the link is over."""
        while not self._over:
            data = await self._link.out.get()
            async with self._news:
                if data is None:
                    self._over = True
                else:
                    self._frames.append(base64.b64encode(data).decode())
                self._news.notify_all()


class _Radio:
    """One WebSocket: GATT operations in JSON."""

    def __init__(self, house, socket):
        self._house = house
        self._socket = socket
        self._link = None
        self._subscribed = False

    async def run(self):
        try:
            while True:
                asked = await self._socket.receive_json()
                try:
                    ok = getattr(self, "_do_" + asked["op"])(asked)
                except LookupError as error:
                    answer = {"error": {"code": error.args[0]}}
                else:
                    answer = {"ok": ok}
                await self._socket.send_json({"id": asked["id"], **answer})
        finally:
            if self._link:
                self._link.close()

    def _do_scan(self, asked):
        if not self._house.in_reach:
            return []
        state = self._house.module.control.status(BLE).state
        return [{"address": ADDRESS, "name": "Inkan 00000001", "state": state}]

    def _do_connect(self, asked):
        if asked["address"] != ADDRESS or not self._house.in_reach:
            raise LookupError("not_found")
        self._link = self._house._new_link(BLE)
        self._house._keep(self._forward(self._link))

    def _do_subscribe(self, asked):
        self._need_link(asked, FROM_MODULE)
        self._subscribed = True

    def _do_write(self, asked):
        self._need_link(asked, TO_MODULE)
        self._link.put(base64.b64decode(asked["value"]))

    def _do_disconnect(self, asked):
        self._link.close()

    def _need_link(self, asked, characteristic):
        if self._link is None or self._link.closed or asked["characteristic"] != characteristic:
            raise LookupError("not_connected")

    async def _forward(self, link):
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            while (data := await link.out.get()) is not None:
                assert self._subscribed
                for at in range(0, len(data), _PIECE):
                    value = base64.b64encode(data[at : at + _PIECE]).decode()
                    await self._socket.send_json({"event": "notify", "characteristic": FROM_MODULE, "value": value})
            await self._socket.send_json({"event": "disconnected"})


class _Server(uvicorn.Server):
    """Signals are the test's business."""

    @contextlib.contextmanager
    def capture_signals(self):
        yield
