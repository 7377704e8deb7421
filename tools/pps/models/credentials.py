"""One-time credentials, and the messages that bring them to users."""

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Code, Key, Name, Number, OfModule

OPEN_STATUSES = ("waiting", "offered", "accepted")
USED_UP = ("successes", "changes", "wiped")
"""Ends of a credential that let the session go on which is open under it (R8)."""


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
    """What somebody gets by mail or SMS. The text may hold ID and password and is erased when it has served (S4)."""

    __tablename__ = "messages"
    __table_args__ = (Index(None, "status", "next_try_at"),)

    id: Mapped[Key]
    kind: Mapped[Code] = mapped_column(default="credential")
    """credential, link (to the page where a resident gets one), alarm or alarms (several in one)."""
    module_id: Mapped[int | None] = mapped_column(ForeignKey("modules.id"), index=True)
    credential_id: Mapped[int | None] = mapped_column(ForeignKey("credentials.id"), unique=True)
    operator_id: Mapped[int | None] = mapped_column(ForeignKey("operators.id"), index=True)
    """Of the staff, whom it goes to."""
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
