"""Keys in a matrix of rows and columns, without diodes.

Rows are open-drain outputs (0 drives low, 1 lets go), so two keys of one
column never join two driven levels. Columns are inputs with pull-ups.
"""

import asyncio
import time

from micropython import const

_IDLE_MS = const(20)  # between two looks while no key is down
_ACTIVE_MS = const(5)  # and while one is
_DEBOUNCE_MS = const(10)
_SETTLE_US = const(10)  # a column's pull-up against the capacitance of its wire
_REPEAT_AFTER_MS = const(500)
_REPEAT_EVERY_MS = const(120)
# An arrow that stays down longer is stuck or leant upon; it must not keep a session from going idle.
_MOST_REPEATS = const(100)
_REPEATING = "UDLR"
_QUEUE_KEYS = const(16)


class MatrixKeypad:
    """Key codes of one character each, in the order in which the keys went down.

    `rows` and `columns` are pins; `codes` names the keys row by row, a space
    where there is none. `run` has to be a task for as long as keys are wanted.
    `dropped` counts the keys that found the queue full.
    """

    def __init__(self, rows, columns, codes, ticks_ms, sleep_us):
        if len(codes) != len(rows) * len(columns):
            raise ValueError("codes")
        self._rows = rows
        self._columns = columns
        self._codes = codes
        self._ticks_ms = ticks_ms
        self._sleep_us = sleep_us
        self.dropped = 0
        # Bit row * len(columns) + column is one key.
        self._seen = 0  # the last reading, -1 when it was ambiguous
        self._seen_at = 0
        self._down = 0  # the last reading that stood for _DEBOUNCE_MS
        self._repeat_bit = 0
        self._repeat_at = 0
        self._repeats = 0
        self._row_masks = bytearray(len(rows))
        self._queue = bytearray(_QUEUE_KEYS)
        self._head = 0
        self._count = 0
        self._filled = asyncio.Event()
        self._drive_all()

    async def run(self):
        """Look at the keys for ever."""
        while True:
            await asyncio.sleep_ms(self.scan())

    async def next_key(self):
        """The code of the next key, waiting for one."""
        while not self._count:
            self._filled.clear()
            await self._filled.wait()
        index = self._queue[self._head]
        self._head = (self._head + 1) % _QUEUE_KEYS
        self._count -= 1
        return self._codes[index]

    def scan(self):
        """One look at the keys; returns the milliseconds until the next is due. Allocates nothing."""
        if not self._seen and not self._down and not self._any_column_low():
            return _IDLE_MS
        now = self._ticks_ms()
        reading = self._read()
        if reading != self._seen or reading < 0:
            self._seen = reading
            self._seen_at = now
        elif reading != self._down:
            if time.ticks_diff(now, self._seen_at) >= _DEBOUNCE_MS:
                self._accept(reading, now)
        elif reading & self._repeat_bit:
            self._repeat(now)
        return _ACTIVE_MS if self._seen or self._down else _IDLE_MS

    def _any_column_low(self):
        for pin in self._columns:
            if not pin.value():
                return True
        return False

    def _drive_all(self):
        for pin in self._rows:
            pin.value(0)

    def _read(self):
        """Every key that reads as down, or -1 where the reading can stand for more than one set of keys."""
        for pin in self._rows:
            pin.value(1)
        reading = 0
        bit = 1
        for row in range(len(self._rows)):
            self._rows[row].value(0)
            self._sleep_us(_SETTLE_US)
            mask = 0
            column_bit = 1
            for pin in self._columns:
                if not pin.value():
                    mask |= column_bit
                    reading |= bit
                column_bit <<= 1
                bit <<= 1
            self._rows[row].value(1)
            self._row_masks[row] = mask
        self._drive_all()
        return -1 if self._ambiguous() else reading

    def _ambiguous(self):
        # Three keys at the corners of a rectangle read as four. Two rows that share two columns may be that.
        for row in range(1, len(self._rows)):
            mask = self._row_masks[row]
            for other in range(row):
                shared = mask & self._row_masks[other]
                if shared & (shared - 1):
                    return True
        return False

    def _accept(self, reading, now):
        pressed = reading & ~self._down
        self._down = reading
        index = 0
        while pressed:
            if pressed & 1:
                self._put(index)
                if self._codes[index] in _REPEATING:
                    self._repeat_bit = 1 << index
                    self._repeat_at = time.ticks_add(now, _REPEAT_AFTER_MS)
                    self._repeats = 0
                else:
                    self._repeat_bit = 0
            pressed >>= 1
            index += 1

    def _repeat(self, now):
        if self._repeats >= _MOST_REPEATS or time.ticks_diff(now, self._repeat_at) < 0:
            return
        self._repeats += 1
        self._repeat_at = time.ticks_add(now, _REPEAT_EVERY_MS)
        index = 0
        while self._repeat_bit >> index != 1:
            index += 1
        self._put(index)

    def _put(self, index):
        if self._codes[index] == " ":
            return
        if self._count == _QUEUE_KEYS:
            self.dropped += 1
            return
        self._queue[(self._head + self._count) % _QUEUE_KEYS] = index
        self._count += 1
        self._filled.set()
