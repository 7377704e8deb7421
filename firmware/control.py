"""The control unit (R8, R9, R13, S1, S2, S5): one judgement for every door, one session at a time."""

from collections import namedtuple

from firmware import settings
from firmware.crypto.hmac import constant_time_equal
from firmware.crypto.kdf import Pbkdf2
from firmware.crypto.spake2plus import expand_w, password_input, w0_bytes
from firmware.errors import AuthError

# state: idle, waiting, busy, no_time, locked, tampered; failures_left and delay_ms: what a user may be told now;
# seconds_left: of the credential, None without a lifetime; tamper: None or the reason.
Status = namedtuple("Status", ("state", "failures_left", "delay_ms", "seconds_left", "tamper"))


class Control:
    """serial (str) is the module's name in every password derivation. sleep_ms is asyncio's."""

    def __init__(self, acquisition, attempts, detection, clock, audit, sessions, serial, sleep_ms):
        self._acquisition = acquisition
        self._attempts = attempts
        self._detection = detection
        self._clock = clock
        self._audit = audit
        self._sessions = sessions
        self._serial = serial
        self._sleep_ms = sleep_ms
        self._session = None
        self._attempt = None
        # A reboot begins the whole delay anew (S5).
        self._delay_end_ms = clock.uptime_ms() + self._delay_of_failures()
        acquisition.listeners.append(self._look_at_session)
        detection.listeners.append(self._look_at_session)

    @property
    def session(self):
        """The open session, or None."""
        if self._session and self._session.ended:
            self._session = None
        return self._session

    def tick(self):
        """To be called about once a second: ends what has run out of time."""
        self._attempt_in_hand()
        self._look_at_session()
        self._acquisition.current()

    def status(self, door=settings.DOOR_KEYPAD):
        """What the panel shows of this unit."""
        credential = self._acquisition.current()
        tamper = self._detection.tamper
        code = self._bar(credential, door)
        failures_left = 0 if code else credential.failures_left(door)
        seconds_left = credential.seconds_left() if credential else None
        if tamper:
            state = "tampered"
        elif self.session:
            state = "busy"
        else:
            state = {None: "waiting", "no_credential": "idle"}.get(code, code)
        return Status(state, failures_left, self.delay_ms(), seconds_left, tamper)

    def delay_ms(self):
        """How long no attempt may begin, after failures (R13)."""
        return max(self._delay_end_ms - self._clock.uptime_ms(), 0)

    async def authenticate(self, door, user_id, password, progress=None):
        """Judge an ID and a password (str of digits) that were typed; returns the `Session`.

        progress(done, all) is called after each slice of iterations. Raises `AuthError`; `StoreError`
        if flash failed, and then nothing was judged.
        """
        while self.delay_ms():
            self._need_usable(door)
            await self._sleep_ms(min(self.delay_ms(), settings.DELAY_SLICE_MS))
        attempt = self.begin(door)
        try:
            credential = attempt.credential
            derivation = Pbkdf2(
                password_input(password.encode(), user_id.encode(), self._serial.encode()),
                credential.salt,
                credential.iterations,
            )
            done = 0
            finished = False
            while not finished:
                finished = derivation.step(settings.DERIVE_SLICE_ITERATIONS)
                done = min(done + settings.DERIVE_SLICE_ITERATIONS, credential.iterations)
                if progress:
                    progress(done, credential.iterations)
                attempt.begun_ms = self._clock.uptime_ms()
                await self._sleep_ms(0)
            w0, _ = expand_w(derivation.result())
            # Forgotten where the credential ended meanwhile: then `success` says so.
            if constant_time_equal(w0_bytes(w0), credential.w0 or b""):
                return attempt.success()
            raise attempt.failure()
        finally:
            attempt.abandon()  # if nothing was settled: cancelled

    def begin(self, door):
        """Count an attempt in flash (S1); returns an `Attempt` to be settled within a minute. Raises `AuthError`."""
        credential = self.check(door)
        self._attempts.begin(door, credential.issuer, self._clock.powered_s())
        self._attempt = Attempt(self, credential, door, self._clock.uptime_ms())
        return self._attempt

    def check(self, door):
        """The credential that an attempt would be judged by now. The `AuthError` of `begin`, where it would refuse."""
        credential = self._need_usable(door)
        if self.delay_ms():
            raise self._error("delayed", door)
        return credential

    def _succeeded(self, attempt):
        door = attempt.door
        code = None  # what may have happened while the proof was made
        if self._acquisition.current() is not attempt.credential:
            code = "no_credential"
        elif self._detection.tamper and not attempt.credential.may_recover:
            code = "tampered"
        if code:
            self._failed(attempt)
            raise self._error(code, door)
        self._attempt = None
        self._attempts.succeed(door)
        self._delay_end_ms = self._clock.uptime_ms()
        self._audit.record("success", door)
        self._acquisition.settle_success()
        self._session = self._sessions.open(attempt.credential, door)
        return self._session

    def _failed(self, attempt):
        self._attempt = None
        self._attempts.failed()
        self._delay_end_ms = self._clock.uptime_ms() + self._delay_of_failures()
        self._audit.record("failure", attempt.door)
        failures_left = attempt.credential.failures_left(attempt.door)
        self._acquisition.current()  # the last failure ends the credential
        return AuthError("wrong", failures_left, self.delay_ms())

    def _attempt_in_hand(self):
        """The attempt that is being judged, or None; one that takes too long has failed."""
        attempt = self._attempt
        if attempt and self._clock.uptime_ms() - attempt.begun_ms >= settings.ATTEMPT_TIMEOUT_MS:
            attempt.abandon()
        return self._attempt

    def _need_usable(self, door):
        """The credential that this door may try now. Raises `AuthError`."""
        if self.session or self._attempt_in_hand():
            raise self._error("busy", door)
        credential = self._acquisition.current()
        code = self._bar(credential, door)
        if code:
            raise self._error(code, door)
        return credential

    def _bar(self, credential, door):
        """None, or the code of what bars an attempt."""
        if self._detection.tamper and not (credential and credential.may_recover):
            return "tampered"
        if credential:
            return credential.usable(door)
        return "locked" if self._attempts.ended == settings.ENDED_FAILURES else "no_credential"

    def _error(self, code, door):
        credential = self._acquisition.current()
        left = credential.failures_left(door) if credential else 0
        return AuthError(code, left, self.delay_ms())

    def _delay_of_failures(self):
        """1, 2, 4 ... s for failures in a row, the cap included (R13)."""
        failures = self._attempts.failures_in_a_row
        if not failures:
            return 0
        return min(settings.DELAY_FIRST_MS << min(failures - 1, 16), settings.DELAY_MAX_MS)

    def _look_at_session(self):
        return self.session


class Attempt:
    """A judgement that has begun: a failure in flash, unless `success` follows. Settled once."""

    def __init__(self, control, credential, door, begun_ms):
        self._control = control
        self.credential = credential
        self.door = door
        self.begun_ms = begun_ms
        self._settled = False

    def success(self):
        """The proof holds: returns the `Session`. `AuthError` if the credential has ended meanwhile."""
        self._settle()
        return self._control._succeeded(self)

    def failure(self):
        """The proof does not hold: returns the `AuthError` to raise."""
        self._settle()
        return self._control._failed(self)

    def abandon(self):
        """The peer has left, or took too long. Does nothing to an attempt that is settled."""
        if not self._settled:
            self.failure()

    def _settle(self):
        if self._settled:
            raise self._control._error("busy", self.door)
        self._settled = True
