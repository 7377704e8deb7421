"""Running totals of attempts, successes, failures and changes (S13), one record for each event."""

import struct

from micropython import const

from firmware import settings
from firmware.errors import CredentialError, StoreError

# Kinds of record
_ATTEMPT = const(1)
_SUCCESS = const(2)
_CHANGE = const(3)
_ACCEPTED = const(4)
_ENDED = const(5)
_RECOVERED = const(6)
_TAMPER = const(7)
_NOTED = const(8)

_BODY = "<BBBBIIIHHHHIIIIBBHII8sI"  # docs/format.md
_U16_MAX = const(0xFFFF)


class Attempts:
    """The totals are attributes, named below; every change of one is in flash before a method returns.

    A method that fails with `StoreError` leaves the totals as they were, but for a begun attempt
    or a counted change: those stay counted.
    """

    def __init__(self, ring):
        self._ring = ring
        self.missing = False  # no valid record was found: tamper
        self.pending = False  # an attempt is begun and neither succeeded nor failed
        self._take(bytes(struct.calcsize(_BODY)))

    def start(self):
        """Take over the totals; each torn record behind the last valid one becomes a failure (S13)."""
        last = self._ring.last()
        if last is None:
            self.missing = True
            return
        self._take(last)
        torn = self._ring.broken_after_last
        if torn:
            if self._is_current_server():
                self.failures = _sum(self.failures, torn)
            else:
                self.factory_failures = _sum(self.factory_failures, torn)
            self.failures_in_a_row = _sum(self.failures_in_a_row, torn)
            self.attempts += torn
            self._write(_RECOVERED)

    def begin(self, door, issuer, powered_s):
        """Count an attempt on the current credential, as a failure, before it is judged (R9).

        issuer: of the credential that will be judged. With the factory's first attempt its totals
        become the current ones, and `powered_s` is its first use.
        """
        if issuer == settings.ISSUER_FACTORY:
            if self.issuer != issuer:
                self._make_current(issuer, 0, None, powered_s)
            if not self.factory_first_use_s:
                self.factory_first_use_s = max(powered_s, 1)
            self.factory_failures = _sum(self.factory_failures, 1)
        else:
            self.failures = _sum(self.failures, 1)
        self.failures_in_a_row = _sum(self.failures_in_a_row, 1)
        self.attempts += 1
        self._write(_ATTEMPT, door, keep=True)
        self.pending = True

    def succeed(self, door):
        """Take the begun attempt's failure back and count a success; the factory's ends with it (S8)."""
        if not self.pending:
            raise CredentialError("no_attempt")
        self.pending = False
        if self.issuer == settings.ISSUER_FACTORY:
            self.factory_failures -= 1
            self.factory_ended = 1
            self.ended = settings.ENDED_SUCCESSES
        else:
            self.failures -= 1
        self.failures_in_a_row = 0
        self.successes = _sum(self.successes, 1)
        self.successes_ever += 1
        self._write(_SUCCESS, door)

    def failed(self):
        """The begun attempt was judged: it stays the failure that it is in flash."""
        self.pending = False

    def count_change(self, door):
        """Count a change or deletion; to be called before it is committed."""
        self.changes = _sum(self.changes, 1)
        self._write(_CHANGE, door, keep=True)

    def accepted(self, issuer, sequence, now, powered_s):
        """A server's credential is the current one from here on, all of its counts at 0.

        now: trusted UTC seconds or None.
        """
        self.pending = False
        self._make_current(issuer, sequence, now, powered_s)
        if issuer == settings.ISSUER_CONNECTION:
            self.highest_connection = sequence
        else:
            self.highest_factory_identity = sequence
        self._write(_ACCEPTED)

    def end(self, reason):
        """The current credential is over; reason: settings.ENDED_..."""
        self.pending = False
        self.ended = reason
        self._write(_ENDED)

    def end_factory(self, reason):
        """The factory credential is over, be it the current one or not."""
        self.factory_ended = 1
        if self.issuer == settings.ISSUER_FACTORY:
            self.pending = False
            self.ended = reason
        self._write(_ENDED)

    def revoked(self, issuer, sequence):
        """A server has revoked all up to `sequence`; a current credential among them ends in the same record."""
        if issuer == settings.ISSUER_CONNECTION:
            self.revoked_connection = max(self.revoked_connection, sequence)
        else:
            self.revoked_factory_identity = max(self.revoked_factory_identity, sequence)
        if self._is_current_server() and self.sequence <= sequence:
            self.end(settings.ENDED_REVOKED)
        else:
            self._write(_NOTED)

    def new_server(self, url_digest8):
        """Another connection: its server's numbers start anew, and a credential of the old one is over (S7)."""
        self.url_digest8 = url_digest8
        self.highest_connection = self.revoked_connection = 0
        if self._is_current_server() and self.issuer == settings.ISSUER_CONNECTION:
            self.end(settings.ENDED_REPLACED)
        else:
            self._write(_NOTED)

    def latch_tamper(self, code):
        """Keep a tamper code over reboots (S19). Where the totals were missing, no credential goes on without them."""
        self.tamper = code
        if self.missing:
            self.ended = settings.ENDED_BROKEN
            self.factory_ended = 1
        self._write(_TAMPER, keep=True)

    def wiped(self):
        """The way back is done: no tamper any more, and the credential that led there is over."""
        self.tamper = 0
        self.end(settings.ENDED_WIPED)

    def ended_well(self):
        """True if the newest record is a success."""
        return self.kind == _SUCCESS

    def was_latched_last(self):
        """True if the newest record is that of a tamper."""
        return self.kind == _TAMPER

    def settled_attempts(self):
        """Attempts ever, without the one that is being judged."""
        return self.attempts - 1 if self.pending else self.attempts

    def _is_current_server(self):
        return not self.ended and self.issuer in (settings.ISSUER_CONNECTION, settings.ISSUER_FACTORY_IDENTITY)

    def _make_current(self, issuer, sequence, now, powered_s):
        self.issuer = issuer
        self.sequence = sequence
        self.successes = self.failures = self.changes = 0
        self.ended = settings.ENDED_NOT
        self.accepted_at_s = now or 0
        self.accepted_powered_s = powered_s

    def _take(self, body):
        (
            self.kind,
            self.door,
            self.issuer,
            self.ended,
            self.sequence,
            self.highest_connection,
            self.highest_factory_identity,
            self.successes,
            self.failures,
            self.changes,
            self.failures_in_a_row,
            self.attempts,
            self.successes_ever,
            self.accepted_at_s,
            self.accepted_powered_s,
            self.factory_ended,
            self.tamper,
            self.factory_failures,
            self.revoked_connection,
            self.revoked_factory_identity,
            self.url_digest8,
            self.factory_first_use_s,
        ) = struct.unpack_from(_BODY, body)
        self._body = body

    def _write(self, kind, door=settings.DOOR_NONE, keep=False):
        self.kind = kind
        self.door = door
        body = struct.pack(
            _BODY,
            kind,
            door,
            self.issuer,
            self.ended,
            self.sequence,
            self.highest_connection,
            self.highest_factory_identity,
            self.successes,
            self.failures,
            self.changes,
            self.failures_in_a_row,
            self.attempts,
            self.successes_ever,
            self.accepted_at_s,
            self.accepted_powered_s,
            self.factory_ended,
            self.tamper,
            self.factory_failures,
            self.revoked_connection,
            self.revoked_factory_identity,
            self.url_digest8,
            self.factory_first_use_s,
        )
        try:
            self._ring.append(body)
        except StoreError:
            if keep:
                self._body = body
            else:
                self._take(self._body)
            raise
        self._body = body


def _sum(total, more):
    return min(total + more, _U16_MAX)
