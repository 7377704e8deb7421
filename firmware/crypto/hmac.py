"""HMAC-SHA256 (RFC 2104), and a comparison that does not tell where two values differ."""

from hashlib import sha256

from micropython import const

_BLOCK_SIZE = const(64)
_INNER = int.from_bytes(b"\x36" * _BLOCK_SIZE, "big")
_OUTER = int.from_bytes(b"\x5c" * _BLOCK_SIZE, "big")


class HmacSha256:
    """One key, any number of messages, one after the other.

    `reset` starts a message, `digest` ends it; in between `update`. MicroPython's hash objects
    cannot be copied, so the two padded keys are kept instead of their hash states.
    """

    def __init__(self, key):
        if len(key) > _BLOCK_SIZE:
            key = sha256(key).digest()
        padded = bytearray(_BLOCK_SIZE)
        memoryview(padded)[: len(key)][:] = key
        padded = int.from_bytes(padded, "big")
        self.inner_pad = bytearray((padded ^ _INNER).to_bytes(_BLOCK_SIZE, "big"))
        self.outer_pad = bytearray((padded ^ _OUTER).to_bytes(_BLOCK_SIZE, "big"))
        self._hash = None  # none between messages: most of these objects rest most of the time

    def twin(self):
        """A second HmacSha256 of the same key, which shares the padded keys, with a message of its own."""
        other = object.__new__(HmacSha256)
        other.inner_pad = self.inner_pad
        other.outer_pad = self.outer_pad
        other.reset()
        return other

    def reset(self):
        """Start a new message; what was hashed of an unfinished one is dropped."""
        self._hash = sha256(self.inner_pad)

    def update(self, data):
        self._hash.update(data)

    def digest(self):
        """The 32-byte tag. After it nothing but `reset` is allowed."""
        inner = self._hash.digest()
        self._hash = None
        outer = sha256(self.outer_pad)
        outer.update(inner)
        return outer.digest()


def hmac_sha256(key, *parts):
    """The 32-byte tag of all parts, one after the other."""
    mac = HmacSha256(key)
    mac.reset()
    for part in parts:
        mac.update(part)
    return mac.digest()


def constant_time_equal(a, b):
    """Compare two bytes-like values. The time taken depends on their lengths alone."""
    if len(a) != len(b):
        return False
    difference = 0
    for index in range(len(a)):
        difference |= a[index] ^ b[index]
    return difference == 0
