"""Databases for the tests that run on SQLite and on PostgreSQL alike.

DATABASE_URL names a PostgreSQL that is to be used; otherwise the run starts one of its own, once for all of its
workers, and ends it after the last of them. Each database is a schema of its own, dropped at the end.

The server is watched over by a process of its own (`python -m tests.postgres FOLDER`). Who uses it holds a lock that
the system takes back even from a worker that was killed; once nobody holds it, the process ends the server.
"""

import contextlib
import fcntl
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy

from tools.pps.db import Database
from tools.setup import BUILD, ROOT
from tools.setup import postgres as setup
from tools.setup.postgres_server import NoPostgres, server

_RUN_FOLDER = BUILD / "postgres-run"
_START_TIMEOUT_S = 120
_LOOK_EVERY_S = 0.05
_NO_DURABILITY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_held = []


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """URL of an empty database, on each of the two in turn."""
    yield from _fresh(request.param, tmp_path)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database_url(request, tmp_path_factory):
    """The same for all tests of a module."""
    yield from _fresh(request.param, tmp_path_factory.mktemp("database"))


@pytest.fixture
def postgres_url():
    """URL of an empty database on PostgreSQL."""
    yield from _fresh("postgresql", None)


def _fresh(kind, folder):
    if kind == "sqlite":
        yield f"sqlite:///{folder}/pps.sqlite3"
        return
    try:
        server_url = shared_server()
    except NoPostgres as reason:
        pytest.skip(str(reason))
    with schema(server_url) as url:
        yield url


@contextlib.contextmanager
def schema(server_url):
    """URL of a schema of its own on a server, as long as it is open."""
    name = f"inkan_{secrets.token_hex(6)}"
    engine = sqlalchemy.create_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        options = {"options": f"-csearch_path={name}"}
        yield sqlalchemy.make_url(server_url).update_query_dict(options).render_as_string(hide_password=False)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
    finally:
        engine.dispose()


def shared_server():
    """URL of the run's server, started where it is not there yet. NoPostgres."""
    given = os.environ.get("DATABASE_URL")
    if given:
        return given
    _RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    if not _held:
        with open(_RUN_FOLDER / "starting", "w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            users = open(_RUN_FOLDER / "users", "w")  # noqa: SIM115  open as long as this process lives
            fcntl.flock(users, fcntl.LOCK_SH)  # waits where the last server is just being ended
            if not _answers():
                (_RUN_FOLDER / "server.json").unlink(missing_ok=True)
                _start_watcher()
            _held.append(users)
    return json.loads((_RUN_FOLDER / "server.json").read_text())["url"]


def _answers():
    """Whether the server of an earlier worker is there."""
    try:
        engine = sqlalchemy.create_engine(json.loads((_RUN_FOLDER / "server.json").read_text())["url"])
        engine.connect().close()
        engine.dispose()
    except (OSError, sqlalchemy.exc.OperationalError):
        return False
    return True


def _start_watcher():
    if setup.find() is None:
        raise NoPostgres("no PostgreSQL: `python3 -m tools.setup postgres` fetches Debian's")
    log = _RUN_FOLDER / "log"
    with open(log, "w") as output:
        watcher = subprocess.Popen(
            [sys.executable, "-m", "tests.postgres", _RUN_FOLDER],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not (_RUN_FOLDER / "server.json").exists():
        if watcher.poll() is not None or time.monotonic() > deadline:
            raise NoPostgres(f"PostgreSQL did not start: {log.read_text()[-400:]}")
        time.sleep(_LOOK_EVERY_S)


def _watch(run_folder):
    """Run a server until nobody holds the lock on `users` any more."""
    told = run_folder / "server.json"
    with server(options=_NO_DURABILITY) as url:
        part = run_folder / "server.part"
        part.write_text(json.dumps({"url": url}))
        part.rename(told)
        # Never closed: a next user gets the lock only when this process has ended, and its server with it.
        users = os.open(run_folder / "users", os.O_RDWR | os.O_CREAT)
        fcntl.flock(users, fcntl.LOCK_EX)
        told.unlink()


def opened(url):
    """A Database with its tables. The caller closes it."""
    database = Database(url)
    database.migrate()
    return database


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
