"""The module's talk with one server: hello, poll, acknowledgement, audit, reports (docs/api.md).

Trust in time (S15): only `now` of an answer to `hello`, with this request's nonce, within 10 s of it, from
a server that the pinned CA vouches for and that was shown the module's certificate.
"""

import asyncio
import gc

from micropython import const

from firmware import settings
from firmware.errors import LinkError, TimeError
from firmware.link import messages
from firmware.link.endpoint import CREDENTIAL
from firmware.link.http import HttpClient, StatusError, new_buffer
from firmware.link.report import Report
from firmware.link.transport import mutual_context, open_connection

_POLL = "/v1/module/poll"
_ACK = "/v1/module/ack"
_AUDIT = "/v1/module/audit"
_RELAY = "/v1/module/relay"

_NONCE_BYTES = const(16)
_CONFLICT = const(409)
_TOO_MANY = const(429)
_MAY_ASK = (429, 503)  # to be left alone
_IDLE_POLL_MS = const(1_000)  # least time between polls that bring nothing
_BODY_MAX_BYTES = const(7_168)  # of an audit request; leaves room for its head in the buffer
_MAC_BYTES = const(16)


async def _sleep_ms(duration_ms):
    # asyncio's own is no coroutine: a task cannot be made of it.
    await asyncio.sleep_ms(duration_ms)


class ServerLink:
    """Keeps one connection to the server of a role, for ever; `run` is its task.

    endpoints: callable that yields Endpoint, best first; asked again after `connection_changed`.
    acquisition, audit, clock: the units. state: callable, the dict `state` of hello. on_rollback: called when the
    server has seen more than there is (S10). random(size): bytes. date_help: coroutine function that is tried when
    dates of certificates do not fit, to learn the time by NTP; may raise LinkError. relay: the `Relay` whose frames
    go this way, if any. reporter: the `Reporter` whose reports go this way while the endpoint takes them, if any.

    online, error (code or None), server_code (of the server's refusal, or None), issuer (settings.ISSUER_...):
    for screens; listeners are called when they change. Codes beside docs/architecture.md's: no_server (nothing to
    call), no_time (a credential with a lifetime came, and no trusted time), clock (the server's time is below
    the floor).
    """

    def __init__(
        self,
        role,
        endpoints,
        acquisition,
        audit,
        clock,
        state,
        on_rollback,
        random,
        serial,
        firmware_version,
        date_help=None,
        relay=None,
        reporter=None,
        sleep_ms=_sleep_ms,
        limits=None,
        connect=open_connection,
    ):
        self._is_credential_link = role == CREDENTIAL
        self._endpoints = endpoints
        self._acquisition = acquisition
        self._audit = audit
        self._clock = clock
        self._state = state
        self._on_rollback = on_rollback
        self._random = random
        self._serial = serial
        self._firmware_version = firmware_version
        self._date_help = date_help
        self._relay = relay
        if relay:
            relay.ready = self._relay_ready
        self._reporter = reporter
        self._report = None  # the Report to the server that is called, where that takes any
        self._sleep_ms = sleep_ms
        self._limits = limits
        self._connect = connect

        # Taken at the start, while the heap is in one piece; energy is a server of its own in few houses.
        self._buffer = new_buffer() if self._is_credential_link else None
        self._client = None
        self._room = None  # keeps the place of the TLS context free while there is none
        self._reopen = False
        self._hello_due = True
        self._next_hello_ms = 0
        self._acknowledgement = None  # (sequence, result, code) that the server has not got yet
        self._audit_through = 0
        self._audit_paused = False
        self._failures = 0  # in a row
        self._waiting = None  # task that may be woken
        self._woken = False
        self._napping = False  # it waits for the answer to a phone
        self._held = False  # the server wants to be left alone
        self._polled = False  # since the last report
        self._lent = None  # an Event while somebody else has the buffer, or waits for it: set once the link rests

        self.online = False
        self.error = None
        self.server_code = None
        self.issuer = settings.ISSUER_NONE
        self.listeners = []

    def state_changed(self):
        """Something in `state` that matters is new: say hello at once. A poll under way is broken off for it."""
        self._hello_due = True
        if not self._held:
            self._wake()

    def connection_changed(self):
        """Another connection was entered, or what there was may not be used any more: look again whom to call."""
        self._reopen = True
        self._wake()

    async def lend_buffer(self):
        """The buffer, for one other client; until `take_back` the link rests, without a connection.

        An exchange that is under way is waited for; a poll is broken off.
        """
        self._lent = asyncio.Event()
        self._rest_relay(True)
        self._wake()
        await self._lent.wait()
        return self._buffer

    def take_back(self):
        """Go on with the buffer; also where it was never lent."""
        self._lent = None
        self._rest_relay(False)
        self._hello_due = True
        self._wake()

    async def run(self):
        """Never returns; to be cancelled."""
        try:
            while True:
                if self._reopen:
                    self._forget_server()
                if self._lent:
                    self._close()
                    self._lent.set()
                    await self._interruptible(self._sleep_ms(settings.LINK_RETRY_MAX_MS))
                    continue
                try:
                    pause_ms = await self._step()
                    self._failures = 0
                except LinkError as error:
                    pause_ms = await self._failed(error)
                if pause_ms and not self._reopen and not self._lent:
                    await self._interruptible(self._sleep_ms(pause_ms))
                self._held = False
        finally:
            self._close()

    async def _step(self):
        """One exchange with the server; returns how many milliseconds to leave it alone."""
        if self._client is None:
            self._open()
        left_ms = self._next_hello_ms - self._clock.uptime_ms()
        if left_ms <= 0 and not self._is_credential_link and not self._report_is_due():
            # Nothing else is said there, and a hello of its own costs a handshake: it waits for the next report.
            left_ms += (settings.LINK_ENERGY_HELLO_S - settings.LINK_HELLO_S) * 1000
        if self._hello_due or left_ms <= 0:
            await self._hello()
        elif not self._is_credential_link:
            if not self._report_is_due():
                return min(left_ms, settings.REPORT_LOOK_MS) if self._report else left_ms
            await self._tell_report()
        elif self._acknowledgement:
            await self._acknowledge()
        elif self._relay and self._relay.has_word:
            return await self._pass_on()
        elif self._polled and self._report_is_due():
            await self._tell_report()
        elif not await self._upload():
            return await self._poll()
        return 0

    def _report_is_due(self):
        return self._report is not None and self._report.is_due

    async def _tell_report(self):
        # However many there are: credentials come in between.
        self._polled = False
        await self._sleep_ms(0)
        await self._report.step(self._client, len(self._buffer))

    async def _failed(self, error):
        """Note an error; returns the pause after it: doubling, jittered, or what the server asks for."""
        self._failures += 1
        server_code = error.server_code if isinstance(error, StatusError) else None
        self._note(False, error.code, server_code)
        if error.code == "tls_date" and self._date_help and self._clock.now() is None:
            try:
                await self._date_help()
            except LinkError:
                pass
        pause_ms = settings.LINK_RETRY_MAX_MS
        if self._failures < 10:
            pause_ms = min(pause_ms, settings.LINK_RETRY_FIRST_MS << self._failures - 1)
        share = int.from_bytes(self._random(2), "big")
        pause_ms -= pause_ms * share >> 17
        if isinstance(error, StatusError) and error.status in _MAY_ASK and error.retry_after_s is not None:
            asked_ms = min(error.retry_after_s, settings.LINK_RETRY_AFTER_MAX_S) * 1000
            if asked_ms > pause_ms:
                pause_ms = asked_ms
                self._held = True
        return pause_ms

    def _open(self):
        """Make a client for the best endpoint whose certificates can be used; LinkError("no_server") without any."""
        for endpoint in self._endpoints():
            self._room = None
            try:
                context = mutual_context(endpoint.ca, endpoint.certificate, endpoint.private_key)
            except LinkError:
                continue
            if self._buffer is None:
                self._buffer = bytearray(settings.LINK_ENERGY_BUFFER_BYTES)
            self._client = HttpClient(endpoint.host, endpoint.port, context, self._buffer, self._limits, self._connect)
            self.issuer = endpoint.issuer
            if self._reporter and endpoint.takes_reports and self._report is None:
                self._report = Report(self._reporter, self._audit, self._clock, self._random)
            return
        self.issuer = settings.ISSUER_NONE
        raise LinkError("no_server")

    def _forget_server(self):
        self._close()
        if not self._lent:
            self._keep_room()
        self._reopen = False
        self._hello_due = True
        self._acknowledgement = None  # a poll says as much; a refused one will be offered again
        self._audit_through = 0
        self._failures = 0
        self._report = None

    def _close(self):
        if self._client is not None:
            self._client.end()
            self._client = None

    def _keep_room(self):
        """What comes until the next context is made would settle where that has to go: the heap does not move."""
        if self._client is None:
            gc.collect()
            try:
                self._room = bytearray(settings.LINK_CONTEXT_BYTES)
            except MemoryError:
                self._room = None

    async def _hello(self):
        nonce = self._random(_NONCE_BYTES).hex()
        state = self._state()
        message = messages.encode_hello(self._serial, nonce, self._firmware_version, state)
        self._hello_due = False
        asked_ms = self._clock.uptime_ms()
        try:
            answer = messages.HelloAnswer(await self._client.call(messages.HELLO, (message,)), nonce)
            answered_ms = self._clock.uptime_ms()
            if answer.is_ahead_of(state):
                self._on_rollback()
            if answered_ms - asked_ms > settings.LINK_NONCE_MS:
                raise LinkError("timeout")
        except LinkError:
            self._hello_due = True
            raise
        self._next_hello_ms = answered_ms + settings.LINK_HELLO_S * 1000
        self._audit_through = answer.audit_through
        self._audit_paused = False
        if self._report:
            self._report.hello()
        code = None
        if self._is_credential_link:
            try:
                self._clock.set_from_server(answer.now)
            except TimeError:
                code = "clock"
        self._note(True, code)

    async def _acknowledge(self):
        sequence, result, code = self._acknowledgement
        message = {
            "protocol": settings.LINK_PROTOCOL,
            "sequence": sequence,
            "result": result,
            "code": code,
        }
        try:
            await self._client.call(_ACK, (messages.encode(message),))
        except StatusError as error:
            # Not to be repeated as it is; what it was about, the next poll says again.
            if error.status < 500 and error.status != _TOO_MANY:
                self._acknowledgement = None
            raise
        self._acknowledgement = None

    async def _upload(self):
        """Send some audit records; False if there was nothing to send."""
        if self._audit_paused:
            return False
        records = self._audit.pending(self._audit_through, settings.LINK_AUDIT_RECORDS)
        record = next(records, None)
        if record is None:
            return False
        first = record["number"]
        pieces = self._audit_request(record, records)
        record = None
        try:
            through = messages.u32(await self._client.call(_AUDIT, pieces), "through", first)
        except LinkError:
            # Whatever is wrong with it, credentials go first.
            self._audit_paused = True
            if self._report:
                self._report.forget_key()
            raise
        self._audit_through = through
        return True

    def _audit_request(self, record, others):
        """Yield the pieces of the body: a record, and of the others what there is room for."""
        mac = self._report.audit_mac() if self._report else None
        before = record.pop("before")
        yield b'{"protocol": %d, ' % settings.LINK_PROTOCOL
        if mac:
            yield b'"before": "%s", ' % before.encode()
        yield b'"records": ['
        size = 0
        while record:
            if mac:
                mac.reset()
                mac.update(b"inkan audit")
                mac.update(record["number"].to_bytes(4, "little"))
                mac.update(bytes.fromhex(before))
                mac.update(bytes.fromhex(record["tag"]))
                record["mac"] = mac.digest()[:_MAC_BYTES].hex()
            piece = messages.encode(record)
            size += len(piece) + 1
            if size > _BODY_MAX_BYTES:
                break
            if size > len(piece) + 1:
                yield b","
            yield piece
            piece = None
            record = next(others, None)
            if record:
                before = record.pop("before")
        yield b"]}"

    async def _pass_on(self):
        """Tell the server what a phone is to get; returns the pause after it."""
        relay = self._relay
        try:
            await self._client.call(_RELAY, relay.request())
        except LinkError as error:
            status = error.status if isinstance(error, StatusError) else 0
            if status == _TOO_MANY:
                return _IDLE_POLL_MS
            if relay.ending or status and status < 500:
                relay.forget()  # nobody is served by saying it again
            if status != _CONFLICT:
                raise
            return 0
        relay.told()
        return 0

    async def _poll(self):
        """Wait for a credential, a revocation or a phone's frame; returns the pause after it."""
        issuer = self.issuer
        relay = self._relay
        self._polled = True
        wait_s = 0 if self._report_is_due() else settings.LINK_POLL_WAIT_S
        if relay and relay.is_open:
            wait_s = settings.RELAY_POLL_WAIT_S
            if relay.answer_due:
                # To break off a poll for the answer would cost a handshake.
                self._napping = True
                await self._interruptible(self._sleep_ms(settings.RELAY_ANSWER_MS))
                self._napping = False
                if relay.has_word or self._hello_due or self._reopen or self._lent:
                    return 0
                wait_s = 0
        message = {
            "protocol": settings.LINK_PROTOCOL,
            "sequence": self._acquisition.highest(issuer),
            "revoked": self._acquisition.revoked(issuer),
            "wait_s": wait_s,
        }
        if relay and relay.is_open:
            message["relay"] = relay.asked()
        asked_ms = self._clock.uptime_ms()
        answer = await self._interruptible(self._client.call(_POLL, (messages.encode(message),), wait_s * 1000))
        if answer is None or self._take(answer, issuer) or not wait_s:
            return 0
        return max(0, asked_ms + _IDLE_POLL_MS - self._clock.uptime_ms())

    def _take(self, answer, issuer):
        """Act on an answer to `poll`; True if it brought anything."""
        acquisition = self._acquisition
        revoked = messages.u32(answer, "revoked")
        credential = answer.get("credential", False)
        sequence = 0
        if credential is not None:
            if type(credential) is not dict:
                raise LinkError("bad_answer")
            sequence = messages.u32(credential, "sequence", 1)
        news = revoked > acquisition.revoked(issuer)
        if news:
            acquisition.revoke(issuer, revoked)
        if sequence:
            try:
                result, code = acquisition.accept(credential, issuer)
            except TimeError:
                self._hello_due = True
                raise LinkError("no_time")
            self._acknowledgement = sequence, result, code
            news = news or result == "accepted"
        if self._relay:
            news = self._relay.take(answer.get("relay")) or news
        return news

    def _rest_relay(self, resting):
        if self._relay:
            self._relay.resting = resting

    def _relay_ready(self):
        if self._napping:
            self._wake()

    async def _interruptible(self, awaitable):
        """What it returns, or None if it was broken off by `_wake`."""
        self._waiting = asyncio.create_task(awaitable)
        try:
            return await self._waiting
        except asyncio.CancelledError:
            if not self._woken:
                raise
        finally:
            self._waiting = None
            self._woken = False

    def _wake(self):
        if self._waiting is not None and self._waiting.cancel():
            self._woken = True

    def _note(self, online, error, server_code=None):
        if (online, error, server_code) != (self.online, self.error, self.server_code):
            self.online = online
            self.error = error
            self.server_code = server_code
            for listener in self.listeners:
                listener()
