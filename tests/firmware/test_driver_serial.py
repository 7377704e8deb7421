import asyncio
import io

from firmware import settings, wire
from firmware.drivers.serial_link import SerialCarrier
from firmware.errors import LinkError
from tests.dual import raises

INTERPRETERS = ("micropython",)

BEGINNING = bytes(1026)
_IOCTL_POLL = 3
_POLL_IN = 1


class Uart(io.IOBase):
    """What is put in comes out of the line; what is written goes to `sent`. room: bytes that it still takes."""

    def __init__(self):
        self.waiting = b""
        self.sent = b""
        self.room = 1 << 20

    def readinto(self, buffer):
        count = min(len(buffer), len(self.waiting))
        memoryview(buffer)[:count][:] = self.waiting[:count]
        self.waiting = self.waiting[count:]
        return count or None

    def write(self, data):
        count = min(len(data), self.room)
        self.sent += bytes(data[:count])
        self.room -= count
        return count or None

    def ioctl(self, request, flags):
        return flags & _POLL_IN if request == _IOCTL_POLL and self.waiting else 0


class Line:
    """A carrier on such a UART. Each link that it makes is in `links`; `serve` waits until a test says `finish`."""

    def __init__(self):
        self.uart = Uart()
        self.now_ms = 0
        self.links = []
        self.news = asyncio.Event()
        self.finish = asyncio.Event()
        self.fails = False
        self.carrier = SerialCarrier(self.uart, self.serve, self.ticks_ms)

    def ticks_ms(self):
        return self.now_ms

    async def serve(self, link):
        self.links.append(link)
        self.news.set()
        await self.finish.wait()
        self.finish.clear()
        if self.fails:
            raise ValueError("secret 1234")

    async def say(self, *parts):
        """All of it is on the module's side when this returns, and looked at."""
        self.uart.waiting += b"".join(parts)
        while self.uart.waiting:
            await asyncio.sleep_ms(1)
        await asyncio.sleep_ms(1)

    async def link(self):
        while not self.news.is_set():
            await asyncio.wait_for(self.news.wait(), 5)
        self.news.clear()
        return self.links[-1]


def run(scenario):
    async def main():
        line = Line()
        task = asyncio.create_task(line.carrier.run())
        try:
            await asyncio.wait_for(scenario(line), 20)
        finally:
            task.cancel()

    asyncio.run(main())


async def read(link, count):
    buffer = bytearray(count)
    done = 0
    while done < count:
        got = await asyncio.wait_for(link.read_into(memoryview(buffer)[done:]), 5)
        if not got:
            break
        done += got
    return bytes(buffer[:done])


def test_r21_nothing_is_a_link_before_the_beginning_and_the_zeros_are_no_part_of_it():
    async def scenario(line):
        await line.say(b"\x01\x00\x01 noise of an open line \x00\x00\x01", bytes(1025), b"\x01")
        assert line.links == [] and line.uart.sent == b""
        await line.say(BEGINNING, bytes(77), b"\x01\x00\x01")
        link = await line.link()
        assert link.door == settings.DOOR_SERIAL
        assert await read(link, 3) == b"\x01\x00\x01"
        await link.write(b"answer")
        assert line.uart.sent == b"answer"

    run(scenario)


def test_r21_the_beginning_is_found_wherever_reads_cut_it():
    async def scenario(line):
        for first in (1, 2, 127, 128, 129, 513, 1025):
            await line.say(bytes(first))
            await line.say(BEGINNING[first:], b"%d" % first)
            link = await line.link()
            assert await read(link, len(b"%d" % first)) == b"%d" % first
            line.finish.set()

    run(scenario)


def test_r21_the_stream_is_as_it_came_zeros_and_all():
    async def scenario(line):
        await line.say(BEGINNING)
        link = await line.link()
        stream = b"\x07" + bytes(1000) + b"\x08" + bytes(24)
        for piece in (1, 64, 128, 333):
            for at in range(0, len(stream), piece):
                await line.say(stream[at : at + piece])
            assert await read(link, len(stream)) == stream
            await line.say(b"\x01")
            assert await read(link, 1) == b"\x01"
        assert len(line.links) == 1

    run(scenario)


def test_r21_a_beginning_ends_the_link_before_it_and_what_that_had_not_read():
    async def scenario(line):
        await line.say(BEGINNING, b"abc")
        first = await line.link()
        assert await read(first, 1) == b"a"
        await line.say(BEGINNING, b"xyz")
        assert await first.read_into(bytearray(8)) == 0
        with raises(LinkError) as caught:
            await first.write(b"late")
        assert caught.value.code == "closed"
        assert len(line.links) == 1  # the first is still being served
        line.finish.set()
        second = await line.link()
        assert await read(second, 3) == b"xyz"
        await second.write(b"new")
        assert line.uart.sent == b"new"

    run(scenario)


def test_r21_after_its_end_a_link_is_silent_until_the_next_beginning():
    async def scenario(line):
        await line.say(BEGINNING)
        link = await line.link()
        reading = asyncio.create_task(read(link, 1))
        await asyncio.sleep_ms(1)
        line.finish.set()
        assert await reading == b""
        await line.say(b"\x01\x00\x01" * 700)
        assert len(line.links) == 1 and line.uart.sent == b""
        await line.say(BEGINNING, b"z")
        assert await read(await line.link(), 1) == b"z"

    run(scenario)


def test_r21_what_the_buffer_has_no_room_for_ends_the_link():
    async def scenario(line):
        await line.say(BEGINNING)
        link = await line.link()
        await line.say(b"a" * wire.FRAME_BUFFER_SIZE)
        assert await read(link, wire.FRAME_BUFFER_SIZE) == b"a" * wire.FRAME_BUFFER_SIZE
        await line.say(b"a" * (wire.FRAME_BUFFER_SIZE + 1))
        assert await link.read_into(bytearray(8)) == 0
        with raises(LinkError):
            await link.write(b"x")

    run(scenario)


def test_r27_a_line_that_takes_nothing_ends_the_link_in_time():
    async def scenario(line):
        await line.say(BEGINNING)
        link = await line.link()
        line.uart.room = 70
        writing = asyncio.create_task(link.write(bytes(range(100))))
        while len(line.uart.sent) < 70:
            await asyncio.sleep_ms(1)
        line.now_ms = settings.SERIAL_WRITE_MS - 1
        await asyncio.sleep_ms(3 * settings.SERIAL_RETRY_MS)
        assert line.uart.sent == bytes(range(70))
        line.now_ms += 1
        with raises(LinkError) as caught:
            await writing
        assert caught.value.code == "timeout"
        assert await link.read_into(bytearray(8)) == 0

    run(scenario)


def test_r27_a_line_that_takes_little_by_little_gets_it_all():
    async def scenario(line):
        await line.say(BEGINNING)
        link = await line.link()
        line.uart.room = 0
        writing = asyncio.create_task(link.write(bytes(range(200))))
        while len(line.uart.sent) < 200:
            line.uart.room = 30
            await asyncio.sleep_ms(settings.SERIAL_RETRY_MS)
        await writing
        assert line.uart.sent == bytes(range(200))

    run(scenario)


def test_r21_one_beginning_after_another_begins_anew():
    async def scenario(line):
        for _ in range(3):
            await line.say(BEGINNING)
            link = await line.link()
            line.finish.set()
            assert await link.read_into(bytearray(1)) == 0

    run(scenario)


def test_r27_an_error_of_what_serves_ends_its_link_only():
    async def scenario(line):
        line.fails = True
        await line.say(BEGINNING)
        link = await line.link()
        line.finish.set()
        assert await link.read_into(bytearray(1)) == 0
        await line.say(BEGINNING, b"b")
        assert await read(await line.link(), 1) == b"b"

    run(scenario)
