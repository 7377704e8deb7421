"""One link of a phone (docs/protocol.md): whole frames in, within their times, and short frames out.

A link, which a carrier provides:
    door                         settings.DOOR_BLE, DOOR_RELAY or DOOR_SERIAL
    await read_into(view)        puts bytes into it as they come and returns how many, at least 1; 0: it is over.
                                 May be cancelled; bytes of that call may be lost then
    await write(view)            takes all of a bytes-like or raises LinkError: "closed", "timeout"
    close()                      ends it. `read_into` and `write`, those under way too, then return or raise soon,
                                 and touch no buffer any more. May be called twice
"""

import asyncio

from firmware import settings, wire
from firmware.errors import LinkError


class Peer:
    """What is on the other end of a link, until proved. LinkError: "malformed", "silent", or the link's own."""

    def __init__(self, link):
        self.link = link
        self.reader = wire.FrameReader(wire.OPENING_FRAME_MAX)
        self.gone = asyncio.Event()  # this link is over, and nothing of it uses a buffer any more

    async def next(self, silence_s):
        """The next frame, good until the one after it. silence_s: how long it may take to begin; None for ever."""
        reader = self.reader
        frame = reader.next()
        if frame is None and not reader.begun:
            if silence_s is None:
                await self._read()
            else:
                await _within(silence_s, self._read(), "silent")
            frame = reader.next()
        if frame is None:
            frame = await _within(settings.PHONE_FRAME_S, self._rest(), "malformed")
        return frame

    async def next_within(self, limit_s):
        """The next frame, all of it; LinkError("silent") after the limit."""
        return await _within(limit_s, self._rest(), "silent")

    async def say(self, kind, *parts):
        """Send a frame that is short."""
        await self.link.write(wire.frame(kind, *parts))

    async def _rest(self):
        while True:
            frame = self.reader.next()
            if frame is not None:
                return frame
            await self._read()

    async def _read(self):
        count = await self.link.read_into(self.reader.room())
        if not count:
            raise LinkError("closed")
        self.reader.add(count)


async def _within(limit_s, awaitable, code):
    try:
        return await asyncio.wait_for(awaitable, limit_s)
    except asyncio.TimeoutError:
        raise LinkError(code)
