"""A `ServerLink` on real units, with a server in memory whose every answer a test decides."""

import asyncio
import json

from unit_rig import NOW_S, SERIAL, module

from firmware import settings
from firmware.errors import LinkError
from firmware.link import server_link
from firmware.link.endpoint import CREDENTIAL

UNIX_TO_2000_S = 946_684_800

# One for every link of a test, taken before the rest of the heap is in use, as the app does it.
_buffer = server_link.new_buffer()
server_link.new_buffer = lambda: _buffer


class Endpoint:
    def __init__(self, host="pps.example", issuer=settings.ISSUER_CONNECTION):
        self.host = host
        self.port = 443
        self.issuer = issuer
        self.ca = self.certificate = self.private_key = b""
        self.takes_reports = issuer == settings.ISSUER_CONNECTION


class Refusal:
    """An answer that is an error."""

    def __init__(self, status, code, headers=""):
        self.status = status
        self.body = {"error": {"code": code, "message": "m"}}
        self.headers = headers


class Server:
    """Answers by `hello`, `poll`, `ack`, `audit`, `relay`, `report_key`, `readings`: callables, given the message.

    They return a dict, a Refusal, None (no answer before `push`), or raise LinkError: the connection ends so.
    """

    def __init__(self, rig):
        self._rig = rig
        self._waiting = None
        self.requests = []  # (host, name, message)
        self.connections = 0
        self.unreachable = None  # code of every attempt to connect
        self.now = NOW_S + UNIX_TO_2000_S
        self.hello = self.good_hello
        self.poll = lambda message: None
        self.ack = lambda message: {"ok": True}
        self.audit = lambda message: {"through": message["records"][-1]["number"]}
        self.relay = lambda message: {"ok": True}
        self.report_key = lambda message: {"ok": True}
        self.readings = None

    def good_hello(self, message):
        state = message["state"]
        highest = {
            name: state[name] for name in ("generation", "attempts", "attempts_number", "audit_number", "boot_count")
        }
        return {"nonce": message["nonce"], "now": self.now, "audit_through": 1000, "highest": highest}

    def messages(self, name):
        return [message for _, found, message in self.requests if found == name]

    @property
    def has_open_request(self):
        return self._waiting is not None

    def push(self, answer):
        """Answer the request that waits."""
        waiting, self._waiting = self._waiting, None
        waiting.put(answer)

    async def connect(self, host, port, context):
        await asyncio.sleep_ms(0)
        if self.unreachable:
            raise LinkError(self.unreachable)
        self.connections += 1
        return _Connection(self, host)

    def asked(self, connection, data):
        head, _, body = data.partition(b"\r\n\r\n")
        name = head.split(b" ")[1].decode().split("/")[-1]
        message = json.loads(body)
        self.requests.append((connection.host, name, message))
        answer = getattr(self, name)(message)
        if answer is None:
            self._waiting = connection
        else:
            connection.put(answer)


class _Connection:
    """Stands in for transport.Connection."""

    def __init__(self, server, host):
        self._server = server
        self.host = host
        self._data = b""
        self._more = asyncio.Event()
        self.closed = False

    def put(self, answer):
        status, body, headers = 200, answer, ""
        if isinstance(answer, Refusal):
            status, body, headers = answer.status, answer.body, answer.headers
        body = json.dumps(body)
        text = "HTTP/1.1 %d x\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), headers, body)
        self._data += text.encode()
        self._more.set()

    async def write(self, data):
        await asyncio.sleep_ms(0)
        self._server.asked(self, bytes(data))

    async def read_into(self, view):
        while not self._data:
            self._more.clear()
            await self._more.wait()
        view[:][:] = self._data[: len(view)]
        self._data = self._data[len(view) :]

    async def read_line(self, view):
        size = self._data.index(b"\n") + 1
        await self.read_into(view[:size])
        return size

    def waiting(self):
        return None

    def close(self):
        self.closed = True


class LinkRig:
    """`rig`: the module; `server`; `link`, whose pauses are in `pauses_ms` and take no time."""

    def __init__(
        self,
        rig=None,
        role=CREDENTIAL,
        now=None,
        jitter=b"\x80\x00",
        rolled_back=None,
        relay=None,
        reporter=None,
    ):
        self.rig = rig or module(now=now)
        self.server = Server(self.rig)
        self.endpoints = [Endpoint()]
        self.pauses_ms = []
        self.hold = None  # an Event: pauses last until it is set
        self.rollbacks = 0
        self.helped = 0
        self.help_error = None
        self.jitter = jitter
        self._drawn = 0
        server_link.mutual_context = self._context
        self.unusable = ()
        self.link = server_link.ServerLink(
            role,
            lambda: iter(self.endpoints),
            self.rig.acquisition,
            self.rig.audit,
            self.rig.clock,
            self.state,
            rolled_back or self._rolled_back,
            self.random,
            SERIAL,
            "1.2.3",
            self._help,
            relay,
            reporter,
            self.sleep_ms,
            connect=self.server.connect,
        )
        self.rig.acquisition.listeners.append(self.link.state_changed)
        self._task = None

    def state(self):
        store = self.rig.store
        return {
            "generation": store.vault.generation,
            "boot_count": self.rig.clock.boot_count,
            "powered_s": self.rig.clock.powered_s(),
            "attempts": self.rig.attempts.attempts,
            "attempts_number": store.attempts.head_number,
            "audit_number": store.audit.head_number,
            "tamper": self.rig.detection.tamper,
            "credential": self.rig.acquisition.state(),
        }

    def random(self, size):
        if size == 2:
            return self.jitter
        self._drawn += 1
        return bytes((self._drawn,)) * size

    async def sleep_ms(self, ms):
        self.pauses_ms.append(ms)
        self.rig.ms += ms
        if self.hold:
            await self.hold.wait()
        await asyncio.sleep_ms(0)

    def _context(self, ca, certificate, private_key):
        if ca in self.unusable:
            raise LinkError("tls")

    def _rolled_back(self):
        self.rollbacks += 1

    async def _help(self):
        self.helped += 1
        if self.help_error:
            raise self.help_error

    async def until(self, condition):
        """Run the link until something holds."""
        if self._task is None:
            self._task = asyncio.create_task(self.link.run())
        for _ in range(3000):
            if condition():
                return
            if self._task.done():
                await self._task
            await asyncio.sleep_ms(0)
        raise AssertionError("not reached; requests: %r" % [name for _, name, _ in self.server.requests])

    async def until_asked(self, name, times=1):
        await self.until(lambda: len(self.server.messages(name)) >= times)

    async def stop(self):
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        self._task = None
