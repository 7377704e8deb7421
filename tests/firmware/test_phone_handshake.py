"""R12, R13, R18, S1, S2, S3, S5: what a phone is told before it has a session, and what its attempts cost."""

import virtual_time
from phone_rig import (
    BLE,
    KEYPAD,
    RELAY,
    SALT,
    SERIAL,
    SERIAL_DOOR,
    Gone,
    PhoneRig,
    Refused,
    link_pair,
    phone_message,
    run,
    w_of,
)
from unit_rig import ID, PASSWORD, blank_flash, provision
from virtual_time import advance, now_ms, sleep_ms

from firmware import settings, wire
from firmware.crypto import p256
from firmware.errors import AuthError, FlashError
from firmware.identity import HOST_PANEL_BOARD
from tests.dual import raises

HEAP = "256wK"  # a phone is in it too, with its own points and frames

CONNECTION = settings.ISSUER_CONNECTION
WRONG = "00000000"


async def refused(awaitable):
    with raises(Refused) as caught:
        await awaitable
    return caught.value.code, caught.value.failures_left, caught.value.delay_ms


async def fail(rig, door=BLE, user_id=ID, password=WRONG):
    phone = await rig.linked(door)
    return await refused(phone.unlock(user_id, password))


# Info


def test_r18_info_tells_state_and_what_a_handshake_needs():
    async def scenario(rig):
        phone = rig.link()
        info = await phone.info()
        assert info == rig.unit.info(BLE)
        assert info[:8] == b"\x01\x01\x02\x03\x00\x00\x08\x00"
        assert info[8:12] == (1000).to_bytes(4, "little") and info[12:28] == SALT
        assert info[28:32] == (86_400).to_bytes(4, "little")
        assert info[32:] == bytes((len(SERIAL),)) + SERIAL.encode()
        assert rig.unit.info(SERIAL_DOOR)[3] == 5
        await refused(phone.unlock(password=WRONG))
        info = await phone.info()
        assert (info[3], info[4:6]) == (2, b"\x01\x00")
        rig.acquisition.end(settings.ENDED_REVOKED)
        info = await phone.info()
        assert info[1:4] == b"\x00\x02\x00" and info[6:28] == bytes(22) and info[28:32] == b"\xff" * 4

    run(scenario)


def test_r18_info_in_every_state():
    async def scenario(rig):
        assert rig.unit.info(BLE)[1] == 0
        rig.acquisition.accept(phone_message(1, lifetime_s=None), CONNECTION)
        assert rig.unit.info(BLE)[1] == 1
        assert rig.unit.info(BLE)[28:32] == b"\xff" * 4
        session = rig.open()
        assert rig.unit.info(BLE)[1] == 2
        session.close("done")
        for _ in range(3):
            await fail(rig)
        assert (rig.unit.info(BLE)[1], rig.unit.info(RELAY)[1], rig.unit.info(SERIAL_DOOR)[1]) == (3, 3, 1)
        rig.detection.latch("vault_seal")
        assert rig.unit.info(BLE)[1:4] == b"\x04\x02\x00"
        rig.acquisition.accept(phone_message(2, {"recover": True}, max_failures=300 - 200), CONNECTION)
        assert rig.unit.info(BLE)[1:4] == b"\x04\x06\x62"

    run(scenario, credential=False)


def test_r9_info_and_refusal_without_trusted_time():
    async def scenario(rig):
        rig.power_off()
        dark = PhoneRig(rig.device, None, HOST_PANEL_BOARD, False)
        dark.start()
        assert dark.unit.info(BLE)[1:3] == b"\x05\x01"
        phone = dark.link()
        assert await refused(phone.unlock()) == ("no_time", 0, 0)
        dark.power_off()

    run(scenario)


def test_a_change_of_what_is_shown_is_told_within_a_second():
    async def scenario(rig):
        async def shows(count):
            await sleep_ms(1000)
            assert rig.shown == count, rig.shown

        await shows(1)
        await shows(1)
        phone = await rig.unlocked()
        await shows(2)
        await phone.ask(bytes((wire.END,)))
        await shows(3)
        await fail(rig)
        await sleep_ms(1000)
        told = rig.shown
        assert told > 3
        rig.acquisition.end(settings.ENDED_REVOKED)
        await shows(told + 1)

    run(scenario)


# Refusals


def test_r18_right_id_and_password_open_a_session():
    async def scenario(rig):
        phone = rig.link()
        status = await phone.unlock()
        assert status[0] == wire.STATUS_IS and status[1:5] == b"\x01\x00\x00\x00"
        assert rig.control.session.door == BLE
        assert (rig.attempts.successes, rig.attempts.failures) == (1, 0)
        assert rig.events()[-1] == "success"

    run(scenario)


def test_r13_wrong_and_delayed_say_what_is_left():
    async def scenario(rig):
        phone = rig.link()
        assert await refused(phone.unlock(password=WRONG)) == ("wrong", 2, 1000)
        assert await refused(phone.unlock()) == ("delayed", 2, 1000)
        advance(999)
        assert await refused(phone.unlock()) == ("delayed", 2, 1)
        advance(1)
        assert await refused(phone.unlock(user_id="00000000")) == ("wrong", 1, 2000)
        await sleep_ms(2000)
        await phone.unlock()  # the link has stayed

    run(scenario)


def test_a_confirmation_that_does_not_hold_is_wrong_too():
    async def scenario(rig):
        phone = rig.link()
        assert await phone.share()
        await phone.send(wire.CONFIRM_P, bytes(32))
        assert await phone.refusal() == ("wrong", 2, 1000)
        assert rig.attempts.failures == 1 and rig.control.session is None

    run(scenario)


def test_refused_no_credential():
    async def scenario(rig):
        phone = rig.link()
        assert await refused(phone.unlock()) == ("no_credential", 0, 0)
        rig.acquisition.accept(phone_message(), CONNECTION)
        await phone.unlock()

    run(scenario, credential=False)


def test_refused_tampered_but_for_a_credential_that_may_recover():
    async def scenario(rig):
        rig.detection.latch("vault_seal")
        phone = rig.link()
        assert await refused(phone.unlock()) == ("tampered", 0, 0)
        rig.acquisition.accept(phone_message(2, {"recover": True}), CONNECTION)
        status = await phone.unlock()
        assert status[-4:] == b"\x00\x00\x00\x03"

    run(scenario)


def test_refused_busy_while_another_phone_or_the_keypad_is_at_work():
    async def scenario(rig):
        phone, other = rig.link(), rig.link(RELAY)
        await phone.share()
        assert await refused(other.unlock()) == ("busy", 2, 0)  # the attempt counts as a failure so far
        with raises(AuthError) as caught:
            await rig.control.authenticate(KEYPAD, ID, PASSWORD)
        assert caught.value.code == "busy"
        await phone.send(wire.CONFIRM_P, phone.confirm_p)
        assert await refused(other.unlock()) == ("busy", 3, 0)
        with raises(AuthError) as caught:
            await rig.control.authenticate(KEYPAD, ID, PASSWORD)
        assert caught.value.code == "busy"
        assert (await other.info())[1] == 2
        rig.control.session.close("done")
        await sleep_ms(0)
        attempt = rig.control.begin(KEYPAD)
        assert await refused(other.unlock()) == ("busy", 2, 0)
        session = attempt.success()
        assert await refused(other.unlock()) == ("busy", 3, 0)
        session.close("done")
        await other.unlock()
        assert rig.attempts.failures == 0

    run(scenario)


def test_refused_busy_where_nothing_is_prepared_in_ten_seconds():
    async def scenario(rig):
        rig.power_off()  # nobody prepares
        rig.unit._stock.drop()
        phone = rig.link()
        assert await refused(phone.unlock()) == ("busy", 3, 0)
        assert now_ms() == 10_000
        assert rig.attempts.attempts == 0

    run(scenario)


def test_s3_a_peer_waits_for_prepared_values():
    async def scenario(rig):
        phone = rig.link()
        rig.tasks[0].cancel()
        rig.unit._stock.drop()
        phone.begin()
        await phone.send(wire.SHARE_P, phone.share_p)
        await sleep_ms(7_000)
        assert rig.attempts.attempts == 0
        await rig.unit._stock.fill(rig.acquisition.current())
        phone.take_share_v(await phone.expect(wire.SHARE_V))
        assert phone.proof_holds

    run(scenario)


def test_refused_malformed_ends_the_link():
    wrong = (
        b"\x00\x00",
        b"\x43\x00\x02",
        b"\x01\x00\x07",
        b"\x02\x00\x01\x00",
        wire.frame(wire.CONFIRM_P, bytes(32)),
        wire.frame(wire.GIVE_UP),
        wire.frame(wire.SEALED_P, bytes(64)),
        wire.frame(wire.INFO, bytes(40)),
        wire.frame(wire.REFUSED, bytes(6)),
    )

    async def scenario(rig):
        for data in wrong:
            phone = rig.link()
            await phone.info()
            await phone.end.write(data)
            assert await phone.refusal() == ("malformed", 3, 0), data
            assert await phone.is_gone()
        assert rig.attempts.attempts == 0

    run(scenario)


def test_a_frame_that_stays_incomplete_is_malformed_after_ten_seconds():
    async def scenario(rig):
        for known in range(1, 68):
            phone = rig.link()
            phone.begin() if known == 1 else None
            start = now_ms()
            await phone.end.write(wire.frame(wire.SHARE_P, bytes(65))[:known])
            if known == 1:
                await sleep_ms(6_000)
                await phone.end.write(b"\x00")  # a byte now and then is no way out
            assert await phone.refusal() == ("malformed", 3, 0)
            assert now_ms() - start == 10_000
            assert await phone.is_gone()

    run(scenario)


def test_a_silent_link_ends_after_thirty_seconds():
    async def scenario(rig):
        phone = rig.link()
        await sleep_ms(29_000)
        await phone.info()
        assert await phone.is_gone()
        assert now_ms() == 59_000

    run(scenario)


def test_refused_timeout_in_a_handshake():
    async def scenario(rig):
        phone = rig.link()
        await phone.share()
        begun = now_ms()
        assert await phone.refusal() == ("timeout", 2, 1000)
        assert now_ms() - begun == 10_000
        assert await phone.is_gone()
        assert rig.attempts.failures == 1 and not rig.attempts.pending

    run(scenario)


def test_refused_no_session_leaves_the_link():
    async def scenario(rig):
        phone = rig.link()
        await phone.send(wire.RESUME, bytes(60))
        assert await phone.refusal() == ("no_session", 3, 0)
        await phone.unlock()
        other = rig.link()
        await other.send(wire.RESUME, bytes(60))
        assert await other.refusal() == ("no_session", 3, 0)
        assert (await phone.ask(bytes((wire.STATUS,))))[0] == wire.STATUS_IS

    run(scenario)


def test_refused_failed_where_flash_fails():
    async def scenario(rig):
        phone = rig.link()
        program = rig.device.program

        def broken(address, buffer):
            raise FlashError("worn out")

        rig.device.program = broken
        try:
            await phone.info()
            with raises(Refused) as caught:
                await phone.unlock()
        finally:
            rig.device.program = program
        assert caught.value.code == "failed"
        assert await phone.is_gone()

        phone = await rig.linked()
        assert await phone.share()
        rig.device.program = broken
        try:
            await phone.send(wire.CONFIRM_P, phone.confirm_p)
            assert (await phone.refusal())[0] == "failed"
        finally:
            rig.device.program = program
        assert await phone.is_gone()
        assert rig.control.session is None
        await sleep_ms(1000)
        await (await rig.linked()).unlock()

    run(scenario)


def test_refused_locked_and_no_credential_after_the_last_failure():
    async def scenario(rig):
        for left in (2, 1, 0):
            assert (await fail(rig))[:2] == ("wrong", left)
        phone = await rig.linked()
        assert await refused(phone.unlock()) == ("locked", 0, 0)
        assert await phone.info()

    run(scenario)


# S1


def test_s1_an_attempt_is_a_failure_from_share_p_on_whenever_the_phone_leaves():
    async def leave_after_share_p(phone):
        phone.begin()
        await phone.send(wire.SHARE_P, phone.share_p)
        await sleep_ms(100)
        phone.end.close()

    async def leave_after_share_v(phone):
        await phone.share()
        phone.end.close()

    async def leave_within_confirm_p(phone):
        await phone.share()
        await phone.end.write(wire.frame(wire.CONFIRM_P, phone.confirm_p)[:34])
        phone.end.close()

    async def leave_without_a_word(phone):
        await phone.share()
        await phone.refusal()

    async def leave_with_another_frame(phone):
        await phone.share()
        await phone.send(wire.ASK_INFO)
        assert (await phone.refusal())[0] == "malformed"

    async def leave_with_garbage(phone):
        await phone.share()
        await phone.end.write(b"\xff\xff")
        assert (await phone.refusal())[0] == "malformed"

    async def take_nothing(phone):
        phone.module_end.stalls = True
        phone.begin()
        await phone.send(wire.SHARE_P, phone.share_p)
        await phone.is_gone()

    ways = (
        leave_after_share_p,
        leave_after_share_v,
        leave_within_confirm_p,
        leave_without_a_word,
        leave_with_another_frame,
        leave_with_garbage,
        take_nothing,
    )

    async def scenario(rig):
        for count, way in enumerate(ways, 1):
            phone = await rig.linked()
            await way(phone)
            phone.end.close()
            await phone.served
            assert (rig.attempts.failures, rig.attempts.pending) == (count, False), way
            assert rig.control.delay_ms() > 0
        assert rig.events().count("failure") == len(ways)

    run(scenario, max_failures=20)


def test_s1_never_more_guesses_than_the_limit():
    """Each share V would test one password: so many come out of a module, and not one more."""

    async def scenario(rig):
        guesses = 0
        for round in range(12):
            phone = await rig.linked((BLE, RELAY)[round % 2])
            try:
                await phone.share(password="%08d" % round)
                guesses += 1
            except (Refused, Gone):
                pass
            phone.end.close()
            await phone.served
            if round % 3 == 2:  # the power is cut, too
                rig.power_off()
                rig = PhoneRig(rig.device)
                rig.start()
        assert guesses == 3
        assert rig.attempts.failures == 3
        rig.power_off()

    run(scenario)


def test_s1_the_attempt_is_in_flash_before_share_v_is_made():
    async def scenario(rig):
        phone = await rig.linked()
        phone.begin()
        await phone.send(wire.SHARE_P, phone.share_p)
        await sleep_ms(200)
        assert not phone.module_end.sent
        after_a_cut = PhoneRig(rig.device)
        assert after_a_cut.attempts.failures == 1
        assert after_a_cut.control.delay_ms() == 1000

    run(scenario)


def test_s1_no_sealed_frame_counts_before_the_proof():
    async def scenario(rig):
        phone = rig.link()
        assert await phone.share()
        await phone.send(wire.SEALED_P, bytes(64))
        assert (await phone.refusal())[0] == "malformed"
        assert rig.control.session is None and rig.attempts.failures == 1

    run(scenario)


# S2


def test_s2_a_wrong_id_and_a_wrong_password_are_one_event():
    async def scenario(rig, user_id, password):
        phone = await rig.linked()
        begun = now_ms()
        await phone.share(user_id, password)
        answered = now_ms() - begun
        await phone.send(wire.GIVE_UP)
        last = await phone.refusal()
        sent = phone.module_end.sent
        return answered, now_ms() - begun, last, len(sent), sent[:3], sent[100:], rig.events(), rig.attempts.failures

    async def wrong_id(rig):
        return await scenario(rig, "00000000", PASSWORD)

    async def wrong_password(rig):
        return await scenario(rig, ID, WRONG)

    one, other = run(wrong_id), run(wrong_password)
    assert one == other
    assert one[0] == 400


def test_s2_share_v_keeps_to_its_time_however_long_the_work_took():
    async def scenario(rig):
        for work_ms in (0, 150, 399, 400, 900):
            phone = await rig.linked()
            begin = rig.control.begin

            def slow(door, work_ms=work_ms, begin=begin):
                advance(work_ms)
                return begin(door)

            rig.control.begin = slow
            begun = now_ms()
            await phone.share()
            assert now_ms() - begun == max(work_ms, 400)
            rig.control.begin = begin
            await phone.send(wire.GIVE_UP)
            await phone.refusal()

    run(scenario, max_failures=20)


# S3


def test_s3_no_share_v_comes_twice_whatever_the_phone_sends():
    identity = p256.encode_point(p256.multiply(w_of()[0], p256.decode_point(_point_m())))
    shares = (
        bytes(65),
        b"\x04" + bytes(64),
        b"\x04" + b"\xff" * 64,
        b"\x02" + identity[1:],
        identity[:64] + bytes((identity[64] ^ 1,)),
        identity,  # X = w0 M: Z would be the identity
    )

    async def scenario(rig):
        seen = set()
        taken = []
        take = rig.unit._stock.take

        def record(credential):
            prepared = take(credential)
            taken.append(prepared[1])
            return prepared

        rig.unit._stock.take = record
        for share in shares:
            phone = await rig.linked()
            await phone.send(wire.SHARE_P, share)
            assert (await phone.refusal())[0] == "bad_share"
            assert await phone.is_gone()
            phone = await rig.linked()
            await phone.share(password=WRONG)
            seen.add(phone.share_v)
            await phone.send(wire.GIVE_UP)
            await phone.refusal()
        assert len(seen) == len(shares)
        assert len(set(taken)) == len(taken) == 2 * len(shares)
        assert rig.attempts.failures == 2 * len(shares)

    run(scenario, max_failures=100)


def _point_m():
    from firmware.crypto.spake2plus_verifier import POINT_M

    return POINT_M


def test_s3_prepared_values_go_with_their_credential():
    async def scenario(rig):
        stock = rig.unit._stock
        first = rig.acquisition.current()
        await sleep_ms(1000)
        assert stock.holds(first)  # before anybody has a link
        assert not stock._loaded  # and the arithmetic's RAM is free again
        phone = rig.link()
        rig.acquisition.accept(phone_message(2, password="55555555"), CONNECTION)
        assert stock._prepared is None
        assert await refused(phone.unlock()) == ("wrong", 2, 1000)
        await sleep_ms(1000)
        await phone.unlock(password="55555555")
        assert stock._prepared is None  # not while there is a session
        rig.control.session.close("done")
        await sleep_ms(2000)
        assert stock.holds(rig.acquisition.current())
        rig.acquisition.end(settings.ENDED_REVOKED)
        assert stock._prepared is None

    run(scenario)


def test_s3_a_credential_that_has_just_come_is_waited_for_though_there_are_values_of_the_factory_s():
    device = blank_flash()
    provision(device, factory=True)

    async def main():
        rig = PhoneRig(device)
        rig.start()
        phone = rig.link()
        while not rig.unit._stock.holds(rig.acquisition.current()):
            await sleep_ms(100)
        rig.acquisition.accept(phone_message(1), CONNECTION)
        await phone.unlock()
        rig.power_off()

    virtual_time.run(main())


def test_s3_a_credential_that_ends_while_values_are_made_leaves_none():
    async def scenario(rig):
        stock = rig.unit._stock
        credential = rig.acquisition.current()
        rig.tasks[0].cancel()
        steps = []

        async def end_at_second(ms):
            steps.append(ms)
            if len(steps) == 2:
                rig.acquisition.end(settings.ENDED_REVOKED)

        stock._sleep_ms = end_at_second
        await stock.fill(credential)
        assert len(steps) == 2 and stock._prepared is None

    run(scenario)


# S5


def test_s5_ble_and_relay_leave_two_to_the_keypad_and_share_counter_and_delay():
    async def scenario(rig):
        assert await fail(rig, BLE) == ("wrong", 2, 1000)
        phone = rig.link(RELAY)
        assert (await refused(phone.unlock()))[0] == "delayed"
        phone = rig.link(SERIAL_DOOR)
        assert (await refused(phone.unlock()))[0] == "delayed"
        assert rig.control.status(KEYPAD).delay_ms == 1000
        assert await fail(rig, RELAY) == ("wrong", 1, 2000)
        rig.fail(KEYPAD)
        for door in (BLE, RELAY):
            phone = await rig.linked(door)
            assert (await refused(phone.unlock()))[:2] == ("locked", 0)
        assert rig.control.status(KEYPAD).failures_left == 2
        rig.wait_out_delay()
        session = await rig.control.authenticate(KEYPAD, ID, PASSWORD)
        assert session.ended is None

    run(scenario)


def test_s5_doors_in_turn_never_exceed_the_limit():
    async def scenario(rig):
        doors = (SERIAL_DOOR, BLE, RELAY)
        codes = []
        for round in range(9):
            codes.append((await fail(rig, doors[round % 3]))[0])
        assert codes.count("wrong") == 5
        assert rig.attempts.failures == 5
        assert rig.acquisition.current() is None
        assert (await fail(rig))[0] == "locked"

    run(scenario)


def test_s8_a_factory_credential_opens_one_session_by_phone():
    async def main():
        from firmware.acquisition import factory_items
        from firmware.store.store import Store

        device = blank_flash()
        provision(device)
        store = Store(device, _random)
        store.start()
        fields = phone_message()
        store.factory.write(
            factory_items(bytes.fromhex(fields["w0"]), bytes.fromhex(fields["l"]), SALT, 1000, None, 5, 20, 8)
        )
        rig = PhoneRig(device, None)
        rig.start()
        phone = rig.link()
        status = await phone.unlock()
        assert status[-4:] == b"\x28\x28\x00\x02"
        await phone.ask(bytes((wire.END,)))
        phone = rig.link()
        assert (await refused(phone.unlock()))[0] == "no_credential"
        rig.power_off()

    import virtual_time

    virtual_time.run(main())


def _random(size):
    from unit_rig import random

    return random(size)


def test_two_links_at_once_are_served_and_a_third():
    async def scenario(rig):
        phones = [rig.link(door) for door in (BLE, BLE, RELAY)]
        for phone in phones:
            await phone.info()
        await phones[1].unlock()
        for phone in phones[::2]:
            assert (await phone.info())[1] == 2
        phones[1].end.close()
        for phone in phones[::2]:
            await phone.info()

    run(scenario)


def test_a_link_pair_is_closed_at_both_ends():
    ends = link_pair()
    ends[1].close()
    assert ends[0].other is ends[1] and ends[1].closed
