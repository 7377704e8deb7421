"""A ring of sealed records, each chained to the one before (docs/format.md, "Rings")."""

from cryptolib import aes
from micropython import const

from firmware.crypto.hmac import HmacSha256
from firmware.crypto.seal import IV_SIZE
from firmware.errors import FlashError, SealError, StoreError

BODY_SIZE = const(80)

_SLOT_SIZE = const(128)
_BLANK_SLOT = b"\xff" * _SLOT_SIZE
_SLOTS = const(32)  # a sector; the first one is its header
_IV_AT = const(4)
_BODY_AT = const(20)
_TAG_AT = const(100)
_TAG_SIZE = const(28)
_NO_TAG = bytes(_TAG_SIZE)

_HEADER_MAGIC = b"IKJ1"
_HEADER_CHAIN_AT = const(16)
_HEADER_END = const(44)
_TRIES = const(3)
_MODE_CBC = const(2)
_RECENT_SECTORS = const(2)


class Ring:
    """Records of at most 80 bytes; the oldest sector's go when the ring is full.

    After `start`: `empty`; `head_number` and `head_tag` (28 bytes) that the next
    record continues, 0 and zeros before the first; `first_number`, the oldest
    that is there; `broken_after_last`, slots behind the newest record that are
    neither blank nor valid; `chain_breaks`; `losses`, 1 if the ring was begun
    anew after all of it was lost.

    A large ring is started with recent=True: it looks at no more than the newest
    two sectors, further back only until there is a record. The older ones are
    verified as `records` comes to them, which adds to `chain_breaks`.
    """

    def __init__(self, window, key64, ring_id, label, random):
        self._window = window
        # Not a Sealer: a record has no padding, and its tag covers more than IV and ciphertext.
        self._key = key64[:32]
        self._mac = HmacSha256(key64[32:])
        self._ring_id = ring_id
        self._header_label = label + b"h"
        self._record_label = label + b"r" + bytes((ring_id,))
        self._random = random
        self._slot = window.scratch.record
        self._clear()

    def _clear(self):
        self.head_number = 0
        self.head_tag = _NO_TAG
        self.first_number = 1
        self.broken_after_last = 0
        self.chain_breaks = 0
        self.losses = 0
        self.empty = True
        self._last_at = -1  # address of the newest record, its tag, and the tag that it continues
        self._last_tag = self._before_last = _NO_TAG
        self._sequence = 0  # of the newest sector; 0: there is none
        self._next = _SLOTS  # place in it for the next record

    # Start-up

    def start(self, recent=False):
        """Read all of the ring, or with recent the end of it, and follow its chain.

        Writes nothing but, once more, the record or header that is newest: a
        power cut may have left it weak, and the next one is to continue it.
        """
        for _ in range(_TRIES):
            self._clear()
            self._find_newest(recent)
            if self._sequence:
                self._next = self._used(self._sector_of(self._sequence))
                self._read_all(_RECENT_SECTORS if recent else self._window.sector_count)
            if self._make_firm():
                break

    def _find_newest(self, recent):
        """Set the sequence of the newest sector; with recent, headers are taken by their looks until one is chosen."""
        count = self._window.sector_count
        found = -1
        if recent:
            sequence = 0
            head = self._slot[:_HEADER_CHAIN_AT]
            for sector in range(count):
                self._window.read(sector * self._window.sector_size, head)
                if head[:4] == _HEADER_MAGIC and int.from_bytes(head[8:12], "little") > sequence:
                    sequence = int.from_bytes(head[8:12], "little")
                    found = sector
            if found < 0:
                return
            header = self._read_header(found)
            if header:
                self._sequence, _, _, self.losses = header
                return
        for sector in range(count):
            header = self._read_header(sector)
            if header and header[0] > self._sequence:
                self._sequence = header[0]
                self.losses = header[3]

    def _read_all(self, sectors):
        """Walk over so many of the newest sectors; over more of them until there is a record."""
        oldest = self._oldest()
        first = max(oldest, self._sequence - sectors + 1)
        while True:
            self._read_from(first)
            if not self.empty or first == oldest:
                break
            first = max(oldest, first - sectors)
        if first > oldest:
            self.first_number = 1
            self._forget_first()

    def _read_from(self, first):
        self.chain_breaks = 0
        walk = _Walk(self)
        for sequence in range(first, self._sequence + 1):
            if self._follow(sequence, walk):
                continue
            if not self._may_be_damaged(sequence):
                self.chain_breaks += 1
            walk.lost()
        self.broken_after_last = walk.broken
        self.head_number, self.head_tag = walk.number, walk.tag

    def _follow(self, sequence, walk):
        """Walk over a sector; False if it is not there."""
        sector = self._sector_of(sequence)
        header = self._read_header(sector)
        if not header or header[0] != sequence:
            return False
        breaks = walk.enter(header[1], header[2])
        for place, slot in self._slots_of(sector):
            found = walk.step(slot)
            breaks += found >> 1
            if found & 1:
                if self.empty:
                    self.first_number = walk.number
                self.empty = False
                self._last_at = sector * self._window.sector_size + place * _SLOT_SIZE
                self._last_tag = walk.tag
                self._before_last = walk.before
        if self._may_be_damaged(sequence):
            walk.lost()
        else:
            self.chain_breaks += breaks
        return True

    def _may_be_damaged(self, sequence):
        """The erase of the oldest sector may have been cut once the newest was full."""
        return sequence + self._window.sector_count - 1 == self._sequence and self._next == _SLOTS

    def _make_firm(self):
        """Program the newest record again, and a header without records; False if it is not what was read before."""
        slot = self._slot
        if self._next == 1:
            sector = self._sector_of(self._sequence)
            if not self._read_header(sector):
                return False
            self._window.program(sector * self._window.sector_size, slot)
        if not self.empty:
            self._window.read(self._last_at, slot)
            if not self._is_last(slot):
                return False
            self._window.program(self._last_at, slot)
        return True

    # Reading

    def last(self):
        """The body of the newest record as a bytearray, or None. `SealError` if it is no longer what it was."""
        if self.empty:
            return None
        slot = self._slot
        self._window.read(self._last_at, slot)
        if not self._is_last(slot):
            raise SealError()
        return bytearray(self._decrypted(slot))

    def _is_last(self, slot):
        return slot[_TAG_AT:] == self._last_tag and self.record_tag(slot, self._before_last) == self._last_tag

    def records(self, from_number=1):
        """Yield (number, body, tag) of every record from a number on; body is a bytes of 80, tag of 28.

        What does not verify is passed over. The ring may be appended to meanwhile.
        """
        for number, body, tag, _ in self.chained(from_number):
            yield number, body, tag

    def chained(self, from_number=1):
        """As `records`, and with each the tag of the record before it, which it continues."""
        sequence = self._sequence_of(from_number)
        walk = _Walk(self)
        slot = memoryview(bytearray(_SLOT_SIZE))
        while sequence <= self._sequence:
            sector = self._sector_of(sequence)
            header = self._read_header(sector)
            if header and header[0] == sequence:
                breaks = walk.enter(header[1], header[2])
                for place in range(1, _SLOTS):
                    self._window.read(sector * self._window.sector_size + place * _SLOT_SIZE, slot)
                    found = walk.step(slot)
                    breaks += found >> 1
                    if found & 1 and walk.number >= from_number:
                        yield walk.number, self._decrypted(slot), walk.tag, walk.before
                if self._is_old(sequence):
                    self.chain_breaks += breaks
                else:
                    walk.lost()  # a sector that may go, or has gone meanwhile, tells nothing of a break
            else:
                self.chain_breaks += self._is_old(sequence)
                walk.lost()
            sequence += 1

    def _is_old(self, sequence):
        """Whether a sector is whole for certain: neither the newest nor the one that is erased next."""
        return self._sequence - self._window.sector_count + 1 < sequence < self._sequence

    def _sequence_of(self, number):
        """The newest sector that begins at a record or before it; the oldest one where none does."""
        sequence = self._sequence
        oldest = self._oldest()
        while sequence > oldest:
            header = self._read_header(self._sector_of(sequence))
            if not header or header[0] != sequence:
                sequence -= 1
            elif header[1] <= number:
                break
            else:
                # No sector has more than 31: so many before this one at the least.
                sequence -= (header[1] - number + _SLOTS - 2) // (_SLOTS - 1)
        return max(sequence, oldest)

    def _oldest(self):
        return max(1, self._sequence - self._window.sector_count + 1)

    # Writing

    def append(self, body):
        """Write a record of at most 80 bytes and read it back; returns its number."""
        if len(body) > BODY_SIZE:
            raise StoreError()
        number = self.head_number + 1
        slot = self._slot
        for _ in range(_TRIES):
            if self._next >= _SLOTS:
                self._change_sector()
            address = self._sector_of(self._sequence) * self._window.sector_size + self._next * _SLOT_SIZE
            iv = self._random(IV_SIZE)
            slot[:_IV_AT][:] = number.to_bytes(4, "little")
            slot[_IV_AT:_BODY_AT][:] = iv
            slot[_BODY_AT : _BODY_AT + len(body)][:] = body
            slot[_BODY_AT + len(body) : _TAG_AT][:] = bytes(BODY_SIZE - len(body))
            part = slot[_BODY_AT:_TAG_AT]
            aes(self._key, _MODE_CBC, iv).encrypt(part, part)
            tag = self.record_tag(slot, self.head_tag)
            slot[_TAG_AT:][:] = tag
            self._next += 1
            if self._programmed(address):
                break
        else:
            raise FlashError()
        if self.empty:
            self.first_number = number
        self._before_last = self.head_tag
        self.head_number = number
        self.head_tag = self._last_tag = tag
        self._last_at = address
        self.empty = False
        self.broken_after_last = 0
        return number

    def forgive(self):
        """Go on in a new sector that does not tell of losses any longer."""
        if self.losses:
            self.losses = 0
            self._change_sector()

    def begin_anew(self):
        """From now on, on a ring that is lost, tell of the loss with every sector."""
        self.losses = 1
        self._next = _SLOTS

    def erase_all(self):
        """Erase every sector that is not blank; the ring begins anew with number 1."""
        self._window.erase_not_blank()
        self._clear()

    def _change_sector(self):
        sequence = self._sequence + 1
        sector = self._sector_of(sequence)
        if not self.empty and sequence > 1 and self._last_at // self._window.sector_size == sector:
            # All slots of the sectors since are torn: the newest record stays, the newest sector goes.
            sequence -= 1
            sector = self._sector_of(sequence)
        for _ in range(_TRIES):
            self._window.erase(sector)
            slot = self._slot
            slot[:4][:] = _HEADER_MAGIC
            slot[4:8][:] = bytes((self._ring_id, self.losses, 0, 0))
            slot[8:12][:] = sequence.to_bytes(4, "little")
            slot[12:_HEADER_CHAIN_AT][:] = (self.head_number + 1).to_bytes(4, "little")
            slot[_HEADER_CHAIN_AT:_HEADER_END][:] = self.head_tag
            slot[_HEADER_END:_TAG_AT][:] = b"\xff" * (_TAG_AT - _HEADER_END)
            slot[_TAG_AT:][:] = self._header_tag(slot)
            if self._programmed(sector * self._window.sector_size):
                break
        else:
            raise FlashError()
        self._sequence = sequence
        self._next = 1
        self._forget_first()

    def _programmed(self, address):
        wanted = bytes(self._slot)
        self._window.program(address, self._slot)
        self._window.read(address, self._slot)
        return self._slot == wanted

    def _forget_first(self):
        """The sector that held the oldest record may be gone."""
        for sequence in range(self._oldest(), self._sequence + 1):
            header = self._read_header(self._sector_of(sequence))
            if header and header[0] == sequence:
                self.first_number = max(self.first_number, header[1])
                return

    # Seals

    def _sector_of(self, sequence):
        return (sequence - 1) % self._window.sector_count

    def _used(self, sector):
        """The place behind the last slot that is not blank."""
        used = 1
        for place, slot in self._slots_of(sector):
            if slot != _BLANK_SLOT:
                used = place + 1
        return used

    def _slots_of(self, sector):
        """Yield (place, view) of a sector's records, read several at a time: for use within one call."""
        view = self._window.scratch.view
        start = sector * self._window.sector_size
        for at in range(0, _SLOTS * _SLOT_SIZE, len(view)):
            self._window.read(start + at, view)
            for offset in range(0, len(view), _SLOT_SIZE):
                if at + offset:
                    yield (at + offset) // _SLOT_SIZE, view[offset : offset + _SLOT_SIZE]

    def _read_header(self, sector):
        """(sequence, number of its first record, tag before that, losses), or None."""
        slot = self._slot
        self._window.read(sector * self._window.sector_size, slot)
        if slot[:4] != _HEADER_MAGIC or slot[4] != self._ring_id or slot[_TAG_AT:] != self._header_tag(slot):
            return None
        sequence = int.from_bytes(slot[8:12], "little")
        if self._sector_of(sequence) != sector:
            return None
        number = int.from_bytes(slot[12:_HEADER_CHAIN_AT], "little")
        return sequence, number, bytes(slot[_HEADER_CHAIN_AT:_HEADER_END]), slot[5]

    def _header_tag(self, slot):
        mac = self._mac
        mac.reset()
        mac.update(self._header_label)
        mac.update(slot[:_HEADER_END])
        return mac.digest()[:_TAG_SIZE]

    def record_tag(self, slot, before):
        """The tag that a slot must have to continue the tag `before`."""
        mac = self._mac
        mac.reset()
        mac.update(self._record_label)
        mac.update(slot[:_IV_AT])
        mac.update(before)
        mac.update(slot[_IV_AT:_TAG_AT])
        return mac.digest()[:_TAG_SIZE]

    def _decrypted(self, slot):
        part = slot[_BODY_AT:_TAG_AT]
        aes(self._key, _MODE_CBC, slot[_IV_AT:_BODY_AT]).decrypt(part, part)
        return bytes(part)


class _Walk:
    """Follows the chain: number and tag are those of the last valid record, before is what it continues."""

    def __init__(self, ring):
        self._ring = ring
        self.number = 0
        self.tag = self.before = _NO_TAG
        self.broken = 0  # slots since that are neither blank nor valid
        self._known = False  # whether the next header has to continue number and tag
        self._slot_tag = None  # of the slot before, valid or not
        self._after_blank = False
        self._skipped = None  # copy of the slot before, if that was not valid

    def lost(self):
        """What comes next need not continue what was there."""
        self._known = False

    def enter(self, first_number, chain):
        """A sector's header; returns the number of breaks that it shows."""
        breaks = 0
        if self.number + 1 != first_number or self.tag != chain:
            breaks = 1 if self._known else 0
            self.number = first_number - 1
            self.tag = chain
        self._known = True
        self._slot_tag = None
        self._after_blank = False
        self._skipped = None
        return breaks

    def step(self, slot):
        """The next slot; returns 1 if it is valid, plus twice the number of breaks that it shows."""
        if slot == _BLANK_SLOT:
            self._after_blank = True
            return 0
        breaks = 1 if self._after_blank else 0
        self._after_blank = False
        number = int.from_bytes(slot[:_IV_AT], "little")
        tag = bytes(slot[_TAG_AT:])
        slot_tag, self._slot_tag = self._slot_tag, tag
        if number == self.number + 1 and self._ring.record_tag(slot, self.tag) == tag:
            before = self.tag
        elif slot_tag and number > self.number and self._ring.record_tag(slot, slot_tag) == tag:
            before = slot_tag
            breaks += 1
        else:
            self.broken += 1
            self._skipped = bytes(slot)
            return breaks << 1
        if self._skipped and self._ring.record_tag(memoryview(self._skipped), tag) == self._skipped[_TAG_AT:]:
            breaks += 1  # the record behind this one stands before it
        self._skipped = None
        self.broken = 0
        self.number, self.tag, self.before = number, tag, before
        return (breaks << 1) + 1
