"""R22: the Modbus master on a line in virtual time: frames byte for byte, every error, what is not its answer."""

import virtual_time

from firmware import settings
from firmware.drivers import DriverError
from firmware.drivers.modbus_rtu import ModbusRtu, crc16
from tests.dual import raises

_CHARACTER_MS = 11_000 / 9_600


def framed(*parts):
    """A frame: the bytes and their CRC, reckoned bit by bit as the specification draws it."""
    data = b"".join(parts)
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return data + bytes((crc & 0xFF, crc >> 8))


def answer(*registers, address=1):
    data = b"".join(bytes((value >> 8, value & 0xFF)) for value in registers)
    return framed(bytes((address, 3, len(data))), data)


class Line:
    """The UART and what is behind it. answers: one for each request, a list of (ms after the request, bytes) each.

    `sent` has (time in ms, request). Bytes arrive at 9,600 bit/s, or all at once where `at_once`.
    """

    def __init__(self, *answers, at_once=False):
        self.answers = list(answers)
        self.sent = []
        self._coming = []  # (time, its place among all, byte)
        self._arrived = 0
        self.babbles = False
        self._at_once = at_once
        self.modbus = ModbusRtu(self, virtual_time.now_ms, virtual_time.sleep_ms)

    def arrive(self, after_ms, data):
        step_ms = 0 if self._at_once else _CHARACTER_MS
        start = virtual_time.now_ms() + after_ms
        first = self._arrived
        self._arrived += len(data)
        self._coming += [(start + (place + 1) * step_ms, first + place, byte) for place, byte in enumerate(data)]
        self._coming.sort()

    def readinto(self, buffer):
        if self.babbles:
            buffer[0] = 0x55
            return 1
        count = 0
        while count < len(buffer) and self._coming and self._coming[0][0] <= virtual_time.now_ms():
            buffer[count] = self._coming.pop(0)[2]
            count += 1
        return count or None

    def write(self, data):
        self.sent.append((virtual_time.now_ms(), bytes(data)))
        for after_ms, part in self.answers.pop(0) if self.answers else ():
            self.arrive(after_ms, part)
        return len(data)

    async def read(self, register=40_000, count=2, address=1):
        return bytes(await self.modbus.read(address, register, count))

    async def fails(self, count=2):
        """The error of a read, and how long it took in ms."""
        start = virtual_time.now_ms()
        with raises(DriverError) as caught:
            await self.read(count=count)
        return caught.value, virtual_time.now_ms() - start


def test_crc_of_known_frames():
    assert crc16(b"") == 0xFFFF
    assert crc16(b"123456789") == 0x4B37  # the catalogue's check value of CRC-16/MODBUS
    assert crc16(b"\x02\x07") == 0x1241  # the specification's example
    for byte in range(256):
        data = bytes((byte, byte * 7 & 0xFF, 255 - byte))
        assert crc16(framed(data)[:3]) == int.from_bytes(framed(data)[3:], "little")
        assert crc16(framed(data)) == 0


def test_r22_request_and_answer_byte_for_byte():
    async def scenario():
        line = Line([(20, b"\x11\x03\x06\xae\x41\x56\x52\x43\x40\x49\xad")])
        assert await line.read(0x006B, 3, address=0x11) == b"\xae\x41\x56\x52\x43\x40"
        assert [data for _, data in line.sent] == [b"\x11\x03\x00\x6b\x00\x03\x76\x87"]
        assert line.sent[0][0] >= 4, "3.5 characters of silence come first"

    virtual_time.run(scenario())


def test_r22_a_byte_at_a_time_or_all_of_it_at_once():
    async def scenario():
        registers = [(place * 517 + 3) & 0xFFFF for place in range(125)]
        whole = answer(*registers)
        for line in (
            Line([(5, whole)]),
            Line([(5, whole)], at_once=True),
            Line([(5, whole[:100]), (600, whole[100:])]),
        ):
            assert await line.read(count=125) == whole[3:-2]
            assert len(line.sent) == 1

    virtual_time.run(scenario())


def test_r22_nobody_there_is_asked_three_times_with_growing_pauses_and_then_once_each_time():
    async def scenario():
        line = Line()
        error, _ = await line.fails()
        assert error.code == "modbus_timeout"
        times = [time for time, _ in line.sent]
        assert len({data for _, data in line.sent}) == 1 and len(times) == 3
        first, second = times[1] - times[0], times[2] - times[1]
        assert settings.MODBUS_ANSWER_MS + settings.MODBUS_PAUSE_MS <= first < second
        line.sent.clear()
        for _ in range(3):
            assert (await line.fails())[0].code == "modbus_timeout"
        assert len(line.sent) == 3
        line.answers = [[(5, answer(7, 8))], [], [], [(5, answer(9, 9))]]
        assert await line.read() == b"\x00\x07\x00\x08"
        line.sent.clear()
        assert await line.read() == b"\x00\x09\x00\x09", "who has answered is asked three times again"
        assert len(line.sent) == 3

    virtual_time.run(scenario())


def test_r22_a_wrong_crc_is_told_at_once_and_repeated():
    async def scenario():
        good = answer(1, 2)
        for place in range(3, len(good)):
            bad = bytearray(good)
            bad[place] ^= 0x10
            line = Line([(5, bytes(bad))], [(5, good)])
            assert await line.read() == b"\x00\x01\x00\x02"
            assert line.sent[1][0] - line.sent[0][0] < settings.MODBUS_ANSWER_MS
        line = Line(*[[(5, bytes(bad))]] * 3)
        assert (await line.fails())[0].code == "modbus_bad_crc"
        assert len(line.sent) == 3

    virtual_time.run(scenario())


def test_r22_what_is_no_answer_to_this_is_a_bad_frame():
    async def scenario():
        others = (
            answer(1, 2, address=2),
            answer(1, 2, 3),
            answer(1),
            framed(b"\x01\x04\x04\x00\x01\x00\x02"),
            framed(b"\x01\x84\x02"),
            answer(1, 2)[:-1],
            b"\x00",
        )
        for other in others:
            line = Line(*[[(5, other)]] * 3)
            assert (await line.fails())[0].code == "modbus_bad_frame", other
            assert len(line.sent) == 3

    virtual_time.run(scenario())


def test_r22_an_exception_keeps_its_code_and_is_not_repeated():
    async def scenario():
        for code in (1, 2, 4, 6, 11):
            line = Line([(5, framed(bytes((1, 0x83, code))))])
            error, _ = await line.fails()
            assert (error.code, error.detail) == ("modbus_exception", code)
            assert len(line.sent) == 1
        line = Line([(5, b"\x01\x83\x02\x00\x00")], [(5, answer(1, 2))])
        assert await line.read() == b"\x00\x01\x00\x02", "its CRC counts as well"

    virtual_time.run(scenario())


def test_r22_noise_before_an_answer_and_an_echo_are_passed_over():
    async def scenario():
        good = answer(1, 2)
        echo = framed(b"\x01\x03\x9c\x40\x00\x02")
        noises = (
            b"\x00",
            b"\xff\x00",
            b"\x01\x03",
            b"\x01\x83\x02\x00",
            b"\x01\x01\x03\x04",
            bytes(300),
            echo,
            good[:5],
        )
        for noise in noises:
            line = Line([(5, noise + good)])
            assert await line.read() == b"\x00\x01\x00\x02", noise
            assert len(line.sent) == 1
        # An echo that could begin an answer of this very length, and the longest answer behind noise.
        wide = answer(*range(78))
        line = Line([(5, framed(b"\x01\x03\x9c\x40\x00\x4e") + wide)])
        assert await line.read(count=78) == wide[3:-2]
        longest = answer(*range(125))
        line = Line([(5, bytes(1000 % 256) + longest)], at_once=True)
        assert await line.read(count=125) == longest[3:-2]

    virtual_time.run(scenario())


def test_r22_what_came_unasked_is_thrown_away():
    async def scenario():
        line = Line([(5, answer(1, 2))])
        line.arrive(0, answer(66, 67) * 40)
        await virtual_time.sleep_ms(100)
        assert await line.read() == b"\x00\x01\x00\x02"
        assert line.sent[0][0] > 400, "it was still coming, and nobody talks into that"

    virtual_time.run(scenario())


def test_r22_a_line_without_silence_ends_in_an_error_in_time():
    async def scenario():
        line = Line()
        line.babbles = True
        error, took_ms = await line.fails()
        assert error.code == "modbus_bad_frame" and took_ms < 8_000
        assert len(line.sent) == 3

    virtual_time.run(scenario())


def test_r22_a_late_answer_is_not_taken_for_the_next_one_s():
    async def scenario():
        for late_ms in (1_010, 1_100, 1_400, 1_900):
            line = Line([(late_ms, answer(1, 1))], [(late_ms, answer(1, 1))], [(late_ms, answer(1, 1))])
            try:
                assert await line.read(1) == b"\x00\x01\x00\x01"
            except DriverError as error:
                assert error.code == "modbus_timeout", late_ms
            line.answers = [[(5, answer(2, 2))]]
            assert await line.read(2) == b"\x00\x02\x00\x02", late_ms
            line.answers = [[(5, answer(3, 3))]]
            start = virtual_time.now_ms()
            assert await line.read(3) == b"\x00\x03\x00\x03"
            assert virtual_time.now_ms() - start < 100, "then the line is trusted again"

    virtual_time.run(scenario())
