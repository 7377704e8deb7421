"""The vault: the unique information as one sealed snapshot, old or new, never a mixture (R2, S9)."""

from micropython import const

from firmware.crypto.seal import IV_SIZE, Sealer
from firmware.errors import FlashError, SealError, TamperError
from firmware.store.slot import BLANK, FLAG_PURGE, VALID, Slot

_MAGIC = b"IKV1"
_READS = const(3)  # that must agree before a tamper counts (S19)


class Vault:
    """Two slots and the guard that says which one is the newest.

    random(n) gives n bytes. After `start`, unless that raised TamperError:
    `generation`, `tag` (32 bytes, the seal), `purge_pending` (the readings
    ring is to be erased before anything else is done with it, R5).
    """

    def __init__(self, window, guard, key64, random, label=b"inkan vault"):
        half = window.sector_count // 2
        sealer = Sealer(key64)
        self._slots = tuple(
            Slot(window.part(index * half, half), sealer, label, index, _MAGIC) for index in range(2)
        )
        self._guard = guard
        self._random = random
        self._current = None
        self._other_is_clean = False  # what a cut left may read blank: known to be erased only once we did it

    @property
    def generation(self):
        return self._current.generation if self._current else 0

    @property
    def tag(self):
        return self._current.tag if self._current else None

    @property
    def purge_pending(self):
        return bool(self._current and self._current.flags & FLAG_PURGE)

    def start(self):
        """Find the newest snapshot and finish a commit that was cut: the table of docs/format.md.

        Needs no random bytes. `TamperError` vault_seal, vault_missing,
        vault_rollback, guard_missing or guard_mismatch if three reads agree
        on it; nothing is written then.
        """
        for _ in range(_READS):
            found = self._look()
            if not found:
                break
        else:
            raise TamperError(found)
        other = self._other()
        if other.state == VALID and other.generation == self.generation + 1 and other.make_firm():
            self._current, other = other, self._current
            self._finish(other)
        elif not self._current.settled:
            if not self._current.make_firm():
                raise TamperError(self._what_now())
            self._finish(other)
        elif other.state != BLANK:
            other.erase_not_blank()

    def read(self):
        """The body as a bytearray, verified as it was read. `TamperError` if it is not what the guard names."""
        self._need_current()
        try:
            return self._current.read()
        except SealError:
            pass
        raise TamperError(self._what_now())

    def check(self):
        """Verify without decrypting. `TamperError` as `read`."""
        self._need_current()
        if not self._current.still_valid():
            raise TamperError(self._what_now())

    def commit(self, body, purge=False):
        """Replace the snapshot by bytes or a list of (id, value). When it returns, the old one is gone.

        The first one after a start erases all sectors of the free slot, later ones what they need.
        On `StoreError` (does not fit) and `FlashError` from programming the old one stays.
        """
        self._need_current()
        target = self._other()
        whole = not self._other_is_clean
        self._other_is_clean = False
        self._write(target, self.generation + 1, body, purge, whole)
        old = self._current
        self._guard.append(target.generation, target.tag)
        self._current = target
        old.erase_used()
        target.settle()
        self._other_is_clean = True

    def create(self):
        """Provisioning, on erased sectors: a snapshot without items, of generation 1."""
        target = self._slots[0]
        self._write(target, 1, b"", False)
        self._guard.append(1, target.tag)
        self._current = target
        target.settle()

    def wipe(self, above=0):
        """The way back from tamper: an empty vault with the purge flag.

        Its generation is higher than every one that flash has a valid seal
        for, and than `above`, what a server remembers.
        """
        first, second = self._slots
        newest = max(above, self._guard.generation)
        for slot in self._slots:
            if slot.look() == VALID:
                newest = max(newest, slot.generation)
        # The highest valid generation stays until the guard names a higher one.
        keeps_first = first.state == VALID and (second.state != VALID or first.generation > second.generation)
        target, old = (second, first) if keeps_first else (first, second)
        self._current = None
        self._write(target, newest + 1, b"", True)
        self._guard.replace(target.generation, target.tag)
        self._current = target
        old.erase_all()
        target.settle()

    def _look(self):
        """Read guard and slots, set the current slot; returns what is wrong or None."""
        self._current = None
        self._other_is_clean = False
        guard = self._guard
        guard.start()
        for slot in self._slots:
            slot.look()
        if not guard.tag:
            return "guard_missing"
        if guard.mismatch:
            return "guard_mismatch"
        for slot in self._slots:
            if slot.state == VALID and slot.generation == guard.generation:
                if slot.tag != guard.tag:
                    return "vault_rollback"
                self._current = slot
                return None
        return self._what_is_there()

    def _what_is_there(self):
        states = [slot.state for slot in self._slots]
        if VALID in states:
            return "vault_rollback"
        return "vault_missing" if states == [BLANK, BLANK] else "vault_seal"

    def _what_now(self):
        """Names what became of the current slot while running."""
        state = self._current.state_now()
        if state == VALID:
            return "vault_rollback"
        return "vault_missing" if state == BLANK else "vault_seal"

    def _need_current(self):
        if not self._current:
            raise TamperError(self._look() or "vault_seal")

    def _write(self, target, generation, body, purge, whole=True):
        try:
            target.write(generation, FLAG_PURGE if purge else 0, self._random(IV_SIZE), body, whole)
        except FlashError:
            target.erase_not_blank()
            raise

    def _finish(self, old):
        """The last steps of a commit, after a start. If the guard has the record, its last bits may be weak."""
        self._guard.append(self._current.generation, self._current.tag)
        old.erase_all()
        self._current.settle()

    def _other(self):
        return self._slots[1] if self._current is self._slots[0] else self._slots[0]
