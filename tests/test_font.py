"""The converted font: every glyph, on the module's own interpreter, is the source's glyph."""

import json
import subprocess
import unicodedata
import zlib
from functools import cache

import freetype
import pytest

from tools.font import reader, source
from tools.font.__main__ import encode, main
from tools.setup import BUILD, ROOT

_FONT_FILE = BUILD / "font" / "glyphs12.bin"
_MICROPYTHON = (BUILD / "bin" / "micropython", "-X", "heapsize=8M")
# For each code point of a JSON list: its width, then its 24 bytes as drawn.
_DRAW = """
import framebuf, json, sys
from firmware.panel.glyphs import GlyphFile
glyphs = GlyphFile(sys.argv[1]).open()
bits = bytearray(24)
picture = framebuf.FrameBuffer(bits, 12, 12, framebuf.MONO_VLSB)
with open(sys.argv[2]) as wanted, open(sys.argv[3], "wb") as drawn:
    for code_point in json.load(wanted):
        picture.fill(0)
        glyphs.draw(picture, code_point, 0, 0, 1)
        drawn.write(bytes((glyphs.width(code_point),)))
        drawn.write(bits)
"""


@pytest.fixture(scope="module")
def glyphs():
    return source.load(reader.font_folder())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Every code point of the Basic Multilingual Plane as the firmware draws it: 12 column integers."""
    folder = tmp_path_factory.mktemp("drawn")
    (folder / "wanted.json").write_text(json.dumps(list(range(0x10000))))
    subprocess.run(
        [*_MICROPYTHON, "-c", _DRAW, _FONT_FILE, folder / "wanted.json", folder / "drawn"],
        cwd=ROOT,
        env={"MICROPYPATH": f"{ROOT}:.frozen"},
        check=True,
        timeout=60,
    )
    output = (folder / "drawn").read_bytes()
    assert len(output) == 0x10000 * 25
    cells = {}
    for code_point in range(0x10000):
        record = output[25 * code_point : 25 * code_point + 25]
        cells[code_point] = record[0], tuple(record[1 + x] | record[13 + x] << 8 for x in range(12))
    return cells


@cache
def _face(path):
    face = freetype.Face(str(path))
    face.set_charmap(face.charmaps[0])
    return face


def _rendered(path, code):
    """A glyph straight from FreeType, by its own way: drawn in grey, taken apart row by row."""
    face = _face(path)
    face.load_char(code, freetype.FT_LOAD_RENDER)
    bitmap = face.glyph.bitmap
    assert face.get_char_index(code)
    columns = [0] * 12
    for y in range(bitmap.rows):
        row = bitmap.buffer[y * bitmap.pitch : (y + 1) * bitmap.pitch]
        if bitmap.pixel_mode == freetype.FT_PIXEL_MODE_MONO:
            bits = "".join(f"{byte:08b}" for byte in row)
        else:
            bits = "".join("1" if level else "0" for level in row)
        for x in range(bitmap.width):
            columns[x] |= int(bits[x]) << y
    return tuple(columns)


def test_r17_every_character_of_jis_x_0208_is_drawn_as_in_the_source(drawn):
    path = source.find_file(reader.font_folder(), source.KANJI_FILE)
    count = 0
    for row in range(1, 95):
        for cell in range(1, 95):
            code = (0x20 + row) << 8 | (0x20 + cell)
            try:
                character = bytes(((code >> 8) | 0x80, code & 0xFF | 0x80)).decode("euc_jp")
            except UnicodeDecodeError:
                continue
            if ord(character) >= 0x100:
                assert drawn[ord(character)] == (12, _rendered(path, code)), character
            count += 1
    assert count == 6879


@pytest.mark.parametrize(
    ("name", "offset", "codes"),
    [
        (source.LATIN_FILE, 0, [*range(0x20, 0x7F), *range(0xA0, 0x100)]),
        (source.KATAKANA_FILE, 0xFF61 - 0xA1, [*range(0xA1, 0xE0)]),
    ],
)
def test_r17_every_half_width_character_is_drawn_as_in_the_source(drawn, name, offset, codes):
    path = source.find_file(reader.font_folder(), name)
    for code in codes:
        assert drawn[code + offset] == (6, _rendered(path, code)), hex(code)


def test_every_other_code_point_is_drawn_as_a_replacement(drawn, glyphs):
    boxes = {
        12: source.REPLACEMENT_FULL.columns,
        6: source.REPLACEMENT_HALF.columns + (0,) * 6,
    }
    missing = [code_point for code_point in drawn if code_point not in glyphs]
    assert len(missing) == 0x10000 - len(glyphs)
    for code_point in missing:
        width, columns = drawn[code_point]
        assert columns == boxes[width], hex(code_point)
    # No character looks like one.
    assert not {glyph.columns for glyph in glyphs.values()} & set(boxes.values())
    assert source.REPLACEMENT_HALF not in glyphs.values()


@pytest.mark.parametrize(
    "alike",
    ["〜～", "‖∥", "−－", "―—", "‐‑‒–", "￣‾"],
)
def test_r17_code_points_for_one_jis_character_look_the_same(drawn, glyphs, alike):
    assert len({drawn[ord(character)] for character in alike}) == 1
    assert all(ord(character) in glyphs for character in alike)


def test_full_width_forms_are_all_there(drawn, glyphs):
    for code_point in [*range(0xFF01, 0xFF5F), 0xFFE0, 0xFFE1, 0xFFE2, 0xFFE3, 0xFFE4, 0xFFE5]:
        assert code_point in glyphs and any(drawn[code_point][1]), chr(code_point)
    for form in "＂＇￤":
        half = glyphs[ord(unicodedata.normalize("NFKC", form))]
        assert drawn[ord(form)][1] == (0, 0, 0, *half.columns, 0, 0, 0)


def test_every_kana_and_every_name_in_the_repertoire(glyphs):
    for code_point in [*range(0x3041, 0x3094), *range(0x30A1, 0x30F7), *range(0xFF61, 0xFFA0)]:
        assert code_point in glyphs, chr(code_point)
    for character in "々〆〇ヶ「」、。・ー…→←↑↓○●◎■□▲▼★※〒℃£¥":
        assert ord(character) in glyphs, character


def test_the_file_says_its_own_size_and_checksum(glyphs):
    content = _FONT_FILE.read_bytes()
    assert content == encode(glyphs)
    blocks = -(-len(glyphs) // 64)
    assert (
        int.from_bytes(content[12:16], "little") == len(content) == 20 + 130 * blocks + 24 * (len(glyphs) + 2)
    )
    assert int.from_bytes(content[16:20], "little") == zlib.crc32(content[:16] + content[20:])
    print(f"{len(glyphs):,} code points, {len(content):,} bytes")
    assert len(content) < 190_000


def test_converting_again_leaves_the_file_alone(tmp_path, capsys):
    path = tmp_path / "new" / "glyphs12.bin"
    arguments = [str(reader.font_folder()), str(path)]
    assert main(arguments) == 0
    before = path.stat()
    assert path.read_bytes() == _FONT_FILE.read_bytes()
    assert main(arguments) == 0
    assert path.stat().st_mtime_ns == before.st_mtime_ns and path.stat().st_ino == before.st_ino
    assert "up to date" in capsys.readouterr().out
    path.write_bytes(b"damaged")
    assert main(arguments) == 0
    assert path.read_bytes() == _FONT_FILE.read_bytes()
    assert [entry.name for entry in path.parent.iterdir()] == ["glyphs12.bin"]


def test_a_missing_source_is_named(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert source.KANJI_FILE in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_source_of_another_kind_is_named(tmp_path, capsys):
    (tmp_path / source.KANJI_FILE).write_bytes(b"not a font")
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert source.KANJI_FILE in capsys.readouterr().err
