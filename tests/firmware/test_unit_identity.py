"""S18 and the preferences: what lies beside the vault."""

from unit_rig import module, random

from firmware import identity, preferences
from firmware.errors import TamperError
from firmware.store import layout
from firmware.store.store import Store
from tests.dual import raises


def test_s18_the_identity_is_read_back_as_it_was_provisioned():
    rig = module()
    unit = identity.Identity(rig.store.identity)
    unit.start()
    assert not unit.complete and unit.serial is None
    rig.store.identity.write(
        identity.encode(
            "INK-00000001", identity.HOST_PCS, "https://maker.example", b"\x30\x00", b"\x30\x01a", b"k" * 32
        )
    )
    unit.start()
    assert (unit.serial, unit.host_kind, unit.url) == ("INK-00000001", 1, "https://maker.example")
    assert (unit.ca, unit.certificate, unit.private_key) == (b"\x30\x00", b"\x30\x01a", b"k" * 32)
    assert unit.complete


def test_s18_an_identity_may_lack_the_makers_server():
    rig = module()
    rig.store.identity.write(identity.encode("INK-7", identity.HOST_PANEL_BOARD))
    unit = identity.Identity(rig.store.identity)
    unit.start()
    assert (unit.serial, unit.host_kind, unit.url, unit.ca) == ("INK-7", 2, None, None)
    assert not unit.complete


def test_s18_a_damaged_identity_is_tamper():
    rig = module()
    rig.store.identity.write(identity.encode("INK-7", identity.HOST_PCS))
    for sector in range(layout.IDENTITY[0], sum(layout.IDENTITY)):
        if rig.device.sector(sector) != b"\xff" * 4096:
            rig.device.flip_bit(sector * 4096 + 40, 0)
    with raises(TamperError) as caught:
        identity.Identity(rig.store.identity).start()
    assert caught.value.what == "identity_seal"
    store = Store(rig.device, random)
    store.start()
    with raises(TamperError):
        identity.Identity(store.identity).start()


def test_preferences_are_kept():
    rig = module()
    unit = preferences.Preferences(rig.store.settings)
    unit.start()
    assert (unit.language, unit.ssid, unit.passphrase, unit.ntp_host) == (preferences.JAPANESE, "", "", "")
    unit.save(language=preferences.ENGLISH, ssid="家", passphrase="secret 123")
    unit.save(ntp_host="ntp.example")
    again = preferences.Preferences(rig.store.settings)
    again.start()
    assert (again.language, again.ssid, again.passphrase, again.ntp_host) == (1, "家", "secret 123", "ntp.example")
    assert not again.broken


def test_damaged_preferences_are_the_defaults():
    rig = module()
    unit = preferences.Preferences(rig.store.settings)
    unit.save(language=preferences.ENGLISH, ssid="home")
    for sector in range(layout.SETTINGS[0], sum(layout.SETTINGS)):
        if rig.device.sector(sector) != b"\xff" * 4096:
            rig.device.flip_bit(sector * 4096 + 40, 0)
    running = preferences.Preferences(rig.store.settings)
    running.start()
    assert running.broken and running.ssid == ""
    store = Store(rig.device, random)
    store.start()
    unit = preferences.Preferences(store.settings)
    unit.start()
    assert (unit.broken, unit.language, unit.ssid) == (True, preferences.JAPANESE, "")
    unit.save(ssid="new")
    assert not unit.broken
