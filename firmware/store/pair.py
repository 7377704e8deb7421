"""A sealed pair: two slots, of which one holds the newest contents (docs/format.md, "Pairs")."""

from micropython import const

from firmware.crypto.seal import IV_SIZE, Sealer
from firmware.errors import FlashError
from firmware.store.slot import BLANK, FLAG_EMPTY, VALID, Slot

_READS = const(3)  # that must agree before a pair counts as broken


class SealedPair:
    """Contents that are replaced as a whole: a write leaves the old or the new ones.

    label (bytes) and magic (4 bytes) as in docs/format.md; random(n) gives n
    bytes. After `start`: `generation`, 0 before the first write, and `broken`,
    True if neither slot is valid and one is not blank.
    """

    def __init__(self, window, key64, label, magic, random):
        half = window.sector_count // 2
        sealer = Sealer(key64)
        self._slots = tuple(
            Slot(window.part(index * half, half), sealer, label, index, magic) for index in range(2)
        )
        self._random = random
        self._current = None
        self.generation = 0
        self.broken = False

    def start(self):
        """Find the newest contents and finish what a power cut left undone. Needs no random bytes."""
        for _ in range(_READS):
            self._look()
            current = self._current
            if current and not current.settled and not current.make_firm():
                continue  # what a cut left weak does not hold: now it is not valid any longer
            if not self.broken:
                break
        if self._current:
            self._settle(self._other())

    def read(self):
        """The contents as a bytearray, or None. `SealError` if flash does not hold any longer what was there."""
        if not self._current or self._current.flags & FLAG_EMPTY:
            return None
        return self._current.read()

    def write(self, body):
        """Replace the contents by bytes or a list of (id, value). When it returns, the old ones are gone."""
        self._write(0, self._random(IV_SIZE), body)

    def erase(self):
        """Erase the contents. Needs no random bytes; does nothing where there are none."""
        if self.broken:
            for slot in self._slots:
                slot.erase_all()
            self.broken = False
        elif self._current and not self._current.flags & FLAG_EMPTY:
            self._write(FLAG_EMPTY, None, b"")

    def _write(self, flags, iv, body):
        target = self._other()
        try:
            target.write(self.generation + 1, flags, iv, body)
        except FlashError:
            target.erase_not_blank()
            raise
        old = self._current
        self._current = target
        self.generation = target.generation
        # What lies beside a broken or an empty pair's new slot may be anything.
        if old:
            old.erase_used()
        else:
            self._other().erase_all()
        self.broken = False
        target.settle()

    def _look(self):
        first, second = self._slots
        first.look()
        second.look()
        self._current = None
        if first.state == VALID and (second.state != VALID or first.generation > second.generation):
            self._current = first
        elif second.state == VALID:
            self._current = second
        self.generation = self._current.generation if self._current else 0
        self.broken = not self._current and (first.state != BLANK or second.state != BLANK)

    def _other(self):
        return self._slots[1] if self._current is self._slots[0] else self._slots[0]

    def _settle(self, other):
        if not self._current.settled:
            other.erase_all()
            self._current.settle()
        elif other.state != BLANK:
            other.erase_not_blank()
