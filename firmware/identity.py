"""The factory identity (S18): who the module is, outside the vault, for credentials, time and alarms."""

from micropython import const

from firmware import codec
from firmware.errors import SealError, TamperError

_SERIAL = const(0x01)
_HOST_KIND = const(0x02)
_URL = const(0x03)
_CA = const(0x04)
_CERTIFICATE = const(0x05)
_PRIVATE_KEY = const(0x06)

HOST_PCS = 1
HOST_PANEL_BOARD = 2


class Identity:
    """serial and url are str; ca and certificate DER, private_key 32 bytes; host_kind HOST_...

    What is not there is None. Certificates and key are read from flash when they are asked for:
    they are needed once in a connection.
    """

    def __init__(self, pair):
        self._pair = pair
        self.serial = None
        self.host_kind = None
        self.url = None

    def start(self):
        """Read the identity. `TamperError("identity_seal")` if there is one that does not verify."""
        if self._pair.broken:
            raise TamperError("identity_seal")
        serial = self._item(_SERIAL)
        host_kind = self._item(_HOST_KIND)
        url = self._item(_URL)
        self.serial = serial and serial.decode()
        self.host_kind = host_kind and host_kind[0]
        self.url = url and url.decode()

    @property
    def ca(self):
        return self._item(_CA)

    @property
    def certificate(self):
        return self._item(_CERTIFICATE)

    @property
    def private_key(self):
        return self._item(_PRIVATE_KEY)

    @property
    def complete(self):
        """True if the maker's server can be called: everything but the host kind is there."""
        return None not in (self.serial, self.url, self.ca, self.certificate, self.private_key)

    def _item(self, wanted):
        try:
            body = self._pair.read()
        except SealError:
            raise TamperError("identity_seal")
        if body:
            for item_id, value in codec.decode_items(body):
                if item_id == wanted:
                    return bytes(value)
        return None


def encode(serial, host_kind, url=None, ca=None, certificate=None, private_key=None):
    """List of (id, value) for the identity's pair; types as the attributes of `Identity`."""
    values = (
        (_SERIAL, serial.encode()),
        (_HOST_KIND, bytes([host_kind])),
        (_URL, url and url.encode()),
        (_CA, ca),
        (_CERTIFICATE, certificate),
        (_PRIVATE_KEY, private_key),
    )
    return [item for item in values if item[1] is not None]
