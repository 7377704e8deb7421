"""Items: how the bodies of sealed slots are written (docs/format.md); and strict UTF-8.

An item is id (u8), length (u16, little-endian), value. Ids ascend, each comes
once. What an id means is not known here.
"""

from micropython import const

from firmware.errors import InkanError

ITEM_HEAD_SIZE = const(3)

_MAX_ID = const(255)
_MAX_LENGTH = const(65535)

_LEAST_CODES = (0, 0x80, 0x800, 0x10000)  # by the number of bytes behind the first


class ItemError(InkanError):
    """A body is not a row of items, or items cannot be written as one."""

    code = "items"


def items_size(items):
    """Bytes that a list of (id, value) takes. `ItemError` unless ids ascend and lengths fit."""
    size = 0
    last = -1
    for item_id, value in items:
        if not last < item_id <= _MAX_ID or len(value) > _MAX_LENGTH:
            raise ItemError()
        last = item_id
        size += ITEM_HEAD_SIZE + len(value)
    return size


def item_head_into(buffer, item_id, length):
    """Put the three bytes before a value at the head of a buffer."""
    buffer[0] = item_id
    buffer[1] = length & 0xFF
    buffer[2] = length >> 8


def encode_items(items):
    """A list of (id, value) as a bytearray; values are bytes-like. Errors as `items_size`."""
    out = bytearray(items_size(items))
    view = memoryview(out)
    at = 0
    for item_id, value in items:
        end = at + ITEM_HEAD_SIZE + len(value)
        item_head_into(view[at:], item_id, len(value))
        view[at + ITEM_HEAD_SIZE : end][:] = value
        at = end
    return out


def decode_items(body):
    """Yield (id, memoryview of the value) of a bytes-like body.

    `ItemError` where an id does not ascend or a length leaves the body; what
    came before it has been yielded by then.
    """
    view = memoryview(body)
    size = len(view)
    at = 0
    last = -1
    while at < size:
        start = at + ITEM_HEAD_SIZE
        if start > size:
            raise ItemError()
        item_id = view[at]
        end = start + view[at + 1] + (view[at + 2] << 8)
        if item_id <= last or end > size:
            raise ItemError()
        yield item_id, view[start:end]
        last = item_id
        at = end


def code_points(data):
    """Yield the code points of UTF-8 bytes; `UnicodeError` where they are none by RFC 3629.

    MicroPython's own `decode` takes more than that, and it keeps each character ever made for good.
    """
    at = 0
    size = len(data)
    while at < size:
        code = data[at]
        at += 1
        if code >= 0x80:
            if not 0xC2 <= code <= 0xF4:
                raise UnicodeError()
            more = 1 if code < 0xE0 else 2 if code < 0xF0 else 3
            least = _LEAST_CODES[more]
            code &= 0x3F >> more
            while more:
                if at == size or data[at] & 0xC0 != 0x80:
                    raise UnicodeError()
                code = code << 6 | data[at] & 0x3F
                at += 1
                more -= 1
            if code < least or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
                raise UnicodeError()
        yield code
