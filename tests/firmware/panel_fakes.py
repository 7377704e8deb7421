"""What the panel is given in tests: units that do what the test says, and time that stands still until told."""

import asyncio
import sys
from collections import namedtuple

from firmware import settings, unique_info
from firmware.errors import AuthError, LinkError, SessionError, StoreError
from firmware.panel import machine
from firmware.panel.machine import Panel

if sys.implementation.name == "cpython":
    # As in unit_rig.py: no RAM to save here.
    machine.forget = lambda *names: None

Status = namedtuple("Status", ("state", "failures_left", "delay_ms", "seconds_left", "tamper"))
Result = namedtuple("Result", ("generation", "changes_left", "repeated"))

NOON_S = 849_409_200  # 2026-12-01 03:00 UTC, noon in Japan

SHORT = {
    0x11: "林",
    0x12: "1000001",
    0x13: "津",
    0x14: "7",
    0x31: "0100000000000000000000",
    0x41: "1",
    0x42: "1",
    0x43: "1",
    0x51: "https://a.jp",
    0x53: "sha256:0123456789abcdef",
    0x54: "sha256:fedcba9876543210",
    0x55: "stored",
}
_COMPANY = "株式会社東日本再生可能エネルギー発電所建設管理機構北関東支店設備保全部第二技術課長"
_PLACE = "京都府京都市上京区智恵光院通り芦山寺上る西入る西社町一丁目二十三番地の四十五グランドハイツ智恵光院"
_ROOM = "西社町パークサイドレジデンスイーストウィング第二号棟十二階一二三四号室驛前管理組合氣付鷲鷹鷺鵜宛名札附"
_HOST = "information-module.credential-server.renewable-energy.power-producer-and-supplier.example.co.jp"

LONG = {
    0x11: _COMPANY[:40],
    0x12: "9999999",
    0x13: (_PLACE + _ROOM)[:100],
    0x14: "ABCDEFGHIJ-123456789",
    0x21: "stored",
    0x31: "1098765432109876543210",
    0x41: "999999",
    0x42: "9999999",
    0x43: "9999999",
    0x51: "https://" + _HOST[-86:] + ":65535",
    0x52: "https://" + _HOST[-86:] + ":65534",
    0x53: "sha256:0123456789abcdef",
    0x54: "sha256:fedcba9876543210",
    0x55: "stored",
    0x56: "sha256:89abcdef01234567",
}
ALL = (1, 2, 3, 4, 5)


class Time:
    """Milliseconds of uptime; `now_s` trusted UTC or None."""

    def __init__(self, now_s=NOON_S):
        self.ms = 0
        self.now_s = now_s

    def ticks_ms(self):
        return self.ms

    def now(self):
        return None if self.now_s is None else self.now_s + self.ms // 1000

    async def sleep_ms(self, time_ms):
        await asyncio.sleep(0)


class Credential:
    def __init__(self, digits):
        self.password_digits = digits


class Acquisition:
    def __init__(self, digits):
        self.credential = Credential(digits)
        self.listeners = []

    def current(self):
        return self.credential


class Preferences:
    def __init__(self, language):
        self.language = language
        self.saved = []
        self.error = None

    def save(self, language):
        if self.error:
            raise self.error
        self.language = language
        self.saved.append(language)


class Session:
    """A session over `values`. scope: groups for see, change and delete; error: raised by the next change."""

    def __init__(self, values, scope, changes_left, generation, recovering, error, unreported):
        self.values = dict(values)
        self.scope = scope
        self.changes_left = changes_left
        self.generation = generation
        self.recovering = recovering
        self.error = error
        self.ended = None
        self.listeners = []
        self.touched = 0
        self.asked = []
        self.view_error = None
        self.unreported = lambda: unreported

    @property
    def may_recover(self):
        return self.recovering

    def end(self, reason):
        if self.ended is None:
            self.ended = reason
            for listener in self.listeners:
                listener()

    close = end

    def touch(self):
        self.touched += 1

    def may(self, action, group):
        return not self.recovering and group in self.scope[("see", "change", "delete").index(action)]

    def fields(self, group):
        return unique_info.fields_of(group)

    def view(self, field_id):
        if self.ended:
            raise SessionError("ended")
        if self.view_error:
            error, self.view_error = self.view_error, None
            raise error
        if not self.may("see", field_id >> 4):
            raise SessionError("not_allowed")
        return self.values.get(field_id, "")

    def holds(self, field_id):
        if self.ended:
            raise SessionError("ended")
        return field_id in self.values

    def change(self, request, expected, changes):
        self.apply("change", request, expected, changes)
        for field_id, value in changes.items():
            unique_info.check(field_id, value)
            self.values[field_id] = value
        return self.result()

    def change_connection(self, request, expected, fields):
        self.apply("connection", request, expected, fields)
        self.values.pop(0x14, None)  # it is another PPS
        return self.result()

    def delete(self, request, expected, group, field_ids=None):
        self.apply("delete", request, expected, (group, field_ids))
        for field_id in unique_info.fields_of(group) if field_ids is None else field_ids:
            self.values.pop(field_id, None)
        return self.result()

    def wipe(self):
        self.apply("wipe", 0, self.generation, None)
        self.recovering = False
        self.values.clear()
        return self.result()

    def apply(self, what, request, expected, detail):
        if self.ended:
            raise SessionError("ended")
        self.asked.append((what, request, expected, detail))
        if self.error:
            error, self.error = self.error, None
            raise error
        if expected != self.generation:
            raise SessionError("stale")
        self.changes_left -= 1
        self.generation += 1

    def result(self):
        return Result(self.generation, self.changes_left, False)


class Control:
    """`state` and the rest are what status() tells; `answers` what authenticate() does, in turn: True or a code."""

    def __init__(self, session):
        self.state = "waiting"
        self.failures_left = 5
        self.delay_ms = 0
        self.seconds_left = 86_399
        self.tamper = None
        self.next_session = session
        self.answers = []
        self.asked = []
        self.stopped_at = None  # part of the check at which it waits to be let on
        self.let_on = True

    def status(self, door=settings.DOOR_KEYPAD):
        return Status(self.state, self.failures_left, self.delay_ms, self.seconds_left, self.tamper)

    async def authenticate(self, door, user_id, password, progress=None):
        self.asked.append((door, user_id, password))
        for part in range(0, 101, 20):
            progress(part, 100)
            await asyncio.sleep(0)
            while part == 60 and not self.let_on:
                await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else True
        if answer is True:
            return self.next_session
        if answer == "flash":
            raise StoreError()
        if answer == "wrong":
            self.failures_left -= 1
        else:
            self.state = answer if answer != "no_credential" else "idle"
            self.failures_left = 0
        if not self.failures_left and answer == "wrong":
            self.state = "locked"
        if answer == "tampered":
            self.tamper = "vault_seal"
        raise AuthError(answer, self.failures_left, self.delay_ms)


class Enrol:
    """`await enrol(host, code, progress)`; error: code to raise, or None. Waits at half while not `let_on`."""

    def __init__(self, error):
        self.error = error
        self.asked = []
        self.let_on = True

    async def __call__(self, host, code, progress):
        self.asked.append((host, code))
        progress(1, 2)
        await asyncio.sleep(0)
        while not self.let_on:
            await asyncio.sleep(0)
        if self.error:
            raise LinkError(self.error)
        return {0x51: "https://" + host}


class Rig:
    """A panel and all that it stands on. What is not given is a house in good order.

    `frames` counts the pictures sent, `frame` is the last; `cut_off` says whether any of them was.
    """

    def __init__(
        self,
        canvas,
        language=0,
        values=SHORT,
        see=ALL,
        change=ALL,
        delete=ALL,
        changes_left=20,
        generation=7,
        recovering=False,
        session_error=None,
        serial="INK-00000001",
        state="waiting",
        failures_left=5,
        seconds_left=86_399,
        delay_ms=0,
        tamper=None,
        answers=(),
        digits=8,
        link="online",
        now_s=NOON_S,
        enrol_error=None,
        unreported=None,
        hold="",
        panel=Panel,
    ):
        self.time = Time(now_s)
        scope = (see, change, delete)
        self.session = Session(values, scope, changes_left, generation, recovering, session_error, unreported)
        self.control = Control(self.session)
        self.control.state = "tampered" if tamper else state
        self.control.tamper = tamper
        self.control.failures_left = failures_left
        self.control.seconds_left = seconds_left
        self.control.delay_ms = delay_ms
        self.control.answers = list(answers)
        self.control.let_on = hold != "check"
        self.enrol = Enrol(enrol_error)
        self.enrol.let_on = hold != "enrol"
        self.preferences = Preferences(language)
        self.link = link
        self.keys = []
        self.frames = 0
        self.frame = None
        self.cut_off = False
        self.panel = panel(
            self.show,
            self.next_key,
            self.control,
            Acquisition(digits),
            self.preferences,
            self.enrol,
            self.time,
            canvas,
            lambda: self.link,
            self.time.sleep_ms,
            self.time.ticks_ms,
            serial,
        )

    def show(self, buffer):
        self.frames += 1
        self.frame = bytes(buffer)
        self.cut_off = self.cut_off or self.panel.canvas.overflowed

    async def next_key(self):
        while not self.keys:
            await asyncio.sleep(0)
        return self.keys.pop(0)

    async def settle(self):
        """Let a job run as far as it gets."""
        for _ in range(20):
            if self.panel.name not in ("wait", "enrolling", "working"):
                break
            await asyncio.sleep(0)

    def wait_ms(self, time_ms):
        """Time passes, and the panel looks at it four times a second."""
        for _ in range(time_ms // 250):
            self.time.ms += 250
            self.panel.tick()

    async def play(self, actions):
        """Keys; `.` a second passes; `,` does not let a job begin; `!` the session ends."""
        for action in actions:
            if action == ",":
                continue
            await self.settle()
            if action == ".":
                self.wait_ms(1000)
            elif action == "!":
                self.session.end("idle")
                self.panel.tick()
            else:
                self.panel.press(action)
        if actions[-1:] != ",":
            await self.settle()
