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
    role: Mapped[Code] = mapped_column(default="operator")
    """See services/access.py."""
    disabled_at: Mapped[Number | None]
    """When the account was taken away."""
    mail: Mapped[str | None] = mapped_column(String(254))
    language: Mapped[Code] = mapped_column(default="ja")
    alarm_mail: Mapped[bool] = mapped_column(default=False)
    """Alarms go to this address."""


class ModuleAssignment(Base):
    """A module on the list of an operator, as a rule an installer."""

    __tablename__ = "module_assignments"

    operator_id: Mapped[int] = mapped_column(ForeignKey("operators.id"), primary_key=True)
    module_id: Mapped[int] = mapped_column(ForeignKey("modules.id"), primary_key=True, index=True)


class AlarmNotice(Base):
    """An alarm that an operator is to be told of by mail; message_id: of the mail, once there is one."""

    __tablename__ = "alarm_notices"

    operator_id: Mapped[int] = mapped_column(ForeignKey("operators.id"), primary_key=True)
    alarm_id: Mapped[int] = mapped_column(ForeignKey("alarms.id"), primary_key=True, index=True)
    message_id: Mapped[int | None] = mapped_column(ForeignKey("messages.id"))


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
