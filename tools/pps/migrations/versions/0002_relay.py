"""The relay: tokens, conversations, frames."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    with op.batch_alter_table("credentials") as credentials:
        credentials.add_column(sa.Column("relay_hash", sa.String(length=64), nullable=True))
        credentials.create_unique_constraint(op.f("uq_credentials_relay_hash"), ["relay_hash"])
    op.create_table(
        "relay_conversations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=16), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("phone_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("module_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("last_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("from_phone", sa.BigInteger(), nullable=False),
        sa.Column("from_module", sa.BigInteger(), nullable=False),
        sa.Column("taken_by_phone", sa.BigInteger(), nullable=False),
        sa.Column("taken_by_module", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credentials.id"], name=op.f("fk_relay_conversations_credential_id")
        ),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_relay_conversations_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_conversations")),
        sa.UniqueConstraint("module_id", "name", name=op.f("uq_relay_conversations_module_id_name")),
    )
    op.create_index(
        op.f("ix_relay_conversations_credential_id"), "relay_conversations", ["credential_id"], unique=False
    )
    op.create_table(
        "relay_frames",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sa.Integer(), nullable=False),
        sa.Column("to_module", sa.Boolean(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["relay_conversations.id"], name=op.f("fk_relay_frames_conversation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relay_frames")),
        sa.UniqueConstraint(
            "conversation_id", "to_module", "number", name=op.f("uq_relay_frames_conversation_id_to_module_number")
        ),
    )
