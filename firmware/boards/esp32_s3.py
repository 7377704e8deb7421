"""ESP32-S3 with a 128 x 64 LCD (ST7567, SPI) and a key matrix.

The keys: the twelve of a telephone, as cheap matrix pads come, with the arrows
as a fourth column beside them and OK and back below. Digits are most of what
is typed here, ID, password, site number and multi-tap letters, and fingers
know that field; a menu wants the arrows, OK and back apart from them. Five
rows by four columns take nine pins for 18 keys and no further chip:

    1  2  3  up
    4  5  6  down
    7  8  9  left
    *  0  #  right
    OK back

Pins that the chip needs itself are left alone: 0, 3, 45, 46 (strapping), 19,
20 (USB), 26 to 37 (flash and octal PSRAM), 43, 44 (serial console).
"""

import time

from micropython import const

from firmware.boards.esp32_s3_chip import Chip
from firmware.drivers.keypad_matrix import MatrixKeypad
from firmware.drivers.lcd_st7567 import St7567

PINS = {
    "lcd_sck": 12,
    "lcd_mosi": 11,
    "lcd_cs": 10,
    "lcd_dc": 9,
    "lcd_reset": 14,
    "key_rows": (4, 5, 6, 7, 15),
    "key_columns": (16, 17, 18, 8),
}
KEY_CODES = "123U456D789L*0#ROB  "  # row by row, as above

_LCD_SPI = const(1)
_LCD_HERTZ = const(8_000_000)


class Board(Chip):
    """With display and keys."""

    HAS_PANEL = True

    def lcd(self):
        """The display, not started yet."""
        from machine import SPI, Pin

        spi = SPI(
            _LCD_SPI,
            baudrate=_LCD_HERTZ,
            polarity=0,
            phase=0,
            sck=Pin(PINS["lcd_sck"]),
            mosi=Pin(PINS["lcd_mosi"]),
        )
        return St7567(
            spi,
            Pin(PINS["lcd_cs"], Pin.OUT, value=1),
            Pin(PINS["lcd_dc"], Pin.OUT, value=0),
            Pin(PINS["lcd_reset"], Pin.OUT, value=1),
            time.sleep_ms,
        )

    def keypad(self):
        """The keys; its run() has to be a task."""
        from machine import Pin

        return MatrixKeypad(
            [Pin(number, Pin.OPEN_DRAIN, value=1) for number in PINS["key_rows"]],
            [Pin(number, Pin.IN, Pin.PULL_UP) for number in PINS["key_columns"]],
            KEY_CODES,
            time.ticks_ms,
            time.sleep_us,
        )
