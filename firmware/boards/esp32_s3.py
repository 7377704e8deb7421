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

import os
import time

from micropython import const

from firmware.drivers import DriverError
from firmware.drivers.flash import PartitionFlash
from firmware.drivers.keypad_matrix import MatrixKeypad
from firmware.drivers.lcd_st7567 import St7567
from firmware.drivers.wifi import Wifi

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
_PARTITION = "inkan"
_EPOCH_2000_IN_1970 = const(946_684_800)


class Board:
    """What the application gets from the hardware; each method makes or does one thing."""

    HAS_PANEL = True

    def flash(self):
        """The data partition. DriverError("partition") where the table has none of that name."""
        from esp32 import Partition

        found = Partition.find(Partition.TYPE_DATA, label=_PARTITION)
        if not found:
            raise DriverError("partition")
        return PartitionFlash(found[0])

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

    def wifi(self):
        """The station, not started yet."""
        import network

        failures = {
            network.STAT_NO_AP_FOUND: "wifi_not_found",
            network.STAT_WRONG_PASSWORD: "wifi_passphrase",
            network.STAT_HANDSHAKE_TIMEOUT: "wifi_passphrase",
            network.STAT_ASSOC_FAIL: "wifi_refused",
            network.STAT_BEACON_TIMEOUT: "wifi_lost",
        }
        return Wifi(network.WLAN(network.STA_IF), failures, time.ticks_ms)

    def gatt(self, serial, serve):
        """The BLE service, not advertised yet; `serve` is awaited with each phone's link. DriverError("ble_radio")."""
        from firmware.drivers.gatt import GattServer

        return GattServer(serial, serve, time.ticks_ms)

    def entropy(self, size):
        """`size` random bytes. DriverError("radio_off") before the radio is on.

        The chip's generator draws on the radio's noise and on little else
        without it (ESP32-S3 technical reference, random number generator).
        """
        import network

        if not network.WLAN(network.STA_IF).active():
            raise DriverError("radio_off")
        return os.urandom(size)

    def set_rtc(self, utc):
        """Set the clock that TLS checks dates by; `utc` in seconds since 2000-01-01."""
        from machine import RTC

        if time.gmtime(0)[0] == 1970:  # the epoch of time.gmtime is the port's own affair
            utc += _EPOCH_2000_IN_1970
        year, month, day, hour, minute, second, weekday = time.gmtime(utc)[:7]
        RTC().datetime((year, month, day, weekday, hour, minute, second, 0))

    def console(self):
        """The serial console, line by line."""
        from firmware.drivers.console import Console

        return Console()

    def watchdog(self, timeout_ms):
        """Start the watchdog, which nothing stops again; returns it, for its feed()."""
        from machine import WDT

        return WDT(timeout=timeout_ms)

    def reset(self):
        """Restart the module; does not return."""
        from machine import reset

        reset()
