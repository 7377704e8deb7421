"""Half-hour values (R23, R24): what came, what it means, and who it is reported for.

The three large tables have no foreign keys: a key costs a look-up for each row, and modules, epochs and sites are never
deleted. On PostgreSQL they are partitioned by month (see `tools.pps.partitions`), on SQLite they are clustered by key.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from tools.pps.models.base import Base, Code, Key, Name, Number, OfModule

QUANTITIES = ("pv", "charged", "discharged", "ev_charged", "ev_discharged", "bought", "sold")
"""In the order of docs/format.md, "Readings body"."""


class ReportKey(Base):
    """The key by which a connection authenticates its reports, told once for each certificate."""

    __tablename__ = "report_keys"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    fingerprint: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the certificate: SHA-256 of the DER, hex."""
    key: Mapped[bytes] = mapped_column(LargeBinary)
    told_at: Mapped[Number]


class Site(Base):
    """For which generation site and contract a module reports. One row of a module is current; former ones stay."""

    __tablename__ = "sites"
    __table_args__ = (
        # Two requests that come at once cannot both claim a site, nor give a module two.
        Index(
            "uq_sites_current_number",
            "number",
            unique=True,
            sqlite_where=text("until_at IS NULL"),
            postgresql_where=text("until_at IS NULL"),
        ),
        Index(
            "uq_sites_current_module_id",
            "module_id",
            unique=True,
            sqlite_where=text("until_at IS NULL"),
            postgresql_where=text("until_at IS NULL"),
        ),
        Index("ix_sites_contract", "contract"),
    )

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    number: Mapped[str] = mapped_column(String(22))
    """22 digits."""
    contract: Mapped[str] = mapped_column(String(20))
    assigned_by: Mapped[Name | None]
    """The operator; None: the module said so first."""
    since_at: Mapped[Number]
    until_at: Mapped[Number | None]


class ReadingsEpoch(Base):
    """A usage history of a module, from one deletion to the next, and how far it has come.

    Its row is locked by whoever stores something of it.
    """

    __tablename__ = "readings_epochs"
    # Room in each page, so that an update, one a report, stays in it and touches no index.
    __table_args__ = (UniqueConstraint("module_id", "epoch"), {"postgresql_with": {"fillfactor": 50}})

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    epoch: Mapped[str] = mapped_column(String(16))
    """As on the wire, hex."""
    through: Mapped[Number] = mapped_column(default=0)
    """Everything up to this number is here or was passed over."""
    highest: Mapped[Number] = mapped_column(default=0)
    """The highest number that is here."""
    highest_tag: Mapped[bytes | None] = mapped_column(LargeBinary)
    newest_slot: Mapped[Number] = mapped_column(default=0)
    placed_through: Mapped[Number] = mapped_column(default=0)
    """Points up to this number have been placed."""
    points_wait: Mapped[bool] = mapped_column(default=False)
    """There may be points above placed_through."""
    begun_at: Mapped[Number]
    reported_at: Mapped[Number]
    """When the last report of it came."""


class ReadingGap(Base):
    """Numbers of an epoch that will never come."""

    __tablename__ = "reading_gaps"

    id: Mapped[Key]
    module_id: Mapped[OfModule]
    epoch_id: Mapped[int] = mapped_column(ForeignKey("readings_epochs.id"))
    first: Mapped[Number]
    last: Mapped[Number]
    reason: Mapped[Code]
    """passed_over (the module says that it will not send them) or no_room (points that have no free slot)."""
    detail: Mapped[dict | None] = mapped_column(JSON)
    noted_at: Mapped[Number]


class ReadingRecord(Base):
    """A record as it came, so that it can be shown that none was dropped, doubled or edited."""

    __tablename__ = "reading_records"
    __table_args__ = ({"postgresql_partition_by": "RANGE (received_at)", "sqlite_with_rowid": False},)

    module_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epoch_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    received_at: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """In the key because the partitions are cut by it; the epoch's lock keeps numbers single."""
    key_id: Mapped[int]
    """Of the ReportKey that the MAC was made with."""
    kind: Mapped[int] = mapped_column(SmallInteger)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    tag: Mapped[bytes] = mapped_column(LargeBinary)
    mac: Mapped[bytes] = mapped_column(LargeBinary)


class SlotValues(Base):
    """The energy of one half hour of a module, or of `span` of them that end with it. Wh; None = missing.

    A half hour in which the contract number changed has a row for each contract's part of it.
    """

    __tablename__ = "slot_values"
    __table_args__ = ({"postgresql_partition_by": "RANGE (slot)", "sqlite_with_rowid": False},)

    module_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """Half hours since 2000-01-01T00:00 UTC."""
    contract: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """As in the record: a tag of the contract number that holds within an epoch."""
    span: Mapped[int]
    pv: Mapped[int | None]
    charged: Mapped[int | None]
    discharged: Mapped[int | None]
    ev_charged: Mapped[int | None]
    ev_discharged: Mapped[int | None]
    bought: Mapped[int | None]
    sold: Mapped[int | None]
    quality: Mapped[int]
    """Four bits a quantity, as in the record."""
    flags: Mapped[int] = mapped_column(SmallInteger)
    """As in the record; PLACED (256): made by the server from points."""
    site_id: Mapped[int]
    epoch_id: Mapped[int]
    number: Mapped[int] = mapped_column(BigInteger)
    """The record that it comes from."""


class CircuitValues(Base):
    """The branch circuits of a half hour, or of `span` of them that end with it."""

    __tablename__ = "circuit_values"
    __table_args__ = ({"postgresql_partition_by": "RANGE (slot)", "sqlite_with_rowid": False},)

    module_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """The record that it comes from."""
    span: Mapped[int]
    energies: Mapped[bytes] = mapped_column(LargeBinary)
    """Wh, u16 little-endian for each circuit."""
    quality: Mapped[int] = mapped_column(BigInteger)
    """Two bits a circuit."""
    epoch_id: Mapped[int]
