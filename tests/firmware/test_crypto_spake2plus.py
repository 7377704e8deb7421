"""From ID and password to w0, as the keypad's judgement does it."""

from firmware.crypto import p256
from firmware.crypto.hmac import constant_time_equal, hmac_sha256
from firmware.crypto.kdf import Pbkdf2, pbkdf2_sha256
from firmware.crypto.spake2plus import expand_w, password_input, w0_bytes


def stretched(password, user_id, serial=b"INK-00000001", salt=b"s" * 16):
    return pbkdf2_sha256(password_input(password, user_id, serial), salt, 10)


def test_each_part_stands_behind_its_length():
    assert password_input(b"12345678", b"87654321", b"INK-1") == (
        b"\x08" + bytes(7) + b"12345678" + b"\x08" + bytes(7) + b"87654321" + b"\x05" + bytes(7) + b"INK-1"
    )
    assert password_input(b"", b"", b"") == bytes(24)
    assert password_input(b"p" * 300, b"", b"")[:8] == b"\x2c\x01" + bytes(6)


def test_no_two_splits_give_one_input():
    inputs = set()
    for first in range(5):
        for second in range(first, 5):
            inputs.add(password_input(b"abcd"[:first], b"abcd"[first:second], b"abcd"[second:]))
    assert len(inputs) == 15


def test_w0_and_w1_are_40_bytes_each_modulo_n():
    key = bytes(range(32))
    blocks = [b""]
    for counter in (1, 2, 3):
        blocks.append(hmac_sha256(key, blocks[-1] + b"inkan w0w1" + bytes((counter,))))
    data = b"".join(blocks)
    w0, w1 = expand_w(key)
    assert w0 == int.from_bytes(data[:40], "big") % p256.N
    assert w1 == int.from_bytes(data[40:80], "big") % p256.N
    assert w0_bytes(w0) == w0.to_bytes(32, "big")
    assert w0_bytes(1) == bytes(31) + b"\x01"


def test_s2_id_password_serial_and_salt_all_count():
    w0 = expand_w(stretched(b"12345678", b"87654321"))[0]
    seen = {w0}
    for other in (
        stretched(b"12345679", b"87654321"),
        stretched(b"12345678", b"87654322"),
        stretched(b"87654321", b"12345678"),
        stretched(b"12345678", b"87654321", serial=b"INK-00000002"),
        stretched(b"12345678", b"87654321", salt=b"t" * 16),
    ):
        seen.add(expand_w(other)[0])
    assert len(seen) == 6


def test_r14_the_keypad_s_judgement_needs_no_multiplication():
    kept = w0_bytes(expand_w(stretched(b"12345678", b"87654321"))[0])
    for password, right in ((b"12345678", True), (b"12345670", False)):
        derivation = Pbkdf2(password_input(password, b"87654321", b"INK-00000001"), b"s" * 16, 10)
        while not derivation.step(3):
            pass
        w0, _ = expand_w(derivation.result())
        assert constant_time_equal(w0_bytes(w0), kept) is right
