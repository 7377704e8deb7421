"""One place for a sealed snapshot: half of a pair, or of the vault (docs/format.md, "Sealed slot")."""

from micropython import const

from firmware.codec import ITEM_HEAD_SIZE, item_head_into, items_size
from firmware.crypto.seal import IV_SIZE, TAG_SIZE, padding
from firmware.errors import FlashError, SealError, StoreError
from firmware.store.window import is_blank

FLAG_PURGE = const(1)
FLAG_EMPTY = const(2)

# What `look` finds.
BLANK = const(0)
VALID = const(1)
OTHER = const(2)

_FORMAT = const(1)
_HEADER_SIZE = const(16)
_BODY_AT = const(32)
_SETTLED_SIZE = const(16)
_SETTLED = bytes(_SETTLED_SIZE)
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
        view = memoryview(self.window.scratch)
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
        empty = flags & FLAG_EMPTY
        size = _padded(flags, length)
        if _OVERHEAD + size > self.window.size:
            raise StoreError()
        self.state = OTHER
        self._put_header(generation, flags, length)
        for sector in range(self.window.sector_count if whole else self._sectors_of(size)):
            self.window.erase(sector)
        if empty:
            iv = bytes(IV_SIZE)
        writer = _Writer(self.window, self._sealer.writer(iv, self._context), self._header, iv)
        if not empty:
            if as_items:
                writer.items(body)
            else:
                writer.put(body)
            writer.put(padding(length))
        self.tag = writer.finish()
        self.settled = False
        if not self.still_valid():
            raise FlashError()
        self.state = VALID

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

    def _put_header(self, generation, flags, length):
        header = self._header
        header[:4] = self._magic
        header[4:8][:] = bytes((_FORMAT, flags, 0, 0))
        header[8:12][:] = generation.to_bytes(4, "little")
        header[12:16][:] = length.to_bytes(4, "little")
        self.generation = generation
        self.flags = flags
        self.length = length

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
        view = memoryview(self.window.scratch)
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
        return generation, flags, length, tag, not is_blank(tail[TAG_SIZE:])


def _padded(flags, length):
    """Bytes of ciphertext."""
    return 0 if flags & FLAG_EMPTY else length + len(padding(length))


class _Writer:
    """Collects a snapshot in the scratch buffer, encrypts it there and programs it piece by piece."""

    def __init__(self, window, sealing, header, iv):
        self._window = window
        self._sealing = sealing
        self._view = memoryview(window.scratch)
        self._view[:_HEADER_SIZE] = header
        self._view[_HEADER_SIZE:_BODY_AT][:] = iv
        self._address = 0
        self._plain_from = _BODY_AT
        self._fill = _BODY_AT

    def put(self, data):
        view = self._view
        done = 0
        while done < len(data):
            count = min(len(view) - self._fill, len(data) - done)
            view[self._fill : self._fill + count][:] = data[done : done + count]
            self._fill += count
            done += count
            if self._fill == len(view):
                self._flush()

    def items(self, items):
        head = bytearray(ITEM_HEAD_SIZE)
        for item_id, value in items:
            item_head_into(head, item_id, len(value))
            self.put(head)
            self.put(value)

    def finish(self):
        """Program the rest and the tag; returns the tag."""
        if len(self._view) - self._fill < TAG_SIZE:
            self._flush()
        else:
            self._encrypt()
        tag = self._sealing.finish()
        self._view[self._fill : self._fill + TAG_SIZE][:] = tag
        self._fill += TAG_SIZE
        self._window.program(self._address, self._view[: self._fill])
        return tag

    def _encrypt(self):
        if self._fill > self._plain_from:
            self._sealing.update(self._view[self._plain_from : self._fill])
        self._plain_from = self._fill

    def _flush(self):
        self._encrypt()
        self._window.program(self._address, self._view[: self._fill])
        self._address += self._fill
        self._plain_from = self._fill = 0
