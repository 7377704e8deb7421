"""What every board with an ESP32-S3 has: flash, radio, clock, console, watchdog, the line to the power control device.
Boards add what is around it.

That line is RS-485, or whatever else the device has, behind a transceiver that turns round by itself.
"""

import asyncio
import os
import time

from micropython import const

from firmware import settings
from firmware.drivers import DriverError
from firmware.drivers.flash import PartitionFlash
from firmware.drivers.modbus_rtu import ModbusRtu
from firmware.drivers.wifi import Wifi

POWER_PINS = {
    "power_tx": 1,
    "power_rx": 2,
}

_PARTITION = "inkan"
_POWER_UART = const(2)
_POWER_SEND_BYTES = const(256)  # of the chip's driver; not on the heap
_POWER_RECEIVE_BYTES = const(512)
_EPOCH_2000_IN_1970 = const(946_684_800)


class Chip:
    """What the application gets from the hardware; each method makes or does one thing."""

    HAS_PANEL = False
    HAS_SERIAL_LINK = False

    def flash(self):
        """The data partition. DriverError("partition") where the table has none of that name."""
        from esp32 import Partition

        found = Partition.find(Partition.TYPE_DATA, label=_PARTITION)
        if not found:
            raise DriverError("partition")
        return PartitionFlash(found[0])

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

    def power_device(self):
        """The line to the power control device."""
        from machine import UART, Pin

        uart = UART(
            _POWER_UART,
            baudrate=settings.MODBUS_HERTZ,
            bits=8,
            parity=settings.MODBUS_PARITY,
            stop=settings.MODBUS_STOP_BITS,
            tx=Pin(POWER_PINS["power_tx"]),
            rx=Pin(POWER_PINS["power_rx"]),
            txbuf=_POWER_SEND_BYTES,
            rxbuf=_POWER_RECEIVE_BYTES,
            timeout=0,
        )
        return ModbusRtu(uart, time.ticks_ms, asyncio.sleep_ms)

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
