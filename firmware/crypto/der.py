"""What it takes to write DER (X.690): a tag, a length, a value."""

from micropython import const

INTEGER = const(0x02)
BIT_STRING = const(0x03)
OCTET_STRING = const(0x04)
OBJECT_IDENTIFIER = const(0x06)
UTF8_STRING = const(0x0C)
SEQUENCE = const(0x30)
SET = const(0x31)
CONTEXT_0 = const(0xA0)
CONTEXT_1 = const(0xA1)


def tlv(tag, *parts):
    """One element; its value is all parts, at most 65,535 bytes."""
    value = b"".join(parts)
    size = len(value)
    if size < 0x80:
        head = bytes((tag, size))
    elif size < 0x100:
        head = bytes((tag, 0x81, size))
    else:
        head = bytes((tag, 0x82)) + size.to_bytes(2, "big")
    return head + value


def integer(value):
    """An INTEGER of 0 up to 2^256."""
    data = value.to_bytes(33, "big")
    start = 0
    # No byte more than the sign needs.
    while start < 32 and data[start] == 0 and data[start + 1] < 0x80:
        start += 1
    return tlv(INTEGER, data[start:])


def bit_string(data):
    """A BIT STRING of whole bytes."""
    return tlv(BIT_STRING, b"\x00", data)
