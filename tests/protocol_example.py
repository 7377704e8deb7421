"""The worked example of docs/protocol.md, computed from the document alone.

Nothing of the firmware is used but the curve's arithmetic: hashes, HMAC, HKDF and AES are other people's.
`python -m tests.protocol_example` prints it as it stands in the document.
"""

import hashlib
import hmac
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from tools import compat  # noqa: F401  for the curve
from tools.derivation import derive_w

SERIAL = "INK-00000001"
USER_ID = "12345678"
PASSWORD = "87654321"
SALT = bytes(range(16))
ITERATIONS = 1000
X = int.from_bytes(hashlib.sha256(b"x").digest(), "big")
Y = int.from_bytes(hashlib.sha256(b"y").digest(), "big")
IV_STATUS, IV_CHANGE, IV_RESULT = (bytes((digit,)) * 16 for digit in (0xA1, 0xA2, 0xA3))
NONCE_P, NONCE_M = b"\xb1" * 16, b"\xb2" * 16

# RFC 9383, section 4
M = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f"
N = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49"

_WIDTH = 96


def example():
    """[(name, bytes or text)] in the document's order."""
    from firmware.crypto import p256

    def multiple(k, point):
        return p256.multiply(k, point)

    def plus(a, b):
        return p256.add(a, b)

    w0, w1 = derive_w(USER_ID, PASSWORD, SERIAL, SALT, ITERATIONS)
    m, n = _point(M), _point(N)
    info = struct.pack("<BBBBHBxI16sIB", 1, 1, 2, 3, 0, 8, ITERATIONS, SALT, 86_400, len(SERIAL)) + SERIAL.encode()
    share_p = plus(multiple(X, p256.G), multiple(w0, m))
    share_v = plus(multiple(Y, p256.G), multiple(w0, n))
    # The module's way to Z and V; the phone's gives the same, or the handshake would not end.
    z = multiple(Y, plus(share_p, multiple(-w0, m)))
    v = multiple(Y, multiple(w1, p256.G))
    points = {
        name: p256.encode_point(point) for name, point in zip("MNXYZV", (m, n, share_p, share_v, z, v), strict=True)
    }
    parts = (
        b"inkan phone 1" + SALT + struct.pack("<I", ITERATIONS),
        b"",
        SERIAL.encode(),
        *points.values(),
        w0.to_bytes(32, "big"),
    )
    k_main = hashlib.sha256(b"".join(struct.pack("<Q", len(part)) + part for part in parts)).digest()
    confirmation = _hkdf(k_main, b"ConfirmationKeys", 64)
    k_shared = _hkdf(k_main, b"SharedKey", 32)
    confirm_v = hmac.digest(confirmation[32:], points["X"], "sha256")
    confirm_p = hmac.digest(confirmation[:32], points["Y"], "sha256")
    resume = _expand(k_shared, b"inkan resume 1", 40)
    channel = _expand(k_shared, b"inkan channel 1", 128)
    status = struct.pack("<BIHIHBBBB", 0x90, 1, 20, 86_400, 180, 0x3E, 0x3E, 0x3E, 2)
    name = "山田".encode()
    change = struct.pack("<BIIBH", 0x12, 1, 1, 0x11, len(name)) + name
    result = struct.pack("<BIHB", 0x92, 2, 19, 0)
    turn = resume[:8] + struct.pack("<I", 1) + NONCE_P
    return [
        ("serial, ID, password", f"{SERIAL}, {USER_ID}, {PASSWORD}"),
        ("salt", SALT),
        ("iterations", str(ITERATIONS)),
        ("w0", w0.to_bytes(32, "big")),
        ("w1", w1.to_bytes(32, "big")),
        ("L", p256.encode_point(multiple(w1, p256.G))),
        ("x", X.to_bytes(32, "big")),
        ("y", Y.to_bytes(32, "big")),
        ("> ask info", _frame(0x01)),
        ("< info", _frame(0x81, info)),
        ("> share P", _frame(0x02, points["X"])),
        ("Z", points["Z"]),
        ("V", points["V"]),
        ("K_main", k_main),
        ("K_shared", k_shared),
        ("< share V", _frame(0x82, points["Y"], confirm_v)),
        ("> confirm P", _frame(0x03, confirm_p)),
        ("resume", resume),
        ("channel", channel),
        ("status", status),
        ("< sealed", _sealed(channel[64:], 0x86, 0, IV_STATUS, status)),
        ("change", change),
        ("> sealed", _sealed(channel[:64], 0x06, 0, IV_CHANGE, change)),
        ("result", result),
        ("< sealed", _sealed(channel[64:], 0x86, 1, IV_RESULT, result)),
        ("> resume", _frame(0x05, turn, hmac.digest(resume[8:], b"resume" + turn, "sha256"))),
        ("< resumed", _frame(0x85, NONCE_M, hmac.digest(resume[8:], b"resumed" + turn + NONCE_M, "sha256"))),
        ("channel", _expand(k_shared, b"inkan channel 1" + NONCE_P + NONCE_M, 128)),
    ]


def text():
    """The example as the document has it: a name, then text or hexadecimal, in lines of 48 bytes."""
    lines = []
    for name, value in example():
        value = value.hex() if isinstance(value, bytes) else value
        for at in range(0, len(value), _WIDTH):
            lines.append(f"    {name if not at else '':12} {value[at : at + _WIDTH]}")
    return "\n".join(lines) + "\n"


def _point(compressed):
    """A point out of SEC 1's short form."""
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

    numbers = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), bytes.fromhex(compressed)).public_numbers()
    return numbers.x, numbers.y


def _hkdf(key, info, size):
    return HKDF(hashes.SHA256(), size, None, info).derive(key)


def _expand(key, info, size):
    return HKDFExpand(hashes.SHA256(), size, info).derive(key)


def _frame(kind, *parts):
    body = b"".join(parts)
    return struct.pack("<HB", len(body) + 1, kind) + body


def _sealed(keys, kind, counter, iv, message):
    pad = 16 - len(message) % 16
    encryptor = Cipher(algorithms.AES(keys[:32]), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(message + bytes((pad,)) * pad) + encryptor.finalize()
    context = struct.pack("<BQ", kind, counter)
    tag = hmac.digest(keys[32:], struct.pack("<H", len(context)) + context + iv + ciphertext, "sha256")
    return _frame(kind, iv, ciphertext, tag)


if __name__ == "__main__":
    print(text(), end="")
