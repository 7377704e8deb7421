"""ECDSA against RFC 6979, A.2.5; the DER around it byte for byte."""

from binascii import hexlify
from hashlib import sha256

from firmware.crypto import der, ecdsa, p256, x509
from tests.dual import raises

HEAP = {"test_der_lengths_have_their_shortest_form": "512K"}  # of values of 64 KiB

PRIVATE = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721

VECTORS = (
    (
        b"sample",
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    (
        b"test",
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
)


def test_signatures_are_those_of_rfc_6979():
    for message, r, s in VECTORS:
        assert ecdsa.sign(PRIVATE, sha256(message).digest()) == (r, s)


def test_a_digest_at_or_above_n_is_signed_too():
    for digest in (b"\xff" * 32, p256.N.to_bytes(32, "big"), bytes(32)):
        r, s = ecdsa.sign(PRIVATE, digest)
        e = int.from_bytes(digest, "big")
        w = p256.inverse(s, p256.N)
        # The verifier's sum, on one scalar since the private key is known here.
        assert p256.multiply_base(w * (e + r * PRIVATE))[0] % p256.N == r


def test_a_key_or_digest_out_of_range_is_refused():
    for private, digest in (
        (0, bytes(32)),
        (-1, bytes(32)),
        (p256.N, bytes(32)),
        (1, bytes(31)),
        (1, bytes(33)),
    ):
        with raises(ValueError):
            ecdsa.sign(private, digest)


def test_der_integers_take_no_byte_too_many_and_none_too_few():
    for value, expected in (
        (0, b"\x02\x01\x00"),
        (1, b"\x02\x01\x01"),
        (0x7F, b"\x02\x01\x7f"),
        (0x80, b"\x02\x02\x00\x80"),
        (0xFF, b"\x02\x02\x00\xff"),
        (0x100, b"\x02\x02\x01\x00"),
        ((1 << 256) - 1, b"\x02\x21\x00" + b"\xff" * 32),
        (1 << 255, b"\x02\x21\x00\x80" + bytes(31)),
        (1 << 254, b"\x02\x20\x40" + bytes(31)),
    ):
        assert der.integer(value) == expected


def test_der_lengths_have_their_shortest_form():
    for size, head in (
        (0, b"\x04\x00"),
        (127, b"\x04\x7f"),
        (128, b"\x04\x81\x80"),
        (255, b"\x04\x81\xff"),
        (256, b"\x04\x82\x01\x00"),
        (65535, b"\x04\x82\xff\xff"),
    ):
        assert der.tlv(der.OCTET_STRING, bytes(size)) == head + bytes(size)
    assert der.tlv(der.SEQUENCE, b"ab", b"", b"c") == b"\x30\x03abc"


def test_a_signature_in_der():
    _, r, s = VECTORS[0]
    data = ecdsa.signature_der(r, s)
    assert data == b"\x30\x46\x02\x21\x00" + r.to_bytes(32, "big") + b"\x02\x21\x00" + s.to_bytes(32, "big")
    assert ecdsa.signature_der(1, 2) == b"\x30\x06\x02\x01\x01\x02\x01\x02"


def test_a_private_key_in_der():
    point = p256.multiply_base(PRIVATE)
    data = x509.private_key_der(PRIVATE, point)
    assert hexlify(data) == (
        b"3077020101"
        + b"0420"
        + hexlify(PRIVATE.to_bytes(32, "big"))
        + b"a00a06082a8648ce3d030107"
        + b"a144034200"
        + hexlify(p256.encode_point(point))
    )


def test_a_certificate_request_repeats_itself_exactly():
    first = x509.certificate_request(PRIVATE, "INK-00000001")
    assert first == x509.certificate_request(PRIVATE, "INK-00000001")
    assert first != x509.certificate_request(PRIVATE, "INK-00000002")
    assert p256.encode_point(p256.multiply_base(PRIVATE)) in first


def test_a_common_name_out_of_bounds_is_refused():
    assert b"n" * 64 in x509.certificate_request(PRIVATE, "n" * 64)
    for name in ("", "n" * 65):
        with raises(ValueError):
            x509.certificate_request(PRIVATE, name)
