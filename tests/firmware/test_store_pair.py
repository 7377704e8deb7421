"""Sealed pairs: credential, factory credential, identity, settings (R2, R3, R5, S4)."""

from firmware.codec import encode_items
from firmware.errors import FlashError, SealError, StoreError
from firmware.store.pair import SealedPair
from firmware.store.window import Window
from tests.dual import raises
from tests.power.kit import CountingRandom, make_device
from tools.sim.chips.flash import SECTOR_SIZE, PowerCut

_KEY = bytes(range(64))
_LABEL = b"inkan test"
_FIRST = 12  # sector
_BLANK = b"\xff" * SECTOR_SIZE


def _pair(device, sectors=2, random=None):
    pair = SealedPair(Window(device, _FIRST, sectors), _KEY, _LABEL, b"IKT1", random or CountingRandom())
    pair.start()
    return pair


def _written(*bodies):
    device = make_device()
    pair = _pair(device)
    for body in bodies:
        pair.write(body)
    return device


def _sectors(device, count=2):
    return [device.sector(_FIRST + index) for index in range(count)]


def _current(device):
    """Address of the one slot that is not blank."""
    first, second = _sectors(device)
    assert (first == _BLANK) != (second == _BLANK)
    return (_FIRST + (first == _BLANK)) * SECTOR_SIZE


def test_a_new_pair_is_empty():
    device = make_device()
    device.record()
    pair = _pair(device)
    assert pair.read() is None and pair.generation == 0 and not pair.broken
    pair.erase()
    assert device.operations == []


def test_r2_contents_are_replaced_as_a_whole_and_outlive_a_restart():
    device = make_device()
    pair = _pair(device)
    for number in range(1, 8):
        body = bytes([number]) * (number * 150)
        pair.write(body)
        assert pair.read() == body and pair.generation == number
        device.record()
        again = _pair(device)
        assert again.read() == body and again.generation == number and device.operations == []
        assert _current(device)  # the old one is gone
    items = [(1, b"abc"), (2, bytes(200))]
    pair.write(items)
    assert _pair(device).read() == encode_items(items)


def test_r5_erased_contents_are_gone_and_need_no_random_bytes():
    device = _written(b"a secret")
    random = CountingRandom()
    pair = _pair(device, random=random)
    random.barred = True
    secret = _sectors(device)
    pair.erase()
    assert pair.read() is None and pair.generation == 2
    assert not any([data in secret for data in _sectors(device) if data != _BLANK])
    again = _pair(device)
    assert again.read() is None and again.generation == 2 and not again.broken
    device.record()
    again.erase()
    assert device.operations == []
    again.write(b"next")
    assert again.generation == 3 and _pair(device).read() == b"next"


def test_an_empty_body_is_not_the_same_as_no_contents():
    assert _pair(_written(b"")).read() == b""


def test_a_slot_takes_what_its_sectors_hold_and_no_more():
    device = make_device()
    pair = _pair(device, sectors=4)
    pair.write(bytes(2 * SECTOR_SIZE - 81))
    assert len(_pair(device, sectors=4).read()) == 2 * SECTOR_SIZE - 81
    device.record()
    with raises(StoreError):
        pair.write(bytes(2 * SECTOR_SIZE - 80))
    assert device.operations == [] and pair.generation == 1


def test_a_pair_stays_in_its_window():
    device = make_device()
    for sector in range(24):
        device.program(sector * SECTOR_SIZE, b"not yours")
    before = [device.sector(sector) for sector in range(24)]
    pair = _pair(device)
    pair.erase()
    for number in range(5):
        pair.write(bytes(number))
    pair.erase()
    for sector in range(24):
        if sector not in (_FIRST, _FIRST + 1):
            assert device.sector(sector) == before[sector]


def test_r3_every_single_bit_of_a_pair_is_guarded():
    body = bytes(range(70))
    device = _written(b"old", body)
    pair = _pair(device)
    start = _current(device)
    size = 32 + 80 + 32
    for position in range(size):
        for bit in range(8):
            device.flip_bit(start + position, bit)
            with raises(SealError):
                pair.read()
            broken = _pair(device)
            assert broken.broken and broken.read() is None
            device.flip_bit(start + position, bit)
    print("%d bits flipped, %d detected" % (size * 8, size * 8))
    assert pair.read() == body == _pair(device).read()


def test_a_broken_pair_stays_as_it_is_until_it_is_erased_or_written():
    for renew in (lambda pair: pair.erase(), lambda pair: pair.write(b"new")):
        device = _written(b"a")
        device.flip_bit(_current(device) + 33, 0)
        device.record()
        pair = _pair(device)
        assert pair.broken and pair.generation == 0 and device.operations == []
        renew(pair)
        assert not pair.broken
        again = _pair(device)
        assert not again.broken and again.read() in (None, b"new")


def test_r3_slots_in_each_others_place_or_of_another_pair_are_not_valid():
    device = _written(b"a", b"b")
    first, second = _sectors(device)
    device.load_sector(_FIRST, second)
    device.load_sector(_FIRST + 1, first)
    assert _pair(device).broken
    device = _written(b"a")
    for label, magic, key in (
        (b"inkan other", b"IKT1", _KEY),
        (_LABEL, b"IKT2", _KEY),
        (_LABEL, b"IKT1", bytes(64)),
    ):
        pair = SealedPair(Window(device, _FIRST, 2), key, label, magic, CountingRandom())
        pair.start()
        assert pair.broken


def test_the_highest_generation_wins_and_the_rest_is_erased():
    older = _sectors(_written(b"a"))
    device = _written(b"a", b"b")  # generation 1 was in the other slot
    for index, data in enumerate(older):
        if data != _BLANK:
            device.load_sector(_FIRST + index, data)
    pair = _pair(device)
    assert pair.read() == b"b" and pair.generation == 2
    assert _current(device)


# A write: 0 erases the other slot, 1 programs it, 2 erases the old one, 3 marks it settled.


def test_a_retired_slot_that_only_reads_blank_is_erased_again_at_the_start():
    device = _written(b"old")
    old = _current(device) // SECTOR_SIZE
    pair = _pair(device)
    device.cut_at(2, "hiding")
    with raises(PowerCut):
        pair.write(b"new")
    device.power_on()
    assert device.sector(old) != _BLANK
    assert _pair(device).read() == b"new"
    assert device.sector(old) == _BLANK


def test_one_bad_read_breaks_no_pair():
    device = _written(b"a")
    right, left = device.read, [2]

    def glitching(address, buffer):
        right(address, buffer)
        if left[0] and buffer[:3] == b"IKT":
            left[0] -= 1
            buffer[40] ^= 1

    device.read = glitching
    pair = _pair(device)
    assert not pair.broken and pair.read() == b"a" and left[0] == 0


def test_a_program_that_does_not_take_leaves_the_old_contents():
    device = _written(b"old")
    pair = _pair(device)
    right = device.program
    device.program = lambda address, data: right(address, bytes(len(data)))
    for change in (lambda: pair.write(b"new"), pair.erase):
        with raises(FlashError):
            change()
        assert pair.read() == b"old"
    device.program = right
    assert _pair(device).read() == b"old"
    pair.write(b"new")
    assert _pair(device).read() == b"new"
