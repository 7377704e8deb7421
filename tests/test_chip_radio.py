"""The radio's model, and the states in which ESP32's MicroPython finds it."""

import pytest

from tools.sim.chips import radio as states
from tools.sim.chips.radio import Radio, RadioError


@pytest.fixture
def radio():
    radio = Radio({"house": "secret", "open": ""})
    radio.set_active(True)
    return radio


def settle(radio):
    for _ in range(10):
        radio.is_connected()
    return radio.status()


def test_joining_takes_a_while_and_tells_the_listeners(radio):
    changes = []
    radio.listeners.append(changes.append)
    radio.connect("house", "secret")
    assert not radio.is_connected()
    assert radio.status() == states.CONNECTING
    assert settle(radio) == states.GOT_IP
    assert radio.connected and changes == [True]
    radio.disconnect()
    assert changes == [True, False] and radio.status() == states.IDLE


def test_open_network_wants_no_passphrase(radio):
    radio.connect("open", "")
    assert settle(radio) == states.GOT_IP


@pytest.mark.parametrize(
    ("ssid", "passphrase", "status"),
    [("house", "wrong", states.WRONG_PASSWORD), ("elsewhere", "secret", states.NO_AP_FOUND)],
)
def test_failure_is_told_only_with_a_limit_to_the_tries(radio, ssid, passphrase, status):
    radio.connect(ssid, passphrase)
    assert settle(radio) == states.CONNECTING
    radio.disconnect()
    radio.set_tries(3)
    radio.connect(ssid, passphrase)
    assert settle(radio) == status


def test_out_of_range_drops_the_link_and_bars_a_new_one(radio):
    radio.set_tries(3)
    radio.connect("house", "secret")
    settle(radio)
    radio.set_in_range(False)
    assert not radio.connected and radio.status() == states.BEACON_TIMEOUT
    radio.disconnect()
    radio.connect("house", "secret")
    assert settle(radio) == states.NO_AP_FOUND
    radio.set_in_range(True)
    radio.disconnect()
    radio.connect("house", "secret")
    assert settle(radio) == states.GOT_IP


def test_radio_that_is_off_or_busy_refuses(radio):
    radio.connect("house", "secret")
    with pytest.raises(RadioError):
        radio.connect("house", "secret")
    radio.power_off()
    assert not radio.active and not radio.connected
    with pytest.raises(RadioError):
        radio.connect("house", "secret")
