"""Procedures."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade():
    op.create_table(
        "procedures",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("site", sa.String(length=22), nullable=True),
        sa.Column("contract", sa.String(length=20), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_by", sa.String(length=80), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(length=80), nullable=True),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_procedures_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_procedures")),
    )
    op.create_index(op.f("ix_procedures_module_id"), "procedures", ["module_id"])
    is_open = sa.text("status = 'open'")
    for column in ("module_id", "site"):
        op.create_index(
            f"uq_procedures_open_{column}",
            "procedures",
            [column],
            unique=True,
            sqlite_where=is_open,
            postgresql_where=is_open,
        )
    op.create_table(
        "procedure_credentials",
        sa.Column("procedure_id", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credentials.id"], name=op.f("fk_procedure_credentials_credential_id")
        ),
        sa.ForeignKeyConstraint(
            ["procedure_id"], ["procedures.id"], name=op.f("fk_procedure_credentials_procedure_id")
        ),
        sa.PrimaryKeyConstraint("procedure_id", "credential_id", name=op.f("pk_procedure_credentials")),
    )
    op.create_index(op.f("ix_procedure_credentials_credential_id"), "procedure_credentials", ["credential_id"])


def downgrade():
    op.drop_table("procedure_credentials")
    op.drop_table("procedures")
