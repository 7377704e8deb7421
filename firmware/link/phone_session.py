"""A session that a phone has opened (docs/protocol.md): its channel over one link after the other, its requests."""

import asyncio

from micropython import const

from firmware import settings, wire
from firmware.crypto.seal import IV_SIZE, wipe
from firmware.errors import InkanError, LinkError, SealError, SessionError
from firmware.link import phone_messages
from firmware.link.channel import MODULE, NONCE_SIZE, SessionKeys

# Where things lie in a *resume*
_ID_AT = const(1)
_TURN_AT = const(9)
_NONCE_AT = const(13)
_MAC_AT = const(29)


class PhoneSession:
    """One `Session` and the link that has it now, if any. Over when both are gone; then its keys are, too.

    reader and out are the buffers of whatever link it is; nobody else uses them until `over`.
    """

    def __init__(self, session, k_shared, reader, out, clock, random, enrol, has_panel):
        self._session = session
        self._keys = SessionKeys(k_shared)
        self._channel = self._keys.channel(MODULE)
        self._reader = reader
        self._out = out
        self._message = memoryview(out)[wire.MESSAGE_AT : wire.MESSAGE_AT + wire.MESSAGE_MAX]
        self._clock = clock
        self._random = random
        self._enrol = enrol
        self._has_panel = has_panel
        self._peer = None
        self._alone_ms = clock.uptime_ms()  # when the link was lost; counts while there is none
        self._turn = 0
        self._enrolment = None  # the task
        self._number = 0  # of the enrolment
        self._outcome = None  # its answer: what raised, or a Result
        self._done = self._all = 0  # its progress, both 0 when it was told
        self._told_ms = 0
        self._lock = asyncio.Lock()  # of the channel and its buffers
        self._news = asyncio.Event()
        session.listeners.append(self._news.set)
        self._teller = asyncio.create_task(self._tell())

    @property
    def over(self):
        """True once nothing is left of it."""
        return self._keys is None and self._peer is None

    def tick(self):
        """Ends it where it has been without a link for too long."""
        if self._peer is None and self._clock.uptime_ms() - self._alone_ms >= settings.PHONE_NO_LINK_MS:
            self._session.close("idle")

    async def attend(self, peer):
        """Serve the link whose handshake this session came from, until it ends; *status* comes first."""
        self._attach(peer)
        try:
            async with self._lock:
                await self._send(peer, phone_messages.put_status(self._message, self._session, self._has_panel))
            await self._serve(peer)
        except LinkError:
            pass
        finally:
            self._detach()

    async def resume(self, peer, frame):
        """Serve another link, if its *resume* is good. False, and nothing has changed, where it is not."""
        turn = int.from_bytes(frame[_TURN_AT:_NONCE_AT], "little")
        nonce_p = bytes(frame[_NONCE_AT:_MAC_AT])
        keys = self._keys
        if keys is None or self._session.ended or turn <= self._turn:
            return False
        if not keys.is_resume(bytes(frame[_ID_AT:_TURN_AT]), turn, nonce_p, frame[_MAC_AT:]):
            return False
        self._turn = turn
        while self._peer:
            self._peer.link.close()
            await asyncio.wait_for(self._peer.gone.wait(), settings.PHONE_LET_GO_S)
            if self._keys is None or turn != self._turn:  # ended meanwhile, or a later one came
                return False
        self._attach(peer)
        self._channel = None
        try:
            nonce_m = self._random(NONCE_SIZE)
            async with self._lock:
                self._channel = keys.channel(MODULE, nonce_p, nonce_m)
                await peer.say(wire.RESUMED, nonce_m, keys.resumed_mac(turn, nonce_p, nonce_m))
            await self._serve(peer)
        except LinkError:
            pass
        finally:
            self._detach()
        return True

    def _attach(self, peer):
        self._peer = peer
        self._reader.take_over(peer.reader)
        peer.reader = self._reader

    def _detach(self):
        self._alone_ms = self._clock.uptime_ms()
        self._peer = None

    async def _serve(self, peer):
        """Answer requests. LinkError: the link is over."""
        try:
            while True:
                frame = await peer.next(None)
                async with self._lock:
                    if self._channel is None:
                        raise LinkError("closed")
                    message = self._channel.open(frame)
                    size = self._answer(message)
                    wipe(message)
                    if size:
                        await self._send(peer, size)
        except SealError:
            self._break_off()
        except LinkError as error:
            if error.code == "malformed":
                self._break_off()
            raise

    def _break_off(self):
        """The channel is not what it was (S16): the end, and not a word about it."""
        self._channel = None
        self._session.close("done")

    def _answer(self, message):
        """Do what a message asks; returns the size of the answer, 0 where there is none now."""
        session = self._session
        out = self._message
        kind = message[0] if len(message) else 0
        try:
            if kind == wire.ENROL:
                return self._begin_enrolment(message)
            if self._enrolment and kind in (wire.CHANGE, wire.DELETE, wire.WIPE):
                raise SessionError("not_allowed")
            return phone_messages.answer(session, message, out, self._has_panel)
        except InkanError as error:
            if session.ended:
                return 0  # that is told instead
            return phone_messages.put_error(out, error)

    async def _send(self, peer, size):
        """Seal the message in the buffer and send it; to be called under the lock."""
        end = self._channel.seal(self._out, size, self._random(IV_SIZE))
        await peer.link.write(memoryview(self._out)[:end])

    # Enrolment goes on without a link: its code is spent once it was sent.

    def _begin_enrolment(self, message):
        number, generation, code, host = phone_messages.enrol_request(message)
        session = self._session
        if self._enrolment:
            if number != self._number:
                raise SessionError("not_allowed")
            return 0  # asked for again after a resumption: the same enrolment answers
        if not session.may("change", settings.GROUP_CONNECTION):
            session.touch()
            raise SessionError("not_allowed")
        done = session.prior(number, generation)
        if done:
            return phone_messages.put_result(self._message, done)
        for text, code_of_error in ((host, "host_form"), (code, "code_form")):
            if text is None:
                return phone_messages.put_enrol_error(self._message, code_of_error)
        self._number = number
        self._enrolment = asyncio.create_task(self._run_enrolment(number, generation, host, code))
        return 0

    async def _run_enrolment(self, number, generation, host, code):
        try:
            fields = await self._enrol(host, code, self._progress)
        except Exception as error:  # out of memory as well: the phone waits for an answer
            self._outcome = getattr(error, "code", "other")
        else:
            try:
                self._outcome = self._session.change_connection(number, generation, fields)
            except InkanError as error:
                self._outcome = error
        self._enrolment = None
        self._news.set()

    def _progress(self, done, total):
        self._session.touch()
        now_ms = self._clock.uptime_ms()
        if now_ms - self._told_ms >= settings.PHONE_PROGRESS_MS:
            self._told_ms = now_ms
            self._done = done
            self._all = total
            self._news.set()

    # What nobody asked for at the moment

    async def _tell(self):
        """Tell progress and outcome of an enrolment and the session's end, after which nothing is left."""
        ended = None
        try:
            while not ended:
                await self._news.wait()
                self._news.clear()
                async with self._lock:
                    ended = self._session.ended
                    await self._tell_news(self._peer, ended)
        finally:
            self._forget()

    async def _tell_news(self, peer, ended):
        outcome = self._outcome
        total = self._all
        self._outcome = None
        self._all = 0
        if peer is None or self._channel is None:
            return
        out = self._message
        if ended:
            size = phone_messages.put_ended(out, ended)
        elif isinstance(outcome, str):
            size = phone_messages.put_enrol_error(out, outcome)
        elif isinstance(outcome, InkanError):
            size = phone_messages.put_error(out, outcome)
        elif outcome:
            size = phone_messages.put_result(out, outcome)
        elif total:
            size = phone_messages.put_progress(out, self._done, total)
        else:
            return
        try:
            await self._send(peer, size)
        except LinkError:
            peer.link.close()

    def _forget(self):
        if self._enrolment:
            self._enrolment.cancel()
            self._enrolment = None
        self._channel = None
        self._keys.wipe()
        self._keys = None
        wipe(self._out)
        if self._peer:
            self._peer.link.close()
