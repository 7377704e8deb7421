"""R15: every kind of field can be typed with the keys that the device has (docs/panel.md)."""

import gc

from firmware.panel.canvas import Canvas
from firmware.panel.editor import DigitsEditor, TextEditor
from firmware.panel.glyphs import GlyphFile

INTERPRETERS = ("micropython",)  # what draws needs framebuf

HIRAGANA = (
    "わをんゎー、。・　0",
    "あいうえおぁぃぅぇぉ1",
    "かきくけこ2",
    "さしすせそ3",
    "たちつてとっ4",
    "なにぬねの5",
    "はひふへほ6",
    "まみむめも7",
    "やゆよゃゅょ8",
    "らりるれろ9",
)
LATIN = (" 0", ".-@/:_1", "ABC2", "DEF3", "GHI4", "JKL5", "MNO6", "PQRS7", "TUV8", "WXYZ9")
MODES = "かカAa1"
KANA_MARKS = "・、。（）「」々"
LATIN_MARKS = "-.,/()&'+:;!?~@_#*"
FORMS = (
    "あぁ いぃ うぅ えぇ おぉ かが きぎ くぐ けげ こご さざ しじ すず せぜ そぞ ただ ちぢ つっづ てで とど "
    "はばぱ ひびぴ ふぶぷ へべぺ ほぼぽ やゃ ゆゅ よょ わゎ"
).split(" ")
KATAKANA_FORMS = "アァ ウゥヴ カガヵ ケゲヶ サザ ツッヅ ハバパ ヤャ ワヮ".split(" ")


class Time:
    def __init__(self):
        self.ms = 0

    def __call__(self):
        return self.ms


def text(value="", most=40, modes=MODES, allowed=None, mode=None):
    editor = TextEditor(value, most, modes, Time(), allowed)
    while mode is not None and editor.status()[0] != mode:
        editor.key("*")
    return editor


def press(editor, keys):
    for key in keys:
        assert editor.key(key), key
    return editor.text


def katakana(letters):
    return "".join([chr(ord(x) + 0x60) if 0x3041 <= ord(x) <= 0x3093 else x for x in letters])


def test_r15_each_key_turns_through_its_letters_and_begins_again():
    tables = (
        ("か", HIRAGANA),
        ("カ", [katakana(letters) for letters in HIRAGANA]),
        ("A", LATIN),
        ("a", [letters.lower() for letters in LATIN]),
    )
    for mode, table in tables:
        for key in range(10):
            letters = table[key]
            editor = text(mode=mode)
            for count in range(2 * len(letters)):
                assert press(editor, str(key)) == letters[count % len(letters)], (mode, key, count)


def test_r15_digits_mode_types_digits():
    assert press(text(mode="1"), "01234567899") == "01234567899"


def test_r15_another_key_an_arrow_or_time_ends_the_letter():
    assert press(text(), "1122") == "いき"
    assert press(text(), "1R1") == "ああ"
    assert press(text(), "11L1") == "あい"  # the cursor has moved before it
    editor = text()
    press(editor, "1")
    editor._ticks_ms.ms += 1499
    assert not editor.tick()
    assert press(editor, "1") == "い"  # a press begins the time anew
    editor._ticks_ms.ms += 1499
    assert not editor.tick()
    editor._ticks_ms.ms += 1
    assert editor.tick()
    assert not editor.tick()  # the picture changes once
    assert press(editor, "1") == "いあ"


def test_r15_mode_goes_round_and_ends_the_letter():
    editor = text()
    seen = ""
    for _ in range(6):
        seen += editor.status()[0]
        press(editor, "*")
    assert seen == "かカAa1か"
    assert press(text(), "2*2*2*2*2") == "かカAa2"
    assert press(text(), "2*****2") == "かか"


def test_r15_hash_turns_to_the_next_form_of_each_kana():
    for forms in FORMS:
        editor = text(forms[0])
        for count in range(1, 2 * len(forms) + 1):
            assert press(editor, "#") == forms[count % len(forms)], forms
    for forms in KATAKANA_FORMS:
        editor = text(forms[0], mode="カ")
        for count in range(1, 2 * len(forms) + 1):
            assert press(editor, "#") == forms[count % len(forms)], forms
    # The letter in hand too, and then it is settled.
    assert press(text(), "6#6") == "ばは"
    assert press(text(), "4#4##") == "だた"


def test_r15_hash_elsewhere_types_marks():
    for mode in MODES:
        marks = KANA_MARKS if mode in "かカ" else LATIN_MARKS
        editor = text("漢", mode=mode)
        for count in range(2 * len(marks)):
            assert press(editor, "#") == "漢" + marks[count % len(marks)], (mode, count)
    assert press(text("は", mode="A"), "#") == "は-"  # no kana is turned in Latin modes
    assert press(text("々"), "#") == "々・"
    assert press(text(), "#") == "・"


def test_r15_all_kana_letters_and_digits_can_be_typed():
    reached = set()
    for mode in MODES:
        for key in "0123456789":
            editor = text(mode=mode)
            for _ in range(12):
                letter = press(editor, key)
                reached.add(letter)
                if mode in "かカ":
                    changed = text(letter, mode=mode)
                    for _ in range(3):
                        letter = press(changed, "#")[0]
                        reached.add(letter)
    wanted = {chr(code) for code in range(0x3041, 0x3094)} - set("ゐゑ")
    wanted |= {chr(code) for code in range(0x30A1, 0x30F7)} - set("ヰヱ") | {"ー", "　", " "}
    wanted |= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    assert wanted - reached == set()


def test_r15_a_contract_number_and_a_host_take_only_their_characters():
    code = text(modes="1A", allowed="-")
    assert code.status()[0] == "1"
    assert press(code, "17") == "17"
    assert press(code, "*2#") == "17A-"
    assert press(code, "R1R0") == "17A--0"
    host = text(modes="a1", allowed=".-:")
    assert press(host, "7R7R7777#5R7") == "pps.jp"
    assert press(host, "#RR##R###*8443") == "pps.jp.-:8443"
    for modes, allowed in (("1A", "-"), ("a1", ".-:")):
        for mode in modes:
            for key in "0123456789#":
                editor = text(modes=modes, allowed=allowed, mode=mode)
                for _ in range(8):
                    for letter in press(editor, key):
                        assert letter.isdigit() or letter.isalpha() or letter in allowed, (key, letter)


def test_r15_kanji_that_keys_cannot_make_are_kept_and_deleted_one_by_one():
    editor = text("山田太郎")
    assert press(editor, "LL") == "山田太郎"
    assert press(editor, "2") == "山田か太郎"
    assert press(editor, "D") == "山田太郎"
    assert press(editor, "D") == "山太郎"
    assert press(editor, "LLLLD") == "太郎"  # before the first one, it deletes that
    assert press(editor, "DDD") == ""
    assert press(editor, "1") == "あ"


def test_r15_text_ends_at_its_limit():
    editor = text("あ" * 39)
    assert editor.status()[1] == "39/40"
    assert len(press(editor, "11")) == 40
    assert editor.text[-1] == "い"  # what is in hand still turns
    assert press(editor, "222#3") == "あ" * 39 + "ぃ"
    assert len(editor.text) == 40


def test_r15_cursor_stays_within_the_text():
    editor = text("ab", mode="1")
    assert press(editor, "RR1") == "ab1"
    assert press(editor, "LLLLL2") == "2ab1"
    assert press(editor, "RRRRR3") == "2ab13"


def test_r15_other_keys_are_left_to_the_screen():
    for editor in (text(), DigitsEditor((4, 4))):
        for key in "OBU":
            assert not editor.key(key)


def test_r15_digits_are_inserted_until_full_and_then_overwritten():
    editor = DigitsEditor((3, 4))
    assert press(editor, "1234") == "1234"
    assert press(editor, "LL9") == "12934"
    assert press(editor, "87") == "1298734"
    assert editor.full
    assert press(editor, "6") == "1298764"
    assert press(editor, "5") == "1298765"
    assert press(editor, "4") == "1298765"  # behind the last one there is nothing
    assert press(editor, "LLL") == "1298765"
    assert press(editor, "0") == "1298065"


def test_r15_digits_are_deleted_before_the_cursor():
    editor = DigitsEditor((2, 4, 4), "0312345678")
    assert press(editor, "D") == "031234567"
    assert not editor.full
    assert press(editor, "LLLLLLLD") == "01234567"
    assert press(editor, "LLLLLLLLLD") == "1234567"  # at the beginning: the first
    assert press(editor, "DDDDDDDD") == ""
    assert press(editor, "D") == ""


def test_r14_the_last_digit_of_a_password_shows_for_a_second():
    time = Time()
    editor = DigitsEditor((4, 4), "", time, True)
    canvas = Recorder()
    press(editor, "12")
    editor.draw(canvas)
    assert canvas.shown() == "*2______"
    time.ms = 999
    assert not editor.tick()
    time.ms = 1000
    assert editor.tick()
    editor.draw(canvas)
    assert canvas.shown() == "**______"
    press(editor, "3")
    editor.draw(canvas)
    assert canvas.shown() == "**3_____"
    press(editor, "L")
    editor.draw(canvas)
    assert canvas.shown() == "***_____"
    press(editor, "R4D")
    editor.draw(canvas)
    assert canvas.shown() == "***_____"


class Recorder:
    """Takes the place of the canvas, and keeps the texts."""

    def __init__(self):
        self.texts = []

    def text(self, row, x, string):
        self.texts.append(string)

    def cursor(self, row, x):
        pass

    def shown(self):
        shown = "".join(self.texts)
        self.texts = []
        return shown


def test_r15_every_editor_draws_within_its_rows():
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())
    wide = text("漢字" * 50, 100)
    mixed = text("漢a" * 50, 100)
    for editor in (
        wide,
        mixed,
        text("x" * 92, 92, "a1"),
        text(),
        DigitsEditor((2, 4, 4, 4, 4, 4), "0" * 22),
        DigitsEditor((4, 4, 4, 4, 4)),
        DigitsEditor((4, 4, 4, 4), "", Time(), True),
        DigitsEditor((7,), "9999999", unit="Wh"),
        DigitsEditor((6,), unit="W"),
    ):
        for _ in range(len(editor.text) + 1):
            canvas.clear()
            editor.draw(canvas)
            assert not canvas.overflowed
            # Rows 1 to 3 only: nothing on the pages of title and hint.
            assert not any(canvas.buffer[:128])
            assert not any(canvas.buffer[7 * 128 :])
            assert any(canvas.buffer)
            editor.key("L")


def test_r15_the_letter_in_hand_is_inverse_and_the_cursor_stands_behind_it():
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())

    def columns(first, last):
        return [[canvas.buffer[y // 8 * 128 + x] >> (y % 8) & 1 for y in range(13, 25)] for x in range(first, last)]

    editor = text(mode="A")
    press(editor, "2")
    editor.draw(canvas)
    turning = columns(0, 6)
    assert columns(6, 12) == [[0] * 12] * 6
    press(editor, "R")
    canvas.clear()
    editor.draw(canvas)
    assert columns(0, 6) == [[1 - dot for dot in column] for column in turning]
    assert columns(6, 12) == [[1] * 12] * 6


def test_r27_no_letter_that_was_typed_stays_in_ram():
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())
    editor = text()

    def used_after(keys):
        press(editor, keys)
        editor.draw(canvas)
        gc.collect()
        return gc.mem_alloc()

    def all_of(keys):
        return "".join([key * (turn + 1) + "#D" for key in keys for turn in range(5)])

    before = used_after(all_of("12345"))
    assert used_after(all_of("67890")) - before < 200  # some 30 letters at 11 bytes and more each, were they kept
