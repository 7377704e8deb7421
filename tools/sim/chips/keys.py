"""A key matrix: contacts between rows and columns, and no diodes.

A column with a pull-up reads low when closed contacts lead from it to a row
that is driven low, by whatever way: that is how ghost keys come about.
"""

import asyncio

# What the firmware may need to tell a press from a bounce.
DEFAULT_HOLD_MS = 15


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
        self._waiting = []  # (event, (row, column), level or None): looks that somebody waits for
        self._pressing = asyncio.Lock()

    # The wires

    def drive(self, row, level):
        """The firmware drives a row to 0 or 1, or lets it go (None)."""
        self._driven[row] = level
        self._check_shorts()

    def column_level(self, column):
        """0 or 1 as a pulled-up column reads now; tells those who wait for the key to be looked at."""
        level = self._level(column)
        low = [row for row, driven in enumerate(self._driven) if driven == 0]
        for entry in list(self._waiting):
            event, (row, its_column), wanted = entry
            # A pressed key counts as looked at when its row alone is driven, an open one in any way.
            if its_column == column and level == wanted and (low == [row] if wanted == 0 else row in low):
                event.set()
                self._waiting.remove(entry)
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

    async def press(self, code, hold_ms=DEFAULT_HOLD_MS, timeout_s=60, released=None):
        """Press and let go, each until the firmware has had a good look at it.

        A good look: it has read the key, hold_ms have passed, and it has read
        it again in a scan that began after that. TimeoutError when nobody reads.
        With `released` (an asyncio.Event) it stays down until that is set as well.
        Presses follow one another; keys held at the same time want close().
        """
        async with self._pressing, asyncio.timeout(timeout_s):
            try:
                self.close(code)
                await self.looked_at(code, 0, hold_ms)
                if released is not None:
                    await released.wait()
            finally:
                self.open(code)
            await self.looked_at(code, 1)

    async def looked_at(self, code, level, hold_ms=DEFAULT_HOLD_MS):
        """Wait until the firmware has had a good look at a key that is down (0) or up (1)."""
        await self._next_look(code, level)
        await asyncio.sleep(hold_ms / 1000)
        # Two, because the first may belong to a scan that was under way.
        await self._next_look(code, level)
        await self._next_look(code, level)

    async def _next_look(self, code, level):
        event = asyncio.Event()
        entry = (event, self._places[code], level)
        self._waiting.append(entry)
        try:
            await event.wait()
        finally:
            if entry in self._waiting:
                self._waiting.remove(entry)

    def _tell(self, code, down):
        for listener in list(self.listeners):
            listener(code, down)
