"""A key matrix: contacts between rows and columns, and no diodes.

A column with a pull-up reads low when closed contacts lead from it to a row
that is driven low, by whatever way: that is how ghost keys come about.
"""

import asyncio
import time

# What the firmware may need to tell a press from a bounce.
DEFAULT_HOLD_MS = 15
# A finger of which nothing more was heard is off the key so long after the firmware first saw it there: before an arrow
# repeats, which it does when it has stood for 500 ms.
UNSURE_MS = 450


class Finger:
    """A finger on a key, for somebody who hears of it late, as a page does of a click on a busy machine."""

    def __init__(self):
        self.lifted = self.stays = False

    def lift(self):
        self.lifted = True

    def stay(self):
        """It was seen to be there still: from now on the key is down until lift()."""
        self.stays = True


class _Look:
    """The firmware's good look at a key: it has read it, and again in a scan that began hold_ms after that."""

    def __init__(self, place, level, hold_ms):
        self.place = place
        self.level = level
        self.first = None  # when it was read first, seconds
        self.good = asyncio.Event()
        self._hold_s = hold_ms / 1000
        self._late = 0

    def read(self, now):
        if self.first is None:
            self.first = now
        elif now - self.first >= self._hold_s:
            # Two, because the first may belong to a scan that was under way.
            self._late += 1
            if self._late == 2:
                self.good.set()


class KeyMatrix:
    """`codes` names the keys row by row, a space where there is no contact.

    `listeners` are called (code, down) when a contact closes or opens. `shorts`
    counts the moments in which contacts joined a row driven high and one
    driven low.
    """

    def __init__(self, codes, rows, columns):
        if len(codes) != rows * columns:
            raise ValueError(f"{len(codes)} codes for {rows} rows and {columns} columns")
        self.codes = codes
        self.rows = rows
        self.columns = columns
        self.listeners = []
        self.shorts = 0
        self._places = {code: divmod(at, columns) for at, code in enumerate(codes) if code != " "}
        self._closed = set()
        self._driven = [None] * rows  # level, or None when let go
        self._waiting = []  # looks that somebody waits for
        self._pressing = asyncio.Lock()
        self._pressed = None  # (code, its look, its Finger or None, Event for when it is up): the press under way

    # The wires

    def drive(self, row, level):
        """The firmware drives a row to 0 or 1, or lets it go (None)."""
        self._driven[row] = level
        self._check_shorts()

    def column_level(self, column):
        """0 or 1 as a pulled-up column reads now; tells those who wait for the key to be looked at."""
        now = time.monotonic()
        self._let_go(now)
        level = self._level(column)
        low = [row for row, driven in enumerate(self._driven) if driven == 0]
        for look in self._waiting:
            row, its_column = look.place
            # A pressed key counts as looked at when its row alone is driven, an open one in any way.
            if its_column == column and level == look.level and (low == [row] if level == 0 else row in low):
                look.read(now)
        self._let_go(now)
        return level

    def _level(self, column):
        return 0 if any(self._driven[row] == 0 for row in self._joined_rows(column)) else 1

    def _joined_rows(self, column):
        rows, columns = set(), {column}
        while True:
            more = {row for row, its in self._closed if its in columns} - rows
            if not more:
                return rows
            rows |= more
            columns |= {its for row, its in self._closed if row in rows}

    def _check_shorts(self):
        for column in range(self.columns):
            levels = {self._driven[row] for row in self._joined_rows(column)}
            if {0, 1} <= levels:
                self.shorts += 1
                return

    # The fingers

    def close(self, code):
        """Press a key down. KeyError for a code that is on no key."""
        self._closed.add(self._places[code])
        self._check_shorts()
        self._tell(code, True)

    def open(self, code):
        """Let a key go."""
        self._closed.discard(self._places[code])
        self._tell(code, False)

    def release_all(self):
        """Let every key go."""
        for code, place in self._places.items():
            if place in self._closed:
                self.open(code)

    @property
    def down(self):
        """Codes of the keys that are down."""
        return "".join(code for code, place in self._places.items() if place in self._closed)

    async def press(self, code, hold_ms=DEFAULT_HOLD_MS, timeout_s=60, finger=None):
        """Press and let go, each until the firmware has had a good look at it. TimeoutError when nobody reads.

        With a Finger the key stays down until that is lifted as well, or for UNSURE_MS where nobody knows. It goes up
        between two reads, not when this task's turn comes, so that a busy machine makes no press longer.
        Presses follow one another; keys held at the same time want close().
        """
        async with self._pressing, asyncio.timeout(timeout_s):
            look, up = _Look(self._places[code], 0, hold_ms), asyncio.Event()
            try:
                self.close(code)
                self._waiting.append(look)
                self._pressed = code, look, finger, up
                await up.wait()
            finally:
                self._pressed = None
                self._waiting.remove(look)
                if code in self.down:
                    self.open(code)
            await self.looked_at(code, 1)

    async def looked_at(self, code, level, hold_ms=DEFAULT_HOLD_MS):
        """Wait until the firmware has had a good look at a key that is down (0) or up (1)."""
        look = _Look(self._places[code], level, hold_ms)
        self._waiting.append(look)
        try:
            await look.good.wait()
        finally:
            self._waiting.remove(look)

    def _let_go(self, now):
        """Let the key of the press under way go, if it is time."""
        if self._pressed is None:
            return
        code, look, finger, up = self._pressed
        if up.is_set() or not look.good.is_set():
            return
        may_be_there = finger is not None and not finger.lifted
        if not may_be_there or (not finger.stays and now - look.first >= UNSURE_MS / 1000):
            self.open(code)
            up.set()

    def _tell(self, code, down):
        for listener in list(self.listeners):
            listener(code, down)
