"""The elliptic curve P-256 (NIST SP 800-186, secp256r1) on Python integers.

A point is a pair (x, y) of integers in [0, P); None is the identity.
A scalar is any integer and counts modulo N.

Points in between are Jacobian with twice the y: (X, V, Z) stands for x = X/Z^2, y = V/(2 Z^3),
which spares most multiplications by small numbers. Nearly the whole price of a field operation is its
`%`, so several products share one where a formula lets them.

Not constant-time: Python's integers are not either.
"""

from micropython import const

from firmware.errors import InkanError

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_B = const(0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B)

POINT_SIZE = const(65)

_ODD_MULTIPLES = const(8)


class PointError(InkanError):
    """Bytes are not a point of the curve."""

    code = "point"


def is_on_curve(x, y):
    """True if (x, y) is a point; the identity has no such form."""
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x - 3) * x - _B) % P == 0


def encode_point(point):
    """65 bytes, uncompressed (SEC 1, section 2.3.3)."""
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def decode_point(data):
    """The point in 65 bytes, uncompressed; `PointError` if it is none."""
    if len(data) != POINT_SIZE or data[0] != 4:
        raise PointError("form")
    x = int.from_bytes(data[1:33], "big")
    y = int.from_bytes(data[33:], "big")
    if not is_on_curve(x, y):
        raise PointError("not on the curve")
    return x, y


def inverse(a, modulus):
    """1/a for a in [1, modulus), the modulus a prime: Euclid's algorithm."""
    r = modulus
    s = a
    t = 0
    u = 1
    while s:
        # The quotient is 1 in two steps of five: try that before dividing.
        rest = r - s
        t -= u
        if rest >= s:
            quotient, rest = divmod(rest, s)
            t -= quotient * u
        r = s
        s = rest
        t, u = u, t
    return t % modulus


def _double(x, v, z, times):
    """2^times times a Jacobian point."""
    p = P
    while times:
        zz = z * z % p
        slope = 3 * (x - zz) * (x + zz) % p
        vv = v * v % p
        w = x * vv % p
        x = (slope * slope - w - w) % p
        z = v * z % p
        v = ((slope + slope) * (w - x) - vv * vv) % p
        times -= 1
    return x, v, z


def _add(x, v, z, x2, v2):
    """A Jacobian point plus the affine point (x2, v2/2); v2 may be negative."""
    if not z:
        return x2, v2, 1
    p = P
    zz = z * z % p
    h = x2 * zz % p - x
    slope = (v2 * z % p) * zz % p - v
    if not h:
        return (1, 1, 0) if slope else _double(x, v, z, 1)
    h2 = h + h
    hh = h2 * h2 % p
    w = x * hh % p
    hh = h * hh % p
    x = (slope * slope - hh - w - w) % p
    v = slope * (w - x) - v * hh
    return x, (v + v) % p, z * h2 % p


def _affine(x, v, z):
    """(x, y), or None for the identity."""
    if not z:
        return None
    p = P
    z = inverse(z, p)
    zz = z * z % p
    v = v * z % p * zz % p
    return x * zz % p, (v + p if v & 1 else v) >> 1


def _odd_multiples(x, v, z):
    """[(x, 2y)] of 1, 3, .. 15 times a Jacobian point, not the identity.

    Each sum shares its Z with the doubled point (co-Z addition, Meloni 2007); one inversion makes all affine.
    """
    p = P
    vv = v * v % p
    zz = z * z % p
    slope = 3 * (x - zz) * (x + zz) % p
    x1 = x * vv % p
    v1 = vv * vv % p
    # Twice the point, on the same Z = v z as (x1, v1).
    x2 = (slope * slope - x1 - x1) % p
    v2 = ((slope + slope) * (x1 - x2) - v1) % p
    multiples = [(x, v)]
    ratios = [v]
    z = v * z % p
    while len(multiples) < _ODD_MULTIPLES:
        h = x2 - x1
        slope = v2 - v1
        ratio = h + h
        hh = ratio * ratio % p
        w = x1 * hh % p
        x2 = x2 * hh % p
        x1 = (slope * slope - w - x2) % p
        v2 = v2 * (x2 - w + x2 - w) % p
        v1 = ((slope + slope) * (x2 - x1) - v2) % p
        z = z * ratio % p
        ratios.append(ratio)
        multiples.append((x1, v1))
    z = inverse(z, p)
    index = _ODD_MULTIPLES - 1
    while index:
        x, v = multiples[index]
        zz = z * z % p
        multiples[index] = x * zz % p, v * z % p * zz % p
        z = z * ratios[index] % p
        index -= 1
    z = z * ratios[0] % p
    x, v = multiples[0]
    zz = z * z % p
    multiples[0] = x * zz % p, v * z % p * zz % p
    return multiples


def _recode(k):
    """Width-5 non-adjacent form of k, low end first: 32 * doublings + 16 + odd digit of -15 to 15."""
    data = k.to_bytes(34, "little")
    steps = []
    position = 0
    last = 0
    carry = 0
    while position < 257:
        index = position >> 3
        bits = ((data[index] | data[index + 1] << 8) >> (position & 7) & 31) + carry
        if bits & 1:
            carry = bits >> 4
            steps.append((position - last << 5) + 16 + bits - (carry << 5))
            last = position
            position += 5
        else:
            position += 1
    return steps


def multiply(k, point):
    """k times a point of the curve; None if that is the identity. The point is not checked."""
    if point is None:
        return None
    return _multiply(k % N, point[0], 2 * point[1], 1)


def multiply_sum(k, a, b):
    """k times the sum of two points, neither the identity; None if that is the identity. They are not checked."""
    return _multiply(k % N, *_add(a[0], 2 * a[1] % P, 1, b[0], 2 * b[1]))


def add(a, b):
    """The sum of two points, neither the identity; None if it is the identity. They are not checked."""
    return _affine(*_add(a[0], 2 * a[1] % P, 1, b[0], 2 * b[1]))


def _multiply(k, x, v, z):
    """k, in [0, N), times a Jacobian point, as (x, y) or None."""
    if not k or not z:
        return None
    multiples = _odd_multiples(x, v, z)
    x = v = z = 0
    for step in reversed(_recode(k)):
        digit = (step & 31) - 16
        if digit > 0:
            x2, v2 = multiples[digit >> 1]
        else:
            x2, v2 = multiples[-digit >> 1]
            v2 = -v2
        x, v, z = _add(x, v, z, x2, v2)
        x, v, z = _double(x, v, z, step >> 5)
    return _affine(x, v, z)


def multiply_base(k):
    """k times G; None if k is 0 modulo N."""
    from firmware.crypto.p256_base import TABLE

    k %= N
    if not k:
        return None
    # A signed comb (Hamburg 2012) wants an odd scalar: its digits are 1 and -1, never 0.
    negative = not k & 1
    if negative:
        k = N - k
    k = k + (1 << 260) - 1 >> 1
    words = []
    while len(words) < 10:
        words.append(k & 0x3FFFFFF)
        k >>= 26
    x = v = z = 0
    column = 26
    while column:
        column -= 1
        if z:
            x, v, z = _double(x, v, z, 1)
        for half in (0, 1):
            index = 0
            word = 6 + half
            while word >= 0:
                index = index << 1 | words[word] >> column & 1
                word -= 2
            positive = words[8 + half] >> column & 1
            at = (half << 4 | (index if positive else index ^ 15)) << 6
            x2 = int.from_bytes(TABLE[at : at + 32], "big")
            v2 = int.from_bytes(TABLE[at + 32 : at + 64], "big")
            x, v, z = _add(x, v, z, x2, v2 if positive else -v2)
    return _affine(x, -v % P if negative else v, z)
