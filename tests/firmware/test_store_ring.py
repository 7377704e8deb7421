"""Rings: append, wrap-around, torn records, and a chain that shows an edit, a gap or a swap (R9, R26, S13)."""

from firmware.crypto.hmac import hmac_sha256
from firmware.errors import FlashError, SealError, StoreError
from firmware.store.ring import BODY_SIZE, Ring
from firmware.store.window import Window
from tests.dual import raises
from tests.power.kit import CountingRandom, make_device
from tools.sim.chips.flash import SECTOR_SIZE, PowerCut

_KEY = bytes(range(64))
_LABEL = b"inkan test"
_FIRST = 22  # sector
_SECTORS = 4
_SLOT = 128
_PER_SECTOR = 31


def _opened(device, key=_KEY, ring_id=1, label=_LABEL, random=None):
    return Ring(Window(device, _FIRST, _SECTORS), key, ring_id, label, random or CountingRandom())


def _start(device, **other):
    ring = _opened(device, **other)
    ring.start()
    return ring


def _filled(count):
    device = make_device()
    ring = _start(device)
    for number in range(1, count + 1):
        assert ring.append(_body(number)) == number
    return device


def _body(number):
    return b"record %d" % number


def _last(ring):
    return bytes(ring.last()).rstrip(b"\0")


def _numbers(ring, from_number=1):
    found = []
    for number, body, tag in ring.records(from_number):
        assert body.rstrip(b"\0") == _body(number) and len(body) == BODY_SIZE and len(tag) == 28
        found.append(number)
    return found


def _address(number):
    """Of a record's slot, where no record was torn before it."""
    sector, place = divmod(number - 1, _PER_SECTOR)
    return (_FIRST + sector % _SECTORS) * SECTOR_SIZE + (place + 1) * _SLOT


def _get(device, address, size=_SLOT):
    data = bytearray(size)
    device.read(address, data)
    return bytes(data)


def _put(device, address, data):
    """Overwrite as no program could."""
    index, offset = divmod(address, SECTOR_SIZE)
    sector = bytearray(device.sector(index))
    memoryview(sector)[offset : offset + len(data)][:] = data
    device.load_sector(index, sector)


def _tear(device, number, kept=60):
    """Leave of the newest record what a cut would."""
    _put(device, _address(number) + kept, b"\xff" * (_SLOT - kept))


# Normal use


def test_a_new_ring_is_empty():
    device = make_device()
    device.record()
    ring = _start(device)
    assert ring.empty and ring.last() is None and _numbers(ring) == []
    assert (ring.head_number, ring.head_tag, ring.chain_breaks) == (0, bytes(28), 0)
    assert device.operations == []


def test_records_are_numbered_from_one_and_outlive_a_restart():
    device = make_device()
    ring = _start(device)
    for number in range(1, 70):
        assert ring.append(_body(number)) == number
        assert _last(ring) == _body(number) and isinstance(ring.last(), bytearray)
        again = _start(device)
        assert (again.head_number, again.head_tag) == (ring.head_number, ring.head_tag) == (number, ring.head_tag)
        assert _last(again) == _body(number) and not again.empty
    assert _numbers(_start(device)) == list(range(1, 70))


def test_a_record_is_in_flash_when_its_number_is_told():
    device = _filled(5)
    ring = _start(device)
    ring.append(b"six")
    assert _last(_start(device.fork())) == b"six"


def test_bodies_fill_eighty_bytes_and_no_more():
    device = make_device()
    ring = _start(device)
    ring.append(b"")
    assert ring.last() == bytes(80)
    ring.append(bytes(range(80)))
    assert _start(device).last() == bytes(range(80))
    device.record()
    with raises(StoreError):
        ring.append(bytes(81))
    assert device.operations == [] and ring.head_number == 2


def test_the_oldest_sector_goes_when_the_ring_is_full_over_several_rounds():
    device = make_device()
    ring = _start(device)
    for number in range(1, 8 * _SECTORS * _PER_SECTOR + 10):
        ring.append(_body(number))
        sectors_written = (number - 1) // _PER_SECTOR + 1
        first = max(0, sectors_written - _SECTORS) * _PER_SECTOR + 1
        assert ring.first_number == first
        if number % 40 == 0:
            ring = _start(device)
            assert (ring.head_number, ring.first_number, ring.chain_breaks) == (number, first, 0)
            assert _numbers(ring) == list(range(first, number + 1))


def test_records_from_a_number_on():
    device = _filled(150)
    ring = _start(device)
    first = ring.first_number
    for number in (1, first, first + 1, 93, 94, 124, 125, 126, 149, 150):
        assert _numbers(ring, number) == list(range(max(number, first), 151))
    assert _numbers(ring, 151) == []


def test_a_ring_may_be_appended_to_while_it_is_read():
    device = _filled(60)
    ring = _start(device)
    found = []
    for number, _, _ in ring.records(55):
        found.append(number)
        if len(found) == 3:
            ring.append(_body(61))
    assert found == list(range(55, 62))


def test_no_iv_comes_twice():
    device = make_device()
    random = CountingRandom()
    ring = _start(device, random=random)
    seen = set()
    for number in range(1, 32):
        ring.append(b"same")
        seen.add(_get(device, _address(number))[4:100])
    assert len(seen) == random.calls == 31


def test_a_record_is_made_as_the_format_says():
    device = _filled(2)
    slot = _get(device, _address(2))
    before = _get(device, _address(1))[100:]
    assert slot[:4] == b"\x02\0\0\0"
    tag = hmac_sha256(_KEY[32:], _LABEL, b"r\x01", slot[:4], before, slot[4:100])[:28]
    assert slot[100:] == tag == _start(device).head_tag
    header = _get(device, _FIRST * SECTOR_SIZE)
    assert header[:16] == b"IKJ1" + b"\x01\0\0\0" + b"\x01\0\0\0" + b"\x01\0\0\0"
    assert header[16:44] == bytes(28) and header[44:100] == b"\xff" * 56
    assert header[100:] == hmac_sha256(_KEY[32:], _LABEL, b"h", header[:44])[:28]


def test_one_erase_and_one_header_a_sector_and_one_program_a_record():
    device = _filled(31)
    ring = _start(device)
    device.record()
    ring.append(_body(32))
    ring.append(_body(33))
    start = (_FIRST + 1) * SECTOR_SIZE
    assert device.operations == [
        ("erase", _FIRST + 1, True),
        ("program", start, 128),
        ("program", start + 128, 128),
        ("program", start + 256, 128),
    ]


def test_erase_all_begins_anew():
    device = _filled(70)
    ring = _start(device)
    ring.erase_all()
    assert ring.empty and ring.append(_body(1)) == 1
    assert _numbers(_start(device)) == [1]


# Torn records


def test_s13_a_torn_record_keeps_its_slot_and_is_counted():
    for kept in (1, 4, 20, 60, 99, 127):
        device = _filled(10)
        _tear(device, 10, kept)
        ring = _start(device)
        assert (ring.head_number, ring.broken_after_last, ring.chain_breaks) == (9, 1, 0)
        assert _last(ring) == _body(9)
        assert ring.append(_body(10)) == 10
        assert ring.broken_after_last == 0
        ring = _start(device)
        assert (ring.head_number, ring.broken_after_last, ring.chain_breaks) == (10, 0, 0)
        assert _numbers(ring) == list(range(1, 11))


def test_s13_every_torn_record_is_counted_also_from_one_sector_to_the_next():
    device = _filled(29)
    for cut in range(1, 6):
        ring = _start(device)
        assert ring.broken_after_last == cut - 1
        device.cut_at(0 if cut != 3 else 2, ("bytes", 50, 0))  # the third one changes the sector
        with raises(PowerCut):
            ring.append(_body(30))
        device.power_on()
    ring = _start(device)
    assert (ring.head_number, ring.broken_after_last, ring.chain_breaks) == (29, 5, 0)
    ring.append(_body(30))
    ring = _start(device)
    assert (ring.head_number, ring.broken_after_last, ring.chain_breaks) == (30, 0, 0)
    assert _numbers(ring) == list(range(1, 31))


def test_s13_the_last_totals_are_never_erased_however_often_the_power_is_cut():
    device = _filled(40)
    for _ in range(5 * _SECTORS * _PER_SECTOR):
        ring = _start(device)
        assert ring.head_number == 40 and _last(ring) == _body(40)
        uncut = device.fork()
        trial = _start(uncut)
        uncut.record()
        trial.append(_body(41))
        device.cut_at(len(uncut.operations) - 1, ("bytes", 50, 0))
        with raises(PowerCut):
            ring.append(_body(41))
        device.power_on()
    ring = _start(device)
    ring.append(_body(41))
    assert _last(_start(device)) == _body(41)


def test_a_start_programs_the_newest_record_again_and_nothing_else():
    for count in (1, 20, 31, 40, _SECTORS * _PER_SECTOR):
        device = _filled(count)
        state = device.state()
        device.record()
        _start(device)
        assert device.operations == [("program", _address(count), 128)] and device.state() == state
    device.record()
    _start(make_device())
    assert device.operations == []


def test_a_record_that_was_left_weak_is_firm_after_the_start():
    device = _filled(10)
    ring = _start(device)
    device.cut_at(0, "shaky")
    with raises(PowerCut):
        ring.append(_body(11))
    device.power_on()
    for _ in range(20):
        ring = _start(device)
        assert (ring.head_number, ring.chain_breaks, _last(ring)) == (11, 0, _body(11))


def test_a_header_that_was_left_weak_is_firm_after_the_start():
    device = _filled(31)
    ring = _start(device)
    device.cut_at(1, "shaky")
    with raises(PowerCut):
        ring.append(_body(32))
    device.power_on()
    ring = _start(device)
    ring.append(_body(32))
    for _ in range(20):
        ring = _start(device)
        assert (ring.head_number, ring.chain_breaks, _last(ring)) == (32, 0, _body(32))


def test_a_header_that_was_torn_is_written_again():
    for operation, torn in ((0, "noisy"), (0, "hiding"), (1, ("bytes", 40, 0)), (1, "before"), (1, "after")):
        device = _filled(_SECTORS * _PER_SECTOR)
        ring = _start(device)
        device.cut_at(operation, torn)
        with raises(PowerCut):
            ring.append(_body(125))
        device.power_on()
        ring = _start(device)
        assert (ring.head_number, ring.chain_breaks, ring.broken_after_last) == (124, 0, 0), torn
        ring.append(_body(125))
        ring = _start(device)
        assert (ring.first_number, ring.head_number, ring.chain_breaks) == (32, 125, 0)


# Tampering


def test_r26_an_edit_of_any_bit_of_a_record_is_noticed():
    device = _filled(40)
    for bit in range(_SLOT * 8):
        device.flip_bit(_address(20) + bit // 8, bit % 8)
        ring = _start(device)
        assert ring.chain_breaks >= 1, bit
        assert ring.head_number == 40 and _last(ring) == _body(40)
        assert 20 not in _numbers(ring)
        device.flip_bit(_address(20) + bit // 8, bit % 8)
    assert _start(device).chain_breaks == 0


def test_r26_an_edit_of_the_newest_record_counts_as_a_failure():
    device = _filled(40)
    for bit in range(_SLOT * 8):
        device.flip_bit(_address(40) + bit // 8, bit % 8)
        ring = _start(device)
        assert (ring.head_number, ring.broken_after_last) == (39, 1), bit
        device.flip_bit(_address(40) + bit // 8, bit % 8)


def test_r26_an_edit_of_any_bit_of_a_header_is_noticed():
    device = _filled(70)
    for bit in list(range(44 * 8)) + list(range(100 * 8, 128 * 8)):
        for sector in (0, 1):
            device.flip_bit((_FIRST + sector) * SECTOR_SIZE + bit // 8, bit % 8)
            ring = _start(device)
            assert ring.chain_breaks == 1 and ring.head_number == 70, (sector, bit)
            device.flip_bit((_FIRST + sector) * SECTOR_SIZE + bit // 8, bit % 8)


def test_r26_records_in_each_others_place_are_noticed():
    for first, second in ((5, 6), (39, 40), (38, 40), (3, 9), (20, 33), (31, 32)):
        device = _filled(40)
        one, two = _get(device, _address(first)), _get(device, _address(second))
        _put(device, _address(first), two)
        _put(device, _address(second), one)
        assert _start(device).chain_breaks >= 1, (first, second)


def test_r26_a_gap_is_noticed():
    for number in (1, 5, 30, 31, 32, 38):
        device = _filled(40)
        _put(device, _address(number), b"\xff" * _SLOT)
        ring = _start(device)
        assert ring.chain_breaks >= 1, number
        assert number not in _numbers(ring)


def test_r26_a_record_taken_out_and_the_others_moved_up_is_noticed():
    device = _filled(20)
    for number in range(10, 20):
        _put(device, _address(number), _get(device, _address(number + 1)))
    _put(device, _address(20), b"\xff" * _SLOT)
    assert _start(device).chain_breaks >= 1


def test_r26_a_sector_taken_out_is_noticed():
    for sector in (0, 1, 2):
        device = _filled(110)  # four sectors, the fourth not full
        device.load_sector(_FIRST + sector, b"")
        ring = _start(device)
        assert ring.chain_breaks == 1, sector
        assert ring.head_number == 110 and _last(ring) == _body(110)


def test_r26_sectors_in_each_others_place_are_noticed():
    device = _filled(110)
    first, second = device.sector(_FIRST), device.sector(_FIRST + 1)
    device.load_sector(_FIRST, second)
    device.load_sector(_FIRST + 1, first)
    assert _start(device).chain_breaks >= 1


def test_r26_records_of_an_earlier_round_are_noticed():
    device = make_device()
    ring = _start(device)
    for number in range(1, 110):
        ring.append(_body(number))
    old = device.sector(_FIRST + 1)
    for number in range(110, 230):
        ring.append(_body(number))
    assert _start(device).chain_breaks == 0
    device.load_sector(_FIRST + 1, old)
    ring = _start(device)
    assert ring.chain_breaks >= 1 and ring.head_number == 229


def test_s10_a_ring_cut_short_shows_an_older_head():
    device = _filled(40)
    for number in (39, 40):
        _put(device, _address(number), b"\xff" * _SLOT)
    # Nothing on the module can tell; the server remembers 40 and its tag.
    ring = _start(device)
    assert (ring.head_number, ring.chain_breaks) == (38, 0)


def test_s12_a_ring_does_not_open_with_another_key_label_or_id():
    device = _filled(5)
    for other in ({"key": bytes(64)}, {"label": b"inkan other"}, {"ring_id": 2}):
        assert _start(device, **other).empty


def test_a_record_that_changes_after_the_start_is_not_given_out():
    device = _filled(10)
    ring = _start(device)
    device.flip_bit(_address(10) + 50, 0)
    with raises(SealError):
        ring.last()
    assert _numbers(ring) == list(range(1, 10))


def test_a_ring_that_was_lost_tells_so_until_it_is_forgiven():
    device = _filled(40)
    for sector in range(_SECTORS):
        device.load_sector(_FIRST + sector, b"")
    ring = _start(device)
    assert ring.empty
    ring.begin_anew()
    for number in range(1, 80):
        assert ring.append(_body(number)) == number
        ring = _start(device)
        assert ring.losses == 1
    ring.forgive()
    assert _start(device).losses == 0 and _start(device).head_number == 79
    ring.append(_body(80))
    assert (_start(device).losses, _start(device).chain_breaks) == (0, 0)
    device.record()
    ring.forgive()
    assert device.operations == []


# Flash that fails


def test_a_record_that_does_not_take_goes_to_the_next_slot():
    device = _filled(3)
    ring = _start(device)
    right, left = device.program, [2]

    def failing(address, data):
        left[0] -= 1
        right(address, bytes(len(data)) if left[0] >= 0 else data)

    device.program = failing
    assert ring.append(_body(4)) == 4
    ring = _start(device)
    assert _last(ring) == _body(4) and ring.chain_breaks == 0
    left[0] = 100
    with raises(FlashError):
        ring.append(_body(5))
    assert ring.head_number == 4


# A start that looks at the end only


def _both(device, sectors=_SECTORS):
    """The ring started by reading all of it, and by reading its end."""
    rings = []
    for recent in (False, True):
        ring = Ring(Window(device.fork(), _FIRST, sectors), _KEY, 1, _LABEL, CountingRandom())
        ring.start(recent)
        rings.append(ring)
    return rings


def _same_end(device):
    whole, recent = _both(device)
    for name in ("head_number", "head_tag", "first_number", "broken_after_last", "empty", "losses"):
        assert getattr(whole, name) == getattr(recent, name), name
    assert whole.last() == recent.last() and _numbers(whole) == _numbers(recent)
    for number in (1, recent.first_number + 7, recent.head_number):
        assert _numbers(whole, number) == _numbers(recent, number)
    assert recent.append(b"next") == whole.append(b"next")
    assert recent.head_tag == whole.head_tag
    return recent


def test_a_start_at_the_end_finds_what_a_whole_one_finds():
    for count in (0, 1, 30, 31, 32, 62, 63, 100, _SECTORS * _PER_SECTOR, 130, 300):
        _same_end(_filled(count))
        if count:
            device = _filled(count)
            _tear(device, count)
            _same_end(device)


def test_a_start_at_the_end_goes_back_until_there_is_a_record():
    device = _filled(40)
    for _ in range(3 * _PER_SECTOR):
        ring = _start(device)
        device.cut_at(1 if ring._next == 32 else 0, ("bytes", 50, 0))
        with raises(PowerCut):
            ring.append(_body(41))
        device.power_on()
    assert _same_end(device).head_number == 41


def test_a_start_at_the_end_is_not_led_astray_by_what_only_looks_like_a_header():
    device = _filled(70)
    false = bytearray(_get(device, _FIRST * SECTOR_SIZE))
    memoryview(false)[8:12][:] = b"\xf0\xff\xff\xff"
    device.load_sector(_FIRST + 3, false)
    _same_end(device)


def test_r26_what_a_start_at_the_end_did_not_see_is_noticed_when_it_is_read():
    device = _filled(110)
    device.flip_bit(_address(40) + 50, 0)
    ring = _both(device)[1]
    assert ring.chain_breaks == 0
    assert _numbers(ring) == [number for number in range(1, 111) if number != 40]
    assert ring.chain_breaks >= 1
    device = _filled(110)
    device.load_sector(_FIRST + 1, b"")
    ring = _both(device)[1]
    assert _numbers(ring) == [number for number in range(1, 111) if not 32 <= number < 63]
    assert ring.chain_breaks >= 1


def test_a_start_at_the_end_reads_little_of_a_large_ring():
    sectors = 144
    device = make_device()
    ring = Ring(Window(device, 48, sectors), _KEY, 4, _LABEL, CountingRandom())
    for number in range(1, 6 * _PER_SECTOR):
        ring.append(_body(number))
    device.clear_counters()
    ring.start(True)
    assert ring.head_number == 6 * _PER_SECTOR - 1
    assert device.reads <= sectors + 25 and device.bytes_read <= 16 * sectors + 4 * SECTOR_SIZE
    device.clear_counters()
    assert next(ring.records(40))[0] == 40
    assert device.reads <= 15
