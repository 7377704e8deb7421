"""The talk with a server: trust in time, credentials, revocations, acknowledgements, audit, back-off."""

import asyncio

from link_rig import UNIX_TO_2000_S, Endpoint, LinkRig, Refusal
from unit_rig import NOW_S, SERIAL, message, module

from firmware import settings
from firmware.errors import LinkError
from firmware.link.endpoint import ENERGY

INTERPRETERS = ("micropython",)
# Beside the largest request and its text the server, which reads both, is in the heap.
HEAP = {"test_r26_records_fit_the_request_whatever_is_in_them": "256wK"}


def _fail(code):
    def handle(message):
        raise LinkError(code)

    return handle


# Hello


async def test_r7_hello_tells_who_and_what():
    rig = LinkRig()
    await rig.until_asked("poll")
    hello = rig.server.messages("hello")[0]
    assert hello == {
        "protocol": 1,
        "serial": SERIAL,
        "nonce": "01" * 16,
        "firmware": "1.2.3",
        "state": rig.state(),
    }
    assert rig.link.online and rig.link.error is None
    assert rig.link.issuer == settings.ISSUER_CONNECTION


async def test_hello_comes_again_every_ten_minutes():
    rig = LinkRig()
    await rig.until_asked("poll")
    for times in range(2, 5):
        rig.rig.ms += 600_000
        rig.server.push({"credential": None, "revoked": 0})
        await rig.until_asked("hello", times)
        await rig.until_asked("poll", times)
    nonces = [hello["nonce"] for hello in rig.server.messages("hello")]
    assert len(set(nonces)) == 4


async def test_s15_the_servers_time_is_taken_with_this_requests_nonce():
    rig = LinkRig()
    assert rig.rig.clock.now() is None
    await rig.until_asked("poll")
    assert rig.rig.clock.now() == NOW_S


async def test_s15_another_nonce_brings_no_time():
    rig = LinkRig()
    answers = []

    def replay(asked):
        answers.append(rig.server.good_hello(asked))
        answers[-1]["nonce"] = answers[0]["nonce"] if len(answers) > 1 else "00" * 16
        return answers[-1]

    rig.server.hello = replay
    await rig.until_asked("hello", 4)
    assert rig.rig.clock.now() is None
    assert not rig.link.online
    assert rig.link.error == "bad_answer"
    assert not rig.server.messages("poll")


async def test_s15_an_answer_that_was_held_back_brings_no_time():
    for held_ms, taken in ((10_000, True), (10_001, False)):
        rig = LinkRig()

        def late(asked, rig=rig, held_ms=held_ms):
            rig.rig.ms += held_ms
            return rig.server.good_hello(asked)

        rig.server.hello = late
        await rig.until_asked("poll" if taken else "hello", 1 if taken else 2)
        assert (rig.rig.clock.now() is not None) == taken
        assert rig.link.error == (None if taken else "timeout")


async def test_s15_a_time_below_the_floor_is_not_taken_and_credentials_still_come():
    rig = LinkRig()
    rig.server.now = UNIX_TO_2000_S + settings.BUILD_TIME_S - 1
    await rig.until_asked("poll")
    assert rig.rig.clock.now() is None
    assert (rig.link.online, rig.link.error) == (True, "clock")
    rig.server.push({"credential": message(1, lifetime_s=None), "revoked": 0})
    await rig.until_asked("ack")
    assert rig.server.messages("ack")[0]["result"] == "accepted"


async def test_s15_no_other_answer_and_no_other_server_tells_the_time():
    rig = LinkRig(role=ENERGY)
    await rig.until(lambda: rig.link.online)
    assert rig.rig.clock.now() is None

    rig = LinkRig()
    rig.server.now = 0
    await rig.until_asked("poll")
    rig.server.push({"credential": None, "revoked": 0, "now": NOW_S + UNIX_TO_2000_S, "nonce": "01" * 16})
    await rig.until_asked("poll", 2)
    assert rig.rig.clock.now() is None


async def test_s15_answers_of_the_wrong_shape_bring_no_time():
    wrong = (None, "x", "5", 1.5, -1, 1 << 32, True, [], {})
    fields = ("now", "audit_through", "generation", "attempts", "attempts_number", "audit_number", "boot_count")
    for field in fields + ("nonce", "highest"):
        rig = LinkRig()
        tried = []

        def hello(asked, rig=rig, field=field, tried=tried):
            answer = rig.server.good_hello(asked)
            within = answer if field in answer else answer["highest"]
            if len(tried) < len(wrong):
                within[field] = wrong[len(tried)]
            else:
                del within[field]
            tried.append(0)
            return answer

        rig.server.hello = hello
        await rig.until_asked("hello", len(wrong) + 2)
        assert rig.link.error == "bad_answer", field
        assert rig.rig.clock.now() is None
        assert not rig.server.messages("poll")
        await rig.stop()


async def test_s10_a_server_that_has_seen_more_is_told_of():
    for field in ("generation", "attempts", "attempts_number", "audit_number", "boot_count"):
        for more in (0, 1):
            rig = LinkRig()

            def hello(asked, rig=rig, field=field, more=more):
                answer = rig.server.good_hello(asked)
                answer["highest"][field] += more
                return answer

            rig.server.hello = hello
            await rig.until_asked("poll")
            assert rig.rollbacks == more, field
            await rig.stop()


# Credentials


async def test_r7_a_credential_is_taken_and_acknowledged():
    rig = LinkRig()
    await rig.until_asked("poll")
    assert rig.server.messages("poll")[0] == {"protocol": 1, "sequence": 0, "revoked": 0, "wait_s": 25}
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until_asked("poll", 2)
    assert rig.server.messages("ack") == [{"protocol": 1, "sequence": 6, "result": "accepted", "code": None}]
    assert rig.rig.acquisition.current().sequence == 6
    assert rig.server.messages("poll")[1]["sequence"] == 6
    assert rig.server.connections == 1
    assert sum(rig.pauses_ms) == 0


async def test_r7_what_is_wrong_with_a_credential_is_told():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6, w0=5), "revoked": 0})
    await rig.until_asked("ack")
    assert rig.server.messages("ack") == [{"protocol": 1, "sequence": 6, "result": "refused", "code": "bad_w0"}]
    assert rig.rig.acquisition.current() is None


async def test_s7_a_lost_acknowledgement_is_sent_again_and_resets_no_limit():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.server.ack = _fail("closed")
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until_asked("ack", 1)
    rig.rig.fail()
    rig.rig.fail()
    await rig.until_asked("ack", 3)
    rig.server.ack = lambda asked: {"ok": True}
    await rig.until_asked("poll", 2)
    acks = rig.server.messages("ack")
    assert len(acks) == 4
    assert acks.count(acks[0]) == 4
    assert rig.rig.attempts.failures == 2
    assert rig.rig.acquisition.current().failures_left(settings.DOOR_KEYPAD) == 3


async def test_s7_a_credential_that_comes_again_is_acknowledged_and_resets_no_limit():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until_asked("poll", 2)
    rig.rig.fail()
    await rig.until_asked("poll", 2)
    for times, sequence in ((2, 6), (3, 5)):
        rig.server.push({"credential": message(sequence, max_failures=100), "revoked": 0})
        await rig.until_asked("ack", times)
        assert rig.server.messages("ack")[-1] == {
            "protocol": 1,
            "sequence": sequence,
            "result": "ignored",
            "code": None,
        }
        await rig.until_asked("poll", times + 1)
    assert rig.rig.attempts.failures == 1
    assert rig.rig.acquisition.current().max_failures == 5


async def test_an_acknowledgement_that_the_server_will_not_have_is_dropped():
    for refusal, times in ((Refusal(409, "conflict"), 1), (Refusal(500, "internal"), 3), (Refusal(429, "x"), 3)):
        rig = LinkRig()
        await rig.until_asked("poll")

        def ack(asked, rig=rig, refusal=refusal):
            return refusal if len(rig.server.messages("ack")) < 3 else {"ok": True}

        rig.server.ack = ack
        rig.server.push({"credential": message(6), "revoked": 0})
        await rig.until_asked("poll", 2)
        assert len(rig.server.messages("ack")) == times
        await rig.stop()


async def test_r9_a_lifetime_without_trusted_time_is_not_acknowledged():
    rig = LinkRig()
    rig.server.now = 0
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until(lambda: rig.link.error == "no_time")
    await rig.until_asked("hello", 2)
    assert rig.pauses_ms[-1] >= 500
    assert not rig.server.messages("ack")
    await rig.until_asked("poll", 2)
    assert rig.link.error == "clock"
    assert rig.server.messages("poll")[1]["sequence"] == 0


async def test_r8_a_revocation_ends_the_credential():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until_asked("poll", 2)
    session = rig.rig.open()
    await rig.until_asked("poll", 2)
    rig.server.push({"credential": None, "revoked": 6})
    await rig.until_asked("poll", 3)
    assert rig.rig.acquisition.current() is None
    rig.rig.control.tick()
    assert session.ended == "revoked"
    assert rig.server.messages("poll")[-1]["revoked"] == 6
    assert rig.server.messages("hello")[-1]["state"]["credential"]["ended"] == "revoked"


async def test_r8_a_revocation_goes_before_the_credential_that_follows_it():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until_asked("poll", 2)
    rig.server.push({"credential": message(7), "revoked": 6})
    await rig.until_asked("ack", 2)
    assert rig.rig.acquisition.current().sequence == 7
    await rig.until_asked("poll", 3)
    rig.server.push({"credential": message(8), "revoked": 8})
    await rig.until_asked("ack", 3)
    assert rig.server.messages("ack")[-1]["result"] == "ignored"
    assert rig.rig.acquisition.current() is None


async def test_r27_polls_of_the_wrong_shape_do_nothing():
    wrong = [{"credential": None, "revoked": value} for value in (None, "1", 1.5, -1, True, 1 << 32, [], {})]
    wrong += [{"credential": value, "revoked": 0} for value in (0, "x", 1.5, True, False, [], [1])]
    wrong += [{"credential": message(value), "revoked": 0} for value in (None, "1", 0, -1, 1.5, True, 1 << 32, [])]
    wrong += [{}, {"revoked": 0}, {"credential": None}, {"credential": {}, "revoked": 0}]
    rig = LinkRig()
    left = list(wrong)
    rig.server.poll = lambda asked: left.pop(0) if left else None
    for count in range(1, len(wrong) + 1):
        await rig.until_asked("poll", count)
        await rig.until(lambda: not rig.link.online)
        assert rig.link.error == "bad_answer"
        await rig.until_asked("poll", count + 1)
    assert not rig.server.messages("ack")
    assert rig.rig.acquisition.state() is None


async def test_r27_a_server_that_never_waits_is_not_asked_all_the_time():
    rig = LinkRig()
    rig.server.poll = lambda asked: {"credential": None, "revoked": 0}
    await rig.until_asked("poll", 5)
    assert [pause for pause in rig.pauses_ms if pause] == [1000] * (len(rig.server.messages("poll")) - 1)


# At once


async def test_an_alarm_is_raised_at_once():
    rig = LinkRig()
    await rig.until_asked("poll")
    assert len(rig.server.messages("hello")) == 1
    rig.rig.detection.latch("vault_seal")
    rig.link.state_changed()
    await rig.until_asked("hello", 2)
    assert rig.server.messages("hello")[1]["state"]["tamper"] == "vault_seal"
    assert rig.link.error is None
    assert rig.pauses_ms == []
    await rig.until_asked("poll", 2)


async def test_an_alarm_does_not_wait_for_a_back_off():
    rig = LinkRig()
    rig.server.unreachable = "connect"
    rig.hold = asyncio.Event()
    await rig.until(lambda: rig.pauses_ms)
    rig.server.unreachable = None
    rig.link.state_changed()
    await rig.until_asked("hello")


async def test_the_end_of_a_credential_is_told_at_once():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6, max_failures=1), "revoked": 0})
    await rig.until_asked("poll", 2)
    told = len(rig.server.messages("hello"))
    rig.rig.fail()
    await rig.until_asked("hello", told + 1)
    assert rig.server.messages("hello")[-1]["state"]["credential"]["ended"] == "failures"


# Audit


async def test_r26_the_trail_is_uploaded_in_order_and_once():
    rig = LinkRig()
    for _ in range(19):
        rig.rig.audit.record("refused")
    first_hello = rig.server.good_hello

    def hello(asked):
        answer = first_hello(asked)
        answer["audit_through"] = 2
        return answer

    rig.server.hello = hello
    await rig.until_asked("poll")
    sent = [[record["number"] for record in batch["records"]] for batch in rig.server.messages("audit")]
    newest = rig.rig.store.audit.head_number
    assert sent == [list(range(3, 11)), list(range(11, 19)), list(range(19, newest + 1))]
    rig.rig.audit.record("refused")
    rig.server.push({"credential": None, "revoked": 0})
    await rig.until_asked("poll", 2)
    assert [record["number"] for record in rig.server.messages("audit")[-1]["records"]] == [newest + 1]


async def test_r26_records_fit_the_request_whatever_is_in_them():
    rig = LinkRig()
    every = tuple(range(0x11, 0x15)) + tuple(range(0x41, 0x44)) + tuple(range(0x51, 0x57))
    for _ in range(20):
        rig.rig.audit.record("change", fields=every * 3)
    rig.server.hello = lambda asked: dict(rig.server.good_hello(asked), audit_through=0)
    await rig.until_asked("poll")
    numbers = [record["number"] for batch in rig.server.messages("audit") for record in batch["records"]]
    assert numbers == list(range(1, rig.rig.store.audit.head_number + 1))


async def test_what_is_wrong_with_an_upload_keeps_no_credential_away():
    first = 3
    for wrong in (
        Refusal(422, "bad_request"),
        Refusal(500, "internal"),
        {},
        {"through": "9"},
        {"through": first - 1},
        {"through": True},
    ):
        rig = LinkRig()
        rig.rig.audit.record("refused")
        rig.rig.audit.record("refused")
        rig.server.audit = lambda asked, wrong=wrong: wrong
        rig.server.hello = lambda asked, rig=rig: dict(rig.server.good_hello(asked), audit_through=first - 1)
        await rig.until_asked("poll")
        assert len(rig.server.messages("audit")) == 1
        # The next hello gives it another try.
        rig.rig.ms += 600_000
        rig.server.push({"credential": None, "revoked": 0})
        await rig.until_asked("audit", 2)
        await rig.stop()


# Back-off


async def test_pauses_double_and_are_never_alike():
    full = [1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 300000, 300000, 300000]
    for jitter, least, most in ((b"\x00\x00", 100, 100), (b"\xff\xff", 50, 51), (b"\x80\x00", 75, 75)):
        rig = LinkRig(jitter=jitter)
        rig.server.unreachable = "dns"
        await rig.until(lambda rig=rig: len(rig.pauses_ms) >= len(full))
        assert rig.link.error == "dns"
        for pause, whole in zip(rig.pauses_ms, full):
            assert whole * least <= pause * 100 <= whole * most, rig.pauses_ms
        # One success, and it begins anew.
        rig.server.unreachable = None
        await rig.until_asked("poll")
        rig.pauses_ms.clear()
        rig.server.unreachable = "connect"
        rig.server.poll = _fail("closed")
        rig.link.state_changed()
        await rig.until(lambda rig=rig: len(rig.pauses_ms) >= 2)
        assert rig.pauses_ms[0] <= 1000
        await rig.stop()


async def test_retry_after_is_honoured_where_the_api_says_so():
    for status, header, pause_ms in (
        (429, 100, 100_000),
        (503, 100, 100_000),
        (503, 3600, 3_600_000),
        (503, 999_999_999, 3_600_000),
        (503, 0, 750),
        (500, 100, 750),
        (404, 100, 750),
    ):
        rig = LinkRig()
        refusal = Refusal(status, "unavailable", "Retry-After: %d\r\n" % header)
        rig.server.hello = lambda asked, refusal=refusal: refusal
        await rig.until(lambda rig=rig: rig.pauses_ms)
        assert rig.pauses_ms[0] == pause_ms
        assert (rig.link.error, rig.link.server_code) == ("status", "unavailable")
        await rig.stop()


async def test_a_server_that_wants_to_be_left_alone_is_not_woken_for_an_alarm():
    rig = LinkRig()
    rig.hold = asyncio.Event()
    rig.server.hello = lambda asked: Refusal(503, "unavailable", "Retry-After: 100\r\n")
    await rig.until(lambda: rig.pauses_ms)
    rig.link.state_changed()
    for _ in range(50):
        await asyncio.sleep_ms(0)
    assert len(rig.server.messages("hello")) == 1
    # Another server has not said so.
    rig.link.connection_changed()
    await rig.until_asked("hello", 2)


async def test_a_date_that_does_not_fit_asks_for_the_time():
    rig = LinkRig()
    rig.server.unreachable = "tls_date"
    rig.help_error = LinkError("timeout")
    await rig.until(lambda: rig.helped == 3)
    rig.server.unreachable = "tls_ca"
    await rig.until(lambda: rig.link.error == "tls_ca")
    helped = rig.helped
    pauses = len(rig.pauses_ms)
    await rig.until(lambda: len(rig.pauses_ms) > pauses + 2)
    assert rig.helped == helped


async def test_s15_once_the_time_is_trusted_ntp_is_not_asked():
    rig = LinkRig(now=NOW_S)
    rig.server.unreachable = "tls_date"
    await rig.until(lambda: len(rig.pauses_ms) == 3)
    assert rig.helped == 0


# Whom to call


async def test_s18_what_comes_by_the_factory_identity_is_counted_apart():
    rig = LinkRig(module())
    await rig.until_asked("poll")
    rig.server.push({"credential": message(6), "revoked": 0})
    await rig.until_asked("poll", 2)
    rig.endpoints = [Endpoint("maker.example", settings.ISSUER_FACTORY_IDENTITY)]
    rig.link.connection_changed()
    await rig.until_asked("poll", 3)
    host, _, poll = rig.server.requests[-1]
    assert (host, poll["sequence"]) == ("maker.example", 0)
    assert rig.link.issuer == settings.ISSUER_FACTORY_IDENTITY
    rig.server.push({"credential": message(1), "revoked": 0})
    await rig.until_asked("ack", 2)
    assert rig.rig.acquisition.current().issuer == settings.ISSUER_FACTORY_IDENTITY
    assert rig.rig.attempts.highest_connection == 6


async def test_s18_a_connection_that_tls_cannot_use_is_passed_over():
    rig = LinkRig()
    broken = Endpoint("pps.example")
    broken.ca = b"broken"
    rig.unusable = (b"broken",)
    rig.endpoints = [broken, Endpoint("maker.example", settings.ISSUER_FACTORY_IDENTITY)]
    await rig.until_asked("poll")
    assert {host for host, _, _ in rig.server.requests} == {"maker.example"}


async def test_nobody_to_call_is_told_and_looked_at_again():
    rig = LinkRig()
    rig.endpoints = []
    rig.hold = asyncio.Event()
    await rig.until(lambda: rig.link.error == "no_server")
    assert not rig.link.online
    rig.endpoints = [Endpoint()]
    rig.link.connection_changed()
    await rig.until_asked("poll")
    assert rig.link.online


async def test_r25_the_energy_server_is_told_hello_and_nothing_else():
    rig = LinkRig(role=ENERGY)
    await rig.until_asked("hello", 4)
    assert {name for _, name, _ in rig.server.requests} == {"hello"}
    assert sum(rig.pauses_ms) == 3 * settings.LINK_ENERGY_HELLO_S * 1000


async def test_listeners_hear_of_every_change():
    rig = LinkRig()
    heard = []
    rig.link.listeners.append(lambda: heard.append((rig.link.online, rig.link.error)))
    rig.server.unreachable = "connect"
    await rig.until(lambda: len(rig.pauses_ms) == 3)
    rig.server.unreachable = None
    await rig.until_asked("poll")
    assert heard == [(False, "connect"), (True, None)]


async def test_a_link_that_is_stopped_hangs_up():
    rig = LinkRig()
    await rig.until_asked("poll")
    connection = rig.server._waiting
    await rig.stop()
    assert connection.closed
    await rig.until_asked("poll", 2)
    assert rig.server.connections == 2


# Lending


async def test_a_poll_under_way_makes_room_for_who_borrows_the_buffer():
    rig = LinkRig()
    await rig.until_asked("poll")
    lent = asyncio.create_task(rig.link.lend_buffer())
    await rig.until(lent.done)
    assert await lent is rig.link._buffer
    asked = len(rig.server.requests)
    rig.link.state_changed()
    rig.link.connection_changed()
    for _ in range(100):
        await asyncio.sleep_ms(0)
    assert len(rig.server.requests) == asked
    rig.link.take_back()
    await rig.until_asked("poll", 2)
    assert rig.server.messages("hello")[1]["state"] == rig.state()
    assert rig.server.connections == 2


async def test_an_exchange_under_way_ends_before_the_buffer_is_lent():
    rig = LinkRig()
    rig.server.hello = lambda message: None
    await rig.until_asked("hello")
    lent = asyncio.create_task(rig.link.lend_buffer())
    for _ in range(100):
        await asyncio.sleep_ms(0)
    assert not lent.done()
    rig.server.push(rig.server.good_hello(rig.server.messages("hello")[0]))
    await rig.until(lent.done)
    assert rig.link.online
    rig.server.hello = rig.server.good_hello
    rig.link.take_back()
    await rig.until_asked("poll")


async def test_taking_back_what_was_never_lent_changes_nothing_but_the_next_hello():
    rig = LinkRig()
    await rig.until_asked("poll")
    rig.link.take_back()
    await rig.until_asked("poll", 2)
    assert len(rig.server.messages("hello")) == 2
