"""ESP32-S3 without display and keys (R19), with a serial line for a phone's commands (R21).

The line goes to a bridge from UART to USB, as development boards have one (a CDC device for the computer behind it),
or to any other end of 3.3 V, 115,200 bit/s. It is not the console's: that stays on the chip's own pins 43 and 44.
"""

import time

from micropython import const

from firmware import settings
from firmware.boards.esp32_s3_chip import Chip
from firmware.drivers.serial_link import SerialCarrier

PINS = {
    "serial_tx": 17,
    "serial_rx": 18,
}

_SERIAL_UART = const(1)
_SERIAL_BUFFER_BYTES = const(2_048)  # of the chip's driver, in each direction; not on the heap


class Board(Chip):
    """With the serial line and nothing else."""

    HAS_SERIAL_LINK = True

    def serial_link(self, serve):
        """The serial carrier, silent until a phone begins; `serve` is awaited with each link. Its run() is a task."""
        from machine import UART, Pin

        uart = UART(
            _SERIAL_UART,
            baudrate=settings.SERIAL_HERTZ,
            bits=8,
            parity=None,
            stop=1,
            tx=Pin(PINS["serial_tx"]),
            rx=Pin(PINS["serial_rx"]),
            txbuf=_SERIAL_BUFFER_BYTES,
            rxbuf=_SERIAL_BUFFER_BYTES,
            timeout=0,
        )
        return SerialCarrier(uart, serve, time.ticks_ms)
