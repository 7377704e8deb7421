"""New SQLite databases as copies of one that the migrations made, once for each worker.

What the migrations do is test_pps_database.py's affair, which runs them; everybody else wants the tables, and there are
hundreds who do.
"""

import functools
import shutil
import tempfile
import threading
from pathlib import Path

from tools.pps.db import Database

migrate = Database.migrate
"""As the server does it."""

_making = threading.Lock()


def copy_or_migrate(database, to="head"):
    """In place of Database.migrate."""
    name = database.engine.url.database if database.engine.dialect.name == "sqlite" else None
    path = Path(name) if name else None
    if to != "head" or path is None or (path.exists() and path.stat().st_size):
        migrate(database, to)
    else:
        with _making:
            ready = _ready()
        shutil.copyfile(ready, path)


@functools.cache
def _ready():
    folder = tempfile.TemporaryDirectory(prefix="inkan-database-")
    path = Path(folder.name, "pps.sqlite3")
    database = Database(f"sqlite:///{path}")
    migrate(database)
    database.close()
    _kept.append(folder)
    return path


_kept = []  # folders that go when the worker does
