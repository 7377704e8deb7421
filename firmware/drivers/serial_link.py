"""The serial line as a phone's carrier (docs/protocol.md): one link after another over one UART.

There is no connection to begin or end: 1,026 zero bytes end whatever link there was and begin a new one. No frame
has so many in a row. Once a link has ended nothing is said until then, and what comes is thrown away.
"""

import asyncio
import time

from micropython import const

from firmware import settings, wire
from firmware.errors import LinkError

_CHUNK_BYTES = const(128)  # what is taken from the UART at one time
_PIECE_BYTES = const(64)  # what is handed to it; less than its buffer, so that no write holds up other tasks


class SerialLink:
    """From one beginning to the next, as firmware/link/peer.py wants a link."""

    door = settings.DOOR_SERIAL

    def __init__(self, carrier):
        self._carrier = carrier
        self._closed = False
        self._changed = asyncio.Event()
        self._have = 0  # bytes in the carrier's buffer

    async def read_into(self, view):
        """Bytes as they come; how many, 0 when it is over."""
        while not self._closed:
            if self._have:
                buffer = self._carrier.buffer
                count = min(self._have, len(view))
                memoryview(view)[:count][:] = buffer[:count]
                self._have -= count
                buffer[: self._have][:] = buffer[count : count + self._have]
                return count
            self._changed.clear()
            await self._changed.wait()
        return 0

    async def write(self, view):
        """Send all of it. LinkError: closed; timeout where the line takes nothing for long, then the link is over."""
        view = memoryview(view)
        carrier = self._carrier
        deadline = time.ticks_add(carrier.ticks_ms(), settings.SERIAL_WRITE_MS)
        start = 0
        while start < len(view):
            if self._closed:
                raise LinkError("closed")
            count = carrier.uart.write(view[start : start + _PIECE_BYTES])
            if count:
                start += count
                await asyncio.sleep_ms(0)
            elif time.ticks_diff(deadline, carrier.ticks_ms()) <= 0:
                self.close()
                raise LinkError("timeout")
            else:
                await asyncio.sleep_ms(settings.SERIAL_RETRY_MS)

    def close(self):
        """Fall silent."""
        self._closed = True
        self._changed.set()

    # The carrier's side

    def receive(self, data):
        """Take what came, a memoryview. A stream with a gap is worth nothing, so without room it ends."""
        have = self._have
        count = len(data)
        if self._closed:
            return
        if count > len(self._carrier.buffer) - have:
            self.close()
            return
        self._carrier.buffer[have : have + count][:] = data
        self._have = have + count
        self._changed.set()


class SerialCarrier:
    """Listens to a UART for ever; `run` has to be a task.

    `serve` is awaited with each SerialLink, one after the other; a link is closed when it returns. The UART: a stream
    whose `readinto` and `write` take or give what they can at once, and None where that is nothing.
    """

    def __init__(self, uart, serve, ticks_ms):
        self.uart = uart
        self.ticks_ms = ticks_ms
        self.buffer = memoryview(bytearray(wire.FRAME_BUFFER_SIZE))  # of the link of now
        self._serve = serve
        self._chunk = memoryview(bytearray(_CHUNK_BYTES))
        self._zeros = 0  # in a row, up to the last byte that came, but for those of a beginning
        self._fresh = False  # nothing but zeros has come since the link was begun
        self._link = None  # the last that was begun
        self._begun = asyncio.Event()

    async def run(self):
        """Serve one link after another; an error of `serve` is printed by its class, and ends its link only."""
        serving = asyncio.create_task(self._attend())
        try:
            await self._receive()
        finally:
            serving.cancel()
            if self._link:
                self._link.close()

    async def _attend(self):
        while True:
            await self._begun.wait()
            self._begun.clear()
            link = self._link
            try:
                await self._serve(link)
            except Exception as error:
                print("link failed:", type(error).__name__, getattr(error, "code", ""))
            link.close()

    async def _receive(self):
        stream = asyncio.StreamReader(self.uart)
        while True:
            count = await stream.readinto(self._chunk)
            if count:
                self._take(self._chunk[:count])

    def _take(self, data):
        """File what came, up to a chunk; a chunk is too short for a beginning that is not at its own start."""
        count = len(data)
        zeros = 0
        while zeros < count and not data[zeros]:
            zeros += 1
        self._zeros += zeros
        if self._zeros >= wire.FRAME_BUFFER_SIZE:
            self._zeros -= wire.FRAME_BUFFER_SIZE
            self._begin()
        if self._fresh:
            data = data[zeros:]  # more of them are part of the beginning: no first frame starts with a zero
        if zeros < count:
            self._fresh = False
            self._zeros = 0
            while not data[len(data) - 1 - self._zeros]:
                self._zeros += 1
        if self._link and len(data):
            self._link.receive(data)

    def _begin(self):
        if self._link:
            self._link.close()
        self._link = SerialLink(self)
        self._fresh = True
        self._begun.set()
