"""The root secret, from which all keys derive, and the mark that provisioning was finished (docs/format.md)."""

from hashlib import sha256

from micropython import const

from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.kdf import hkdf
from firmware.errors import FlashError, TamperError

_MAGIC = b"IKR1"
_SECRET_SIZE = const(32)
_COPY_SIZE = const(68)
_DIGEST_AT = const(36)
_READS = const(3)

_MARK_LABEL = b"inkan provisioned"
_MARK_MAGIC = b"IKP1"
_MARK_SIZE = const(32)
_VOID_SIZE = const(32)
_NOT_VOID = b"\xff" * _VOID_SIZE


def keys(root, label):
    """The 64 bytes of key for a label (bytes): 32 encrypt, 32 authenticate."""
    return hkdf(root, label, 64)


class RootSecret:
    """The secret, twice, a sector each."""

    def __init__(self, window, rest_is_blank):
        self._window = window
        self._rest_is_blank = rest_is_blank

    def load(self):
        """The 32-byte secret, or None on a flash that holds nothing else either.

        `TamperError` root_missing or root_mismatch. Writes nothing.
        """
        for _ in range(_READS):
            first, second = self._copy(0), self._copy(1)
            if first and second and first != second:
                raise TamperError("root_mismatch")
            if first or second:
                return first or second
        if self._rest_is_blank():
            return None
        raise TamperError("root_missing")

    def repair(self, secret):
        """Write anew what is not a good copy."""
        for sector in range(2):
            if not self._copy(sector):
                self._write(sector, secret)

    def create(self, secret):
        """Write the 32-byte secret, first one copy, then the other."""
        self._write(0, secret)
        self._write(1, secret)

    def _copy(self, sector):
        record = bytearray(_COPY_SIZE)
        self._window.read(sector * self._window.sector_size, record)
        if record[:4] != _MAGIC or sha256(memoryview(record)[:_DIGEST_AT]).digest() != record[_DIGEST_AT:]:
            return None
        return bytes(record[4:_DIGEST_AT])

    def _write(self, sector, secret):
        if len(secret) != _SECRET_SIZE:
            raise ValueError("secret size")
        self._window.erase(sector)
        record = _MAGIC + bytes(secret)
        self._window.program(sector * self._window.sector_size, record + sha256(record).digest())
        if self._copy(sector) != secret:
            raise FlashError()


class ProvisioningMark:
    """Programmed when provisioning is finished; void once everything is to be erased."""

    def __init__(self, window):
        self._window = window

    def is_valid(self, root):
        """True if provisioning with this root secret was finished and nobody has begun to erase it."""
        record = bytearray(_MARK_SIZE)
        self._window.read(0, record)
        return record == self._record(root) and not self.is_void()

    def is_void(self):
        void = bytearray(_VOID_SIZE)
        self._window.read(_MARK_SIZE, void)
        return void != _NOT_VOID

    def write(self, root):
        self._window.program(0, self._record(root))
        if not self.is_valid(root):
            raise FlashError()

    def make_void(self):
        self._window.program(_MARK_SIZE, bytes(_VOID_SIZE))

    def _record(self, root):
        seal = hmac_sha256(keys(root, _MARK_LABEL)[32:], _MARK_LABEL, _MARK_MAGIC)
        return _MARK_MAGIC + seal[: _MARK_SIZE - len(_MARK_MAGIC)]
