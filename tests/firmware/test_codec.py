"""Items of slot bodies, and UTF-8, on both interpreters."""

from firmware.codec import ItemError, code_points, decode_items, encode_items, items_size
from tests.dual import raises


def _decoded(body):
    return [(item_id, bytes(value)) for item_id, value in decode_items(body)]


def test_items_are_written_as_the_format_says():
    assert bytes(encode_items([(0x11, b"ab"), (0x41, b"")])) == b"\x11\x02\x00ab\x41\x00\x00"
    assert encode_items([]) == b""
    assert encode_items([(1, bytes(300))])[:3] == b"\x01\x2c\x01"


def test_what_was_encoded_decodes_to_the_same():
    rows = [
        [],
        [(0, b"")],
        [(0, b"a"), (255, bytes(range(256)) * 8)],
        [(0x11, "春日 太郎".encode()), (0x12, memoryview(b"1234567")), (0x13, bytearray(100))],
    ]
    for items in rows:
        body = encode_items(items)
        assert len(body) == items_size(items)
        assert _decoded(body) == [(item_id, bytes(value)) for item_id, value in items]
        assert _decoded(memoryview(body)) == _decoded(bytes(body))


def test_values_are_views_of_the_body_and_not_copies():
    body = encode_items([(1, b"abc")])
    for _, value in decode_items(body):
        value[0] = 0x7A
    assert bytes(body) == b"\x01\x03\x00zbc"


def test_items_that_do_not_ascend_or_do_not_fit_are_not_written():
    for items in ([(2, b""), (1, b"")], [(1, b""), (1, b"")], [(256, b"")], [(-1, b"")], [(1, bytes(65536))]):
        with raises(ItemError) as caught:
            encode_items(items)
        assert caught.value.code == "items"


def test_bodies_that_are_no_row_of_items_are_refused():
    good = bytes(encode_items([(0x11, b"abc"), (0x12, b"de")]))
    for size in range(len(good)):
        if size not in (0, 6):  # where an item ends
            with raises(ItemError):
                _decoded(good[:size])
    for bad in (
        good + b"\xff",
        good + b"\x12\x00\x00",  # twice
        good + b"\x01\x00\x00",  # descends
        b"\x11\xff\xff" + bytes(100),  # longer than the body
        b"\x11\x04\x00abc",
    ):
        with raises(ItemError):
            _decoded(bad)


def test_utf8_gives_its_code_points():
    for code in (0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x20BB7, 0x10FFFF):
        assert list(code_points(b"a" + chr(code).encode() + b"z")) == [0x61, code, 0x7A]
    assert list(code_points("山田 é".encode())) == [0x5C71, 0x7530, 0x20, 0xE9]
    assert list(code_points(b"")) == []


def test_what_is_no_utf8_is_refused():
    for bad in (
        b"\x80",
        b"\xbf",
        b"\xc0\x80",  # longer than they need be
        b"\xc1\xbf",
        b"\xe0\x9f\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xed\xa0\x80",  # surrogates
        b"\xed\xbf\xbf",
        b"\xf4\x90\x80\x80",  # past the last one
        b"\xf5\x80\x80\x80",
        b"\xff",
        b"\xc3",  # cut
        b"\xe3\x81",
        b"\xf0\x9f\x98",
        b"\xc3\x28",
        b"\xe3\x81\x41",
    ):
        for text in (bad, b"a" + bad + b"b"):
            with raises(UnicodeError):
                list(code_points(text))
