"""The serial console as lines. Only a module that is not provisioned listens to it (firmware/provisioning.py)."""

import asyncio
import select
import sys

from micropython import const

_POLL_MS = const(20)
_END_POLL_MS = const(1_000)
_NEW_LINE = const(10)


class Console:
    """Reads without ever blocking the other tasks, whatever arrives and however slowly."""

    def __init__(self):
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)

    async def read_line(self, most):
        """The next line that is not empty (bytearray, without its end); None where it had more than `most` bytes.

        After the end of input it waits for ever.
        """
        line = bytearray()
        size = 0
        while True:
            if not self._poll.poll(0):
                await asyncio.sleep_ms(_POLL_MS)
                continue
            read = sys.stdin.buffer.read(1)
            if not read:
                await asyncio.sleep_ms(_END_POLL_MS)
            elif read[0] == _NEW_LINE:
                if size > most:
                    return None
                if size:
                    return line
            else:
                size += 1
                if size <= most:
                    line.extend(read)

    def write_line(self, text):
        print(text)
