"""One place for a sealed snapshot: half of a pair, or of the vault (docs/format.md, "Sealed slot")."""

from struct import pack_into

from micropython import const

from firmware.codec import items_size
from firmware.crypto.seal import BLOCK_SIZE, IV_SIZE, TAG_SIZE, padding
from firmware.errors import SealError, StoreError
from firmware.store.window import SCRATCH_SIZE, SLOT_HEAD_SIZE
from firmware.store.writer import shared_writer

FLAG_PURGE = const(1)
FLAG_EMPTY = const(2)

# What `look` finds.
BLANK = const(0)
VALID = const(1)
OTHER = const(2)

_FORMAT = const(1)
_HEADER_SIZE = const(16)
_BODY_AT = SLOT_HEAD_SIZE
_SETTLED_SIZE = const(16)
_SETTLED = bytes(_SETTLED_SIZE)
_NOT_SETTLED = b"\xff" * _SETTLED_SIZE
_NO_IV = bytes(IV_SIZE)
_OVERHEAD = const(80)  # header, IV, tag, settled


class Slot:
    """A slot of a window of its own. The attributes are those of the last `look` or `write`.

    state: BLANK, VALID or OTHER. While it is VALID: generation, flags,
    length (of the body, bytes), tag (32 bytes), settled.
    """

    def __init__(self, window, sealer, label, index, magic):
        self.window = window
        self.state = OTHER
        self.generation = 0
        self.flags = 0
        self.length = 0
        self.tag = None
        self.settled = False
        self._sealer = sealer
        # Context: label, slot index, header. IV and tag lie behind the header as on flash.
        self._context = bytearray(label + bytes((index,)) + bytes(_HEADER_SIZE))
        self._header = memoryview(self._context)[len(label) + 1 :]
        self._magic = magic

    def look(self):
        """Read the slot, verify its seal, and set the attributes; returns `state`."""
        seen = self._verify()
        if seen:
            self.generation, self.flags, self.length, self.tag, self.settled = seen
        self.state = self._state_of(seen)
        return self.state

    def state_now(self):
        """What `look` would return; the attributes stay."""
        return self._state_of(self._verify())

    def still_valid(self):
        """True if flash still holds what `look` or `write` found: same generation, same seal."""
        seen = self._verify()
        return bool(seen) and seen[0] == self.generation and seen[3] == self.tag

    def read(self):
        """The body as a bytearray, verified as it was read. `SealError` if it is not what `look` or `write` found."""
        view = self.window.scratch.view
        head = self._read_head(view)
        if not head or head[0] != self.generation:
            raise SealError()
        length, size = head[2:]
        iv = bytes(view[_HEADER_SIZE:_BODY_AT])
        body = bytearray(size)
        if size:
            self.window.read(_BODY_AT, body)
        verifier = self._sealer.reader_verify(self._context)
        verifier.update(iv)
        verifier.update(body)
        tag = view[:TAG_SIZE]
        self.window.read(_BODY_AT + size, tag)
        if not verifier.matches(tag) or tag != self.tag:
            raise SealError()
        if size:
            self._sealer.decryptor(iv).update(body)
            if body[length:] != padding(length):
                raise SealError()
            body[length:] = b""
        return body

    def write(self, generation, flags, iv, body, whole=True):
        """Erase the slot, program a snapshot, read it back.

        body: bytes-like, or a list of (id, value). An empty one (FLAG_EMPTY)
        takes no IV. Without `whole` only those sectors are erased that are
        needed. `StoreError` if the body does not fit, before anything is
        erased; `FlashError` if flash does not hold it in the end.
        """
        as_items = isinstance(body, (list, tuple))
        length = items_size(body) if as_items else len(body)
        size = _padded(flags, length)
        if _OVERHEAD + size > self.window.size:
            raise StoreError()
        self.state = OTHER
        for sector in range(self.window.sector_count if whole else self._sectors_of(size)):
            self.window.erase(sector)
        header = self._header
        pack_into("<4sBBHII", header, 0, self._magic, _FORMAT, flags, 0, generation, length)
        if flags & FLAG_EMPTY:
            iv = _NO_IV
        writer = shared_writer(self.window.scratch)
        writer.begin(self.window, self._sealer.writer(iv, self._context))
        writer.put(header)
        writer.put(iv)
        if not flags & FLAG_EMPTY:
            if as_items:
                writer.put_items(body)
            else:
                writer.put(body)
            writer.pad(length)
        self.tag = writer.finish()
        self.generation = generation
        self.flags = flags
        self.length = length
        self.settled = False
        self.state = VALID

    def make_firm(self):
        """Program what is there once more, for bits that a cut left weak; False if the snapshot is not valid then."""
        end = self._settled_at()
        for at in range(0, end, SCRATCH_SIZE):
            part = self.window.scratch.view[: min(SCRATCH_SIZE, end - at)]
            self.window.read(at, part)
            self.window.program(at, part)
        return self.still_valid()

    def settle(self):
        """Mark that the other slot is erased."""
        self.window.program(self._settled_at(), _SETTLED)
        self.settled = True

    def erase_used(self):
        """Erase the sectors that the snapshot reaches, and find them blank."""
        for sector in range(self._sectors_of(_padded(self.flags, self.length))):
            self.window.erase_and_check(sector)
        self.state = BLANK

    def erase_all(self):
        """Erase all sectors, whatever they read, and find them blank."""
        for sector in range(self.window.sector_count):
            self.window.erase_and_check(sector)
        self.state = BLANK

    def erase_not_blank(self):
        self.window.erase_not_blank()
        self.state = BLANK

    def _sectors_of(self, size):
        return (_OVERHEAD + size + self.window.sector_size - 1) // self.window.sector_size

    def _settled_at(self):
        return _BODY_AT + _padded(self.flags, self.length) + TAG_SIZE

    def _state_of(self, seen):
        if seen:
            return VALID
        return BLANK if self.window.all_blank() else OTHER

    def _read_head(self, view):
        """Fill view from the slot's start; returns (generation, flags, length, size of ciphertext), or None."""
        self.window.read(0, view)
        header = self._header
        header[:] = view[:_HEADER_SIZE]
        flags = header[5]
        length = int.from_bytes(header[12:], "little")
        size = _padded(flags, length)
        if (
            header[:4] != self._magic
            or header[4] != _FORMAT
            or flags & ~(FLAG_PURGE | FLAG_EMPTY)
            or flags & FLAG_EMPTY
            and length
            or header[6]
            or header[7]
            or _OVERHEAD + size > self.window.size
        ):
            return None
        return int.from_bytes(header[8:12], "little"), flags, length, size

    def _verify(self):
        """Read it piece by piece; returns (generation, flags, length, tag, settled) if the seal fits, or None."""
        view = self.window.scratch.view
        head = self._read_head(view)
        if not head:
            return None
        generation, flags, length, size = head
        verifier = self._sealer.reader_verify(self._context)
        tail = memoryview(bytearray(TAG_SIZE + _SETTLED_SIZE))
        tail_at = 0
        end = _BODY_AT + size  # of the ciphertext
        at = 0  # where in the slot the view starts
        start = _HEADER_SIZE
        while True:
            stop = min(len(view), end - at)
            if stop > start:
                verifier.update(view[start:stop])
            first = max(end + tail_at - at, 0)
            count = min(len(view) - first, len(tail) - tail_at)
            if count > 0:
                tail[tail_at : tail_at + count][:] = view[first : first + count]
                tail_at += count
            if tail_at == len(tail):
                break
            at += len(view)
            self.window.read(at, view)
            start = 0
        tag = bytes(tail[:TAG_SIZE])
        if not verifier.matches(tag):
            return None
        return generation, flags, length, tag, tail[TAG_SIZE:] != _NOT_SETTLED


def _padded(flags, length):
    """Bytes of ciphertext."""
    return 0 if flags & FLAG_EMPTY else length + BLOCK_SIZE - length % BLOCK_SIZE
