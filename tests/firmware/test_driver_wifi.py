import asyncio

from firmware.drivers import DriverError
from firmware.drivers.wifi import Wifi
from firmware.errors import LinkError
from tests.dual import raises

INTERPRETERS = ("micropython",)

CONNECTING = 1001
GIVEN_UP = 202


class Wlan:
    """A radio that takes `polls` looks to get where `end` says: True, a state word, or None for never."""

    def __init__(self, end, polls=2):
        self.end = end
        self.polls = polls
        self.calls = []
        self.on = False
        self.trying = False
        self.failing = False

    def active(self, on=None):
        if self.failing:
            raise OSError("radio")
        if on is not None:
            self.on = on
        return self.on

    def config(self, reconnects):
        self.calls.append(("tries", reconnects))

    def connect(self, ssid, passphrase):
        assert self.on
        self.calls.append(("connect", ssid, passphrase))
        self.trying = True

    def disconnect(self):
        self.calls.append("disconnect")
        self.trying = False

    def isconnected(self):
        if self.trying:
            self.polls -= 1
        return self.trying and self.polls < 0 and self.end is True

    def status(self):
        return self.end if self.polls < 0 and self.end not in (True, None) else CONNECTING


class Clock:
    """Each look at it is 100 ms later."""

    def __init__(self):
        self.now_ms = 0

    def ticks_ms(self):
        self.now_ms += 100
        return self.now_ms


def connect(wlan, timeout_ms=1000):
    wifi = Wifi(wlan, {GIVEN_UP: "wifi_passphrase"}, Clock().ticks_ms)
    asyncio.run(wifi.connect("house", "secret", timeout_ms))
    return wifi


def test_connect_returns_when_there_is_an_address():
    wlan = Wlan(True)
    wifi = connect(wlan)
    assert wifi.connected()
    assert wlan.calls == ["disconnect", ("tries", 3), ("connect", "house", "secret")]


def test_refusal_has_its_code_and_ends_the_radios_tries():
    wlan = Wlan(GIVEN_UP)
    with raises(LinkError) as caught:
        connect(wlan)
    assert caught.value.code == "wifi_passphrase"
    assert wlan.calls[-1] == "disconnect"


def test_r27_connect_gives_up_in_time():
    wlan = Wlan(None)
    with raises(LinkError) as caught:
        connect(wlan)
    assert caught.value.code == "wifi_timeout"
    assert wlan.calls[-1] == "disconnect"


def test_failing_radio_is_a_driver_error():
    wlan = Wlan(True)
    wlan.failing = True
    with raises(DriverError) as caught:
        connect(wlan)
    assert caught.value.code == "wifi_radio"


def test_driver_that_refuses_to_connect_is_a_link_error():
    class Refusing(Wlan):
        def connect(self, ssid, passphrase):
            raise OSError("internal state")

    with raises(LinkError) as caught:
        connect(Refusing(True))
    assert caught.value.code == "wifi_radio"


def test_r4_no_error_repeats_the_passphrase():
    for end in (GIVEN_UP, None):
        with raises(LinkError) as caught:
            connect(Wlan(end))
        assert "secret" not in repr(caught.value)
