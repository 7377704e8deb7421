"""Sealing: AES-256-CBC, then HMAC-SHA256 over what came out (encrypt-then-MAC).

    sealed = IV (16, random, from the caller) || ciphertext (PKCS#7 padded) || tag (32)
    tag    = HMAC(second half of the key, u16 little-endian length of context || context || IV || ciphertext)

The context binds a message to its purpose and is not stored with it. Payloads are worked on where they
lie; nothing is copied. Every way to fail ends in the same `SealError`.
"""

from cryptolib import aes
from micropython import const

from firmware.crypto.hmac import HmacSha256, constant_time_equal
from firmware.errors import SealError

IV_SIZE = const(16)
TAG_SIZE = const(32)
BLOCK_SIZE = const(16)
KEY_SIZE = const(64)

_MODE_CBC = const(2)
_ENCRYPTION_KEY_SIZE = const(32)
_ZEROS = bytes(64)


def sealed_size(plain_size):
    """Bytes that `plain_size` bytes take when sealed."""
    return IV_SIZE + plain_size + len(padding(plain_size)) + TAG_SIZE


def padding(plain_size):
    """What PKCS#7 (RFC 5652, section 6.3) puts behind so many bytes: 1 to 16 bytes."""
    size = BLOCK_SIZE - plain_size % BLOCK_SIZE
    return bytes((size,)) * size


def wipe(buffer):
    """Overwrite a bytearray or writable memoryview with zeros."""
    view = memoryview(buffer)
    for at in range(0, len(view), len(_ZEROS)):
        part = view[at : at + len(_ZEROS)]
        part[:] = _ZEROS[: len(part)]


class Sealer:
    """Seals and opens with one 64-byte key: 32 bytes encrypt, 32 authenticate."""

    def __init__(self, key):
        if len(key) != KEY_SIZE:
            raise ValueError("key size")
        self._key = bytes(key[:_ENCRYPTION_KEY_SIZE])
        self._mac = HmacSha256(key[_ENCRYPTION_KEY_SIZE:])

    def seal_into(self, out, offset, iv, context, plaintext):
        """Seal into `out` at `offset`; returns the offset behind the tag.

        `out` is a bytearray or memoryview with room for sealed_size(len(plaintext)) bytes, else `ValueError`.
        The plaintext may lie in it already, at offset + IV_SIZE. The IV must be unpredictable and used once.
        """
        size = len(plaintext)
        pad = padding(size)
        body_at = offset + IV_SIZE
        tag_at = body_at + size + len(pad)
        end = tag_at + TAG_SIZE
        view = memoryview(out)
        if len(iv) != IV_SIZE or offset < 0 or end > len(view):
            raise ValueError("room")
        view[body_at : body_at + size][:] = plaintext
        view[body_at + size : tag_at][:] = pad
        view[offset:body_at][:] = iv
        body = view[body_at:tag_at]
        aes(self._key, _MODE_CBC, iv).encrypt(body, body)
        view[tag_at:end][:] = self._tag(context, view[offset:tag_at])
        return end

    def open_in_place(self, buffer, context):
        """Check and decrypt one sealed message; returns its plaintext, a memoryview of part of `buffer`.

        On any failure the buffer is wiped, then `SealError`.
        """
        view = memoryview(buffer)
        if self.tag_only(view, context):
            body = view[IV_SIZE : len(view) - TAG_SIZE]
            aes(self._key, _MODE_CBC, view[:IV_SIZE]).decrypt(body, body)
            plain_size = len(body) - body[len(body) - 1]
            if 0 <= plain_size < len(body) and bytes(body[plain_size:]) == padding(plain_size):
                return body[:plain_size]
        wipe(view)
        raise SealError()

    def tag_only(self, buffer, context):
        """True if the tag fits; nothing is decrypted."""
        view = memoryview(buffer)
        tag_at = len(view) - TAG_SIZE
        if tag_at < IV_SIZE + BLOCK_SIZE or tag_at % BLOCK_SIZE:
            return False
        return constant_time_equal(self._tag(context, view[:tag_at]), view[tag_at:])

    def writer(self, iv, context):
        """A SealWriter, for messages that are not in memory in one piece."""
        mac = self._mac.twin()
        _start(mac, context)
        mac.update(iv)
        return SealWriter(aes(self._key, _MODE_CBC, iv), mac)

    def reader_verify(self, context):
        """A SealVerifier: first check everything, then read it again with a `decryptor`."""
        mac = self._mac.twin()
        _start(mac, context)
        return SealVerifier(mac)

    def decryptor(self, iv):
        """A SealDecryptor for what a SealVerifier has found good."""
        return SealDecryptor(aes(self._key, _MODE_CBC, iv))

    def _tag(self, context, data):
        mac = self._mac
        mac.reset()
        _start(mac, context)
        mac.update(data)
        return mac.digest()


def _start(mac, context):
    mac.update(len(context).to_bytes(2, "little"))
    mac.update(context)


class SealWriter:
    """Encrypts a message piece by piece. The caller adds `padding` and writes IV, pieces and tag."""

    def __init__(self, cipher, mac):
        self._cipher = cipher
        self._mac = mac

    def update(self, view):
        """Encrypt in place; a multiple of 16 bytes."""
        self._cipher.encrypt(view, view)
        self._mac.update(view)

    def finish(self):
        """The 32-byte tag; the writer is used up."""
        return self._mac.digest()


class SealVerifier:
    """Takes IV and ciphertext in pieces of any size."""

    def __init__(self, mac):
        self._mac = mac

    def update(self, data):
        self._mac.update(data)

    def matches(self, tag):
        """True if the tag is that of all that came; the verifier is used up."""
        return constant_time_equal(self._mac.digest(), tag)


class SealDecryptor:
    """Decrypts piece by piece. The padding is left on."""

    def __init__(self, cipher):
        self._cipher = cipher

    def update(self, view):
        """Decrypt in place; a multiple of 16 bytes."""
        self._cipher.decrypt(view, view)
