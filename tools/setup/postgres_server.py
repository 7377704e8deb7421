"""A PostgreSQL of one's own, on a new folder, ended with whoever started it (in build/venv: tests, benchmarks)."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy

from tools.setup import postgres as setup

_START_TIMEOUT_S = 120
_LOOK_EVERY_S = 0.05
_OPTIONS = ("listen_addresses=", "jit=off", "max_connections=80", "shared_buffers=64MB", "wal_level=minimal",
            "max_wal_senders=0", "log_min_messages=fatal")  # fmt: skip


class NoPostgres(Exception):
    """There is no PostgreSQL here; the text says why."""


@contextlib.contextmanager
def server(options=()):
    """URL of a new server on a folder of its own. options: `name=value` for its settings. NoPostgres."""
    found = setup.find()
    if found is None:
        raise NoPostgres("no PostgreSQL")
    programs, environment = found
    folder = Path(tempfile.mkdtemp(prefix="inkan-pg-"))
    account = _account()
    run = {"cwd": folder, "env": {**os.environ, **environment}, "stdin": subprocess.DEVNULL}
    process = None
    try:
        if account:
            # initdb refuses root.
            os.chown(folder, account.pw_uid, account.pw_gid)
            run |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            programs = _within_reach(programs, folder, run)
        data = folder / "data"
        command = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "inkan",
            "--auth=trust",
            "--no-sync",
            "--no-locale",
            "-E",
            "UTF8",
        ]
        made = subprocess.run(command, capture_output=True, text=True, check=False, **run)
        if made.returncode:
            raise NoPostgres(f"initdb: {made.stderr.strip()[-300:]}")
        settings = [part for option in (*_OPTIONS, *options) for part in ("-c", option)]
        process = subprocess.Popen([programs / "postgres", "-D", data, "-k", folder, *settings], **run)
        yield _answering(process, f"postgresql+psycopg://inkan@/postgres?host={folder}")
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast": breaks off connections
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _account():
    """Whom the server runs as, where this is root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NoPostgres("no account to run PostgreSQL as, since it refuses root")


def _within_reach(programs, folder, run):
    """The programs, or a copy of them where the account may not enter their folder."""
    with contextlib.suppress(OSError):
        subprocess.run([programs / "postgres", "--version"], capture_output=True, check=True, **run)
        return programs
    usr = programs.parents[3]
    shutil.copytree(usr, folder / "usr", symlinks=True)
    run["env"] = {**run["env"], "LD_LIBRARY_PATH": ":".join(map(str, (folder / "usr/lib").glob("*-linux-*")))}
    return folder / "usr" / programs.relative_to(usr)


def _answering(process, url):
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            engine.connect().close()
            return url
        except sqlalchemy.exc.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise NoPostgres(f"PostgreSQL does not answer: {error.orig}") from None
            time.sleep(_LOOK_EVERY_S)
