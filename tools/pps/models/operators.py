"""The PPS's staff: who may use the console, and what they did."""

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Code, Key, Name, Number


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
