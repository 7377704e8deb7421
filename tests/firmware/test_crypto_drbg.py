"""HMAC-DRBG: the standard's generator, and what it does when the source of entropy is stuck."""

from binascii import unhexlify as unhex

from firmware.crypto.drbg import MAX_REQUEST_SIZE, HmacDrbg, ReseedError
from firmware.crypto.hmac import hmac_sha256
from tests.dual import raises

HEAP = {"test_requests_beyond_the_limits_are_refused": "512K"}  # the largest one has 64 KiB

STUCK = bytes(range(32))
ROOT_SECRET = b"\x5a" * 32


class Model:
    """SP 800-90A rev. 1, 10.1.2, word by word, without any state kept between calls but K and V."""

    def __init__(self, entropy, nonce, personalization):
        self.key = bytes(32)
        self.value = b"\x01" * 32
        self.update(entropy + nonce + personalization)

    def update(self, data):
        self.key = hmac_sha256(self.key, self.value + b"\x00" + data)
        self.value = hmac_sha256(self.key, self.value)
        if data:
            self.key = hmac_sha256(self.key, self.value + b"\x01" + data)
            self.value = hmac_sha256(self.key, self.value)

    def generate(self, size):
        out = b""
        while len(out) < size:
            self.value = hmac_sha256(self.key, self.value)
            out += self.value
        self.update(b"")
        return out[:size]


def test_the_standard_s_known_answer():
    # NIST CAVP, HMAC_DRBG, SHA-256, no reseed, no personalization, count 0: the second 1,024 bits.
    generator = HmacDrbg(
        unhex("ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488"),
        unhex("659ba96c601dc69fc902940805ec0ca8"),
    )
    generator.generate(128)
    assert generator.generate(128) == unhex(
        "e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89d54fbb978a15b5c443c9ec21036d2460"
        "b6f73ebad0dc2aba6e624abf07745bc107694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668"
        "961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8"
    )


def test_every_request_follows_the_standard():
    for personalization in (b"", b"inkan module"):
        generator = HmacDrbg(STUCK, b"\x01", personalization)
        model = Model(STUCK, b"\x01", personalization)
        for size in (0, 1, 16, 31, 32, 33, 64, 100, 1000):
            assert generator.generate(size) == model.generate(size)
        for additional in (b"", b"more"):
            generator.reseed(b"\x77" * 32, additional)
            model.update(b"\x77" * 32 + additional)
            assert generator.generate(48) == model.generate(48)


def test_s17_stuck_entropy_repeats_nothing_over_many_boots():
    seen = set()
    count = 0
    for boot in range(40):
        generator = HmacDrbg(STUCK, boot.to_bytes(4, "little"), ROOT_SECRET)
        for _ in range(20):
            seen.add(generator.generate(16))
            count += 1
        generator.reseed(STUCK)
        seen.add(generator.generate(16))
        count += 1
    assert len(seen) == count


def test_s17_stuck_entropy_and_the_same_boot_differ_between_modules():
    first = HmacDrbg(STUCK, b"\x01", ROOT_SECRET)
    second = HmacDrbg(STUCK, b"\x01", b"\x5b" * 32)
    assert first.generate(32) != second.generate(32)


def test_s17_good_entropy_differs_though_nonce_and_secret_repeat():
    first = HmacDrbg(STUCK, b"\x01", ROOT_SECRET)
    second = HmacDrbg(bytes(32), b"\x01", ROOT_SECRET)
    assert first.generate(32) != second.generate(32)


def test_a_reseed_keeps_what_was_there():
    first = HmacDrbg(STUCK, b"\x01", ROOT_SECRET)
    second = HmacDrbg(STUCK, b"\x02", ROOT_SECRET)
    first.reseed(STUCK)
    second.reseed(STUCK)
    assert first.generate(32) != second.generate(32)


def test_too_little_entropy_is_refused():
    with raises(ValueError):
        HmacDrbg(bytes(31), b"nonce")
    generator = HmacDrbg(STUCK, b"nonce")
    with raises(ValueError):
        generator.reseed(bytes(31), b"additional" * 10)


def test_requests_beyond_the_limits_are_refused():
    generator = HmacDrbg(STUCK, b"nonce")
    assert len(generator.generate(MAX_REQUEST_SIZE)) == 65536
    with raises(ValueError):
        generator.generate(MAX_REQUEST_SIZE + 1)
    generator._requests = (1 << 48) - 1
    generator.generate(16)
    with raises(ReseedError):
        generator.generate(16)
    generator.reseed(STUCK)
    assert len(generator.generate(16)) == 16
