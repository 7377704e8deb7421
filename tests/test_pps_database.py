"""The database: migrations, portability, erasing."""

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from tools.pps.db import Database
from tools.pps.models import Base


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")
    yield database
    database.close()


def test_r6_migrations_lead_to_the_models(database):
    for _ in range(2):  # a second start finds nothing to do
        database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_r6_tables_can_be_made_on_postgresql():
    for table in Base.metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=postgresql.dialect()))


def test_s4_overwritten_value_is_gone_from_every_file(database, tmp_path):
    secret = b"a verifier of thirty-two bytes.."
    database.migrate()
    with database.write() as session:
        session.execute(
            sqlalchemy.text(
                "INSERT INTO operators (id, name, password_hash, session_epoch, created_at) "
                "VALUES (1, 'x', :secret, 0, 0)"
            ),
            {"secret": secret.decode()},
        )

    def found():
        return any(secret in path.read_bytes() for path in tmp_path.iterdir())

    assert found()
    with database.write() as session:
        session.execute(sqlalchemy.text("UPDATE operators SET password_hash = ''"))
    assert not found()
    assert {path.name for path in tmp_path.iterdir()} == {"pps.sqlite3"}


def test_r27_transaction_that_fails_leaves_nothing(database):
    database.migrate()
    insert = sqlalchemy.text("INSERT INTO login_failures (id, name, address, at) VALUES (1, 'x', 'y', 0)")
    with pytest.raises(RuntimeError), database.write() as session:
        session.execute(insert)
        raise RuntimeError
    with database.read() as session:
        assert session.scalar(sqlalchemy.text("SELECT count(*) FROM login_failures")) == 0


def test_s4_database_errors_do_not_show_what_was_to_be_stored(database):
    database.migrate()
    insert = sqlalchemy.text("INSERT INTO nowhere (name) VALUES (:name)")
    with pytest.raises(sqlalchemy.exc.OperationalError) as caught, database.write() as session:
        session.execute(insert, {"name": "a secret"})
    assert "a secret" not in str(caught.value)
