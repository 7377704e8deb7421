"""R2, R5, R8, R9, S1, S4, S7, S9, S12, S15, S19: the power goes at every operation of flash that a unit asks for."""

import sys

from unit_rig import NOW_S, Rig, blank_flash, get, message, provision

from firmware import settings
from firmware.errors import AuthError
from tests.dual import raises
from tests.power.harness import explore, tally
from tools.sim.chips.flash import PowerCut

TIMEOUT_S = 300
HEAP = "256wK"  # the rig looks at a copy after each cut while the module that was cut is still in the heap

CONNECTION = settings.ISSUER_CONNECTION
KEYPAD = settings.DOOR_KEYPAD
CUSTOMER = settings.GROUP_CUSTOMER
HISTORY = settings.GROUP_USAGE_HISTORY
NAME = 0x11
CERTIFICATE = b"\x30\x03abc"

# MicroPython takes each of so many points; CPython takes all.
MICROPYTHON_SHARES = 6
MAX_FAILURES = 100  # so that torn records, which count as failures, do not end the credential here


def run(name, prepare, operation, check, two_deep=False, shares=1):
    """Explore on CPython all points, on MicroPython a share of them; prints how many."""
    shares *= MICROPYTHON_SHARES if sys.implementation.name == "micropython" else 1
    done = explore(blank_flash, prepare, operation, check, two_deep, (len(name) % shares, shares))
    print(tally("units: " + name, done))
    assert done["points"]


def settle_with_trail(rig):
    """What the audit trail has is what happened."""
    records = list(rig.audit.pending(0, 1000))
    assert [record["event"] for record in records].count("success") == rig.attempts.successes_ever
    made = set()
    for record in records:
        if record["event"] in ("change", "delete", "purged"):
            made.add(record["generation"])
        elif record["event"] == "undone":
            made.remove(record["generation"])
    assert sorted(made) == list(range(2, rig.store.vault.generation + 1))


def start(device):
    """The module after a cut, with what holds for every operation asserted."""
    rig = Rig(device)
    assert rig.detection.tamper is None
    settle_with_trail(rig)
    return rig


def wrong_attempt(rig, told):
    rig.wait_out_delay()
    attempt = rig.control.begin(KEYPAD)
    told.append("judged")
    attempt.failure()


def with_credential(**changed):
    def prepare(device):
        provision(device)
        rig = Rig(device)
        rig.acquisition.accept(message(1, max_failures=MAX_FAILURES, max_successes=100, **changed), CONNECTION)

    return prepare


def test_r9_s1_cuts_in_an_attempt_that_fails_two_deep():
    def operation(device, told):
        wrong_attempt(Rig(device), told)

    def check(device, told):
        rig = start(device)
        assert rig.attempts.failures >= told.count("judged")
        assert rig.events().count("failure") >= told.count("judged")
        assert rig.acquisition.current().sequence == 1
        wrong_attempt(rig, told)
        assert rig.attempts.failures >= told.count("judged")

    run("failed attempt", with_credential(), operation, check, two_deep=True)


def test_r8_cuts_in_an_attempt_that_succeeds():
    def operation(device, told):
        rig = Rig(device)
        wrong_attempt(rig, told)
        rig.open()
        told.append("open")

    def check(device, told):
        rig = start(device)
        assert rig.attempts.successes_ever >= told.count("open")
        assert rig.attempts.failures >= told.count("judged")
        assert rig.control.session is None
        rig.open()
        told.append("open")
        assert rig.attempts.successes == rig.attempts.successes_ever >= told.count("open")
        assert rig.attempts.failures >= told.count("judged")

    run("attempt", with_credential(), operation, check)


def test_r8_cuts_in_the_last_success():
    def operation(device, told):
        rig = Rig(device)
        rig.open()
        told.append("open")

    def check(device, told):
        rig = start(device)
        if told:
            assert rig.attempts.ended == settings.ENDED_SUCCESSES
        if rig.attempts.successes:
            assert rig.acquisition.current() is None
            assert rig.store.credential.read() is None
            with raises(AuthError):
                rig.open()
        else:
            rig.open()

    def prepare(device):
        provision(device)
        Rig(device).acquisition.accept(message(1, max_successes=1), CONNECTION)

    run("last success", prepare, operation, check)


def test_s8_cuts_in_the_factory_credentials_only_success():
    def operation(device, told):
        Rig(device).open()
        told.append("open")

    def check(device, told):
        rig = start(device)
        if told or rig.attempts.successes_ever:
            assert rig.acquisition.current() is None
            assert rig.store.factory.read() is None
        else:
            rig.open()
            assert rig.store.factory.read() is None

    run("factory success", lambda device: provision(device, True, factory_failures=9), operation, check)


def test_s7_cuts_while_a_credential_comes():
    def operation(device, told):
        rig = Rig(device)
        wrong_attempt(rig, told)
        assert rig.acquisition.accept(message(2, lifetime_s=600), CONNECTION) == ("accepted", None)
        told.append("accepted")

    def check(device, told):
        rig = start(device)
        current = rig.acquisition.current()
        if "accepted" in told:
            assert current.sequence == 2
        if current.sequence == 1:
            assert rig.attempts.failures >= told.count("judged")
        else:
            assert current.sequence == 2
            assert rig.attempts.highest_connection == 2
        # It was not acknowledged, so it may come again.
        assert rig.acquisition.accept(message(2, lifetime_s=600), CONNECTION)[0] in ("accepted", "ignored")
        assert rig.acquisition.current().sequence == 2
        assert rig.control.status().seconds_left <= 600
        rig.open()

    run("accept", with_credential(), operation, check)


def test_s4_cuts_while_a_credential_is_revoked():
    def operation(device, told):
        Rig(device).acquisition.revoke(CONNECTION, 1)
        told.append("ended")

    def check(device, told):
        rig = start(device)
        current = rig.acquisition.current()
        if told or rig.attempts.revoked_connection:
            assert current is None and rig.attempts.ended == settings.ENDED_REVOKED
            assert rig.store.credential.read() is None
        else:
            assert current.sequence == 1
        assert rig.acquisition.accept(message(2), CONNECTION) == ("accepted", None)
        rig.open()

    run("revocation", with_credential(), operation, check)


def test_r8_s4_cuts_in_the_last_failure():
    def prepare(device):
        provision(device)
        rig = Rig(device)
        rig.acquisition.accept(message(1, max_failures=2), CONNECTION)
        wrong_attempt(rig, [])

    def operation(device, told):
        rig = Rig(device)
        wrong_attempt(rig, told)
        assert rig.acquisition.current() is None
        told.append("ended")

    def check(device, told):
        rig = start(device)
        assert rig.attempts.failures >= 1 + told.count("judged")
        if told or rig.attempts.failures > 1:
            assert rig.control.status().state == "locked"
            assert rig.acquisition.current() is None and rig.attempts.ended == settings.ENDED_FAILURES
            assert rig.store.credential.read() is None
            with raises(AuthError):
                rig.open()
        else:
            assert rig.acquisition.current().failures_left(KEYPAD) == 1
        assert rig.acquisition.accept(message(2), CONNECTION) == ("accepted", None)
        rig.open()

    run("last failure", prepare, operation, check)


def test_r8_s4_cuts_while_a_credential_expires():
    lifetime_s = 120  # a restart alone takes a minute of it

    def prepare(device):
        provision(device)
        Rig(device).acquisition.accept(message(1, lifetime_s=lifetime_s), CONNECTION)

    def operation(device, told):
        rig = Rig(device, now=None)
        rig.clock.set_from_server(NOW_S + lifetime_s - 1)
        session = rig.open()
        told.append("open")
        rig.pass_s(1)
        assert session.ended == "expired" and rig.acquisition.current() is None
        told.append("expired")

    def check(device, told):
        rig = Rig(device, now=None)
        settle_with_trail(rig)
        # Without trusted time it opens nothing, whatever was written.
        with raises(AuthError):
            rig.open()
        if "expired" in told:
            assert rig.attempts.ended == settings.ENDED_EXPIRED
        # The server was right once, so no later time is before that.
        rig.clock.set_from_server(NOW_S + lifetime_s)
        assert rig.acquisition.current() is None
        assert rig.attempts.ended == settings.ENDED_EXPIRED
        assert rig.store.credential.read() is None
        with raises(AuthError):
            rig.open()
        assert rig.attempts.successes_ever >= told.count("open")
        assert rig.acquisition.accept(message(2), CONNECTION) == ("accepted", None)
        rig.open()

    run("expiry", prepare, operation, check)


def changed(device):
    with_credential()(device)
    rig = Rig(device)
    rig.open().change(1, 1, {NAME: "old"})


def test_r2_s9_cuts_in_a_change_one_and_two_deep():
    def operation(device, told):
        rig = Rig(device)
        session = rig.open()
        before = rig.attempts.changes
        session.change(1, session.generation, {NAME: "new"})
        told.append("new")
        assert rig.attempts.changes == before + 1

    def check(device, told):
        rig = start(device)
        value = get(device, NAME)
        assert value == (b"newer" if "newer" in told else value)
        assert value in (b"old", b"new", b"newer")
        if "new" in told:
            assert value != b"old"
        assert rig.attempts.changes >= 1 + len(told)
        session = rig.open()
        session.change(1, session.generation, {NAME: "newer"})
        told.append("newer")
        assert session.view(NAME) == "newer"
        settle_with_trail(rig)

    run("change", changed, operation, check)
    # A check makes a change of its own, so each first cut has as many second ones.
    run("change, cut twice", changed, operation, check, two_deep=True, shares=24)


def test_r8_cuts_in_the_last_change():
    def prepare(device):
        provision(device)
        Rig(device).acquisition.accept(message(1, max_changes=1), CONNECTION)

    def operation(device, told):
        rig = Rig(device)
        session = rig.open()
        session.change(1, session.generation, {NAME: "new"})
        told.append("new")

    def check(device, told):
        rig = start(device)
        value = get(device, NAME)
        assert value == b"new" if told else value in (None, b"new")
        if value:
            assert rig.attempts.changes == 1
            assert rig.acquisition.current() is None
            assert rig.store.credential.read() is None

    run("last change", prepare, operation, check)


def test_r5_cuts_in_a_deletion():
    def operation(device, told):
        rig = Rig(device)
        session = rig.open()
        session.delete(1, session.generation, CUSTOMER)
        told.append("deleted")

    def check(device, told):
        rig = start(device)
        value = get(device, NAME)
        assert value is None if told else value in (None, b"old")
        session = rig.open()
        session.delete(1, session.generation, CUSTOMER)
        assert session.view(NAME) == ""
        settle_with_trail(rig)

    run("deletion", changed, operation, check)


def test_s12_cuts_in_a_purge_of_the_usage_history():
    def prepare(device):
        changed(device)
        rig = Rig(device)
        session = rig.open()
        session.change(1, session.generation, {0x14: "PPS-1"})  # gives it a key
        for sector in (48, 49, 191):
            device.program(sector * 4096 + 128, b"half-hour values")
        told_key.append(get(device, 0x21))

    told_key = []

    def operation(device, told):
        rig = Rig(device)
        session = rig.open()
        session.delete(1, session.generation, HISTORY)
        told.append("deleted")

    def check(device, told):
        rig = start(device)
        key = get(device, 0x21)
        assert not rig.store.vault.purge_pending
        assert len(key) == 64
        if told or key != told_key[0]:
            assert key != told_key[0]
            for sector in range(48, 192):
                assert device.sector(sector) == b"\xff" * 4096
        else:
            assert device.sector(48)[128:132] == b"half"
        assert get(device, NAME) == b"old"
        session = rig.open()
        session.change(1, session.generation, {NAME: "old"})

    run("purge", prepare, operation, check)


def test_s7_sa_cuts_while_the_connection_changes():
    line = {0x51: "https://pps.example", 0x53: CERTIFICATE, 0x54: CERTIFICATE, 0x55: b"\x07" * 32}

    def operation(device, told):
        rig = Rig(device)
        session = rig.open()
        session.change_connection(1, session.generation, line)
        told.append("connected")

    def check(device, told):
        rig = start(device)
        url = get(device, 0x51)
        assert url == b"https://pps.example" if told else url in (None, b"https://pps.example")
        if url:  # the new server's numbers count, the old one's credential is over
            assert rig.acquisition.highest(CONNECTION) == 0
            assert rig.acquisition.current() is None
            assert rig.acquisition.accept(message(1), CONNECTION) == ("accepted", None)
        else:
            assert rig.acquisition.highest(CONNECTION) == 1
        rig.open()

    run("connection", with_credential(), operation, check)


def test_s19_cuts_while_tamper_latches():
    def operation(device, told):
        Rig(device).detection.latch("remote_rollback")  # the one that no restart finds again
        told.append("latched")

    def check(device, told):
        rig = Rig(device)
        assert rig.detection.tamper in (("remote_rollback",) if told else (None, "remote_rollback"))
        assert rig.events().count("tamper") == (1 if rig.detection.tamper else 0)
        assert rig.acquisition.current().sequence == 1
        rig.detection.latch("remote_rollback")  # the server says it with each hello
        told.append("latched")
        rig = Rig(device)
        assert rig.detection.tamper == "remote_rollback"
        assert rig.events().count("tamper") == 1
        with raises(AuthError):
            rig.open()

    run("tamper", with_credential(), operation, check)


def test_s19_cuts_in_the_way_back():
    def prepare(device):
        changed(device)
        rig = Rig(device)
        rig.detection.latch("remote_rollback")
        scope = {"recover": True}
        rig.acquisition.accept(message(2, scope, max_failures=MAX_FAILURES, max_successes=9), CONNECTION)

    def operation(device, told):
        rig = Rig(device)
        rig.open().wipe()
        told.append("wiped")

    def check(device, told):
        rig = Rig(device)
        if rig.detection.tamper:
            assert not told
            rig.open().wipe()
        assert rig.detection.tamper is None
        assert rig.attempts.ended == settings.ENDED_WIPED
        rig = Rig(device)
        assert rig.detection.tamper is None
        assert get(device, NAME) is None
        assert not rig.store.vault.purge_pending
        assert rig.acquisition.current() is None
        assert rig.acquisition.accept(message(3), CONNECTION) == ("accepted", None)
        session = rig.open()
        session.change(1, session.generation, {NAME: "anew"})

    run("wipe", prepare, operation, check)


def test_s15_sb_cuts_while_time_is_kept():
    def operation(device, told):
        rig = Rig(device)
        told.append(rig.clock.boot_count)
        for _ in range(3):
            rig.pass_s(60)
            told.append(rig.clock.powered_s())

    def check(device, told):
        rig = start(device)
        if told:
            assert rig.clock.boot_count > told[0]
        assert rig.clock.powered_s() >= (told[-1] if len(told) > 1 else 0)
        assert rig.attempts.failures == 0  # a torn tick is no attempt
        rig.pass_s(60)

    run("ticks", with_credential(), operation, check)


def guess(device):
    """One boot of an attacker who guesses and leaves: True if the guess could be judged."""
    rig = Rig(device)
    rig.wait_out_delay()
    try:
        rig.control.begin(KEYPAD)
    except AuthError as error:
        assert error.code in ("locked", "no_credential")
        return False
    return True


def operations_of_a_boot(device):
    """The most operations of flash that one boot of an attacker has, as long as he may guess."""
    most = 0
    device = device.fork()
    guessing = True
    while guessing:
        device.record()
        guessing = guess(device)
        most = max(most, len(device.operations))
    return most


def guesses_with_cuts(device, cut, variant, boots):
    """The guesses he gets if he also cuts the power in that operation of each boot, in that way."""
    guesses = 0
    for _ in range(boots):
        uncut = device.fork()
        uncut.record()
        guess(uncut)
        if cut < len(uncut.operations):
            kinds = device.torn_kinds(uncut.operations[cut])
            device.cut_at(cut, kinds[variant % len(kinds)])
        try:
            guesses += guess(device)
        except PowerCut:
            pass
        device.power_on()
    # What is left to somebody who does not cut.
    while guess(device):
        guesses += 1
    return guesses


def test_s1_an_attacker_who_leaves_and_cuts_never_gets_more_guesses_than_the_limit():
    limit = 3
    before = blank_flash()
    provision(before)
    Rig(before).acquisition.accept(message(1, max_failures=limit), CONNECTION)
    micropython = sys.implementation.name == "micropython"
    points = worst = 0
    for cut in range(operations_of_a_boot(before)):
        for variant in range(0, 9, 4 if micropython else 1):
            points += 1
            guesses = guesses_with_cuts(before.fork(), cut, variant, 8)
            assert guesses <= limit, (cut, variant, guesses)
            worst = max(worst, guesses)
    print(tally("units: guesses with a cut in each boot", {"points": points, "second_points": 0}))
    assert worst == limit
