"""The Wi-Fi radio, its access points and the state words of ESP32's MicroPython."""

IDLE = 1000
CONNECTING = 1001
GOT_IP = 1010
BEACON_TIMEOUT = 200
NO_AP_FOUND = 201
WRONG_PASSWORD = 202

# How often the firmware finds the radio still trying after a connect.
_POLLS_TO_JOIN = 2


class RadioError(Exception):
    """What the ESP32's driver answers with an OSError."""


class Radio:
    """A station. `access_points` maps SSID to passphrase, "" for an open network.

    `listeners` are called (connected) when the link comes up or goes down.
    """

    def __init__(self, access_points):
        self.access_points = dict(access_points)
        self.listeners = []
        self.active = False
        self.connected = False
        self.in_range = True
        self._set_back()

    def _set_back(self):
        self._wanted = None  # (SSID, passphrase)
        self._status = IDLE
        self._polls = 0
        self._tries = 0  # 0: for ever

    # The firmware's side

    def power_off(self):
        """Also what a reset does to it."""
        self.set_active(False)
        self._tries = 0

    def set_active(self, on):
        self.active = on
        if not on:
            self.disconnect()

    def connect(self, ssid, passphrase):
        if not self.active:
            raise RadioError("not started")
        if self._wanted is not None:
            raise RadioError("already connecting")
        self._wanted = (ssid, passphrase)
        self._status = CONNECTING
        self._polls = 0

    def disconnect(self):
        self._wanted = None
        self._status = IDLE
        self._set_connected(False)

    def set_tries(self, tries):
        self._tries = tries

    def status(self):
        """The state word; each call also gives the radio a moment to get on."""
        self._poll()
        return self._status

    def is_connected(self):
        self._poll()
        return self.connected

    # The house's side

    def set_in_range(self, in_range):
        """Take the access points away, or bring them back."""
        self.in_range = in_range
        if not in_range and self.connected:
            self._set_connected(False)
            self._fail(BEACON_TIMEOUT)

    def _poll(self):
        if self._wanted is None or self._status != CONNECTING:
            return
        self._polls += 1
        if self._polls <= _POLLS_TO_JOIN:
            return
        ssid, passphrase = self._wanted
        if not self.in_range or ssid not in self.access_points:
            self._fail(NO_AP_FOUND)
        elif self.access_points[ssid] != passphrase:
            self._fail(WRONG_PASSWORD)
        else:
            self._status = GOT_IP
            self._set_connected(True)

    def _fail(self, status):
        # With tries for ever the radio starts over and never says why; else the state word stays.
        self._polls = 0
        self._status = status if self._tries else CONNECTING

    def _set_connected(self, connected):
        if connected != self.connected:
            self.connected = connected
            for listener in list(self.listeners):
                listener(connected)
