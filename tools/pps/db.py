"""The database: engine, transactions, migrations. SQLite by default, else what the URL names.

Erased must be gone from the file too (S4). So SQLite overwrites what it frees (secure_delete), and keeps a
rollback journal that ends with each transaction instead of a write-ahead log, whose old frames would outlive it.
PostgreSQL keeps dead rows until its vacuum and its log until it is recycled: there, erased means out of reach of SQL.
"""

import contextlib
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import event
from sqlalchemy.orm import Session

_MIGRATIONS = Path(__file__).with_name("migrations")
_BUSY_TIMEOUT_S = 10
_MIGRATION_LOCK = 0x696E6B616F


class Database:
    """Hands out transactions. Objects read in one stay usable after it."""

    def __init__(self, url):
        if url.startswith("postgres://"):  # as some hosts of databases say it
            url = "postgresql" + url.removeprefix("postgres")
        arguments = {}
        if sqlalchemy.make_url(url).get_backend_name() == "sqlite":
            arguments["connect_args"] = {"timeout": _BUSY_TIMEOUT_S}
        # hide_parameters: an error's text, which may be logged, would else hold what was to be stored.
        self.engine = sqlalchemy.create_engine(url, hide_parameters=True, **arguments)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        self._writing = self.engine.execution_options(inkan_write=True)

    @contextlib.contextmanager
    def read(self):
        """A session that only reads."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self):
        """A session whose changes are committed at the end, all or none."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def ping(self):
        """Raise SQLAlchemyError unless the database answers."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def begin(self):
        """As write(), but a connection and no session, for what has to be quick."""
        return self._writing.begin()

    def migrate(self, to="head"):
        """Bring the tables to a version, the newest by default. Replicas that start together wait for one another."""
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self._writing.begin() as connection:
            config.attributes["connection"] = connection
            if connection.dialect.name == "postgresql":
                connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            if to != "head" and (MigrationContext.configure(connection).get_current_revision() or "") > to:
                command.downgrade(config, to)
            else:
                command.upgrade(config, to)

    def close(self):
        self.engine.dispose()


def _prepare_sqlite(connection, record):
    connection.isolation_level = None  # the driver begins nothing by itself
    for pragma in ("journal_mode=DELETE", "secure_delete=ON", "foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection):
    # A transaction that turned from reading to writing could fail half-way; one that starts as a writer waits.
    writes = connection.get_execution_options().get("inkan_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
