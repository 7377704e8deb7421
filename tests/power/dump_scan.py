"""Looks for a value in a dump of the whole flash, with every key that the dump holds (R5).

Runs on CPython, and knows docs/format.md but nothing of the firmware: keys by
`cryptography`, and no trust in any structure that could hide something. With
every key it decrypts every byte of the dump as AES-256-CBC, at all sixteen
alignments: a CBC block needs nothing but the block before it, so no start of a
message has to be guessed.
"""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECTOR_SIZE = 4096
LABELS = (
    b"inkan guard",
    b"inkan vault",
    b"inkan credential",
    b"inkan factory credential",
    b"inkan identity",
    b"inkan settings",
    b"inkan attempts",
    b"inkan clock",
    b"inkan audit",
    b"inkan provisioned",
    b"inkan random",
)

_BLOCK = 16
_CHUNK = 128
_BLANK = b"\xff" * _CHUNK
_PIECE = 8  # so many bytes of a value in a row are a find
_VAULT_MAGIC = b"IKV1"
_KEY_SIZES = (32, 64)


def find(image, value):
    """Where a value, a piece of it or its digest shows: a list of (how, address), empty if nowhere."""
    digest = hashlib.sha256(value).digest()[:_PIECE]
    last = max(0, len(value) - _PIECE)
    needles = {value[at : at + _PIECE] for at in range(last + 1)}
    found = [("clear", address) for address in _places(image, needles | {digest})]
    # Whatever block of 16 bytes comes out of a decryption holds one of these.
    needles = {value[at : at + _PIECE] for at in range(0, last, _PIECE)}
    needles |= {value[last:], digest}
    starts, written = _written(image)
    for name, key in keys_of(image).items():
        for shift in range(_BLOCK):
            for at in _places(_cbc(written[shift:], key), needles):
                place, rest = divmod(at + shift + _BLOCK, _CHUNK)
                found.append((name, starts[place] + rest))
    return found


def keys_of(image):
    """Every encryption key that follows from what the dump holds: {name: 32 bytes}."""
    keys = {}
    at = image.find(b"IKR1")
    while at >= 0:
        secret = image[at + 4 : at + 36]
        keys[f"root at {at:#x}"] = secret
        for label in LABELS:
            derived = HKDF(hashes.SHA256(), 64, None, label).derive(secret)
            keys[f"{label.decode()} of root at {at:#x}"] = derived[:32]
        at = image.find(b"IKR1", at + 1)
    # Keys that lie in a vault's items, whatever seals, guard and lengths say.
    for name, key in list(keys.items()):
        if name.startswith("inkan vault"):
            for address in range(0, len(image), SECTOR_SIZE):
                if image[address : address + 4] == _VAULT_MAGIC:
                    for item_id, inner in _keys_in_items(image, address, key):
                        keys[f"item {item_id:#x} at {address:#x}"] = inner
    return keys


def _keys_in_items(image, address, key):
    plain = _cbc(image[address + _BLOCK : address + 4 * SECTOR_SIZE], key)
    at = 0
    while at + 3 <= len(plain):
        item_id, length = plain[at], int.from_bytes(plain[at + 1 : at + 3], "little")
        value = plain[at + 3 : at + 3 + length]
        if length in _KEY_SIZES and len(value) == length:
            yield item_id, value[:32]
        at += 3 + length


def _written(image):
    """(addresses of the chunks, the chunks as one bytes): what is not blank in an image, with what is before that."""
    chunks = range(0, len(image), _CHUNK)
    used = {at for at in chunks if image[at : at + _CHUNK] != _BLANK}
    starts = [at for at in chunks if at in used or at + _CHUNK in used]
    return starts, b"".join(image[at : at + _CHUNK] for at in starts)


def _cbc(data, key):
    """All blocks of data but the first, each decrypted with the one before it as its IV."""
    size = len(data) // _BLOCK * _BLOCK
    decryptor = Cipher(algorithms.AES(key), modes.CBC(data[:_BLOCK])).decryptor()
    return decryptor.update(data[_BLOCK:size]) + decryptor.finalize()


def _places(data, needles):
    found = []
    for needle in needles:
        at = data.find(needle)
        while at >= 0:
            found.append(at)
            at = data.find(needle, at + 1)
    return sorted(found)
