"""Strict JSON (RFC 8259) out of a buffer, within a budget of heap.

MicroPython's own decoder takes a text without its closing bracket for whole and lets 8 KiB of brackets become
half a megabyte of lists: neither is for what a stranger sends.
"""

from micropython import const

from firmware.errors import LinkError

_DEPTH_MAX = const(6)
_MEMBERS_MAX = const(20)  # of one container: what grows piecemeal leaves holes in the heap
_NUMBER_MAX = const(20)  # characters
# Heap that things take on a 64-bit build, at most
_VALUE_COST = const(32)  # its place in a container, and a number
_TEXT_COST = const(64)  # beside its bytes
_CONTAINER_COST = const(96)

_SPACE = b" \t\r\n"
_DIGITS = b"0123456789"
_NUMBER = b"+-.eE0123456789"
_ESCAPES = {0x22: 0x22, 0x5C: 0x5C, 0x2F: 0x2F, 0x62: 0x08, 0x66: 0x0C, 0x6E: 0x0A, 0x72: 0x0D, 0x74: 0x09}


def read_json(data, budget_bytes):
    """The one value that a memoryview holds, which is overwritten in parts.

    LinkError: bad_json; too_large for what would take more heap.
    """
    reader = _Reader(data, budget_bytes)
    try:
        value = reader.value(0)
        reader.skip_space()
    except (ValueError, IndexError):  # what is no UTF-8, no number, or ends too early
        raise LinkError("bad_json")
    if reader.position != len(data):
        raise LinkError("bad_json")
    return value


class _Reader:
    def __init__(self, data, budget_bytes):
        self.data = data
        self.position = 0
        self._left = budget_bytes

    def value(self, depth):
        self._spend(_VALUE_COST)
        first = self._next()
        if first == 0x7B:
            return self._object(depth + 1)
        if first == 0x5B:
            return self._array(depth + 1)
        if first == 0x22:
            return self._string()
        if first == 0x2D or first in _DIGITS:
            return self._number()
        for word, value in ((b"null", None), (b"true", True), (b"false", False)):
            end = self.position + len(word)
            if self.data[self.position : end] == word:
                self.position = end
                return value
        raise ValueError

    def skip_space(self):
        data = self.data
        position = self.position
        end = len(data)
        while position < end and data[position] in _SPACE:
            position += 1
        self.position = position

    def _spend(self, size):
        self._left -= size
        if self._left < 0:
            raise LinkError("too_large")

    def _limit(self, container):
        if len(container) >= _MEMBERS_MAX:
            raise LinkError("too_large")

    def _next(self):
        self.skip_space()
        return self.data[self.position]

    def _take(self, expected):
        if self._next() != expected:
            raise ValueError
        self.position += 1

    def _open(self, depth, closing):
        """Enter a container; True if it is empty."""
        if depth > _DEPTH_MAX:
            raise ValueError
        self._spend(_CONTAINER_COST)
        self.position += 1
        if self._next() != closing:
            return False
        self.position += 1
        return True

    def _another(self, closing):
        """After a member: True if one more follows, False past the end."""
        found = self._next()
        self.position += 1
        if found == 0x2C:
            return True
        if found != closing:
            raise ValueError
        return False

    def _object(self, depth):
        result = {}
        more = not self._open(depth, 0x7D)
        while more:
            if self._next() != 0x22:
                raise ValueError
            name = self._string()
            self._take(0x3A)
            if name in result:
                raise ValueError
            self._limit(result)
            result[name] = self.value(depth)
            more = self._another(0x7D)
        return result

    def _array(self, depth):
        result = []
        more = not self._open(depth, 0x5D)
        while more:
            self._limit(result)
            result.append(self.value(depth))
            more = self._another(0x5D)
        return result

    def _number(self):
        data = self.data
        start = end = self.position
        limit = min(len(data), start + _NUMBER_MAX + 1)
        while end < limit and data[end] in _NUMBER:
            end += 1
        if end - start > _NUMBER_MAX:
            raise ValueError
        self.position = end
        text = str(data[start:end], "utf-8")
        digits = text[1:] if text[0] == "-" else text
        if digits[:1] == "0" and digits[1:2].isdigit():
            raise ValueError
        if digits.isdigit():
            return int(text)
        # What a float may look like beyond Python's own rules.
        if not digits[:1].isdigit() or not digits[-1].isdigit() or ".e" in digits.lower():
            raise ValueError
        return float(text)

    def _string(self):
        # What is escaped is put right in the buffer: a text that grows piece by piece costs the square of its length.
        data = self.data
        start = end = position = self.position + 1
        self._spend(_TEXT_COST)
        while True:
            byte = data[position]
            position += 1
            if byte == 0x22:
                break
            if byte < 0x20:
                raise ValueError
            if byte == 0x5C:
                byte = data[position]
                position += 1
                if byte == 0x75:
                    self.position = position
                    for byte in chr(self._code_point()).encode():
                        data[end] = byte
                        end += 1
                    position = self.position
                    continue
                byte = _ESCAPES.get(byte)
                if byte is None:
                    raise ValueError
            data[end] = byte
            end += 1
        self.position = position
        self._spend(end - start + 1)
        return str(data[start:end], "utf-8")

    def _code_point(self):
        code = self._hex4()
        if 0xD800 <= code < 0xDC00:
            if self.data[self.position : self.position + 2] != b"\\u":
                raise ValueError
            self.position += 2
            low = self._hex4()
            if not 0xDC00 <= low < 0xE000:
                raise ValueError
            code = 0x10000 + (code - 0xD800 << 10) + low - 0xDC00
        elif 0xDC00 <= code < 0xE000:
            raise ValueError
        return code

    def _hex4(self):
        text = str(self.data[self.position : self.position + 4], "utf-8")
        if len(text) != 4:
            raise ValueError
        for character in text:
            if character not in "0123456789abcdefABCDEF":
                raise ValueError
        self.position += 4
        return int(text, 16)
