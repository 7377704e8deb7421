"""The relay, the module's end (R20; docs/api.md): a phone's frames, by way of the requests of the server link.

There is no connection beside that link's. It asks `Relay` what to tell the server and hands it what came; whoever
serves phones is given a `RelayLink` for each conversation.
"""

import asyncio
import binascii

from micropython import const

from firmware import settings, wire
from firmware.errors import LinkError
from firmware.link import messages

_NAME_DIGITS = const(16)
_FRAME_MIN = const(3)


class RelayLink:
    """One conversation, as a link of the phone's unit (firmware/link/peer.py says what that is). One frame is held."""

    door = settings.DOOR_RELAY

    def __init__(self, relay, name):
        self._relay = relay
        self.name = name
        self.received = 0  # number of the last frame that came
        self.sent = 0  # number of the last frame that the server has taken
        self.over = False
        self.left = b""  # of the frame that came, what was not read yet
        self.outgoing = None  # the frame that `write` waits to be rid of
        self.answer_due = False  # the phone has spoken last
        self._came = asyncio.Event()
        self._went = asyncio.Event()

    async def read_into(self, view):
        while not self.left:
            if self.over:
                return 0
            self._came.clear()
            await self._came.wait()
        count = min(len(view), len(self.left))
        view[:count][:] = self.left[:count]
        self.left = self.left[count:]
        return count

    async def write(self, frame):
        """One whole frame. Waits until the server has it."""
        if self.over:
            raise LinkError("closed")
        self._went.clear()
        self.outgoing = frame
        self._relay.ready()
        try:
            await self._until_sent()
        finally:
            self.outgoing = None

    async def _until_sent(self):
        while True:
            resting = self._relay.resting
            try:
                await asyncio.wait_for(self._went.wait(), settings.RELAY_WRITE_S)
                break
            except asyncio.TimeoutError:
                # An enrolment has the server link's buffer, and the phone waits for that.
                if not resting and not self._relay.resting:
                    self.close()
                    raise LinkError("timeout")
        if self.outgoing is not None:
            raise LinkError("closed")

    def close(self):
        if not self.over:
            self.over = True
            self.left = b""
            self._came.set()
            self._went.set()
            self._relay.ready()

    # For `Relay`

    def put(self, frame):
        """The next frame came."""
        self.received += 1
        self.answer_due = True
        self.left = memoryview(frame)
        self._came.set()

    def taken(self):
        """The server has the frame that was to be sent, if anybody still waits for that."""
        self.sent += 1
        self.answer_due = False
        self.outgoing = None
        self._went.set()


class Relay:
    """What a `ServerLink` tells its server of a phone's conversation, of which there is one at a time.

    serve: coroutine function that runs a link to its end and closes it. ready: called when there is something to tell,
    set by the server link, as is `resting`: it has no connection now, and will have one again.
    """

    def __init__(self, serve):
        self._serve = serve
        self._link = None  # until the server knows that it is over
        self._busy = False  # a link is still being served
        self.ending = False  # what `request` gave is the end
        self.resting = False
        self.ready = _nothing

    @property
    def is_open(self):
        return self._link is not None and not self._link.over

    @property
    def answer_due(self):
        """The phone waits for an answer."""
        return self.is_open and self._link.answer_due

    @property
    def has_word(self):
        """There is something to be told by a request of its own."""
        return self._link is not None and (self._link.over or self._link.outgoing is not None)

    def asked(self):
        """`relay` of a poll."""
        return {"conversation": self._link.name, "received": self._link.received} if self.is_open else None

    def request(self):
        """The body of that request, in pieces: the frame that waits, or the end."""
        link = self._link
        self.ending = link.over
        head = '{"protocol": %d, "conversation": "%s", "number": %d, "frame": '
        head = (head % (settings.LINK_PROTOCOL, link.name, link.sent + 1)).encode()
        if self.ending:
            return head, b"null}"
        return head, b'"', binascii.b2a_base64(link.outgoing, newline=False), b'"}'

    def told(self):
        """The server has taken what `request` gave."""
        if self.ending:
            self._link = None
        else:
            self._link.taken()

    def forget(self):
        """The conversation is over, and the server need not be told."""
        if self._link is not None:
            link = self._link
            self._link = None
            link.close()

    def take(self, answer):
        """Act on `relay` of a poll's answer; True if it was news. LinkError bad_answer."""
        if answer is None:
            return False
        if type(answer) is not dict:
            raise LinkError("bad_answer")
        name = messages.text(answer, "conversation")
        known = self._link is not None and self._link.name == name
        if answer.get("closed") is True:
            if known:
                self.forget()
            return known
        number = messages.u32(answer, "number", 1)
        frame = _decode(messages.text(answer, "frame"))
        if not known:
            if len(name) != _NAME_DIGITS or number != 1:
                raise LinkError("bad_answer")
            self.forget()
            if self._busy:
                return False  # the one before has still to end; the frame comes again
            self._link = RelayLink(self, name)
            self._busy = True
            asyncio.create_task(self._run(self._link))
        link = self._link
        if link.over or link.left or number != link.received + 1:
            return False
        link.put(frame)
        return True

    async def _run(self, link):
        try:
            await self._serve(link)
        except Exception as error:
            print("task relay failed:", type(error).__name__, getattr(error, "code", ""))
        finally:
            self._busy = False
            link.close()


def _decode(text):
    try:
        frame = binascii.a2b_base64(text)
    except ValueError:
        raise LinkError("bad_answer")
    if not _FRAME_MIN <= len(frame) <= wire.FRAME_BUFFER_SIZE:
        raise LinkError("bad_answer")
    return frame


def _nothing():
    pass
