"""Which keys to press for a text, as docs/panel.md has them."""

_KANA = {
    "1": "あいうえおぁぃぅぇぉ",
    "2": "かきくけこ",
    "3": "さしすせそ",
    "4": "たちつてとっ",
    "5": "なにぬねの",
    "6": "はひふへほ",
    "7": "まみむめも",
    "8": "やゆよゃゅょ",
    "9": "らりるれろ",
    "0": "わをんゎー",
}
_VOICED = dict(zip("がぎぐげござじずぜぞだぢでどばびぶべぼ", "かきくけこさしすせそたちてとはひふへほ", strict=True))


def kana(text):
    """Keys for hiragana, in a field's first mode; `R` ends a letter whose key comes again."""
    keys = ""
    for letter in text:
        base = _VOICED.get(letter, letter)
        key, letters = next((key, letters) for key, letters in _KANA.items() if base in letters)
        keys += ("R" if keys.endswith(key) else "") + key * (letters.index(base) + 1) + "#" * (base != letter)
    return keys


def host(text):
    """Keys for digits, `.`, `-` and `:`, in the field for a host: `*` goes to digits, `#` through those symbols."""
    keys = "*"
    for character in text:
        keys += character if character.isdigit() else "#" * (".-:".index(character) + 1)
    return keys
