"""HMAC-DRBG with SHA-256 (NIST SP 800-90A rev. 1, section 10.1.2), security strength 256."""

from micropython import const

from firmware.crypto.hmac import HmacSha256
from firmware.errors import InkanError

MAX_REQUEST_SIZE = const(65536)

_STRENGTH_SIZE = const(32)
_MAX_REQUESTS = const(1 << 48)


class ReseedError(InkanError):
    """The generator has given all that one seed allows; `reseed` it."""

    code = "reseed"


class HmacDrbg:
    """A generator that is as good as the best of what it was fed.

    entropy: at least 32 bytes. nonce: what never comes twice (a boot counter), so that a stuck source of
    entropy repeats nothing. personalization: what nobody else has (a secret of the device).
    """

    def __init__(self, entropy, nonce, personalization=b""):
        self._mac = HmacSha256(bytes(_STRENGTH_SIZE))
        self._value = b"\x01" * _STRENGTH_SIZE
        self._seed(entropy, nonce, personalization)

    def reseed(self, entropy, additional=b""):
        """Mix in at least 32 bytes of fresh entropy; what was there is kept."""
        self._seed(entropy, additional)

    def generate(self, size):
        """`size` bytes, at most 65,536. `ReseedError` after 2^48 requests without a reseed."""
        if size > MAX_REQUEST_SIZE:
            raise ValueError("size")
        if self._requests >= _MAX_REQUESTS:
            raise ReseedError()
        out = bytearray(size)
        view = memoryview(out)
        done = 0
        while done < size:
            self._step()
            part = min(len(self._value), size - done)
            view[done : done + part][:] = self._value[:part]
            done += part
        # Whoever reads the state later cannot work out what was given now.
        self._update()
        self._requests += 1
        return bytes(out)

    def _seed(self, entropy, *more):
        if len(entropy) < _STRENGTH_SIZE:
            raise ValueError("entropy")
        self._update(entropy, *more)
        self._requests = 0

    def _step(self):
        self._mac.reset()
        self._mac.update(self._value)
        self._value = self._mac.digest()

    def _update(self, *provided):
        self._rekey(b"\x00", provided)
        if any(provided):
            self._rekey(b"\x01", provided)

    def _rekey(self, separator, provided):
        mac = self._mac
        mac.reset()
        mac.update(self._value)
        mac.update(separator)
        for data in provided:
            mac.update(data)
        self._mac = HmacSha256(mac.digest())
        self._step()
