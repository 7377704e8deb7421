"""Time (S15): trusted UTC from the authenticated server, and powered-on seconds added up in flash."""

import struct

from micropython import const

from firmware import settings
from firmware.errors import TimeError

_BOOT = const(1)
_TICK = const(2)
_SET = const(3)

_BODY = "<B3xIII"  # docs/format.md: kind, boot counter, powered-on seconds, floor
_TIME_END_S = const(0x1_0000_0000)


class Clock:
    """All times are whole seconds; UTC counts from 2000-01-01.

    ticks_ms and ticks_diff are those of MicroPython's time module: the former wraps, so the
    latter has to be asked, by any method here, at least once in half a turn (6 days on the MCU).
    """

    def __init__(self, ring, ticks_ms, ticks_diff, build_time=settings.BUILD_TIME_S):
        self._ring = ring
        self._ticks_ms = ticks_ms
        self._ticks_diff = ticks_diff
        self._last_ticks = ticks_ms()
        self._uptime_ms = 0
        self._base_s = 0  # powered-on seconds before this boot
        self._written_ms = 0  # uptime at the last record
        self._fine = False
        self._trusted_s = None  # UTC at uptime 0, by the server
        self._ntp_s = None  # the same by NTP
        self.floor = build_time
        self.boot_count = 0

    def start(self):
        """Take over the sums and count this boot. A ring that is missing (tamper) begins at nothing."""
        last = self._ring.last()
        if last:
            _, self.boot_count, self._base_s, floor = struct.unpack_from(_BODY, last)
            self.floor = max(self.floor, floor)
        self.boot_count += 1
        self._base_s += settings.CLOCK_BOOT_CHARGE_S
        self._write(_BOOT)

    def uptime_ms(self):
        """Milliseconds since the start of this boot; never wraps."""
        ticks = self._ticks_ms()
        self._uptime_ms += self._ticks_diff(ticks, self._last_ticks)
        self._last_ticks = ticks
        return self._uptime_ms

    def powered_s(self):
        """Powered-on seconds of all boots together."""
        return self._base_s + self.uptime_ms() // 1000

    def now(self):
        """Trusted UTC seconds, or None until the server has told the time in this boot."""
        if self._trusted_s is None:
            return None
        return self._trusted_s + self.uptime_ms() // 1000

    def certificate_time(self):
        """UTC seconds for the dates of TLS certificates only, or None. NTP may have told them."""
        if self._trusted_s is not None:
            return self.now()
        if self._ntp_s is None:
            return None
        return max(self.floor, self._ntp_s + self.uptime_ms() // 1000)

    def set_from_server(self, now):
        """Trust `now`: UTC seconds that came with this module's nonce in an authenticated answer.

        Raises `TimeError` below the floor, which is the newest such time and the build's.
        """
        _need_time(now)
        if now < self.floor:
            raise TimeError("below the floor")
        first = self._trusted_s is None
        self._trusted_s = now - self.uptime_ms() // 1000
        self.floor = now
        if first:
            self._write(_SET)  # later ones ride on the ticks

    def set_from_ntp(self, now):
        """Note UTC seconds from anybody; `certificate_time` is all that they serve."""
        _need_time(now)
        self._ntp_s = now - self.uptime_ms() // 1000

    def tick(self):
        """To be called every few seconds; writes a record when one is due."""
        interval_s = settings.CLOCK_FINE_TICK_S if self._fine else settings.CLOCK_TICK_S
        if self.uptime_ms() - self._written_ms >= interval_s * 1000:
            self._write(_TICK)

    def set_fine(self, fine):
        """Tick by the minute while a lifetime runs, so that a boot's charge covers what a cut loses."""
        self._fine = fine
        self.tick()

    def _write(self, kind):
        self._written_ms = self.uptime_ms()
        self._ring.append(struct.pack(_BODY, kind, self.boot_count, self.powered_s(), self.floor))


def _need_time(now):
    if not isinstance(now, int) or isinstance(now, bool) or not 0 <= now < _TIME_END_S:
        raise TimeError("no time")
