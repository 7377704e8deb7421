"""MicroPython's `network` as on the ESP32, over the wire: a station, nothing else."""

import _opcodes
import _wire

STA_IF = 0

STAT_BEACON_TIMEOUT = 200
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204


class WLAN:
    def __init__(self, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("interface")

    def active(self, on=None):
        return bool(_wire.ask(_opcodes.RADIO_ACTIVE, 2 if on is None else 1 if on else 0))

    def connect(self, ssid, key=None):
        ssid = ssid.encode()
        _wire.ask(_opcodes.RADIO_CONNECT, 0, 0, 0, bytes((len(ssid),)) + ssid + (key or "").encode())

    def disconnect(self):
        _wire.ask(_opcodes.RADIO_DISCONNECT)

    def isconnected(self):
        return bool(_wire.ask(_opcodes.RADIO_CONNECTED))

    def status(self):
        return _wire.ask(_opcodes.RADIO_STATUS)

    def config(self, *, reconnects):
        _wire.ask(_opcodes.RADIO_TRIES, 0, reconnects)
