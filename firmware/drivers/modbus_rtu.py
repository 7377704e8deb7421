"""Modbus RTU master on a UART: reads holding registers, one request after another (docs/metering.md).

Frames by MODBUS over Serial Line V1.02, section 2.5.1, and MODBUS Application Protocol V1.1b3, sections 6.3 and 7.
A frame of it ends with silence. Here an answer ends by its length, which is known, since neither a driver's buffer nor
a scheduler keeps the time between two characters; what precedes it, as when a transceiver turns round, is skipped.
"""

import struct

from micropython import const

from firmware import settings
from firmware.drivers import DriverError

_READ_HOLDING = const(3)
_EXCEPTION = const(0x83)  # the function code with its highest bit
_FRAME_BYTES = const(5)  # of an answer without its registers, and all of an exception's
_BUFFER_BYTES = const(264)  # the longest answer, 125 registers, and some noise before it
_BITS_IN_CHARACTER = const(11)  # start, 8 data, parity or a second stop bit, stop
_SILENCE_MS = const(5)  # 3.5 characters at 9,600 bit/s, and less where the line is faster
_MOST_LOOKS = const(200)  # for silence; a line that has none is asked all the same
_TICKS_MASK = const(0x3FFFFFFF)  # differences of ticks_ms, whose period is a multiple of this


def crc16(view):
    """CRC-16 of bytes, polynomial 0xA001 reflected, from 0xFFFF; 0 for a frame with its own, low byte first, behind it.

    What eight steps do to the register depends on the low byte x alone: x shifted to bits 6 and 7, added without
    carry, and 0xC001 where x has an odd number of ones. That takes the place of a table.
    """
    crc = 0xFFFF
    for byte in view:
        low = (crc ^ byte) & 0xFF
        crc = crc >> 8 ^ low << 6 ^ low << 7
        low ^= low >> 4
        if 0x6996 >> (low & 15) & 1:
            crc ^= 0xC001
    return crc


class ModbusRtu:
    """One line; one `read` at a time.

    The UART: `readinto` and `write` take or give what they can at once, None where that is nothing.
    """

    def __init__(self, uart, ticks_ms, sleep_ms):
        self._uart = uart
        self._ticks_ms = ticks_ms
        self._sleep_ms = sleep_ms
        self._request = bytearray(8)
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._silent = False  # nobody answered last time: ask once, until somebody does
        self._owed = False  # an answer that was given up may still come
        self._sent_ms = 0

    async def read(self, address, register, count):
        """`count` holding registers (1 to 125) of the device `address`: a memoryview, big-endian, until the next read.

        DriverError: modbus_timeout (no answer), modbus_bad_crc, modbus_bad_frame (what came is no answer to this), each
        after the repeats; modbus_exception (the device's own refusal, its code in `detail`), which is not repeated.
        """
        request = self._request
        struct.pack_into(">BBHH", request, 0, address, _READ_HOLDING, register, count)
        struct.pack_into("<H", request, 6, crc16(memoryview(request)[:6]))
        size = 2 * count
        answer_ms = (_FRAME_BYTES + size) * _BITS_IN_CHARACTER * 1000 // settings.MODBUS_HERTZ + 1
        if self._owed:
            # An answer does not say which registers it has: a late one must not be taken for the next one's.
            left_ms = 2 * settings.MODBUS_ANSWER_MS - self._since(self._sent_ms)
            if left_ms > 0:
                await self._sleep_ms(left_ms)
            self._owed = False
        repeats = 0 if self._silent else settings.MODBUS_REPEATS
        # One master on a line: there is nobody to fall in step with, so the pauses have no random part.
        pause_ms = settings.MODBUS_PAUSE_MS
        while True:
            await self._send()
            try:
                registers = await self._answer(address, size)
                self._silent = False
                return registers
            except DriverError as error:
                self._silent = error.code == "modbus_timeout"
                if error.code == "modbus_exception":
                    raise
                if error.code != "modbus_bad_crc":
                    self._owed = True
                if not repeats:
                    raise
            repeats -= 1
            await self._sleep_ms(pause_ms + answer_ms)
            pause_ms *= 2

    async def _send(self):
        """Throw away what came unasked, wait for silence, and send the request."""
        quiet = False
        for _ in range(_MOST_LOOKS):
            got = self._uart.readinto(self._buffer)
            if quiet and not got:
                break
            quiet = not got
            await self._sleep_ms(_SILENCE_MS)
        self._uart.write(self._request)
        self._sent_ms = self._ticks_ms()

    async def _answer(self, address, size):
        """The view of `size` bytes that the next frame carries, or the DriverError that it comes to."""
        buffer = rest = self._buffer
        code = "modbus_timeout"
        start = have = 0
        while True:
            got = self._uart.readinto(rest)
            if got:
                have += got
                if code == "modbus_timeout":
                    code = "modbus_bad_frame"
                while have - start > 2:
                    end = start + _FRAME_BYTES
                    function = buffer[start + 1]
                    if buffer[start] != address or function not in (_READ_HOLDING, _EXCEPTION):
                        start += 1
                        continue
                    if function == _READ_HOLDING:
                        if buffer[start + 2] != size:
                            start += 1
                            continue
                        end += size
                    if have < end:
                        break  # the rest of it is on its way
                    if not crc16(buffer[start:end]):
                        if function == _EXCEPTION:
                            raise DriverError("modbus_exception", buffer[start + 2])
                        return buffer[start + 3 : start + 3 + size]
                    code = "modbus_bad_crc"
                    start += 1
                else:
                    if code == "modbus_bad_crc":
                        raise DriverError(code)
                if have == _BUFFER_BYTES:  # of noise, but for what may be a frame's beginning
                    have -= start
                    buffer[:have] = buffer[start : start + have]
                    start = 0
                rest = buffer[have:]
            if self._since(self._sent_ms) >= settings.MODBUS_ANSWER_MS:
                raise DriverError(code)
            await self._sleep_ms(settings.MODBUS_POLL_MS)

    def _since(self, then_ms):
        return (self._ticks_ms() - then_ms) & _TICKS_MASK
