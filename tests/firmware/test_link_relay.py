"""The module's end of the relay (R20): what the server link tells and takes for a phone, and the link to serve."""

import asyncio
import binascii

from link_rig import LinkRig, Refusal
from unit_rig import message

from firmware import settings
from firmware.errors import LinkError
from firmware.link.relay import Relay

INTERPRETERS = ("micropython",)
HEAP = "256wK"  # the server is in it too, with its frames

ONE = "0123456789abcdef"
TWO = "fedcba9876543210"


class Rig(LinkRig):
    """`links`: those that were served. A served link's frames are echoed, reversed, until it ends, unless `mute`."""

    def __init__(self):
        self.links = []
        self.mute = False
        self.ended = []
        self.relay = Relay(self.serve)
        super().__init__(relay=self.relay)

    async def serve(self, link):
        self.links.append(link)
        buffer = bytearray(2000)
        try:
            while True:
                size = await link.read_into(memoryview(buffer))
                if not size:
                    break
                if not self.mute:
                    await link.write(bytes(reversed(buffer[:size])))
        except LinkError as error:
            self.ended.append(error.code)
        finally:
            link.close()
            self.ended.append("end")

    def polls(self):
        return self.server.messages("poll")

    def told(self):
        """(conversation, number, frame or None) of what the server was told."""
        found = []
        for told in self.server.messages("relay"):
            frame = told["frame"]
            found.append((told["conversation"], told["number"], frame and binascii.a2b_base64(frame)))
        return found

    async def ask(self, frame, number=1, name=ONE):
        """A frame comes by the poll that waits."""
        self.server.push(answer(frame, number, name))
        await asyncio.sleep_ms(0)


def answer(frame, number=1, name=ONE):
    text = binascii.b2a_base64(frame).decode().strip()
    return {"credential": None, "revoked": 0, "relay": {"conversation": name, "number": number, "frame": text}}


def closed(name=ONE):
    return {"credential": None, "revoked": 0, "relay": {"conversation": name, "closed": True}}


def nothing():
    return {"credential": None, "revoked": 0, "relay": None}


async def asked(frame=b"abc"):
    """A rig in whose conversation one frame was asked, answered and told, and whose next poll waits."""
    rig = Rig()
    await rig.until_asked("poll")
    await rig.ask(frame)
    await rig.until_asked("relay")
    await rig.until_asked("poll", 2)
    return rig


async def test_r20_polls_say_nothing_of_the_relay_before_a_phone_comes():
    rig = Rig()
    await rig.until_asked("poll")
    assert "relay" not in rig.polls()[0] and rig.polls()[0]["wait_s"] == settings.LINK_POLL_WAIT_S
    for relay in (None, False):
        plain = nothing()
        if relay is False:
            del plain["relay"]  # an older server
        rig.server.push(plain)
        count = len(rig.polls())
        await rig.until_asked("poll", count + 1)
    assert rig.links == [] and rig.link.error is None


async def test_r20_a_frame_is_served_and_its_answer_told_at_once():
    rig = await asked()
    assert rig.told() == [(ONE, 1, b"cba")]
    assert rig.server.requests[-2][1] == "relay"  # no poll in between
    poll = rig.polls()[-1]
    assert poll["relay"] == {"conversation": ONE, "received": 1}
    assert poll["wait_s"] == settings.RELAY_POLL_WAIT_S
    for number in range(2, 6):
        await rig.ask(b"frame %d" % number, number)
        await rig.until_asked("poll", number + 1)
        assert rig.told()[-1] == (ONE, number, bytes(reversed(b"frame %d" % number)))
    assert len(rig.links) == 1 and rig.server.connections == 1


async def test_r20_the_largest_frame_goes_both_ways():
    frame = bytes(range(256)) * 4 + b"\x00\xff"
    rig = await asked(frame)
    assert len(frame) == 1026
    assert rig.told() == [(ONE, 1, bytes(reversed(frame)))]


async def test_r20_while_a_phone_waits_polls_do_not():
    rig = Rig()
    rig.mute = True
    await rig.until_asked("poll")
    await rig.ask(b"abc")
    await rig.until_asked("poll", 2)
    assert rig.polls()[1]["wait_s"] == 0
    assert rig.pauses_ms[-1] == settings.RELAY_ANSWER_MS
    rig.server.push(nothing())
    await rig.until_asked("poll", 3)
    assert rig.polls()[2]["wait_s"] == 0
    pauses = rig.pauses_ms[:]
    assert pauses.count(settings.RELAY_ANSWER_MS) == 2
    task = asyncio.create_task(rig.links[0].write(b"late"))
    rig.server.push(nothing())
    await rig.until(task.done)
    assert rig.told() == [(ONE, 1, b"late")]


async def test_r20_the_answer_ends_the_pause_before_a_poll():
    rig = Rig()
    rig.mute = True
    rig.hold = asyncio.Event()
    await rig.until_asked("poll")
    await rig.ask(b"abc")
    await rig.until(lambda: rig.pauses_ms == [settings.RELAY_ANSWER_MS])
    task = asyncio.create_task(rig.links[0].write(b"answer"))
    await rig.until(task.done)
    assert rig.told() == [(ONE, 1, b"answer")]
    names = [name for _, name, _ in rig.server.requests]
    assert names[names.index("poll") + 1] == "relay"


async def test_r20_a_frame_that_comes_again_is_not_served_again():
    rig = await asked()
    before = len(rig.pauses_ms)
    rig.server.push(answer(b"abc"))
    await rig.until_asked("poll", 3)
    assert rig.told() == [(ONE, 1, b"cba")]
    assert rig.pauses_ms[before:] == [1000]  # a server that says so for ever is not asked all the time
    await rig.ask(b"def", 2)
    await rig.until_asked("relay", 2)
    assert rig.told()[1] == (ONE, 2, b"fed")


async def test_r20_a_frame_that_is_not_read_yet_keeps_the_next_one_out():
    rig = Rig()
    reader = asyncio.Event()

    async def serve(link):
        rig.links.append(link)
        await reader.wait()
        await LinkRig_serve(link)

    LinkRig_serve = rig.serve
    rig.relay._serve = serve
    await rig.until_asked("poll")
    await rig.ask(b"abc")
    await rig.until_asked("poll", 2)
    await rig.ask(b"def", 2)
    await rig.until_asked("poll", 3)
    assert rig.polls()[-1]["relay"]["received"] == 1
    reader.set()
    rig.server.push(nothing())
    await rig.until_asked("relay")
    await rig.until_asked("poll", 4)
    await rig.ask(b"def", 2)
    await rig.until_asked("relay", 2)
    assert [frame for _, _, frame in rig.told()] == [b"cba", b"fed"]


async def test_r20_a_lost_answer_is_repeated_under_the_same_number():
    rig = Rig()
    lost = []

    def lose(told):
        lost.append(told)
        if len(lost) < 3:
            raise LinkError("reset" if len(lost) == 1 else "timeout")
        return {"ok": True}

    rig.server.relay = lose
    await rig.until_asked("poll")
    await rig.ask(b"abc")
    await rig.until_asked("poll", 2)
    assert rig.told() == [(ONE, 1, b"cba")] * 3
    assert rig.ended == []


async def test_r20_a_full_relay_is_asked_again_a_second_later():
    rig = Rig()
    refusals = [Refusal(429, "too_many")] * 2
    rig.server.relay = lambda told: refusals.pop() if refusals else {"ok": True}
    await rig.until_asked("poll")
    await rig.ask(b"abc")
    await rig.until_asked("poll", 2)
    assert rig.told() == [(ONE, 1, b"cba")] * 3
    assert rig.pauses_ms[-2:] == [1000, 1000] and rig.link.error is None


async def test_r20_what_the_server_refuses_ends_the_conversation_and_nothing_else():
    for status, code, error in ((409, "conflict", None), (422, "bad_request", "status"), (404, "not_found", "status")):
        rig = Rig()
        rig.server.relay = lambda told, status=status, code=code: Refusal(status, code)
        await rig.until_asked("poll")
        await rig.ask(b"abc")
        await rig.until(lambda rig=rig: rig.ended)
        assert rig.ended == ["closed", "end"]
        await rig.until(lambda rig=rig, error=error: rig.link.error == error)
        await rig.until_asked("poll", 2)
        assert "relay" not in rig.polls()[-1] and len(rig.told()) == 1
        await rig.stop()


async def test_r20_the_end_is_told_behind_the_last_frame():
    rig = await asked()
    rig.links[0].close()
    rig.links[0].close()
    rig.server.push(nothing())
    await rig.until_asked("poll", 3)
    assert rig.told() == [(ONE, 1, b"cba"), (ONE, 2, None)]
    assert "relay" not in rig.polls()[-1] and rig.ended == ["end"]


async def test_r20_an_end_that_cannot_be_told_is_let_go():
    for failure in (Refusal(500, "internal"), Refusal(409, "conflict"), LinkError("timeout")):
        rig = await asked()

        def fail(told, failure=failure):
            if isinstance(failure, LinkError):
                raise failure
            return failure

        rig.server.relay = fail
        rig.links[0].close()
        rig.server.push(nothing())
        await rig.until_asked("poll", 3)
        assert len(rig.told()) == 2 and "relay" not in rig.polls()[-1]
        await rig.stop()


async def test_r20_the_server_ends_it():
    rig = await asked()
    rig.server.push(closed(TWO))  # of another one: nothing to end
    await rig.until_asked("poll", 3)
    assert rig.ended == []
    rig.server.push(closed())
    await rig.until(lambda: rig.ended == ["end"])
    await rig.until_asked("poll", 4)
    assert "relay" not in rig.polls()[-1] and len(rig.told()) == 1
    for action in (rig.links[0].write(b"x"), rig.links[0].read_into(bytearray(1))):
        try:
            assert await action == 0
        except LinkError as error:
            assert error.code == "closed"


async def test_r20_another_conversation_replaces_the_one_before():
    rig = await asked()
    await rig.ask(b"new", 1, TWO)
    await rig.until(lambda: rig.ended == ["end"])
    await rig.until_asked("poll", 3)
    await rig.ask(b"new", 1, TWO)  # where the one before had still to end
    await rig.until_asked("relay", 2)
    assert rig.told() == [(ONE, 1, b"cba"), (TWO, 1, b"wen")]
    assert len(rig.links) == 2


async def test_r20_one_link_is_served_at_a_time():
    rig = Rig()
    let_go = asyncio.Event()
    served = []

    async def serve(link):
        served.append(link)
        while await link.read_into(bytearray(2000)):
            pass
        await let_go.wait()

    rig.relay._serve = serve
    await rig.until_asked("poll")
    for count in range(2, 30):
        await rig.ask(b"abc", 1, "%016x" % count)
        await rig.until_asked("poll", count)
    assert len(served) == 1
    let_go.set()
    await rig.ask(b"abc", 1, TWO)
    await rig.until_asked("poll", 30)
    await rig.ask(b"abc", 1, TWO)
    await rig.until(lambda: len(served) == 2)


async def test_r27_a_task_that_fails_ends_its_conversation_alone():
    rig = Rig()

    async def serve(link):
        raise RuntimeError("a fault")

    rig.relay._serve = serve
    await rig.until_asked("poll")
    await rig.ask(b"abc")
    await rig.until_asked("relay")
    assert rig.told() == [(ONE, 1, None)]
    await rig.until_asked("poll", 2)
    assert rig.link.online


async def test_r27_answers_of_the_wrong_shape_do_nothing():
    good = answer(b"abc")["relay"]
    wrong = [0, "x", True, [], {}, {"conversation": ONE}, {"conversation": ONE, "closed": False}]
    for name, values in (
        ("conversation", (None, 1, "", "0123")),
        ("number", (None, 0, -1, 2, "1", True, 1 << 32)),
        ("frame", (None, 1, "", "AAA", "AA==", "A" * 1372, "!!!!")),
    ):
        for value in values:
            wrong.append(dict(good))
            wrong[-1][name] = value
    rig = Rig()
    left = list(wrong)
    rig.server.poll = lambda asked: {"credential": None, "revoked": 0, "relay": left.pop(0)} if left else None
    await rig.until_asked("poll", len(wrong) + 1)
    assert rig.link.error == "bad_answer"
    assert rig.links == [] and rig.told() == []


async def test_r20_a_server_that_takes_nothing_ends_the_link():
    rig = await asked()
    settings.RELAY_WRITE_S = 0
    try:
        await rig.links[0].write(b"x")
        raise AssertionError("it was taken")
    except LinkError as error:
        assert error.code == "timeout"
    assert rig.links[0].over


async def test_r20_an_enrolment_is_waited_for():
    rig = await asked()
    settings.RELAY_WRITE_S = 0.01
    lent = asyncio.create_task(rig.link.lend_buffer())
    await rig.until(lent.done)
    progress = asyncio.create_task(rig.links[0].write(b"progress"))
    await asyncio.sleep_ms(50)
    assert not progress.done()
    settings.RELAY_WRITE_S = 10
    rig.link.take_back()
    await rig.until(progress.done)
    await progress
    assert rig.told()[-1] == (ONE, 2, b"progress")


async def test_r8_a_revocation_comes_while_a_phone_is_served():
    rig = await asked()
    rig.server.push({"credential": message(6), "revoked": 0, "relay": None})
    await rig.until_asked("ack")
    await rig.until_asked("poll", 3)
    pushed = answer(b"def", 2)
    pushed["revoked"] = 6
    rig.server.push(pushed)
    await rig.until_asked("relay", 2)
    assert rig.rig.acquisition.current() is None
    assert rig.told()[-1] == (ONE, 2, b"fed")
