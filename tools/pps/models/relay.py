"""The relay: phones and modules that meet at the server (R20)."""

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Key, Number


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
