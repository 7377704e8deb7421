"""The page where residents ask for a credential themselves: what was asked for, and the links that were sent."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Key, Number, OfModule


class LinkRequest(Base):
    """Somebody typed a serial number, which need not exist. Kept as long as it counts against the next request."""

    __tablename__ = "link_requests"

    id: Mapped[Key]
    serial: Mapped[str] = mapped_column(String(32), index=True)
    address: Mapped[str] = mapped_column(String(64), index=True)
    at: Mapped[Number] = mapped_column(index=True)
    handled_at: Mapped[Number | None] = mapped_column(index=True)


class AccessLink(Base):
    """A link that was sent to a module's registered address. It is good for one credential."""

    __tablename__ = "access_links"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the token, hex; the token itself is in the message alone."""
    made_at: Mapped[Number]
    expires_at: Mapped[Number]
    used_at: Mapped[Number | None]
