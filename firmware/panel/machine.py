"""The panel's state machine: keys and time in, pictures out (docs/panel.md).

A screen is an entry of `SCREENS` in screens.py (before a session), screens_session.py or screens_flows.py (in one):
a function that fills the panel's fields with what is to be shown, and one that takes the keys which
scrolling, choosing and editing leave over, and returns the next screen's name or None.
"""

import asyncio
from time import ticks_diff

from micropython import const

from firmware import settings
from firmware.errors import InkanError
from firmware.modules import forget
from firmware.panel import screens
from firmware.panel.canvas import ROW_WIDTH
from firmware.panel.strings import Strings

TEXT = const(0)
LIST = const(1)
EDITOR = const(2)
PROGRESS = const(3)

_ROWS = const(3)  # between title and hint
_HINT_TOP = const(52)
_ROW_PITCH = const(13)
_TICK_MS = const(250)
_POLL_MS = const(1000)
_MINUTE_S = const(60)


class Panel:
    """Keypad and LCD.

    show(buffer) sends a picture of `canvas`; `await next_key()` gives a key code; control,
    acquisition, preferences and clock are the units; `await enrol(host, code, progress)` gives the
    fields of a connection; link_status() None, "online" or an error code.
    """

    def __init__(
        self,
        show,
        next_key,
        control,
        acquisition,
        preferences,
        enrol,
        clock,
        canvas,
        link_status,
        sleep_ms,
        ticks_ms,
        serial="",
    ):
        self._show = show
        self._next_key = next_key
        self.control = control
        self.acquisition = acquisition
        self.preferences = preferences
        self.enrol = enrol
        self.clock = clock
        self.canvas = canvas
        self.link_status = link_status
        self.sleep_ms = sleep_ms
        self.ticks_ms = ticks_ms
        self.serial = serial
        self.say = Strings()
        self.language = 0
        self.name = ""  # of the screen that is shown
        self.session = None
        self._failed = asyncio.Event()
        self._failure = None
        self._job = None
        self._dirty = False
        self._key_at = self._polled_at = 0
        self._ended = False
        # status, link, minute: what the home screen shows, to be compared with what is
        self.status = None
        self.link = None
        self.minute = None
        self.after = ""  # screen after a result or an error
        self.selected_of = {}  # list screens that are returned to: row that was selected
        self.forget()
        self._blank("")

    def forget(self):
        """Let go of everything that was typed or read."""
        self.editor = None
        self.user_id = self.host = self.code = ""
        self.old = self.value = None
        self.detail = None  # why a session ended, or an error

    def _blank(self, name):
        self.kind = TEXT
        self.title = self.right = ""
        self.hint = ""
        self.rows = ()  # TEXT: all of them; LIST: the items; else notes above and below
        self.first = self.selected = 0
        self.inverse_row = -1
        self.part = self.total = 0
        self.mode = ""  # of the text editor
        self.home_ms = 0 if self.session else settings.PANEL_ENTRY_MS  # without a key for so long: home
        self.bars = None  # whether the network is there, for the title; None: not said

    # What screens are made of

    def text(self, body):
        """Fill the content with text."""
        self.rows = self.canvas.wrap(body, ROW_WIDTH)

    def message(self, *values):
        """The screen's own text, filled with values."""
        self.text(self.say(self.name + ".b", *values))

    def list(self, items):
        self.kind = LIST
        self.rows = items
        self.selected = min(self.selected_of.get(self.name, 0), max(len(items) - 1, 0))
        self._scroll_to_selected()

    def edit(self, above="", below=""):
        """Show `editor` between two notes."""
        self.kind = EDITOR
        self.rows = (above, "", below)

    def progress(self, above, below):
        self.kind = PROGRESS
        self.rows = (above, "", below)

    def note(self, above):
        """Change the note above."""
        if self.rows[0] != above:
            self.rows = (above, "", self.rows[2])
            self._dirty = True

    # Where to

    def go(self, name):
        """Show another screen."""
        self._blank(name)
        self.name = name
        self.title = self.say(name + ".t")
        self.hint = self.say(name + ".h")
        self._key_at = self.ticks_ms()
        try:
            self._screen()[0](self)
        except InkanError as error:
            self.fail(error)
            return
        self._dirty = True

    def home(self):
        """Name of the screen for when nobody does anything."""
        self.look()
        return "tampered" if self.status.tamper else "idle"

    def go_home(self):
        self.forget()
        self.selected_of.clear()
        self.go(self.home())

    def fail(self, error):
        """Show why something was not done."""
        if self.session and self.session.ended:
            self._end()
            return
        self.detail = error
        self.go("error")

    def open(self, session):
        """The user is in."""
        self.session = session
        self.request = 0
        self.steps = b""  # ids of fields and whole groups that this session has done something with
        self.after = "menu"
        session.listeners.append(self._note_end)
        self.selected_of.clear()
        self.go(self.top())

    def top(self):
        """The session's first screen."""
        return "recover" if self.session.may_recover else "menu"

    def job(self, coroutine):
        """Run something that takes long; keys and time go on."""
        self._job = asyncio.create_task(self._guard(coroutine))

    def _end(self):
        """The session is over: say why, except to who ended it."""
        reason = self.session.ended
        self.session = None
        self._ended = False
        if self.name == "enrolling":
            self._job.cancel()  # what the server has agreed to is forgotten
        self._job = None  # it holds the screens' module
        self.forget()
        self.forget_session_screens()
        self.selected_of.clear()
        if reason == "done":
            self.go_home()
        else:
            self.detail = reason
            self.go("ended")

    @staticmethod
    def forget_session_screens():
        """Give back the RAM that the screens of a session take; the next one of them brings it again."""
        forget("firmware.panel.screens_flows", "firmware.panel.screens_session", "firmware.panel.editor")

    def _note_end(self):
        self._ended = True

    def _over(self):
        """Whether the session has ended; then it says so on the screen. What is being written comes first."""
        if self.session is None or self.name == "working":
            return False
        if not self._ended and not self.session.ended:
            return False
        self._end()
        return True

    # What drives it

    async def run(self):
        """Show the home screen, then take keys for ever. Raises what went wrong in any part."""
        self._failed.clear()
        tasks = [asyncio.create_task(self._guard(task())) for task in (self._take_keys, self._take_time)]
        try:
            self.start()
            await self._failed.wait()
            raise self._failure
        finally:
            for task in tasks:
                task.cancel()
            if self._job:
                self._job.cancel()
            if self.session:
                self.session.close("lock")
                self.session = None

    def start(self):
        self.set_language(self.preferences.language)
        self.go_home()
        self.refresh()

    def set_language(self, language):
        self.language = language
        self.say.load(language)

    async def _guard(self, coroutine):
        try:
            await coroutine
        except Exception as error:
            self._failure = error
            self._failed.set()

    async def _take_keys(self):
        while True:
            self.press(await self._next_key())

    async def _take_time(self):
        while True:
            await self.sleep_ms(_TICK_MS)
            self.tick()

    def press(self, key):
        """Take one key."""
        self._key_at = self.ticks_ms()
        if not self._over():
            if self.session:
                self.session.touch()
            self._press(key)
            self._over()
        self.refresh()

    def _press(self, key):
        if self.kind == EDITOR and self.editor.key(key):
            self._dirty = True
            return
        if key in "UD" and self._move(-1 if key == "U" else 1):
            self._dirty = True
            return
        try:
            name = self._screen()[1](self, key)
        except InkanError as error:
            self.fail(error)
            return
        if name:
            self.go(name)

    def tick(self):
        """Time has passed: a few times a second."""
        if not self._over():
            now = self.ticks_ms()
            if self.kind == EDITOR and self.editor.tick():
                self._dirty = True
            if self.home_ms and ticks_diff(now, self._key_at) >= self.home_ms:
                self.go_home()
            elif ticks_diff(now, self._polled_at) >= _POLL_MS:
                self._polled_at = now
                self._follow()
        self.refresh()

    def _follow(self):
        """Once a second: what the screen does without a key."""
        screen = self._screen()
        if len(screen) > 2:
            screen[2](self)

    def look(self):
        """Ask the units anew; True if anything that is shown has changed."""
        before = now = self.status
        try:
            self.status = now = self.control.status()
        except InkanError:  # flash failed; whoever tries to authenticate is told
            if before is None:
                raise
        link = self.link_status()
        time = self.clock.now()
        minute = None if time is None else time // _MINUTE_S
        if (
            before
            and before.state == now.state
            and before.failures_left == now.failures_left
            and before.tamper == now.tamper
            and _minutes(before.seconds_left) == _minutes(now.seconds_left)
            and link == self.link
            and minute == self.minute
        ):
            return False
        self.link = link
        self.minute = minute
        return True

    def show_progress(self, part, total):
        """How far a job is; drawn with the next tick."""
        if self.kind == PROGRESS and part * ROW_WIDTH // total != self.part * ROW_WIDTH // (self.total or 1):
            self.part = part
            self.total = total
            self._dirty = True

    def _screen(self):
        found = screens.SCREENS.get(self.name)
        if found is None:
            # Most of the time nobody stands before the panel.
            from firmware.panel import screens_session

            found = screens_session.SCREENS.get(self.name)
            if found is None:
                from firmware.panel import screens_flows

                found = screens_flows.SCREENS[self.name]
        return found

    def _move(self, step):
        """Select or scroll; False where there is nothing to."""
        count = len(self.rows)
        if self.kind == LIST and count > 1:
            self.selected = (self.selected + step) % count
            self.selected_of[self.name] = self.selected
            self._scroll_to_selected()
            return True
        if self.kind != TEXT or count <= _ROWS:
            return False
        self.first = min(max(self.first + step, 0), count - _ROWS)
        return True

    def _scroll_to_selected(self):
        self.first = min(self.first, self.selected)
        self.first = max(self.first, self.selected - _ROWS + 1)

    # Drawing

    def refresh(self):
        """Draw and send the picture if it has changed."""
        if not self._dirty:
            return
        self._dirty = False
        canvas = self.canvas
        canvas.clear()
        self._draw_title()
        if self.kind == EDITOR:
            canvas.text(1, 0, self.rows[0])
            canvas.text(3, 0, self.rows[2])
            self.editor.draw(canvas)
        elif self.kind == PROGRESS:
            canvas.text(1, 0, self.rows[0])
            canvas.progress(2, self.part, self.total)
            canvas.text(3, 0, self.rows[2])
        else:
            self._draw_rows()
        self._draw_hint()
        self._show(canvas.buffer)

    def _draw_title(self):
        canvas = self.canvas
        right = self.right
        self.mode = ""
        if self.kind == EDITOR:
            self.mode, right = self.editor.status()
        canvas.title(self.title)
        x = ROW_WIDTH - canvas.text_width(right)
        canvas.text(0, x, right, True)
        if self.mode:
            mode = self.say("mode." + self.mode)
            x -= canvas.text_width(mode) + 3
            canvas.text(0, x, mode, True)
            x -= 9
            self._draw_cap(0, x, "*", 0)
        if self.bars is not None:
            x -= 9
            self._draw_bars(x)
        if canvas.text_width(self.title) > x - 1:
            canvas.overflowed = True

    def _draw_bars(self, x):
        """Bars of rising height, or a cross, 9 dots wide, into the title."""
        framebuffer = self.canvas.framebuffer
        if self.bars:
            for index in range(4):
                height = 3 + 2 * index
                framebuffer.vline(x + 2 * index, 10 - height, height, 0)
        else:
            framebuffer.line(x, 3, x + 6, 9, 0)
            framebuffer.line(x, 9, x + 6, 3, 0)

    def _draw_rows(self):
        canvas = self.canvas
        first = self.first
        for index in range(first, min(first + _ROWS, len(self.rows))):
            row = index - first + 1
            if self.kind == LIST:
                canvas.row(row, self.rows[index], index == self.selected, cut=True)
                canvas.framebuffer.vline(ROW_WIDTH - 1, _ROW_PITCH * row, 12, 0)
            elif index == self.inverse_row:
                canvas.row(row, self.rows[index], True)
            else:
                canvas.text(row, 0, self.rows[index])
        canvas.scrollbar(first, _ROWS, len(self.rows))

    def _draw_hint(self):
        """Lines of `cap:label`, side by side on the last row."""
        canvas = self.canvas
        if not self.hint:
            return
        hints = self.hint.split("\n")
        if self.mode:
            hints.append("#:ﾞﾟ" if self.mode in "かカ" else "#:.-")
        width = 0
        for hint in hints:
            cap, _, label = hint.partition(":")
            width += canvas.text_width(cap) + 2 + canvas.text_width(label)
        gap = min((ROW_WIDTH - width) // max(len(hints) - 1, 1), 12)
        if gap < 0:
            canvas.overflowed = True
        x = 0
        for hint in hints:
            cap, _, label = hint.partition(":")
            x = self._draw_cap(4, x, cap, 1)
            x = canvas.text(4, x + 1, label) + gap

    def _draw_cap(self, row, x, cap, color):
        """A key's name as on its cap: color 1 inverse, 0 for the inverse title. Returns the column after it."""
        canvas = self.canvas
        framebuffer = canvas.framebuffer
        after = canvas.text(row, x + 1, cap, color == 1)
        top = _HINT_TOP if row else 0
        framebuffer.vline(x, top + 1, 10, color)
        framebuffer.vline(after - 1, top, 12, 1 - color)
        framebuffer.vline(after - 1, top + 1, 10, color)
        return after


def _minutes(seconds):
    return None if seconds is None else seconds // _MINUTE_S
