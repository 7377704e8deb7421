"""The acquisition unit (R7, R8, S4, S7): authentication information comes in, is kept, and ends."""

import hashlib

from micropython import const

from firmware import codec, settings
from firmware.errors import CredentialError, SealError, TimeError
from firmware.modules import forget

# Items of a credential (docs/format.md)
_SEQUENCE = const(0x01)
_W0 = const(0x02)
_L = const(0x03)
_SALT = const(0x04)
_ITERATIONS = const(0x05)
_ISSUER = const(0x06)
_LIFETIME = const(0x07)
_SUCCESSES = const(0x08)
_FAILURES = const(0x09)
_CHANGES = const(0x0A)
_SCOPE = const(0x0B)
_DIGITS = const(0x0C)

_U32_MAX = const(0xFFFFFFFF)
_FLAG_RECOVER = const(1)

# Bit g stands for group g. What a factory credential may touch at most (S8).
_GROUPS = (("customer", 2), ("usage_history", 4), ("site", 8), ("capacity", 16), ("connection", 32))
_FACTORY_GROUPS = const(8 | 32)

ISSUERS = (None, "connection", "factory_identity", "factory")
ENDED = (None, "expired", "successes", "failures", "changes", "revoked", "replaced", "broken", "wiped")


class Credential:
    """Authentication information in force, or, once w0 and l are None, what a session under it still needs.

    w0 (32 bytes), l (65 bytes), salt (16 bytes), scope (4 bytes: see, change, delete, flags).
    stopped: why an open session has to end: "expired", "revoked", "replaced", or None.
    """

    def __init__(self, body, attempts, clock):
        self._attempts = attempts
        self._clock = clock
        self.stopped = None
        items = dict(codec.decode_items(body))
        self.w0 = bytes(items[_W0])
        self.l = bytes(items[_L])
        self.salt = bytes(items[_SALT])
        self.sequence = _integer(items[_SEQUENCE])
        self.issuer = items[_ISSUER][0]
        self.iterations = _integer(items[_ITERATIONS])
        self.lifetime_s = _integer(items[_LIFETIME])
        self.max_successes = _integer(items[_SUCCESSES])
        self.max_failures = _integer(items[_FAILURES])
        self.max_changes = _integer(items[_CHANGES])
        self.password_digits = items[_DIGITS][0]
        self.scope = bytes(items[_SCOPE])
        if self.issuer == settings.ISSUER_FACTORY:
            self.scope = bytes((self.scope[0] & _FACTORY_GROUPS, self.scope[1] & _FACTORY_GROUPS, 0, 0))
            self.max_successes = 1
        self._accepted_at_s = attempts.accepted_at_s
        self._accepted_powered_s = attempts.accepted_powered_s

    @property
    def may_recover(self):
        """True if it opens the way back from tamper (S19)."""
        return bool(self.scope[3] & _FLAG_RECOVER)

    def may(self, action, group):
        """True if the scope has the group (number) for "see", "change" or "delete" (R11)."""
        return bool(self.scope[("see", "change", "delete").index(action)] >> group & 1)

    def failures_left(self, door):
        """How many failures this door may still spend; 0 bars it (S5)."""
        left = self.max_failures - self._failures()
        if door in (settings.DOOR_BLE, settings.DOOR_RELAY):
            left -= settings.KEYPAD_RESERVED_FAILURES
        return max(left, 0)

    def seconds_left(self):
        """Lifetime left by the clock that is further on, at least 0; None without a lifetime."""
        if not self.lifetime_s:
            return None
        if self.issuer == settings.ISSUER_FACTORY:  # runs from its first use, by powered-on time alone (R10)
            begun = self._attempts.factory_first_use_s
            gone = self._clock.powered_s() - begun if begun else 0
        else:
            gone = self._clock.powered_s() - self._accepted_powered_s
            now = self._clock.now()
            if now is not None:
                gone = max(gone, now - self._accepted_at_s)
        return max(self.lifetime_s - max(gone, 0), 0)

    def usable(self, door):
        """None, or why no attempt may begin: "no_time" (R9), "locked"."""
        if self.lifetime_s and self.issuer != settings.ISSUER_FACTORY and self._clock.now() is None:
            return "no_time"
        return None if self.failures_left(door) else "locked"

    def limit_reached(self):
        """settings.ENDED_... of the limit that bars it, or 0."""
        totals = self._attempts
        if self.seconds_left() == 0:
            return settings.ENDED_EXPIRED
        if totals.pending:  # counted as a failure, but not judged yet
            return settings.ENDED_NOT
        if self._failures() >= self.max_failures:
            return settings.ENDED_FAILURES
        if totals.issuer != self.issuer:  # the factory's, never used
            return settings.ENDED_NOT
        if totals.successes >= self.max_successes:
            return settings.ENDED_SUCCESSES
        if totals.changes >= self.max_changes:
            return settings.ENDED_CHANGES
        return settings.ENDED_NOT

    def forget(self):
        """Drop what a password could be tested against (S4)."""
        self.w0 = self.l = None

    def stop(self, why):
        """Let a session under it end."""
        if not self.stopped:
            self.stopped = why

    def _failures(self):
        if self.issuer == settings.ISSUER_FACTORY:
            return self._attempts.factory_failures
        return self._attempts.failures


class Acquisition:
    """Holds the one credential that can be judged: a server's, else the factory's.

    listeners are called when it comes, ends or is stopped.
    """

    def __init__(self, credential_pair, factory_pair, attempts, clock, audit):
        self._pair = credential_pair
        self._factory_pair = factory_pair
        self._attempts = attempts
        self._clock = clock
        self._audit = audit
        self._server = None
        self._factory = None
        self._last = None  # ended, but a session under it may be open
        self.listeners = []

    def start(self):
        """Find the credentials and finish what a power cut left; attempts and clock have started."""
        self._start_factory()
        self._start_server()
        self._set_tick()

    def _start_factory(self):
        pair = self._factory_pair
        body = _read(pair)
        if body and not self._attempts.factory_ended:
            self._factory = Credential(body, self._attempts, self._clock)
        elif body or pair.broken:
            if not self._attempts.factory_ended:
                self._attempts.end_factory(settings.ENDED_BROKEN)
            pair.erase()

    def _start_server(self):
        totals = self._attempts
        body = _read(self._pair)
        in_force = not totals.ended and totals.issuer in (
            settings.ISSUER_CONNECTION,
            settings.ISSUER_FACTORY_IDENTITY,
        )
        if body:
            found = Credential(body, totals, self._clock)
            if (found.issuer, found.sequence) == (totals.issuer, totals.sequence):
                if in_force:
                    self._server = found
                    return
            elif not totals.tamper and found.sequence > max(self.highest(found.issuer), self.revoked(found.issuer)):
                # Cut between pair and totals: nobody has heard of it, so it counts from now. Trusted time
                # is not known yet; the floor cannot be later than when it came. After a tamper the totals
                # may be gone: then the server has to send it again.
                totals.accepted(found.issuer, found.sequence, self._clock.floor, self._clock.powered_s())
                self._server = Credential(body, totals, self._clock)
                self._audit.record("accepted")
                return
        if in_force:  # its information is gone or was played back
            totals.end(settings.ENDED_BROKEN)
            self._audit.record("ended", detail=settings.ENDED_BROKEN)
        if body or self._pair.broken:
            self._pair.erase()

    def accept(self, message, issuer):
        """Take over a credential of `poll` (docs/api.md). Returns (result, code) for `ack`.

        `TimeError`: it has a lifetime and no trusted time is known (R9); `StoreError`: flash failed.
        After either there is nothing to acknowledge.
        """
        sequence = message.get("sequence")
        if not _is_integer(sequence, 1, _U32_MAX):
            return "refused", "bad_limits"
        if sequence <= max(self.highest(issuer), self.revoked(issuer)):
            return "ignored", None
        try:
            items = _to_items(message, issuer)
        except CredentialError as error:
            self._audit.record("refused")
            return "refused", error.code
        now = self._clock.now()
        if message.get("lifetime_s") is not None:
            if now is None:
                raise TimeError("a lifetime needs trusted time")
            self._clock.set_fine(True)
        # Pair first: cut in between, `start` finds a number that is higher than any in the totals.
        self._pair.write(items)
        self._attempts.accepted(issuer, sequence, now, self._clock.powered_s())
        for old in (self._server, self._last):
            if old:
                old.forget()
                old.stop("replaced")
        self._last = None
        self._server = Credential(codec.encode_items(items), self._attempts, self._clock)
        self._set_tick()
        self._audit.record("accepted")
        self._notify()
        return "accepted", None

    def revoke(self, issuer, sequence):
        """All credentials up to `sequence` are revoked, says a server. Old news does nothing."""
        if sequence <= self.revoked(issuer):
            return
        self._attempts.revoked(issuer, sequence)
        if self._server and self._server.sequence <= sequence:
            self._finish(self._server, settings.ENDED_REVOKED, "revoked")
        elif self._last and self._last.issuer != settings.ISSUER_FACTORY and self._last.sequence <= sequence:
            self._last.stop("revoked")
            self._notify()

    def use_server(self, url):
        """Numbers of the connection's server count for this credential URL (bytes) from now on (S7).

        A credential of the server before it ends; an open session, which made the change, goes on.
        """
        digest = hashlib.sha256(url).digest()[:8]
        if digest == self._attempts.url_digest8:
            return
        self._attempts.new_server(digest)
        if self._server and self._server.issuer == settings.ISSUER_CONNECTION:
            self._finish(self._server, settings.ENDED_REPLACED)

    def current(self):
        """The credential that can be judged now, or None. Ends one whose limit is reached."""
        while True:
            credential = self._server or self._factory
            if credential is None:
                return None
            reason = credential.limit_reached()
            if not reason:
                return credential
            self._end(credential, reason)

    def end(self, reason):
        """End the current credential; reason: settings.ENDED_..."""
        credential = self._server or self._factory
        if credential:
            self._end(credential, reason)

    def settle_success(self):
        """After a success record: the factory's credential is over with it, a server's by its limit."""
        if self._server is None and self._factory:
            self._finish(self._factory, settings.ENDED_SUCCESSES)
        self.current()

    def settle_wipe(self):
        """After the record that ended the credential as wiped."""
        if self._server:
            self._finish(self._server, settings.ENDED_WIPED)

    def state(self):
        """The object `credential` of `hello`, or None where there never was one."""
        totals = self._attempts
        if not totals.issuer:
            return None
        factory = totals.issuer == settings.ISSUER_FACTORY
        return {
            "issuer": ISSUERS[totals.issuer],
            "sequence": totals.sequence,
            "successes": totals.successes,
            "failures": totals.factory_failures if factory else totals.failures,
            "changes": totals.changes,
            "ended": ENDED[totals.ended],
        }

    def highest(self, issuer):
        """Highest sequence number seen by way of an issuer."""
        if issuer == settings.ISSUER_CONNECTION:
            return self._attempts.highest_connection
        return self._attempts.highest_factory_identity

    def revoked(self, issuer):
        """Highest revoked sequence number that was acted on."""
        if issuer == settings.ISSUER_CONNECTION:
            return self._attempts.revoked_connection
        return self._attempts.revoked_factory_identity

    def _end(self, credential, reason):
        """Totals first: cut before the pair is erased, `start` erases it."""
        if credential is self._server:
            self._attempts.end(reason)
        else:
            self._attempts.end_factory(reason)
        self._finish(credential, reason, "expired" if reason == settings.ENDED_EXPIRED else None)

    def _finish(self, credential, reason, stop=None):
        """Erase what the totals say has ended (S4)."""
        pair = self._factory_pair
        if credential is self._server:
            pair = self._pair
            self._server = None
        else:
            self._factory = None
        credential.forget()
        if stop:
            credential.stop(stop)
        self._last = credential
        pair.erase()
        self._set_tick()
        self._audit.record("ended", detail=reason)
        self._notify()

    def _set_tick(self):
        credential = self._server or self._factory
        self._clock.set_fine(bool(credential and credential.lifetime_s))

    def _notify(self):
        for listener in self.listeners:
            listener()


def factory_items(w0, l, salt, iterations, lifetime_s, max_failures, max_changes, password_digits):  # noqa: E741
    """List of (id, value) for the factory credential's pair (R10). `CredentialError` as for a server's."""
    groups = ["site", "connection"]
    message = {
        "w0": w0.hex(),
        "l": l.hex(),
        "salt": salt.hex(),
        "iterations": iterations,
        "password_digits": password_digits,
        "lifetime_s": lifetime_s,
        "max_successes": 1,
        "max_failures": max_failures,
        "max_changes": max_changes,
        "scope": {"see": groups, "change": groups, "delete": [], "recover": False},
    }
    return _to_items(message, settings.ISSUER_FACTORY)


def _to_items(message, issuer):
    """Check a message and turn it into items. `CredentialError`: bad_w0, bad_l, bad_limits, bad_scope."""
    from firmware.crypto import p256

    w0 = _hex(message.get("w0"), 32, "bad_w0")
    if not 0 < int.from_bytes(w0, "big") < p256.N:
        raise CredentialError("bad_w0")
    salt = _hex(message.get("salt"), 16, "bad_w0")
    l = _hex(message.get("l"), 65, "bad_l")  # noqa: E741
    try:
        p256.decode_point(l)  # the identity has no such form
    except p256.PointError:
        raise CredentialError("bad_l")
    del p256
    forget("firmware.crypto.p256")
    lifetime_s = message.get("lifetime_s")
    if lifetime_s is None:
        lifetime_s = 0
    else:
        _need_limit(lifetime_s, settings.CREDENTIAL_LIFETIME_MAX_S, settings.CREDENTIAL_LIFETIME_MIN_S)
    iterations = _need_limit(
        message.get("iterations"), settings.CREDENTIAL_ITERATIONS_MAX, settings.CREDENTIAL_ITERATIONS_MIN
    )
    digits = _need_limit(message.get("password_digits"), settings.CREDENTIAL_DIGITS_MAX, settings.CREDENTIAL_DIGITS_MIN)
    successes = _need_limit(message.get("max_successes"), settings.CREDENTIAL_SUCCESSES_MAX)
    failures = _need_limit(message.get("max_failures"), settings.CREDENTIAL_FAILURES_MAX)
    changes = _need_limit(message.get("max_changes"), settings.CREDENTIAL_CHANGES_MAX)
    return [
        (_SEQUENCE, message.get("sequence", 0).to_bytes(4, "little")),
        (_W0, w0),
        (_L, l),
        (_SALT, salt),
        (_ITERATIONS, iterations.to_bytes(4, "little")),
        (_ISSUER, bytes([issuer])),
        (_LIFETIME, lifetime_s.to_bytes(4, "little")),
        (_SUCCESSES, successes.to_bytes(2, "little")),
        (_FAILURES, failures.to_bytes(2, "little")),
        (_CHANGES, changes.to_bytes(2, "little")),
        (_SCOPE, _scope(message.get("scope"))),
        (_DIGITS, bytes([digits])),
    ]


def _scope(scope):
    if not isinstance(scope, dict) or not isinstance(scope.get("recover"), bool):
        raise CredentialError("bad_scope")
    known = dict(_GROUPS)
    out = bytearray(4)
    for index, action in enumerate(("see", "change", "delete")):
        names = scope.get(action)
        if not isinstance(names, list):
            raise CredentialError("bad_scope")
        for name in names:
            if not isinstance(name, str) or name not in known:
                raise CredentialError("bad_scope")
            out[index] |= known[name]
    out[3] = _FLAG_RECOVER if scope["recover"] else 0
    return bytes(out)


def _is_integer(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _need_limit(value, most, least=1):
    if not _is_integer(value, least, most):
        raise CredentialError("bad_limits")
    return value


def _hex(text, size, code):
    """Bytes of lower-case hex of exactly that size."""
    if not isinstance(text, str) or len(text) != 2 * size:
        raise CredentialError(code)
    for byte in text.encode():  # not by characters, which MicroPython keeps
        if byte not in b"0123456789abcdef":
            raise CredentialError(code)
    return bytes.fromhex(text)


def _integer(value):
    return int.from_bytes(bytes(value), "little")


def _read(pair):
    """The pair's contents, or None if there are none or they do not verify any longer."""
    try:
        return pair.read()
    except SealError:
        return None
