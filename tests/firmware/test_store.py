"""The store as a whole: root secret, provisioning, start-up with tamper, the way back (R3, S14, S18)."""

from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.kdf import hkdf
from firmware.errors import FlashError, StoreError, TamperError
from firmware.store import layout
from firmware.store.root import RootSecret, keys
from firmware.store.store import Store
from firmware.store.window import Window
from tests.dual import raises
from tests.power.kit import (
    ROOT_SECRET,
    CountingRandom,
    items_of,
    make_device,
    new_store,
    provisioned,
    started,
)
from tools.sim.chips.flash import SECTOR_SIZE, PowerCut

_BLANK = b"\xff" * SECTOR_SIZE
_RINGS = ("attempts", "clock", "audit")
_AREAS = {
    "attempts": layout.ATTEMPTS,
    "clock": layout.CLOCK,
    "audit": layout.AUDIT,
    "guard": layout.GUARD,
    "vault": layout.VAULT,
    "credential": layout.CREDENTIAL,
    "factory": layout.FACTORY,
    "identity": layout.IDENTITY,
    "settings": layout.SETTINGS,
}


def _in_use():
    device = provisioned()
    store = started(device)
    store.vault.commit([(0x11, b"name")])
    store.credential.write(b"credential")
    store.factory.write(b"factory")
    store.settings.write(b"settings")
    for name in _RINGS:
        getattr(store, name).append(b"second")
    return device


def _erase(device, area):
    for sector in range(area[0], area[0] + area[1]):
        device.load_sector(sector, b"")


def _flip(device, area, offset=40):
    for sector in range(area[0], area[0] + area[1]):
        if device.sector(sector) != _BLANK:
            device.flip_bit(sector * SECTOR_SIZE + offset, 0)


def _all_is_usable_but_the_vault(store):
    assert items_of(store.identity.read())[0] == (1, b"INK-0001")
    for name in _RINGS:
        ring = getattr(store, name)
        number = ring.append(b"later")
        assert bytes(ring.last()[:5]) == b"later" and ring.head_number == number


# The map


def test_the_areas_do_not_overlap_and_fill_the_partition():
    areas = [layout.ROOT, layout.PROVISIONED, layout.READINGS] + list(_AREAS.values())
    used = []
    for first, count in areas:
        used += range(first, first + count)
    assert sorted(used + [47]) == list(range(layout.SECTOR_COUNT))


# Provisioning


def test_a_blank_device_is_not_provisioned_and_not_tampered_with():
    store = started(make_device())
    assert store.is_blank() and not store.provisioned
    assert store.tamper is None and store.findings == () and store.vault is None


def test_provisioning_makes_an_empty_vault_of_generation_1_and_a_record_in_each_ring():
    device = make_device()
    new_store(device).create(ROOT_SECRET)
    store = started(device)
    assert store.provisioned and store.tamper is None and store.findings == () and not store.is_blank()
    assert store.vault.generation == 1 and store.vault.read() == b"" and not store.vault.purge_pending
    for name in _RINGS:
        ring = getattr(store, name)
        assert (ring.head_number, ring.last(), ring.empty) == (1, bytearray(80), False)
    for pair in (store.credential, store.factory, store.identity, store.settings):
        assert pair.read() is None and not pair.broken
    assert store.readings.size == 144 * SECTOR_SIZE and store.readings.all_blank()


def test_provisioning_leaves_nothing_of_what_was_there():
    device = make_device()
    for sector in range(layout.SECTOR_COUNT):
        if sector not in (0, 1):
            device.program(sector * SECTOR_SIZE + 77, b"left over")
    with raises(StoreError):
        new_store(device).create(ROOT_SECRET)
    new_store(device).erase_everything()
    new_store(device).create(ROOT_SECRET)
    assert b"left over" not in device.image()


def test_a_provisioned_device_is_not_provisioned_again():
    device = _in_use()
    state = device.state()
    with raises(StoreError):
        new_store(device).create(ROOT_SECRET)
    assert device.state() == state


def test_erase_everything_leaves_a_blank_device():
    device = _in_use()
    store = started(device)
    store.erase_everything()
    assert not store.provisioned and store.vault is None
    assert all(device.is_erased(index) for index in range(device.size // SECTOR_SIZE))
    assert started(device).is_blank()


def test_erasing_that_was_cut_leaves_a_device_that_is_not_provisioned():
    device = _in_use()
    device.cut_at(9, "before")
    with raises(PowerCut):
        new_store(device).erase_everything()
    device.power_on()
    store = started(device)
    assert not store.provisioned and store.tamper is None and store.vault is None
    new_store(device).create(ROOT_SECRET)
    assert started(device).provisioned


def test_without_the_mark_a_device_is_not_provisioned():
    device = _in_use()
    start = layout.PROVISIONED[0] * SECTOR_SIZE
    for position in (0, 4, 31, 40):
        device.flip_bit(start + position, 0)
        store = started(device)
        assert not store.provisioned and store.vault is None
        device.flip_bit(start + position, 0)
    assert started(device).provisioned


# Root secret


def test_s14_one_good_copy_is_enough_and_the_other_is_written_anew():
    for copy in (0, 1):
        for position in (0, 3, 4, 20, 35, 36, 67):
            device = _in_use()
            device.flip_bit(copy * SECTOR_SIZE + position, 1)
            store = started(device)
            assert store.provisioned and store.findings == ()
            assert device.sector(0) == device.sector(1)
            device.load_sector(1 - copy, b"")
            assert started(device).provisioned


def test_s14_a_root_secret_that_is_gone_is_tamper_and_never_made_anew():
    device = _in_use()
    _erase(device, layout.ROOT)
    device.record()
    store = started(device)
    assert store.tamper == "root_missing" and store.findings == ("root_missing",)
    assert not store.provisioned and store.vault is None and store.identity is None
    with raises(StoreError):
        store.create(ROOT_SECRET)
    assert device.operations == []
    new_store(device).erase_everything()
    new_store(device).create(ROOT_SECRET)
    assert started(device).tamper is None


def test_s14_two_copies_that_differ_are_tamper():
    device = _in_use()
    other = make_device()
    new_store(other).create(bytes(32))
    device.load_sector(1, other.sector(1))
    assert started(device).tamper == "root_mismatch"


def test_root_secret_on_its_own():
    device = make_device()
    blank = [True]
    root = RootSecret(Window(device, 0, 2), lambda: blank[0])
    assert root.load() is None
    root.create(ROOT_SECRET)
    assert root.load() == ROOT_SECRET
    sector = device.sector(0)
    assert sector[:36] == b"IKR1" + ROOT_SECRET
    _erase(device, layout.ROOT)
    blank[0] = False
    with raises(TamperError) as caught:
        root.load()
    assert caught.value.what == "root_missing"
    with raises(ValueError):
        root.create(bytes(31))
    right = device.program
    device.program = lambda address, data: right(address, bytes(len(data)))
    with raises(FlashError):
        root.create(ROOT_SECRET)


def test_keys_are_hkdf_of_the_root_secret_with_the_label():
    assert keys(ROOT_SECRET, b"inkan vault") == hkdf(ROOT_SECRET, b"inkan vault", 64)
    device = provisioned()
    mark = device.sector(layout.PROVISIONED[0])
    seal = hmac_sha256(keys(ROOT_SECRET, b"inkan provisioned")[32:], b"inkan provisioned", b"IKP1")
    assert mark[:32] == b"IKP1" + seal[:28] and mark[32:] == b"\xff" * (SECTOR_SIZE - 32)


# Starts


def test_a_start_on_a_device_in_order_changes_nothing_and_needs_no_random_bytes():
    device = _in_use()
    state = device.state()
    device.record()
    random = CountingRandom()
    store = Store(device, random)
    for _ in range(3):
        store.start()
    assert device.state() == state and random.calls == 0
    # The newest record of each ring is programmed again, see docs/format.md.
    assert [(kind, size) for kind, _, size in device.operations] == [("program", 128)] * 9
    assert items_of(store.vault.read()) == [(0x11, b"name")]
    assert (store.credential.read(), store.factory.read()) == (b"credential", b"factory")
    assert store.settings.read() == b"settings"


def test_r3_tamper_with_vault_or_guard_is_named_and_leaves_the_rest_usable():
    def blank_vault(device):
        _erase(device, layout.VAULT)

    def blank_guard(device):
        _erase(device, layout.GUARD)

    for damage, what in (
        (lambda device: _flip(device, layout.VAULT), "vault_seal"),
        (blank_vault, "vault_missing"),
        (blank_guard, "guard_missing"),
    ):
        device = _in_use()
        damage(device)
        store = started(device)
        assert store.provisioned and store.tamper == what and store.findings == (what,)
        with raises(TamperError):
            store.vault.read()
        _all_is_usable_but_the_vault(store)
        assert store.credential.read() == b"credential"
        store.wipe_vault()
        assert store.tamper is None and store.vault.purge_pending
        store = started(device)
        assert store.tamper is None and store.vault.read() == b"" and store.vault.generation == 3
        assert store.credential.read() == b"credential"


def test_a_ring_that_is_lost_is_tamper_until_the_way_back():
    for name in _RINGS:
        device = _in_use()
        _erase(device, _AREAS[name])
        what = name + "_missing"
        assert started(device).tamper == what
        store = started(device)
        _all_is_usable_but_the_vault(store)
        assert items_of(store.vault.read()) == [(0x11, b"name")]
        # Writing to it does not heal it.
        assert started(device).tamper == what
        store = started(device)
        store.wipe_vault()
        assert store.tamper is None
        store = started(device)
        assert store.tamper is None and getattr(store, name).head_number == 1


def test_a_break_in_a_chain_is_reported_and_bars_nothing():
    for name in _RINGS:
        device = _in_use()
        ring = getattr(started(device), name)
        for _ in range(5):
            ring.append(b"more")
        device.flip_bit(_AREAS[name][0] * SECTOR_SIZE + 3 * 128 + 50, 0)
        store = started(device)
        assert store.tamper is None and store.findings == (name + "_chain",)


def test_broken_pairs_are_named_and_erased_but_for_the_identity():
    for name, findings, tamper in (
        ("credential", (), None),
        ("factory", (), None),
        ("settings", ("settings_seal",), None),
        ("identity", ("identity_seal",), "identity_seal"),
    ):
        device = _in_use()
        _flip(device, _AREAS[name])
        store = started(device)
        assert (store.findings, store.tamper) == (findings, tamper), name
        assert getattr(store, name).broken and getattr(store, name).read() is None
        sectors = range(_AREAS[name][0], _AREAS[name][0] + _AREAS[name][1])
        erased = all([device.sector(sector) == _BLANK for sector in sectors])
        assert erased == (name != "identity")
        assert started(device).tamper == tamper


def test_several_findings_are_all_told():
    device = _in_use()
    _flip(device, layout.VAULT)
    _flip(device, layout.IDENTITY)
    _flip(device, layout.SETTINGS)
    _erase(device, layout.AUDIT)
    store = started(device)
    assert store.findings == ("vault_seal", "identity_seal", "settings_seal", "audit_missing")
    assert store.tamper == "vault_seal"
    store.wipe_vault()
    assert store.tamper == "identity_seal"


def test_s14_wiping_ends_above_what_the_server_remembers():
    device = _in_use()
    _erase(device, layout.GUARD)
    _erase(device, layout.VAULT)
    store = started(device)
    store.wipe_vault(above=40)
    assert store.vault.generation == 41 == started(device).vault.generation


def test_s12_a_record_of_one_ring_is_none_in_another():
    record = layout.SECTOR_SIZE // 32
    for source in _RINGS:
        for target in _RINGS:
            if source == target:
                continue
            device = _in_use()  # two records in each
            there = _AREAS[target][0] * SECTOR_SIZE
            device.program(there + 3 * record, device.sector(_AREAS[source][0])[2 * record : 3 * record])
            ring = getattr(started(device), target)
            assert ring.head_number == 2 and bytes(ring.last()).rstrip(b"\0") == b"second"
            assert ring.broken_after_last == 1  # in the attempts ring: a failure
            # Nor is a ring one in the other's place, header and all.
            device = _in_use()
            for sector in range(4):
                device.load_sector(_AREAS[target][0] + sector, device.sector(_AREAS[source][0] + sector))
            assert started(device).tamper == target + "_missing"


def test_no_area_opens_with_the_slots_of_another():
    device = _in_use()
    device.load_sector(layout.FACTORY[0], device.sector(layout.CREDENTIAL[0]))
    device.load_sector(layout.FACTORY[0] + 1, device.sector(layout.CREDENTIAL[0] + 1))
    assert started(device).factory.broken
    device = _in_use()
    for offset in range(4):
        device.load_sector(layout.CLOCK[0] + offset, device.sector(layout.ATTEMPTS[0] + offset))
    assert started(device).tamper == "clock_missing"


def test_windows_end_where_they_end():
    device = make_device()
    window = Window(device, 10, 2)
    for call in (
        lambda: window.read(2 * SECTOR_SIZE - 1, bytearray(2)),
        lambda: window.read(-1, bytearray(1)),
        lambda: window.program(2 * SECTOR_SIZE, b"a"),
        lambda: window.erase(2),
        lambda: window.erase(-1),
        lambda: window.part(1, 2),
    ):
        with raises(FlashError):
            call()
    assert all(device.is_erased(index) for index in range(device.size // SECTOR_SIZE))
    window.program(SECTOR_SIZE - 1, b"ab")
    assert not window.is_blank(0) and not window.is_blank(1) and not window.all_blank()
    window.erase_not_blank()
    assert window.all_blank() and device.erases == 2
    right = device.erase
    device.erase = lambda sector: None
    window.program(5, b"a")
    with raises(FlashError):
        window.erase_and_check(0)
    device.erase = right
    window.erase_and_check(0)
