"""The glyphs of the 12-dot Shinonome font as a dictionary by Unicode code point.

The PCF files are read with FreeType: it is well kept, reads PCF and its gzip
form, and reaches double-byte codes, where Pillow's PCF reader stops at 256.
Which code points a glyph stands for: docs/font.md.
"""

import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import freetype

HEIGHT = 12
HALF_WIDTH = 6
FULL_WIDTH = 12

LATIN_FILE = "shnm6x12a.pcf.gz"
KATAKANA_FILE = "shnm6x12r.pcf.gz"
KANJI_FILE = "shnmk12.pcf.gz"

# Code points that no table of Python's gives, for the JIS X 0208 code that shows them.
_BY_HAND = {0x213D: (0x2014,), 0x213E: (0x2011, 0x2012, 0x2013), 0x2131: (0x203E,)}
_ASCENT = 10
_KATAKANA_FIRST = 0xFF61
_KATAKANA_JIS_FIRST = 0xA1
_KATAKANA_COUNT = 63
_FULL_WIDTH_FORMS = range(0xFF01, 0xFFE7)


class SourceError(Exception):
    """A font file is missing or is not the font that is expected."""


class Glyph(NamedTuple):
    """`columns[x]` holds the 12 dots of column x, bit 0 on top; 6 or 12 columns."""

    columns: tuple[int, ...]

    @property
    def width(self) -> int:
        return len(self.columns)


REPLACEMENT_FULL = Glyph((0xFFF, *[0x801] * 9, 0xFFF, 0))
REPLACEMENT_HALF = Glyph((0xFFF, *[0x801] * 3, 0xFFF, 0))


def width_of(code_point: int) -> int:
    """The width rule of docs/font.md: 6 or 12."""
    half = code_point < 0x100 or 0xFF61 <= code_point <= 0xFF9F
    return HALF_WIDTH if half else FULL_WIDTH


def find_file(folder: Path, name: str) -> Path:
    """The first file of that name below `folder`. SourceError if there is none."""
    for path in sorted(Path(folder).rglob(name)):
        return path
    raise SourceError(f"{name} is not below {folder} (Debian package xfonts-shinonome)")


def read_pcf(path: Path) -> Iterator[tuple[int, Glyph]]:
    """Every glyph of a PCF file as (code in the font's own encoding, Glyph).

    SourceError if a glyph's box is not the whole 12-dot cell.
    """
    try:
        face = freetype.Face(str(path))
        face.set_charmap(face.charmaps[0])
    except (freetype.FT_Exception, IndexError) as error:
        raise SourceError(f"{path} is not a PCF font: {error}") from error
    code, index = face.get_first_char()
    while index:
        face.load_glyph(index, freetype.FT_LOAD_RENDER | freetype.FT_LOAD_MONOCHROME)
        slot = face.glyph
        bitmap = slot.bitmap
        box = (bitmap.rows, slot.bitmap_left, slot.bitmap_top, slot.advance.x)
        if box != (HEIGHT, 0, _ASCENT, bitmap.width * 64):
            raise SourceError(f"{path}: glyph {code:#x} does not fill its cell")
        pitch, dots = bitmap.pitch, bitmap.buffer
        yield (
            code,
            Glyph(
                tuple(
                    sum((dots[y * pitch + x // 8] >> (7 - x % 8) & 1) << y for y in range(HEIGHT))
                    for x in range(bitmap.width)
                )
            ),
        )
        code, index = face.get_next_char(code, index)


def code_points_of_jis(code: int) -> set[int]:
    """Every code point that stands for a JIS X 0208 code (0x2121..0x7E7E)."""
    high, low = code >> 8, code & 0xFF
    euc = bytes((high | 0x80, low | 0x80))
    lead = (high - 0x21) // 2
    lead += 0x81 if lead < 0x1F else 0xC1
    trail = low + (0x1F if low < 0x60 else 0x20) if high & 1 else low + 0x7E
    shift_jis = bytes((lead, trail))
    found = set(_BY_HAND.get(code, ()))
    for encoded, codec in (
        (euc, "euc_jp"),
        (euc, "euc_jis_2004"),
        (shift_jis, "shift_jis"),
        (shift_jis, "cp932"),
    ):
        found.add(ord(encoded.decode(codec)))
    return found


@cache
def load(folder: Path) -> dict[int, Glyph]:
    """All glyphs by code point, without the replacement glyphs.

    `folder` is searched for the three files. SourceError as of `find_file` and
    `read_pcf`, and if a glyph breaks the width rule.
    """
    glyphs: dict[int, Glyph] = {}
    for code, glyph in read_pcf(find_file(folder, KANJI_FILE)):
        for code_point in code_points_of_jis(code):
            if width_of(code_point) == FULL_WIDTH:
                glyphs[code_point] = glyph
    latin = dict(read_pcf(find_file(folder, LATIN_FILE)))
    for code_point in (*range(0x20, 0x7F), *range(0xA0, 0x100)):
        glyphs[code_point] = latin[code_point]
    katakana = dict(read_pcf(find_file(folder, KATAKANA_FILE)))
    for offset in range(_KATAKANA_COUNT):
        glyphs[_KATAKANA_FIRST + offset] = katakana[_KATAKANA_JIS_FIRST + offset]
    for code_point in _FULL_WIDTH_FORMS:
        partner = unicodedata.normalize("NFKC", chr(code_point))
        if code_point not in glyphs and len(partner) == 1 and ord(partner) in latin:
            glyphs[code_point] = _centred(glyphs[ord(partner)])
    for code_point, glyph in glyphs.items():
        if glyph.width != width_of(code_point):
            raise SourceError(f"U+{code_point:04X} is {glyph.width} dots wide")
    return glyphs


def glyph_or_replacement(glyphs: dict[int, Glyph], code_point: int) -> Glyph:
    """What the display shows for a code point."""
    missing = REPLACEMENT_HALF if width_of(code_point) == HALF_WIDTH else REPLACEMENT_FULL
    return glyphs.get(code_point, missing)


def _centred(glyph: Glyph) -> Glyph:
    margin = (FULL_WIDTH - glyph.width) // 2
    return Glyph((*[0] * margin, *glyph.columns, *[0] * margin))
