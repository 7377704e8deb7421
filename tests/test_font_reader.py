"""The reader of pictures, on frames that the firmware's canvas drew."""

import json
import random
import subprocess

import pytest

from tools.font import reader, source
from tools.setup import BUILD, ROOT

_FONT_FILE = BUILD / "font" / "glyphs12.bin"
_MICROPYTHON = (BUILD / "bin" / "micropython", "-X", "heapsize=8M")
_FRAME_BYTES = 1024
# For each screen of a JSON list, a list of canvas calls [method, arguments...]: 1,024 bytes.
_DRAW = """
import json, sys
from firmware.panel.canvas import Canvas
from firmware.panel.glyphs import GlyphFile
canvas = Canvas(GlyphFile(sys.argv[1]).open())
with open(sys.argv[2]) as wanted, open(sys.argv[3], "wb") as drawn:
    for screen in json.load(wanted):
        canvas.clear()
        for call in screen:
            getattr(canvas, call[0])(*call[1:])
        drawn.write(canvas.buffer)
"""


@pytest.fixture(scope="module")
def draw(tmp_path_factory):
    """Callable (screens): the frames that the firmware draws for them."""

    def run(screens):
        folder = tmp_path_factory.mktemp("frames")
        (folder / "wanted.json").write_text(json.dumps(screens))
        subprocess.run(
            [*_MICROPYTHON, "-c", _DRAW, _FONT_FILE, folder / "wanted.json", folder / "drawn"],
            cwd=ROOT,
            env={"MICROPYPATH": f"{ROOT}:.frozen"},
            check=True,
            timeout=60,
        )
        drawn = (folder / "drawn").read_bytes()
        assert len(drawn) == _FRAME_BYTES * len(screens)
        return [drawn[start : start + _FRAME_BYTES] for start in range(0, len(drawn), _FRAME_BYTES)]

    return run


@pytest.fixture(scope="module")
def story(draw):
    """One frame with everything on it."""
    (frame,) = draw(
        [
            [
                ["title", "設定 Settings"],
                ["row", 1, "東京都千代田区丸の内", False, ">"],
                ["row", 2, "ｱﾊﾟｰﾄ髙橋〜−ー", True],
                ["progress", 3, 3, 10],
                ["text", 4, 0, "1234"],
                ["cursor", 4, 24],
                ["scrollbar", 1, 4, 9],
            ]
        ]
    )
    return frame


def _random_rows(generator, characters):
    """Five strings, each as long as a row allows."""
    rows = []
    for _ in range(5):
        row, left = "", generator.randrange(12, 127)
        while True:
            character = generator.choice(characters)
            left -= source.width_of(ord(character))
            if left < 0:
                break
            row += character
        rows.append(row)
    return rows


def _ink(text):
    """A text's columns without the blank ones at its ends: where it begins is not seen."""
    columns = reader.render(text)
    while columns and not columns[-1]:
        columns.pop()
    while columns and not columns[0]:
        columns.pop(0)
    return columns


def test_a_screen_reads_back(story):
    assert reader.read_rows(story) == ["設定 Settings", "東京都千代田区丸の内>", "ｱﾊﾟｰﾄ�橋〜−−", "▒", "1234"]


def test_every_character_reads_back_as_one_that_looks_the_same(draw):
    glyphs = source.load(reader.font_folder())
    characters = [chr(code_point) for code_point in sorted(glyphs) if any(glyphs[code_point].columns)]
    screens = [characters[start : start + 50] for start in range(0, len(characters), 50)]
    frames = draw(
        [[["text", place // 10, 12 * (place % 10), character] for place, character in enumerate(screen)]
         for screen in screens]
    )  # fmt: skip
    for screen, frame in zip(screens, frames, strict=True):
        for row, text in enumerate(reader.read_rows(frame)):
            expected = screen[10 * row : 10 * row + 10]
            found = [character for character in text if character not in " \u3000"]
            assert len(found) == len(expected)
            for character, meant in zip(found, expected, strict=True):
                assert glyphs[ord(character)] == glyphs[ord(meant)], (character, meant)


@pytest.mark.parametrize("seed", range(4))
def test_random_rows_read_back_dot_for_dot(draw, seed):
    generator = random.Random(seed)
    everything = [chr(code_point) for code_point in sorted(source.load(reader.font_folder()))]
    common = [chr(code) for code in (*range(0x20, 0x7F), *range(0x3041, 0x3094), *range(0x30A1, 0x30FD))]
    alphabets = [everything, common, "一ー―-−－ニ二ロ口カ力ﾆﾛｶﾞﾟ 　|lI1", "0123456789", "　 ■□口・.,'`"]
    screens, rows_of_screens = [], []
    for number in range(100):
        has_scrollbar = number % 2 == 1
        rows = _random_rows(generator, alphabets[number % len(alphabets)])
        screen = []
        for row, text in enumerate(rows):
            size = len(reader.render(text))
            x = generator.randrange(126 - size + 1 if has_scrollbar else 128 - size + 1)
            x = generator.choice((0, x))
            inverse = generator.random() < 0.3
            screen += [["row", row, "", inverse], ["text", row, x, text, inverse]]
        screen += [["scrollbar", number % 6, 4, 11]] * has_scrollbar
        screens.append(screen)
        rows_of_screens.append(rows)
    for rows, frame in zip(rows_of_screens, draw(screens), strict=True):
        for row, (found, meant) in enumerate(zip(reader.read_rows(frame), rows, strict=True)):
            meant = meant.strip()
            assert _ink(found) == _ink(meant), (found, meant)
            assert reader.matches(frame, row, meant)
            if meant:
                assert reader.find(frame, meant) is not None
                place = generator.randrange(len(meant))
                other = generator.choice(everything)
                wrong = meant[:place] + other + meant[place + 1 :]
                assert reader.matches(frame, row, wrong) == (_ink(wrong.strip()) == _ink(meant))


def test_matches_is_exact(story):
    assert reader.matches(story, 0, "設定 Settings")
    assert reader.matches(story, 1, "東京都千代田区丸の内>")
    assert reader.matches(story, 2, "ｱﾊﾟｰﾄ髙橋〜−ー")
    assert reader.matches(story, 4, "1234")
    for row, text in (
        (0, "設定 Setting"),
        (0, "定 Settings"),
        (1, "東京都千代田区丸の内"),
        (1, "東京都千代田区丸の内 >"),
        (1, "東京都千代囗区丸の内>"),
        (2, "ｱﾊﾟｰﾄ高橋〜−ー"),
        (3, ""),
        (4, "12345"),
        (4, "123"),
        (4, ""),
    ):
        assert not reader.matches(story, row, text), (row, text)


def test_one_wrong_dot_in_a_row_is_no_match(story):
    generator = random.Random(1)
    for row, text in ((0, "設定 Settings"), (1, "東京都千代田区丸の内>"), (4, "1234")):
        for _ in range(50):
            x, y = generator.randrange(126), reader.ROW_TOPS[row] + generator.randrange(12)
            damaged = bytearray(story)
            damaged[y // 8 * 128 + x] ^= 1 << y % 8
            assert not reader.matches(damaged, row, text), (row, x, y)


def test_a_blank_row_matches_nothing_but_blank(draw):
    (frame,) = draw([[["scrollbar", 0, 4, 9], ["row", 2, "", True]]])
    assert reader.read_rows(frame) == [""] * 5
    assert reader.matches(frame, 1, "") and reader.matches(frame, 2, "")
    assert not reader.matches(frame, 1, "a")


def test_find_names_row_and_column(story):
    assert reader.find(story, "千代田") == (1, 36)
    assert reader.find(story, "Settings") == (0, 31)
    assert reader.find(story, "34") == (4, 12)
    assert reader.find(story, "千代口") is None
    assert reader.find(story, "Setings") is None


def test_a_cursor_on_a_character_does_not_hide_it(draw):
    frames = draw(
        [[["text", 2, 0, "漢字12"], ["cursor", 2, x, width]] for x, width in ((0, 12), (24, 6), (36, 6))]
    )
    for frame in frames:
        assert reader.read_rows(frame)[2] == "漢字12"
        assert reader.matches(frame, 2, "漢字12")


def test_text_with_a_gap_reads_with_the_gaps_spaces(draw):
    (frame,) = draw([[["row", 1, "言語", False, "日本語"], ["row", 2, "東京都　千代田"], ["row", 3, "a　b"]]])
    assert reader.read_rows(frame)[1:4] == ["言語" + " " * 11 + "日本語", "東京都　千代田", "a  b"]


def test_terminal_pictures_hold_every_dot(story):
    columns = reader.frame_columns(story)
    blocks = [line[1:-1] for line in reader.to_text(story, "blocks").splitlines()[1:-1]]
    assert [len(line) for line in blocks] == [128] * 32
    assert all(
        " ▀▄█".index(blocks[y // 2][x]) >> y % 2 & 1 == columns[x] >> y & 1
        for x in range(128)
        for y in range(64)
    )
    braille = [line[1:-1] for line in reader.to_text(story).splitlines()[1:-1]]
    assert [len(line) for line in braille] == [64] * 16
    bits = ((0, 1, 2, 6), (3, 4, 5, 7))
    assert all(
        ord(braille[y // 4][x // 2]) - 0x2800 >> bits[x % 2][y % 4] & 1 == columns[x] >> y & 1
        for x in range(128)
        for y in range(64)
    )


def test_images_hold_every_dot(story):
    plain = reader.to_image(story, 1, lcd_colours=False)
    assert plain.size == (128, 64) and reader.frame_columns(plain) == reader.frame_columns(story)
    for scale in (1, 3, 5):
        image = reader.to_image(story, scale)
        assert image.size == (136 * scale, 72 * scale)
        columns = reader.frame_columns(story)
        colours = {0: set(), 1: set()}
        for x in range(128):
            for y in range(64):
                colours[columns[x] >> y & 1].add(image.getpixel(((x + 4) * scale, (y + 4) * scale)))
        assert len(colours[0]) == len(colours[1]) == 1 and sum(colours[0].pop()) > sum(colours[1].pop())


def test_frames_of_another_size_are_refused(story):
    with pytest.raises(ValueError, match="1023"):
        reader.read_rows(story[:-1])
    with pytest.raises(ValueError, match="136"):
        reader.read_rows(reader.to_image(story))
