"""What the panel sets for itself: language and network. No tamper here, at worst the defaults."""

from micropython import const

from firmware import codec
from firmware.errors import SealError

_LANGUAGE = const(0x01)
_SSID = const(0x02)
_PASSPHRASE = const(0x03)
_NTP_HOST = const(0x04)

JAPANESE = 0
ENGLISH = 1


class Preferences:
    """language is JAPANESE or ENGLISH; ssid, passphrase and ntp_host are str, "" where there is none.

    broken: what was in flash did not verify, so these are the defaults.
    """

    def __init__(self, pair):
        self._pair = pair
        self.broken = False
        self._set_defaults()

    def start(self):
        """Read the preferences."""
        self.broken = self._pair.broken
        try:
            body = self._pair.read()
        except SealError:
            body = None
            self.broken = True
        if body is None:
            return
        for item_id, value in codec.decode_items(body):
            if item_id == _LANGUAGE:
                self.language = ENGLISH if value[0] == ENGLISH else JAPANESE
            elif item_id == _SSID:
                self.ssid = bytes(value).decode()
            elif item_id == _PASSPHRASE:
                self.passphrase = bytes(value).decode()
            elif item_id == _NTP_HOST:
                self.ntp_host = bytes(value).decode()

    def save(self, language=None, ssid=None, passphrase=None, ntp_host=None):
        """Change what is given and write all of it. `StoreError` leaves it as it was after the next start."""
        if language is not None:
            self.language = language
        if ssid is not None:
            self.ssid = ssid
        if passphrase is not None:
            self.passphrase = passphrase
        if ntp_host is not None:
            self.ntp_host = ntp_host
        self._pair.write(
            [
                (_LANGUAGE, bytes([self.language])),
                (_SSID, self.ssid.encode()),
                (_PASSPHRASE, self.passphrase.encode()),
                (_NTP_HOST, self.ntp_host.encode()),
            ]
        )
        self.broken = False

    def _set_defaults(self):
        self.language = JAPANESE
        self.ssid = self.passphrase = self.ntp_host = ""
