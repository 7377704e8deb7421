"""A module with its phone unit, links in memory, and a phone that does as it is told: honest, or one step at a time."""

import asyncio

import virtual_time
from unit_rig import ID, NOW_S, PASSWORD, SALT, SERIAL, Rig, blank_flash, message, provision, random
from virtual_time import now_ms

from firmware import settings, wire
from firmware.crypto import p256
from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.kdf import pbkdf2_sha256
from firmware.crypto.spake2plus import expand_w, password_input
from firmware.crypto.spake2plus_verifier import POINT_M, POINT_N, derive_keys, exchange_context, transcript_hash
from firmware.errors import LinkError
from firmware.identity import HOST_PCS
from firmware.link.channel import PHONE, SessionKeys
from firmware.link.phone import PhoneUnit

ITERATIONS = 1000
BLE = settings.DOOR_BLE
RELAY = settings.DOOR_RELAY
SERIAL_DOOR = settings.DOOR_SERIAL
KEYPAD = settings.DOOR_KEYPAD

_TICKS_PERIOD = 1 << 30
_ws = {}
_ls = {}


def w_of(user_id=ID, password=PASSWORD):
    """(w0, w1)."""
    key = user_id, password
    if key not in _ws:
        given = password_input(password.encode(), user_id.encode(), SERIAL.encode())
        _ws[key] = expand_w(pbkdf2_sha256(given, SALT, ITERATIONS))
    return _ws[key]


def phone_message(sequence=1, scope=None, password=PASSWORD, **changed):
    """A credential whose L fits its password."""
    if password not in _ls:
        _ls[password] = p256.encode_point(p256.multiply_base(w_of(password=password)[1])).hex()
    return message(sequence, scope, w0=w_of(password=password)[0].to_bytes(32, "big").hex(), l=_ls[password], **changed)


class End:
    """One end of a link in memory. It is the module's kind of link, and the phone's as well.

    sent: what was written here so far. piece: the most bytes that one read gives. gate: called with what is written,
    returns what arrives, None for the link being lost with it. stalls: nothing is taken, till the end of 10 s.
    """

    def __init__(self, door):
        self.door = door
        self.other = None
        self.sent = b""
        self.piece = 2000
        self.gate = None
        self.stalls = False
        self.closed = False
        self._data = b""
        self._more = asyncio.Event()

    async def read_into(self, view):
        while not self._data or self.closed:
            if self.closed or self.other.closed:
                return 0
            self._more.clear()
            await self._more.wait()
        size = min(len(view), len(self._data), self.piece)
        assert size
        view[:size][:] = self._data[:size]
        self._data = self._data[size:]
        return size

    async def write(self, data):
        data = bytes(data)
        await asyncio.sleep(0)
        if self.stalls:
            await asyncio.sleep(10)
            raise LinkError("timeout")
        if self.closed or self.other.closed:
            raise LinkError("closed")
        self.sent += data
        if self.gate:
            data = self.gate(data)
            if data is None:
                self.close()
                raise LinkError("closed")
        self.other.put(data)

    def put(self, data):
        self._data += data
        self._more.set()

    def close(self):
        self.closed = True
        for end in (self, self.other):
            end._more.set()


def link_pair(door=BLE):
    """(the module's end, the phone's end)."""
    ends = End(door), End(door)
    ends[0].other, ends[1].other = ends[1], ends[0]
    return ends


class Refused(Exception):
    def __init__(self, code, failures_left, delay_ms):
        super().__init__(code)
        self.code = code
        self.failures_left = failures_left
        self.delay_ms = delay_ms


class Gone(Exception):
    """The module has ended the link."""


class Phone:
    """An end of a link with what a phone keeps. Frames are bytes of type and body; messages are bytes."""

    def __init__(self, end):
        self.end = end
        self.reader = wire.FrameReader()
        self.keys = None
        self.channel = None
        self.turn = 0
        self.number = 0
        self.share_v = None

    async def send(self, kind, *parts):
        await self.end.write(wire.frame(kind, *parts))

    async def next(self):
        """The next frame. Gone."""
        while True:
            frame = self.reader.next()
            if frame is not None:
                return bytes(frame)
            count = await self.end.read_into(self.reader.room())
            if not count:
                raise Gone()
            self.reader.add(count)

    async def expect(self, kind):
        """The body of the next frame, which has to be of a type. Refused, where it is that."""
        frame = await self.next()
        if frame[0] == wire.REFUSED and kind != wire.REFUSED:
            raise Refused(wire.REFUSALS[frame[1]], frame[2], int.from_bytes(frame[3:], "little"))
        assert frame[0] == kind, frame
        return frame[1:]

    async def refusal(self):
        """The next frame, which has to be *refused*, as (code, failures left, delay in ms)."""
        body = await self.expect(wire.REFUSED)
        return wire.REFUSALS[body[0]], body[1], int.from_bytes(body[2:], "little")

    async def is_gone(self):
        """Waits for the link's end; anything else is an error."""
        try:
            frame = await self.next()
        except Gone:
            return True
        raise AssertionError(frame)

    async def info(self):
        await self.send(wire.ASK_INFO)
        return await self.expect(wire.INFO)

    # Handshake, step by step

    async def share(self, user_id=ID, password=PASSWORD):
        """Send share P and take share V. Returns True if its proof holds."""
        self.begin(user_id, password)
        await self.send(wire.SHARE_P, self.share_p)
        self.take_share_v(await self.expect(wire.SHARE_V))
        return self.proof_holds

    def begin(self, user_id=ID, password=PASSWORD):
        self._w0, self._w1 = w_of(user_id, password)
        self._x = int.from_bytes(random(40), "big") % (p256.N - 1) + 1
        blind = p256.multiply(self._w0, p256.decode_point(POINT_M))
        self.share_p = p256.encode_point(p256.add(p256.multiply_base(self._x), blind))

    def take_share_v(self, body):
        self.share_v = body[:65]
        unmasked = p256.add(p256.decode_point(self.share_v), p256.multiply(-self._w0, p256.decode_point(POINT_N)))
        context = exchange_context(1, SALT, ITERATIONS)
        k_main = transcript_hash(
            context,
            b"",
            SERIAL.encode(),
            POINT_M,
            POINT_N,
            self.share_p,
            self.share_v,
            p256.encode_point(p256.multiply(self._x, unmasked)),
            p256.encode_point(p256.multiply(self._w1, unmasked)),
            self._w0.to_bytes(32, "big"),
        )
        confirm_p, confirm_v, self._k_shared = derive_keys(k_main)
        self.confirm_p = hmac_sha256(confirm_p, self.share_v)
        self.proof_holds = hmac_sha256(confirm_v, self.share_p) == body[65:]

    async def unlock(self, user_id=ID, password=PASSWORD):
        """The whole handshake; returns *status*. Refused."""
        if not await self.share(user_id, password):
            await self.send(wire.GIVE_UP)
            raise Refused(*await self.refusal())
        await self.send(wire.CONFIRM_P, self.confirm_p)
        self.keys = SessionKeys(self._k_shared)
        self.channel = self.keys.channel(PHONE)
        return await self.hear()

    async def resume(self, end):
        """Go on over another link. Refused, Gone."""
        self.end = end
        self.reader = wire.FrameReader()
        self.turn += 1
        nonce = random(16)
        body = self.resume_body(nonce)
        await self.send(wire.RESUME, body)
        answer = await self.expect(wire.RESUMED)
        assert answer[16:] == self.keys.resumed_mac(self.turn, nonce, answer[:16])
        self.channel = self.keys.channel(PHONE, nonce, answer[:16])

    def resume_body(self, nonce):
        turn = self.turn.to_bytes(4, "little")
        return self.keys.session_id + turn + nonce + self.keys.resume_mac(self.turn, nonce)

    # Messages

    def seal(self, text):
        buffer = bytearray(wire.FRAME_BUFFER_SIZE)
        memoryview(buffer)[wire.MESSAGE_AT : wire.MESSAGE_AT + len(text)][:] = text
        return bytes(buffer[: self.channel.seal(buffer, len(text), random(16))])

    async def say(self, text):
        await self.end.write(self.seal(text))

    async def hear(self):
        """The next message. Gone, Refused."""
        frame = bytearray(1) + await self.expect(wire.SEALED_M)
        frame[0] = wire.SEALED_M
        return bytes(self.channel.open(memoryview(frame)))

    async def ask(self, text):
        await self.say(text)
        return await self.hear()

    async def change(self, generation, *items):
        """items: (field id, bytes), ids ascending. Returns the answer."""
        self.number += 1
        return await self.ask(change(self.number, generation, *items))


def change(number, generation, *items):
    text = head(wire.CHANGE, number, generation)
    for field_id, value in items:
        text += bytes((field_id, len(value) & 255, len(value) >> 8)) + value
    return text


def delete(number, generation, group, *fields):
    return head(wire.DELETE, number, generation) + bytes((group,)) + bytes(fields)


def enrol(number, generation, host, code):
    return head(wire.ENROL, number, generation) + code + host


def head(kind, number, generation):
    return bytes((kind,)) + number.to_bytes(4, "little") + generation.to_bytes(4, "little")


def result_of(answer):
    """(generation, changes left, repeated) of a *result*."""
    assert answer[0] == wire.RESULT_IS and len(answer) == 8, answer
    return int.from_bytes(answer[1:5], "little"), int.from_bytes(answer[5:7], "little"), answer[7]


def error_of(answer):
    """(code, field id, reason number) of an *error*."""
    assert answer[0] == wire.ERROR_IS and len(answer) == 4, answer
    return wire.ERRORS[answer[1]], answer[2], answer[3]


def ended_of(answer):
    assert answer[0] == wire.ENDED_IS and len(answer) == 2, answer
    return wire.ENDINGS[answer[1]]


class PhoneRig(Rig):
    """A module in virtual time. `start` runs its tasks; `link` gives a Phone on a new link."""

    def __init__(self, device, now=NOW_S, host_kind=HOST_PCS, has_panel=True, random=random):
        super().__init__(device, now)
        self.enrolled = []  # (host, code) of every enrolment
        self.enrol = None  # async (progress) -> fields
        self.shown = 0
        self.unit = PhoneUnit(
            self.control,
            self.acquisition,
            self.clock,
            random,
            self._enrol,
            SERIAL,
            host_kind,
            has_panel,
            virtual_time.sleep_ms,
        )
        self.unit.listeners.append(self._show)
        self.tasks = []

    def start(self):
        self.tasks = [asyncio.create_task(self.unit.run()), asyncio.create_task(self._keep_house())]

    def power_off(self):
        for task in self.tasks:
            task.cancel()

    def link(self, door=BLE):
        ends = link_pair(door)
        phone = Phone(ends[1])
        phone.module_end = ends[0]
        self.tasks.append(asyncio.create_task(self.unit.serve(ends[0])))
        phone.served = self.tasks[-1]
        return phone

    async def linked(self, door=BLE):
        """A phone on a new link, once an attempt may begin and values are prepared for it."""
        await virtual_time.sleep_ms(self.control.delay_ms())
        phone = self.link(door)
        await virtual_time.sleep_ms(1000)
        return phone

    async def unlocked(self, door=BLE):
        phone = await self.linked(door)
        await phone.unlock()
        return phone

    def ticks_ms(self):
        return (_TICKS_PERIOD - 5_000 + now_ms()) % _TICKS_PERIOD

    def wait_out_delay(self):
        virtual_time.advance(self.control.delay_ms())

    async def sleep_ms(self, ms):
        await virtual_time.sleep_ms(ms)

    async def _keep_house(self):
        while True:
            self.control.tick()
            self.clock.tick()
            await virtual_time.sleep_ms(1000)

    async def _enrol(self, host, code, progress):
        self.enrolled.append((host, code))
        return await self.enrol(progress)

    def _show(self):
        self.shown += 1


def run(scenario, scope=None, credential=True, **changed):
    """Run `async scenario(rig)` on a module with a credential."""
    device = blank_flash()
    provision(device)

    async def main():
        rig = PhoneRig(device)
        if credential:
            rig.acquisition.accept(phone_message(1, scope, **changed), settings.ISSUER_CONNECTION)
        rig.start()
        try:
            return await scenario(rig)
        finally:
            rig.power_off()

    return virtual_time.run(main())
