"""The display's picture: 128x64 dots in memory, five rows of text, no hardware."""

import framebuf
from micropython import const

from firmware.panel.glyphs import HEIGHT as _CELL_HEIGHT
from firmware.panel.glyphs import code_points, width

WIDTH = const(128)
HEIGHT = const(64)
ROWS = const(5)
ROW_PITCH = const(13)  # 12 dots of text and one between rows
# Text of a row ends here; the scrollbar has the two columns after it. Holds 21
# half-width or 10 full-width characters.
ROW_WIDTH = const(126)

_BAR_WIDTH = const(2)
_BAR_TOP = const(13)
_BAR_HEIGHT = const(38)  # rows 1 to 3: below them the keys are named
_BAR_SHORTEST = const(5)
_TITLE_X = const(1)
_SPACE = const(0x20)
_WIDE_SPACE = const(0x3000)
_NEW_LINE = const(0x0A)
_ELLIPSIS = "…"
_ELLIPSIS_WIDTH = const(12)
# From here on (punctuation, kana, kanji) text may be broken between any two characters.
_FIRST_UNSPACED = const(0x2000)
# Line breaking rules of JIS X 4051: what may not begin and what may not end a row.
_NOT_FIRST = (
    "、。，．・：；？！゛゜´｀ヽヾゝゞ々ー’”）〕］｝〉》」』】‐…‥～〜％"
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ｡｣､･ｧｨｩｪｫｬｭｮｯｰﾞﾟ,.:;?!)]}%"
)
_NOT_LAST = "‘“（〔［｛〈《「『【｢([{"


def _is_space(code_point):
    return code_point == _SPACE or code_point == _WIDE_SPACE


def _may_break(text, before, at, after):
    """Whether a row may end within UTF-8 `text`, between what is from `before` to `at` and from there to `after`."""
    # Not by chr(): MicroPython keeps what that makes in RAM for ever.
    last, first = text[before:at].decode(), text[at:after].decode()
    if first in _NOT_FIRST or _is_space(ord(first)):
        return False
    if _is_space(ord(last)):
        return True
    if last in _NOT_LAST:
        return False
    return ord(last) >= _FIRST_UNSPACED or ord(first) >= _FIRST_UNSPACED


def _utf8_size(code_point):
    if code_point < 0x80:
        return 1
    if code_point < 0x800:
        return 2
    return 3 if code_point < 0x10000 else 4


class Canvas:
    """Draws with `glyphs`, an open GlyphFile; its FontError passes through.

    `buffer` is the picture in MONO_VLSB, 8 pages of 128 bytes, as the ST7567
    takes it. `row` is a row number 0..4, or the top of a row in dots from 5 on.
    `overflowed` becomes true when something did not fit and was not allowed to
    be cut, and stays so until `clear()`.
    """

    def __init__(self, glyphs):
        self._glyphs = glyphs
        self.buffer = bytearray(WIDTH * HEIGHT // 8)
        self.framebuffer = framebuf.FrameBuffer(self.buffer, WIDTH, HEIGHT, framebuf.MONO_VLSB)
        self.overflowed = False

    def clear(self):
        self.framebuffer.fill(0)
        self.overflowed = False

    def text(self, row, x, string, inverse=False):
        """Write on one row from column x; returns the column after the text.

        Whole cells are painted. What does not fit before the right edge is left
        out, and `overflowed` set.
        """
        y = self._top(row)
        color = 0 if inverse else 1
        if x < 0:
            self.overflowed = True
            return x
        for code_point in code_points(string.encode()):
            after = x + width(code_point)
            if after > WIDTH:
                self.overflowed = True
                break
            self._glyphs.draw(self.framebuffer, code_point, x, y, color)
            x = after
        return x

    def text_width(self, string):
        """Width in dots."""
        total = 0
        for code_point in code_points(string.encode()):
            total += width(code_point)
        return total

    def fit(self, string, width_px):
        """`string` if it is no wider than that, else its beginning and `…`.

        Being cut is what is asked for here: `overflowed` stays as it is.
        """
        if self.text_width(string) <= width_px:
            return string
        return self._cut(string, width_px)

    def wrap(self, string, width_px, max_rows=None):
        """Break `string` into a list of rows no wider than `width_px`.

        Rows end at spaces (which go) or between Japanese characters, by the
        rules for the beginning and the end of a row; inside a word only where
        nothing else is left. A line feed ends a row. If there are more than
        `max_rows`, the last one ends in `…` and `overflowed` is set.
        """
        text = string.encode()
        rows = []
        start = end = position = 0  # bytes: row's first, after its last non-space, present
        x = 0
        # Where the row could end: next row's start, this one's end, width so far.
        break_at = break_end = break_x = -1
        before = 0  # first byte of the last character
        for code_point in code_points(text):
            size = _utf8_size(code_point)
            if code_point == _NEW_LINE:
                rows.append(text[start:end].decode())
                start = end = position + size
                x = 0
                break_at = -1
            else:
                cell = width(code_point)
                if end > start and _may_break(text, before, position, position + size):
                    break_at, break_end, break_x = position, end, x
                # A space may hang over the edge: it is not drawn.
                while x + cell > width_px and not _is_space(code_point):
                    if break_at < 0:
                        if position == start:  # not even one character fits
                            self.overflowed = True
                            break
                        break_at, break_end, break_x = position, end, x
                    rows.append(text[start:break_end].decode())
                    start = break_at
                    x -= break_x
                    break_at = -1
                x += cell
                if not _is_space(code_point):
                    end = position + size
            before = position
            position += size
        rows.append(text[start:end].decode())
        if max_rows is not None and len(rows) > max_rows:
            self.overflowed = True
            last = self._cut(rows[max_rows - 1], width_px)
            del rows[max_rows - 1 :]
            rows.append(last)
        return rows

    def title(self, string):
        """The inverse bar on row 0."""
        self.framebuffer.fill_rect(0, 0, WIDTH, _CELL_HEIGHT, 1)
        self.text(0, _TITLE_X, self._within(string, ROW_WIDTH, False), True)

    def row(self, index, string, selected=False, marker="", cut=False):
        """One row of a list, inverse if `selected`, with `marker` at its right end.

        A string that does not fit beside the marker ends in `…`; that sets
        `overflowed` unless `cut` allows it.
        """
        self.framebuffer.fill_rect(0, self._top(index), ROW_WIDTH, _CELL_HEIGHT, 1 if selected else 0)
        room = ROW_WIDTH - self.text_width(marker)
        if room < 0:
            self.overflowed = True
            return
        self.text(index, 0, self._within(string, room, cut), selected)
        self.text(index, room, marker, selected)

    def progress(self, row, part, total):
        """A frame as wide as a row, filled by part / total."""
        y = self._top(row)
        self.framebuffer.fill_rect(0, y, ROW_WIDTH, _CELL_HEIGHT, 0)
        self.framebuffer.rect(0, y + 1, ROW_WIDTH, _CELL_HEIGHT - 2, 1)
        room = ROW_WIDTH - 4
        filled = room * min(max(part, 0), total) // total if total > 0 else 0
        self.framebuffer.fill_rect(2, y + 3, filled, _CELL_HEIGHT - 6, 1)

    def cursor(self, row, x, width_px=6):
        """Invert the cell at column x: its character, or a block where there is none."""
        y = self._top(row)
        if x < 0 or x + width_px > WIDTH:
            self.overflowed = True
            return
        # The cell's 12 lines lie in two or three pages of 8.
        lines = ((1 << _CELL_HEIGHT) - 1) << (y % 8)
        start = y // 8 * WIDTH + x
        while lines:
            for position in range(start, start + width_px):
                self.buffer[position] ^= lines & 0xFF
            lines >>= 8
            start += WIDTH

    def scrollbar(self, first, visible, total):
        """Where the shown part of a list lies, at the right edge of rows 1 to 3.

        Nothing if all of it is shown.
        """
        x = WIDTH - _BAR_WIDTH
        self.framebuffer.fill_rect(x, _BAR_TOP, _BAR_WIDTH, _BAR_HEIGHT, 0)
        if total <= visible:
            return
        size = max(_BAR_SHORTEST, _BAR_HEIGHT * visible // total)
        first = min(max(first, 0), total - visible)
        y = _BAR_TOP + (_BAR_HEIGHT - size) * first // (total - visible)
        self.framebuffer.fill_rect(x, y, _BAR_WIDTH, size, 1)

    def _top(self, row):
        y = ROW_PITCH * row if 0 <= row < ROWS else row
        if y < 0 or y + _CELL_HEIGHT > HEIGHT:
            self.overflowed = True
            y = HEIGHT - _CELL_HEIGHT
        return y

    def _within(self, string, width_px, cut):
        fitting = self.fit(string, width_px)
        if fitting != string and not cut:
            self.overflowed = True
        return fitting

    def _cut(self, string, width_px):
        """The longest beginning of `string` with `…` after it in `width_px`."""
        text = string.encode()
        room = width_px - _ELLIPSIS_WIDTH
        size = 0
        for code_point in code_points(text):
            room -= width(code_point)
            if room < 0:
                break
            size += _utf8_size(code_point)
        return text[:size].decode() + _ELLIPSIS
