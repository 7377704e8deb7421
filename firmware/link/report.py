"""The reporter's part of a talk with a server: report key, readings, and when to leave it alone (docs/api.md)."""

import asyncio

from micropython import const

from firmware import settings
from firmware.crypto.hmac import HmacSha256
from firmware.errors import LinkError, TamperError
from firmware.link import messages
from firmware.link.http import StatusError

_REPORT_KEY = "/v1/module/report_key"
_READINGS = "/v1/module/readings"
_TOO_MANY = const(429)
_REQUEST_BYTES = const(720)  # of a request with its head, but for the records
_RECORD_BYTES = const(320)
_REFUSALS = ("", "conflict", "forbidden")  # the audit trail's detail is the place in this row


class Report:
    """Between one reporter and one server, for as long as the connection is the same.

    Whatever goes wrong with it, credentials go first: it waits then, and the link goes on.
    """

    def __init__(self, reporter, audit, clock, random):
        self._reporter = reporter
        self._audit = audit
        self._clock = clock
        self._random = random
        self._key_told = False
        self._key_asked_for = False  # the server had forgotten it
        self._paused = False  # until the next hello
        self._failures = 0  # in a row
        self._next_ms = 0
        self._noted = 0  # the refusal that the audit trail has, of _REFUSALS

    def hello(self):
        """The server has been greeted anew."""
        self._paused = False
        self._reporter.ask_anew()

    def forget_key(self):
        """The server may not know the report key any longer."""
        self._key_told = False

    @property
    def is_due(self):
        if self._paused or self._clock.uptime_ms() < self._next_ms:
            return False
        return self._reporter.has_word

    def audit_mac(self):
        """What makes the MACs of the audit trail's records, an HmacSha256; None before the server has the key."""
        if not self._key_told:
            return None
        try:
            key = self._reporter.key()
        except TamperError:
            return None
        return key and HmacSha256(key)

    async def step(self, client, room):
        """One exchange, with a buffer of `room` bytes. LinkError where the link has to back off."""
        try:
            if self._key_told:
                await self._readings(client, room)
            else:
                await self._tell_key(client)
        except TamperError:
            self._put_off()  # latched by the detection unit, or one bad read
            return
        except LinkError as error:
            status = error.status if isinstance(error, StatusError) else 0
            if 400 <= status < 500 and status != _TOO_MANY:
                self._refused(error.server_code)
                return
            self._put_off()
            raise
        self._failures = 0

    def _put_off(self):
        """Leave it for a while: doubling, jittered."""
        pause_ms = min(settings.LINK_RETRY_FIRST_MS << min(self._failures, 16), settings.LINK_RETRY_MAX_MS)
        # Up to half of it less, so that houses that failed together do not come again together.
        pause_ms -= pause_ms * int.from_bytes(self._random(2), "big") >> 17
        self._failures += 1
        self._next_ms = self._clock.uptime_ms() + pause_ms

    async def _tell_key(self, client):
        key = self._reporter.key()
        if key is None:
            self._paused = True
            return
        message = {"protocol": settings.LINK_PROTOCOL, "key": key.hex()}
        await client.call(_REPORT_KEY, (messages.encode(message),))
        self._key_told = True

    async def _readings(self, client, room):
        most = min((room - _REQUEST_BYTES) // _RECORD_BYTES, settings.LINK_READINGS_RECORDS)
        pieces = self._reporter.request(most)
        while pieces is None:
            await asyncio.sleep(0)
            pieces = self._reporter.request(most)
        answer = await client.call(_READINGS, pieces)
        if not self._reporter.told(messages.text(answer, "epoch"), messages.u32(answer, "through")):
            raise LinkError("bad_answer")
        self._key_asked_for = False
        self._noted = 0

    def _refused(self, server_code):
        if server_code == "no_report_key" and not self._key_asked_for:
            self._key_asked_for = True
            self._key_told = False
            return
        self._paused = True
        code = _REFUSALS.index(server_code) if server_code in _REFUSALS else 0
        if code and code != self._noted:
            self._noted = code
            self._audit.record("report_refused", detail=code)
