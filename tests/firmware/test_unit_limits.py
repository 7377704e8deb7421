"""R8, R9, S5, S6, S7: every limit of a credential, and that nothing gets round one."""

from unit_rig import NOW_S, Rig, message, module

from firmware import settings
from firmware.errors import AuthError, SessionError, TimeError
from tests.dual import raises
from tools.sim.chips.flash import PowerCut

CONNECTION = settings.ISSUER_CONNECTION
FACTORY_IDENTITY = settings.ISSUER_FACTORY_IDENTITY
BLE = settings.DOOR_BLE
RELAY = settings.DOOR_RELAY


def with_credential(**changed):
    rig = module()
    assert rig.acquisition.accept(message(**changed), CONNECTION) == ("accepted", None)
    return rig


def refused(rig, door=settings.DOOR_KEYPAD):
    """The code with which a door is refused now."""
    rig.wait_out_delay()
    with raises(AuthError) as caught:
        rig.control.begin(door)
    return caught.value.code


def test_r8_a_session_opens_and_states_what_is_left():
    rig = with_credential()
    status = rig.control.status()
    assert (status.state, status.failures_left, status.seconds_left, status.tamper) == ("waiting", 5, 86_400, None)
    session = rig.open()
    assert rig.control.session is session
    assert rig.control.status().state == "busy"
    assert session.changes_left == 20


def test_r8_lifetime_ends_a_credential_by_elapsed_time():
    rig = with_credential(lifetime_s=3600)
    rig.pass_s(3599)
    assert rig.control.status().state == "waiting"
    rig.pass_s(1)
    assert refused(rig) == "no_credential"
    assert rig.acquisition.state()["ended"] == "expired"


def test_r8_expiry_ends_an_open_session():
    rig = with_credential(lifetime_s=120)
    session = rig.open()
    assert session.ended is None
    rig.pass_s(60)
    session.touch()
    rig.pass_s(60)
    assert session.ended == "expired"
    assert rig.control.session is None


def test_r8_expiry_ends_a_session_whose_credential_is_used_up_already():
    rig = with_credential(lifetime_s=120, max_successes=1)
    session = rig.open()
    assert rig.acquisition.current() is None
    rig.pass_s(60)
    session.touch()
    assert session.ended is None
    rig.pass_s(60)
    assert session.ended == "expired"


def test_r9_a_lifetime_goes_on_across_a_reboot_and_while_the_power_is_off():
    rig = with_credential(lifetime_s=3600)
    rig.pass_s(600)
    later = Rig(rig.device, now=NOW_S + 3599)
    assert later.control.status().state == "waiting"
    assert Rig(rig.device, now=NOW_S + 3600).acquisition.current() is None


def test_r9_powered_on_time_ends_a_credential_when_the_servers_clock_stands_still():
    rig = with_credential(lifetime_s=3600)
    for _ in range(100):
        rig.pass_s(59)  # cut just before each tick
        rig = Rig(rig.device, now=NOW_S)
        if rig.acquisition.current() is None:
            break
    assert rig.acquisition.state()["ended"] == "expired"
    assert rig.clock.boot_count <= 61


def test_s15_powered_on_seconds_never_fall_behind_while_a_lifetime_runs():
    rig = with_credential(lifetime_s=86_400)
    real = 0
    for seconds in (59, 1, 30, 61, 119, 3, 7, 240, 59, 59):
        rig.pass_s(seconds)
        real += seconds
        rig = Rig(rig.device, now=None)
        assert rig.clock.powered_s() >= real


def test_s15_setting_the_clock_back_is_refused_and_ends_nothing_later():
    rig = with_credential(lifetime_s=3600)
    rig.pass_s(1800)
    with raises(TimeError):
        rig.clock.set_from_server(NOW_S - 1)
    rig.clock.set_from_server(NOW_S + 1800)
    with raises(TimeError):
        rig.clock.set_from_server(NOW_S + 1799)
    assert rig.clock.now() == NOW_S + 1800
    rig.pass_s(1800)
    assert rig.acquisition.current() is None


def test_s15_the_floor_survives_a_reboot_and_a_tick():
    rig = module()
    rig.pass_s(60)
    rig.clock.set_from_server(NOW_S + 1000)
    rig.pass_s(600)
    rebooted = Rig(rig.device, now=None)
    with raises(TimeError):
        rebooted.clock.set_from_server(NOW_S + 999)
    rebooted.clock.set_from_server(NOW_S + 1000)
    with raises(TimeError):
        module(now=settings.BUILD_TIME_S - 1)


def test_r9_without_trusted_time_a_lifetime_is_not_accepted():
    rig = module(now=None)
    with raises(TimeError):
        rig.acquisition.accept(message(), CONNECTION)
    assert rig.acquisition.highest(CONNECTION) == 0
    assert rig.acquisition.accept(message(lifetime_s=None), CONNECTION) == ("accepted", None)
    assert rig.control.status().state == "waiting"


def test_r9_without_trusted_time_a_lifetime_does_not_count_as_usable():
    rig = with_credential()
    rebooted = Rig(rig.device, now=None)
    assert rebooted.control.status().state == "no_time"
    assert refused(rebooted) == "no_time"
    rebooted.clock.set_from_ntp(NOW_S)
    assert refused(rebooted) == "no_time"
    rebooted.clock.set_from_server(NOW_S)
    rebooted.open()


def test_r8_used_up_successes_bar_new_sessions_and_let_the_open_one_finish():
    rig = with_credential(max_successes=2)
    rig.open().close("done")
    session = rig.open()
    assert rig.acquisition.state()["ended"] == "successes"
    generation = session.change(1, session.generation, {0x11: "山田"}).generation
    assert session.change(2, generation, {0x13: "東京都"}).generation == generation + 1
    session.close("done")
    assert refused(rig) == "no_credential"
    assert refused(Rig(rig.device)) == "no_credential"


def test_r8_used_up_changes_bar_new_sessions_and_changes():
    rig = with_credential(max_changes=2)
    session = rig.open()
    assert session.change(1, 1, {0x11: "山田"}).changes_left == 1
    assert session.delete(2, 2, settings.GROUP_CUSTOMER).changes_left == 0
    with raises(SessionError) as caught:
        session.change(3, 3, {0x11: "山田"})
    assert caught.value.code == "used_up"
    assert session.view(0x11) == ""
    session.close("done")
    assert refused(rig) == "no_credential"
    assert rig.acquisition.state()["ended"] == "changes"


def test_r8_used_up_failures_lock():
    rig = with_credential(max_failures=3)
    for left in (2, 1, 0):
        error = rig.fail()
        assert (error.code, error.failures_left) == ("wrong", left)
    assert refused(rig) == "locked"
    rig = Rig(rig.device)
    assert rig.control.status().state == "locked"
    assert rig.acquisition.accept(message(2), CONNECTION) == ("accepted", None)
    rig.open()


def test_r8_a_success_on_the_last_attempt_counts():
    rig = with_credential(max_failures=2)
    rig.fail()
    rig.wait_out_delay()
    attempt = rig.control.begin(settings.DOOR_KEYPAD)
    assert rig.control.status().failures_left == 0  # asked by the panel meanwhile
    assert attempt.success().ended is None
    assert rig.attempts.failures == 1


def test_r8_revocation_ends_an_open_session():
    rig = with_credential(sequence=5)
    session = rig.open()
    heard = []
    session.listeners.append(lambda: heard.append(session.ended))
    rig.acquisition.revoke(CONNECTION, 4)
    assert session.ended is None
    rig.acquisition.revoke(CONNECTION, 5)
    assert heard == ["revoked"]
    with raises(SessionError):
        session.view(0x11)
    assert refused(rig) == "no_credential"
    assert rig.acquisition.state()["ended"] == "revoked"


def test_r8_revocation_ends_the_session_of_a_used_up_credential():
    rig = with_credential(sequence=5, max_successes=1)
    session = rig.open()
    assert rig.acquisition.state()["ended"] == "successes"
    rig.acquisition.revoke(CONNECTION, 5)
    assert session.ended == "revoked"


def test_r8_a_revocation_reaches_a_credential_that_came_by_the_other_identity():
    rig = module()
    rig.acquisition.accept(message(5), FACTORY_IDENTITY)
    session = rig.open()
    rig.acquisition.revoke(CONNECTION, 5)
    assert session.ended == "revoked"
    assert Rig(rig.device).acquisition.current() is None


def test_r8_what_was_revoked_before_it_came_is_ignored():
    rig = module()
    rig.acquisition.revoke(CONNECTION, 7)
    assert rig.acquisition.accept(message(7), CONNECTION) == ("ignored", None)
    assert rig.acquisition.accept(message(8), CONNECTION) == ("accepted", None)


def test_r8_a_replacement_ends_the_old_credential_and_its_session():
    rig = with_credential(sequence=1)
    session = rig.open()
    assert rig.acquisition.accept(message(2, max_failures=7), CONNECTION) == ("accepted", None)
    assert session.ended == "replaced"
    assert rig.control.status().failures_left == 7
    assert Rig(rig.device).acquisition.current().sequence == 2


def test_s7_redelivery_never_resets_a_limit():
    rig = with_credential(sequence=3)
    rig.fail()
    rig.open().close("done")
    before = rig.acquisition.state()
    for number in (3, 2, 1):
        assert rig.acquisition.accept(message(number), CONNECTION) == ("ignored", None)
        rig = Rig(rig.device)
    assert rig.acquisition.state() == before
    rig.acquisition.end(settings.ENDED_REVOKED)
    assert rig.acquisition.accept(message(3), CONNECTION) == ("ignored", None)
    assert rig.acquisition.current() is None
    assert rig.acquisition.accept(message(3), FACTORY_IDENTITY) == ("accepted", None)  # its own numbers


def test_s7_only_another_server_begins_to_count_anew():
    rig = with_credential(sequence=9)
    rig.acquisition.use_server(b"https://a.example")
    assert rig.acquisition.current() is None  # the old server's
    rig.acquisition.accept(message(4), CONNECTION)
    rig.acquisition.use_server(b"https://a.example")
    rig = Rig(rig.device)
    assert rig.acquisition.accept(message(4), CONNECTION) == ("ignored", None)
    rig.acquisition.use_server(b"https://b.example")
    assert rig.acquisition.accept(message(1), CONNECTION) == ("accepted", None)


def test_s5_ble_and_relay_cannot_spend_the_last_two_failures():
    rig = with_credential(max_failures=5)
    for door in (BLE, RELAY, BLE):
        rig.fail(door)
    assert refused(rig, BLE) == refused(rig, RELAY) == "locked"
    assert rig.control.status(BLE).state == "locked"
    assert rig.control.status().failures_left == 2
    rig.open()


def test_s5_failures_at_the_keypad_count_for_every_door():
    rig = with_credential(max_failures=4)
    rig.fail()
    rig.fail(BLE)
    assert refused(rig, BLE) == "locked"


def test_r13_each_failure_makes_the_next_answer_slower():
    rig = with_credential(max_failures=10)
    delays = [rig.fail().delay_ms for _ in range(9)]
    assert delays == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
    with raises(AuthError) as caught:
        rig.control.begin(settings.DOOR_KEYPAD)
    assert caught.value.code == "delayed"
    assert rig.attempts.failures == 9  # not counted
    rig.open()
    assert rig.control.delay_ms() == 0


def test_s5_a_reboot_begins_the_whole_delay_anew():
    rig = with_credential()
    for _ in range(4):
        rig.fail()
    rig.ms += 7_999
    assert rig.control.delay_ms() == 1
    rebooted = Rig(rig.device)
    assert rebooted.control.delay_ms() == 8_000
    rebooted.acquisition.accept(message(2), CONNECTION)
    assert rebooted.control.delay_ms() == 8_000


def test_s1_an_attempt_that_is_left_stays_a_failure():
    rig = with_credential()
    attempt = rig.control.begin(BLE)
    with raises(AuthError) as caught:
        rig.control.begin(settings.DOOR_KEYPAD)
    assert caught.value.code == "busy"
    rig.pass_s(60)
    assert rig.attempts.failures == 1
    with raises(AuthError):
        attempt.success()
    assert rig.control.session is None
    assert Rig(rig.device).attempts.failures == 1
    rig.open()


def test_s1_a_credential_that_ends_during_the_proof_opens_nothing():
    for spoil in (
        lambda rig: rig.acquisition.accept(message(1001), CONNECTION),
        lambda rig: rig.acquisition.revoke(CONNECTION, 1000),
        lambda rig: rig.pass_s(86_400),
        lambda rig: rig.detection.latch("vault_seal"),
    ):
        rig = with_credential(sequence=1000)
        attempt = rig.control.begin(settings.DOOR_KEYPAD)
        spoil(rig)
        with raises(AuthError):
            attempt.success()
        assert rig.control.session is None
        assert rig.attempts.successes_ever == 0


def test_s13_failures_outlive_several_turns_of_the_ring():
    rig = with_credential(sequence=1000, max_failures=100)
    for number in range(1, 71):
        rig.fail()
        if number % 7 == 0:
            rig = Rig(rig.device)
        assert rig.attempts.failures == number
        for _ in range(4):  # other records, of no consequence
            rig.acquisition.revoke(FACTORY_IDENTITY, rig.acquisition.revoked(FACTORY_IDENTITY) + 1)
    assert rig.attempts.attempts == 70
    assert rig.store.attempts.first_number > 2 * 124


def test_r8_s2_s3_bad_limits_and_types_are_refused():
    rig = module()
    bad = (
        ("bad_limits", {"iterations": 999}),
        ("bad_limits", {"iterations": 100_001}),
        ("bad_limits", {"iterations": True}),
        ("bad_limits", {"iterations": 2000.0}),
        ("bad_limits", {"password_digits": 7}),
        ("bad_limits", {"password_digits": 17}),
        ("bad_limits", {"lifetime_s": 0}),
        ("bad_limits", {"lifetime_s": 59}),
        ("bad_limits", {"lifetime_s": 31_536_001}),
        ("bad_limits", {"lifetime_s": "86400"}),
        ("bad_limits", {"max_successes": 0}),
        ("bad_limits", {"max_successes": 1001}),
        ("bad_limits", {"max_failures": 0}),
        ("bad_limits", {"max_failures": 101}),
        ("bad_limits", {"max_failures": False}),
        ("bad_limits", {"max_changes": -1}),
        ("bad_limits", {"max_changes": None}),
        ("bad_limits", {"sequence": 0}),
        ("bad_limits", {"sequence": True}),
        ("bad_limits", {"sequence": 1 << 32}),
        ("bad_w0", {"w0": "00" * 32}),
        ("bad_w0", {"w0": "ff" * 32}),
        ("bad_w0", {"w0": "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"}),
        ("bad_w0", {"w0": "12" * 31}),
        ("bad_w0", {"w0": "1g" * 32}),
        ("bad_w0", {"w0": 5}),
        ("bad_w0", {"salt": "00" * 15}),
        ("bad_w0", {"salt": None}),
        ("bad_l", {"l": "00"}),
        ("bad_l", {"l": "04" + "00" * 64}),
        ("bad_l", {"l": message()["l"][:-1] + "6"}),
        ("bad_l", {"l": "02" + message()["l"][2:]}),
        ("bad_scope", {"scope": None}),
        ("bad_scope", {"scope": {"see": [], "change": [], "delete": []}}),
        ("bad_scope", {"scope": {"see": ["garden"], "change": [], "delete": [], "recover": False}}),
        ("bad_scope", {"scope": {"see": "site", "change": [], "delete": [], "recover": False}}),
        ("bad_scope", {"scope": {"see": [1], "change": [], "delete": [], "recover": False}}),
        ("bad_scope", {"scope": {"see": [], "change": [], "delete": [], "recover": 1}}),
    )
    for code, change in bad:
        wrong = message()
        wrong.update(change)
        assert rig.acquisition.accept(wrong, CONNECTION) == ("refused", code), change
    assert rig.acquisition.state() is None
    assert rig.acquisition.current() is None
    assert rig.acquisition.accept(message(1, unknown_field=1), CONNECTION) == ("accepted", None)


def newest_attempt(rig):
    """Flash address of the newest record of the attempts ring."""
    head = 0
    for sector in range(22, 26):
        for place in range(1, 32):
            address = sector * 4096 + place * 128
            if rig.device.sector(sector)[place * 128 : place * 128 + 128] != b"\xff" * 128:
                head = address
    return head


def test_s13_a_torn_attempt_counts_as_a_failure():
    rig = with_credential(max_failures=3)
    for failures, torn in ((1, ("bytes", 60, 0)), (2, ("weak", 0, 0x55)), (3, ("bytes", 127, 0x30))):
        rig.wait_out_delay()
        rig.device.cut_at(0, torn)
        try:
            rig.control.begin(settings.DOOR_KEYPAD)
            raise AssertionError("no cut")
        except PowerCut:
            rig.device.power_on()
        rig = Rig(rig.device)
        assert rig.attempts.failures == rig.attempts.attempts == failures
        assert rig.control.delay_ms() == 1000 << failures - 1
        assert rig.events().count("failure") == failures
    assert refused(rig) == "locked"


def test_s13_a_flipped_record_gives_no_failure_back():
    rig = with_credential()
    rig.fail()
    rig.fail()
    rig.device.flip_bit(newest_attempt(rig) + 40, 3)
    rig = Rig(rig.device)
    assert rig.attempts.failures == 2
    rig.open().close("done")
    rig.device.flip_bit(newest_attempt(rig) + 40, 3)  # the success
    rig = Rig(rig.device)
    assert (rig.attempts.failures, rig.attempts.successes) == (4, 0)


def test_s13_a_torn_record_counts_against_the_factory_credential_where_that_is_judged():
    rig = module(factory=True, factory_failures=2)
    for _ in range(2):
        rig.wait_out_delay()
        rig.device.cut_at(0, ("bytes", 60, 0))
        try:
            rig.control.begin(settings.DOOR_KEYPAD)
        except PowerCut:
            rig.device.power_on()
        rig = Rig(rig.device)
    assert rig.attempts.factory_failures == 2
    assert rig.acquisition.current() is None


def test_sb_a_tick_copied_into_the_attempts_ring_counts_as_a_failure():
    rig = with_credential()
    free = newest_attempt(rig) + 128
    rig.device.program(free, rig.device.sector(26)[128:256])
    assert Rig(rig.device).attempts.failures == 1
