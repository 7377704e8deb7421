"""The detection unit (R3, S19): every read of the unique information goes through it."""

from micropython import const

from firmware import settings
from firmware.errors import StoreError, TamperError

# The code on flash is the place in this row (docs/format.md).
REASONS = (
    "",
    "root_missing",
    "root_mismatch",
    "vault_seal",
    "vault_missing",
    "vault_rollback",
    "guard_missing",
    "guard_mismatch",
    "identity_seal",
    "attempts_missing",
    "audit_missing",
    "clock_missing",
    "remote_rollback",
    "attempts_chain",
    "clock_chain",
    "audit_chain",
    "readings_chain",
    "settings_seal",
)
_FIRST_THAT_BARS_NOTHING = const(13)
_OTHER = const(255)


class Detection:
    """tamper: None, or the reason that is latched. listeners are called when that changes."""

    def __init__(self, vault, attempts, audit):
        self._vault = vault
        self._attempts = attempts
        self._audit = audit
        self.tamper = None
        self.listeners = []

    def start(self, first_tamper, findings=()):
        """Latch what is latched in flash, else what the store found (a reason or None).

        findings: all that the store found; what bars nothing is noted in the audit trail, once.
        """
        for finding in findings:
            code = _code(finding)
            if code >= _FIRST_THAT_BARS_NOTHING and not self._audit.has("finding", code):
                self._audit.record("finding", detail=code)
        code = self._attempts.tamper
        if not code:
            if first_tamper:
                self.latch(first_tamper)
            return
        self.tamper = REASONS[code] if code < len(REASONS) else "other"
        if self._attempts.was_latched_last() and not self._audit.has("tamper", code):
            self._audit.record("tamper", detail=code)  # the power went between the two records

    def read(self):
        """The vault's body, verified as it was read. `TamperError` if it may not be used."""
        if self.tamper:
            raise TamperError(self.tamper)
        found = None
        agreed = True
        for _ in range(settings.TAMPER_READS):
            try:
                return self._vault.read()
            except TamperError as error:
                agreed = agreed and found in (None, error.what)
                found = error.what
        if agreed:
            self.latch(found)
        raise TamperError(found)

    def latch(self, reason):
        """From now on the information is not used; the first reason stays."""
        if self.tamper:
            return
        self.tamper = reason
        code = _code(reason)
        try:
            self._attempts.latch_tamper(code)
            self._audit.record("tamper", detail=code)
        except StoreError:
            pass  # the finding holds for this boot, and the next start makes it again
        self._notify()

    def clear(self):
        """The information was wiped and the wipe is in flash."""
        self.tamper = None
        self._notify()

    def _notify(self):
        for listener in self.listeners:
            listener()


def _code(reason):
    return REASONS.index(reason) if reason in REASONS else _OTHER
