"""A phone's end of the protocol (docs/protocol.md) on asyncio: what the page does, for tests, demo and commands.

It runs over the kind of link that firmware/link/peer.py describes, `door` left out. Errors hold no secret and no value.
"""

import asyncio
import secrets
import struct
from collections import namedtuple

from firmware import codec, wire
from firmware.errors import LinkError, SealError
from firmware.link.channel import NONCE_SIZE, PHONE, SessionKeys
from tools.phone.spake2plus import Prover, ProverError

_ANSWER_S = 20  # share V, where the module has to prepare first, takes 10 s; a change less
_ENROL_S = 90
_INFO = "<BBBBHBxI16sIB"
_STATUS = "<IHIHBBBB"
_RESULT = "<IHB"

Info = namedtuple(
    "Info",
    "state panel_board has_panel recovers failures_left delay_s password_digits iterations salt seconds_left serial",
)
Status = namedtuple(
    "Status", "generation changes_left seconds_left idle_s see change delete may_wipe has_panel"
)  # see, change, delete: sets of group numbers
Result = namedtuple("Result", "generation changes_left repeated")


class PhoneError(Exception):
    """Root of what this end reports; LinkError comes beside it, from the link itself."""


class RefusedError(PhoneError):
    """The module says *refused*. `code` of wire.REFUSALS; `failures_left`; `delay_ms` until an attempt may begin."""

    def __init__(self, code, failures_left, delay_ms):
        super().__init__(code)
        self.code = code
        self.failures_left = failures_left
        self.delay_ms = delay_ms


class MessageError(PhoneError):
    """A request failed and changed nothing. `code` of wire.ERRORS; `field_id`, or 0; `reason`, or ""."""

    def __init__(self, code, field_id, reason):
        super().__init__(code, field_id, reason)
        self.code = code
        self.field_id = field_id
        self.reason = reason


class EndedError(PhoneError):
    """The session is over. `reason` of wire.ENDINGS."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class ChannelError(PhoneError):
    """What came is not this protocol, or not from the module: everything ends. `code` says which."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class PhoneClient:
    """One link after another to one module. Requests come one at a time.

    Where the link is lost (LinkError), `resume` goes on over another one and `repeat` asks again what had no answer.
    """

    def __init__(self, link, random=secrets.token_bytes):
        self._random = random
        self._keys = None
        self._channel = None
        self._turn = 0
        self._number = 0
        self._open_request = None  # what had no answer yet: (message, kind of answer, progress)
        self.generation = None  # of the unique information as the user has seen it
        self._take(link)

    # Before a session

    async def info(self):
        """`Info`. It is not authenticated: to be shown, and no more. ChannelError "version" for another protocol."""
        await self._send(wire.ASK_INFO)
        body = await self._expect(wire.INFO)
        if body[0] != wire.PROTOCOL:
            raise ChannelError("version")
        _, state, flags, failures, delay_s, digits, iterations, salt, left, size = struct.unpack_from(_INFO, body)
        serial = bytes(body[struct.calcsize(_INFO) :])
        if len(serial) != size or state >= len(wire.STATES) or not serial.isascii():
            raise ChannelError("info")
        return Info(
            wire.STATES[state],
            bool(flags & wire.INFO_PANEL_BOARD),
            bool(flags & wire.INFO_HAS_PANEL),
            bool(flags & wire.INFO_RECOVERS),
            failures,
            delay_s,
            digits,
            iterations,
            salt,
            None if left == wire.U32_NONE else left,
            serial.decode(),
        )

    async def unlock(self, user_id, password):
        """Prove ID and password and open a session; returns `Status`.

        RefusedError; ProverError for what cannot be an ID or a password, or a module that asks for too few iterations.
        """
        info = await self.info()
        self._forget()
        self._turn = self._number = 0
        self.generation = None
        prover = Prover.of_user(user_id, password, info.serial, info.salt, info.iterations, wire.PROTOCOL)
        await self._send(wire.SHARE_P, prover.start())
        body = bytes(await self._expect(wire.SHARE_V))
        try:
            confirm_p, k_shared = prover.finish(body[:65], body[65:])
        except ProverError:
            await self._send(wire.GIVE_UP)
            await self._expect(wire.REFUSED)
            raise ChannelError("order") from None  # it did not refuse
        await self._send(wire.CONFIRM_P, confirm_p)
        frame = await self._next()
        self._need_not_refused(frame)
        self._keys = SessionKeys(k_shared)
        self._channel = self._keys.channel(PHONE)
        message = self._opened(frame)
        if message[:1] != bytes((wire.STATUS_IS,)):
            raise self._over("malformed")
        return self._status(message[1:])

    async def resume(self, link):
        """Go on with the session over another link; returns `Status`. RefusedError "no_session"."""
        if self._keys is None:
            raise ChannelError("order")
        self._link.close()
        self._take(link)
        self._turn += 1
        nonce = self._random(NONCE_SIZE)
        turn = self._turn.to_bytes(4, "little")
        await self._send(wire.RESUME, self._keys.session_id, turn, nonce, self._keys.resume_mac(self._turn, nonce))
        body = bytes(await self._expect(wire.RESUMED))
        if body[NONCE_SIZE:] != self._keys.resumed_mac(self._turn, nonce, body[:NONCE_SIZE]):
            raise self._over("resumed")
        self._channel = self._keys.channel(PHONE, nonce, body[:NONCE_SIZE])
        return await self.status()

    # In a session. MessageError, EndedError, ChannelError, LinkError

    async def status(self):
        """`Status`; the generation in it is the one that the next change is for."""
        await self._say(bytes((wire.STATUS,)))
        return self._status(await self._hear(wire.STATUS_IS))

    async def view(self, group):
        """{field id: text} of what may be seen of a group, "" where nothing is set."""
        await self._say(bytes((wire.VIEW, group)))
        body = await self._hear(wire.VIEW_IS)
        try:
            return {field_id: bytes(value).decode() for field_id, value in codec.decode_items(body[1:])}
        except (codec.ItemError, UnicodeError):
            raise self._over("view") from None

    async def change(self, values):
        """Set {field id: text}, all of them or none; returns `Result`."""
        items = codec.encode_items([(field_id, values[field_id].encode()) for field_id in sorted(values)])
        return await self._request(wire.CHANGE, bytes(items))

    async def delete(self, group, field_ids=()):
        """Delete fields of a group, without any the whole group; returns `Result`."""
        return await self._request(wire.DELETE, bytes((group, *field_ids)))

    async def enrol(self, host, code, progress=None):
        """Enter a connection by host and one-time code; returns `Result`. progress(done, all) is called meanwhile."""
        return await self._request(wire.ENROL, code.encode() + host.encode(), progress)

    async def wipe(self):
        """The way back from tamper; returns `Result`. After a resumption `Status.may_wipe` tells whether it is done."""
        await self._say(bytes((wire.WIPE,)))
        return self._result(await self._hear(wire.RESULT_IS))

    async def repeat(self):
        """Ask once more what had no answer when the link was lost; `Result`, or None if there is nothing."""
        if self._open_request is None:
            return None
        return await self._ask(*self._open_request)

    async def ending(self):
        """After a LinkError: EndedError where the module had said before it why the session is over."""
        self._link.close()
        while self._channel:
            try:
                message = self._opened(await self._next())
            except LinkError:
                return
            self._need_not_ended(message)

    async def end(self):
        """End the session, and with it the link."""
        try:
            await self._say(bytes((wire.END,)))
            while True:
                await self._hear(wire.ENDED_IS)
        except EndedError:
            pass

    def close(self):
        """Forget the keys and end the link; the session at the module ends by itself."""
        self._forget()
        self._link.close()

    # Below

    def _take(self, link):
        self._link = link
        self._reader = wire.FrameReader()
        self._channel = None

    def _forget(self):
        if self._keys:
            self._keys.wipe()
        self._keys = self._channel = self._open_request = None

    def _over(self, code):
        """Nothing from here can be trusted any more; returns the error to raise."""
        self.close()
        return ChannelError(code)

    async def _send(self, kind, *parts):
        await self._link.write(wire.frame(kind, *parts))

    async def _next(self, limit_s=_ANSWER_S):
        """The next frame. LinkError "closed", "timeout"; ChannelError."""
        try:
            return await asyncio.wait_for(self._whole_frame(), limit_s)
        except TimeoutError:
            raise LinkError("timeout") from None

    async def _whole_frame(self):
        while True:
            try:
                frame = self._reader.next()
            except LinkError:
                raise self._over("malformed") from None
            if frame is not None:
                return frame
            count = await self._link.read_into(self._reader.room())
            if not count:
                raise LinkError("closed")
            self._reader.add(count)

    async def _expect(self, kind):
        """The body of a frame that is not sealed. RefusedError."""
        frame = await self._next()
        self._need_not_refused(frame)
        if frame[0] != kind:
            raise self._over("malformed")
        return frame[1:]

    def _need_not_refused(self, frame):
        if frame[0] == wire.REFUSED:
            code, failures_left, delay_ms = struct.unpack("<BBI", frame[1:])
            if not 0 < code < len(wire.REFUSALS):
                raise self._over("malformed")
            raise RefusedError(wire.REFUSALS[code], failures_left, delay_ms)

    def _opened(self, frame):
        """The message in a sealed frame."""
        try:
            return bytes(self._channel.open(frame))
        except SealError:
            raise self._over("seal") from None

    async def _say(self, message):
        if self._channel is None:
            raise ChannelError("order")
        buffer = bytearray(wire.FRAME_BUFFER_SIZE)
        if len(message) > wire.MESSAGE_MAX:
            raise MessageError("field", 0, "too_long")
        buffer[wire.MESSAGE_AT : wire.MESSAGE_AT + len(message)] = message
        end = self._channel.seal(buffer, len(message), self._random(16))
        await self._link.write(memoryview(buffer)[:end])

    async def _hear(self, kind, progress=None, limit_s=_ANSWER_S):
        """The body of the next message of a kind. MessageError, EndedError."""
        while True:
            message = self._opened(await self._next(limit_s))
            self._need_not_ended(message)
            found, body = message[:1], message[1:]
            if found == bytes((wire.PROGRESS_IS,)) and len(body) == 8:
                if progress:
                    progress(*struct.unpack("<II", body))
            elif found == bytes((wire.ERROR_IS,)) and len(body) == 3:
                raise self._message_error(*body)
            elif found == bytes((kind,)):
                return body
            else:
                raise self._over("malformed")

    def _need_not_ended(self, message):
        if len(message) == 2 and message[0] == wire.ENDED_IS and 0 < message[1] < len(wire.ENDINGS):
            self.close()
            raise EndedError(wire.ENDINGS[message[1]])

    def _message_error(self, code, field_id, reason):
        self._open_request = None
        if not 0 < code < len(wire.ERRORS):
            return self._over("malformed")
        names = {"field": wire.FIELD_REASONS, "enrol": wire.ENROL_REASONS}.get(wire.ERRORS[code], ("",))
        return MessageError(wire.ERRORS[code], field_id, names[reason] if reason < len(names) else "")

    async def _request(self, kind, body, progress=None):
        self._number += 1
        head = struct.pack("<BII", kind, self._number, self.generation)
        return await self._ask(head + body, progress)

    async def _ask(self, message, progress):
        self._open_request = message, progress
        await self._say(message)
        limit_s = _ENROL_S if message[0] == wire.ENROL else _ANSWER_S
        return self._result(await self._hear(wire.RESULT_IS, progress, limit_s))

    def _status(self, body):
        if len(body) != struct.calcsize(_STATUS):
            raise self._over("malformed")
        generation, changes_left, left, idle_s, see, change, delete, flags = struct.unpack(_STATUS, body)
        self.generation = generation
        return Status(
            generation,
            changes_left,
            None if left == wire.U32_NONE else left,
            idle_s,
            _groups(see),
            _groups(change),
            _groups(delete),
            bool(flags & wire.STATUS_MAY_WIPE),
            bool(flags & wire.STATUS_HAS_PANEL),
        )

    def _result(self, body):
        if len(body) != struct.calcsize(_RESULT):
            raise self._over("malformed")
        generation, changes_left, repeated = struct.unpack(_RESULT, body)
        self._open_request = None
        self.generation = generation
        return Result(generation, changes_left, bool(repeated))


def _groups(bits):
    return {group for group in range(1, 8) if bits >> group & 1}
