"""R5: after a change or deletion is confirmed, nothing of the old value is left in a dump of the flash.

The scanner finds each value in the dump that was taken before: in clear, or
under any key that the dump holds. Half-erased sectors are dumped as they were.
"""

import hashlib

import pytest

from firmware.store import layout
from firmware.store import store as store_module
from firmware.store.ring import Ring
from tests.power.dump_scan import find, keys_of
from tests.power.harness import tally
from tests.power.kit import CountingRandom, make_device, new_store, provisioned, started
from tests.power.wrong import BelievesBlank
from tools.sim.chips.flash import PowerCut

OLD = "旧い名の持ち主 一郎".encode()
NEW = b"New Occupant, 2 Chome"
FILLER = (0x13, bytes(range(100)))
READINGS_KEY = bytes(range(100, 164))
SECRET = bytes(range(200, 232))


def with_value(value=OLD, extra=()):
    device = provisioned()
    started(device).vault.commit([(0x11, value), FILLER, *extra])
    return device


def test_the_scanner_finds_what_is_in_clear_and_pieces_of_it():
    image = bytearray(provisioned().image())
    assert find(bytes(image), OLD) == []
    image[0x40123 : 0x40123 + 9] = OLD[4:13]
    assert ("clear", 0x40123) in find(bytes(image), OLD)


def test_the_scanner_finds_a_value_wherever_it_lies_in_a_slot():
    for size in range(0, 40, 3):
        device = provisioned()
        started(device).vault.commit([(0x10, bytes(size)), (0x11, OLD)])
        assert find(device.image(), OLD)
    device = provisioned()
    started(device).vault.commit([(0x10, bytes(4096 - 32 - 3 - 3 - 10)), (0x11, OLD)])  # over two sectors
    assert len(find(device.image(), OLD)) >= 4


def test_the_scanner_finds_what_only_a_key_inside_the_vault_opens():
    device = with_value(extra=[(0x21, READINGS_KEY)])
    store = started(device)
    ring = Ring(store.readings, READINGS_KEY, layout.READINGS_RING_ID, b"inkan readings", CountingRandom())
    ring.start()
    ring.append(SECRET)
    image = device.image()
    assert any(name.startswith("item 0x21") for name in keys_of(image))
    assert all(how.startswith("item 0x21") for how, _ in find(image, SECRET))


def test_the_scanner_finds_records_of_rings_and_contents_of_pairs():
    device = provisioned()
    store = started(device)
    store.audit.append(SECRET)
    store.credential.write(OLD)
    assert find(device.image(), SECRET)
    assert find(device.image(), OLD)


def test_r5_s9_after_a_change_the_old_value_is_gone():
    device = with_value()
    assert find(device.image(), OLD)
    started(device).vault.commit([(0x11, NEW), FILLER])
    assert find(device.image(), OLD) == []
    assert find(device.image(), NEW)


def test_r5_after_a_deletion_the_old_value_is_gone():
    device = with_value()
    started(device).vault.commit([FILLER])
    assert find(device.image(), OLD) == []
    assert find(device.image(), FILLER[1])


def test_r5_after_many_changes_only_the_last_value_is_there():
    device = provisioned()
    vault = started(device).vault
    values = [hashlib.sha256(b"%d" % number).digest() * (1 + number % 4) for number in range(30)]
    for value in values:
        vault.commit([(0x11, value), (0x55, bytes(31 * len(value)))])
    image = device.image()
    for value in values[:-1]:
        assert find(image, value) == []
    assert find(image, values[-1])


def test_r5_s4_an_ended_credential_is_gone():
    device = provisioned()
    started(device).credential.write([(2, SECRET), (3, OLD)])
    assert find(device.image(), SECRET)
    started(device).credential.erase()
    assert find(device.image(), SECRET) == [] == find(device.image(), OLD)


def test_r5_s4_a_replaced_credential_is_gone():
    device = provisioned()
    pair = started(device).credential
    pair.write([(2, SECRET)])
    pair.write([(2, NEW)])
    assert find(device.image(), SECRET) == []
    assert find(device.image(), NEW)


def test_r5_s12_deleted_usage_history_is_gone():
    device = with_value(extra=[(0x21, READINGS_KEY)])
    store = started(device)
    ring = Ring(store.readings, READINGS_KEY, layout.READINGS_RING_ID, b"inkan readings", CountingRandom())
    ring.start()
    for _ in range(70):
        ring.append(SECRET)
    assert find(device.image(), SECRET) and find(device.image(), READINGS_KEY)
    store.vault.commit([(0x11, OLD), FILLER], purge=True)
    # The key is gone at once, so the values are, before their sectors are erased.
    assert find(device.image(), SECRET) == [] == find(device.image(), READINGS_KEY)
    store.readings.erase_not_blank()
    store.vault.commit([(0x11, OLD), FILLER, (0x21, bytes(64))])
    assert find(device.image(), SECRET) == [] == find(device.image(), READINGS_KEY)


def test_r5_a_wiped_vault_is_gone():
    device = with_value()
    for sector in range(layout.GUARD[0], sum(layout.GUARD)):
        device.load_sector(sector, b"")
    assert find(device.image(), OLD)
    started(device).wipe_vault()
    assert find(device.image(), OLD) == []


def test_r5_erase_everything_leaves_nothing():
    device = with_value()
    new_store(device).erase_everything()
    assert device.image() == make_device().image()


def cut_everywhere(device, change):
    """Yield a fork of the device for each point at which a change can be cut, power back on."""
    uncut = device.fork()
    uncut.record()
    change(uncut)
    for index, operation in enumerate(uncut.operations):
        for torn in uncut.torn_kinds(operation):
            cut = device.fork()
            cut.cut_at(index, torn)
            with pytest.raises(PowerCut):
                change(cut)
            cut.power_on()
            yield (index, operation, torn), cut


def change_to_new(device):
    started(device).vault.commit([(0x11, NEW), FILLER])


def test_r5_s9_a_value_whose_change_was_cut_is_gone_once_the_module_shows_the_new_one():
    device = with_value()
    points = rolled_forward = 0
    for point, cut in cut_everywhere(device, change_to_new):
        vault = started(cut).vault
        if OLD in vault.read():
            assert vault.generation == 2
            change_to_new(cut)
        else:
            rolled_forward += 1
        assert find(cut.image(), OLD) == [], point
        assert find(cut.image(), NEW), point
        points += 1
    print(tally("dump after a change", {"points": points, "second_points": 0}))
    assert points > rolled_forward > 10


def test_r5_a_value_that_was_cut_on_its_way_in_is_gone_after_the_next_change():
    long_filler = (0x13, bytes(9000))
    entered = b"entered, but cut off" * 30

    def enter(device):
        started(device).vault.commit([long_filler, (0x51, entered)])

    points = 0
    for point, cut in cut_everywhere(with_value(), enter):
        started(cut)  # once, so that a sector may read blank here
        started(cut).vault.commit([(0x11, NEW)])
        assert find(cut.image(), entered) == [], point
        points += 1
    print(tally("dump after what never came in", {"points": points, "second_points": 0}))
    assert points > 50


def test_r5_s4_a_credential_whose_end_was_cut_is_gone_once_it_reads_as_ended():
    device = provisioned()
    started(device).credential.write([(2, SECRET)])
    points = 0
    for point, cut in cut_everywhere(device, lambda cut: started(cut).credential.erase()):
        credential = started(cut).credential
        if credential.read() is not None:
            credential.erase()
        assert find(cut.image(), SECRET) == [], point
        points += 1
    print(tally("dump after a credential's end", {"points": points, "second_points": 0}))
    assert points > 20


def test_a_store_that_believes_a_blank_reading_is_found_out(monkeypatch):
    monkeypatch.setattr(store_module, "Vault", BelievesBlank)
    left = 0
    for _, cut in cut_everywhere(with_value(), change_to_new):
        if NEW in started(cut).vault.read():
            left += bool(find(cut.image(), OLD))
    assert left
