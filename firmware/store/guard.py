"""The guard: generation and seal of the newest vault, apart from it, so that an old vault is known as old (S9)."""

from struct import pack_into

from micropython import const

from firmware.crypto.hmac import HmacSha256
from firmware.errors import FlashError

_LABEL = b"inkan guard"
_MAGIC = b"IKG1"
_RECORD_SIZE = const(64)
_TAG_AT = const(8)
_SEAL_AT = const(40)
_SEAL_SIZE = const(24)
_DIGEST_SIZE = const(32)
_BLANK_RECORD = b"\xff" * _RECORD_SIZE
_TRIES = const(3)


class Guard:
    """Records in two sectors, appended. After `start`:

    generation and tag (32 bytes) of the newest record, 0 and None if there is
    none; mismatch, True if two records of that generation name different tags.
    """

    def __init__(self, window, key64):
        self._window = window
        # The seal comes as 32 bytes; the record ends within them.
        buffer = memoryview(bytearray(_SEAL_AT + _DIGEST_SIZE))
        self._record = buffer[:_RECORD_SIZE]
        self._sealed = buffer[:_SEAL_AT]
        self._seal_place = buffer[_SEAL_AT:]
        self._back = memoryview(bytearray(_RECORD_SIZE))
        self._mac = HmacSha256(key64[32:])
        self._per_sector = window.sector_size // _RECORD_SIZE
        self._clear()

    def _clear(self):
        self.generation = 0
        self.tag = None
        self.mismatch = False
        self._sector = 0
        self._next = self._per_sector  # place for the next record; here: none before an erase

    def start(self):
        """Find the newest record. Writes nothing."""
        self._clear()
        for sector in range(self._window.sector_count):
            used = self._scan(sector)
            if used and self._sector == sector:
                self._next = used

    def append(self, generation, tag):
        """Write a record and read it back; the other sector is erased when this one is full."""
        for _ in range(_TRIES):
            if self._next >= self._per_sector:
                self._change_sector()
            address = self._sector * self._window.sector_size + self._next * _RECORD_SIZE
            self._next += 1
            if self._write(address, generation, tag):
                self.generation = generation
                self.tag = tag
                self.mismatch = False
                return
        raise FlashError()

    def replace(self, generation, tag):
        """Leave nothing but one record, which is there before the newest old one goes."""
        self._change_sector()
        self.append(generation, tag)
        self._window.erase(1 - self._sector)

    def _change_sector(self):
        self._sector = 1 - self._sector if self.tag else self._sector
        self._window.erase(self._sector)
        self._next = 0

    def _write(self, address, generation, tag):
        pack_into("<4sI32s", self._record, 0, _MAGIC, generation, tag)
        self._seal_place[:] = self._digest(self._sealed)
        self._window.program(address, self._record)
        self._window.read(address, self._back)
        return self._back == self._record

    def _digest(self, sealed):
        mac = self._mac
        mac.reset()
        mac.update(_LABEL)
        mac.update(sealed)
        return mac.digest()

    def _scan(self, sector):
        """Take over what is newer in a sector; returns the place behind its last one that is not blank."""
        view = self._window.scratch.view
        start = sector * self._window.sector_size
        used = 0
        for at in range(0, self._window.sector_size, len(view)):
            self._window.read(start + at, view)
            for offset in range(0, len(view), _RECORD_SIZE):
                record = view[offset : offset + _RECORD_SIZE]
                if record == _BLANK_RECORD:
                    continue
                used = (at + offset) // _RECORD_SIZE + 1
                if record[:4] == _MAGIC and record[_SEAL_AT:] == self._digest(record[:_SEAL_AT])[:_SEAL_SIZE]:
                    self._take(sector, int.from_bytes(record[4:_TAG_AT], "little"), bytes(record[_TAG_AT:_SEAL_AT]))
        return used

    def _take(self, sector, generation, tag):
        if generation > self.generation:
            self.generation = generation
            self.tag = tag
            self.mismatch = False
        elif generation == self.generation and tag != self.tag:
            self.mismatch = True
        if generation == self.generation:
            self._sector = sector
