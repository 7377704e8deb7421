"""Field editors: digits, numbers and text, typed on the keys of a telephone (docs/panel.md).

An editor has `text`; `key(code)`, which returns True if the key was the editor's; `tick()`, which
returns True if time has changed the picture; `status()` for the title bar; and `draw(canvas)` on
rows 1 to 3.

Characters are cut out as slices: what is indexed, iterated over or made by chr() MicroPython keeps in RAM for ever.
"""

from time import ticks_diff

from micropython import const

from firmware.panel.canvas import ROW_WIDTH

_CELL = const(6)
_ROW_CELLS = const(21)
_FIRST_ROW = const(2)
_TEXT_ROWS = const(3)
_SHOWN_MS = const(1000)  # a masked digit after it was typed
_TURN_MS = const(1500)  # a letter that another press of its key would turn

# What the keys 0 to 9 give, one after the other.
_KANA = (
    "わをんゎー、。・　0|あいうえおぁぃぅぇぉ1|かきくけこ2|さしすせそ3|たちつてとっ4|"
    "なにぬねの5|はひふへほ6|まみむめも7|やゆよゃゅょ8|らりるれろ9"
)
_LATIN = " 0|.-@/:_1|ABC2|DEF3|GHI4|JKL5|MNO6|PQRS7|TUV8|WXYZ9"
_KANA_SYMBOLS = "・、。（）「」々"
_LATIN_SYMBOLS = "-.,/()&'+:;!?~@_#*"
# Forms of one kana, in the order of `#`. Hiragana are looked up as katakana.
_FORMS = (
    "アァ イィ ウゥヴ エェ オォ カガヵ キギ クグ ケゲヶ コゴ サザ シジ スズ セゼ ソゾ タダ チヂ ツッヅ テデ トド "
    "ハバパ ヒビピ フブプ ヘベペ ホボポ ヤャ ユュ ヨョ ワヮ"
)
_HIRAGANA_FIRST = const(0x3041)
_HIRAGANA_LAST = const(0x3093)  # what the font has
_TO_KATAKANA = const(0x60)
_KANA_LAST = const(0x30FF)


class DigitsEditor:
    """Digits of a fixed length, in groups; or, with `unit`, a number of at most `groups[0]` digits.

    A masked editor shows the last digit for a second. ticks_ms: as time.ticks_ms.
    """

    def __init__(self, groups, text="", ticks_ms=None, masked=False, unit=""):
        self.text = text
        self.most = sum(groups)
        self._groups = groups
        self._cursor = len(text)
        self._ticks_ms = ticks_ms
        self._masked = masked
        self._typed_at = None
        self._unit = unit

    @property
    def full(self):
        return len(self.text) == self.most

    def status(self):
        return "", ""

    def key(self, code):
        text, cursor = self.text, self._cursor
        if "0" <= code <= "9":
            if cursor < self.most:
                # Room is for inserting; without any, what is there is overwritten.
                self.text = text[:cursor] + code + text[cursor + self.full :]
                self._cursor = cursor + 1
                if self._masked:
                    self._typed_at = self._ticks_ms()
        elif code == "D":
            cursor = max(cursor, 1)
            self.text = text[: cursor - 1] + text[cursor:]
            self._cursor = cursor - 1
            self._typed_at = None
        elif code == "L":
            self._cursor = max(cursor - 1, 0)
            self._typed_at = None
        elif code == "R":
            self._cursor = min(cursor + 1, len(text))
            self._typed_at = None
        else:
            return False
        return True

    def tick(self):
        if self._typed_at is None or ticks_diff(self._ticks_ms(), self._typed_at) < _SHOWN_MS:
            return False
        self._typed_at = None
        return True

    def draw(self, canvas):
        if self._unit:
            self._draw_number(canvas)
            return
        groups = self._groups
        count = len(groups)
        if self.most + count - 1 > _ROW_CELLS:
            count = (count + 1) // 2  # on two rows
        widest = max(sum(groups[:count]), sum(groups[count:])) + count - 1
        left = (ROW_WIDTH - widest * _CELL) // 2
        index = 0
        for number, size in enumerate(groups):
            if number % count == 0:
                x = left
            for _ in range(size):
                self._draw_cell(canvas, _FIRST_ROW + number // count, x, index)
                x += _CELL
                index += 1
            x += _CELL

    def _draw_cell(self, canvas, row, x, index):
        if index >= len(self.text):
            canvas.text(row, x, "_")
        elif self._masked and (self._typed_at is None or index != self._cursor - 1):
            canvas.text(row, x, "*")
        else:
            canvas.text(row, x, self.text[index : index + 1])
        if index == self._cursor:
            canvas.cursor(row, x)

    def _draw_number(self, canvas):
        right = (ROW_WIDTH + (self.most - len(self._unit) - 1) * _CELL) // 2
        left = right - len(self.text) * _CELL
        canvas.text(_FIRST_ROW, left, self.text)
        canvas.text(_FIRST_ROW, right + _CELL, self._unit)
        canvas.cursor(_FIRST_ROW, left + self._cursor * _CELL)


class TextEditor:
    """Text of at most `most` characters.

    `modes`: what `*` goes through: か hiragana, カ katakana, A and a Latin, 1 digits. `allowed`, if
    given, are the only characters besides letters and digits that the keys give.
    """

    def __init__(self, text, most, modes, ticks_ms, allowed=None):
        self.text = text
        self.most = most
        self._modes = modes
        self._mode = 0
        self._allowed = allowed
        self._ticks_ms = ticks_ms
        self._cursor = len(text)
        # The letter before the cursor can still turn: its key, and when that was pressed.
        self._turning = ""
        self._turned_at = 0

    def status(self):
        """(mode, count): か, カ, A, a or 1; "12/40"."""
        return self._modes[self._mode], "%d/%d" % (len(self.text), self.most)

    def key(self, code):
        if "0" <= code <= "9":
            if self._modes[self._mode] == "1":
                self._insert(code)
            else:
                self._type(code, self._letters(int(code)))
        elif code == "#":
            if not self._change_form():
                self._type(code, self._symbols())
        elif code == "*":
            self._turning = ""
            self._mode = (self._mode + 1) % len(self._modes)
        elif code == "D":
            self._delete()
        elif code == "L":
            self._turning = ""
            self._cursor = max(self._cursor - 1, 0)
        elif code == "R":
            if not self._turning:
                self._cursor = min(self._cursor + 1, len(self.text))
            self._turning = ""
        else:
            return False
        return True

    def tick(self):
        if not self._turning or ticks_diff(self._ticks_ms(), self._turned_at) < _TURN_MS:
            return False
        self._turning = ""
        return True

    def draw(self, canvas):
        text = self.text
        rows = [0]  # first character of each
        x = cursor_row = cursor_x = 0
        cursor_width = _CELL
        marked = self._cursor - 1 if self._turning else self._cursor
        for index in range(len(text) + 1):
            width = canvas.text_width(text[index : index + 1]) if index < len(text) else _CELL
            if x + width > ROW_WIDTH:
                rows.append(index)
                x = 0
            if index == marked:
                cursor_row, cursor_x, cursor_width = len(rows) - 1, x, width
            x += width
        first = min(max(cursor_row - 1, 0), max(len(rows) - _TEXT_ROWS, 0))
        rows.append(len(text))
        for row in range(first, min(first + _TEXT_ROWS, len(rows) - 1)):
            canvas.text(row - first + 1, 0, text[rows[row] : rows[row + 1]])
        canvas.cursor(cursor_row - first + 1, cursor_x, cursor_width)
        canvas.scrollbar(first, _TEXT_ROWS, len(rows) - 1)

    def _letters(self, digit):
        mode = self._modes[self._mode]
        if mode == "か":
            return _KANA.split("|")[digit]
        if mode == "カ":
            return _katakana(_KANA.split("|")[digit])
        letters = self._only_allowed(_LATIN.split("|")[digit])
        return letters.lower() if mode == "a" else letters

    def _symbols(self):
        return self._allowed or (_KANA_SYMBOLS if self._modes[self._mode] in "かカ" else _LATIN_SYMBOLS)

    def _only_allowed(self, letters):
        if self._allowed is None:
            return letters
        kept = ""
        for index in range(len(letters)):
            letter = letters[index : index + 1]
            if letter.isalpha() or letter.isdigit() or letter in self._allowed:
                kept += letter
        return kept

    def _type(self, code, letters):
        """A key that gives several letters: turn the one in hand, or begin with the first."""
        if self._turning == code:
            before = self._cursor - 1
            self._replace(before, _after(letters, self.text[before : before + 1]))
        elif not self._insert(letters[:1]):
            return
        if len(letters) > 1:
            self._turning = code
            self._turned_at = self._ticks_ms()

    def _insert(self, letter):
        self._turning = ""
        if len(self.text) >= self.most:
            return False
        self.text = self.text[: self._cursor] + letter + self.text[self._cursor :]
        self._cursor += 1
        return True

    def _delete(self):
        self._turning = ""
        if self.text:
            self._cursor = max(self._cursor, 1) - 1
            self._replace(self._cursor, "")

    def _replace(self, index, letter):
        self.text = self.text[:index] + letter + self.text[index + 1 :]

    def _change_form(self):
        """Give the kana before the cursor its next form. False if there is none."""
        if not self._cursor or self._turning == "#" or self._modes[self._mode] not in "かカ":
            return False
        letter = self.text[self._cursor - 1 : self._cursor]
        katakana = _katakana(letter)
        for forms in _FORMS.split(" "):
            if katakana not in forms:
                continue
            if katakana != letter:
                forms = _hiragana(forms)
            self._replace(self._cursor - 1, _after(forms, letter))
            self._turning = ""
            return True
        return False


def _after(letters, letter):
    """The letter that follows one, in a ring."""
    place = (letters.find(letter) + 1) % len(letters)
    return letters[place : place + 1]


def _katakana(letters):
    """Hiragana as katakana; anything else stays."""
    return _shifted(letters, _HIRAGANA_FIRST, _HIRAGANA_LAST, _TO_KATAKANA)


def _hiragana(forms):
    """Katakana forms as hiragana, without those that the font lacks."""
    kept = ""
    for index in range(len(forms)):
        form = forms[index : index + 1]
        if ord(form) - _TO_KATAKANA <= _HIRAGANA_LAST:
            kept += form
    return _shifted(kept, 0, _KANA_LAST, -_TO_KATAKANA)


def _shifted(letters, first, last, distance):
    """Kana from the one code point to the other as what is so far from them; anything else stays."""
    result = ""
    for index in range(len(letters)):
        letter = letters[index : index + 1]
        code = ord(letter)
        if first <= code <= last:
            code += distance
            letter = bytes((0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F)).decode()
        result += letter
    return result
