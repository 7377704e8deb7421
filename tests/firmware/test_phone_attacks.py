"""S1, S2, S3, S5, S13: what attacks across doors and power cuts give to whoever mounts them.

The first is attack B of docs/security.md, the other the first half of E.
"""

from phone_cuts import MICROPYTHON, boot, operations_of
from phone_rig import BLE, KEYPAD, RELAY, SERIAL_DOOR, Gone, PhoneRig, Refused, phone_message, run
from unit_rig import ID, PASSWORD, blank_flash, provision
from virtual_time import now_ms, sleep_ms

from firmware import settings, wire
from firmware.errors import AuthError
from tests.power.harness import tally

HEAP = "512wK"  # a phone is in it too, and several chips
TIMEOUT_S = 300

CONNECTION = settings.ISSUER_CONNECTION
WRONG = "00000000"


# B

DOORS = (BLE, RELAY, SERIAL_DOOR, KEYPAD)
STRICT_DOORS = (BLE, RELAY)  # of which two failures are kept


async def leave_after_info(phone):
    await phone.info()


async def leave_after_share_p(phone):
    phone.begin(password=WRONG)
    await phone.send(wire.SHARE_P, phone.share_p)
    await sleep_ms(100)


async def leave_within_share_p(phone):
    phone.begin(password=WRONG)
    await phone.end.write(wire.frame(wire.SHARE_P, phone.share_p)[:40])


async def leave_after_share_v(phone):
    await phone.share(password=WRONG)


async def leave_within_confirm_p(phone):
    await phone.share(password=WRONG)
    await phone.end.write(wire.frame(wire.CONFIRM_P, phone.confirm_p)[:20])


async def leave_after_confirm_p(phone):
    await phone.share(password=WRONG)
    await phone.send(wire.CONFIRM_P, phone.confirm_p)


async def leave_after_give_up(phone):
    await phone.share(password=WRONG)
    await phone.send(wire.GIVE_UP)


async def leave_after_refused(phone):
    await leave_after_give_up(phone)
    await phone.refusal()


WAYS = (
    leave_after_share_v,
    leave_after_confirm_p,
    leave_after_info,
    leave_after_give_up,
    leave_after_share_p,
    leave_within_confirm_p,
    leave_after_refused,
    leave_within_share_p,
)


class Attacker:
    """guesses: the doors by which share V came, or the keypad's answer, each of which tests one password."""

    def __init__(self):
        self.guesses = []
        self.refusals = []

    def visit(self, door, way):
        """A scenario for one boot: come by a door, and leave in that way."""

        async def scenario(rig):
            counts = rig.device.operations is None  # else it is only to find out what there is to cut
            if door == KEYPAD:
                await sleep_ms(rig.control.delay_ms())
                try:
                    attempt = rig.control.begin(KEYPAD)
                except AuthError as error:
                    self._refused(counts, error.code)
                    return
                if counts:
                    self.guesses.append(KEYPAD)
                attempt.failure()
                return
            phone = await rig.linked(door)
            try:
                await way(phone)
            except Refused as error:
                self._refused(counts, error.code)
            except Gone:
                pass
            if counts and phone.share_v:
                self.guesses.append(door)
            phone.end.close()
            await phone.served

        return scenario

    def _refused(self, counts, code):
        if counts:
            self.refusals.append(code)


def test_s1_s5_a_phone_that_leaves_at_any_message_by_any_door_and_cuts_the_power_gets_no_guess_more():
    limit = 4
    before = blank_flash()
    provision(before)
    PhoneRig(before).acquisition.accept(phone_message(1, max_failures=limit), CONNECTION)
    points = worst = 0
    first = Attacker().visit(BLE, leave_after_refused)
    for variant in range(1 if MICROPYTHON else 4):
        for cut in operations_of(before, first):
            attacker = Attacker()
            device = before.fork()
            for number in range(6):
                door = DOORS[(number + variant) % len(DOORS)]
                way = WAYS[(number * 3 + cut + variant) % len(WAYS)]
                points += 1
                boot(device, attacker.visit(door, way), cut, number + variant)
            guesses = what_is_left(device, attacker, limit)
            assert len(guesses) <= limit, (cut, variant, guesses)
            assert guesses.count(BLE) + guesses.count(RELAY) <= limit - 2, (cut, variant, guesses)
            worst = max(worst, len(guesses))
            device.discard()
    print(tally("phone: guesses by every door with a cut in each boot", {"points": points, "second_points": 0}))
    assert worst == limit


def what_is_left(device, attacker, limit):
    """The guesses of all doors together, once nothing is left to somebody who does not cut either."""
    for door in STRICT_DOORS * 2 + DOORS * 2:
        boot(device, attacker.visit(door, leave_after_share_v))
    after = PhoneRig(device)
    assert after.attempts.failures >= limit and after.acquisition.current() is None
    assert after.attempts.successes_ever == 0
    assert attacker.refusals[-1] == "locked"
    return attacker.guesses


# E


def outside_of(door, user_id, password, end):
    """All that can be seen and counted while somebody tries one pair by one door until that is locked."""

    async def scenario(rig):
        seen = []
        while True:
            phone = await rig.linked(door)
            rig.device.record()
            try:
                await phone.share(user_id, password)
            except Refused as error:
                seen.append((error.code, error.failures_left, error.delay_ms))
                break
            answered_ms = now_ms()
            await end(phone)
            refused = await phone.refusal()
            sent = phone.module_end.sent
            seen.append(
                (
                    refused,
                    now_ms() - answered_ms,
                    now_ms(),
                    len(sent),
                    sent[:3],
                    sent[100:],
                    rig.unit.info(BLE),
                    rig.control.status(KEYPAD),
                    [(done[0], done[1]) for done in rig.device.operations],
                    rig.attempts.failures,
                    rig.attempts.attempts,
                    rig.shown,
                )
            )
            phone.end.close()
            await phone.served
        seen.append(rig.events())
        return seen

    return run(scenario)


def test_s2_by_no_door_is_there_a_difference_between_a_wrong_id_and_a_wrong_password():
    async def give_up(phone):
        await phone.send(wire.GIVE_UP)

    async def confirm(phone):
        await phone.send(wire.CONFIRM_P, phone.confirm_p)

    for door in (BLE, RELAY, SERIAL_DOOR):
        for end in (give_up, confirm):
            by_id = outside_of(door, WRONG, PASSWORD, end)
            assert by_id == outside_of(door, ID, WRONG, end)
            assert by_id == outside_of(door, WRONG, WRONG, end)
            assert len(by_id) == (7 if door == SERIAL_DOOR else 5)
            assert by_id[0][8]  # what went to flash was seen
        if MICROPYTHON:
            break  # nothing in it is the interpreter's
