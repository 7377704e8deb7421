"""Half-hour values: report keys, sites, epochs, records, slots, circuits, gaps; MACs of the audit trail.

The partitions of the large tables are not made here: the server makes them as it needs them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TABLES = (
    "reading_gaps",
    "readings_epochs",
    "sites",
    "report_keys",
    "reading_records",
    "slot_values",
    "circuit_values",
)


def upgrade():
    with op.batch_alter_table("audit_records") as audit_records:
        audit_records.add_column(sa.Column("before", sa.String(length=56), nullable=True))
        audit_records.add_column(sa.Column("mac", sa.String(length=32), nullable=True))
    op.create_table(
        "report_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_report_keys_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report_keys")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_report_keys_fingerprint")),
    )
    op.create_index(op.f("ix_report_keys_module_id"), "report_keys", ["module_id"])
    op.create_table(
        "sites",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(length=22), nullable=False),
        sa.Column("contract", sa.String(length=20), nullable=False),
        sa.Column("assigned_by", sa.String(length=80), nullable=True),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_sites_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
    )
    op.create_index(op.f("ix_sites_module_id"), "sites", ["module_id"])
    op.create_index("ix_sites_contract", "sites", ["contract"])
    current = sa.text("until_at IS NULL")
    for column in ("number", "module_id"):
        op.create_index(
            f"uq_sites_current_{column}",
            "sites",
            [column],
            unique=True,
            sqlite_where=current,
            postgresql_where=current,
        )
    op.create_table(
        "readings_epochs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.String(length=16), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        sa.Column("highest_tag", sa.LargeBinary(), nullable=True),
        sa.Column("newest_slot", sa.BigInteger(), nullable=False),
        sa.Column("placed_through", sa.BigInteger(), nullable=False),
        sa.Column("points_wait", sa.Boolean(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_readings_epochs_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_readings_epochs")),
        sa.UniqueConstraint("module_id", "epoch", name=op.f("uq_readings_epochs_module_id_epoch")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index(op.f("ix_readings_epochs_module_id"), "readings_epochs", ["module_id"])
    op.create_table(
        "reading_gaps",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=True),
        sa.Column("noted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["epoch_id"], ["readings_epochs.id"], name=op.f("fk_reading_gaps_epoch_id")),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_reading_gaps_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reading_gaps")),
    )
    op.create_index(op.f("ix_reading_gaps_module_id"), "reading_gaps", ["module_id"])
    op.create_table(
        "reading_records",
        sa.Column("module_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("tag", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("module_id", "epoch_id", "number", "received_at", name=op.f("pk_reading_records")),
        postgresql_partition_by="RANGE (received_at)",
        sqlite_with_rowid=False,
    )
    energies = ("pv", "charged", "discharged", "ev_charged", "ev_discharged", "bought", "sold")
    op.create_table(
        "slot_values",
        sa.Column("module_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("contract", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("span", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in energies),
        sa.Column("quality", sa.Integer(), nullable=False),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.Column("site_id", sa.Integer(), nullable=False),
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("module_id", "slot", "contract", name=op.f("pk_slot_values")),
        postgresql_partition_by="RANGE (slot)",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "circuit_values",
        sa.Column("module_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("energies", sa.LargeBinary(), nullable=False),
        sa.Column("quality", sa.BigInteger(), nullable=False),
        sa.Column("epoch_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("module_id", "slot", "number", name=op.f("pk_circuit_values")),
        postgresql_partition_by="RANGE (slot)",
        sqlite_with_rowid=False,
    )


def downgrade():
    for name in _TABLES:  # with their partitions
        op.drop_table(name)
    with op.batch_alter_table("audit_records") as audit_records:
        audit_records.drop_column("mac")
        audit_records.drop_column("before")
