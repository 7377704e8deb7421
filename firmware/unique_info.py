"""The fields of the unique information (R1): types, limits, checks; and a view of a vault body."""

import hashlib

from micropython import const

from firmware import codec
from firmware.errors import FieldError

# Kinds of field; an editor is chosen by them. Values of `check` in brackets.
TEXT = 0  # Japanese and Latin text; limits in characters (str)
DIGITS = 1  # limits in digits (str)
CODE = 2  # 0-9 A-Z -; limits in characters (str)
NUMBER = 3  # whole number; limits are the number's (int or str of digits)
URL = 4  # https://host[:port]; limits in characters (str)
CERTIFICATE = 5  # DER; limits in bytes (bytes)
SECRET = 6  # never shown; limits in bytes (bytes)

POSTAL_CODE = 0x12
READINGS_KEY = 0x21
SITE_ID = 0x31
CREDENTIAL_URL = 0x51
ENERGY_URL = 0x52
CA_CERTIFICATE = 0x53
MODULE_CERTIFICATE = 0x54
PRIVATE_KEY = 0x55
ENERGY_CA_CERTIFICATE = 0x56
LAST_REQUEST = 0x01  # item of the vault that is no field

# id -> (name, kind, least, most). The upper half of an id is its group.
FIELDS = {
    0x11: ("customer_name", TEXT, 1, 40),
    POSTAL_CODE: ("postal_code", DIGITS, 7, 7),
    0x13: ("address", TEXT, 1, 100),
    0x14: ("contract_number", CODE, 1, 20),
    READINGS_KEY: ("readings_key", SECRET, 64, 64),
    SITE_ID: ("site_id", DIGITS, 22, 22),
    0x41: ("pv_capacity_w", NUMBER, 1, 999_999),
    0x42: ("battery_capacity_wh", NUMBER, 1, 9_999_999),
    0x43: ("ev_capacity_wh", NUMBER, 1, 9_999_999),
    CREDENTIAL_URL: ("credential_url", URL, 1, 100),
    ENERGY_URL: ("energy_url", URL, 1, 100),
    CA_CERTIFICATE: ("ca_certificate", CERTIFICATE, 2, 2048),
    MODULE_CERTIFICATE: ("module_certificate", CERTIFICATE, 2, 2048),
    PRIVATE_KEY: ("private_key", SECRET, 32, 32),
    ENERGY_CA_CERTIFICATE: ("energy_ca_certificate", CERTIFICATE, 2, 2048),
}

# Number -> name on the wire, from 1.
GROUPS = ("", "customer", "usage_history", "site", "capacity", "connection")

_AREA_MAX = const(10)
_P256_N = const(0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551)

# First and last code points, in turn, that no text may hold: controls, line and paragraph separators,
# changes of direction, the byte order mark, what is no character.
# fmt: off
_BARRED = (
    0x00, 0x1F, 0x7F, 0x9F, 0x200E, 0x200F, 0x2028, 0x202E, 0x2066, 0x2069,
    0xFDD0, 0xFDEF, 0xFEFF, 0xFEFF, 0xFFFE, 0xFFFF,
)
# fmt: on


def group_of(field_id):
    """Group number of a field id, 1..5."""
    return field_id >> 4


def fields_of(group):
    """Ids of a group's fields, ascending."""
    return [field_id for field_id in sorted(FIELDS) if field_id >> 4 == group]


def check(field_id, value):
    """Bytes of the value as they are stored, brought to one form.

    value: as the field's kind says. Raises `FieldError(field_id, reason)`; reasons: empty,
    too_long, too_short, not_digits, bad_area, bad_character, out_of_range, bad_url,
    bad_certificate, bad_text (no text at all, or characters that no text may hold).
    """
    try:
        field = FIELDS[field_id]
    except KeyError:
        raise FieldError(field_id, "bad_character")
    try:
        return _CHECKS[field[1]](field_id, value, field[2], field[3])
    except _Reason as error:
        raise FieldError(field_id, error.args[0])


class _Reason(Exception):
    pass


def _need_length(size, least, most):
    if not size:
        raise _Reason("empty")
    if size < least:
        raise _Reason("too_short")
    if size > most:
        raise _Reason("too_long")


def _check_text(field_id, value, least, most):
    value = _trimmed(value)
    size = 0
    try:
        for code in codec.code_points(value.encode()):
            size += 1
            for index in range(0, len(_BARRED), 2):
                if _BARRED[index] <= code <= _BARRED[index + 1]:
                    raise _Reason("bad_text")
    except UnicodeError:
        raise _Reason("bad_text")
    _need_length(size, least, most)
    return value.encode()


def _trimmed(value):
    """The text without blanks at its ends, Japanese ones included."""
    if not isinstance(value, str):
        raise _Reason("bad_text")
    first, end = 0, len(value)
    while first < end and value[first : first + 1] in " \u3000":
        first += 1
    while end > first and value[end - 1 : end] in " \u3000":
        end -= 1
    return value[first:end]


def _check_digits(field_id, value, least, most):
    value = _trimmed(value)
    if field_id == POSTAL_CODE and value[3:4] == "-":
        value = value[:3] + value[4:]
    elif field_id == SITE_ID:
        value = value.replace("-", "").replace(" ", "")
    _need_digits(value)
    _need_length(len(value), least, most)
    if field_id == SITE_ID and not 1 <= int(value[:2]) <= _AREA_MAX:
        raise _Reason("bad_area")
    return value.encode()


# What follows looks at bytes: MicroPython keeps every character that is taken out of a string.


def _need_digits(value):
    if not _is_made_of(value, b"0123456789"):
        raise _Reason("not_digits")


def _is_made_of(value, allowed):
    """True if a text has no characters but these, ASCII as bytes."""
    try:
        data = value.encode()
    except UnicodeError:
        return False
    for byte in data:
        if byte not in allowed:
            return False
    return True


def _check_code(field_id, value, least, most):
    value = _trimmed(value).upper()
    if not _is_made_of(value, b"0123456789-ABCDEFGHIJKLMNOPQRSTUVWXYZ"):
        raise _Reason("bad_character")
    _need_length(len(value), least, most)
    return value.encode()


def _check_number(field_id, value, least, most):
    if isinstance(value, str):
        value = _trimmed(value)
        if not value:
            raise _Reason("empty")
        _need_digits(value)
        if len(value) > 10:
            raise _Reason("out_of_range")
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Reason("not_digits")
    if not least <= value <= most:
        raise _Reason("out_of_range")
    return value.to_bytes(4, "little")


def _check_url(field_id, value, least, most):
    value = _trimmed(value)
    _need_length(len(value), least, most)
    value = value.lower()
    if value[:8] != "https://":
        raise _Reason("bad_url")
    if value[-1:] == "/":
        value = value[:-1]
    host, colon, port = value[8:].partition(":")
    if colon:
        if not _is_number(port, 1, 65535):
            raise _Reason("bad_url")
        if port == "443":
            value = value[:-4]
    labels = host.split(".")
    for label in labels:
        if not 1 <= len(label) <= 63 or label[:1] == "-" or label[-1:] == "-":
            raise _Reason("bad_url")
        if not _is_made_of(label, b"0123456789-abcdefghijklmnopqrstuvwxyz"):
            raise _Reason("bad_url")
    if labels[-1][:1] in "0123456789":  # no top-level domain begins so: an IPv4 address
        if len(labels) != 4:
            raise _Reason("bad_url")
        for label in labels:
            if not _is_number(label, 0, 255):
                raise _Reason("bad_url")
    return value.encode()


def _is_number(text, least, most):
    """True for the one way to write a number of the range in ASCII digits."""
    if not 1 <= len(text) <= 5 or text[:1] == "0" and text != "0" or not _is_made_of(text, b"0123456789"):
        return False
    return least <= int(text) <= most


def _check_certificate(field_id, value, least, most):
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _Reason("bad_certificate")
    value = bytes(value)
    if not value:
        raise _Reason("empty")
    if len(value) > most:
        raise _Reason("too_long")
    if not _is_sequence(value):
        raise _Reason("bad_certificate")
    return value


def _is_sequence(value):
    """True if the bytes are one DER SEQUENCE (X.690, 8.1.3); what is in it is not looked at."""
    if len(value) < 2 or value[0] != 0x30:
        return False
    length = value[1]
    head = 2
    if length >= 0x80:
        head += length & 0x7F
        length = int.from_bytes(value[2:head], "big")
        # One form only: no length in more bytes than it needs.
        if head not in (3, 4) or length < (0x80, 0x100)[head - 3]:
            return False
    return len(value) == head + length


def _check_secret(field_id, value, least, most):
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _Reason("bad_character")
    value = bytes(value)
    _need_length(len(value), least, most)
    if field_id == PRIVATE_KEY and not 0 < int.from_bytes(value, "big") < _P256_N:
        raise _Reason("out_of_range")
    return value


_CHECKS = (
    _check_text,
    _check_digits,
    _check_code,
    _check_number,
    _check_url,
    _check_certificate,
    _check_secret,
)


def name_of(number):
    """Name on the wire of a field id or a group number; "" for 0 and what is neither."""
    if number in FIELDS:
        return FIELDS[number][0]
    return GROUPS[number] if number < len(GROUPS) else ""


class UniqueInfo:
    """A vault body, read by field. Values stay in the body: nothing is copied before it is asked for."""

    def __init__(self, body):
        self._values = dict(codec.decode_items(body))

    def get(self, field_id):
        """The stored bytes, or None."""
        value = self._values.get(field_id)
        return None if value is None else bytes(value)

    def text(self, field_id):
        """The value for a screen, "" where none is set. A key is never in it (R4)."""
        value = self.get(field_id)
        if value is None:
            return ""
        kind = FIELDS[field_id][1]
        if kind == SECRET:
            return "stored"
        if kind == CERTIFICATE:
            return "sha256:" + hashlib.sha256(value).digest()[:8].hex()
        if kind == NUMBER:
            return str(int.from_bytes(value, "little"))
        return value.decode()

    def items(self):
        """List of (id, value), ids ascending: what a commit takes."""
        return sorted(self._values.items(), key=_first)

    def with_changes(self, changes):
        """`items()` with {id: bytes, or None to leave it out} put in. Nothing here changes."""
        values = dict(self._values)
        for field_id, value in changes.items():
            if value is not None:
                values[field_id] = value
            elif field_id in values:
                del values[field_id]
        return sorted(values.items(), key=_first)


def _first(item):
    return item[0]
