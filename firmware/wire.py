"""Frames of the phone's protocol and every number in it (docs/protocol.md), for both of its ends.

A frame is a length (u16), a type and a body; what is called a frame here is type and body.
"""

from micropython import const

from firmware.errors import LinkError

PROTOCOL = 1

FRAME_MAX = 1024  # type and body
FRAME_BUFFER_SIZE = 1026  # and the length before them
FRAME_HEAD_SIZE = 3  # length and type
MESSAGE_MAX = 959
MESSAGE_AT = 19  # where it lies in a buffer with a sealed frame: behind head and IV

# Types of frame, from the phone
ASK_INFO = 0x01
SHARE_P = 0x02
CONFIRM_P = 0x03
GIVE_UP = 0x04
RESUME = 0x05
SEALED_P = 0x06
# and from the module
INFO = 0x81
SHARE_V = 0x82
RESUMED = 0x85
SEALED_M = 0x86
REFUSED = 0x8F

# The largest frame that a phone may send outside of a session.
OPENING_FRAME_MAX = 66

# Kinds of message, from the phone
STATUS = 0x10
VIEW = 0x11
CHANGE = 0x12
DELETE = 0x13
ENROL = 0x14
WIPE = 0x15
END = 0x16
# and from the module
STATUS_IS = 0x90
VIEW_IS = 0x91
RESULT_IS = 0x92
PROGRESS_IS = 0x94
ENDED_IS = 0x96
ERROR_IS = 0x9F

# Flags of info and of status
INFO_PANEL_BOARD = 1
INFO_HAS_PANEL = 2
INFO_RECOVERS = 4
STATUS_MAY_WIPE = 1
STATUS_HAS_PANEL = 2

U32_NONE = 0xFFFFFFFF  # no lifetime

# Names by their number on the wire
STATES = ("idle", "waiting", "busy", "locked", "tampered", "no_time")
REFUSALS = (
    "",
    "wrong",
    "no_credential",
    "no_time",
    "locked",
    "busy",
    "delayed",
    "tampered",
    "malformed",
    "bad_share",
    "timeout",
    "no_session",
    "failed",
)
ENDINGS = ("", "done", "idle", "lock", "expired", "revoked", "replaced", "tampered")
ERRORS = ("", "not_allowed", "stale", "used_up", "field", "tampered", "failed", "enrol", "bad_message")
FIELD_REASONS = (
    "",
    "empty",
    "too_long",
    "too_short",
    "not_digits",
    "bad_area",
    "bad_character",
    "out_of_range",
    "bad_url",
    "bad_certificate",
    "bad_text",
)
ENROL_REASONS = (
    "",
    "host_form",
    "code_form",
    "code_refused",
    "bad_answer",
    "not_proved",
    "unreachable",
    "tls",
    "other",
)

_LENGTH_SIZE = const(2)
# Each type with the least and the most bytes of its body, one after the other; a sealed one has whole blocks as well.
# fmt: off
_SIZES = (
    ASK_INFO, 0, 0,
    SHARE_P, 65, 65,
    CONFIRM_P, 32, 32,
    GIVE_UP, 0, 0,
    RESUME, 60, 60,
    SEALED_P, 64, 1008,
    INFO, 33, 65,
    SHARE_V, 97, 97,
    RESUMED, 48, 48,
    SEALED_M, 64, 1008,
    REFUSED, 6, 6,
)
# fmt: on
_BLOCK_SIZE = const(16)


def frame(kind, *parts):
    """Bytes of a frame, its length before it, with a body of these parts."""
    out = b"".join(parts)
    size = len(out) + 1
    return bytes((size & 0xFF, size >> 8, kind)) + out


def is_well_formed(found):
    """True if a frame's type is in the protocol and its body has the size of that type."""
    size = len(found) - 1
    for at in range(0, len(_SIZES), 3):
        if _SIZES[at] == found[0]:
            blocks = found[0] in (SEALED_P, SEALED_M)
            return _SIZES[at + 1] <= size <= _SIZES[at + 2] and not (blocks and size % _BLOCK_SIZE)
    return False


class FrameReader:
    """Puts a stream of bytes together to frames, in one buffer and without copies.

    What came is read into `room()` and then counted by `add`; after that, `next()` until it gives None.
    """

    def __init__(self, most=FRAME_MAX):
        self._most = most
        self._buffer = bytearray(most + _LENGTH_SIZE)
        self._view = memoryview(self._buffer)
        self._have = 0
        self._used = 0  # of that, bytes of the frame that `next` gave last

    def room(self):
        """Where the next bytes go; never empty once `next` has given None."""
        return self._view[self._have :]

    def add(self, count):
        """So many bytes were put into `room()`."""
        self._have += count

    @property
    def begun(self):
        """True if a part of a frame is here that `next` has not given."""
        return self._have > self._used

    def next(self):
        """A frame as a memoryview, good until the next call, or None.

        LinkError("malformed") for a length of 0 or over `most`, as soon as it is here, and for what is no frame.
        """
        have = self._have
        view = self._view
        used = self._used
        if used:
            have -= used
            if have:
                view[:have][:] = view[used : used + have]
            self._have = have
            self._used = 0
        if have < _LENGTH_SIZE:
            return None
        size = view[0] | view[1] << 8
        if not 0 < size <= self._most:
            raise LinkError("malformed")
        end = size + _LENGTH_SIZE
        if have < end:
            return None
        found = view[_LENGTH_SIZE:end]
        if not is_well_formed(found):
            raise LinkError("malformed")
        self._used = end
        return found

    def take_over(self, other):
        """Go on where another reader stands: what that has and has not given out is here then, and nothing else."""
        rest = other._view[other._used : other._have]
        self._view[: len(rest)][:] = rest
        self._have = len(rest)
        self._used = 0
