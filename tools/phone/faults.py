"""What went wrong, for people and for programs: each error as a code, a text that says what to do, and an exit code."""

from typing import NamedTuple

from firmware import unique_info
from firmware.errors import FieldError, LinkError
from tools.phone.client import ChannelError, EndedError, MessageError, RefusedError
from tools.phone.links import CODES
from tools.phone.session import SessionLostError
from tools.phone.spake2plus import ProverError

DONE, REFUSED, USAGE, NOT_REACHED, NOT_ALLOWED, PROTOCOL = range(6)

_REFUSALS = {
    "wrong": "ID or password is wrong",
    "no_credential": "the module has no credential: have one issued, and wait until the module has fetched it",
    "no_time": "the credential has a lifetime, and the module does not know the time: it needs its server once",
    "locked": "no attempt is left on this way; the keypad, if there is one, may still have some",
    "busy": "somebody else is at work, at the keypad or with another phone: try again in a few minutes",
    "delayed": "too early after a failure",
    "tampered": "what the module stores is not what it wrote: only a credential that may recover is accepted",
    "timeout": "this computer took too long for the proof: try again",
    "failed": "the module's flash failed; nothing was judged",
    "no_session": "the session is over",
}
_ENDINGS = {
    "idle": "the session is over: nothing was done for 180 s",
    "lock": "the session is over: failed attempts have locked the credential",
    "expired": "the session is over: the credential's time is up",
    "revoked": "the session is over: the credential was revoked",
    "replaced": "the session is over: a newer credential has come",
    "tampered": "the session is over: what the module stores is not what it wrote",
    "done": "the session is over",
}
_ERRORS = {
    "not_allowed": "the credential does not allow this, or it is not done this way (a connection comes by `enrol`)",
    "stale": "somebody has changed the information meanwhile: look at it again, then repeat",
    "used_up": "the credential allows no further change",
    "tampered": "the information could not be read safely: try again",
    "failed": "the module's flash failed: look with `status` and `view` what holds",
}
_FIELDS = {
    "empty": "nothing is given; to delete it, say `delete`",
    "too_long": "is too long",
    "too_short": "is too short",
    "not_digits": "takes digits only",
    "bad_area": "begins with the number of its area, 01 to 10",
    "bad_character": "has a character that does not belong there: 0-9, A-Z and - do",
    "out_of_range": "is out of its range",
    "bad_url": "is no https://host[:port]",
    "bad_certificate": "is no certificate",
    "bad_text": "has a character that no text may have",
}
_ENROLMENT = {
    "host_form": "the host is not of the form host[:port]",
    "code_form": "the code is not right: 20 digits, of which the last one checks the others",
    "code_refused": "the server does not take the code: it is wrong, used or too old; have a new one issued",
    "bad_answer": "what answers there is no server of this kind",
    "not_proved": "the server took the code, but the new connection was not proved; nothing was changed",
    "unreachable": "the host cannot be reached by the module: is the name right, has the module a network?",
    "tls": "no secure connection to the host was possible",
    "other": "the enrolment failed",
}
_UNSURE = "; whether the last request was carried out is not known: look with `status` and `view`"


class UsageError(Exception):
    """The command cannot be carried out as it was given; the text says why."""


class Fault(NamedTuple):
    exit_code: int
    code: str
    text: str
    more: dict  # what else a program may want to know


def fault_of(error):
    """The Fault of any error that a command may end with; None for what is no fault but a defect."""
    for kind, describe in _KINDS:
        if isinstance(error, kind):
            return describe(error)
    return None


def _refused(error):
    text = _REFUSALS.get(error.code)
    if text is None:
        return Fault(PROTOCOL, error.code, f"the module took what was sent for an error ({error.code})", {})
    more = {"failures_left": error.failures_left, "delay_ms": error.delay_ms}
    if error.code in ("wrong", "delayed"):
        text += f"; attempts left on this way: {error.failures_left}"
        if error.delay_ms:
            text += f", the next one in {(error.delay_ms + 999) // 1000} s"
    return Fault(REFUSED, error.code, text, more)


def _message(error):
    if error.code == "field":
        return _field(error.field_id, error.reason)
    if error.code == "enrol":
        return Fault(NOT_ALLOWED, "enrol", _ENROLMENT.get(error.reason, _ENROLMENT["other"]), {"reason": error.reason})
    if error.code not in _ERRORS:
        return Fault(PROTOCOL, error.code, f"the module took a message for an error ({error.code})", {})
    return Fault(NOT_ALLOWED, error.code, _ERRORS[error.code], {})


def _field(field_id, reason):
    name = unique_info.name_of(field_id)
    text = f"{name}: {_FIELDS.get(reason, 'does not fit')}"
    if field_id in unique_info.FIELDS and reason in ("too_long", "too_short", "out_of_range"):
        text += " ({2} to {3})".format(*unique_info.FIELDS[field_id])
    return Fault(NOT_ALLOWED, "field", text, {"field": name, "reason": reason})


def _lost(error):
    text = CODES.get(error.code, _REFUSALS.get(error.code, error.code))
    more = {"unsure": True} if error.unsure else {}
    return Fault(NOT_REACHED, error.code, f"the link is lost: {text}{_UNSURE if error.unsure else ''}", more)


def _link(error):
    exit_code = USAGE if error.code in ("bad_link", "bad_ca", "several") else NOT_REACHED
    return Fault(exit_code, error.code, CODES.get(error.code, error.code), {})


def _prover(error):
    return Fault(USAGE if error.code == "digits" else PROTOCOL, error.code, str(error), {})


_KINDS = (
    (UsageError, lambda error: Fault(USAGE, "usage", str(error), {})),
    (RefusedError, _refused),
    (MessageError, _message),
    (EndedError, lambda error: Fault(REFUSED, error.reason, _ENDINGS[error.reason], {})),
    (ChannelError, lambda error: Fault(PROTOCOL, error.code, f"what answers is no module ({error.code})", {})),
    (FieldError, lambda error: _field(error.field, error.reason)),
    (ProverError, _prover),
    (SessionLostError, _lost),
    (LinkError, _link),
)
