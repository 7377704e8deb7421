"""What came over a link and was not read yet."""

import asyncio

_MOST_BYTES = 16_384  # far more than a module may send before it has an answer


class Inbox:
    """`put` what comes, `end` when the link is over; belongs to one event loop."""

    def __init__(self):
        self._data = bytearray()
        self._changed = asyncio.Event()
        self.over = False

    @property
    def waiting(self):
        return len(self._data)

    def put(self, data):
        """More than anybody asked for ends it."""
        if len(self._data) + len(data) > _MOST_BYTES:
            self.end()
        if not self.over:
            self._data += data
            self._changed.set()

    def end(self):
        """Nothing more comes; what is here can still be read."""
        self.over = True
        self._changed.set()

    async def read_into(self, view):
        """Bytes as they come; how many, 0 when the link is over."""
        while not self._data and not self.over:
            self._changed.clear()
            await self._changed.wait()
        count = min(len(view), len(self._data))
        view[:count] = self._data[:count]
        del self._data[:count]
        return count

    async def silence(self, quiet_s, most_s):
        """Throw away what comes until nothing has come for a while, or for `most_s` at the most."""
        loop = asyncio.get_running_loop()
        until = loop.time() + most_s
        while loop.time() < until and not self.over:
            self._data.clear()
            self._changed.clear()
            try:
                async with asyncio.timeout(quiet_s):
                    await self._changed.wait()
            except TimeoutError:
                break
        self._data.clear()
