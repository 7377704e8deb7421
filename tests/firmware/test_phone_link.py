"""R8, S6, S16: links that break, links that lie, and what a resumption gives back."""

import sys

from phone_rig import (
    BLE,
    RELAY,
    Gone,
    Phone,
    Refused,
    change,
    enrol,
    link_pair,
    result_of,
    run,
)
from unit_rig import get, random
from virtual_time import now_ms, sleep_ms

from firmware import wire
from firmware.errors import LinkError
from tests.dual import raises

HEAP = "256wK"  # a phone is in it too, with its own points and frames
TIMEOUT_S = 120

# Of what is done to every byte and every frame, MicroPython takes each of so many; CPython takes all.
SHARE = 7 if sys.implementation.name == "micropython" else 1

STATUS = bytes((wire.STATUS,))
VIEW = bytes((wire.VIEW, 1))
END = bytes((wire.END,))


async def resumed(rig, phone, door=BLE):
    """The phone goes on over a new link."""
    link = rig.link(door)
    await phone.resume(link.end)
    phone.module_end, phone.served = link.module_end, link.served


async def refused_resume(rig, phone, body):
    other = rig.link()
    await other.send(wire.RESUME, body)
    code = (await other.refusal())[0]
    await other.info()  # the link stays
    other.end.close()
    return code


# Resuming


def test_r8_a_broken_link_costs_no_success_and_loses_no_session():
    async def scenario(rig):
        phone = await rig.unlocked()
        await phone.change(1, (0x11, b"a"))
        for turn, door in enumerate((BLE, RELAY, BLE)):
            phone.end.close()
            await sleep_ms(60_000)
            await resumed(rig, phone, door)
            assert (await phone.ask(STATUS))[1:5] == b"\x02\x00\x00\x00"
            await phone.ask(VIEW)
            assert phone.turn == turn + 1
        assert (rig.attempts.successes, rig.attempts.attempts) == (1, 1)
        assert rig.control.session.door == BLE

    run(scenario)


def test_r8_a_session_stays_two_minutes_without_a_link():
    for silence_ms, code in ((119_000, None), (121_500, "no_session")):

        async def scenario(rig, silence_ms=silence_ms, code=code):
            phone = await rig.unlocked()
            phone.end.close()
            await sleep_ms(silence_ms)
            if code:
                with raises(Refused) as caught:
                    await resumed(rig, phone)
                assert caught.value.code == code
                assert rig.control.session is None and not rig.unit._is_open()
                await (await rig.linked()).unlock()
            else:
                await resumed(rig, phone)
                await phone.ask(STATUS)

        run(scenario)


def test_r16_idle_counts_without_a_link_too():
    async def scenario(rig):
        phone = await rig.unlocked()
        await sleep_ms(100_000)
        phone.end.close()
        await sleep_ms(82_000)
        with raises(Refused) as caught:
            await resumed(rig, phone)
        assert caught.value.code == "no_session"

    run(scenario)


def test_a_resumption_takes_the_session_from_a_link_that_still_stands():
    async def scenario(rig):
        phone = await rig.unlocked()
        old = Phone(phone.end)
        await resumed(rig, phone, RELAY)
        with raises(Gone):
            await old.next()
        await phone.ask(STATUS)
        await phone.change(1, (0x11, b"a"))

    run(scenario)


def test_a_refused_resumption_changes_nothing():
    async def scenario(rig):
        phone = await rig.unlocked()
        nonce = bytes(16)
        phone.turn = 1
        good = phone.resume_body(nonce)
        for at in range(len(good)):
            bad = bytearray(good)
            bad[at] ^= 1 << at % 8
            assert await refused_resume(rig, phone, bytes(bad)) == "no_session"
        phone.turn = 0
        assert await refused_resume(rig, phone, phone.resume_body(nonce)) == "no_session"
        await phone.ask(STATUS)  # over the link that it had
        await resumed(rig, phone)
        await phone.ask(STATUS)
        assert rig.attempts.attempts == 1

    run(scenario)


def test_s16_a_resumption_counts_once():
    async def scenario(rig):
        phone = await rig.unlocked()
        await resumed(rig, phone)
        sent = phone.end.sent[3:63]
        assert await refused_resume(rig, phone, sent) == "no_session"
        await phone.ask(STATUS)
        phone.turn += 3
        await resumed(rig, phone)  # turns may be left out
        for turn in range(1, 6):
            phone.turn = turn
            assert await refused_resume(rig, phone, phone.resume_body(bytes(16))) == "no_session"
        await phone.ask(STATUS)

    run(scenario)


def test_s16_nothing_of_an_old_channel_counts_on_the_new_one():
    async def scenario(rig):
        phone = await rig.unlocked()
        old = phone.seal(change(1, 1, (0x11, b"a")))
        await resumed(rig, phone)
        await phone.end.write(old)
        assert await phone.is_gone()
        assert rig.control.session is None and get(rig.device, 0x11) is None

    run(scenario)


def test_two_resumptions_at_once_leave_the_later_one():
    async def scenario(rig):
        phone = await rig.unlocked()
        first, second = rig.link(), rig.link(RELAY)
        phone.turn = 1
        await first.end.write(wire.frame(wire.RESUME, phone.resume_body(bytes(16))))
        nonce = random(16)
        phone.turn = 2
        await second.end.write(wire.frame(wire.RESUME, phone.resume_body(nonce)))
        answer = await second.expect(wire.RESUMED)
        assert answer[16:] == phone.keys.resumed_mac(2, nonce, answer[:16])
        try:
            await first.expect(wire.RESUMED)
            assert await first.is_gone()
        except Refused as error:
            assert error.code == "no_session"
        except Gone:
            pass
        assert not second.module_end.closed

    run(scenario)


def test_a_link_that_will_not_go_holds_a_resumption_up_for_ten_seconds():
    async def scenario(rig):
        phone = await rig.unlocked()
        phone.module_end.close = lambda: None
        begun = now_ms()
        with raises(Refused) as caught:
            await resumed(rig, phone)
        assert caught.value.code == "failed"
        assert now_ms() - begun == 10_000

    run(scenario)


def test_a_resumption_after_the_end_of_the_session():
    async def scenario(rig):
        phone = await rig.unlocked()
        await phone.ask(END)
        phone.turn = 1
        assert await refused_resume(rig, phone, phone.resume_body(bytes(16))) == "no_session"

    run(scenario)


# S6: a lossy link


async def work(rig, phone, losses):
    """Three changes and an end, each repeated over a new link until it was answered. Returns the results."""

    async def ask(text):
        while True:
            try:
                return await phone.ask(text)
            except (Gone, LinkError):
                pass
            while True:
                link = rig.link()
                _lose(link, losses)
                try:
                    await phone.resume(link.end)
                    await phone.ask(STATUS)
                    break
                except (Gone, LinkError):
                    pass

    results = []
    for number, text in ((1, b"one"), (2, b"two"), (3, b"three")):
        results.append(result_of(await ask(change(number, number, (0x11, text)))))
    await ask(VIEW)
    return results


def _lose(phone, losses):
    """Lose the link with the frames whose turns are in `losses`, counted over both directions."""

    def gate(data):
        losses["count"] += 1
        return None if losses["count"] in losses["at"] else data

    def gate_after(data):
        losses["count"] += 1
        if losses["count"] not in losses["at"]:
            return data
        phone.module_end.put(data)  # it arrives, and then the link is lost
        return None

    phone.end.gate = gate_after if losses["arrives"] else gate
    phone.module_end.gate = gate


def test_s6_nothing_is_applied_twice_whichever_frame_the_link_is_lost_with():
    for arrives in (False, True):
        for first in range(1, 13, SHARE):
            losses = {"count": 0, "at": (first, first + 3), "arrives": arrives}

            async def scenario(rig, losses=losses):
                phone = await rig.unlocked()
                _lose(phone, losses)
                results = await work(rig, phone, losses)
                assert [generation for generation, _, _ in results] == [2, 3, 4]
                assert [left for _, left, _ in results] == [19, 18, 17]
                assert (rig.attempts.changes, rig.attempts.successes) == (3, 1)
                assert get(rig.device, 0x11) == b"three"

            run(scenario)


def test_s6_an_enrolment_over_a_lossy_link_is_done_once():
    line = {0x51: "https://pps.example", 0x53: b"\x30\x00", 0x54: b"\x30\x00", 0x55: b"\x07" * 32}

    async def scenario(rig):
        async def enrolment(progress):
            for done in range(10):
                progress(done, 10)
                await sleep_ms(600)
            return line

        rig.enrol = enrolment
        phone = await rig.unlocked()
        text = enrol(1, 1, b"pps.example", b"1" * 20)
        for _ in range(20):
            try:
                answer = await phone.ask(text)
                if answer[0] == wire.RESULT_IS:
                    break
                phone.end.close()
                await phone.hear()
            except (Gone, LinkError):
                pass
            await resumed(rig, phone)
            await phone.ask(STATUS)
            await sleep_ms(500)
        assert phone.turn > 3
        assert result_of(answer)[:2] == (2, 19)
        assert result_of(await phone.ask(text)) == (2, 19, 1)
        assert len(rig.enrolled) == 1

    run(scenario)


# Pieces


def test_a_session_in_pieces_of_every_size():
    for piece in (1, 2, 3, 19, 20, 62, 63, 64, 65, 66, 67, 100, 244):

        async def scenario(rig, piece=piece):
            phone = await rig.linked()
            phone.module_end.piece = piece
            await phone.info()
            await phone.unlock()
            assert result_of(await phone.change(1, (0x11, "山田".encode() * 20)))[0] == 2
            await phone.ask(VIEW)
            await phone.ask(END)

        run(scenario)


def test_a_session_split_at_every_byte_of_a_frame():
    async def scenario(rig):
        phone = await rig.unlocked()
        for at in range(1, 100):
            frame = phone.seal(VIEW)
            await phone.end.write(frame[:at])
            await sleep_ms(100)
            if at < len(frame):
                await phone.end.write(frame[at:])
            assert (await phone.hear())[0] == wire.VIEW_IS

    run(scenario)


def test_bytes_behind_confirm_p_belong_to_the_session():
    async def scenario(rig):
        phone = rig.link()
        await phone.share()
        from firmware.link.channel import PHONE, SessionKeys

        phone.keys = SessionKeys(phone._k_shared)
        phone.channel = phone.keys.channel(PHONE)
        await phone.end.write(wire.frame(wire.CONFIRM_P, phone.confirm_p) + phone.seal(VIEW) + phone.seal(STATUS))
        for kind in (wire.STATUS_IS, wire.VIEW_IS, wire.STATUS_IS):
            assert (await phone.hear())[0] == kind

    run(scenario)


# S16: manipulation


def manipulated(change_frame, expect_over=True):
    """Send one manipulated frame in a session; nothing may come of it but the silent end."""

    async def scenario(rig):
        phone = await rig.unlocked()
        await phone.ask(STATUS)
        sent = len(phone.module_end.sent)
        frame = bytearray(phone.seal(change(1, 1, (0x11, b"abc"))))
        await phone.end.write(bytes(change_frame(phone, frame)))
        assert await phone.is_gone()
        assert len(phone.module_end.sent) == sent  # not a word
        assert get(rig.device, 0x11) is None and rig.attempts.changes == 0
        assert (rig.control.session is None) == expect_over
        if expect_over:
            with raises(Refused) as caught:
                await resumed(rig, phone)
            assert caught.value.code == "no_session"

    run(scenario)


def _flip(at, bit=0):
    def flipped(phone, frame):
        frame[at] ^= 1 << bit
        return frame

    return flipped


def _flip_each(first, last):
    """A bit in each byte from `first` to `last`; those two, and a share of what is between, on MicroPython."""
    for at in range(first, last + 1):
        if at in (first, last) or (at - first) % SHARE == 0:
            manipulated(_flip(at, at % 8))


def test_s16_a_flipped_bit_in_any_byte_of_head_and_iv():
    for first, last in ((0, 1), (2, 2), (3, 18)):
        _flip_each(first, last)


def test_s16_a_flipped_bit_in_any_byte_of_the_ciphertext():
    _flip_each(19, 34)


def test_s16_a_flipped_bit_in_any_byte_of_the_tag():
    _flip_each(35, 66)


def test_s16_a_frame_that_is_cut_short():
    for size in (1, 2, 3, 18, 34, 50, 66):
        manipulated(lambda phone, frame, size=size: frame[:size])

    def cut_with_its_length(phone, frame):
        frame = frame[:-16]
        frame[0] -= 16
        return frame

    manipulated(cut_with_its_length)


def test_s16_frames_in_another_order():
    def later_first(phone, frame):
        return phone.seal(STATUS)

    def left_out(phone, frame):
        phone.seal(STATUS)
        return phone.seal(STATUS)

    manipulated(later_first)
    manipulated(left_out)


def test_s16_a_frame_of_before():
    def replayed(phone, frame):
        start = phone.end.sent.find(b"\x41\x00\x06")
        assert start > 0
        return phone.end.sent[start : start + 67]

    manipulated(replayed)


def test_s16_a_frame_of_the_module_s_own():
    def reflected(phone, frame):
        start = phone.module_end.sent.rfind(b"\x51\x00\x86")
        assert start > 0
        return phone.module_end.sent[start : start + 83]

    def reflected_as_a_phone_s(phone, frame):
        own = bytearray(reflected(phone, frame))
        own[2] = wire.SEALED_P
        return own

    manipulated(reflected)
    manipulated(reflected_as_a_phone_s)


def test_s16_a_frame_twice_is_taken_once_and_then_the_end():
    async def scenario(rig):
        phone = await rig.unlocked()
        frame = phone.seal(change(1, 1, (0x11, b"abc")))
        await phone.end.write(frame + frame)
        assert result_of(await phone.hear()) == (2, 19, 0)
        assert await phone.is_gone()
        assert rig.control.session is None and rig.attempts.changes == 1

    run(scenario)


def test_s16_what_is_not_sealed_ends_a_session():
    for frame in (
        wire.frame(wire.ASK_INFO),
        wire.frame(wire.SHARE_P, bytes(65)),
        wire.frame(wire.CONFIRM_P, bytes(32)),
        wire.frame(wire.GIVE_UP),
        wire.frame(wire.RESUME, bytes(60)),
        wire.frame(wire.SEALED_M, bytes(64)),
        b"\x00\x00",
        b"\xff\xff",
    ):
        manipulated(lambda phone, good, frame=frame: frame)


def test_s16_a_padding_that_is_none_under_a_tag_that_holds():
    from cryptolib import aes

    from firmware.crypto.hmac import hmac_sha256
    from firmware.crypto.kdf import hkdf_expand

    def bad_padding(phone, frame):
        keys = hkdf_expand(bytes(phone.keys._k_shared), b"inkan channel 1", 128)
        body = bytearray(b"\x10" + bytes(14) + b"\x11")
        aes(keys[:32], 2, bytes(16)).encrypt(body, body)
        sealed = bytes(16) + bytes(body)
        context = b"\x09\x00\x06" + (1).to_bytes(8, "little")
        return wire.frame(wire.SEALED_P, sealed, hmac_sha256(keys[32:64], context, sealed))

    manipulated(bad_padding)


def test_s16_no_iv_twice_in_a_session():
    async def scenario(rig):
        phone = await rig.unlocked()
        for _ in range(20):
            await phone.ask(VIEW)
        await resumed(rig, phone)
        for _ in range(20):
            await phone.ask(VIEW)
        return phone

    ivs = []

    async def collect(rig):
        ends = []
        link = rig.link

        def recorded(*arguments):
            phone = link(*arguments)
            ends.append(phone.module_end)
            return phone

        rig.link = recorded
        await scenario(rig)
        for end in ends:
            reader = wire.FrameReader()
            data = end.sent
            while data or reader.begun:
                room = reader.room()
                part = data[: len(room)]
                data = data[len(part) :]
                room[: len(part)][:] = part
                reader.add(len(part))
                while True:
                    frame = reader.next()
                    if frame is None:
                        break
                    if frame[0] == wire.SEALED_M:
                        ivs.append(bytes(frame[1:17]))

    run(collect)
    assert len(ivs) == 41 and len(set(ivs)) == 41


# What stays


def test_keys_are_gone_when_the_session_is():
    async def scenario(rig):
        phone = await rig.unlocked()
        session = rig.unit._session
        kept = session._keys._k_shared, session._keys._mac_key
        out, reader = session._out, session._reader
        await phone.change(1, (0x11, "山田".encode()))
        await phone.ask(VIEW)
        await phone.ask(END)
        await phone.served
        assert session.over and session._keys is None and session._channel is None
        assert [bytes(part) for part in kept] == [bytes(32), bytes(32)]
        assert bytes(out) == bytes(len(out))
        name = "山田".encode()
        assert reader._buffer.find(name) < 0

    run(scenario)


def test_a_link_is_served_after_one_that_was_given_up():
    async def scenario(rig):
        for _ in range(5):
            phone = rig.link()
            await phone.info()
            phone.served.cancel()
            await sleep_ms(1)
            assert phone.module_end.closed
        phone = await rig.unlocked()
        phone.served.cancel()
        await sleep_ms(1)
        await resumed(rig, phone)
        await phone.ask(STATUS)
        assert link_pair()[0].other

    run(scenario)
