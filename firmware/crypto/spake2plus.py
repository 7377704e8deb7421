"""SPAKE2+ (RFC 9383) with P-256: what a password is turned into before the exchange."""

from micropython import const

from firmware.crypto.kdf import hkdf_expand

# The order of P-256. Repeated here: a judgement at the keypad has no other use for the curve.
_N = const(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551)
_HALF_SIZE = const(40)


def password_input(password, id_prover, id_verifier):
    """Input of the password hash (RFC 9383, section 3.2): each value behind its length, u64 little-endian."""
    out = b""
    for value in (password, id_prover, id_verifier):
        out += len(value).to_bytes(8, "little") + value
    return out


def expand_w(stretched):
    """(w0, w1) out of the 32 bytes of the password hash, 40 bytes for each so that modulo N shows no bias."""
    halves = hkdf_expand(stretched, b"inkan w0w1", 2 * _HALF_SIZE)
    return (
        int.from_bytes(halves[:_HALF_SIZE], "big") % _N,
        int.from_bytes(halves[_HALF_SIZE:], "big") % _N,
    )


def w0_bytes(w0):
    """w0 as 32 bytes, big-endian."""
    return w0.to_bytes(32, "big")
