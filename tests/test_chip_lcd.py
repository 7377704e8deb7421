"""The LCD controller's model against its datasheet, by bus bytes alone."""

import asyncio

import pytest

from tools.sim.chips.lcd import Lcd

# Power on, volume in range, COM reversed so that line 0 is on top, display on.
SET_UP = b"\xe2\xc8\x24\x81\x22\x2f\xaf"


def selected():
    lcd = Lcd()
    lcd.power(True)
    lcd.clock(0, 8_000_000)
    lcd.reset_pin(0)
    lcd.reset_pin(1)
    lcd.select_pin(0)
    return lcd


def command(lcd, data):
    lcd.a0_pin(0)
    lcd.receive(data)


def data(lcd, page, column, data):
    command(lcd, bytes((0xB0 | page, 0x10 | column >> 4, column & 0x0F)))
    lcd.a0_pin(1)
    lcd.receive(data)


def blank(lcd):
    for page in range(9):
        data(lcd, page, 0, bytes(132))


@pytest.fixture
def lcd():
    lcd = selected()
    command(lcd, SET_UP)
    blank(lcd)
    return lcd


def dots(lcd):
    """The set of lit (x, y)."""
    pixels = lcd.pixels()
    return {(x, y) for x in range(128) for y in range(64) if pixels[128 * (y // 8) + x] >> y % 8 & 1}


def test_a_dot_stands_where_the_ram_map_puts_it(lcd):
    data(lcd, 2, 5, b"\x01")
    data(lcd, 7, 127, b"\x80")
    assert dots(lcd) == {(5, 16), (127, 63)}
    assert lcd.faults == []


def test_ram_is_undefined_at_power_on():
    lcd = selected()
    command(lcd, SET_UP)
    assert dots(lcd), "a driver that does not clear the RAM has to be seen"


def test_columns_beyond_the_glass_and_the_icon_page_are_not_seen(lcd):
    data(lcd, 0, 128, b"\xff\xff\xff\xff")
    data(lcd, 8, 0, b"\x01" * 132)
    assert dots(lcd) == set()


def test_column_counter_stops_at_the_last_column(lcd):
    data(lcd, 0, 131, b"\x01\x02\x04")
    command(lcd, b"\xa1")  # column 131 is segment 0 now
    assert dots(lcd) == {(0, 2)}


def test_segment_direction_is_between_ram_and_glass(lcd):
    data(lcd, 0, 4, b"\x01")
    command(lcd, b"\xa1")
    assert dots(lcd) == {(127, 0)}


def test_com_direction_turns_the_picture_over(lcd):
    data(lcd, 0, 9, b"\x01")
    command(lcd, b"\xc0")
    assert dots(lcd) == {(9, 63)}


@pytest.mark.parametrize(("direction", "y"), [(b"\xc8", 61), (b"\xc0", 2)])
def test_start_line_scrolls(lcd, direction, y):
    data(lcd, 0, 9, b"\x01")
    command(lcd, direction + b"\x43")
    assert dots(lcd) == {(9, y)}


def test_inverse_and_all_points(lcd):
    data(lcd, 0, 0, b"\x01")
    command(lcd, b"\xa7")
    assert len(dots(lcd)) == 64 * 128 - 1
    command(lcd, b"\xa5")
    assert len(dots(lcd)) == 64 * 128
    command(lcd, b"\xa4\xa6")
    assert dots(lcd) == {(0, 0)}


@pytest.mark.parametrize("off", [b"\xae", b"\x28", b"\x2e", b"\x81\x00", b"\x20"])
def test_nothing_is_seen_without_display_power_or_contrast(lcd, off):
    data(lcd, 0, 0, b"\x01")
    command(lcd, off)
    assert dots(lcd) == set()


def test_everything_is_dark_with_too_much_voltage(lcd):
    command(lcd, b"\x81\x3f")
    assert len(dots(lcd)) == 64 * 128


def test_v0_follows_the_datasheets_formula(lcd):
    assert lcd.v0_volts == pytest.approx(5.0 * (1 - 29 / 162) * 2.1)


def test_reset_pin_sets_registers_back_and_keeps_the_ram(lcd):
    data(lcd, 0, 0, b"\x01")
    lcd.reset_pin(0)
    command(lcd, b"\xaf\x2f")  # not heard
    assert dots(lcd) == set()
    lcd.reset_pin(1)
    assert dots(lcd) == set()
    command(lcd, SET_UP)
    assert dots(lcd) == {(0, 0)}


def test_reset_instruction_leaves_the_display_on(lcd):
    data(lcd, 0, 0, b"\x01")
    command(lcd, b"\x43\xe2")
    assert dots(lcd) == {(0, 63)}  # COM direction normal again, start line 0


def test_read_modify_write_returns_to_its_column(lcd):
    command(lcd, b"\xb0\x10\x07\xe0")
    lcd.a0_pin(1)
    lcd.receive(b"\x01\x01")
    command(lcd, b"\xee")
    lcd.a0_pin(1)
    lcd.receive(b"\x02")
    assert dots(lcd) == {(7, 1), (8, 0)}


def test_only_a_selected_chip_listens(lcd):
    lcd.select_pin(1)
    data(lcd, 0, 0, b"\xff")
    assert dots(lcd) == set()


@pytest.mark.parametrize(
    ("bytes_", "fault"),
    [
        (b"\xfe", "command 0xFE"),
        (b"\x30", "command 0x30"),
        (b"\xee", "command 0xEE"),
        (b"\x81\x40", "0x40 for volume"),
    ],
)
def test_what_the_datasheet_does_not_allow_is_recorded(lcd, bytes_, fault):
    command(lcd, bytes_)
    assert lcd.faults == [fault]


def test_data_past_the_ram_is_recorded(lcd):
    data(lcd, 9, 0, b"\x00")
    data(lcd, 0, 132, b"\x00")
    assert len(lcd.faults) == 2


@pytest.mark.parametrize(("mode", "hertz", "good"), [(0, 8e6, 1), (3, 2e7, 1), (1, 8e6, 0), (0, 2.1e7, 0)])
def test_bus_must_be_clocked_as_the_datasheet_says(mode, hertz, good):
    lcd = selected()
    lcd.clock(mode, hertz)
    assert (lcd.faults == []) == bool(good)
    command(lcd, SET_UP)
    assert bool(dots(lcd)) == bool(good)


def test_a_frame_is_counted_when_the_chip_is_deselected(lcd):
    lcd.select_pin(1)
    before = lcd.frame_number
    lcd.select_pin(0)
    lcd.select_pin(1)
    assert lcd.frame_number == before, "nothing was written"
    lcd.select_pin(0)
    data(lcd, 0, 0, b"\x01")
    data(lcd, 1, 0, b"\x01")
    assert lcd.frame_number == before
    lcd.select_pin(1)
    assert lcd.frame_number == before + 1


def test_wait_frame_wakes_on_the_frame_it_waits_for(lcd):
    async def wait():
        waiting = asyncio.ensure_future(lcd.wait_frame(lambda pixels: pixels[0] == 3, 10))
        for value in (1, 2, 3):
            await asyncio.sleep(0)
            assert not waiting.done()
            lcd.select_pin(0)
            data(lcd, 0, 0, bytes((value,)))
            lcd.select_pin(1)
        assert (await waiting)[0] == 3
        with pytest.raises(TimeoutError):
            await lcd.wait_frame(lambda pixels: pixels[0] == 9, 0)
        assert lcd.listeners == []

    asyncio.run(wait())
