"""`python -m tools.font FOLDER OUTPUT`: convert the PCF files below FOLDER to OUTPUT.

OUTPUT is left alone if it already holds those bytes. Format: docs/font.md.
"""

import argparse
import os
import struct
import sys
import zlib
from pathlib import Path

from tools.font import source

MAGIC = b"IKGL"
VERSION = 1
BLOCK_CODE_POINTS = 64
RECORD_SIZE = 24
_FILLER = 0xFFFF


def encode_glyph(glyph: source.Glyph) -> bytes:
    """A glyph record: a 12x12 cell in MONO_VLSB, half-width glyphs at the left."""
    columns = [*glyph.columns, *[0] * (source.FULL_WIDTH - glyph.width)]
    return bytes(column & 0xFF for column in columns) + bytes(column >> 8 for column in columns)


def encode(glyphs: dict[int, source.Glyph]) -> bytes:
    """The whole file."""
    code_points = sorted(glyphs)
    blocks = -(-len(code_points) // BLOCK_CODE_POINTS)
    padded = code_points + [_FILLER] * (blocks * BLOCK_CODE_POINTS - len(code_points))
    records = [glyphs[code_point] for code_point in code_points]
    records += [source.REPLACEMENT_FULL, source.REPLACEMENT_HALF]
    body = (
        struct.pack(f"<{blocks}H", *padded[::BLOCK_CODE_POINTS])
        + struct.pack(f"<{len(padded)}H", *padded)
        + b"".join(map(encode_glyph, records))
    )
    header = MAGIC + struct.pack(
        "<BBBBHBBI",
        VERSION,
        source.HEIGHT,
        source.HALF_WIDTH,
        source.FULL_WIDTH,
        len(code_points),
        BLOCK_CODE_POINTS,
        RECORD_SIZE,
        20 + len(body),
    )
    return header + struct.pack("<I", zlib.crc32(body, zlib.crc32(header))) + body


def write_if_different(path: Path, content: bytes) -> bool:
    """Write in one step; True if anything had to be written."""
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)
    return True


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.font", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the package was unpacked")
    parser.add_argument("output", type=Path, help="the font file to write")
    options = parser.parse_args(arguments)
    try:
        glyphs = source.load(options.folder)
    except source.SourceError as error:
        print(f"tools.font: {error}", file=sys.stderr)
        return 1
    content = encode(glyphs)
    written = write_if_different(options.output, content)
    state = "written" if written else "up to date"
    print(f"{options.output}: {len(glyphs):,} code points, {len(content):,} bytes, {state}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
