"""Procedures: what an operator plans for a module when house, equipment or supplier changes (docs/lifecycle.md)."""

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Code, Key, Name, Number, OfModule

_OPEN = text("status = 'open'")


class Procedure(Base):
    """One procedure. A module has at most one that is open, and a site is planned for one module at most."""

    __tablename__ = "procedures"
    __table_args__ = (
        # Two operators at once cannot both open one, nor plan one site for two modules.
        Index("uq_procedures_open_module_id", "module_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("uq_procedures_open_site", "site", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
    )

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    kind: Mapped[Code]
    """new_resident, joins, leaves, moved or equipment."""
    status: Mapped[Code]
    """open, done, called_off or undone (at the deadline)."""
    site: Mapped[str | None] = mapped_column(String(22))
    """What is planned, None: it stays."""
    contract: Mapped[str | None] = mapped_column(String(20))
    opened_at: Mapped[Number]
    opened_by: Mapped[Name]
    deadline_at: Mapped[Number]
    closed_at: Mapped[Number | None]
    closed_by: Mapped[Name | None]
    """The operator, or "server"."""


class ProcedureCredential(Base):
    """A credential that was issued for a procedure: the first one, and others in its place."""

    __tablename__ = "procedure_credentials"

    procedure_id: Mapped[int] = mapped_column(ForeignKey("procedures.id"), primary_key=True)
    credential_id: Mapped[int] = mapped_column(ForeignKey("credentials.id"), primary_key=True, index=True)
