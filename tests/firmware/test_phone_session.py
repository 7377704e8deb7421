"""R11, R15, R16, R18, S6: what a phone may see and change, every message, every error, every end."""

import asyncio

from phone_rig import (
    BLE,
    KEYPAD,
    RELAY,
    SERIAL_DOOR,
    Gone,
    change,
    delete,
    ended_of,
    enrol,
    error_of,
    head,
    phone_message,
    result_of,
    run,
)
from unit_rig import get
from virtual_time import advance, now_ms, sleep_ms

from firmware import settings, wire
from firmware.errors import FlashError, InkanError, LinkError, TamperError
from tests.dual import raises

HEAP = "256wK"  # a phone is in it too, with its own points and frames

CONNECTION = settings.ISSUER_CONNECTION
CERTIFICATE = b"\x30\x03abc"
LINE = {0x51: "https://pps.example", 0x53: CERTIFICATE, 0x54: CERTIFICATE, 0x55: b"\x07" * 32}
CODE = b"12345678901234567890"
HOST = b"pps.example:8443"

STATUS = bytes((wire.STATUS,))
WIPE = bytes((wire.WIPE,))
END = bytes((wire.END,))


def view(group):
    return bytes((wire.VIEW, group))


def items_of(answer):
    """{field id: text} of a *view*."""
    from firmware.codec import decode_items

    assert answer[0] == wire.VIEW_IS, answer
    return {field_id: bytes(value).decode() for field_id, value in decode_items(answer[2:])}


# Messages


def test_r18_see_change_and_delete():
    async def scenario(rig):
        phone = await rig.unlocked()
        assert items_of(await phone.ask(view(1))) == {0x11: "", 0x12: "", 0x13: "", 0x14: ""}
        answer = await phone.change(1, (0x11, " 山田 太郎".encode()), (0x12, b"123-4567"))
        assert result_of(answer) == (2, 19, 0)
        assert get(rig.device, 0x11) == "山田 太郎".encode()
        assert items_of(await phone.ask(view(1))) == {0x11: "山田 太郎", 0x12: "1234567", 0x13: "", 0x14: ""}
        answer = await phone.change(2, (0x31, b"03" + b"1" * 20), (0x41, b"5500"), (0x43, b"9999999"))
        assert result_of(answer) == (3, 18, 0)
        assert items_of(await phone.ask(view(4))) == {0x41: "5500", 0x42: "", 0x43: "9999999"}
        assert result_of(await phone.ask(delete(3, 3, 1, 0x11))) == (4, 17, 0)
        assert items_of(await phone.ask(view(1)))[0x12] == "1234567"
        assert result_of(await phone.ask(delete(4, 4, 1))) == (5, 16, 0)
        assert get(rig.device, 0x12) is None and get(rig.device, 0x41) is not None
        events = rig.events()
        assert (events.count("change"), events.count("delete")) == (2, 2)
        assert [record["door"] for record in rig.audit.pending(0, 100)][-4:] == ["ble"] * 4

    run(scenario)


def test_r4_keys_are_not_to_be_seen():
    async def scenario(rig):
        session = rig.open()
        session.change_connection(1, 1, LINE)
        session.close("done")
        rig.acquisition.accept(phone_message(1), CONNECTION)
        phone = await rig.unlocked()
        seen = items_of(await phone.ask(view(5)))
        assert (seen[0x51], seen[0x55], seen[0x52]) == ("https://pps.example", "stored", "")
        assert seen[0x53][:7] == "sha256:" and len(seen[0x53]) == 23
        assert items_of(await phone.ask(view(2))) == {}

    run(scenario)


def test_r15_everything_of_a_group_fits_one_message_each_way():
    async def scenario(rig):
        phone = await rig.unlocked()
        name, address = "𠮷" * 40, "𠮷" * 100
        values = (name.encode(), b"1234567", address.encode(), b"A" * 20)
        items = list(zip((0x11, 0x12, 0x13, 0x14), values))
        items += [(0x31, b"03" + b"1" * 20), (0x41, b"999999"), (0x42, b"9999999"), (0x43, b"9999999")]
        text = change(1, 1, *items)
        assert len(text) < wire.MESSAGE_MAX
        assert result_of(await phone.ask(text)) == (2, 19, 0)
        seen = items_of(await phone.ask(view(1)))
        assert (seen[0x11], seen[0x13]) == (name, address)

    run(scenario)


def test_status_tells_what_the_session_may():
    async def scenario(rig):
        phone = await rig.linked()
        status = await phone.unlock()
        assert status[1:5] == b"\x01\x00\x00\x00" and status[5:7] == b"\x14\x00"
        assert status[7:11] == (86_399).to_bytes(4, "little")
        assert status[11:13] == (180).to_bytes(2, "little")
        assert status[13:] == b"\x0a\x08\x10\x02"
        await sleep_ms(100_500)
        status = await phone.ask(STATUS)
        assert int.from_bytes(status[7:11], "little") in (86_298, 86_299)
        assert status[11:13] == (79).to_bytes(2, "little")  # to ask for it is no activity

    run(scenario, {"see": ["customer", "site"], "change": ["site"], "delete": ["capacity"]})


def test_status_without_lifetime():
    async def scenario(rig):
        status = await rig.link().unlock()
        assert status[7:11] == b"\xff" * 4

    run(scenario, lifetime_s=None)


def test_r11_the_scope_bounds_every_message():
    async def scenario(rig):
        phone = await rig.unlocked()
        assert items_of(await phone.ask(view(1)))
        for group in (0, 2, 3, 4, 5, 6, 9, 200, 255):
            assert error_of(await phone.ask(view(group))) == ("not_allowed", 0, 0)
            if group != 4:
                assert error_of(await phone.ask(delete(1, 1, group))) == ("not_allowed", 0, 0)
        assert result_of(await phone.ask(delete(1, 1, 4))) == (2, 19, 0)
        assert error_of(await phone.ask(change(2, 2, (0x11, b"a"))))[0] == "not_allowed"
        assert error_of(await phone.ask(change(2, 2, (0x31, b"03" + b"1" * 20), (0x41, b"5"))))[0] == "not_allowed"
        assert error_of(await phone.ask(enrol(2, 2, HOST, CODE)))[0] == "not_allowed"
        assert error_of(await phone.ask(WIPE))[0] == "not_allowed"
        assert result_of(await phone.ask(change(2, 2, (0x31, b"03" + b"1" * 20)))) == (3, 18, 0)
        assert rig.attempts.changes == 2 and rig.enrolled == []

    run(scenario, {"see": ["customer"], "change": ["site"], "delete": ["capacity"]})


def test_r15_a_connection_and_the_history_are_not_typed():
    async def scenario(rig):
        phone = await rig.unlocked()
        for field_id in (0x21, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x01, 0x99):
            assert error_of(await phone.ask(change(1, 1, (field_id, b"1"))))[0] == "not_allowed"
        for group, field_id in ((5, 0x55), (2, 0x21), (1, 0x31)):
            assert error_of(await phone.ask(delete(1, 1, group, field_id)))[0] == "not_allowed"
        assert rig.attempts.changes == 0

    run(scenario)


# Errors


def test_every_reason_of_a_field():
    async def scenario(rig):
        phone = await rig.unlocked()
        expected = (
            (0x11, b"", "empty"),
            (0x11, b"a" * 41, "too_long"),
            (0x12, b"123456", "too_short"),
            (0x12, b"123456x", "not_digits"),
            (0x31, b"99" + b"1" * 20, "bad_area"),
            (0x14, b"a_b", "bad_character"),
            (0x41, b"1000000", "out_of_range"),
            (0x13, b"a\x00b", "bad_text"),
        )
        for field_id, value, reason in expected:
            answer = await phone.ask(change(1, 1, (field_id, value)))
            assert error_of(answer) == ("field", field_id, wire.FIELD_REASONS.index(reason)), answer
        # A good value in the same message is not taken either, and the number is still free.
        answer = await phone.ask(change(1, 1, (0x11, b"a"), (0x12, b"")))
        assert error_of(answer) == ("field", 0x12, 1)
        assert rig.attempts.changes == 0
        assert result_of(await phone.ask(change(1, 1, (0x11, b"a")))) == (2, 19, 0)

    run(scenario)


def test_the_reasons_of_what_is_not_typed():
    from firmware.errors import FieldError
    from firmware.link.phone_messages import put_error

    out = bytearray(4)
    for number, reason in enumerate(wire.FIELD_REASONS):
        if number:
            put_error(out, FieldError(0x51, reason))
            assert bytes(out) == bytes((0x9F, 4, 0x51, number))


def test_what_is_no_utf8_is_bad_text():
    async def scenario(rig):
        phone = await rig.unlocked()
        for bad in (b"\xff", b"\xc0\xb0", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe3\x81", b"\x80"):
            for field_id in (0x11, 0x12, 0x14, 0x31, 0x41):
                answer = await phone.ask(change(1, 1, (field_id, bad)))
                assert error_of(answer) == ("field", field_id, 10)

    run(scenario)


def test_s6_stale_generation_and_number_and_what_is_repeated():
    async def scenario(rig):
        phone = await rig.unlocked()
        assert error_of(await phone.ask(change(1, 2, (0x11, b"a"))))[0] == "stale"
        first = change(5, 1, (0x11, b"a"))
        assert result_of(await phone.ask(first)) == (2, 19, 0)
        assert result_of(await phone.ask(first)) == (2, 19, 1)
        assert result_of(await phone.ask(change(5, 9, (0x11, b"b")))) == (2, 19, 1)
        assert error_of(await phone.ask(change(4, 2, (0x11, b"a"))))[0] == "stale"
        assert error_of(await phone.ask(delete(4, 2, 1)))[0] == "stale"
        for number in (0,):
            assert error_of(await phone.ask(change(number, 2, (0x11, b"a"))))[0] == "not_allowed"
        assert result_of(await phone.ask(delete(0xFFFFFFFF, 2, 1))) == (3, 18, 0)
        assert rig.attempts.changes == 2

    run(scenario)


def test_r8_used_up_and_still_to_be_seen():
    async def scenario(rig):
        phone = await rig.unlocked()
        assert result_of(await phone.ask(change(1, 1, (0x11, b"a")))) == (2, 0, 0)
        assert error_of(await phone.ask(change(2, 2, (0x11, b"b"))))[0] == "used_up"
        assert error_of(await phone.ask(enrol(2, 2, HOST, CODE)))[0] == "used_up"
        assert items_of(await phone.ask(view(1)))[0x11] == "a"
        assert rig.acquisition.current() is None

    run(scenario, max_changes=1)


def test_error_tampered_where_reads_do_not_agree():
    async def scenario(rig):
        phone = await rig.unlocked()
        reads = []

        def unsteady():
            reads.append(1)
            raise TamperError("vault_seal" if len(reads) % 2 else "guard_mismatch")

        read = rig.store.vault.read
        rig.store.vault.read = unsteady
        assert error_of(await phone.ask(view(1))) == ("tampered", 0, 0)
        assert error_of(await phone.ask(change(1, 1, (0x11, b"a"))))[0] == "tampered"
        rig.store.vault.read = read
        assert result_of(await phone.ask(change(1, 1, (0x11, b"a")))) == (2, 19, 0)

    run(scenario)


def test_error_failed_where_flash_fails_and_status_says_what_holds():
    async def scenario(rig):
        phone = await rig.unlocked()
        program = rig.device.program

        def broken(address, buffer):
            raise FlashError("worn out")

        rig.device.program = broken
        assert error_of(await phone.ask(change(1, 1, (0x11, b"a")))) == ("failed", 0, 0)
        rig.device.program = program
        assert (await phone.ask(STATUS))[1:5] == b"\x01\x00\x00\x00"
        assert items_of(await phone.ask(view(1)))[0x11] == ""
        assert result_of(await phone.ask(change(1, 1, (0x11, b"a"))))[0] == 2

    run(scenario)


def test_error_bad_message_and_the_session_goes_on():
    good = change(1, 1, (0x11, b"abc"))
    bad = [b"", b"\x00", b"\x0f", b"\x17", b"\x90", b"\xff" * 40]
    bad += [STATUS + b"\x00", WIPE + b"\x00", END + b"\x00", bytes((wire.VIEW,)), view(1) + b"\x00"]
    bad += [good[:size] for size in range(1, 9)] + [good[:size] for size in range(10, len(good))]
    bad += [good + b"\x11\x00\x00", good + b"\x01"]
    bad += [delete(1, 1, 1)[:size] for size in range(1, 10)]
    bad += [enrol(1, 1, b"", CODE)[:size] for size in range(1, 29)]

    async def scenario(rig):
        phone = await rig.unlocked()
        for text in bad:
            assert error_of(await phone.ask(text)) == ("bad_message", 0, 0), text
        assert error_of(await phone.ask(good[:9])) == ("not_allowed", 0, 0)  # a change of nothing
        assert rig.attempts.changes == 0
        assert result_of(await phone.ask(good)) == (2, 19, 0)

    run(scenario)


# Enrolment


async def slow_enrolment(progress):
    for done in range(0, 20_000, 1_000):
        progress(done, 20_000)
        await sleep_ms(200)
    return LINE


def test_r15_enrolment_tells_its_progress_and_its_result():
    async def scenario(rig):
        rig.enrol = slow_enrolment
        phone = await rig.unlocked()
        begun = now_ms()
        await phone.say(enrol(1, 1, HOST, CODE))
        told = []
        while True:
            answer = await phone.hear()
            if answer[0] != wire.PROGRESS_IS:
                break
            told.append((now_ms() - begun, int.from_bytes(answer[1:5], "little"), answer[5:]))
        assert result_of(answer) == (2, 19, 0)
        assert rig.enrolled == [(HOST.decode(), CODE.decode())]
        times = [time for time, _, _ in told]
        assert len(told) in (6, 7) and min([b - a for a, b in zip(times, times[1:])]) >= 500
        assert [done for _, done, _ in told] == [time * 5 for time in times]
        assert told[-1][2] == (20_000).to_bytes(4, "little")
        assert get(rig.device, 0x55) == b"\x07" * 32
        assert items_of(await phone.ask(view(5)))[0x51] == "https://pps.example"
        # The same number again: nothing is enrolled again.
        assert result_of(await phone.ask(enrol(1, 1, HOST, CODE))) == (2, 19, 1)
        assert len(rig.enrolled) == 1

    run(scenario)


class Enrolment(InkanError):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


def test_every_reason_of_an_enrolment():
    expected = (
        ("host_form", "host_form"),
        ("code_form", "code_form"),
        ("code_refused", "code_refused"),
        ("bad_answer", "bad_answer"),
        ("not_proved", "not_proved"),
        ("dns", "unreachable"),
        ("connect", "unreachable"),
        ("closed", "unreachable"),
        ("timeout", "unreachable"),
        ("tls", "tls"),
        ("tls_ca", "tls"),
        ("status", "other"),
        ("bad_http", "other"),
        (None, "other"),
    )

    async def scenario(rig):
        phone = await rig.unlocked()
        for code, reason in expected:

            async def fail(progress, code=code):
                raise Enrolment(code) if code else MemoryError()

            rig.enrol = fail
            answer = await phone.ask(enrol(1, 1, HOST, CODE))
            assert error_of(answer) == ("enrol", 0, wire.ENROL_REASONS.index(reason)), code
        assert error_of(await phone.ask(enrol(1, 1, b"\xff", CODE))) == ("enrol", 0, 1)
        assert error_of(await phone.ask(enrol(1, 1, HOST, b"\xff" * 20))) == ("enrol", 0, 2)
        assert len(rig.enrolled) == len(expected)
        assert (rig.attempts.changes, rig.control.session.generation) == (0, 1)

    run(scenario)


def test_s6_an_enrolment_that_cannot_count_is_refused_before_its_code_is_spent():
    async def scenario(rig):
        rig.enrol = slow_enrolment
        phone = await rig.unlocked()
        assert error_of(await phone.ask(enrol(1, 2, HOST, CODE)))[0] == "stale"
        await phone.ask(change(2, 1, (0x11, b"a")))
        assert error_of(await phone.ask(enrol(1, 2, HOST, CODE)))[0] == "stale"
        assert error_of(await phone.ask(enrol(0, 2, HOST, CODE)))[0] == "not_allowed"
        assert rig.enrolled == []

    run(scenario)


def test_an_enrolment_fails_where_its_result_cannot_be_kept():
    async def scenario(rig):
        async def incomplete(progress):
            return {0x51: "https://pps.example"}

        rig.enrol = incomplete
        phone = await rig.unlocked()
        assert error_of(await phone.ask(enrol(1, 1, HOST, CODE))) == ("field", 0x53, 1)

    run(scenario)


def test_while_an_enrolment_runs_nothing_else_changes():
    async def scenario(rig):
        rig.enrol = slow_enrolment
        phone = await rig.unlocked()
        await phone.say(enrol(1, 1, HOST, CODE))
        await phone.hear()
        for text in (change(2, 1, (0x11, b"a")), delete(2, 1, 1), WIPE, enrol(2, 1, HOST, CODE)):
            assert error_of(await phone.ask(text))[0] == "not_allowed"
        assert items_of(await phone.ask(view(1)))
        answer = await phone.hear()
        while answer[0] == wire.PROGRESS_IS:
            answer = await phone.hear()
        assert result_of(answer) == (2, 19, 0)
        assert len(rig.enrolled) == 1

    run(scenario)


def test_s6_an_enrolment_goes_on_without_its_link_and_is_asked_for_again():
    for lost_ms, answered in ((1_000, 0), (20_000, 1)):

        async def scenario(rig, lost_ms=lost_ms, answered=answered):
            rig.enrol = slow_enrolment
            phone = await rig.unlocked()
            await phone.say(enrol(1, 1, HOST, CODE))
            await phone.hear()
            phone.end.close()
            await sleep_ms(lost_ms)
            await phone.resume(rig.link().end)
            await phone.ask(STATUS)
            answer = await phone.ask(enrol(1, 1, HOST, CODE))
            while answer[0] == wire.PROGRESS_IS:
                answer = await phone.hear()
            assert result_of(answer) == (2, 19, answered)
            assert len(rig.enrolled) == 1 and rig.attempts.changes == 1

        run(scenario)


def test_the_end_of_the_session_ends_its_enrolment():
    async def scenario(rig):
        cancelled = []

        async def endless(progress):
            try:
                await asyncio.sleep(10_000)
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        rig.enrol = endless
        phone = await rig.unlocked()
        await phone.say(enrol(1, 1, HOST, CODE))
        assert ended_of(await phone.ask(END)) == "done"
        assert await phone.is_gone()
        await sleep_ms(0)
        assert cancelled == [1]

    run(scenario)


# Ends (R16)


def ends(scenario, reason, scope=None, **changed):
    async def main(rig):
        phone = await rig.unlocked()
        await scenario(rig, phone)
        assert ended_of(await phone.hear()) == reason
        assert await phone.is_gone()
        assert rig.control.session is None
        await sleep_ms(0)
        assert not rig.unit._is_open()

    run(main, scope, **changed)


def test_r16_ended_done():
    async def scenario(rig, phone):
        await phone.say(END)

    ends(scenario, "done")


def test_r16_ended_idle():
    async def scenario(rig, phone):
        await sleep_ms(170_000)
        await phone.ask(view(1))
        await sleep_ms(179_000)
        await phone.ask(STATUS)

    ends(scenario, "idle")


def test_r16_ended_lock():
    async def scenario(rig, phone):
        rig.control.session.close("lock")

    ends(scenario, "lock")


def test_r16_ended_expired():
    async def scenario(rig, phone):
        for _ in range(4):
            await sleep_ms(14_000)
            await phone.ask(view(1))

    ends(scenario, "expired", lifetime_s=60)


def test_r16_ended_revoked():
    async def scenario(rig, phone):
        rig.acquisition.revoke(CONNECTION, 1)

    ends(scenario, "revoked")


def test_r16_ended_replaced():
    async def scenario(rig, phone):
        rig.acquisition.accept(phone_message(2), CONNECTION)

    ends(scenario, "replaced")


def test_r3_ended_tampered_told_by_what_is_asked_next():
    async def scenario(rig, phone):
        def flipped():
            raise TamperError("vault_seal")

        rig.store.vault.read = flipped
        await phone.say(view(1))

    ends(scenario, "tampered")


def test_r16_ended_tampered_found_by_another():
    async def scenario(rig, phone):
        rig.detection.latch("remote_rollback")

    ends(scenario, "tampered")


def test_a_request_that_comes_too_late_is_answered_by_the_end():
    async def scenario(rig, phone):
        advance(180_000)
        await phone.say(change(1, 1, (0x11, b"a")))

    ends(scenario, "idle")


def test_an_end_that_nobody_takes_holds_nothing_up_for_long():
    async def scenario(rig):
        phone = await rig.unlocked()
        phone.module_end.stalls = True
        rig.control.session.close("lock")
        await phone.served
        await sleep_ms(0)
        assert not rig.unit._is_open()
        await (await rig.linked()).unlock()

    run(scenario)


def test_r19_a_session_by_each_door_under_one_credential():
    async def scenario(rig):
        for door in (BLE, RELAY, SERIAL_DOOR):
            phone = await rig.unlocked(door)
            assert rig.control.session.door == door
            assert ended_of(await phone.ask(END)) == "done"
            await phone.served
        assert rig.attempts.successes == 3

    run(scenario)


def test_the_keypad_may_work_again_once_the_phone_is_done():
    async def scenario(rig):
        phone = await rig.unlocked()
        await phone.ask(END)
        assert rig.open(KEYPAD).ended is None

    run(scenario)


# The way back from tamper


def test_s19_recover_by_phone():
    async def scenario(rig):
        session = rig.open()
        session.change(1, 1, {0x11: "old"})
        session.close("done")
        rig.detection.latch("vault_seal")
        rig.acquisition.accept(phone_message(2, {"recover": True}), CONNECTION)
        phone = rig.link()
        status = await phone.unlock()
        assert status[-4:] == b"\x00\x00\x00\x03"
        assert error_of(await phone.ask(view(1)))[0] == "not_allowed"
        assert error_of(await phone.ask(change(1, 2, (0x11, b"a"))))[0] == "not_allowed"
        generation, left, repeated = result_of(await phone.ask(WIPE))
        assert (left, repeated, rig.detection.tamper) == (19, 0, None)
        status = await phone.ask(STATUS)
        assert status[-4:] == b"\x3e\x3e\x3e\x02"
        assert error_of(await phone.ask(WIPE))[0] == "not_allowed"
        assert items_of(await phone.ask(view(1)))[0x11] == ""
        assert result_of(await phone.ask(change(1, generation, (0x11, b"new"))))[1:] == (18, 0)

    run(scenario)


def test_nothing_is_heard_from_a_link_that_is_not_the_session_s():
    async def scenario(rig):
        phone = await rig.unlocked()
        other = rig.link(RELAY)
        await other.end.write(phone.seal(head(wire.END, 0, 0)[:1]))
        assert (await other.refusal())[0] == "malformed"
        assert rig.control.session
        with raises(Gone):
            await other.next()

    run(scenario)


def test_a_link_that_takes_no_answer_is_given_up_and_the_session_stays():
    async def scenario(rig):
        phone = await rig.unlocked()
        phone.module_end.stalls = True
        await phone.say(change(1, 1, (0x11, b"a")))
        await phone.served
        assert rig.control.session.generation == 2
        await phone.resume(rig.link().end)
        assert result_of(await phone.ask(change(1, 1, (0x11, b"a")))) == (2, 19, 1)

    run(scenario)


def test_a_carrier_s_own_fault_ends_its_link_alone():
    async def scenario(rig):
        phone = await rig.unlocked()

        async def broken(view):
            raise LinkError("closed")

        phone.module_end.read_into = broken
        await phone.ask(STATUS)
        await phone.served
        await phone.resume(rig.link().end)
        await phone.ask(STATUS)

    run(scenario)
