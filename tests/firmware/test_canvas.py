"""The display's picture: what is drawn where, wrapping, and what counts as cut off.

That the dots are the right characters is judged in tests/test_font_reader.py.
"""

import gc

from firmware.panel.canvas import _NOT_FIRST, _NOT_LAST, HEIGHT, ROW_WIDTH, WIDTH, Canvas
from firmware.panel.glyphs import GlyphFile

INTERPRETERS = ("micropython",)  # framebuf is MicroPython's own

_TOPS = (0, 13, 26, 39, 52)


def _canvas():
    return Canvas(GlyphFile("build/font/glyphs12.bin").open())


def _pixel(canvas, x, y):
    return canvas.buffer[y // 8 * WIDTH + x] >> (y % 8) & 1


def _box(canvas):
    """(left, top, right, bottom) of what is lit, the last two inclusive."""
    left, top, right, bottom = WIDTH, HEIGHT, -1, -1
    for x in range(WIDTH):
        for y in range(HEIGHT):
            if _pixel(canvas, x, y):
                left, top = min(left, x), min(top, y)
                right, bottom = max(right, x), max(bottom, y)
    return None if right < 0 else (left, top, right, bottom)


def test_rows_fill_the_display_with_a_dot_between():
    canvas = _canvas()
    for row, top in enumerate(_TOPS):
        canvas.clear()
        canvas.text(row, 0, " ", True)
        assert _box(canvas) == (0, top, 5, top + 11)
    canvas.clear()
    canvas.text(30, 7, "　", True)  # from 5 on a row is a top in dots
    assert _box(canvas) == (7, 30, 18, 41)
    assert not canvas.overflowed


def test_text_returns_the_column_after_it():
    canvas = _canvas()
    assert canvas.text(0, 3, "aｱ漢") == 3 + 6 + 6 + 12
    assert canvas.text_width("aｱ漢…") == 36
    assert canvas.text(1, 8, "") == 8


def test_text_to_the_edge_is_whole_and_past_it_overflows():
    canvas = _canvas()
    assert canvas.text(0, 0, "漢" * 10 + "a") == 126
    assert not canvas.overflowed
    assert canvas.text(1, 2, "a" * 21) == 128
    assert not canvas.overflowed
    assert canvas.text(2, 0, "a" * 22) == 126
    assert canvas.overflowed
    canvas.clear()
    assert not canvas.overflowed and _box(canvas) is None


def test_drawing_outside_the_display_overflows_and_hurts_nothing():
    for draw in (
        lambda canvas: canvas.text(53, 0, "a"),
        lambda canvas: canvas.text(-1, 0, "a"),
        lambda canvas: canvas.text(0, -1, "a"),
        lambda canvas: canvas.text(0, 200, "a"),
        lambda canvas: canvas.row(64, "a"),
        lambda canvas: canvas.row(1, "a", marker="漢" * 11),
        lambda canvas: canvas.cursor(4, 123),
        lambda canvas: canvas.cursor(0, -1),
        lambda canvas: canvas.cursor(60, 0),
        lambda canvas: canvas.progress(55, 1, 2),
    ):
        canvas = _canvas()
        draw(canvas)
        assert canvas.overflowed
        assert len(canvas.buffer) == 1024


def test_what_was_cut_without_leave_overflows():
    long = "東京都千代田区丸の内一丁目"
    for draw, expected in (
        (lambda canvas: canvas.title(long), True),
        (lambda canvas: canvas.title(long[:10]), False),
        (lambda canvas: canvas.row(1, long), True),
        (lambda canvas: canvas.row(1, long, cut=True), False),
        (lambda canvas: canvas.row(1, long[:10]), False),
        (lambda canvas: canvas.row(1, long[:10], marker=">"), False),
        (lambda canvas: canvas.row(1, long[:10], marker="→"), True),
        (lambda canvas: canvas.fit(long, 60), False),
        (lambda canvas: canvas.wrap(long, 60), False),
        (lambda canvas: canvas.wrap(long, 60, 3), False),
        (lambda canvas: canvas.wrap(long, 60, 2), True),
    ):
        canvas = _canvas()
        draw(canvas)
        assert canvas.overflowed is expected


def test_title_is_an_inverse_bar():
    canvas = _canvas()
    canvas.title("")
    assert _box(canvas) == (0, 0, 127, 11)
    assert all(_pixel(canvas, x, y) for x in range(WIDTH) for y in range(12))


def test_a_row_replaces_what_was_there_and_leaves_the_scrollbar():
    canvas = _canvas()
    canvas.row(2, "■■■■", selected=True, marker="→")
    canvas.scrollbar(0, 1, 1000)
    bar = [(x, y) for x in (126, 127) for y in range(HEIGHT) if _pixel(canvas, x, y)]
    canvas.row(2, "")
    left = [(x, y) for x in range(WIDTH) for y in range(HEIGHT) if _pixel(canvas, x, y)]
    assert bar == left and bar
    canvas.row(1, "", selected=True)
    assert all(_pixel(canvas, x, y) for x in range(ROW_WIDTH) for y in range(13, 25))


def test_cursor_inverts_its_cell_and_again_restores_it():
    for row, top in enumerate(_TOPS):
        canvas = _canvas()
        canvas.text(row, 0, "漢字8")
        before = bytes(canvas.buffer)
        canvas.cursor(row, 12, 12)
        for x in range(WIDTH):
            for y in range(HEIGHT):
                was = before[y // 8 * WIDTH + x] >> (y % 8) & 1
                inside = 12 <= x < 24 and top <= y < top + 12
                assert _pixel(canvas, x, y) == (1 - was if inside else was)
        canvas.cursor(row, 12, 12)
        assert canvas.buffer == before and not canvas.overflowed


def test_scrollbar_moves_from_below_the_title_to_above_the_hint():
    canvas = _canvas()
    canvas.scrollbar(0, 4, 4)
    assert _box(canvas) is None
    canvas.scrollbar(0, 4, 9)
    assert _box(canvas)[:3] == (126, 13, 127)
    tops = []
    for first in range(6):
        canvas.scrollbar(first, 4, 9)
        tops.append(_box(canvas)[1])
    assert tops == sorted(tops) and len(set(tops)) == 6
    assert _box(canvas)[3] == 50
    canvas.scrollbar(99999, 4, 100000)
    left, top, right, bottom = _box(canvas)
    assert bottom == 50 and bottom - top >= 4 and not canvas.overflowed


def test_progress_grows_and_stays_in_its_frame():
    canvas = _canvas()
    lit = []
    for part in (-1, 0, 1, 5, 10, 11):
        canvas.progress(3, part, 10)
        lit.append(sum(_pixel(canvas, x, y) for x in range(WIDTH) for y in range(HEIGHT)))
        left, top, right, bottom = _box(canvas)
        assert (left, right) == (0, 125) and top >= 39 and bottom <= 50
    assert lit[0] == lit[1] < lit[2] < lit[3] < lit[4] == lit[5]
    canvas.progress(3, 0, 0)
    assert not canvas.overflowed


def test_fit_cuts_with_an_ellipsis_only_where_it_must():
    canvas = _canvas()
    assert canvas.fit("abcd", 24) == "abcd"
    assert canvas.fit("abcde", 24) == "ab…"
    assert canvas.fit("漢字漢字", 47) == "漢字…"
    assert canvas.fit("漢a字漢字", 47) == "漢a字…"
    assert canvas.fit("", 0) == ""


def test_wrap_breaks_latin_at_spaces():
    canvas = _canvas()
    assert canvas.wrap("Show, change or delete a field", 126) == ["Show, change or", "delete a field"]
    assert canvas.wrap("abc   def\n ghi", 24) == ["abc", "def", " ghi"]
    assert canvas.wrap("aaa bbb ccc", 42) == ["aaa bbb", "ccc"]
    assert canvas.wrap("a\n\nb", 126) == ["a", "", "b"]
    assert canvas.wrap("", 126) == [""]


def test_wrap_breaks_inside_a_word_only_where_nothing_else_is_left():
    canvas = _canvas()
    assert canvas.wrap("abcdefgh", 30) == ["abcde", "fgh"]
    assert canvas.wrap("x abcdefgh", 30) == ["x", "abcde", "fgh"]
    assert canvas.wrap("  abcdefgh", 30) == ["  abc", "defgh"]


def test_r17_wrap_keeps_the_rules_of_japanese_rows():
    canvas = _canvas()
    assert canvas.wrap("あああああああああい、う", 120) == ["あああああああああ", "い、う"]
    assert canvas.wrap("ああああ「いい」", 60) == ["ああああ", "「いい」"]
    assert canvas.wrap("ああああー。いい", 60) == ["あああ", "あー。いい"]
    assert canvas.wrap("パスワードが", 36) == ["パス", "ワード", "が"]
    assert canvas.wrap("ああPPSああ", 36) == ["ああ", "PPSあ", "あ"]
    assert canvas.wrap("東京都　千代田区", 36) == ["東京都", "千代田", "区"]


def test_wrapped_rows_fit_and_lose_nothing_but_spaces():
    canvas = _canvas()
    alphabet = "aiu. ,(xyz) 」「。、漢字かなカナｱｲｳﾞー…　12〜\n"
    state = 1
    for _ in range(150):
        text = ""
        for _ in range(40):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            text += alphabet[(state >> 16) % len(alphabet)]
        width_px = 36 + (state >> 8) % 91
        rows = canvas.wrap(text, width_px)
        kept = "".join(rows)
        for blank in (" ", "　", "\n"):
            kept = kept.replace(blank, "")
            text = text.replace(blank, "")
        assert kept == text
        assert all(canvas.text_width(row) <= width_px for row in rows)
    assert not canvas.overflowed


def test_wrap_with_isolated_punctuation_never_breaks_a_rule():
    canvas = _canvas()
    state = 7
    for _ in range(100):
        text = ""
        for _ in range(30):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            text += ("漢", "か", "字。", "「仮", "い、", "テー", "（注）")[(state >> 16) % 7]
        for row in canvas.wrap(text, 60 + (state >> 8) % 60):
            assert row[0] not in _NOT_FIRST, row
            assert row[-1] not in _NOT_LAST, row


def test_wrap_ends_what_is_too_long_in_an_ellipsis():
    canvas = _canvas()
    assert canvas.wrap("ああああいい", 48, 1) == ["あああ…"]
    assert canvas.overflowed
    canvas.clear()
    assert canvas.wrap("aaa bbb ccc ddd", 42, 2) == ["aaa bbb", "ccc ddd"]
    assert not canvas.overflowed
    assert canvas.wrap("aaa bbb ccc ddd", 24, 2) == ["aaa", "bb…"]


def test_heap_of_canvas_and_font_is_bounded_and_a_redraw_is_cheap():
    gc.collect()
    before = gc.mem_alloc()
    canvas = _canvas()
    gc.collect()
    used = gc.mem_alloc() - before
    print("heap of canvas and open font: %d bytes" % used)
    assert used <= 7 * 1024
    rows = ["".join(chr(0x4E00 + 0x80 * (10 * row + place)) for place in range(10)) for row in range(5)]
    canvas.title("")
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for row in range(5):
        canvas.text(row, 0, rows[row])
    garbage = gc.mem_alloc() - before
    gc.enable()
    print("garbage of a screen of 50 kanji: %d bytes" % garbage)
    assert garbage <= 1024


def _kanji(first, count):
    # Out of bytes: a character that is made for itself stays in RAM.
    codes = range(first, first + count)
    return b"".join([bytes((code >> 12 | 0xE0, code >> 6 & 63 | 128, code & 63 | 128)) for code in codes]).decode()


def test_r27_no_character_that_was_shown_stays_in_ram():
    canvas = _canvas()
    canvas.wrap(_kanji(0x4E00, 20), ROW_WIDTH)
    gc.collect()
    before = gc.mem_alloc()
    for first in range(0x5000, 0x5400, 20):
        canvas.wrap(_kanji(first, 20), ROW_WIDTH)
    gc.collect()
    assert gc.mem_alloc() - before < 1000  # 1,024 characters at 11 bytes and more each, were they kept
