"""R8, R9, S5, S7: long random lives of a module beside a small model of the limits."""

import random
import sys

from unit_rig import NOW_S, Rig, blank_flash, message, provision

from firmware import settings
from firmware.errors import AuthError, SessionError
from tools.sim.chips.flash import PowerCut

TIMEOUT_S = 240

KEYPAD = settings.DOOR_KEYPAD
DOORS = (settings.DOOR_KEYPAD, settings.DOOR_BLE, settings.DOOR_RELAY)
ISSUERS = (settings.ISSUER_CONNECTION, settings.ISSUER_FACTORY_IDENTITY)
STEPS = 120 if sys.implementation.name == "micropython" else 400


class Model:
    """What R8 says of a server's credentials, without flash, power or time of its own."""

    def __init__(self):
        self.highest = {1: 0, 2: 0}
        self.revoked = {1: 0, 2: 0}
        self.credential = None  # the fields of its message, with issuer and counts
        self.ended = None
        self.session = False
        self.in_a_row = 0

    def accept(self, fields, issuer, now):
        sequence = fields["sequence"]
        if sequence <= max(self.highest[issuer], self.revoked[issuer]):
            return "ignored"
        self.highest[issuer] = sequence
        self.credential = dict(fields, issuer=issuer, accepted=now, successes=0, failures=0, changes=0)
        self.ended = None
        self.session = False
        return "accepted"

    def revoke(self, issuer, sequence):
        if sequence <= self.revoked[issuer]:
            return
        self.revoked[issuer] = sequence
        if self.credential and self.credential["sequence"] <= sequence:
            self.session = False
            self.ended = self.ended or "revoked"

    def left(self, door):
        if not self.credential or self.ended:
            return 0
        left = self.credential["max_failures"] - self.credential["failures"]
        return max(left if door == KEYPAD else left - 2, 0)

    def refusal(self, door):
        if self.session:
            return "busy"
        if not self.credential or self.ended:
            return "locked" if self.ended == "failures" else "no_credential"
        return None if self.left(door) else "locked"

    def fail(self):
        self.credential["failures"] += 1
        self.in_a_row += 1
        self.limit("failures")

    def succeed(self):
        self.credential["successes"] += 1
        self.in_a_row = 0
        self.session = True
        self.limit("successes")

    def change(self):
        if self.credential["changes"] >= self.credential["max_changes"]:
            return "used_up"
        self.credential["changes"] += 1
        self.limit("changes")
        return None

    def limit(self, what):
        if not self.ended and self.credential[what] >= self.credential["max_" + what]:
            self.ended = what

    def expire(self):
        self.session = False
        self.ended = self.ended or "expired"

    def state(self):
        if not self.credential:
            return None
        state = {key: self.credential[key] for key in ("sequence", "successes", "failures", "changes")}
        state["issuer"] = ("connection", "factory_identity")[self.credential["issuer"] - 1]
        state["ended"] = self.ended
        return state


class Life:
    """A module, the world's time, and the model beside it."""

    def __init__(self, seed):
        print("seed", seed)
        random.seed(seed)
        self.device = blank_flash()
        provision(self.device)
        self.model = Model()
        self.world_s = 0
        self.slack_s = 0  # by how much a lifetime may end early
        self.previous = None  # credential before the one that came last
        self.boot()

    def boot(self):
        self.rig = Rig(self.device, NOW_S + self.world_s)
        self.session = None
        self.model.session = False

    def let_pass(self, seconds):
        self.rig.pass_s(seconds)
        self.world_s += seconds
        self.rig.clock.set_from_server(NOW_S + self.world_s)

    def wait(self):
        """Wait out the delay, in whole seconds so that world and module stay together."""
        self.let_pass((self.rig.control.delay_ms() + 999) // 1000)

    def settle_lifetime(self):
        """Expiry is due by the world's time; powered-on time, with its charges, may be a little ahead."""
        model = self.model
        credential = model.credential
        if credential and not model.ended or model.session:
            lifetime_s = credential["lifetime_s"]
            if lifetime_s is None:
                return
            gone_s = self.world_s - credential["accepted"]
            left_s = lifetime_s - gone_s
            ended = self.rig.acquisition.state()["ended"]
            if left_s <= 0:
                if not model.ended:
                    assert self.rig.acquisition.current() is None
                model.expire()
            elif ended == "expired" and model.ended is None:
                assert left_s <= self.slack_s, (left_s, self.slack_s)
                model.expire()

    def step(self):
        number = random.randrange(12)
        if self.model.ended or not self.model.credential:
            number = random.choice((0, 3, 6, 6, 6, 7, 9))
        if number < 3:
            self.attempt(random.choice(DOORS), random.randrange(2))
        elif number < 6:
            self.write()
        elif number == 6:
            self.accept()
        elif number == 7 and random.randrange(3) == 0:
            issuer = random.choice(ISSUERS)
            sequence = random.randrange(self.model.highest[issuer] + 2)
            self.rig.acquisition.revoke(issuer, sequence)
            self.model.revoke(issuer, sequence)
        elif number == 8 and self.session:
            self.session.close("done")
            self.model.session = False
        elif number == 9:
            self.slack_s += settings.CLOCK_BOOT_CHARGE_S
            self.world_s += random.randrange(3) * 100  # without power
            self.boot()
        elif number == 10:
            self.let_pass(random.randrange(1, 240))

    def accept(self):
        issuer = random.choice(ISSUERS)
        highest = self.model.highest[issuer]
        fields = message(
            max(highest + random.randrange(-1, 3), 1),
            lifetime_s=random.choice((None, 600, 1800)),
            max_successes=random.randrange(1, 4),
            max_failures=random.randrange(1, 7),
            max_changes=random.randrange(1, 5),
        )
        self.previous = self.model.credential
        expected = self.model.accept(fields, issuer, self.world_s)
        assert self.rig.acquisition.accept(fields, issuer) == (expected, None)
        if expected == "accepted":
            self.slack_s = 0

    def attempt(self, door, holds):
        if not self.model.refusal(door):
            self.wait()
            self.compare()
        refusal = self.model.refusal(door)
        try:
            attempt = self.rig.control.begin(door)
        except AuthError as error:
            assert error.code == refusal or error.code == "delayed" and not refusal, (error.code, refusal)
            return
        assert refusal is None
        if holds:
            self.session = attempt.success()
            self.model.succeed()
        else:
            error = attempt.failure()
            self.model.fail()
            assert error.failures_left == self.model.left(door)

    def write(self):
        if not self.session:
            return
        expected = "ended" if not self.model.session else self.model.change()
        try:
            if random.randrange(2):
                self.session.change(self.world_s + 1, self.session.generation, {0x11: "name"})
            else:
                self.session.delete(self.world_s + 1, self.session.generation, settings.GROUP_SITE)
            found = None
        except SessionError as error:
            found = error.code
        assert found == expected, (found, expected)
        self.let_pass(1)  # so that the next request has another number

    def compare(self):
        rig, model = self.rig, self.model
        rig.acquisition.current()
        self.settle_lifetime()
        if self.session and self.session.ended == "idle":
            model.session = False
        assert (rig.control.session is not None) == model.session
        assert rig.acquisition.state() == model.state(), (rig.acquisition.state(), model.state())
        for issuer in ISSUERS:
            assert rig.acquisition.highest(issuer) == model.highest[issuer]
            assert rig.acquisition.revoked(issuer) == model.revoked[issuer]
        for door in DOORS:
            left = rig.control.status(door).failures_left
            assert left == (0 if model.refusal(door) not in (None, "busy") else model.left(door))
        assert rig.attempts.failures_in_a_row == model.in_a_row


def test_r8_random_lives_agree_with_the_model():
    attempts = successes = 0
    for seed in (1, 2, 3, 4):
        life = Life(seed)
        for step in range(STEPS):
            life.step()
            try:
                life.compare()
            except AssertionError:
                print("seed", seed, "step", step)
                raise
        totals = life.rig.attempts
        print("seed", seed, totals.attempts, "attempts,", totals.successes_ever, "successes")
        attempts += totals.attempts
        successes += totals.successes_ever
    assert attempts > STEPS // 5 and successes > STEPS // 10


def test_r9_random_lives_with_power_cuts_lose_no_count():
    all_cuts = attempts = 0
    for seed in (11, 12, 13, 14):
        life = Life(seed)
        cuts = 0
        for step in range(STEPS):
            before = life.model.state()
            revoked = dict(life.model.revoked)
            life.device.record()
            if random.randrange(2):
                life.device.cut_at(random.randrange(5), random.choice(("before", "after")))
            try:
                life.step()
                life.device.power_on()
                life.compare()
            except PowerCut:
                cuts += 1
                life.device.power_on()
                life.slack_s += settings.CLOCK_BOOT_CHARGE_S
                try:
                    survived(life, before, revoked)
                except AssertionError:
                    print("seed", seed, "step", step)
                    raise
            except AssertionError:
                print("seed", seed, "step", step)
                raise
        print("seed", seed, cuts, "cuts,", life.rig.attempts.attempts, "attempts")
        all_cuts += cuts
        attempts += life.rig.attempts.attempts
    assert all_cuts > STEPS // 4 and attempts > STEPS // 5


def survived(life, before, revoked):
    """After a cut: what was counted before the step is counted still; then the model takes over what is there."""
    life.boot()
    rig, model = life.rig, life.model
    rig.acquisition.current()
    state = rig.acquisition.state()
    for issuer in ISSUERS:
        assert rig.acquisition.revoked(issuer) >= revoked[issuer]
    if before:
        same = (state["issuer"], state["sequence"]) == (before["issuer"], before["sequence"])
        if not same:  # came about, at a time that only the newest floor on flash vouches for
            life.slack_s += settings.CLOCK_TICK_S + 240
        if same:
            for what in ("successes", "failures", "changes"):
                assert state[what] >= before[what], (what, state, before)
            assert not before["ended"] or state["ended"] == before["ended"]
        else:
            assert state["ended"] is None or state["ended"] == "expired"
    if model.credential and state:
        issuer = ("connection", "factory_identity").index(state["issuer"]) + 1
        if (issuer, state["sequence"]) != (model.credential["issuer"], model.credential["sequence"]):
            model.credential = life.previous  # the acceptance did not come about
    if not state:
        model.credential = None
    else:
        for what in ("successes", "failures", "changes"):
            model.credential[what] = state[what]
    model.ended = state and state["ended"]
    for issuer in ISSUERS:
        model.highest[issuer] = rig.acquisition.highest(issuer)
        model.revoked[issuer] = rig.acquisition.revoked(issuer)
    model.in_a_row = rig.attempts.failures_in_a_row
    life.compare()
