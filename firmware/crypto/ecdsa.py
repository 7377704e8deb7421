"""ECDSA with P-256 and SHA-256 (FIPS 186-5), its random numbers derived from the message (RFC 6979)."""

from firmware.crypto import p256
from firmware.crypto.der import SEQUENCE, integer, tlv
from firmware.crypto.drbg import HmacDrbg


def sign(private_scalar, digest):
    """(r, s) for a 32-byte digest. private_scalar: 1 to N - 1, else `ValueError`."""
    n = p256.N
    if not 0 < private_scalar < n or len(digest) != 32:
        raise ValueError("key or digest")
    e = int.from_bytes(digest, "big")
    # RFC 6979's generator is HMAC-DRBG, seeded with key and digest.
    generator = HmacDrbg(private_scalar.to_bytes(32, "big"), (e % n).to_bytes(32, "big"))
    while True:
        k = int.from_bytes(generator.generate(32), "big")
        if not 0 < k < n:
            continue
        r = p256.multiply_base(k)[0] % n
        s = (e + r * private_scalar) * p256.inverse(k, n) % n
        if r and s:
            return r, s


def signature_der(r, s):
    """Ecdsa-Sig-Value (RFC 5480, appendix A)."""
    return tlv(SEQUENCE, integer(r), integer(s))
