"""MicroPython's `machine` as on the ESP32, over the wire."""

import io
import struct

import _opcodes
import _wire

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3

_GET_FILENO = 10  # request of ioctl
_EINVAL = 22


class Pin:
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_UP = 2

    def __init__(self, id, mode=None, pull=None, *, value=None):
        self._id = id
        if mode is not None:
            self.init(mode, pull, value=value)

    def init(self, mode, pull=None, *, value=None):
        level = 0 if value is None else 0x100 | (1 if value else 0) << 9
        _wire.post(_opcodes.PIN_MODE, self._id, mode | (pull or 0) << 4 | level)

    def value(self, level=None):
        if level is None:
            return _wire.ask(_opcodes.PIN_READ, self._id)
        _wire.post(_opcodes.PIN_WRITE, self._id, 1 if level else 0)

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


class SPI:
    def __init__(self, id, baudrate=1000000, *, polarity=0, phase=0, sck, mosi):
        self._id = id
        pins = bytes((sck._id, mosi._id))
        _wire.post(_opcodes.SPI_OPEN, id, polarity << 1 | phase, baudrate, pins)

    def write(self, data):
        _wire.post(_opcodes.SPI_WRITE, self._id, 0, 0, data)


class UART(io.IOBase):
    """Takes and gives what it can at once. What is pollable is the socket, so that nobody has to ask."""

    def __init__(self, id, *, baudrate, bits, parity, stop, tx, rx, txbuf, rxbuf, timeout):
        form = bytes((bits, _opcodes.NO_PARITY if parity is None else parity, stop))
        _wire.ask(_opcodes.UART_OPEN, id, tx._id | rx._id << 8, baudrate, form)
        self._stream = _wire.connect("INKAN_UART")
        self._stream.write(bytes((id,)))
        _wire.receive(self._stream, bytearray(1))
        self._stream.setblocking(False)

    def readinto(self, buffer):
        count = self._stream.readinto(buffer)
        if count == 0:
            raise SystemExit  # the house has gone
        return count

    def write(self, data):
        return self._stream.write(data)

    def ioctl(self, request, argument):
        return self._stream.fileno() if request == _GET_FILENO else -_EINVAL


class RTC:
    def datetime(self, value=None):
        if value is not None:
            _wire.post(_opcodes.RTC_SET, 0, 0, 0, struct.pack("<HBBBBBB", *value[:7]))
            return None
        return struct.unpack("<HBBBBBB", _wire.ask_bytes(_opcodes.RTC_GET)) + (0,)


class WDT:
    def __init__(self, id=0, timeout=5000):
        _wire.post(_opcodes.WATCHDOG_START, id, 0, timeout)

    def feed(self):
        _wire.post(_opcodes.WATCHDOG_FEED)


def reset():
    _wire.post(_opcodes.RESET)
    _wire.wait_for_the_end()


def reset_cause():
    return _wire.ask(_opcodes.RESET_CAUSE)


def unique_id():
    return _wire.ask_bytes(_opcodes.UNIQUE_ID)
