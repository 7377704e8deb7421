"""The key matrix's model: contacts, ghosts, shorts, and fingers that wait for the firmware."""

import asyncio
import itertools

import pytest

from tools.sim.chips import keys as chip
from tools.sim.chips.keys import Finger, KeyMatrix

CODES = "123U456D789L*0#ROB  "


@pytest.fixture
def keys():
    return KeyMatrix(CODES, 5, 4)


def scan(keys):
    """The set of codes that a plain scan reads."""
    found = set()
    for row in range(5):
        for other in range(5):
            keys.drive(other, 0 if other == row else None)
        found |= {CODES[row * 4 + column] for column in range(4) if keys.column_level(column) == 0}
    return found


@pytest.mark.parametrize("count", [0, 1, 2])
def test_up_to_two_keys_read_as_they_are(count):
    for held in itertools.combinations(CODES.strip(), count):
        keys = KeyMatrix(CODES, 5, 4)
        for code in held:
            keys.close(code)
        assert scan(keys) == set(held)


@pytest.mark.parametrize(("held", "read"), [("124", "1245"), ("1U*", "1U*R"), ("3#1", "3#1*"), ("25O", "25O")])
def test_three_corners_of_a_rectangle_read_as_four(keys, held, read):
    for code in held:
        keys.close(code)
    assert scan(keys) == set(read)


def test_ghost_goes_with_the_key_that_made_it(keys):
    for code in "124":
        keys.close(code)
    keys.open("2")
    assert scan(keys) == {"1", "4"}
    keys.release_all()
    assert scan(keys) == set()
    assert keys.down == ""


def test_undriven_rows_leave_columns_high(keys):
    keys.close("1")
    assert [keys.column_level(column) for column in range(4)] == [1, 1, 1, 1]


def test_short_between_two_driven_rows_is_counted(keys):
    keys.close("1")
    keys.close("4")
    keys.drive(0, 1)
    assert keys.shorts == 0
    keys.drive(1, 0)
    assert keys.shorts == 1


def test_code_without_a_key_is_an_error(keys):
    with pytest.raises(KeyError):
        keys.close("x")
    with pytest.raises(KeyError):
        keys.close(" ")


def test_press_holds_until_it_was_read_and_read_again(keys):
    """The finger follows the scans, however slowly they come."""

    async def run():
        changes = []
        keys.listeners.append(lambda code, down: changes.append((code, down)))
        pressing = asyncio.ensure_future(keys.press("5", hold_ms=0))
        await asyncio.sleep(0)
        assert changes == [("5", True)]
        for _ in range(3):  # read; read in a scan under way; read in a scan that began later
            assert changes == [("5", True)]
            assert scan(keys) == {"5"}
            await asyncio.sleep(0.001)
            await asyncio.sleep(0)
        assert changes == [("5", True), ("5", False)]
        for row in range(5):
            keys.drive(row, 0)
        while not pressing.done():
            keys.column_level(1)
            await asyncio.sleep(0.001)
        await pressing
        assert keys.down == ""

    asyncio.run(run())


def test_press_that_nobody_reads_times_out_and_lets_go(keys):
    async def run():
        with pytest.raises(TimeoutError):
            await keys.press("5", timeout_s=0.01)
        assert keys.down == ""

    asyncio.run(run())


def test_look_with_all_rows_driven_does_not_count_as_reading_the_key(keys):
    async def run():
        pressing = asyncio.ensure_future(keys.press("5", hold_ms=0))
        await asyncio.sleep(0)
        for row in range(5):
            keys.drive(row, 0)
        for _ in range(5):
            keys.column_level(1)
            await asyncio.sleep(0.001)
        assert keys.down == "5"
        pressing.cancel()
        await asyncio.gather(pressing, return_exceptions=True)
        assert keys.down == ""

    asyncio.run(run())


@pytest.fixture
def clock(monkeypatch):
    """The model's time, in milliseconds, to be set."""
    now = {"ms": 0}
    monkeypatch.setattr(chip.time, "monotonic", lambda: now["ms"] / 1000)
    return now


def read_at(keys, clock, times_ms):
    """What scans at these times read, one after the other."""
    found = []
    for clock["ms"] in times_ms:
        found.append("".join(scan(keys)))
    return found


def test_finger_that_nobody_hears_of_is_off_an_arrow_before_it_repeats(keys, clock):
    async def run():
        pressing = asyncio.ensure_future(keys.press("D", finger=Finger()))
        await asyncio.sleep(0)
        # Nothing else gets a turn between these reads, and scans are as rare as on a busy machine.
        assert read_at(keys, clock, range(1000, 1800, 200)) == ["D", "D", "D", ""]
        pressing.cancel()
        await asyncio.gather(pressing, return_exceptions=True)

    asyncio.run(run())


def test_finger_that_stays_holds_its_key_until_it_is_lifted(keys, clock):
    async def run():
        finger = Finger()
        pressing = asyncio.ensure_future(keys.press("D", finger=finger))
        await asyncio.sleep(0)
        finger.stay()
        assert read_at(keys, clock, range(0, 3000, 100)) == ["D"] * 30
        finger.lift()
        assert read_at(keys, clock, [3000, 3020, 3040, 3060]) == [""] * 4
        pressing.cancel()
        await asyncio.gather(pressing, return_exceptions=True)

    asyncio.run(run())


def test_key_goes_up_as_it_was_read_though_the_press_gets_no_turn(keys, clock):
    async def run():
        pressing = asyncio.ensure_future(keys.press("D"))
        await asyncio.sleep(0)
        assert read_at(keys, clock, [0, 5, 20, 25, 30]) == ["D", "D", "D", "D", ""]
        pressing.cancel()
        await asyncio.gather(pressing, return_exceptions=True)

    asyncio.run(run())
