"""What the page is told: the display's picture as it changes, and everything else as named parts of one state.

A message is bytes (a frame, as Lcd.pixels gives it) or a dict: `state` with the
parts that are new, `events` new ones of the log, `ops` flash operations
[kind, sector]. A new client first gets a frame, all parts and the kept events.
"""

import asyncio

from tools.flash import layout
from tools.flash.image import FlashImage
from tools.font.reader import read_rows
from tools.sim.house import OPERATOR, SERIAL
from tools.sim.page.story import Story

_FRAME_EVERY_S = 1 / 30
_QUIET_S = 0.15  # how long nothing changes before text and seals are read
_BUSY_S = 1.0  # or after this, though things go on changing
_QUEUE_MESSAGES = 500
_LETTERS = 20


class Feed:
    """Watches a started house, `run()` being a task, and fills the queue of each client."""

    def __init__(self, house):
        self._house = house
        self._clients = set()
        self._state = {}
        self._new = {}  # parts of it that are not told yet
        self._operations = []
        self._events = []
        self._story = Story(house)
        self._woken = asyncio.Event()
        self._frame = None  # that is not told yet
        self._text_due = _Due()
        self._flash_due = _Due()
        if house.module.lcd:
            house.module.lcd.listeners.append(self._saw_frame)
        house.module.listeners.append(self._woken.set)
        house.module.radio.listeners.append(lambda connected: self._woken.set())
        house.mailbox.listeners.append(self._woken.set)
        house.phones.listeners.append(self._woken.set)
        house.flash.watchers.append(self._saw_operation)
        house.log.listeners.append(self._saw_event)

    async def run(self):
        """Never returns; to be cancelled."""
        self._text_due.touch()
        self._flash_due.touch()
        while True:
            await self._wait_for_news()
            self._tell_frame()
            if self._text_due.is_now():
                await self._read_text()
            if self._flash_due.is_now():
                await self._read_flash()
            self._tell()
            await asyncio.sleep(_FRAME_EVERY_S)

    def join(self):
        """A new client: returns its queue. None in it means that it was too slow."""
        queue = asyncio.Queue(_QUEUE_MESSAGES)
        queue.put_nowait(self._house.module.frame())
        queue.put_nowait({"state": {**self._state, **self._now()}})
        queue.put_nowait({"events": list(self._house.log.events)})
        self._clients.add(queue)
        return queue

    def leave(self, queue):
        self._clients.discard(queue)

    # What is seen

    def _saw_frame(self):
        # Taken now: a moment later the firmware may be in the middle of the next one.
        self._frame = self._house.module.frame()
        self._text_due.touch()
        self._woken.set()

    def _saw_operation(self, kind, sector, size):
        self._operations.append([kind, sector])
        self._flash_due.touch()
        self._woken.set()

    def _saw_event(self, event):
        self._events.append(event)
        self._story.saw(event)
        self._woken.set()

    # What is told

    async def _wait_for_news(self):
        """Until something happened, or until what happened has become quiet."""
        waits = [due.seconds_left() for due in (self._text_due, self._flash_due) if due.since is not None]
        try:
            async with asyncio.timeout(min(waits, default=None)):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    async def _read_text(self):
        self._text_due.done()
        frame = self._house.module.frame()
        self._set("rows", await asyncio.to_thread(read_rows, frame))

    async def _read_flash(self):
        self._flash_due.done()
        data = self._house.flash.image()
        image = await asyncio.to_thread(FlashImage, data)
        wrong = {finding.sector for finding in image.findings if finding.grave}
        states = []
        for sector in range(layout.SECTORS):
            blank = image.sector_state(sector) == "blank"
            states.append("!" if sector in wrong else "." if blank else "#")
        self._set("sectors", "".join(states))
        self._set("sound", image.sound)
        self._set("generation", image.guard[0] if image.guard else None)
        findings = [
            {"area": finding.area, "sector": finding.sector, "what": finding.what, "grave": finding.grave}
            for finding in image.findings
        ]
        self._set("findings", findings)
        self._story.look(image)

    def _tell_frame(self):
        if self._frame is not None:
            self._send(self._frame)
            self._frame = None

    def _tell(self):
        self._tell_frame()
        for name, value in self._now().items():
            self._set(name, value)
        message = {}
        if self._new:
            message["state"], self._new = self._new, {}
        if self._operations:
            message["ops"], self._operations = self._operations, []
        if self._events:
            message["events"], self._events = self._events, []
        if message:
            self._send(message)

    def _set(self, name, value):
        if name not in self._state or self._state[name] != value:
            self._state[name] = value
            self._new[name] = value

    def _send(self, message):
        for queue in list(self._clients):
            if queue.full():
                self._clients.discard(queue)
                queue.get_nowait()
                message = None
            queue.put_nowait(message)

    def _now(self):
        """The parts that cost nothing to look at."""
        house = self._house
        return {
            "powered": house.module.powered,
            "running": house.module.running,
            "starts": house.module.starts,
            "plugged": house.plugged,
            "joined": house.module.radio.connected,
            "phone_near": house.phones.near,
            "on_the_air": house.is_on_the_air,
            "cut_armed": house.cut_armed,
            "has_image": house.image is not None,
            "letters": [
                {"channel": letter.channel, "to": letter.recipient, "text": letter.text, "at": int(letter.at * 1000)}
                for letter in house.mailbox.letters[-_LETTERS:]
            ],
            "story": self._story.done,
            "label": house.label,
            "serial": SERIAL,
            "has_panel": house.module.lcd is not None,
            "serial_line": house.module.serial_path,
            "console": {"url": house.server.console_url, "name": OPERATOR, "password": house.operator_password},
        }


class _Due:
    """Something to be done once nothing has touched it for a while."""

    def __init__(self):
        self.since = None  # the first touch, in the loop's time
        self._last = None

    def touch(self):
        self._last = asyncio.get_running_loop().time()
        if self.since is None:
            self.since = self._last

    def done(self):
        self.since = None

    def seconds_left(self):
        now = asyncio.get_running_loop().time()
        return max(min(self._last + _QUIET_S, self.since + _BUSY_S) - now, 0)

    def is_now(self):
        return self.since is not None and self.seconds_left() == 0
