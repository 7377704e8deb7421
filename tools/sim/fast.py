"""Fast time: a house whose clocks run many times too fast, so that a day passes while somebody looks on.

The firmware is what is flashed but for what is said here: its clock counts faster, and it reads the power control
device less often by that clock. The line, TLS and the radio stay in real time, so their waits are let be longer by it.
"""

import re
import time

from tools.setup import ROOT

_APP = "firmware/app.py"
_SETTINGS = "firmware/settings.py"

_CLOCK = "Clock(store.clock, time.ticks_ms, time.ticks_diff)"
_FAST_CLOCK = "Clock(store.clock, _fast_ticks_ms, time.ticks_diff)"
_METER = re.compile(r"Meter\((.*), asyncio\.sleep_ms\)")
_FAST_METER = r"Meter(\1, _fast_sleep_ms)"
_CLASS = "class Random:"
_FAST = '''def _fast_ticks_ms():
    return time.ticks_ms() * {scale} & 0x3FFFFFFF


def _fast_sleep_ms(ms):
    return asyncio.sleep_ms(max(ms // {scale}, 1))


'''
# Waited for in real time but looked at by the clock.
_LONGER = ("LINK_NONCE_MS", "SESSION_IDLE_MS", "ATTEMPT_TIMEOUT_MS")
# Waited for in real time.
_SHORTER = {
    "LINK_POLL_WAIT_S": 1,
    "LINK_RETRY_MAX_MS": 1_000,
    "WIFI_RETRY_MAX_MS": 500,
    # The way of a time from the server to here takes some minutes of the fast clock.
    "METER_STEP_S": 900,
}
_READINGS_A_SLOT = 15


class FastTime:
    """scale: how many times faster; start_s: Unix seconds at which it begins, with this object."""

    def __init__(self, scale, start_s):
        self.scale = scale
        self._start_s = start_s
        self._begun_s = time.monotonic()
        self._stopped_s = None

    def __call__(self):
        """Unix seconds now."""
        if self._stopped_s is not None:
            return self._stopped_s
        return self._start_s + (time.monotonic() - self._begun_s) * self.scale

    def stop(self):
        """It stands still from now on; the module's own clock does not."""
        self._stopped_s = self()

    def real_s(self, until_s):
        """How many real seconds it takes until then; 0 where that is past."""
        return max(until_s - self(), 0) / self.scale

    def overlay(self):
        """{path: source} in place of the repository's. ValueError where the firmware is no longer what this knows."""
        app = (ROOT / _APP).read_text()
        fast = _METER.sub(_FAST_METER, app.replace(_CLOCK, _FAST_CLOCK), count=1)
        if fast.count("_fast_ticks_ms") != 1 or fast.count("_fast_sleep_ms") != 1 or _CLASS not in app:
            raise ValueError(f"{_APP}: clock or meter are not built as before")
        settings = (ROOT / _SETTINGS).read_text()
        for name, value in self._settings(settings).items():
            settings, changed = re.subn(rf"^{name} = [\d_]+", f"{name} = {value}", settings, flags=re.MULTILINE)
            if changed != 1:
                raise ValueError(f"{_SETTINGS}: no {name}")
        return {_APP: fast.replace(_CLASS, _FAST.format(scale=self.scale) + _CLASS, 1), _SETTINGS: settings}

    def _settings(self, text):
        longer = {}
        for name in _LONGER:
            found = re.search(rf"^{name} = ([\d_]+)", text, re.MULTILINE)
            longer[name] = int(found[1]) * self.scale if found else 0
        return {**longer, **_SHORTER, "METER_READ_MS": 1_800_000 // _READINGS_A_SLOT}
