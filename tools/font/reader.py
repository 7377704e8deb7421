"""Read text back out of the display's picture, by its dots alone.

Nothing of the firmware is used: cells are compared with the glyphs of the PCF
files. A frame is 1,024 bytes of MONO_VLSB (8 pages of 128 columns, least
significant bit on top), or a 128x64 PIL image whose non-black pixels are lit.

`matches` and `find` are exact. `read_rows` has to choose between characters
whose glyphs are the same (Latin, Greek and Cyrillic capitals; ー and −; 〇
and ○; - and ｰ): the long vowel mark after kana, else the first in JIS X 0208's
order.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tools.font import source

WIDTH = 128
HEIGHT = 64
ROW_TOPS = (0, 13, 26, 39, 52)
# The scrollbar's columns, on rows below the title. They are text's where there is none.
_SCROLLBAR_LEFT = 126
_UNLIT = 0
_LIT = 0xFFF
UNKNOWN_DOTS = "▒"
NOT_IN_FONT = "\N{REPLACEMENT CHARACTER}"

_COST_CELL = 10
_COST_BLANK_COLUMN = 3
_COST_UNKNOWN_COLUMN = 200
_COST_OFF_GRID = 40

_LCD_LIT = (0x1B, 0x28, 0x1A)
_LCD_UNLIT = (0xB4, 0xC7, 0x9A)
_LCD_GAP_COVERS = 110  # of 255: how much of a dot's colour the line beside it hides

Frame = bytes | bytearray | memoryview | Image.Image


class _Piece(NamedTuple):
    """`size` columns of a row; `characters` they may be, None for blank ones."""

    size: int
    characters: str | None


class _Step(NamedTuple):
    """The last piece of a parse, what all of it costs, and what stands before."""

    cost: int
    piece: _Piece | None
    before: "_Step | None"


def font_folder() -> Path:
    """Where set-up unpacks the PCF files."""
    return Path(__file__).parents[2] / "build" / "fonts"


def frame_columns(frame: Frame) -> list[int]:
    """128 integers, one for each column, bit 0 on top. ValueError if the size is wrong."""
    if isinstance(frame, Image.Image):
        if frame.size != (WIDTH, HEIGHT):
            raise ValueError(f"a picture of {frame.size}, not {(WIDTH, HEIGHT)}")
        dots = frame.convert("L").tobytes()
        return [sum((dots[y * WIDTH + x] > 0) << y for y in range(HEIGHT)) for x in range(WIDTH)]
    frame = bytes(frame)
    if len(frame) != WIDTH * HEIGHT // 8:
        raise ValueError(f"a frame of {len(frame)} bytes, not {WIDTH * HEIGHT // 8}")
    return [int.from_bytes(frame[x::WIDTH], "little") for x in range(WIDTH)]


def render(text: str) -> list[int]:
    """The 12-dot columns of a text, cell beside cell, as the display shows it."""
    glyphs = source.load(font_folder())
    return [
        column
        for code_point in map(ord, text)
        for column in source.glyph_or_replacement(glyphs, code_point).columns
    ]


def read_rows(frame: Frame) -> list[str]:
    """The texts of the five rows, without blanks at their ends.

    Inverse rows and inverse cells read like others. Dots that are no character
    (a progress bar) read as `▒`, characters that the font lacks as U+FFFD.
    A gap reads as one space for each 6 dots, 12 dots between full-width
    characters as an ideographic space.
    """
    columns = frame_columns(frame)
    return [_read_row(_row_columns(columns, row)) for row in range(len(ROW_TOPS))]


def matches(frame: Frame, row: int, expected_text: str) -> bool:
    """Whether a row shows exactly this text and nothing else, dot by dot.

    It may start at any column, be inverse, or have inverse cells (a cursor);
    what is left of the row must be blank or solid.
    """
    columns = _row_columns(frame_columns(frame), row)
    text = expected_text.strip()
    if not text:
        return all(column in (_UNLIT, _LIT) for column in columns)
    return any(
        all(column in (_UNLIT, _LIT) for column in columns[:x] + columns[end:])
        for x, end in _occurrences(columns, text)
    )


def find(frame: Frame, expected_text: str) -> tuple[int, int] | None:
    """(row, column) where this text first stands, dot by dot, or None."""
    columns = frame_columns(frame)
    text = expected_text.strip()
    for row in range(len(ROW_TOPS)):
        for x, _ in _occurrences(_row_columns(columns, row), text):
            return row, x
    return None


def to_text(frame: Frame, style: str = "braille") -> str:
    """The picture for a terminal: 64x16 Braille characters, or 128x32 half blocks (`blocks`)."""
    columns = frame_columns(frame)
    if style == "blocks":
        lines = ["".join(" ▀▄█"[column >> y & 3] for column in columns) for y in range(0, HEIGHT, 2)]
    elif style == "braille":
        lines = [
            "".join(_braille(columns[x] >> y & 15, columns[x + 1] >> y & 15) for x in range(0, WIDTH, 2))
            for y in range(0, HEIGHT, 4)
        ]
    else:
        raise ValueError(f"style {style!r}")
    edge = "─" * len(lines[0])
    return "\n".join([f"┌{edge}┐", *(f"│{line}│" for line in lines), f"└{edge}┘"])


def to_image(frame: Frame, scale: int = 1, lcd_colours: bool = True) -> Image.Image:
    """The picture as an image, `scale` pixels a dot.

    In the colours of an LCD, with a margin and, from 4 pixels a dot on, the
    lines between the dots; or lit white on black, without either.
    """
    columns = frame_columns(frame)
    plain = Image.new("1", (WIDTH, HEIGHT))
    plain.putdata([255 * (columns[x] >> y & 1) for y in range(HEIGHT) for x in range(WIDTH)])
    plain = plain.resize((WIDTH * scale, HEIGHT * scale), Image.Resampling.NEAREST)
    if not lcd_colours:
        return plain
    dots = Image.new("RGB", plain.size, _LCD_UNLIT)
    dots.paste(_LCD_LIT, mask=plain)
    if scale >= 4:
        gaps = Image.new("L", dots.size)
        for x in range(scale - 1, dots.width, scale):
            gaps.paste(_LCD_GAP_COVERS, (x, 0, x + 1, dots.height))
        for y in range(scale - 1, dots.height, scale):
            gaps.paste(_LCD_GAP_COVERS, (0, y, dots.width, y + 1))
        dots.paste(_LCD_UNLIT, mask=gaps)
    margin = 4 * scale
    image = Image.new("RGB", (dots.width + 2 * margin, dots.height + 2 * margin), _LCD_UNLIT)
    image.paste(dots, (margin, margin))
    return image


def _row_columns(columns: list[int], row: int) -> list[int]:
    end = _SCROLLBAR_LEFT if row and _has_scrollbar(columns) else WIDTH
    return [column >> ROW_TOPS[row] & _LIT for column in columns[:end]]


def _has_scrollbar(columns: list[int]) -> bool:
    """Whether the last two columns hold one run of dots below the title, and nothing else.

    A run over just one row is the end of inverse text.
    """
    left, right = (column >> ROW_TOPS[1] << ROW_TOPS[1] for column in columns[_SCROLLBAR_LEFT:])
    one_run = left != 0 and (left + (left & -left)) & left == 0
    return left == right and one_run and left not in (_LIT << top for top in ROW_TOPS)


def _occurrences(columns: list[int], text: str) -> Iterator[tuple[int, int]]:
    """Yield (first column, column after) for each place where the text stands."""
    cells = [render(character) for character in text]
    size = sum(map(len, cells))
    for start in range(len(columns) - size + 1):
        x = start
        for cell in cells:
            shown = columns[x : x + len(cell)]
            if shown != cell and [column ^ _LIT for column in shown] != cell:
                break
            x += len(cell)
        else:
            yield start, start + size


@cache
def _characters_by_columns() -> dict[tuple[int, ...], str]:
    """The glyphs that have ink, normal and inverse, and who may be meant, likeliest first."""
    found: dict[tuple[int, ...], str] = {}
    glyphs = source.load(font_folder())
    for code_point in sorted(glyphs, key=_preference):
        columns = glyphs[code_point].columns
        if any(columns):
            found[columns] = found.get(columns, "") + chr(code_point)
    for replacement in (source.REPLACEMENT_FULL, source.REPLACEMENT_HALF):
        found.setdefault(replacement.columns, NOT_IN_FONT)
    inverse = {tuple(column ^ _LIT for column in key): value for key, value in found.items()}
    return {**inverse, **found}


def _preference(code_point: int) -> tuple[int, int]:
    try:
        encoded = chr(code_point).encode("euc_jp")
    except UnicodeEncodeError:
        return 1, code_point
    return 0, int.from_bytes(encoded, "big")


def _read_row(columns: list[int]) -> str:
    """The parse of least cost: few cells, hence wide ones, and no column left over.

    Cells stand on a grid of 6 dots wherever text runs on, which settles where
    a glyph of few dots begins; to leave the grid costs extra.
    """
    pieces: list[_Piece] = []
    step = _parse(columns)
    while step is not None:
        if step.piece is not None:
            pieces.append(step.piece)
        step = step.before
    return _join(reversed(pieces))


def _parse(columns: list[int]) -> _Step:
    known = _characters_by_columns()
    grid = range(source.HALF_WIDTH)
    # best[x][offset]: the least way to explain the columns before x, cells standing at x % 6 == offset.
    best: list[list[_Step]] = [[_Step(offset, None, None) for offset in grid]]
    for end in range(1, len(columns) + 1):
        column = columns[end - 1]
        blank = column in (_UNLIT, _LIT)
        single = _Piece(1, None if blank else UNKNOWN_DOTS)
        single_cost = _COST_BLANK_COLUMN if blank else _COST_UNKNOWN_COLUMN
        steps = [
            _Step(best[end - 1][offset].cost + single_cost, single, best[end - 1][offset]) for offset in grid
        ]
        offset = end % source.HALF_WIDTH
        for size in (source.HALF_WIDTH, source.FULL_WIDTH):
            cell = tuple(columns[max(0, end - size) : end])
            solid = cell in ((_UNLIT,) * size, (_LIT,) * size)
            if len(cell) == size and (solid or cell in known):
                before = best[end - size][offset]
                step = _Step(before.cost + _COST_CELL, _Piece(size, known.get(cell)), before)
                if step.cost <= steps[offset].cost:
                    steps[offset] = step
        least = min(steps, key=lambda step: step.cost)
        best.append(
            [
                step
                if step.cost <= least.cost + _COST_OFF_GRID
                else _Step(least.cost + _COST_OFF_GRID, None, least)
                for step in steps
            ]
        )
    return min(best[-1], key=lambda step: step.cost)


def _join(pieces: Iterable[_Piece]) -> str:
    text = ""
    gap = last_size = 0
    for size, characters in pieces:
        if characters is None:
            gap += size
            continue
        if text and gap:
            wide = gap == last_size == size == source.FULL_WIDTH
            text += "\N{IDEOGRAPHIC SPACE}" if wide else " " * (gap // source.HALF_WIDTH)
        if characters != UNKNOWN_DOTS or gap or not text.endswith(UNKNOWN_DOTS):
            text += _choose(characters, text)
        gap, last_size = 0, size
    return text


def _choose(characters: str, before: str) -> str:
    """Of characters that look alike, the one that goes with what stands before."""
    after_kana = before and re.match("(HALFWIDTH )?(HIRAGANA|KATAKANA)", unicodedata.name(before[-1], ""))
    long_vowels = [character for character in characters if character in "ーｰ"]
    others = [character for character in characters if character not in "ーｰ"]
    return (long_vowels + others if after_kana else others + long_vowels)[0]


def _braille(left: int, right: int) -> str:
    dots = left & 7 | (right & 7) << 3 | (left & 8) << 3 | (right & 8) << 4
    return chr(0x2800 + dots)
