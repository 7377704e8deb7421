"""R1: each field's type, limits and errors; R4: what a view of the information gives out."""

import gc

from firmware import codec, unique_info
from firmware.errors import FieldError
from firmware.unique_info import UniqueInfo, check
from tests.dual import raises, skip

KEY = 0x55


def reason(field_id, value):
    with raises(FieldError) as caught:
        check(field_id, value)
    assert caught.value.field == field_id
    return caught.value.reason


def sequence(size):
    """A DER SEQUENCE of `size` bytes in all."""
    body = size - 4
    return b"\x30\x82" + body.to_bytes(2, "big") + bytes(body)


def test_r1_every_field_is_in_one_of_five_groups():
    assert sorted({unique_info.group_of(field_id) for field_id in unique_info.FIELDS}) == [1, 2, 3, 4, 5]
    names = [field[0] for field in unique_info.FIELDS.values()]
    assert len(set(names)) == len(names) == 15
    assert unique_info.fields_of(1) == [0x11, 0x12, 0x13, 0x14]
    assert unique_info.name_of(0x31) == "site_id"
    assert unique_info.name_of(5) == "connection"
    assert unique_info.name_of(0) == unique_info.name_of(6) == unique_info.name_of(0xFF) == ""


def test_r1_text_is_counted_in_characters_and_trimmed():
    assert check(0x11, "山" * 40) == ("山" * 40).encode()
    assert reason(0x11, "山" * 41) == "too_long"
    assert check(0x13, "あ" * 100) == ("あ" * 100).encode()
    assert reason(0x13, "a" * 101) == "too_long"
    assert check(0x11, " \u3000山田 太郎\u3000 ") == "山田 太郎".encode()
    assert reason(0x11, "") == reason(0x11, " \u3000 ") == "empty"
    assert check(0x11, "🏠\U00020000") == "🏠\U00020000".encode()


def test_r1_text_holds_no_control_characters_and_no_halves_of_characters():
    barred = [0, 9, 10, 13, 0x1F, 0x7F, 0x80, 0x9F, 0x200E, 0x2028, 0x202E, 0x2066, 0xD800, 0xDBFF, 0xDC00, 0xDFFF]
    for code in barred + [0xFDD0, 0xFEFF, 0xFFFE, 0xFFFF]:
        assert reason(0x11, "a" + chr(code) + "b") == "bad_text", code
    assert reason(0x11, "\n") == "bad_text"
    for value in (None, 5, b"bytes", ["a"], True):
        assert reason(0x11, value) == "bad_text"
    for good in (0x20, 0x7E, 0xA0, 0x3001, 0xD7FF, 0xE000, 0xFFFD):
        check(0x11, "a" + chr(good) + "b")


def test_r1_utf8_longer_than_it_needs_be_is_refused():
    try:
        text = b"A\xc1\x81".decode()  # MicroPython takes it
    except UnicodeError:
        return
    assert reason(0x11, text) == "bad_text"


def test_r1_postal_code():
    assert check(0x12, "123-4567") == check(0x12, "1234567") == check(0x12, " 1234567 ") == b"1234567"
    assert reason(0x12, "") == "empty"
    assert reason(0x12, "123456") == "too_short"
    assert reason(0x12, "12345678") == "too_long"
    assert reason(0x12, "1234-567") == "not_digits"
    assert reason(0x12, "123--567") == "not_digits"
    assert reason(0x12, "12345６7") == "not_digits"
    assert reason(0x12, 1234567) == "bad_text"


def test_r1_site_number_has_22_digits_and_an_area():
    for area in range(1, 11):
        value = "%02d" % area + "1" * 20
        assert check(0x31, value) == value.encode()
    assert check(0x31, "03-1234-5678-9012-3456-7890") == b"0312345678901234567890"
    assert reason(0x31, "00" + "1" * 20) == "bad_area"
    assert reason(0x31, "11" + "1" * 20) == "bad_area"
    assert reason(0x31, "1" * 21) == "too_short"
    assert reason(0x31, "01" + "1" * 21) == "too_long"
    assert reason(0x31, "01" + "1" * 19 + "x") == "not_digits"
    assert reason(0x31, "-") == "empty"


def test_r1_contract_number_is_upper_case():
    assert check(0x14, "ab-12") == b"AB-12"
    assert check(0x14, "A" * 20) == b"A" * 20
    assert reason(0x14, "A" * 21) == "too_long"
    assert reason(0x14, "") == "empty"
    for value in ("A_1", "A 1", "Ａ", "é", "A\n"):
        assert reason(0x14, value) == "bad_character", value


def test_r1_capacities_are_whole_numbers_in_range():
    assert check(0x41, 5500) == check(0x41, "5500") == check(0x41, "005500") == (5500).to_bytes(4, "little")
    assert check(0x41, 999_999) == (999_999).to_bytes(4, "little")
    assert check(0x42, "9999999") == (9_999_999).to_bytes(4, "little")
    for value in (0, "0", 1_000_000, -1, "99999999999999999999"):
        assert reason(0x41, value) == "out_of_range", value
    assert reason(0x43, 10_000_000) == "out_of_range"
    assert reason(0x41, "") == "empty"
    for value in ("-5", "1.5", "5e3", 5.0, True, None, b"5"):
        assert reason(0x41, value) == "not_digits", value


def test_r1_urls_are_https_with_host_and_port():
    for value, stored in (
        ("https://pps.example.jp", b"https://pps.example.jp"),
        ("HTTPS://PPS.Example.JP/", b"https://pps.example.jp"),
        ("https://pps.example.jp:8443", b"https://pps.example.jp:8443"),
        ("https://pps.example.jp:443", b"https://pps.example.jp"),
        ("https://localhost:1", b"https://localhost:1"),
        ("https://127.0.0.1:65535", b"https://127.0.0.1:65535"),
        ("https://" + "a" * 63 + ".jp", b"https://" + b"a" * 63 + b".jp"),
    ):
        assert check(0x51, value) == stored
        assert check(0x52, value) == stored
    for value in (
        "http://a.example",
        "pps.example.jp",
        "https://",
        "https:///",
        "https://a/b",
        "https://a?b",
        "https://a#b",
        "https://user@a",
        "https://a:0",
        "https://a:65536",
        "https://a:",
        "https://a:08443",
        "https://a:b",
        "https://a:1:2",
        "https://-a.jp",
        "https://a-.jp",
        "https://a..jp",
        "https://.a",
        "https://a.",
        "https://" + "a" * 64 + ".jp",
        "https://a_b",
        "https://日本.jp",
        "https://a b",
        "https://[::1]",
        "https://1.2.3",
        "https://1.2.3.256",
        "https://1.2.3.04",
        "https://a//",
        "https://a\x00",
    ):
        assert reason(0x51, value) == "bad_url", value
    assert reason(0x51, "") == "empty"
    assert reason(0x51, "https://" + "a." * 46 + "a") == "too_long"
    check(0x51, "https://" + "a." * 45 + "aa")


def test_r1_certificates_are_one_der_sequence_of_at_most_2048_bytes():
    for value in (b"\x30\x00", b"\x30\x03abc", b"\x30\x81\x80" + bytes(128), sequence(2048)):
        assert check(0x53, value) == value
        assert check(0x54, memoryview(value)) == check(0x56, bytearray(value)) == value
    assert reason(0x53, b"") == "empty"
    assert reason(0x53, sequence(2049)) == "too_long"
    for value in (
        b"\x30",
        b"\x31\x00",
        b"\x30\x01",
        b"\x30\x01ab",
        b"\x30\x80\x00\x00",
        b"\x30\x81\x01a",
        b"\x30\x81",
        b"\x30\x82\x00\x80" + bytes(128),
        b"\x30\x83\x00\x01\x00" + bytes(256),
        sequence(300)[:-1],
        sequence(300) + b"\x00",
        "text",
        None,
        5,
    ):
        assert reason(0x53, value) == "bad_certificate", value


def test_r1_keys_have_their_size_and_range():
    assert check(KEY, b"\x01" * 32) == b"\x01" * 32
    assert reason(KEY, bytes(32)) == reason(KEY, b"\xff" * 32) == "out_of_range"
    assert reason(KEY, b"\x01" * 31) == "too_short"
    assert reason(KEY, b"\x01" * 33) == "too_long"
    assert reason(KEY, b"") == "empty"
    assert reason(KEY, "1" * 32) == "bad_character"
    assert check(0x21, bytes(64)) == bytes(64)
    assert reason(0x21, bytes(63)) == "too_short"


def test_r1_an_unknown_field_is_refused():
    for field_id in (0, 1, 0x10, 0x15, 0x61, 255):
        reason(field_id, "1")


def test_r1_an_error_never_repeats_the_value():
    for field_id in unique_info.FIELDS:
        with raises(FieldError) as caught:
            check(field_id, "Geheim\x00" * 400)
        assert "Geheim" not in repr(caught.value) and "Geheim" not in str(caught.value.args)


def test_r4_keys_and_certificates_are_not_shown():
    secret = b"\x42" * 32
    certificate = sequence(600)
    body = codec.encode_items(
        [(0x11, "山田".encode()), (0x21, b"\x43" * 64), (0x41, (5500).to_bytes(4, "little")), (0x53, certificate)]
        + [(KEY, secret)]
    )
    info = UniqueInfo(body)
    assert info.text(0x11) == "山田"
    assert info.text(0x12) == ""
    assert info.text(0x41) == "5500"
    assert info.text(0x21) == info.text(KEY) == "stored"
    assert info.text(0x53)[:7] == "sha256:" and len(info.text(0x53)) == 23
    assert info.get(KEY) == secret
    assert info.get(0x12) is None


def test_r1_changes_leave_the_rest_and_the_body_as_they_are():
    body = codec.encode_items([(0x01, bytes(12)), (0x11, b"a"), (0x13, b"b")])
    info = UniqueInfo(body)
    changed = info.with_changes({0x12: b"1234567", 0x11: None, 0x14: None})
    assert [(number, bytes(value)) for number, value in changed] == [
        (0x01, bytes(12)),
        (0x12, b"1234567"),
        (0x13, b"b"),
    ]
    assert [number for number, _ in info.items()] == [0x01, 0x11, 0x13]
    assert codec.encode_items(info.items()) == body


def test_r27_no_text_that_is_checked_stays_in_ram():
    if not hasattr(gc, "mem_alloc"):
        skip("this interpreter does not count its heap")

    def check_all(first):
        # Out of bytes: a character that is made for itself stays.
        codes = range(first, first + 20)
        text = b"".join([bytes((code >> 12 | 0xE0, code >> 6 & 63 | 128, code & 63 | 128)) for code in codes]).decode()
        for field_id in (0x11, 0x12, 0x13, 0x14, 0x31, 0x41, 0x51):
            for value in (text, "https://" + text):
                try:
                    check(field_id, value)
                except FieldError:
                    pass

    def used():
        gc.collect()
        return gc.mem_alloc()

    check_all(0x4E00)
    before = used()
    for first in range(0x5000, 0x5400, 20):
        check_all(first)
    assert used() - before < 1000  # 1,024 characters at 18 bytes each, were they kept


def test_r1_text_is_strict_utf8():
    for bad in (b"\xc0\xb0", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"):
        try:
            text = bad.decode()
        except UnicodeError:
            continue  # CPython makes no such str
        for field_id, expected in ((0x11, "bad_text"), (0x12, "not_digits"), (0x14, "bad_character")):
            assert reason(field_id, text) == expected
