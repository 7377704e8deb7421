"""Messages of docs/api.md that more than one caller needs, and the checks that all of them share."""

import json

from micropython import const

from firmware import settings
from firmware.errors import LinkError

HELLO = "/v1/module/hello"

_EPOCH_2000_IN_1970_S = const(946_684_800)
_U32_MAX = const(0xFFFFFFFF)
_HIGHEST = ("generation", "attempts", "attempts_number", "audit_number", "boot_count")


def encode(message):
    """A message as bytes of JSON."""
    return json.dumps(message).encode()


def u32(message, name, least=0):
    """An integer of an answer; LinkError("bad_answer") for anything else."""
    value = message.get(name)
    if type(value) is not int or not least <= value <= _U32_MAX:
        raise LinkError("bad_answer")
    return value


def text(message, name):
    """A string of an answer; LinkError("bad_answer") for anything else."""
    value = message.get(name)
    if type(value) is not str:
        raise LinkError("bad_answer")
    return value


def encode_hello(serial, nonce, firmware_version, state):
    """nonce: 32 hex digits; state: as docs/api.md says."""
    return encode(
        {
            "protocol": settings.LINK_PROTOCOL,
            "serial": serial,
            "nonce": nonce,
            "firmware": firmware_version,
            "state": state,
        }
    )


class HelloAnswer:
    """A checked answer to `hello`: now (UTC seconds since 2000), audit_through, highest."""

    def __init__(self, answer, nonce):
        if text(answer, "nonce") != nonce:
            raise LinkError("bad_answer")
        self.now = u32(answer, "now") - _EPOCH_2000_IN_1970_S
        self.audit_through = u32(answer, "audit_through")
        highest = answer.get("highest")
        if type(highest) is not dict:
            raise LinkError("bad_answer")
        self._highest = {name: u32(highest, name) for name in _HIGHEST}

    def is_ahead_of(self, state):
        """True if the server has seen more of this module than `state` says there is (S10)."""
        for name in _HIGHEST:
            if self._highest[name] > state[name]:
                return True
        return False
