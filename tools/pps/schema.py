"""The bodies of the module API, strict: docs/api.md in types."""

import itertools
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


def _hex(size):
    return Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * size}}}$")]


def _whole(low, high):
    return Annotated[int, Field(ge=low, le=high)]


Counter = _whole(0, 2**32 - 1)
Sequence = _whole(1, 2**32 - 1)
Count = _whole(0, 2**16 - 1)
UnixTime = _whole(0, 2**40)
Serial = Annotated[str, Field(pattern="^[A-Za-z0-9-]{1,32}$")]
Name = Annotated[str, Field(pattern="^[a-z0-9_]{1,32}$")]
NameOrEmpty = Annotated[str, Field(pattern="^[a-z0-9_]{0,32}$")]
# 3,072 bytes of DER at most: a certificate request is a few hundred.
Base64 = Annotated[str, Field(max_length=4096, pattern="^[A-Za-z0-9+/]*={0,2}$")]
Conversation = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
# 3 to 1,026 bytes.
_FRAME = "^([A-Za-z0-9+/]{4})+([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
Frame = Annotated[str, Field(max_length=1368, pattern=_FRAME)]
Group = Literal["customer", "usage_history", "site", "capacity", "connection"]
IdentityKind = Literal["connection", "factory_identity", "factory"]
EndReason = Literal["expired", "successes", "failures", "changes", "revoked", "replaced", "broken", "wiped"]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ErrorDetail(Strict):
    code: str
    message: str


class ErrorAnswer(Strict):
    error: ErrorDetail


class CredentialState(Strict):
    issuer: IdentityKind
    sequence: Counter
    successes: Count
    failures: Count
    changes: Count
    ended: EndReason | None


class EnergyState(Strict):
    device: Literal["ok", "silent", "none", "unknown_map"]
    report: Literal["ok", "no_site", "no_contract", "tampered", "waiting"]
    waiting: Counter
    newest_slot: Counter | None


class State(Strict):
    generation: Counter
    boot_count: Counter
    powered_s: Counter
    attempts: Counter
    attempts_number: Counter
    audit_number: Counter
    tamper: Name | None
    credential: CredentialState | None
    energy: EnergyState | None = None


class HelloRequest(Strict):
    protocol: Literal[1]
    serial: Serial
    nonce: _hex(16)
    firmware: Annotated[str, Field(pattern="^[ -~]{1,32}$")]
    state: State


class Highest(Strict):
    generation: Counter
    attempts: Counter
    attempts_number: Counter
    audit_number: Counter
    boot_count: Counter


class HelloAnswer(Strict):
    nonce: _hex(16)
    now: UnixTime
    audit_through: Counter
    highest: Highest


class RelayTaken(Strict):
    conversation: Conversation
    received: Counter


class PollRequest(Strict):
    protocol: Literal[1]
    sequence: Counter
    revoked: Counter
    wait_s: _whole(0, 55)
    relay: RelayTaken | None = None


class Scope(Strict):
    see: list[Group]
    change: list[Group]
    delete: list[Group]
    recover: bool


class Credential(Strict):
    sequence: Sequence
    w0: _hex(32)
    l: _hex(65)  # noqa: E741  the name in RFC 9383
    salt: _hex(16)
    iterations: _whole(1000, 100_000)
    password_digits: _whole(8, 16)
    lifetime_s: _whole(60, 365 * 24 * 3600) | None
    max_successes: _whole(1, 1000)
    max_failures: _whole(1, 100)
    max_changes: _whole(1, 1000)
    scope: Scope


class RelayNext(Strict):
    conversation: Conversation
    number: Sequence
    frame: Frame


class RelayClosed(Strict):
    conversation: Conversation
    closed: Literal[True]


class PollAnswer(Strict):
    credential: Credential | None
    revoked: Counter
    relay: RelayNext | RelayClosed | None


class ModuleRelayRequest(Strict):
    protocol: Literal[1]
    conversation: Conversation
    number: Sequence
    frame: Frame | None


class NumberedFrame(Strict):
    number: Sequence
    frame: Frame


class RelayRequest(Strict):
    token: _hex(16)
    conversation: Conversation
    received: Counter
    frames: Annotated[list[NumberedFrame], Field(max_length=4)]
    wait_s: _whole(0, 25)
    close: bool = False

    @model_validator(mode="after")
    def _numbers_ascend(self):
        _need_ascending(frame.number for frame in self.frames)
        return self


class RelayAnswer(Strict):
    frames: list[NumberedFrame]
    module: Literal["online", "offline"]
    closed: bool


class AckRequest(Strict):
    protocol: Literal[1]
    sequence: Sequence
    result: Literal["accepted", "ignored", "refused"]
    code: Literal["bad_w0", "bad_l", "bad_limits", "bad_scope"] | None

    @model_validator(mode="after")
    def _code_goes_with_refused(self):
        if (self.result == "refused") != (self.code is not None):
            raise ValueError("a code goes with refused, and only with that")
        return self


class AckAnswer(Strict):
    ok: Literal[True]


class AuditRecord(Strict):
    number: Sequence
    event: Name
    door: Literal["none", "keypad", "ble", "relay", "serial"]
    subject: NameOrEmpty
    detail: _whole(0, 255)
    fields: Annotated[list[Name], Field(max_length=40)]
    time: UnixTime | None
    powered_s: Counter
    sequence: Counter
    generation: Counter
    tag: _hex(28)
    mac: _hex(16) | None = None


def _need_ascending(numbers):
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise ValueError("numbers have to ascend")


class AuditRequest(Strict):
    protocol: Literal[1]
    before: _hex(28) | None = None
    records: Annotated[list[AuditRecord], Field(min_length=1, max_length=16)]

    @model_validator(mode="after")
    def _numbers_ascend(self):
        _need_ascending(record.number for record in self.records)
        return self


class AuditAnswer(Strict):
    through: Counter


class ReportKeyRequest(Strict):
    protocol: Literal[1]
    key: _hex(32)


class ReadingRecord(Strict):
    number: Sequence
    body: _hex(80)
    tag: _hex(28)
    mac: _hex(16)


class ReadingsRequest(Strict):
    protocol: Literal[1]
    epoch: _hex(8)
    site: Annotated[str, Field(pattern="^[0-9]{22}$")]
    contract: Annotated[str, Field(pattern="^[0-9A-Z-]{1,20}$")]
    head: Counter
    oldest: _whole(1, 2**32) | None = None
    before: _hex(28)
    records: Annotated[list[ReadingRecord], Field(max_length=16)]

    @model_validator(mode="after")
    def _numbers_follow(self):
        if any(later.number != earlier.number + 1 for earlier, later in itertools.pairwise(self.records)):
            raise ValueError("numbers have to follow one another")
        return self


class ReadingsAnswer(Strict):
    epoch: _hex(8)
    through: Counter


class EnrolRequest(Strict):
    protocol: Literal[1]
    serial: Serial
    nonce: _hex(16)
    request: Base64
    mac: _hex(32)


class EnrolAnswer(Strict):
    nonce: _hex(16)
    ca: Base64
    certificate: Base64
    credential_url: str
    energy_url: str
    energy_ca: Base64 | None
    mac: _hex(32)
