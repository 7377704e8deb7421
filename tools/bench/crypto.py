"""Figures of the crypto: P-256 and an unlock beside plain double-and-add, and the judgement at the keypad."""

from tools.bench.callgrind import instructions_of

# Fixed scalars of full length, so that every run counts the same; their mean is taken.
_SCALARS = (
    0xD3A1F24C5B6E798A0F1E2D3C4B5A69788796A5B4C3D2E1F00112233445566778,
    0x7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978,
    0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60,
    0x8D617E65C9E508E64BCC5673AC82A6799DA3C1446682C258C463FFFDF58DFD2F,
)

_ANY_POINT_FACTOR = 1.25
_BASE_POINT_FACTOR = 2
_UNLOCK_FACTOR = 2.5

# The peer has the same formulas, the same affine start and the same inversion at its end.
_P256_PREPARATION = f"""
from firmware.crypto import p256, p256_base

SCALARS = {_SCALARS}
POINT = p256.multiply_base(0x1F1E1D1C1B1A191817161514131211100F0E0D0C0B0A09080706050403020100)

def double_and_add(k, point):
    bit = 1 << 255
    x = v = z = 0
    v2 = 2 * point[1]
    while bit:
        x, v, z = p256._double(x, v, z, 1) if z else (x, v, z)
        if k & bit:
            x, v, z = p256._add(x, v, z, point[0], v2)
        bit >>= 1
    return p256._affine(x, v, z)

assert double_and_add(SCALARS[0], POINT) == p256.multiply(SCALARS[0], POINT)
assert double_and_add(SCALARS[0], p256.G) == p256.multiply_base(SCALARS[0])
"""

# The peer of an unlock makes V while the phone waits and multiplies without windows; all else is the same.
_UNLOCK_PREPARATION = (
    _P256_PREPARATION
    + """
from firmware.crypto.spake2plus_verifier import Prepared, ProofError, Verifier

W0 = SCALARS[3].to_bytes(32, "big")
L = p256.encode_point(POINT)
SHARE_P = p256.encode_point(p256.multiply_base(SCALARS[2]))

def prepared(y):
    values = Prepared(W0, L, lambda size: y.to_bytes(size, "big"))
    while not values.step():
        pass
    return values

def unlock(values):
    verifier = Verifier(values.take())
    verifier.respond(SHARE_P, bytes(37), b"", b"INK-00000001")
    try:
        verifier.finish(bytes(32))
    except ProofError:
        pass

unlock(prepared(5))
sets = [prepared(k) for k in SCALARS]
"""
)
_PLAIN_SUM = "p256.multiply_sum = lambda k, a, b: double_and_add(k, p256.add(a, b))\n"

_PASSWORD_PREPARATION = """
from firmware.crypto.hmac import constant_time_equal
from firmware.crypto.kdf import Pbkdf2
from firmware.crypto.spake2plus import expand_w, password_input, w0_bytes

def judge(iterations, kept):
    derivation = Pbkdf2(password_input(b"12345678", b"87654321", b"INK-00000001"), bytes(16), iterations)
    while not derivation.step(100):
        pass
    w0, _ = expand_w(derivation.result())
    return constant_time_equal(w0_bytes(w0), kept)

judge(1, bytes(32))
"""
_ITERATIONS = 10_000


def rows():
    """The rows of this part of the table: dicts of name, value, unit, limit, peer and ok."""
    return [
        _against_double_and_add("P-256, any point", "p256.multiply(k, POINT)", "POINT", _ANY_POINT_FACTOR),
        _against_double_and_add("P-256, base point", "p256.multiply_base(k)", "p256.G", _BASE_POINT_FACTOR),
        *_unlock_rows(),
        {
            "name": f"password check at the keypad, {_ITERATIONS:,} iterations",
            "value": instructions_of(f"judge({_ITERATIONS}, bytes(32))\n", _PASSWORD_PREPARATION),
            "unit": "instructions",
            "limit": None,
            "peer": None,
            "ok": True,
        },
    ]


def _against_double_and_add(name, call, point, factor):
    peer = _mean_instructions(f"double_and_add(k, {point})")
    return _row(f"{name}, peer: double-and-add", _mean_instructions(call), peer, factor)


def _unlock_rows():
    """What a peer waits for when it unlocks by SPAKE2+, and what is done ahead of it."""
    work = "for k, values in zip(SCALARS, sets):\n"
    value = instructions_of(f"{work}    unlock(values)\n", _UNLOCK_PREPARATION) / len(_SCALARS)
    plain = f"{work}    double_and_add(k, POINT)\n    unlock(values)\n"
    peer = instructions_of(plain, _UNLOCK_PREPARATION + _PLAIN_SUM) / len(_SCALARS)
    preparation = instructions_of("for k in SCALARS:\n    prepared(k)\n", _UNLOCK_PREPARATION) / len(_SCALARS)
    return [
        _row("unlock online, peer: two double-and-add", round(value), round(peer), _UNLOCK_FACTOR),
        {
            "name": "unlock, prepared beforehand in four steps",
            "value": round(preparation),
            "unit": "instructions",
            "limit": None,
            "peer": None,
            "ok": True,
        },
    ]


def _row(name, value, peer, factor):
    """A row whose limit is the peer's count divided by the factor."""
    limit = round(peer / factor)
    return {
        "name": name,
        "value": value,
        "unit": "instructions",
        "limit": limit,
        "peer": peer,
        "ok": value <= limit,
    }


def _mean_instructions(call):
    total = instructions_of(f"for k in SCALARS:\n    {call}\n", _P256_PREPARATION)
    return round(total / len(_SCALARS))
