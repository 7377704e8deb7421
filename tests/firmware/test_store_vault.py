"""Vault and guard: normal use, every row of the start-up table, tampering (R2, R3, R5, S9)."""

from firmware.codec import encode_items
from firmware.crypto.seal import Sealer
from firmware.errors import FlashError, StoreError, TamperError
from firmware.store import layout
from firmware.store.guard import Guard
from firmware.store.root import keys
from firmware.store.vault import Vault
from firmware.store.window import Window
from tests.dual import raises
from tests.power.kit import CountingRandom, items_of, make_device, provisioned, started
from tools.sim.chips.flash import SECTOR_SIZE, PowerCut

TIMEOUT_S = 120

_KEY = bytes(range(64))
_GUARD_KEY = bytes(range(64, 128))
_ITEMS = [(0x11, "春日 太郎".encode()), (0x31, b"0123456789012345678901"), (0x55, bytes(32))]
_BLANK = b"\xff" * SECTOR_SIZE


def _opened(device, random=None):
    window = Window(device, 0, layout.SECTOR_COUNT)
    guard = Guard(window.part(*layout.GUARD), _GUARD_KEY)
    return Vault(window.part(*layout.VAULT), guard, _KEY, random or CountingRandom())


def _created(*bodies):
    """A device whose vault has seen the bodies, one after the other."""
    device = make_device()
    vault = _opened(device, CountingRandom(b"created"))
    vault.create()
    for body in bodies:
        vault.commit(body)
    return device


def _tamper_of(device):
    """What a start says; nothing may be written by it."""
    device.record()
    with raises(TamperError) as caught:
        _opened(device).start()
    assert device.operations == []
    return caught.value.what


def _start(device):
    vault = _opened(device)
    vault.start()
    return vault


def _sectors(area):
    return range(area[0], area[0] + area[1])


def _slot(device, index):
    first = layout.VAULT[0] + 4 * index
    return [device.sector(sector) for sector in range(first, first + 4)]


def _put_slot(device, index, sectors):
    for offset, data in enumerate(sectors):
        device.load_sector(layout.VAULT[0] + 4 * index + offset, data)


def _is_blank(sectors):
    return all([data == _BLANK for data in sectors])


def _current_slot(device):
    return 0 if _is_blank(_slot(device, 1)) else 1


# Normal use


def test_r2_what_was_committed_is_read_after_a_restart():
    device = _created(encode_items(_ITEMS))
    vault = _start(device)
    assert items_of(vault.read()) == _ITEMS
    assert vault.generation == 2 and len(vault.tag) == 32 and not vault.purge_pending
    vault.commit(_ITEMS[1:])
    assert items_of(vault.read()) == items_of(_start(device).read()) == _ITEMS[1:]


def test_bodies_of_every_size_around_blocks_buffers_and_sectors():
    whole = memoryview(bytes(range(256)) * 64)
    device = _created()
    vault = _start(device)
    sizes = [0, 1, 15, 16, 17, 943, 944, 959, 960, 975, 976, 991, 992, 993, 1007, 1008]
    sizes += [4015, 4016, 4017, 4031, 4032, 8111, 8112, 12207, 12208, 16287, 16303]
    for size in sizes:
        body = whole[:size]
        vault.commit(body)
        assert vault.read() == body and isinstance(vault.read(), bytearray)
        vault.check()
        vault = _start(device)
        assert vault.read() == body
        assert _is_blank(_slot(device, 0)) != _is_blank(_slot(device, 1))


def test_a_list_of_items_is_written_as_its_encoding():
    items = [(number, bytes([number]) * (number * 37 % 300)) for number in range(1, 40)]
    device = _created(items)
    assert _start(device).read() == encode_items(items)


def test_a_body_that_does_not_fit_changes_nothing():
    device = _created(b"old")
    vault = _start(device)
    device.record()
    with raises(StoreError):
        vault.commit(bytes(16304))
    assert device.operations == [] and vault.read() == b"old"


def test_r5_the_old_slot_is_erased_before_a_commit_returns():
    device = _created(bytes(9000))
    vault = _start(device)
    for size in (5000, 10, 16303, 0):
        vault.commit(bytes(size))
        assert _is_blank(_slot(device, 0)) or _is_blank(_slot(device, 1))


def test_no_iv_comes_twice_and_each_commit_seals_differently():
    device = _created()
    random = CountingRandom()
    vault = _opened(device, random)
    vault.start()
    assert random.calls == 0
    seen = set()
    for _ in range(20):
        vault.commit(b"same")
        seen.add(bytes(_slot(device, _current_slot(device))[0][16:64]))
    assert len(seen) == 20 and random.calls == 20


def test_the_purge_flag_outlives_a_restart_until_a_commit_without_it():
    device = _created()
    _start(device).commit(b"", purge=True)
    assert _start(device).purge_pending
    _start(device).commit(b"")
    assert not _start(device).purge_pending


def test_the_guard_goes_on_for_many_commits():
    device = _created()
    vault = _start(device)
    for number in range(200):
        vault.commit(b"%d" % number)
        if number % 7 == 0:
            vault = _start(device)
    assert vault.generation == 201 and _start(device).read() == b"199"


# The start-up table


def test_s9_table_g_alone_writes_nothing():
    device = _created(b"a")
    device.record()
    assert _start(device).read() == b"a"
    assert device.operations == []


def _cut_commit(device, body, operation, torn):
    """Commit and lose power in a program or erase of the commit."""
    vault = _start(device)
    device.cut_at(operation, torn)
    with raises(PowerCut):
        vault.commit(body)
    device.power_on()


# A commit of one sector: 0..3 erase the free slot, 4 program, 5 guard, 6 erase the old slot, 7 settled.


def test_s9_table_g_and_a_valid_next_one_is_rolled_forward():
    for operation, torn in ((4, "after"), (5, "before"), (5, ("bytes", 30, 0)), (6, "before")):
        device = _created(b"old")
        _cut_commit(device, b"new", operation, torn)
        vault = _start(device)
        assert vault.read() == b"new" and vault.generation == 3
        assert _is_blank(_slot(device, 1 - _current_slot(device)))
        device.record()
        assert _start(device).read() == b"new" and device.operations == []


def test_s9_table_g_and_a_torn_or_older_or_strange_one_is_erased():
    older = _slot(_created(b"older"), 1)  # generation 2
    for case in ("torn", "older", "strange"):
        device = _created(b"older", b"old", b"now")  # generation 4, in slot 1
        other = 1 - _current_slot(device)
        if case == "torn":
            _cut_commit(device, b"new", 4, ("bytes", 70, 0))
        elif case == "older":
            device = _created(b"older", b"now")  # generation 3, in slot 0
            other = 1
            _put_slot(device, 1, older)
        else:
            device.load_sector(layout.VAULT[0] + 4 * other + 3, b"strange")
        assert not _is_blank(_slot(device, other))
        assert _start(device).read() == b"now"
        assert _is_blank(_slot(device, other))


def test_s9_table_g_not_settled_has_the_other_slot_erased_whatever_it_reads():
    device = _created(b"old")
    _cut_commit(device, b"new", 6, "hiding")
    old = 1 - _current_slot(_created(b"old", b"new"))
    assert not _is_blank(_slot(device, old))  # below what the chip shows at first
    assert _start(device).read() == b"new"
    assert _is_blank(_slot(device, old))


def test_s9_table_no_valid_g_is_named_by_what_is_there():
    blank = [b""] * 4
    device = _created(b"a")
    _put_slot(device, _current_slot(device), blank)
    assert _tamper_of(device) == "vault_missing"

    device = _created(b"a")
    device.load_sector(layout.VAULT[0] + 6, b"anything")
    _put_slot(device, 0, blank)
    device.load_sector(layout.VAULT[0] + 4, b"\0")
    assert _tamper_of(device) == "vault_seal"

    device = _created(b"a", b"b")
    _put_slot(device, 0, blank)
    _put_slot(device, 1, _slot(_created(b"a"), 1))
    assert _tamper_of(device) == "vault_rollback"


def test_s9_table_g_with_another_seal_is_a_rollback():
    device = _created(b"a")
    other = make_device()
    vault = _opened(other, CountingRandom(b"another life"))
    vault.create()
    vault.commit(b"b")
    _put_slot(device, 1, _slot(other, 1))
    assert _tamper_of(device) == "vault_rollback"


def test_s9_table_no_guard_record():
    device = _created(b"a")
    for sector in _sectors(layout.GUARD):
        device.load_sector(sector, b"")
    assert _tamper_of(device) == "guard_missing"
    device.load_sector(layout.GUARD[0], bytes(4096))
    assert _tamper_of(device) == "guard_missing"


def test_s9_table_two_guard_records_of_one_generation():
    device = _created(b"a")
    window = Window(device, 0, layout.SECTOR_COUNT).part(*layout.GUARD)
    guard = Guard(window, _GUARD_KEY)
    guard.start()
    guard.append(2, guard.tag)
    assert _start(device).read() == b"a"  # the same one twice is no contradiction
    guard.append(2, bytes(32))
    assert _tamper_of(device) == "guard_mismatch"


# Tampering


def test_r3_every_single_bit_of_a_sealed_vault_is_guarded():
    device = _created(_ITEMS)
    vault = _start(device)
    start = (layout.VAULT[0] + 4 * _current_slot(device)) * SECTOR_SIZE
    size = len(encode_items(_ITEMS))
    size = 32 + size + 16 - size % 16 + 32
    detected = 0
    for position in range(size):
        for bit in range(8):
            device.flip_bit(start + position, bit)
            with raises(TamperError) as caught:
                vault.read()
            assert caught.value.what == "vault_seal"
            with raises(TamperError):
                vault.check()
            assert _tamper_of(device) == "vault_seal"
            detected += 1
            device.flip_bit(start + position, bit)
    print("%d bits flipped, %d detected" % (size * 8, detected))
    assert detected == size * 8
    assert items_of(vault.read()) == _ITEMS and items_of(_start(device).read()) == _ITEMS


def test_r3_the_settled_mark_decides_nothing_but_an_erase():
    device = _created(b"a")
    start = (layout.VAULT[0] + 4 * _current_slot(device)) * SECTOR_SIZE + 80
    for position in range(16):
        device.flip_bit(start + position, 0)
    assert _start(device).read() == b"a"


def test_r3_every_single_bit_of_the_newest_guard_record_is_guarded():
    device = _created(b"a")
    start = layout.GUARD[0] * SECTOR_SIZE + 64  # the second record
    for bit in range(64 * 8):
        device.flip_bit(start + bit // 8, bit % 8)
        # The record before it names generation 1 now.
        assert _tamper_of(device) == "vault_rollback"
        device.flip_bit(start + bit // 8, bit % 8)
    assert _start(device).read() == b"a"


def test_r3_slots_in_each_others_place_are_not_valid():
    device = _created(b"a")
    first, second = _slot(device, 0), _slot(device, 1)
    _put_slot(device, 0, second)
    _put_slot(device, 1, first)
    assert _tamper_of(device) == "vault_seal"


def test_r3_an_older_image_with_a_valid_seal_is_a_rollback_while_running_and_after():
    device = _created(b"first")
    before = device.fork()
    vault = _start(device)
    vault.commit(b"second")
    vault.commit(b"third")  # in the slot where the first one was
    for index in (0, 1):
        _put_slot(device, index, _slot(before, index))
    with raises(TamperError) as caught:
        vault.read()
    assert caught.value.what == "vault_rollback"
    assert _tamper_of(device) == "vault_rollback"


def test_s10_vault_and_guard_played_back_together_show_an_older_generation():
    device = _created(b"first")
    before = device.fork()
    _start(device).commit(b"second")
    for area in (layout.GUARD, layout.VAULT):
        for sector in _sectors(area):
            device.load_sector(sector, before.sector(sector))
    # Nothing on the module can tell; the server remembers 3.
    assert _start(device).generation == 2


def _sealed_slot(index, magic=b"IKV1", version=1, flags=0, reserved=0, generation=2, body=b"by hand"):
    """A slot made from docs/format.md, not by the store."""
    header = magic + bytes((version, flags)) + reserved.to_bytes(2, "little")
    header += generation.to_bytes(4, "little") + len(body).to_bytes(4, "little")
    sealed = bytearray(16 + 16 * (len(body) // 16 + 1) + 32)
    Sealer(_KEY).seal_into(sealed, 0, bytes(range(16)), b"inkan vault" + bytes((index,)) + header, body)
    return header + sealed


def test_a_slot_made_by_hand_from_the_format_is_read():
    device = _created()
    sealed = _sealed_slot(1)
    guard = Guard(Window(device, 0, layout.SECTOR_COUNT).part(*layout.GUARD), _GUARD_KEY)
    guard.start()
    guard.append(2, sealed[-32:])
    _put_slot(device, 0, [b""])
    _put_slot(device, 1, [sealed])
    assert _start(device).read() == b"by hand"


def test_a_sealed_slot_of_an_unknown_format_is_not_valid():
    for fault in (
        {"version": 2},
        {"version": 0},
        {"magic": b"IKC1"},
        {"magic": b"IKV2"},
        {"flags": 4},
        {"reserved": 1},
        {"flags": 2},  # empty, yet with a body
    ):
        device = _created()
        sealed = _sealed_slot(1, **fault)
        guard = Guard(Window(device, 0, layout.SECTOR_COUNT).part(*layout.GUARD), _GUARD_KEY)
        guard.start()
        guard.append(2, sealed[-32:])
        _put_slot(device, 0, [b""])
        _put_slot(device, 1, [sealed])
        assert _tamper_of(device) == "vault_seal", fault


def test_after_a_tampered_start_nothing_is_read_or_committed():
    device = _created(b"a")
    _put_slot(device, 1, [b""] * 4)
    vault = _opened(device)
    with raises(TamperError):
        vault.start()
    assert vault.generation == 0 and vault.tag is None and not vault.purge_pending
    device.record()
    for call in (vault.read, vault.check, lambda: vault.commit(b"b")):
        with raises(TamperError) as caught:
            call()
        assert caught.value.what == "vault_missing"
    assert device.operations == []


def test_s19_one_bad_read_is_no_tamper():
    device = _created(b"a")
    right, left = device.read, [2]

    def glitching(address, buffer):
        right(address, buffer)
        if address // SECTOR_SIZE in _sectors(layout.VAULT) and len(buffer) > 64 and left[0]:
            left[0] -= 1
            buffer[40] ^= 1

    device.read = glitching
    assert _start(device).read() == b"a"
    left[0] = 1000
    device.record()
    with raises(TamperError):
        _start(device)
    assert device.operations == []


# The way back


def test_s19_the_way_back_from_every_tamper_ends_above_every_generation_seen():
    def blank_guard(device):
        for sector in _sectors(layout.GUARD):
            device.load_sector(sector, b"")

    def blank_vault(device):
        _put_slot(device, 0, [b""] * 4)
        _put_slot(device, 1, [b""] * 4)

    def flip(device):
        device.flip_bit((layout.VAULT[0] + 4 * _current_slot(device)) * SECTOR_SIZE + 44, 0)

    def mismatch(device):
        guard = Guard(Window(device, 0, layout.SECTOR_COUNT).part(*layout.GUARD), _GUARD_KEY)
        guard.start()
        guard.append(guard.generation, bytes(32))

    def swap(device):
        first, second = _slot(device, 0), _slot(device, 1)
        _put_slot(device, 0, second)
        _put_slot(device, 1, first)

    def roll_back(device):
        older = _created(b"a", b"b")  # generation 3, with the same keys
        for index in (0, 1):
            _put_slot(device, index, _slot(older, index))

    def run_ahead(device):
        # A valid seal above the newest generation that the guard has heard of.
        newer = _created(b"a", b"b", b"c", b"d", b"e")  # generation 6
        for index in (0, 1):
            _put_slot(device, index, _slot(newer, index))

    for damage, reason, generation in (
        (blank_guard, "guard_missing", 5),
        (blank_vault, "vault_missing", 5),
        (flip, "vault_seal", 5),
        (mismatch, "guard_mismatch", 5),
        (swap, "vault_seal", 5),
        (roll_back, "vault_rollback", 5),
        (run_ahead, "vault_rollback", 7),
    ):
        device = _created(b"a", b"b", b"c")
        damage(device)
        assert _tamper_of(device) == reason
        vault = _opened(device)
        with raises(TamperError):
            vault.start()
        vault.wipe()
        assert vault.generation == generation and vault.read() == b"" and vault.purge_pending
        assert _is_blank(_slot(device, 1 - _current_slot(device)))
        vault = _start(device)
        assert vault.generation == generation and vault.read() == b""
        vault.commit(b"anew")
        assert _start(device).read() == b"anew"
    device = _created(b"a")
    blank_guard(device)
    blank_vault(device)
    vault = _opened(device)
    vault.wipe(above=9)
    assert vault.generation == 10 == _start(device).generation


# Flash that fails


def test_a_program_that_does_not_take_leaves_the_old_snapshot():
    device = _created(b"old")
    vault = _start(device)
    right = device.program
    device.program = lambda address, data: right(address, bytes(len(data)))
    with raises(FlashError):
        vault.commit(b"new")
    device.program = right
    assert vault.read() == b"old" and _start(device).read() == b"old"
    vault.commit(b"newer")
    assert _start(device).read() == b"newer"


def test_an_erase_that_does_not_take_is_not_confirmed():
    device = _created(b"old")
    vault = _start(device)
    vault.commit(b"new")
    retired = layout.VAULT[0] + 4 * _current_slot(device)
    right = device.erase

    def failing(sector):
        if sector != retired:
            right(sector)

    device.erase = failing
    with raises(FlashError):
        vault.commit(b"newer")
    device.erase = right
    assert _start(device).read() == b"newer"
    assert _is_blank(_slot(device, 1 - _current_slot(device)))


def test_keys_in_use_come_from_the_root_secret_by_label():
    device = provisioned()
    vault = started(device).vault
    vault.commit(b"a")
    window = Window(device, 0, layout.SECTOR_COUNT)
    root = bytes(range(32))
    guard = Guard(window.part(*layout.GUARD), keys(root, b"inkan guard"))
    same = Vault(window.part(*layout.VAULT), guard, keys(root, b"inkan vault"), None)
    same.start()
    assert same.read() == b"a"
