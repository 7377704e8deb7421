"""Fuzzing of what a phone can send: each function does so many cases from a seed, and says how many it did.

The cases of a seed are always the same. What may come out is fixed: LinkError("malformed") of a frame, SealError of a
sealed one, an answer or none to a message; anything else is a finding.
"""

import gc

from link_random import Random
from phone_rig import BLE, Phone, change, delete, enrol, head, phone_message, run
from unit_rig import ALL
from virtual_time import sleep_ms

from firmware import settings, wire
from firmware.errors import FlashError, InkanError, LinkError, SealError, TamperError
from firmware.link.channel import MODULE, PHONE, SessionKeys

_SIZES = {wire._SIZES[at]: wire._SIZES[at + 1 : at + 3] for at in range(0, len(wire._SIZES), 3)}
_KINDS = tuple(_SIZES)
_TEXTS = (
    b"",
    b"a",
    "山田 太郎".encode(),
    b"123-4567",
    b"1234567",
    b"03" + b"1" * 20,
    b"99" + b"1" * 20,
    b"5500",
    b"0",
    b"A-1",
    b"a" * 41,
    "𠮷".encode() * 40,
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\x00",
    b"https://pps.example",
)
_FIELDS = (0x11, 0x12, 0x13, 0x14, 0x31, 0x41, 0x42, 0x43, 0x21, 0x51, 0x55, 0x01, 0x10, 0x99, 0xFF)


def used():
    """Bytes of heap in use. A rig's flash chip keeps its sectors elsewhere."""
    gc.collect()
    return gc.mem_alloc()


class Source(Random):
    """Random bytes, frames and messages; some sound, some nearly so."""

    def data(self, size):
        return bytes([self.below(256) for _ in range(size)])

    def one_of(self, row):
        return row[self.below(len(row))]

    def bent(self, data):
        """The same with a few bytes changed, taken out or put in."""
        data = bytearray(data)
        for _ in range(1 + self.below(3)):
            at = self.below(len(data) + 1)
            way = self.below(4)
            if way == 0 and at < len(data):
                data[at] ^= 1 << self.below(8)
            elif way == 1:
                data = data[:at] + self.data(1 + self.below(4)) + data[at:]
            elif way == 2:
                data = data[:at] + data[at + 1 + self.below(4) :]
            else:
                data = data[:at]
        return bytes(data)

    def frame(self):
        kind = self.one_of(_KINDS)
        least, most = _SIZES[kind]
        size = least + self.below(most - least + 1)
        if kind in (wire.SEALED_P, wire.SEALED_M):
            size = least if self.below(4) else size // 16 * 16
        return wire.frame(kind, self.data(min(size, 80)) + bytes(max(size - 80, 0)))

    def message(self, number, generation):
        way = self.below(10)
        if way == 0:
            return self.data(self.below(40))
        if way == 1:
            return bytes((wire.VIEW, self.below(8)))
        if way == 2:
            return bytes((self.one_of((wire.STATUS, wire.WIPE, wire.STATUS)),))
        number = number + self.below(3) - 1 if self.below(8) else self.below(1 << 32)
        generation = generation if self.below(4) else self.below(1 << 32)
        number = max(number, 0)
        if way == 3:
            text = delete(number, generation, self.below(7), *self.data(self.below(4)))
        elif way == 4:
            text = enrol(number, generation, self.one_of(_TEXTS), self.data(20) if self.below(2) else b"1" * 20)
        elif way == 5:
            text = head(0x10 + self.below(8), number, generation) + self.data(self.below(30))
        else:
            fields = sorted({self.one_of(_FIELDS[:8]) if self.below(3) else self.one_of(_FIELDS) for _ in range(2)})
            text = change(number, generation, *[(field, self.one_of(_TEXTS)) for field in fields])
        return text if self.below(2) else self.bent(text)


def frames(seed, cases):
    """Streams of frames, sound and bent, in pieces; what is sound comes out as it went in."""
    source = Source(seed)
    readers = [wire.FrameReader(), wire.FrameReader(wire.OPENING_FRAME_MAX)]
    refused = given = 0
    for _ in range(cases):
        large = source.below(2)
        reader = readers[1 - large]
        sound = source.below(2)
        sent = [source.frame() for _ in range(1 + source.below(2))]
        stream = b"".join(sent)
        if not sound:
            stream = source.bent(stream) if source.below(4) else source.data(1 + source.below(60))
        most = wire.FRAME_MAX if large else wire.OPENING_FRAME_MAX
        sound = sound and max([len(frame) for frame in sent]) <= most + 2
        got = []
        try:
            at = 0
            while at < len(stream):
                room = reader.room()
                part = stream[at : at + min(1 + source.below(300), len(room))]
                room[: len(part)][:] = part
                reader.add(len(part))
                at += len(part)
                while True:
                    frame = reader.next()
                    if frame is None:
                        break
                    given += 1
                    assert wire.is_well_formed(frame) and len(frame) <= most
                    if sound:
                        got.append(wire.frame(frame[0], bytes(frame[1:])))
            if sound:
                assert got == sent and not reader.begun
        except LinkError as error:
            assert error.code == "malformed" and not sound
            refused += 1
        if reader.begun or not sound:
            readers[1 - large] = wire.FrameReader(most)
    assert refused and given
    return cases


def sealed(seed, cases):
    """Sealed frames that were bent: not one opens, and none opens behind it."""
    source = Source(seed)
    keys = SessionKeys(source.data(32))
    buffer = bytearray(wire.FRAME_BUFFER_SIZE)
    for _ in range(cases // 2):
        phone, module = keys.channel(PHONE), keys.channel(MODULE)
        size = source.below(100)
        good = []
        for _ in range(2):
            memoryview(buffer)[wire.MESSAGE_AT : wire.MESSAGE_AT + size][:] = source.data(size)
            end = phone.seal(buffer, size, source.data(16))
            good.append(bytes(buffer[2:end]))
        bad = source.bent(good[0])
        for frame in (bad, good[1]) if bad != good[0] and bad else (b"\x06", good[1]):
            try:
                module.open(memoryview(bytearray(frame)))
                raise AssertionError("it opened")
            except SealError:
                pass
    return cases


class _Refused(InkanError):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


async def messages(rig, seed, cases):
    """Messages to an open session, while now and then flash and vault fail. Returns the codes of *error* that came."""
    source = Source(seed)
    seen = set()
    program, read = rig.device.program, rig.store.vault.read
    faults = {"flash": False, "vault": False, "reads": 0}

    def broken_program(address, data):
        if faults["flash"]:
            raise FlashError("worn out")
        program(address, data)

    def unsteady_read():
        if faults["vault"]:
            faults["reads"] += 1
            raise TamperError("vault_seal" if faults["reads"] % 2 else "guard_mismatch")
        return read()

    async def refuse(progress):
        raise _Refused(source.one_of(wire.ENROL_REASONS[1:] + ("dns", "tls_ca", "odd")))

    rig.device.program, rig.store.vault.read, rig.enrol = broken_program, unsteady_read, refuse
    phone = Phone(None)
    number = 1
    message = bytearray(wire.MESSAGE_MAX)
    view = memoryview(message)
    sequence = rig.acquisition.highest(settings.ISSUER_CONNECTION)
    for case in range(cases):
        if phone.end is None or phone.end.closed or phone.module_end.closed or rig.control.session is None:
            faults["flash"] = faults["vault"] = False
            if phone.end:
                await _gone(rig, phone)
            sequence += 1
            scope = {} if source.below(3) else {"see": ["site"], "change": ALL[:2], "delete": ["capacity"]}
            fields = phone_message(sequence, scope, max_changes=1 + source.below(12), max_successes=1000)
            rig.acquisition.accept(fields, settings.ISSUER_CONNECTION)
            phone = await rig.linked(BLE)
            await phone.unlock()
            number = 1
        faults["flash"] = source.below(12) == 0
        faults["vault"] = source.below(12) == 0
        session = rig.unit._session
        text = source.message(number, session._session.generation)
        view[: len(text)][:] = text
        size = session._answer(view[: len(text)])
        while session._enrolment:
            await sleep_ms(0)
        outcome = session._outcome
        if size:
            answer = session._message[:size]
            if answer[0] == wire.ERROR_IS:
                assert size == 4 and 0 < answer[1] < len(wire.ERRORS), bytes(answer)
                seen.add(wire.ERRORS[answer[1]])
            else:
                assert answer[0] in (wire.STATUS_IS, wire.VIEW_IS, wire.RESULT_IS), bytes(answer)
                if answer[0] == wire.RESULT_IS:
                    number += 1
        elif outcome:
            seen.add("enrol")
        if case % 512 == 511:
            rig.control.session.close("lock")  # the next one has another scope
            await phone.served
    rig.device.program, rig.store.vault.read = program, read
    if rig.control.session:
        rig.control.session.close("done")
    await _gone(rig, phone)
    await sleep_ms(1500)
    return seen


async def _gone(rig, phone):
    """The link is over, and the rig remembers nothing of it."""
    phone.end.close()
    await phone.served
    rig.tasks.remove(phone.served)
    rig.enrolled.clear()


async def links(rig, seed, cases):
    """What comes over links that never prove anything; after it the unit serves as before."""
    source = Source(seed)
    for _ in range(cases):
        phone = rig.link(source.one_of((2, 3, 4)))
        try:
            for _ in range(1 + source.below(4)):
                way = source.below(6)
                if way == 0:
                    data = wire.frame(wire.ASK_INFO)
                elif way == 1:
                    data = source.frame()
                elif way == 2:
                    data = source.bent(source.frame())
                elif way == 3:
                    data = wire.frame(wire.RESUME, source.data(60))
                elif way == 4:
                    data = wire.frame(source.one_of((wire.CONFIRM_P, wire.GIVE_UP, wire.ASK_INFO)))
                else:
                    data = source.data(1 + source.below(40))
                if data[2:3] == bytes((wire.SHARE_P,)):
                    continue  # an attempt each; the tests of the handshake have them
                await phone.end.write(data)
                await sleep_ms(source.below(3))
        except LinkError:
            pass
        if source.below(3):
            await _gone(rig, phone)
        else:
            await phone.served
            await _gone(rig, phone)
        assert phone.module_end.closed
    return cases


def main(seed):
    """One round of everything, for `make fuzz`."""
    cases = frames(seed, 20_000) + sealed(seed, 5_000)

    async def scenario(rig):
        await messages(rig, seed, 5_000)
        return 5_000 + await links(rig, seed, 1_000)

    print(cases + run(scenario, lifetime_s=None), "cases of seed", seed)
