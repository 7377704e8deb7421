"""Accounts and roles: who may do what, whose sessions end when, and the tables behind it."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config

from tools.pps.db import Database

MIGRATIONS = Path(__file__).resolve().parents[1] / "tools" / "pps" / "migrations"
ROWS_OF_BEFORE = (
    "INSERT INTO operators (id, name, password_hash, session_epoch, created_at) VALUES (1, 'x', 'y', 0, 0)",
    "INSERT INTO modules (id, serial, name, registered_at, highest, last_sequence, revoked_sequence, revoked_confirmed, "
    "news_version, audit_epoch, audit_through) VALUES (1, 'A', 'a', 0, '{}', 0, 0, 0, 0, 0, 0)",
    "INSERT INTO alarms (id, module_id, kind, detail, raised_at, last_at) VALUES (1, 1, 'tamper', '{}', 5, 5)",
)


def test_r6_tables_of_roles_come_and_go_under_rows_that_refer_to_each_other(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")

    def migrate(step, revision):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with database.engine.execution_options(inkan_write=True).begin() as connection:
            config.attributes["connection"] = connection
            step(config, revision)

    def one(query):
        with database.read() as session:
            return session.scalar(sqlalchemy.text(query))

    migrate(command.upgrade, "0003")
    with database.write() as session:
        for statement in ROWS_OF_BEFORE:
            session.execute(sqlalchemy.text(statement))
    migrate(command.upgrade, "0004")
    assert one("SELECT role FROM operators") == "operator"
    assert one("SELECT noticed_at FROM alarms") == 5
    with database.write() as session:
        session.execute(sqlalchemy.text("INSERT INTO module_assignments (operator_id, module_id) VALUES (1, 1)"))
    migrate(command.downgrade, "0003")
    migrate(command.upgrade, "0004")
    assert one("SELECT count(*) FROM modules") == 1
    assert one("SELECT count(*) FROM module_assignments") == 0
    database.close()
