"""Wi-Fi as a station."""

import asyncio
import time

from micropython import const

from firmware.drivers import DriverError
from firmware.errors import LinkError

_POLL_MS = const(100)
_CONNECT_TIMEOUT_MS = const(20_000)
# Tries of the radio itself; with its default, for ever, it never says why it does not get through.
_RADIO_TRIES = const(3)


class Wifi:
    """One station interface.

    `wlan` is MicroPython's network.WLAN. `failures` maps the states in which
    it has given up to the codes of the LinkError: wifi_not_found,
    wifi_passphrase and so on.
    """

    def __init__(self, wlan, failures, ticks_ms):
        self._wlan = wlan
        self._failures = failures
        self._ticks_ms = ticks_ms

    def start(self):
        """Switch the radio on. The random generator is good from here on."""
        try:
            self._wlan.active(True)
        except OSError:
            raise DriverError("wifi_radio")

    def connected(self):
        """Whether there is an access point and an address now."""
        return self._wlan.isconnected()

    async def connect(self, ssid, passphrase, timeout_ms=_CONNECT_TIMEOUT_MS):
        """Join the network, or raise LinkError: wifi_timeout, wifi_radio or one of `failures`."""
        self.start()
        try:
            self._wlan.disconnect()
            self._wlan.config(reconnects=_RADIO_TRIES)
            self._wlan.connect(ssid, passphrase)
            joined = False
            try:
                await self._wait(time.ticks_add(self._ticks_ms(), timeout_ms))
                joined = True
            finally:
                if not joined:
                    self._wlan.disconnect()
        except OSError:
            raise LinkError("wifi_radio")

    async def _wait(self, deadline):
        while not self._wlan.isconnected():
            code = self._failures.get(self._wlan.status())
            if code:
                raise LinkError(code)
            if time.ticks_diff(deadline, self._ticks_ms()) <= 0:
                raise LinkError("wifi_timeout")
            await asyncio.sleep_ms(_POLL_MS)
