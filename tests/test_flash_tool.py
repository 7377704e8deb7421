"""inkan-flash: an image written by the firmware's store, read by the tool that shares no code with it."""

import json
import random

import pytest

import tools.compat  # noqa: F401  (MicroPython's modules for the firmware under CPython)
from firmware.readings import Readings
from firmware.store.store import Store
from tools.flash import layout
from tools.flash.cli import main
from tools.flash.image import FlashImage, ImageError
from tools.sim.chips.flash import NorFlash

NAME = "印鑑 太郎"
PRIVATE_KEY = bytes(range(32))
W0 = bytes([7]) * 32


def provisioned():
    """A store on a chip, with an identity, a credential and two commits."""
    source = random.Random(1)
    chip = NorFlash(layout.IMAGE_SIZE)
    store = Store(chip, source.randbytes)

    def fill(new):
        new.identity.write([(1, b"INK-00000001"), (2, b"\x01"), (6, PRIVATE_KEY)])
        new.settings.write([(1, b"\x00")])
        new.factory.write([(2, W0)])

    store.create(source.randbytes(32), fill)
    store.start()
    store.vault.commit([(0x11, b"somebody else"), (0x31, b"01" + b"2" * 20)])
    store.vault.commit([(0x11, NAME.encode()), (0x31, b"01" + b"2" * 20), (0x41, (5500).to_bytes(4, "little"))])
    store.credential.write([(1, (5).to_bytes(4, "little")), (2, W0), (5, (10000).to_bytes(4, "little"))])
    store.attempts.append(bytes([4, 0, 1, 0]) + (5).to_bytes(4, "little") + bytes(72))
    for number in range(40):
        store.audit.append(bytes([number, 1]) + bytes(78))
    return chip, store


@pytest.fixture(scope="module")
def image_bytes():
    return provisioned()[0].image()


def changed(data, at, value):
    return data[:at] + value + data[at + len(value) :]


def graves(data):
    return {finding.what.split(":")[0] for finding in FlashImage(data).findings if finding.grave}


def test_reads_what_the_store_wrote(image_bytes):
    image = FlashImage(image_bytes)
    assert image.sound and not image.findings
    assert image.guard[0] == 3
    assert (image.field("customer_name"), image.field("pv_capacity_w")) == (NAME, 5500)
    assert image.field("address") is None
    assert image.credential("sequence") == 5 and image.credential("w0") == W0
    assert image.totals("attempts")["sequence"] == 5
    assert [record.number for record in image.rings["audit"]] == list(range(1, 42))
    assert image.rings["audit"][-1].values["event"] == 39


def test_r3_every_byte_of_the_sealed_vault_that_differs_is_found(image_bytes):
    slot = FlashImage(image_bytes).current["vault"]
    start = slot.first_sector * layout.SECTOR
    size = 64 + (int.from_bytes(image_bytes[start + 12 : start + 16], "little") // 16 + 1) * 16
    for at in range(start, start + size):
        flipped = changed(image_bytes, at, bytes([image_bytes[at] ^ (1 << at % 8)]))
        assert not FlashImage(flipped).sound, f"byte {at - start}"


@pytest.mark.parametrize("area", ("credential", "factory", "identity", "settings"))
def test_r3_every_byte_of_a_sealed_pair_that_differs_is_found(image_bytes, area):
    slot = FlashImage(image_bytes).current[area]
    start = slot.first_sector * layout.SECTOR
    size = 64 + (int.from_bytes(image_bytes[start + 12 : start + 16], "little") // 16 + 1) * 16
    for at in range(start, start + size):
        flipped = changed(image_bytes, at, bytes([image_bytes[at] ^ (1 << at % 8)]))
        assert not FlashImage(flipped).seals_hold, f"byte {at - start}"


def test_r3_a_seal_that_the_module_can_do_without_is_reported_too(image_bytes, tmp_path, capsys):
    at = FlashImage(image_bytes).current["settings"].first_sector * layout.SECTOR + 30
    path = tmp_path / "flash.bin"
    path.write_bytes(changed(image_bytes, at, bytes([image_bytes[at] ^ 1])))
    assert main([str(path)]) == 1
    assert "NOT EVERY SEAL HOLDS" in capsys.readouterr().out


def test_s9_what_is_missing_or_moved_is_named(image_bytes):
    blank = b"\xff" * layout.SECTOR
    assert graves(changed(image_bytes, 0, blank * 2)) == {"root_missing"}
    assert graves(changed(image_bytes, 2 * layout.SECTOR, blank * 2)) == {"guard_missing"}
    assert graves(changed(image_bytes, 4 * layout.SECTOR, blank * 8)) == {"vault_missing"}
    slots = image_bytes[4 * layout.SECTOR : 12 * layout.SECTOR]
    swapped = slots[4 * layout.SECTOR :] + slots[: 4 * layout.SECTOR]
    assert graves(changed(image_bytes, 4 * layout.SECTOR, swapped)) == {"vault_seal"}
    assert graves(changed(image_bytes, 30 * layout.SECTOR, blank * 16)) == {"audit_missing"}


def test_s9_an_older_vault_with_a_valid_seal_is_a_rollback():
    chip, store = provisioned()
    before = chip.image()
    store.vault.commit([(0x11, b"newer")])
    after = chip.image()
    old = before[4 * layout.SECTOR : 12 * layout.SECTOR]
    assert graves(changed(after, 4 * layout.SECTOR, old)) == {"vault_rollback"}


def test_s12_an_edit_in_a_ring_is_seen(image_bytes):
    record = FlashImage(image_bytes).rings["audit"][3]
    at = record.sector * layout.SECTOR + record.slot * 128 + 30
    image = FlashImage(changed(image_bytes, at, bytes([image_bytes[at] ^ 1])))
    assert len(image.rings["audit"]) < 41 or image.findings


def test_command_line_prints_no_secret_and_answers_by_exit_code(image_bytes, tmp_path, capsys):
    path = tmp_path / "flash.bin"
    path.write_bytes(image_bytes)
    root = FlashImage(image_bytes).root
    assert main([str(path)]) == 0
    assert main([str(path), "--json", "--personal"]) == 0
    printed = capsys.readouterr().out
    for secret in (PRIVATE_KEY, W0, root):
        assert secret.hex() not in printed and repr(secret)[2:-1] not in printed
    assert NAME in printed
    assert main([str(path), "--json"]) == 0
    printed = capsys.readouterr().out
    assert NAME not in printed and json.loads(printed)["sound"]
    path.write_bytes(changed(image_bytes, 0, b"\xff" * 8192))
    assert main([str(path)]) == 1
    assert "root_missing" in capsys.readouterr().out
    path.write_bytes(b"short")
    assert main([str(path)]) == 2
    assert main([str(tmp_path / "absent")]) == 2


def test_no_image_is_refused():
    with pytest.raises(ImageError):
        FlashImage(b"\xff" * 10)


def test_blank_image_is_not_sound():
    image = FlashImage(b"\xff" * layout.IMAGE_SIZE)
    assert not image.sound and not image.provisioned and not image.findings


READINGS_KEY = bytes(range(64, 128))
VALUES = [(quality, 1000 + quality, 70_000 + quality) for quality in (0, 1, 2, 3, 0, 0, 0)]


@pytest.fixture(scope="module")
def metered_bytes():
    """An image with a usage history, written by the firmware's own unit."""
    chip, store = provisioned()
    info = {0x14: b"PPS-1", 0x21: READINGS_KEY}
    store.vault.commit([(0x11, NAME.encode()), *info.items()])
    readings = Readings(store.readings, random.Random(2).randbytes, lambda: info, None)
    for slot in range(40):
        readings.append_slot(readings.contract_tag, 471_000 + slot, 2, 9, VALUES, 0xABCD, 3600)
    readings.append_circuits(471_039, 2, [(3, 70_000, 70_000), (1, 5, 6)])
    readings.append_point(readings.contract_tag, 12, 4, VALUES, 0xABCD, 5400)
    readings.append_clock(readings.contract_tag, 12, 820_000_000, 5400, -7)
    return chip.image()


def test_r22_the_usage_history_is_read_with_the_vaults_key(metered_bytes):
    image = FlashImage(metered_bytes)
    assert image.seals_hold and not image.findings
    records = image.rings["readings"]
    assert [record.number for record in records] == list(range(1, 44))
    slot, circuits, point, clock = [record.values for record in records[-4:]]
    assert (slot["kind"], slot["slot"], slot["span"], slot["device"]) == ("slot", 471_039, 2, 0xABCD)
    assert slot["flags"] == ["restarted", "with_circuits"] and slot["powered_s"] == 3600
    assert slot["quality"]["battery_in"] == "estimated" and slot["quality"]["ev_in"] == "reset"
    assert slot["energy_wh"] == {
        "pv": 1000, "battery_in": 1001, "battery_out": 1002, "ev_in": 1003, "ev_out": 1000, "bought": 1000, "sold": 1000
    }  # fmt: skip
    assert slot["counter_wh"]["battery_out"] == 70_002
    assert circuits == {
        "kind": "circuits", "slot": 471_039, "span": 2, "quality": ["reset", "estimated"],
        "energy_wh": [65_535, 5], "counter_wh": [70_000 - 65_536, 6],
    }  # fmt: skip
    assert (point["kind"], point["boot_count"], point["flags"]) == ("point", 12, ["device_replaced"])
    assert (clock["time"], clock["powered_s"], clock["step_s"]) == (820_000_000, 5400, -7)
    assert clock["contract"] == point["contract"] == slot["contract"] != 0


def test_r26_a_changed_reading_breaks_the_chain_and_bars_nothing(metered_bytes):
    record = FlashImage(metered_bytes).rings["readings"][10]
    at = record.sector * layout.SECTOR + record.slot * 128 + 30
    image = FlashImage(changed(metered_bytes, at, bytes([metered_bytes[at] ^ 1])))
    assert image.sound and not image.seals_hold and len(image.rings["readings"]) == 10 + 12
    sector = layout.AREAS["readings"][0]
    image = FlashImage(changed(metered_bytes, sector * layout.SECTOR, b"\xff" * 16))
    assert image.sound and len(image.rings["readings"]) == 12


def test_s12_readings_without_a_key_are_told(image_bytes):
    sector = layout.AREAS["readings"][0] + 3
    image = FlashImage(changed(image_bytes, sector * layout.SECTOR, b"usage"))
    assert image.sound and image.rings["readings"] == []
    assert [(finding.area, finding.sector) for finding in image.findings] == [("readings", sector)]


def test_usage_history_is_printed_only_where_it_is_asked_for(metered_bytes, tmp_path, capsys):
    path = tmp_path / "flash.bin"
    path.write_bytes(metered_bytes)
    assert main([str(path)]) == 0 and main([str(path), "--json"]) == 0
    printed = capsys.readouterr().out
    assert "ring readings: 43 records" in printed and "1001" not in printed
    assert main([str(path), "--readings"]) == 0
    printed = capsys.readouterr().out
    assert '"from": "2026-11-12 11:30", "to": "2026-11-12 12:30 UTC"' in printed and "1001" in printed
    assert READINGS_KEY.hex() not in printed
    assert main([str(path), "--readings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["readings"][0]["energy_wh"]["pv"] == 1000
