"""From ID and password to w0 and w1, as server and phone do it (RFC 9383, section 3.2; docs/api.md)."""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def derive_w(user_id, password, serial, salt, iterations):
    """(w0, w1) as integers; ID = prover, serial = verifier.

    PBKDF2-HMAC-SHA256 gives 32 bytes, HKDF's expansion makes the 80 of which w0 and w1 are halves, modulo N.
    ValueError in the one case of 2^255 in which one of them is 0.
    """
    parts = (password.encode("ascii"), user_id.encode("ascii"), serial.encode("ascii"))
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    stretched = hashlib.pbkdf2_hmac("sha256", joined, salt, iterations, 32)
    wide = HKDFExpand(hashes.SHA256(), 80, b"inkan w0w1").derive(stretched)
    w0, w1 = (int.from_bytes(half, "big") % _P256_ORDER for half in (wide[:40], wide[40:]))
    if not w0 or not w1:
        raise ValueError("w0 or w1 is 0")
    return w0, w1
