"""The tables. Times are integers, seconds since 1970-01-01 UTC."""

from typing import Annotated

from sqlalchemy import JSON, BigInteger, ForeignKey, LargeBinary, MetaData, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Key = Annotated[int, mapped_column(primary_key=True)]
Number = Annotated[int, mapped_column(BigInteger)]
Code = Annotated[str, mapped_column(String(32))]
Name = Annotated[str, mapped_column(String(80))]
OfModule = Annotated[int, mapped_column(ForeignKey("modules.id"), index=True)]

HIGHEST = ("generation", "attempts", "attempts_number", "audit_number", "boot_count")
"""Counters of a module's state that never go back (S10)."""

OPEN_STATUSES = ("waiting", "offered", "accepted")
USED_UP = ("successes", "changes", "wiped")
"""Ends of a credential that let the session go on which is open under it (R8)."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Module(Base):
    """An information module that the PPS knows, with what it last said of itself."""

    __tablename__ = "modules"

    id: Mapped[Key]
    serial: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[Name]
    registered_at: Mapped[Number]

    last_seen_at: Mapped[Number | None]
    last_hello_at: Mapped[Number | None]
    last_identity: Mapped[Code | None]
    firmware: Mapped[Code | None]
    state: Mapped[dict | None] = mapped_column(JSON)
    """`state` of the last hello, as it came."""
    highest: Mapped[dict] = mapped_column(JSON, default=dict)
    """The highest value ever reported of each counter that cannot go back (S10); {} = none yet, or forgotten."""

    last_sequence: Mapped[Number] = mapped_column(default=0)
    """Highest sequence number that was given to a credential."""
    revoked_sequence: Mapped[Number] = mapped_column(default=0)
    revoked_confirmed: Mapped[Number] = mapped_column(default=0)
    """Highest revocation that the module says it acted on."""
    news_version: Mapped[Number] = mapped_column(default=0)
    """Grows whenever a waiting poll may have something to fetch."""

    audit_epoch: Mapped[Number] = mapped_column(default=0)
    """Grows when the module's audit numbers may start again."""
    audit_through: Mapped[Number] = mapped_column(default=0)


class Credential(Base):
    """One credential. w0, L and salt are there only until the module has them (S4); the password never is."""

    __tablename__ = "credentials"
    __table_args__ = (UniqueConstraint("module_id", "sequence"),)

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    sequence: Mapped[Number]
    status: Mapped[Code]
    """waiting, offered (handed out, not acknowledged), accepted, refused, replaced, revoked or ended."""
    identity: Mapped[Code | None]
    """connection or factory_identity: with whom the number is used, from the first time it is handed out (S7)."""

    w0: Mapped[bytes | None] = mapped_column(LargeBinary)
    l: Mapped[bytes | None] = mapped_column(LargeBinary)  # noqa: E741  the name in RFC 9383
    salt: Mapped[bytes | None] = mapped_column(LargeBinary)
    iterations: Mapped[Number]
    password_digits: Mapped[int]

    lifetime_s: Mapped[Number | None]
    max_successes: Mapped[int]
    max_failures: Mapped[int]
    max_changes: Mapped[int]
    scope: Mapped[dict] = mapped_column(JSON)

    channel: Mapped[Code]
    issued_at: Mapped[Number]
    issued_by: Mapped[Name]
    form_token: Mapped[str | None] = mapped_column(String(64), unique=True)
    """Of the form that it was issued with, so that a form sent twice issues once."""
    relay_hash: Mapped[str | None] = mapped_column(String(64), unique=True)
    """SHA-256 of the relay's token, hex (S5). The token itself is in the message alone; None: not through the relay."""
    offered_at: Mapped[Number | None]
    settled_at: Mapped[Number | None]
    refusal: Mapped[Code | None]
    closed_at: Mapped[Number | None]
    """When it was replaced, revoked, refused or reported as ended."""

    successes: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    changes: Mapped[int] = mapped_column(default=0)
    ended: Mapped[Code | None]
    """Why, as the module says."""
    wipe_seen: Mapped[bool] = mapped_column(default=False)
    """The module's new start after this `recover` credential was taken as it was; that happens once."""


class Message(Base):
    """What the user gets. The text holds ID and password and is erased when it has served (S4)."""

    __tablename__ = "messages"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id"), unique=True)
    channel: Mapped[Code]
    recipient: Mapped[str] = mapped_column(String(254))
    language: Mapped[Code]
    text: Mapped[str | None] = mapped_column(Text)
    status: Mapped[Code]
    """shown (no gateway: the operator passes it on), queued, sent, failed or dropped (the credential ended first)."""
    created_at: Mapped[Number]
    sent_at: Mapped[Number | None]
    erased_at: Mapped[Number | None]
    tries: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[Number] = mapped_column(default=0)
    problem: Mapped[Code | None]


class RelayConversation(Base):
    """A link of a phone to a module through the relay (R20). One of a module is open; ended ones stay for a while."""

    __tablename__ = "relay_conversations"
    __table_args__ = (UniqueConstraint("module_id", "name"),)

    id: Mapped[Key]
    module_id: Mapped[int] = mapped_column(ForeignKey("modules.id"))
    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id"), index=True)
    name: Mapped[str] = mapped_column(String(16))
    """As the phone drew it."""
    begun_at: Mapped[Number]
    phone_seen_at: Mapped[Number]
    module_seen_at: Mapped[Number]
    ended_at: Mapped[Number | None]
    last_at: Mapped[Number | None]
    """When it ends at the latest, its credential having ended before it."""
    version: Mapped[Number] = mapped_column(default=0)
    """Grows whenever a waiting phone may have something to fetch."""

    # Highest numbers of frames that came, and of those that the other end says it has.
    from_phone: Mapped[Number] = mapped_column(default=0)
    from_module: Mapped[Number] = mapped_column(default=0)
    taken_by_phone: Mapped[Number] = mapped_column(default=0)
    taken_by_module: Mapped[Number] = mapped_column(default=0)


class RelayFrame(Base):
    """A frame that the other end has still to fetch, as it came."""

    __tablename__ = "relay_frames"
    __table_args__ = (UniqueConstraint("conversation_id", "to_module", "number"),)

    id: Mapped[Key]
    conversation_id: Mapped[int] = mapped_column(ForeignKey("relay_conversations.id"))
    to_module: Mapped[bool]
    number: Mapped[Number]
    frame: Mapped[bytes] = mapped_column(LargeBinary)


class EnrolmentCode(Base):
    """A one-time code for a new connection (SA): only the key stretched from it is kept, and that while it is open."""

    __tablename__ = "enrolment_codes"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    key: Mapped[bytes | None] = mapped_column(LargeBinary)
    status: Mapped[Code]
    """open, used, expired, refused (too many wrong tries) or withdrawn."""
    offered_at: Mapped[Number]
    offered_by: Mapped[Name]
    expires_at: Mapped[Number]
    closed_at: Mapped[Number | None]
    wrong_tries: Mapped[int] = mapped_column(default=0)


class ConnectionCertificate(Base):
    """A certificate that the PPS's CA gave to a module."""

    __tablename__ = "connection_certificates"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the DER, hex."""
    issued_at: Mapped[Number]
    first_used_at: Mapped[Number | None]
    superseded_at: Mapped[Number | None]


class AuditRecord(Base):
    """A record of a module's audit trail (R26), as the module sent it."""

    __tablename__ = "audit_records"
    __table_args__ = (UniqueConstraint("module_id", "epoch", "number"),)

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    epoch: Mapped[Number]
    number: Mapped[Number]
    event: Mapped[Code]
    door: Mapped[Code]
    subject: Mapped[Code]
    detail: Mapped[int]
    fields: Mapped[list] = mapped_column(JSON)
    time: Mapped[Number | None]
    powered_s: Mapped[Number]
    sequence: Mapped[Number]
    generation: Mapped[Number]
    tag: Mapped[str] = mapped_column(String(56))
    received_at: Mapped[Number]


class Alarm(Base):
    """Something that an operator has to look at. Open until acknowledged."""

    __tablename__ = "alarms"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    kind: Mapped[Code]
    """tamper, rollback, audit_gap, audit_conflict or credential_refused."""
    detail: Mapped[dict] = mapped_column(JSON)
    raised_at: Mapped[Number]
    last_at: Mapped[Number]
    over_at: Mapped[Number | None]
    """When the module no longer said so."""
    acknowledged_at: Mapped[Number | None]
    acknowledged_by: Mapped[Name | None]


class Operator(Base):
    """Somebody of the PPS's staff who may use the console."""

    __tablename__ = "operators"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(String(80), unique=True)
    password_hash: Mapped[str] = mapped_column(String(200))
    session_epoch: Mapped[int] = mapped_column(default=0)
    """Grows at log-out: sessions of an earlier epoch are over."""
    created_at: Mapped[Number]


class OperatorAction(Base):
    """What an operator did (or the server's own start-up tools did), for the audit page."""

    __tablename__ = "operator_actions"

    id: Mapped[Key]
    at: Mapped[Number]
    operator: Mapped[Name]
    action: Mapped[Code]
    module_id: Mapped[int | None] = mapped_column(ForeignKey("modules.id"), index=True)
    detail: Mapped[dict] = mapped_column(JSON, default=dict)


class LoginFailure(Base):
    """A failed log-in, kept as long as it counts against the next one."""

    __tablename__ = "login_failures"

    id: Mapped[Key]
    name: Mapped[str] = mapped_column(String(80), index=True)
    address: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[Number]
