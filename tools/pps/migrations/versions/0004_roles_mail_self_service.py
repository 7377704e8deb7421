"""Roles, mail to operators, the residents' own page."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    with op.batch_alter_table("operators") as operators:
        operators.add_column(sa.Column("role", sa.String(length=32), nullable=False, server_default="operator"))
        operators.add_column(sa.Column("disabled_at", sa.BigInteger(), nullable=True))
        operators.add_column(sa.Column("mail", sa.String(length=254), nullable=True))
        operators.add_column(sa.Column("language", sa.String(length=32), nullable=False, server_default="ja"))
        operators.add_column(sa.Column("alarm_mail", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("modules") as modules:
        modules.add_column(sa.Column("contact_channel", sa.String(length=32), nullable=True))
        modules.add_column(sa.Column("contact_address", sa.String(length=254), nullable=True))
        modules.add_column(sa.Column("contact_language", sa.String(length=32), nullable=True))
    with op.batch_alter_table("messages") as messages:
        messages.add_column(sa.Column("kind", sa.String(length=32), nullable=False, server_default="credential"))
        messages.add_column(sa.Column("operator_id", sa.Integer(), nullable=True))
        messages.alter_column("module_id", existing_type=sa.Integer(), nullable=True)
        messages.alter_column("credential_id", existing_type=sa.Integer(), nullable=True)
        messages.create_foreign_key(op.f("fk_messages_operator_id"), "operators", ["operator_id"], ["id"])
        messages.create_index(op.f("ix_messages_operator_id"), ["operator_id"])
        messages.create_index(op.f("ix_messages_status_next_try_at"), ["status", "next_try_at"])
    with op.batch_alter_table("alarms") as alarms:
        alarms.add_column(sa.Column("noticed_at", sa.BigInteger(), nullable=True))
        alarms.create_index(op.f("ix_alarms_noticed_at"), ["noticed_at"])
        alarms.create_index(op.f("ix_alarms_acknowledged_at"), ["acknowledged_at"])
    op.execute("UPDATE alarms SET noticed_at = raised_at")  # nobody is told today of what is long known
    op.create_table(
        "module_assignments",
        sa.Column("operator_id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_module_assignments_module_id")),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_module_assignments_operator_id")),
        sa.PrimaryKeyConstraint("operator_id", "module_id", name=op.f("pk_module_assignments")),
    )
    op.create_index(op.f("ix_module_assignments_module_id"), "module_assignments", ["module_id"])
    op.create_table(
        "alarm_notices",
        sa.Column("operator_id", sa.Integer(), nullable=False),
        sa.Column("alarm_id", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["alarm_id"], ["alarms.id"], name=op.f("fk_alarm_notices_alarm_id")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_alarm_notices_message_id")),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_alarm_notices_operator_id")),
        sa.PrimaryKeyConstraint("operator_id", "alarm_id", name=op.f("pk_alarm_notices")),
    )
    op.create_index(op.f("ix_alarm_notices_alarm_id"), "alarm_notices", ["alarm_id"])
    op.create_table(
        "link_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("serial", sa.String(length=32), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("handled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_requests")),
    )
    for column in ("serial", "address", "at", "handled_at"):
        op.create_index(op.f(f"ix_link_requests_{column}"), "link_requests", [column])
    op.create_table(
        "access_links",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["module_id"], ["modules.id"], name=op.f("fk_access_links_module_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_links")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_access_links_token_hash")),
    )
    op.create_index(op.f("ix_access_links_module_id"), "access_links", ["module_id"])


def downgrade():
    for table in ("access_links", "link_requests", "alarm_notices", "module_assignments"):
        op.drop_table(table)
    op.drop_index(op.f("ix_alarms_acknowledged_at"), "alarms")
    op.drop_index(op.f("ix_alarms_noticed_at"), "alarms")
    op.drop_column("alarms", "noticed_at")
    # Only a credential's message has a place in the tables of before.
    op.execute("DELETE FROM messages WHERE credential_id IS NULL")
    op.drop_index(op.f("ix_messages_status_next_try_at"), "messages")
    op.drop_index(op.f("ix_messages_operator_id"), "messages")
    with op.batch_alter_table("messages") as messages:
        messages.drop_constraint(op.f("fk_messages_operator_id"), type_="foreignkey")
        messages.drop_column("operator_id")
        messages.drop_column("kind")
        messages.alter_column("module_id", existing_type=sa.Integer(), nullable=False)
        messages.alter_column("credential_id", existing_type=sa.Integer(), nullable=False)
    # Each by itself: SQLite could not make these tables anew under the rows that refer to them.
    for column in ("contact_language", "contact_address", "contact_channel"):
        op.drop_column("modules", column)
    for column in ("alarm_mail", "language", "mail", "disabled_at", "role"):
        op.drop_column("operators", column)
