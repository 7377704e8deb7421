"""SPAKE2+ (RFC 9383), ciphersuite P256-SHA256-HKDF-HMAC: the prover's half, as a phone does it.

The points are added and multiplied by the firmware's P-256: `cryptography` adds no points and gives only the x
of a multiple. All else, key schedule included, is its own and shares nothing with the verifier.
"""

import hashlib
import hmac
import re
import secrets

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from firmware.crypto import p256
from firmware.crypto.spake2plus_verifier import POINT_M, POINT_N
from firmware.settings import CREDENTIAL_ITERATIONS_MAX, CREDENTIAL_ITERATIONS_MIN
from tools.derivation import derive_w

_SALT_SIZE = 16
_ITERATIONS = (CREDENTIAL_ITERATIONS_MIN, CREDENTIAL_ITERATIONS_MAX)

REASONS = {
    "digits": "ID and password are digits",
    "serial": "the module's serial number is not 1 to 32 of A-Z a-z 0-9 -",
    "salt": f"the module's salt is not of {_SALT_SIZE} bytes",
    "iterations": "the module asks for fewer or more iterations than a module may",
    "share": "the module's share is no point, or leads to none",
    "confirm": "ID or password is wrong, or this is not the module",
    "order": "an exchange goes start, then finish, each once",
}


class ProverError(Exception):
    """The exchange is over. `code`: a key of REASONS."""

    def __init__(self, code):
        super().__init__(REASONS[code])
        self.code = code


class Prover:
    """One exchange: `start`, then `finish`, each once. Nothing that a module sends makes it serve twice."""

    def __init__(self, w0, w1, context, id_verifier, id_prover=b""):
        self._w0 = w0
        self._w1 = w1
        self._names = (context, id_prover, id_verifier)
        self._x = None
        self._share_p = None

    @classmethod
    def of_user(cls, user_id, password, serial, salt, iterations, protocol):
        """For ID and password as typed, and what the module says of itself and its credential.

        A false module could ask for one iteration, to make guessing cheap, or for billions (S2).
        ProverError digits, serial, salt, iterations.
        """
        if not all(text.isascii() and text.isdigit() for text in (user_id, password)):
            raise ProverError("digits")
        if not re.fullmatch("[A-Za-z0-9-]{1,32}", serial):
            raise ProverError("serial")
        if len(salt) != _SALT_SIZE:
            raise ProverError("salt")
        if not _ITERATIONS[0] <= iterations <= _ITERATIONS[1]:
            raise ProverError("iterations")
        w0, w1 = derive_w(user_id, password, serial, salt, iterations)
        return cls(w0, w1, exchange_context(protocol, salt, iterations), serial.encode("ascii"))

    def start(self):
        """shareP, 65 bytes."""
        if self._share_p is not None:
            raise ProverError("order")
        self._x = secrets.randbelow(p256.N - 1) + 1
        blind = p256.multiply(self._w0, p256.decode_point(POINT_M))
        self._share_p = p256.encode_point(p256.add(p256.multiply_base(self._x), blind))
        return self._share_p

    def finish(self, share_v, confirm_v):
        """(confirmP, K_shared), 32 bytes each, once confirmV has shown that the module knows w0 and L.

        ProverError order, share, confirm; then there is no confirmP, and nothing to learn from it.
        """
        if self._x is None:
            raise ProverError("order")
        x, self._x = self._x, None
        confirm_p, expected, k_shared = self._answer(x, share_v)
        if not hmac.compare_digest(expected, confirm_v):
            raise ProverError("confirm")
        return confirm_p, k_shared

    def _answer(self, x, share_v):
        """(confirmP, the confirmV to expect, K_shared)."""
        try:
            y_point = p256.decode_point(share_v)
        except p256.PointError:
            raise ProverError("share") from None
        unmasked = p256.add(y_point, p256.multiply(-self._w0, p256.decode_point(POINT_N)))
        if unmasked is None:
            raise ProverError("share")
        z, v = (p256.encode_point(p256.multiply(k, unmasked)) for k in (x, self._w1))
        w0 = self._w0.to_bytes(32, "big")
        transcript = (*self._names, POINT_M, POINT_N, self._share_p, share_v, z, v, w0)
        k_main = hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part for part in transcript)).digest()
        keys = _hkdf(k_main, b"ConfirmationKeys", 64)
        confirm_p = hmac.digest(keys[:32], share_v, "sha256")
        confirm_v = hmac.digest(keys[32:], self._share_p, "sha256")
        return confirm_p, confirm_v, _hkdf(k_main, b"SharedKey", 32)


def exchange_context(protocol, salt, iterations):
    """As docs/protocol.md says: a label with the protocol version, salt (16 B), iterations (u32)."""
    return b"inkan phone %d" % protocol + salt + iterations.to_bytes(4, "little")


def _hkdf(k_main, info, size):
    return HKDF(hashes.SHA256(), size, None, info).derive(k_main)
