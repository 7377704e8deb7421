"""P-256: known multiples, the corners of the scalars, and points that are none."""

from firmware.crypto import p256
from firmware.crypto.p256 import G, N, P, PointError, multiply, multiply_base
from tests.dual import raises

# Multiples of the base point: k, x, y.
KNOWN = (
    (
        1,
        0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
    ),
    (
        2,
        0x7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978,
        0x07775510DB8ED040293D9AC69F7430DBBA7DADE63CE982299E04B79D227873D1,
    ),
    (
        3,
        0x5ECBE4D1A6330A44C8F7EF951D4BF165E6C6B721EFADA985FB41661BC6E7FD6C,
        0x8734640C4998FF7E374B06CE1A64A2ECD82AB036384FB83D9A79B127A27D5032,
    ),
    (
        20,
        0x83A01A9378395BAB9BCD6A0AD03CC56D56E6B19250465A94A234DC4C6B28DA9A,
        0x76E49B6DE2F73234AE6A5EB9D612B75C9F2202BB6923F54FF8240AAA86F640B8,
    ),
    (
        112233445566778899,
        0x339150844EC15234807FE862A86BE77977DBFB3AE3D96F4C22795513AEAAB82F,
        0xB1C14DDFDC8EC1B2583F51E85A5EB3A155840F2034730E9B5ADA38B674336A21,
    ),
    # RFC 6979, A.2.5: private key and public key.
    (
        0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721,
        0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
        0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
    ),
)


def negative(point):
    return point[0], P - point[1]


def add(a, b):
    """Affine addition by the textbook; None is the identity."""
    if a is None or b is None:
        return b if a is None else a
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = 3 * (a[0] * a[0] - 1) * p256.inverse(2 * a[1] % P, P) % P
    else:
        slope = (b[1] - a[1]) * p256.inverse((b[0] - a[0]) % P, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def test_known_multiples_of_the_base_point():
    for k, x, y in KNOWN:
        assert multiply(k, G) == (x, y)
        assert multiply_base(k) == (x, y)
        assert multiply(N - k, G) == multiply_base(N - k) == negative((x, y))


def test_scalars_count_modulo_n():
    for k in (0, N, 5 * N, -N):
        assert multiply(k, G) is None
        assert multiply_base(k) is None
    for k, x, y in KNOWN[:3]:
        assert multiply(k + N, G) == multiply_base(k + N) == (x, y)
        assert multiply(-k, G) == multiply_base(-k) == negative((x, y))
    assert multiply(5, None) is None


def test_small_scalars_follow_from_plain_addition():
    # Up to 70: every digit of the window, and the first carries.
    point = KNOWN[4][1:]
    base_sum = None
    point_sum = None
    for k in range(1, 71):
        base_sum = add(base_sum, G)
        point_sum = add(point_sum, point)
        assert multiply(k, G) == multiply_base(k) == base_sum
        assert multiply(k, point) == point_sum


def test_scalars_with_long_runs_of_bits():
    point = KNOWN[3][1:]
    for bit in (4, 5, 25, 26, 27, 51, 52, 128, 223, 224, 254, 255):
        power = 1 << bit
        for k in (power - 1, power, power + 1):
            assert multiply(k, G) == multiply_base(k)
            assert add(multiply(k, point), multiply(N - k - 1, point)) == negative(point)


def test_multiples_of_multiples_agree():
    a = 0x9D1F2E83A6B5C4D798E0F1A2B3C4D5E6F708192A3B4C5D6E7F8091A2B3C4D5E6
    b = KNOWN[5][0]
    assert multiply(a, multiply_base(b)) == multiply(b, multiply_base(a)) == multiply_base(a * b % N)


def test_additions_that_the_formula_does_not_cover():
    x, y = G
    doubled = KNOWN[1][1:]
    assert p256._affine(*p256._add(x, 2 * y, 1, x, 2 * y)) == doubled
    assert p256._affine(*p256._add(x, 2 * y, 1, x, -2 * y)) is None
    assert p256._affine(*p256._add(1, 1, 0, x, 2 * y)) == G
    assert p256._affine(*p256._double(*p256._add(x, 2 * y, 1, x, -2 * y), 3)) is None
    # The same with a Z that is not 1.
    scaled = p256._double(x, 2 * y, 1, 1)
    assert p256._affine(*p256._add(*scaled, doubled[0], 2 * doubled[1])) == multiply(4, G)
    assert p256._affine(*p256._add(*scaled, doubled[0], -2 * doubled[1])) is None


def test_sums_of_points():
    points = [known[1:] for known in KNOWN]
    points += [negative(point) for point in points]
    k = KNOWN[5][0]
    for a in points:
        for b in points:
            assert p256.add(a, b) == add(a, b)
            assert p256.multiply_sum(1, a, b) == add(a, b)
        # Doubling, the identity, and scalars that end there.
        assert p256.multiply_sum(k, a, a) == multiply(2 * k, a)
        assert p256.multiply_sum(k, a, negative(a)) is None
        assert p256.multiply_sum(N, a, G) is None
        assert p256.multiply_sum(N - k, a, KNOWN[2][1:]) == multiply(-k, add(a, KNOWN[2][1:]))


def test_inverses():
    for modulus in (P, N):
        for a in (1, 2, 3, modulus - 1, modulus >> 1, 1 << 128, G[0]):
            inverse = p256.inverse(a, modulus)
            assert 0 < inverse < modulus
            assert a * inverse % modulus == 1


def test_points_survive_their_encoding():
    for _, x, y in KNOWN:
        data = p256.encode_point((x, y))
        assert len(data) == p256.POINT_SIZE == 65
        assert data[0] == 4
        assert p256.decode_point(data) == (x, y)
        assert p256.decode_point(memoryview(data)) == (x, y)
        assert p256.is_on_curve(x, y)


def test_s3_what_is_no_point_is_refused():
    good = p256.encode_point(G)
    x, y = G
    bad = [
        b"",
        b"\x04",
        b"\x00",
        good[:64],
        good + b"\x00",
        good[1:],
        b"\x02" + good[1:33],
        b"\x02" + good[1:],
        b"\x06" + good[1:],
        b"\x00" * 65,
        b"\x04" + bytes(64),
        b"\x04" + b"\xff" * 64,
        p256.encode_point((x, y + 1)),
        p256.encode_point((x + 1, y)),
        p256.encode_point((y, x)),
        p256.encode_point((x, 0)),
        p256.encode_point((0, y)),
        p256.encode_point((P, y)),
        p256.encode_point((x, P)),
    ]
    for position in range(1, 65):
        flipped = bytearray(good)
        flipped[position] ^= 0x10
        bad.append(flipped)
    for data in bad:
        with raises(PointError) as caught:
            p256.decode_point(data)
        assert caught.value.code == "point"


def test_s3_a_coordinate_beyond_the_field_is_refused_even_if_the_curve_agrees():
    # The curve has a point with x = 5, and 5 + P < 2^256.
    x = 5
    y = 0x459243B9AA581806FE913BCE99817ADE11CA503C64D9A3C533415C083248FBCC
    assert p256.decode_point(p256.encode_point((x, y))) == (x, y)
    with raises(PointError):
        p256.decode_point(p256.encode_point((x + P, y)))
    assert not p256.is_on_curve(x + P, y)
    assert not p256.is_on_curve(x, y + P)
    assert not p256.is_on_curve(x - P, y)
