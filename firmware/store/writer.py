"""Writes a sealed snapshot of any size through one buffer, with next to no heap."""

from micropython import const

from firmware.codec import ITEM_HEAD_SIZE, item_head_into
from firmware.crypto.seal import BLOCK_SIZE, TAG_SIZE
from firmware.errors import FlashError
from firmware.store.window import HALF_SIZE, SCRATCH_SIZE, SLOT_HEAD_SIZE

_SMALL = const(64)


def shared_writer(scratch):
    """The one SlotWriter of a Scratch."""
    if not scratch.writer:
        scratch.writer = SlotWriter()
    return scratch.writer


class SlotWriter:
    """Collects bytes in a scratch buffer, encrypts them there, programs them and reads them back, piece by piece.

    The first SLOT_HEAD_SIZE bytes (header and IV) stay as they are. One serves
    all slots: it is used from `begin` to `finish` in one go.
    """

    def __init__(self):
        self._item_head = bytearray(ITEM_HEAD_SIZE)
        self._window = self._sealing = None
        self._address = 0  # where in the slot the buffer's contents go
        self._plain_from = 0  # what lies behind that in the buffer is still to be encrypted
        self._fill = 0

    def begin(self, window, sealing):
        """Start a snapshot at the head of an erased window; sealing is a SealWriter."""
        self._window = window
        self._sealing = sealing
        self._address = 0
        self._plain_from = SLOT_HEAD_SIZE
        self._fill = 0

    def put(self, data):
        """Add bytes. `FlashError` as soon as flash does not hold what was programmed."""
        view = self._window.scratch.view
        fill = self._fill
        size = len(data)
        if size <= _SMALL:
            # Byte by byte, since each slice costs heap.
            for at in range(size):
                if fill == SCRATCH_SIZE:
                    fill = self._flush(fill)
                view[fill] = data[at]
                fill += 1
        elif size <= SCRATCH_SIZE - fill:
            view[fill : fill + size] = data
            fill += size
        else:
            data = memoryview(data)
            done = 0
            while done < size:
                if fill == SCRATCH_SIZE:
                    fill = self._flush(fill)
                count = min(SCRATCH_SIZE - fill, size - done)
                view[fill : fill + count] = data[done : done + count]
                fill += count
                done += count
        self._fill = fill

    def put_items(self, items):
        """Add a list of (id, value)."""
        for item_id, value in items:
            item_head_into(self._item_head, item_id, len(value))
            self.put(self._item_head)
            self.put(value)

    def pad(self, length):
        """Add the padding of a body of that length."""
        count = BLOCK_SIZE - length % BLOCK_SIZE
        view = self._window.scratch.view
        fill = self._fill
        if fill == SCRATCH_SIZE:
            fill = self._flush(fill)
        # It ends with the block that is begun, and the buffer is whole blocks.
        for at in range(fill, fill + count):
            view[at] = count
        self._fill = fill + count

    def finish(self):
        """Write out the rest and the tag; returns the tag."""
        fill = self._fill
        if SCRATCH_SIZE - fill < TAG_SIZE:
            fill = self._flush(fill)
        else:
            self._encrypt(fill)
        tag = self._sealing.finish()
        self._window.scratch.view[fill : fill + TAG_SIZE] = tag
        self._program(fill + TAG_SIZE)
        self._sealing = None
        return tag

    def _flush(self, fill):
        self._encrypt(fill)
        self._program(fill)
        self._address += fill
        self._plain_from = 0
        return 0

    def _encrypt(self, fill):
        scratch = self._window.scratch
        if fill == SCRATCH_SIZE:
            self._sealing.update(scratch.behind_head if self._plain_from else scratch.view)
        elif fill > self._plain_from:
            self._sealing.update(scratch.view[self._plain_from : fill])

    def _program(self, fill):
        window, scratch = self._window, self._window.scratch
        window.program(self._address, scratch.view if fill == SCRATCH_SIZE else scratch.view[:fill])
        # Behind it the sector is still erased, so whole halves can be compared.
        for at in range(fill, (fill + HALF_SIZE - 1) // HALF_SIZE * HALF_SIZE):
            scratch.view[at] = 0xFF
        for half in range(len(scratch.halves)):
            at = half * HALF_SIZE
            if at < fill:
                window.read(self._address + at, scratch.back)
                if scratch.back != scratch.halves[half]:
                    raise FlashError()
