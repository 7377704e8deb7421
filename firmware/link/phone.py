"""The phone's unit (R18 to R20; docs/protocol.md): serves links of any carrier, of which one has handshake or session.

It knows no hardware and no carrier; a link is what firmware/link/peer.py says. Judgement and limits are the
control unit's, what may be seen and changed is the session's.
"""

import asyncio
import struct

from micropython import const

from firmware import settings, wire
from firmware.errors import AuthError, InkanError, LinkError, StoreError
from firmware.link.peer import Peer
from firmware.link.phone_stock import Stock
from firmware.modules import forget

_HOST_PANEL_BOARD = const(2)  # firmware/identity.py
_U8_MAX = const(0xFF)
_U16_MAX = const(0xFFFF)
_INFO = "<BBBBHBxI16sIB"


class _LastWord(InkanError):
    """The link ends with *refused*, `code` of wire.REFUSALS."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class PhoneUnit:
    """serial: str; host_kind: identity.HOST_...; `await enrol(host, code, progress)` gives the fields of a connection.

    listeners are called when the state, flags, failures or credential that BLE shows are others; `run` has to be a task
    for that, and for the stock of prepared values.
    """

    def __init__(self, control, acquisition, clock, random, enrol, serial, host_kind, has_panel, sleep_ms):
        self._control = control
        self._acquisition = acquisition
        self._clock = clock
        self._random = random
        self._enrol = enrol
        self._serial = serial.encode()
        self._flags = wire.INFO_PANEL_BOARD if host_kind == _HOST_PANEL_BOARD else 0
        if has_panel:
            self._flags |= wire.INFO_HAS_PANEL
        self._has_panel = has_panel
        self._sleep_ms = sleep_ms
        self.listeners = []
        self._stock = Stock(acquisition, random, sleep_ms)
        self._links = 0  # how many are served
        self._holder = None  # the Peer in a handshake
        self._judging = False  # True while its attempt is in hand
        self._session = None  # the PhoneSession that is not over
        self._shown = None

    def info(self, door):
        """What *info* says to a door, bytes."""
        status = self._control.status(door)
        credential = self._acquisition.current()
        return struct.pack(
            _INFO,
            wire.PROTOCOL,
            self._state(status),
            self._flags_of(status),
            min(status.failures_left, _U8_MAX),
            _seconds(status.delay_ms),
            credential.password_digits if credential else 0,
            credential.iterations if credential else 0,
            credential.salt if credential else b"",
            wire.U32_NONE if status.seconds_left is None else status.seconds_left,
            len(self._serial),
        ) + (self._serial)

    async def run(self):
        """Keep values prepared, tell listeners, end a session that stays without a link."""
        while True:
            self._look()
            credential = self._wanted()
            if credential:
                await self._stock.fill(credential)
                self._look()
                if not self._links:
                    self._stock.rest()
            await self._sleep_ms(settings.PHONE_LOOK_MS)

    async def serve(self, link):
        """Run one link to its end and close it. Several may run at once."""
        peer = Peer(link)
        self._links += 1
        try:
            while not await self._open(peer):
                pass
        except _LastWord as error:
            await self._refuse_and_leave(peer, error.code)
        except LinkError as error:
            if error.code == "malformed":
                await self._refuse_and_leave(peer, error.code)
        finally:
            self._links -= 1
            link.close()
            peer.gone.set()

    # Before a session

    async def _open(self, peer):
        """Answer one frame. True after a session that came of it, and is over for this link.

        LinkError, _LastWord: so is the link.
        """
        frame = await peer.next(settings.PHONE_SILENCE_S)
        kind = frame[0]
        if kind == wire.ASK_INFO:
            await peer.say(wire.INFO, self.info(peer.link.door))
        elif kind == wire.SHARE_P:
            session = await self._handshake(peer, bytes(frame[1:]))
            if session:
                await session.attend(peer)
                return True
        elif kind == wire.RESUME:
            try:
                if self._session and await self._session.resume(peer, frame):
                    return True
            except asyncio.TimeoutError:
                raise _LastWord("failed")
            await self._refuse(peer, "no_session")
        else:
            raise _LastWord("malformed")
        return False

    async def _handshake(self, peer, share_p):
        """The PhoneSession after a proof that holds, else None: *refused* was said. LinkError, _LastWord."""
        begun_ms = self._clock.uptime_ms()
        try:
            if self._holder or self._is_open():
                raise AuthError("busy", 0, 0)
            self._holder = peer
            try:
                session, k_shared = await self._prove(peer, share_p, begun_ms)
            finally:
                self._holder = None
        except AuthError as error:
            await self._refuse(peer, error.code)
            return None
        except StoreError:
            raise _LastWord("failed")
        self._stock.drop()  # what comes has use for the RAM
        try:
            reader = wire.FrameReader()  # the large pieces first
            out = bytearray(wire.FRAME_BUFFER_SIZE)
            from firmware.link.phone_session import PhoneSession

            self._session = PhoneSession(
                session,
                k_shared,
                reader,
                out,
                self._clock,
                self._random,
                self._enrol,
                self._has_panel,
            )
        finally:
            if self._session is None:
                session.close("done")
        return self._session

    async def _prove(self, peer, share_p, begun_ms):
        """(Session, K_shared). AuthError, StoreError, LinkError, _LastWord; the attempt is settled in any case."""
        door = peer.link.door
        credential = self._control.check(door)
        if not self._stock.holds(credential):
            try:
                await self._stock.wait()
            except asyncio.TimeoutError:
                raise AuthError("busy", 0, 0)
            credential = self._control.check(door)
        # Out of the stock before the share is looked at (S3), in flash as a failure before it is used (S1).
        prepared = self._stock.take(credential)
        if prepared is None:
            raise AuthError("busy", 0, 0)
        attempt = self._control.begin(door)
        self._judging = True
        try:
            return await self._judge(peer, attempt, prepared, share_p, begun_ms)
        finally:
            self._judging = False
            attempt.abandon()

    async def _judge(self, peer, attempt, prepared, share_p, begun_ms):
        self._stock.use()
        from firmware.crypto.spake2plus_verifier import ProofError, Verifier, exchange_context

        credential = attempt.credential
        verifier = Verifier(prepared)
        try:
            share_v, confirm_v = verifier.respond(
                share_p, exchange_context(wire.PROTOCOL, credential.salt, credential.iterations), b"", self._serial
            )
        except ProofError:
            attempt.failure()
            raise _LastWord("bad_share")
        left_ms = begun_ms + settings.PHONE_SHARE_MS - self._clock.uptime_ms()
        if left_ms > 0:
            await self._sleep_ms(left_ms)  # how long it took says nothing (S2)
        await peer.say(wire.SHARE_V, share_v, confirm_v)
        try:
            frame = await peer.next_within(settings.PHONE_CONFIRM_S)
        except LinkError as error:
            if error.code == "silent":
                attempt.failure()
                raise _LastWord("timeout")
            raise
        if frame[0] == wire.GIVE_UP:
            raise attempt.failure()
        if frame[0] != wire.CONFIRM_P:
            attempt.failure()
            raise _LastWord("malformed")
        try:
            k_shared = verifier.finish(bytes(frame[1:]))
        except ProofError:
            raise attempt.failure()
        return attempt.success(), k_shared

    async def _refuse(self, peer, code):
        """Say *refused*, with failures left and delay of now, whatever they were when it was decided."""
        status = self._control.status(peer.link.door)
        await peer.say(
            wire.REFUSED,
            struct.pack("<BBI", wire.REFUSALS.index(code), min(status.failures_left, _U8_MAX), status.delay_ms),
        )

    async def _refuse_and_leave(self, peer, code):
        try:
            await self._refuse(peer, code)
        except LinkError:
            pass

    # What is shown, and when values are prepared

    def _is_open(self):
        """True while a phone has a session, or what is left of one."""
        if self._session and self._session.over:
            self._session = None
            forget("firmware.link.phone_session", "firmware.link.phone_messages", "firmware.link.channel")
        return self._session is not None

    def _state(self, status):
        state = status.state
        if state == "waiting" and (self._holder or self._is_open()):
            state = "busy"
        return wire.STATES.index(state)

    def _flags_of(self, status):
        return self._flags | (wire.INFO_RECOVERS if status.tamper and status.failures_left else 0)

    def _wanted(self):
        """The credential to prepare for now, or None: from when it arrives, so that no user waits for it (S3)."""
        if self._judging:
            return None
        if not self._is_open() and not self._control.session:
            status = self._control.status(settings.DOOR_SERIAL)
            if status.state == "waiting" or status.tamper and status.failures_left:
                return self._acquisition.current()
        self._stock.drop()  # others have use for the RAM
        return None

    def _look(self):
        if self._is_open():
            self._session.tick()
        status = self._control.status(settings.DOOR_BLE)
        shown = self._shown
        now = self._state(status), self._flags_of(status), status.failures_left, self._acquisition.current()
        if shown != now:
            self._shown = now
            for listener in self.listeners:
                listener()


def _seconds(ms):
    return min((ms + 999) // 1000, _U16_MAX)
