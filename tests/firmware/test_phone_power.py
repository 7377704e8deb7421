"""R2, R8, R18, S6, S19: the power goes at every operation of flash that a phone asks for, and the phone tries again.

A phone that had no answer asks for the same once more, in a session of its own, with the generation that it had seen.
"""

from phone_cuts import MICROPYTHON, boot, on, operations_of
from phone_rig import PhoneRig, Refused, change, delete, ended_of, error_of, phone_message, result_of
from unit_rig import blank_flash, get, provision

from firmware import settings, wire
from firmware.unique_info import check as check_field
from tests.dual import raises
from tests.power.harness import explore, tally

HEAP = "512wK"  # a phone is in it too, and several chips
TIMEOUT_S = 300

CONNECTION = settings.ISSUER_CONNECTION
# CPython takes all points, and of the second ones one in so many; MicroPython one in so many of the first.
THIN = 1999
MICROPYTHON_SHARES = 13
MAX_FAILURES = 100  # so that torn records, which count as failures, do not end the credential here

FIELDS = ((0x11, "Emma"), (0x12, "1234567"), (0x41, "5500"))
CHANGE = change(1, 1, *[(field_id, text.encode()) for field_id, text in FIELDS])
DELETE = delete(2, 2, settings.GROUP_CUSTOMER)
END = bytes((wire.END,))
WIPE = bytes((wire.WIPE,))
STATUS = bytes((wire.STATUS,))


def run(name, prepare, operation, check):
    """Explore; operation(rig, told) and check(rig, told) are coroutines. Prints how many cuts it were."""

    def told_to(function):
        return lambda device, told: on(device, lambda rig: function(rig, told))

    shard = (len(name) % MICROPYTHON_SHARES, MICROPYTHON_SHARES) if MICROPYTHON else (0, 1)
    # The phone goes on after a cut: it may still read an answer that was on its way.
    done = explore(blank_flash, prepare, told_to(operation), told_to(check), not MICROPYTHON, shard, THIN, rerun=True)
    print(tally("phone: " + name, done))
    assert done["points"] and (MICROPYTHON or done["second_points"])


def with_credential(device, **changed):
    provision(device)
    rig = PhoneRig(device)
    rig.acquisition.accept(phone_message(1, max_failures=MAX_FAILURES, max_successes=100, **changed), CONNECTION)
    return rig


def settle(rig, told):
    """What holds after any cut."""
    attempts = rig.attempts
    events = rig.events()
    assert rig.control.session is None
    # An attempt that came to a session is counted, and no more successes than proofs were sent.
    assert told.count("open") <= attempts.successes_ever <= told.count("prove")
    assert events.count("success") == attempts.successes_ever
    assert attempts.failures + attempts.successes == attempts.attempts >= told.count("open")


async def unlocked(rig, told):
    """A phone with a session, and what it knows by then in `told`."""
    phone = await rig.linked()
    told.append("prove")
    await phone.unlock()
    told.append("open")
    return phone


async def asked(phone, told, name, text, generation):
    """Ask for it, or ask again: afterwards it has been done, and once."""
    told.append("ask " + name)
    answer = await phone.ask(text)
    if answer[0] == wire.RESULT_IS:
        assert (result_of(answer)[0], answer[7]) == (generation, 0)
    else:
        assert error_of(answer)[0] == "stale" and told.count("ask " + name) > 1, answer
    told.append(name)


async def operation_2(rig, told):
    """All of it, or all of it again."""
    phone = await unlocked(rig, told)
    await asked(phone, told, "change", CHANGE, 2)
    await asked(phone, told, "delete", DELETE, 3)
    await phone.say(END)
    assert ended_of(await phone.hear()) == "done"
    told.append("end")


def stored(device):
    return [get(device, field_id) for field_id, _ in FIELDS]


def test_r2_s6_cuts_in_operation_2_which_is_done_once_when_it_is_tried_again():
    versions = ([None] * 3, [check_field(*field) for field in FIELDS])
    versions += ([None, None, versions[1][2]],)

    async def check(rig, told):
        assert rig.detection.tamper is None
        settle(rig, told)
        done = rig.store.vault.generation - 1
        assert done >= ("change" in told) + ("delete" in told)
        assert stored(rig.device) == versions[done]
        # A change that was asked for may be counted, one that was done is.
        assert done <= rig.attempts.changes <= len([what for what in told if what[:4] == "ask "])
        await operation_2(rig, told)
        settle(rig, told)
        assert rig.store.vault.generation == 3 and stored(rig.device) == versions[2]
        events = rig.events()
        assert events.count("change") + events.count("delete") - events.count("undone") == 2

    run("operation 2", with_credential, operation_2, check)


def test_s19_cuts_in_the_way_back_by_phone():
    def prepare(device):
        rig = with_credential(device)
        session = rig.open()
        session.change(1, 1, {0x11: "Emma"})
        session.close("done")
        rig.detection.latch("remote_rollback")
        scope = {"recover": True}
        rig.acquisition.accept(phone_message(2, scope, max_failures=MAX_FAILURES, max_successes=9), CONNECTION)

    async def wipe(rig, told):
        phone = await rig.unlocked()
        status = await phone.ask(STATUS)
        assert status[-1] & wire.STATUS_MAY_WIPE
        assert (await phone.ask(WIPE))[0] == wire.RESULT_IS
        told.append("wiped")
        generation = int.from_bytes((await phone.ask(STATUS))[1:5], "little")
        assert result_of(await phone.ask(change(1, generation, (0x41, b"5500"))))[0] == generation + 1
        told.append("changed")

    async def check(rig, told):
        if rig.detection.tamper:
            assert not told and get(rig.device, 0x41) is None
            await wipe(rig, told)
        assert rig.detection.tamper is None
        assert get(rig.device, 0x11) is None or "over" in told
        assert get(rig.device, 0x41) or "changed" not in told
        assert not rig.store.vault.purge_pending
        if "over" not in told:  # the credential has ended with the wipe, for whoever comes after this session
            if rig.control.session:
                rig.control.session.close("done")
            phone = await rig.linked()
            with raises(Refused) as caught:
                await phone.unlock()
            assert caught.value.code == "no_credential"
            told.append("over")
        rig.acquisition.accept(phone_message(3, max_failures=MAX_FAILURES, max_successes=9), CONNECTION)
        phone = await rig.unlocked()
        generation = rig.store.vault.generation
        assert result_of(await phone.ask(change(1, generation, (0x11, b"anew"))))[0] == generation + 1

    run("wipe", prepare, wipe, check)


def test_r8_who_cuts_the_power_in_each_session_gets_no_more_of_it_than_its_limits():
    successes, changes = 2, 5
    before = blank_flash()
    provision(before)
    limits = {"max_failures": MAX_FAILURES, "max_successes": successes, "max_changes": changes}
    PhoneRig(before).acquisition.accept(phone_message(1, **limits), CONNECTION)
    told_for_good = []

    async def greedy(rig):
        told = [] if rig.device.operations is not None else told_for_good
        phone = await rig.linked()
        try:
            await phone.unlock()
            told.append("open")
            for number in range(1, 4):
                generation = rig.store.vault.generation
                answer = await phone.ask(change(number, generation, (0x11, b"%d" % generation)))
                if answer[0] != wire.RESULT_IS:
                    assert error_of(answer)[0] == "used_up"
                    break
                told.append("change")
        except Refused as error:
            assert error.code == "no_credential", error.code

    points = worst = 0
    for variant, cut in enumerate(operations_of(before, greedy)):
        device = before.fork()
        told_for_good.clear()
        for number in range(9):
            boot(device, greedy, cut if number < 4 else None, variant)
        after = PhoneRig(device)
        points += 4
        assert told_for_good.count("open") <= after.attempts.successes_ever <= successes, (cut, told_for_good)
        assert told_for_good.count("change") <= after.store.vault.generation - 1 <= changes, (cut, told_for_good)
        assert after.acquisition.current() is None
        worst = max(worst, told_for_good.count("open"))
        device.discard()
    print(tally("phone: a session with a cut in each boot", {"points": points, "second_points": 0}))
    assert worst == successes
