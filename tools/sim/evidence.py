"""What can be known of a house without asking its firmware: flash, the server's database, the display's dots.

Nothing of `firmware` is imported, and the database is read as a file.
"""

import contextlib
import sqlite3
import ssl
from types import SimpleNamespace

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.x509 import load_der_x509_certificate

from tools.flash import layout
from tools.flash.image import FlashImage

_BLOCK = 16


class Evidence:
    """Of a house that is started."""

    def __init__(self, house):
        self._house = house

    def flash(self):
        """The flash as it is now, read by the independent reader."""
        return FlashImage(self._house.flash.image())

    def is_polled(self):
        """Whether a module's poll waits at the server for something to come."""
        return bool(self._house.server.services.wakeups.waiting())

    def follow_delivery(self):
        """Follow a credential from here to the flash. Returns an object: `polls` that began on the way, `arrived`."""
        wakeups, flash = self._house.server.services.wakeups, self._house.flash
        first, count = layout.AREAS["credential"]
        found = SimpleNamespace(polls=0, arrived=False)
        usual = wakeups.watch

        def watch(key):
            found.polls += 1
            return usual(key)

        def saw_flash(kind, sector, size):
            if kind == "program" and first <= sector < first + count:
                found.arrived = True
                wakeups.watch = usual
                flash.watchers.remove(saw_flash)

        wakeups.watch = watch
        flash.watchers.append(saw_flash)
        return found

    def write_authority(self):
        """A file with the certificate that signs the server's, as everybody may have it; its path."""
        path = self._house.folder / "server-ca.pem"
        path.write_text(ssl.DER_cert_to_PEM_cert(self._house.server.ca.pps.certificate_der))
        return path

    def rows(self, query, *values):
        """Rows of a query on the server's database, as dicts."""
        path = self._house.server.database_path
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(query, values)]

    def row(self, query, *values):
        """The first row, or {}."""
        return next(iter(self.rows(query, *values)), {})

    def in_database(self, *values):
        """Those of the values (str or bytes) that stand anywhere in the database's file."""
        data = self._house.server.database_path.read_bytes()
        return [value for value in values if (value.encode() if isinstance(value, str) else value) in data]


def found_in(image, values):
    """Those of the values (bytes) that the image gives to somebody who has all of it.

    Searched in clear, and in every decryption of the whole image (AES-256-CBC, at
    each of 16 offsets) under every key that it holds.
    """
    wanted = set(values)
    found = {value for value in wanted if value in image.data}
    for key in image.keys().values():
        for offset in range(_BLOCK):
            plain = _decrypt(key[:32], image.data[offset:])
            found |= {value for value in wanted - found if value in plain}
    return found


def _decrypt(key, data):
    # Each block depends on the one before it alone, so one pass reads every ciphertext, wherever it starts.
    decryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK))).decryptor()
    return decryptor.update(data[: len(data) // _BLOCK * _BLOCK])


def key_fits(private_key, certificate_der):
    """Whether a P-256 private key (32 bytes) belongs to a certificate."""
    if not private_key or not certificate_der:
        return False
    mine = ec.derive_private_key(int.from_bytes(private_key, "big"), ec.SECP256R1()).public_key()
    return load_der_x509_certificate(certificate_der).public_key() == mine
