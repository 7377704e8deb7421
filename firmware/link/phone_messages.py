"""What a phone may say within a session, and the answers (docs/protocol.md). No rule is here: a `Session` has them.

Messages are read from and written to memoryviews. A length is checked before anything behind it is read.
"""

import struct

from micropython import const

from firmware import codec, unique_info, wire
from firmware.errors import FieldError, LinkError, SessionError, TamperError

_CODE_DIGITS = const(20)
_REQUEST_SIZE = const(9)  # kind, number, generation
_GROUPS = (1, 2, 3, 4, 5)
_UNREACHABLE = ("dns", "connect", "closed", "timeout")


def answer(session, message, out, has_panel):
    """Do what a message asks, all but *enrol*; returns the answer's size in `out`, 0 for none.

    Raises what `Session` raises, LinkError("bad_message"), and codec.ItemError for the same.
    """
    if session.ended:
        raise SessionError("ended")
    kind = message[0] if len(message) else 0
    if kind == wire.VIEW:
        return _view(session, message, out)
    if kind == wire.CHANGE:
        number, generation = _request(message)
        changes = {}
        for field_id, value in codec.decode_items(message[_REQUEST_SIZE:]):
            changes[field_id] = field_text(field_id, value)
        return put_result(out, session.change(number, generation, changes))
    if kind == wire.DELETE:
        number, generation = _request(message)
        _need(len(message) > _REQUEST_SIZE)
        fields = bytes(message[_REQUEST_SIZE + 1 :]) or None
        return put_result(out, session.delete(number, generation, message[_REQUEST_SIZE], fields))
    _need(kind in (wire.STATUS, wire.WIPE, wire.END) and len(message) == 1)
    if kind == wire.STATUS:
        return put_status(out, session, has_panel)
    if kind == wire.WIPE:
        return put_result(out, session.wipe())
    session.close("done")
    return 0


def enrol_request(message):
    """(number, generation, code, host) of an *enrol*; code and host are None where they are no text."""
    number, generation = _request(message)
    host_at = _REQUEST_SIZE + _CODE_DIGITS
    _need(len(message) >= host_at)
    return number, generation, utf8(message[_REQUEST_SIZE:host_at]), utf8(message[host_at:])


def put_status(out, session, has_panel):
    seconds_left = session.seconds_left
    if seconds_left is None:
        seconds_left = wire.U32_NONE
    flags = wire.STATUS_HAS_PANEL if has_panel else 0
    if session.may_recover:
        flags |= wire.STATUS_MAY_WIPE
    struct.pack_into(
        "<BIHIHBBBB",
        out,
        0,
        wire.STATUS_IS,
        session.generation,
        session.changes_left,
        seconds_left,
        session.idle_ms_left // 1000,
        _allowed(session, "see"),
        _allowed(session, "change"),
        _allowed(session, "delete"),
        flags,
    )
    return struct.calcsize("<BIHIHBBBB")


def put_result(out, result):
    struct.pack_into("<BIHB", out, 0, wire.RESULT_IS, result.generation, result.changes_left, result.repeated)
    return struct.calcsize("<BIHB")


def put_progress(out, done, total):
    struct.pack_into("<BII", out, 0, wire.PROGRESS_IS, done, total)
    return struct.calcsize("<BII")


def put_ended(out, why):
    out[0] = wire.ENDED_IS
    out[1] = wire.ENDINGS.index(why)
    return 2


def put_error(out, error):
    """The answer to a request that failed with an `InkanError`: the one place that maps one to the other."""
    field = reason = 0
    if isinstance(error, SessionError):
        code = error.code
    elif isinstance(error, FieldError):
        code = "field"
        field = error.field
        reason = wire.FIELD_REASONS.index(error.reason)
    elif isinstance(error, TamperError):
        code = "tampered"
    elif isinstance(error, (LinkError, codec.ItemError)):
        code = "bad_message"
    else:
        code = "failed"
    return _put_error(out, code, field, reason)


def put_enrol_error(out, code):
    """The answer to an enrolment that failed, by the code of its error."""
    if code in _UNREACHABLE:
        code = "unreachable"
    elif code[:3] == "tls":
        code = "tls"
    elif code not in wire.ENROL_REASONS:
        code = "other"
    return _put_error(out, "enrol", 0, wire.ENROL_REASONS.index(code))


def field_text(field_id, value):
    """A value as `unique_info.check` takes it. FieldError bad_text."""
    text = utf8(value)
    if text is None:
        raise FieldError(field_id, "bad_text")
    return text


def utf8(data):
    """Bytes as str, or None where they are not UTF-8."""
    data = bytes(data)
    try:
        for _ in codec.code_points(data):
            pass
    except UnicodeError:
        return None
    return data.decode()


def _view(session, message, out):
    _need(len(message) == 2)
    group = message[1]
    session.touch()
    if not session.may("see", group):
        raise SessionError("not_allowed")
    out[0] = wire.VIEW_IS
    out[1] = group
    at = 2
    for field_id in session.fields(group):
        if field_id != unique_info.READINGS_KEY:
            value = session.view(field_id).encode()
            codec.item_head_into(out[at:], field_id, len(value))
            at += codec.ITEM_HEAD_SIZE
            out[at : at + len(value)][:] = value
            at += len(value)
    return at


def _request(message):
    """(number, generation) behind a message's kind."""
    _need(len(message) >= _REQUEST_SIZE)
    return struct.unpack_from("<II", message, 1)


def _need(holds):
    if not holds:
        raise LinkError("bad_message")


def _allowed(session, action):
    bits = 0
    for group in _GROUPS:
        if session.may(action, group):
            bits |= 1 << group
    return bits


def _put_error(out, code, field, reason):
    out[0] = wire.ERROR_IS
    out[1] = wire.ERRORS.index(code)
    out[2] = field
    out[3] = reason
    return 4
