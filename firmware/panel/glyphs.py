"""Glyphs of the 12-dot font, read straight from its file (docs/font.md)."""

from binascii import crc32

import framebuf
from micropython import const

from firmware.errors import InkanError

HEIGHT = const(12)
HALF_WIDTH = const(6)
FULL_WIDTH = const(12)

_VERSION = const(1)
_HEADER_SIZE = const(20)
_CHECKED_SIZE = const(16)
_BLOCK_CODE_POINTS = const(64)
_BLOCK_SIZE = const(128)
_RECORD_SIZE = const(24)
_CHUNK_SIZE = const(1024)
# Half of the glyphs that a screen can hold if no two are alike. A screen of the
# firmware's own texts is redrawn from these without reading.
_SLOTS = const(32)


class FontError(InkanError):
    """The font file is missing, damaged or not one that this firmware reads."""

    code = "font"


def code_points(text):
    """Yield the code points of UTF-8 `text` (bytes).

    Indexing or iterating a str would allocate a str for each character.
    """
    position = 0
    size = len(text)
    while position < size:
        lead = text[position]
        if lead < 0x80:
            value, more = lead, 0
        elif lead < 0xE0:
            value, more = lead & 0x1F, 1
        elif lead < 0xF0:
            value, more = lead & 0x0F, 2
        else:
            value, more = lead & 0x07, 3
        position += 1
        while more and position < size:
            value = value << 6 | text[position] & 0x3F
            position += 1
            more -= 1
        yield value


def width(code_point):
    """Width of a character in dots, 6 or 12. A rule of the format: no file is read."""
    if code_point < 0x100 or 0xFF61 <= code_point <= 0xFF9F:
        return HALF_WIDTH
    return FULL_WIDTH


def _u16(buffer, index):
    return buffer[2 * index] | buffer[2 * index + 1] << 8


def _u32(buffer, offset):
    return _u16(buffer, offset // 2) | _u16(buffer, offset // 2 + 1) << 16


class GlyphFile:
    """The font file. `source` is its path, or a binary file open for reading.

    Nothing is read before `open()`. `reads` counts reads of the file after it.
    """

    def __init__(self, source):
        self._source = source
        self._file = None
        self._count = 0
        self._sparse = None  # first code point of each index block, 16 bits each
        self._block = bytearray(_BLOCK_SIZE)  # index block number `_block_number`
        self._block_number = -1
        # A ring: column i of the strip shows code point _shown[i], _next is overwritten next.
        self._strip = None
        self._shown = [-1] * _SLOTS
        self._next = 0
        self._bits = self._cell = None  # the glyph in hand
        self._swapped = None  # palette that shows lit dots as unlit ones
        self.reads = 0

    def open(self):
        """Check the whole file and make ready to draw. Returns self; FontError."""
        source = self._source
        try:
            self._file = source if hasattr(source, "readinto") else open(source, "rb")
            self._check()
        except OSError:
            self.close()
            raise FontError("cannot be read")
        except FontError:
            self.close()
            raise
        if self._strip is None:
            strip = bytearray(_RECORD_SIZE * _SLOTS)
            self._strip = framebuf.FrameBuffer(strip, FULL_WIDTH * _SLOTS, HEIGHT, framebuf.MONO_VLSB)
            self._bits = bytearray(_RECORD_SIZE)
            self._cell = framebuf.FrameBuffer(self._bits, FULL_WIDTH, HEIGHT, framebuf.MONO_VLSB)
            self._swapped = framebuf.FrameBuffer(bytearray(b"\x01\x00"), 2, 1, framebuf.MONO_VLSB)
        self._block_number = -1
        self.reads = 0
        return self

    def close(self):
        """Forget the file, and close it if `open` opened it."""
        if self._file is not None and self._file is not self._source:
            self._file.close()
        self._file = None
        for slot in range(_SLOTS):
            self._shown[slot] = -1

    def width(self, code_point):
        return width(code_point)

    def draw(self, framebuffer, code_point, x, y, color):
        """Paint the character's whole cell, 6 or 12 by 12 dots from (x, y).

        `color` 1 is lit on unlit, 0 is unlit on lit. A character that the font
        lacks shows as a box. FontError if the file cannot be read.
        """
        if code_point in self._shown:
            self._cell.blit(self._strip, -FULL_WIDTH * self._shown.index(code_point), 0)
        else:
            self._load(code_point)
        # In a half-width cell the right half is unlit, and unlit dots are not drawn.
        if color:
            framebuffer.fill_rect(x, y, width(code_point), HEIGHT, 0)
            framebuffer.blit(self._cell, x, y, 0)
        else:
            framebuffer.fill_rect(x, y, width(code_point), HEIGHT, 1)
            framebuffer.blit(self._cell, x, y, 1, self._swapped)

    def _check(self):
        file = self._file
        header = bytearray(_HEADER_SIZE)
        file.seek(0)
        if file.readinto(header) != _HEADER_SIZE or header[:4] != b"IKGL":
            raise FontError("not a font file")
        if header[4] != _VERSION:
            raise FontError("version")
        count = _u16(header, 4)
        blocks = (count + _BLOCK_CODE_POINTS - 1) // _BLOCK_CODE_POINTS
        size = _HEADER_SIZE + (2 + _BLOCK_SIZE) * blocks + _RECORD_SIZE * (count + 2)
        if (
            header[5] != HEIGHT
            or header[6] != HALF_WIDTH
            or header[7] != FULL_WIDTH
            or header[10] != _BLOCK_CODE_POINTS
            or header[11] != _RECORD_SIZE
            or count == 0
            or _u32(header, 12) != size
            or file.seek(0, 2) != size
        ):
            raise FontError("size")
        file.seek(_HEADER_SIZE)
        self._sparse = bytearray(2 * blocks)
        file.readinto(self._sparse)
        check = crc32(self._sparse, crc32(header[:_CHECKED_SIZE]))
        left = size - _HEADER_SIZE - len(self._sparse)
        chunk = memoryview(bytearray(_CHUNK_SIZE))
        while left:
            got = file.readinto(chunk if left >= _CHUNK_SIZE else chunk[:left])
            if not got:
                raise FontError("size")
            check = crc32(chunk[:got], check)
            left -= got
        if check != _u32(header, 16):
            raise FontError("checksum")
        self._count = count

    def _load(self, code_point):
        """Take in hand a character that is not in the ring; there it takes the oldest one's place."""
        slot = self._next
        record = self._record(code_point)
        blocks = len(self._sparse) // 2
        self._read(_HEADER_SIZE + (2 + _BLOCK_SIZE) * blocks + _RECORD_SIZE * record, self._bits)
        self._strip.blit(self._cell, FULL_WIDTH * slot, 0)
        self._shown[slot] = code_point
        self._next = (slot + 1) % _SLOTS

    def _record(self, code_point):
        """Number of the character's glyph record, or of its replacement's."""
        missing = self._count + (width(code_point) == HALF_WIDTH)
        # The index is filled up with FFFF, which is no character.
        if code_point >= 0xFFFF:
            return missing
        number = _rank(self._sparse, len(self._sparse) // 2, code_point)
        if number < 0:
            return missing
        if number != self._block_number:
            self._block_number = -1
            offset = _HEADER_SIZE + len(self._sparse) + _BLOCK_SIZE * number
            self._read(offset, self._block)
            self._block_number = number
        within = _rank(self._block, _BLOCK_CODE_POINTS, code_point)
        if _u16(self._block, within) != code_point:
            return missing
        return _BLOCK_CODE_POINTS * number + within

    def _read(self, offset, buffer):
        if self._file is None:
            raise FontError("not open")
        try:
            self._file.seek(offset)
            got = self._file.readinto(buffer)
        except OSError:
            raise FontError("cannot be read")
        self.reads += 1
        if got != len(buffer):
            raise FontError("size")


def _rank(table, length, value):
    """Last index of ascending 16-bit `table` whose entry is not above `value`, or -1."""
    low, high = 0, length
    while low < high:
        middle = (low + high) // 2
        if _u16(table, middle) <= value:
            low = middle + 1
        else:
            high = middle
    return low - 1
