"""Keys from keys and from passwords: HKDF (RFC 5869) and PBKDF2 (RFC 8018), both with HMAC-SHA256."""

from hashlib import sha256

from micropython import const

from firmware.crypto.hmac import HmacSha256, hmac_sha256

_HASH_SIZE = const(32)


def hkdf_extract(salt, ikm):
    """The 32-byte pseudorandom key (RFC 5869, section 2.2). An empty salt is the default one."""
    return hmac_sha256(salt, ikm)


def hkdf_expand(prk, info, length):
    """`length` bytes, at most 8,160 (RFC 5869, section 2.3)."""
    if length > 255 * _HASH_SIZE:
        raise ValueError("length")
    mac = HmacSha256(prk)
    out = bytearray(length)
    view = memoryview(out)
    block = b""
    counter = 0
    done = 0
    while done < length:
        mac.reset()
        counter += 1
        mac.update(block)
        mac.update(info)
        mac.update(bytes((counter,)))
        block = mac.digest()
        size = min(_HASH_SIZE, length - done)
        view[done : done + size][:] = block[:size]
        done += size
    return bytes(out)


def hkdf(ikm, info, length, salt=b""):
    """Extract, then expand."""
    return hkdf_expand(hkdf_extract(salt, ikm), info, length)


class Pbkdf2:
    """One 32-byte block of PBKDF2-HMAC-SHA256 (RFC 8018, 5.2), in slices: other work goes on between."""

    def __init__(self, password, salt, iterations):
        if iterations < 1:
            raise ValueError("iterations")
        mac = HmacSha256(password)
        mac.reset()
        self._inner_pad = mac.inner_pad
        self._outer_pad = mac.outer_pad
        mac.update(salt)
        mac.update(b"\x00\x00\x00\x01")
        self._last = mac.digest()
        self._sum = int.from_bytes(self._last, "big")
        self._left = iterations - 1

    def step(self, iterations):
        """Do at most so many iterations more; True when all are done."""
        if iterations > self._left:
            iterations = self._left
        self._left -= iterations
        # Nearly all of a judgement at the keypad are spent here: locals, and no call that can be spared.
        new = sha256
        number = int.from_bytes
        inner_pad = self._inner_pad
        outer_pad = self._outer_pad
        last = self._last
        total = self._sum
        while iterations:
            inner = new(inner_pad)
            inner.update(last)
            outer = new(outer_pad)
            outer.update(inner.digest())
            last = outer.digest()
            total ^= number(last, "big")
            iterations -= 1
        self._last = last
        self._sum = total
        return self._left == 0

    def result(self):
        """The 32 bytes; `ValueError` before the last iteration."""
        if self._left:
            raise ValueError("not finished")
        return self._sum.to_bytes(_HASH_SIZE, "big")


def pbkdf2_sha256(password, salt, iterations):
    """The same in one go: 32 bytes."""
    derivation = Pbkdf2(password, salt, iterations)
    derivation.step(iterations)
    return derivation.result()
