from firmware.drivers.lcd_st7567 import St7567
from tests.dual import raises


class Bus:
    """Records what the controller would take: ("command" or "data", bytes) while selected, and the other pins."""

    def __init__(self):
        self.taken = []
        self.levels = {}
        self.slept_ms = 0

    def pin(self, name):
        return Pin(self, name)

    def write(self, data):
        assert self.levels["cs"] == 0, "written without being selected"
        assert self.levels["reset"] == 1, "written in reset"
        self.taken.append(("data" if self.levels["dc"] else "command", bytes(data)))

    def sleep_ms(self, time_ms):
        self.slept_ms += time_ms

    def commands(self):
        return b"".join(data for kind, data in self.taken if kind == "command")


class Pin:
    def __init__(self, bus, name):
        self.bus = bus
        self.name = name

    def value(self, level):
        self.bus.levels[self.name] = level
        if self.name == "reset":
            self.bus.taken.append(("reset", level))


def make():
    bus = Bus()
    lcd = St7567(bus, bus.pin("cs"), bus.pin("dc"), bus.pin("reset"), bus.sleep_ms)
    return bus, lcd


def started():
    bus, lcd = make()
    lcd.start()
    bus.taken.clear()
    return bus, lcd


def page_address(page):
    return bytes((0xB0 + page, 0x10, 0x00))


def test_start_sends_the_datasheets_sequence():
    bus, lcd = make()
    lcd.start()
    assert bus.taken[:2] == [("reset", 0), ("reset", 1)]
    expected = (
        b"\xe2"  # reset instruction
        b"\x40"  # start line 0
        b"\xa0"  # SEG direction normal
        b"\xc8"  # COM direction reverse
        b"\xa6"  # inverse display off
        b"\xa2"  # bias 1/9
        b"\xf8\x00"  # booster 4x
        b"\x24"  # regulation ratio 5.0
        b"\x81\x22"  # electronic volume 34
        b"\x2c\x2e\x2f"  # power control: booster, regulator, follower
    )
    for page in range(8):
        expected += page_address(page)
    expected += b"\xa4\xaf"  # all pixels off, display on
    assert bus.commands() == expected
    blank = [data for kind, data in bus.taken if kind == "data"]
    assert blank == [bytes(128)] * 8
    assert bus.taken[-1] == ("command", b"\xaf"), "display on comes last, when nothing undefined can show"
    assert bus.levels["cs"] == 1
    assert bus.slept_ms


def test_only_changed_pages_are_sent():
    bus, lcd = started()
    frame = bytearray(1024)
    lcd.show(frame)
    assert bus.taken == []
    frame[3 * 128 + 17] = 0x81
    lcd.show(frame)
    assert bus.taken == [("command", page_address(3)), ("data", bytes(frame[3 * 128 : 4 * 128]))]
    bus.taken.clear()
    lcd.show(frame)
    assert bus.taken == []
    other = bytearray(frame)
    other[0] = other[1023] = 1
    lcd.show(other)
    assert [data for kind, data in bus.taken if kind == "command"] == [page_address(0), page_address(7)]
    assert bus.levels["cs"] == 1


def test_first_frame_without_a_start_is_sent_whole():
    bus, lcd = make()
    bus.levels["reset"] = 1
    lcd.show(bytearray(1024))
    assert len([1 for kind, data in bus.taken if kind == "data"]) == 8


def test_frame_of_another_size_is_refused():
    bus, lcd = started()
    for size in (0, 1023, 1025):
        with raises(ValueError):
            lcd.show(bytearray(size))
    assert bus.taken == []


def test_contrast_is_the_electronic_volume():
    bus, lcd = started()
    lcd.contrast(63)
    assert bus.taken == [("command", b"\x81\x3f")]
    for volume in (-1, 64):
        with raises(ValueError):
            lcd.contrast(volume)


def test_sleep_is_the_power_save_mode():
    bus, lcd = started()
    lcd.sleep(True)
    assert bus.commands() == b"\xae\xa5"
    bus.taken.clear()
    lcd.sleep(False)
    assert bus.commands() == b"\xa4\xaf"


def test_refresh_restores_registers_and_pages_as_they_are():
    bus, lcd = started()
    frame = bytearray(range(256)) + bytearray(768)
    lcd.show(frame)
    lcd.contrast(20)
    lcd.sleep(True)
    bus.taken.clear()
    lcd.refresh()
    sent = bus.commands()
    assert sent[:1] == b"\xe3"
    assert b"\x81\x14" in sent and b"\x2f" in sent
    assert sent[-2:] == b"\xae\xa5", "a sleeping display stays asleep"
    assert b"".join(data for kind, data in bus.taken if kind == "data") == bytes(frame)
    assert ("reset", 0) not in bus.taken
