"""Glyphs from the font file: bounded reads, no garbage, typed errors.

Every glyph's dots are compared in tests/test_font.py.
"""

import gc

import framebuf
import micropython

from firmware.panel.glyphs import FontError, GlyphFile, code_points
from tests.dual import raises

INTERPRETERS = ("micropython",)  # framebuf is MicroPython's own

_PATH = "build/font/glyphs12.bin"
_CELL = 12


class DamagedFile:
    """The font file with one byte changed, cut short, or failing."""

    def __init__(self, changed_at=-1, mask=0xFF, size=None):
        self._file = open(_PATH, "rb")
        self._true_size = self._file.seek(0, 2)
        self._changed_at = changed_at
        self._mask = mask
        self._size = self._true_size if size is None else size
        self.fails = False
        self.closed = False

    def seek(self, offset, whence=0):
        return self._file.seek(offset if whence == 0 else self._size)

    def readinto(self, buffer):
        if self.fails:
            raise OSError(5)
        start = self._file.tell()
        got = max(0, min(self._file.readinto(buffer), self._size - start))
        if start <= self._changed_at < start + got:
            buffer[self._changed_at - start] ^= self._mask
        return got

    def close(self):
        self.closed = True


def _picture():
    bits = bytearray(48)
    return bits, framebuf.FrameBuffer(bits, 24, 12, framebuf.MONO_VLSB)


def _drawn(glyphs, code_point, color=1):
    bits, picture = _picture()
    glyphs.draw(picture, code_point, 0, 0, color)
    return bytes(bits)


def _lit(bits, width=24):
    return [
        (x, y) for x in range(24) for y in range(12) if bits[y // 8 * 24 + x] >> (y % 8) & 1 and x < width
    ]


def test_code_points_are_those_of_the_string():
    text = "aé〜髙\U00020bb7z"
    assert list(code_points(text.encode())) == [ord(character) for character in text]


def test_cut_utf8_ends_without_an_error():
    encoded = "漢".encode()
    for size in range(1, 3):
        assert len(list(code_points(encoded[:size]))) == 1


def test_width_is_a_rule_that_reads_nothing():
    glyphs = GlyphFile(_PATH)
    for code_point, expected in (
        (0x20, 6),
        (0xFF, 6),
        (0x100, 12),
        (0x3042, 12),
        (0xFF60, 12),
        (0xFF61, 6),
        (0xFF9F, 6),
        (0xFFA0, 12),
        (0x20BB7, 12),
    ):
        assert glyphs.width(code_point) == expected, hex(code_point)


def test_a_cell_is_painted_whole_and_nothing_beside_it():
    glyphs = GlyphFile(_PATH).open()
    for character, width in (("g", 6), ("鬱", 12)):
        for color in (0, 1):
            for before in (0, 1):
                bits, picture = _picture()
                picture.fill(before)
                glyphs.draw(picture, ord(character), 4, 0, color)
                expected, plain = _picture()
                plain.fill(before)
                shape = _lit(_drawn(glyphs, ord(character)))
                for x in range(width):
                    for y in range(12):
                        plain.pixel(4 + x, y, color if (x, y) in shape else 1 - color)
                assert bits == expected, (character, color, before)


def test_r17_characters_outside_the_font_show_as_a_box_of_their_width():
    glyphs = GlyphFile(_PATH).open()
    full = _drawn(glyphs, 0x20BB7)
    half = _drawn(glyphs, 0x07)
    assert full != half and _lit(full) and _lit(half)
    # The first of a block, the last, and code points before, between and after all that there are.
    for code_point in (0x9AD9, 0xFA11, 0x2460, 0x100, 0xFFFF, 0xFFFE, 0xFFE6, 0x3099, 0x10FFFF, 0xD800):
        assert _drawn(glyphs, code_point) == full, hex(code_point)
    for code_point in (0, 0x0A, 0x1F, 0x7F, 0x9F):
        assert _drawn(glyphs, code_point) == half, hex(code_point)
    assert all(x < 6 for x, _ in _lit(half))


def test_drawing_allocates_nothing():
    glyphs = GlyphFile(_PATH).open()
    _, picture = _picture()
    codes = list(range(0x4E00, 0x4E80)) + list(range(0x20, 0x7F)) + [0x20BB7]
    micropython.heap_lock()
    try:
        for code_point in codes:
            glyphs.draw(picture, code_point, 0, 0, 1)
            glyphs.draw(picture, code_point, 3, 0, 0)
    finally:
        micropython.heap_unlock()
    assert glyphs.reads >= 128


def test_a_whole_screen_costs_at_most_two_reads_a_glyph():
    glyphs = GlyphFile(_PATH).open()
    _, picture = _picture()
    # 50 kanji, each in a block of its own: the worst screen there is.
    screen = [0x4E00 + 0x180 * number for number in range(50)]
    for code_point in screen:
        glyphs.draw(picture, code_point, 0, 0, 1)
    assert 50 < glyphs.reads <= 100
    # Kana lie together: their blocks are read once.
    before = glyphs.reads
    for code_point in range(0x3042, 0x3062):
        glyphs.draw(picture, code_point, 0, 0, 1)
    assert glyphs.reads - before <= 32 + 2


def test_redrawing_a_screen_of_32_characters_reads_nothing():
    glyphs = GlyphFile(_PATH).open()
    _, picture = _picture()
    screen = [0x4E00 + 0x180 * number for number in range(32)]
    for _ in range(3):
        before = glyphs.reads
        for code_point in screen:
            glyphs.draw(picture, code_point, 0, 0, 1)
    assert glyphs.reads == before


def test_heap_of_an_open_font_is_bounded():
    gc.collect()
    before = gc.mem_alloc()
    glyphs = GlyphFile(_PATH).open()
    gc.collect()
    used = gc.mem_alloc() - before
    print("heap of an open font: %d bytes" % used)
    assert glyphs and used <= 6 * 1024


def test_every_damaged_byte_is_found_on_opening():
    places = list(range(20)) + [20, 21, 242, 243, 244, 14000, 14700, 14701, 100000, 185000]
    for place in places:
        for mask in (0x01, 0x80, 0xFF):
            with raises(FontError):
                GlyphFile(DamagedFile(place, mask)).open()


def test_a_file_of_another_length_is_refused():
    size = DamagedFile().seek(0, 2)
    for wrong in (0, 1, 19, 20, 21, 1000, size - 24, size - 1, size + 1):
        with raises(FontError):
            GlyphFile(DamagedFile(size=wrong)).open()


def test_a_missing_file_and_a_file_of_something_else_are_font_errors():
    for path in ("build/font/no-such-file", "pyproject.toml", "build"):
        with raises(FontError) as caught:
            GlyphFile(path).open()
        assert caught.value.code == "font"


def test_a_read_that_fails_later_is_a_font_error_and_spoils_no_cell():
    file = DamagedFile()
    glyphs = GlyphFile(file).open()
    expected = _drawn(glyphs, 0x6F22)
    glyphs = GlyphFile(file).open()
    file.fails = True
    _, picture = _picture()
    for _ in range(40):
        with raises(FontError):
            glyphs.draw(picture, 0x6F22, 0, 0, 1)
    file.fails = False
    assert _drawn(glyphs, 0x6F22) == expected


def test_a_short_read_later_is_a_font_error():
    file = DamagedFile()
    glyphs = GlyphFile(file).open()
    file._size = 30000
    _, picture = _picture()
    with raises(FontError):
        glyphs.draw(picture, 0x9F8D, 0, 0, 1)


def test_a_closed_font_draws_nothing_and_opens_again():
    glyphs = GlyphFile(_PATH).open()
    expected = _drawn(glyphs, 0x41)
    glyphs.close()
    glyphs.close()
    _, picture = _picture()
    with raises(FontError):
        glyphs.draw(picture, 0x41, 0, 0, 1)
    assert _drawn(glyphs.open(), 0x41) == expected


def test_a_file_that_was_handed_in_stays_open():
    file = DamagedFile()
    GlyphFile(file).open().close()
    assert not file.closed
