"""HMAC-SHA256, HKDF and PBKDF2 against the vectors of their RFCs."""

from binascii import unhexlify as unhex

from firmware.crypto.hmac import HmacSha256, constant_time_equal, hmac_sha256
from firmware.crypto.kdf import Pbkdf2, hkdf, hkdf_expand, hkdf_extract, pbkdf2_sha256
from tests.dual import raises

# RFC 4231, cases 1 to 7: key, data, tag (case 5: the first 128 bits).
HMAC_VECTORS = (
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data."
        b" The key needs to be hashed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
)

# RFC 5869, A.1 to A.3: IKM, salt, info, length, PRK, OKM.
HKDF_VECTORS = (
    (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        42,
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        82,
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        b"\x0b" * 22,
        b"",
        b"",
        42,
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
)

# Password, salt, iterations, first bytes of the key. RFC 7914, section 11; then RFC 6070's, with SHA-256.
PBKDF2_VECTORS = (
    (b"passwd", b"salt", 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"),
    (b"Password", b"NaCl", 80000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"),
    (b"password", b"salt", 1, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"),
    (b"password", b"salt", 2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"),
    (b"password", b"salt", 4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"),
    (
        b"passwordPASSWORDpassword",
        b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
        4096,
        "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1",
    ),
    (b"pass\x00word", b"sa\x00lt", 4096, "89b69d0516f829893c696226650a8687"),
)


def test_hmac_gives_the_tags_of_rfc_4231():
    for key, data, tag in HMAC_VECTORS:
        tag = unhex(tag)
        assert hmac_sha256(key, data)[: len(tag)] == tag
        assert hmac_sha256(key, data[:5], data[5:])[: len(tag)] == tag


def test_hmac_starts_a_new_message_after_reset():
    mac = HmacSha256(b"key")
    tags = []
    for data in (b"one", b"two", b"one"):
        mac.reset()
        mac.update(data)
        tags.append(mac.digest())
    assert tags[0] == tags[2] == hmac_sha256(b"key", b"one")
    assert tags[1] == hmac_sha256(b"key", b"two")
    mac.reset()
    mac.update(b"dropped")
    mac.reset()
    mac.update(b"two")
    assert mac.digest() == tags[1]


def test_hmac_twin_does_not_disturb_the_message_under_way():
    mac = HmacSha256(b"key")
    mac.reset()
    mac.update(b"on")
    twin = mac.twin()
    twin.update(b"two")
    mac.update(b"e")
    assert twin.digest() == hmac_sha256(b"key", b"two")
    assert mac.digest() == hmac_sha256(b"key", b"one")


def test_hmac_refuses_more_after_the_tag():
    mac = HmacSha256(b"key")
    mac.reset()
    mac.digest()
    with raises(AttributeError):
        mac.update(b"more")
    with raises(AttributeError):
        mac.digest()


def test_hmac_key_of_exactly_one_block_and_one_byte_more():
    for size in (63, 64, 65):
        seen = {hmac_sha256(b"k" * size, b"data"), hmac_sha256(b"k" * size + b"\x01", b"data")}
        assert len(seen) == 2


def test_comparison_sees_every_single_bit():
    value = bytes(range(32))
    assert constant_time_equal(value, bytearray(value))
    assert constant_time_equal(b"", b"")
    assert not constant_time_equal(value, value[:31])
    assert not constant_time_equal(value, value + b"\x00")
    for bit in range(256):
        other = bytearray(value)
        other[bit >> 3] ^= 1 << (bit & 7)
        assert not constant_time_equal(value, other)


def test_hkdf_gives_the_keys_of_rfc_5869():
    for ikm, salt, info, length, prk, okm in HKDF_VECTORS:
        assert hkdf_extract(salt, ikm) == unhex(prk)
        assert hkdf_expand(unhex(prk), info, length) == unhex(okm)
        assert hkdf(ikm, info, length, salt) == unhex(okm)
    assert hkdf(b"\x0b" * 22, b"", 42) == unhex(HKDF_VECTORS[2][5])


def test_hkdf_lengths_up_to_255_blocks():
    longest = hkdf_expand(b"p" * 32, b"info", 255 * 32)
    for length in (0, 1, 31, 32, 33, 64, 80):
        assert hkdf_expand(b"p" * 32, b"info", length) == longest[:length]
    with raises(ValueError):
        hkdf_expand(b"p" * 32, b"info", 255 * 32 + 1)


def test_pbkdf2_gives_the_known_keys():
    for password, salt, iterations, key in PBKDF2_VECTORS:
        key = unhex(key)
        assert pbkdf2_sha256(password, salt, iterations)[: len(key)] == key


def test_s4_pbkdf2_in_slices_of_any_size_is_the_same_key():
    expected = pbkdf2_sha256(b"password", b"salt", 100)
    for size in (1, 7, 33, 99, 100, 1000):
        derivation = Pbkdf2(b"password", b"salt", 100)
        steps = 1
        while not derivation.step(size):
            steps += 1
            with raises(ValueError):
                derivation.result()
        assert derivation.result() == expected
        assert steps == (99 + size - 1) // size
        assert derivation.step(size)
        assert derivation.result() == expected


def test_pbkdf2_with_no_iteration_is_refused():
    with raises(ValueError):
        Pbkdf2(b"password", b"salt", 0)
