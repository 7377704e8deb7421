"""SPAKE2+ (RFC 9383), ciphersuite P256-SHA256-HKDF-HMAC: the module's half, the verifier's.

    prover                  verifier
    shareP            ->
                      <-    shareV, confirmV
    confirmP          ->

A user's ID never travels (S2): w0 and w1 are made from it, and idProver is empty in the exchange, as the RFC allows
where one side does not know the other's name. idVerifier is the module's serial number. Both, and the context, are
arguments here.

A false prover can test one password on confirmV and leave. So whoever calls `respond` has counted the attempt
before (S1).

Not constant-time: the time of arithmetic on Python's integers depends on their values. Of what a peer can time,
Z is a multiple by y, which serves once; what repeats, as often as attempts are left, is the sum X - w0*M and its
first odd multiples.
The multiples of w0 are made ahead of any peer. The comparison of confirmP is constant-time.
"""

from hashlib import sha256

from micropython import const

from firmware.crypto import p256
from firmware.crypto.hmac import constant_time_equal, hmac_sha256
from firmware.crypto.kdf import hkdf_expand, hkdf_extract
from firmware.errors import InkanError

# M and N of section 4. Nobody knows their logarithms: they come out of a hash.
POINT_M = (
    b"\x04\x88\x6e\x2f\x97\xac\xe4\x6e\x55\xba\x9d\xd7\x24\x25\x79\xf2\x99\x3b\x64\xe1\x6e\xf3\xdc\xab\x95\xaf\xd4\x97\x33\x3d\x8f\xa1\x2f"
    b"\x5f\xf3\x55\x16\x3e\x43\xce\x22\x4e\x0b\x0e\x65\xff\x02\xac\x8e\x5c\x7b\xe0\x94\x19\xc7\x85\xe0\xca\x54\x7d\x55\xa1\x2e\x2d\x20"
)
POINT_N = (
    b"\x04\xd8\xbb\xd6\xc6\x39\xc6\x29\x37\xb0\x4d\x99\x7f\x38\xc3\x77\x07\x19\xc6\x29\xd7\x01\x4d\x49\xa2\x4b\x4f\x98\xba\xa1\x29\x2b\x49"
    b"\x07\xd6\x0a\xa6\xbf\xad\xe4\x50\x08\xa6\x36\x33\x7f\x51\x68\xc6\x4d\x9b\xd3\x60\x34\x80\x8c\xd5\x64\x49\x0b\x1e\x65\x6e\xdb\xe7"
)

_KEY_SIZE = const(32)
_Y_SIZE = const(40)  # modulo N - 1 these show no bias


class ProofError(InkanError):
    """The peer's share or confirmation does not hold: one failure for all, which says no more."""

    code = "proof"


class PreparedError(InkanError):
    """Values that have served, or are not made yet. Prepare new ones."""

    code = "prepared"


def exchange_context(protocol, salt, iterations):
    """Context that binds an exchange to a protocol version and a credential's salt (16 B) and iterations."""
    return b"inkan phone %d" % protocol + salt + iterations.to_bytes(4, "little")


def transcript_hash(*values):
    """K_main of the values of a transcript, each behind its length, u64 little-endian (sections 3.3 and 3.4)."""
    digest = sha256()
    for value in values:
        digest.update(len(value).to_bytes(8, "little"))
        digest.update(value)
    return digest.digest()


def derive_keys(k_main):
    """(K_confirmP, K_confirmV, K_shared), 32 bytes each (section 3.4)."""
    prk = hkdf_extract(b"", k_main)
    confirm = hkdf_expand(prk, b"ConfirmationKeys", 2 * _KEY_SIZE)
    return confirm[:_KEY_SIZE], confirm[_KEY_SIZE:], hkdf_expand(prk, b"SharedKey", _KEY_SIZE)


class Prepared:
    """What an exchange needs and no peer has a part in: y, shareV, V and -w0*M. In RAM only, and serves once (S3).

    w0: 32 bytes, l: 65 bytes, of the credential. random(size): bytes of the DRBG. Raises ValueError for a w0 that is
    0 or not below N, `PointError` for an L that is no point.
    """

    def __init__(self, w0, l, random):  # noqa: E741
        if len(w0) != _KEY_SIZE or not 0 < int.from_bytes(w0, "big") < p256.N:
            raise ValueError("w0")
        self._w0 = w0
        self._l = p256.decode_point(l)
        self._y = int.from_bytes(random(_Y_SIZE), "big") % (p256.N - 1) + 1
        self._share_v = None
        self._minus_w0_m = None
        self._v = None
        self._done = 0

    @property
    def ready(self):
        """True once all is computed, until it is taken."""
        return self._done == 4 and self._y is not None

    def step(self):
        """Do one multiplication of four, so that other work goes on between; True when all are done."""
        if self._done == 4:
            return True
        w0 = int.from_bytes(self._w0, "big")
        if self._done == 0:
            self._share_v = p256.multiply_base(self._y)
        elif self._done == 1:
            blind = p256.multiply(w0, p256.decode_point(POINT_N))
            self._share_v = p256.encode_point(p256.add(self._share_v, blind))
        elif self._done == 2:
            self._minus_w0_m = p256.multiply(-w0, p256.decode_point(POINT_M))
        else:
            self._v = p256.encode_point(p256.multiply(self._y, self._l))
        self._done += 1
        return self._done == 4

    def take(self):
        """(w0, y, shareV, V, -w0*M), and forget them. `PreparedError` unless `ready`."""
        if not self.ready:
            raise PreparedError()
        taken = self._w0, self._y, self._share_v, self._v, self._minus_w0_m
        self._w0 = self._l = self._y = self._share_v = self._v = self._minus_w0_m = None
        return taken


class Verifier:
    """One exchange with one peer: `respond`, then `finish`, each once. taken: what `Prepared.take` gave."""

    def __init__(self, taken):
        self._taken = taken
        self._confirm_p = None
        self._k_shared = None

    def respond(self, share_p, context, id_prover, id_verifier):
        """(shareV, confirmV) for a peer's shareP. One multiplication.

        `ProofError` if shareP is no point or hits w0*M. Whatever happens, the prepared values are gone:
        a second call raises `PreparedError`.
        """
        if self._taken is None:
            raise PreparedError()
        w0, y, share_v, v, minus_w0_m = self._taken
        self._taken = None
        try:
            x_point = p256.decode_point(share_p)
        except p256.PointError:
            raise ProofError()
        z = p256.multiply_sum(y, x_point, minus_w0_m)
        if z is None:
            raise ProofError()
        z = p256.encode_point(z)
        keys = derive_keys(
            transcript_hash(context, id_prover, id_verifier, POINT_M, POINT_N, share_p, share_v, z, v, w0)
        )
        self._confirm_p = hmac_sha256(keys[0], share_v)
        self._k_shared = keys[2]
        return share_v, hmac_sha256(keys[1], share_p)

    def finish(self, confirm_p):
        """K_shared, 32 bytes, if confirmP proves that the peer knows the password; else `ProofError`, for good."""
        expected = self._confirm_p
        k_shared = self._k_shared
        self._confirm_p = self._k_shared = None
        if expected is None or not constant_time_equal(expected, confirm_p):
            raise ProofError()
        return k_shared
