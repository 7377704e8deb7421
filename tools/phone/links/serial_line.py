"""A serial line (docs/protocol.md): zero bytes begin a link, and what is left of the one before is thrown away."""

import asyncio
import contextlib
import threading

import serial

from firmware import settings, wire
from firmware.errors import LinkError
from tools.phone.links import WRITE_S
from tools.phone.links.inbox import Inbox

_BEGINNING = bytes(wire.FRAME_BUFFER_SIZE)
_QUIET_S = 0.3
_QUIET_MOST_S = 3
_LOOK_S = 0.2  # how soon the reader sees that the port is to be closed


class SerialCarrier:
    """port: as the system calls it (/dev/ttyACM0, COM3)."""

    def __init__(self, port):
        self._port = port
        self._link = None

    async def open(self):
        await self.close()
        try:
            port = await asyncio.to_thread(
                serial.Serial, self._port, settings.SERIAL_HERTZ, timeout=_LOOK_S, write_timeout=WRITE_S
            )
        except (OSError, ValueError) as error:
            raise LinkError("no_port") from error
        link = self._link = SerialLink(port)
        try:
            await link.write(_BEGINNING)
            await link.silence()
        except BaseException:
            link.close()
            raise
        return link

    async def close(self):
        """Wait until the last link has let the port go."""
        if self._link:
            self._link.close()
            await asyncio.to_thread(self._link.thread.join)


class SerialLink:
    """From one beginning to the next. The port is read by a thread, as not all systems can wait for one otherwise."""

    def __init__(self, port):
        self._port = port
        self._inbox = Inbox()
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    async def silence(self):
        await self._inbox.silence(_QUIET_S, _QUIET_MOST_S)

    async def read_into(self, view):
        return await self._inbox.read_into(view)

    async def write(self, data):
        if self._inbox.over:
            raise LinkError("closed")
        try:
            await asyncio.to_thread(self._port.write, bytes(data))
        except serial.SerialTimeoutException:
            self.close()
            raise LinkError("timeout") from None
        except OSError as error:
            self.close()
            raise LinkError("closed") from error

    def close(self):
        self._closing.set()
        self._inbox.end()

    def _read(self):
        with self._port, contextlib.suppress(RuntimeError):  # the loop may be over before the port is
            try:
                while not self._closing.is_set():
                    data = self._port.read(self._port.in_waiting or 1)
                    if data:
                        self._loop.call_soon_threadsafe(self._inbox.put, data)
            except OSError:  # the cable was pulled out
                self._loop.call_soon_threadsafe(self._inbox.end)
