"""The modules: what they say of themselves, who they are, what they have noted."""

from sqlalchemy import JSON, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Code, Key, Name, Number, OfModule

HIGHEST = ("generation", "attempts", "attempts_number", "audit_number", "boot_count")
"""Counters of a module's state that never go back (S10)."""


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

    # Where the resident is reached; all three or none.
    contact_channel: Mapped[Code | None]
    contact_address: Mapped[str | None] = mapped_column(String(254))
    contact_language: Mapped[Code | None]


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
    before: Mapped[str | None] = mapped_column(String(56))
    """Tag of the record before, where the module said it."""
    mac: Mapped[str | None] = mapped_column(String(32))
    """By the report key, over this tag and the one before."""
    received_at: Mapped[Number]


class Alarm(Base):
    """Something that an operator has to look at. Open until acknowledged."""

    __tablename__ = "alarms"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    kind: Mapped[Code]
    """tamper, rollback, audit_gap, audit_conflict, credential_refused, readings_rollback, readings_gap,
    readings_conflict, readings_foreign or report_key."""
    detail: Mapped[dict] = mapped_column(JSON)
    raised_at: Mapped[Number]
    last_at: Mapped[Number]
    over_at: Mapped[Number | None]
    """When the module no longer said so."""
    acknowledged_at: Mapped[Number | None] = mapped_column(index=True)
    acknowledged_by: Mapped[Name | None]
    noticed_at: Mapped[Number | None] = mapped_column(index=True)
    """When it was found out whom to tell by mail."""
