"""The large tables by month: partitions made ahead and dropped on PostgreSQL, rows deleted on SQLite.

Months are UTC's, counted from year 0 (year * 12 + month - 1). A partition is named after its table and month,
`slot_values_202611`.
"""

import datetime
import re
import threading
from typing import NamedTuple

from sqlalchemy import text

from tools.pps.readings_body import slot_of


class _Cut(NamedTuple):
    """By which column a table is cut, and that column's value at a time in Unix seconds."""

    column: str
    at: object


TABLES = {
    "reading_records": _Cut("received_at", lambda unix_s: unix_s),
    "slot_values": _Cut("slot", slot_of),
    "circuit_values": _Cut("slot", slot_of),
}

_LOCK = 0x696E6B616E  # "inkan": whoever changes the partitions, in this database
_LOCK_TIMEOUT = "5s"


def month_of(unix_s):
    """The month that a time lies in."""
    when = datetime.datetime.fromtimestamp(unix_s, datetime.UTC)
    return when.year * 12 + when.month - 1


def month_start(month):
    """Unix seconds."""
    return int(datetime.datetime(month // 12, month % 12 + 1, 1, tzinfo=datetime.UTC).timestamp())


class Partitions:
    """Makes and drops partitions, and remembers which are there. Safe in several threads and replicas."""

    def __init__(self, database, keep):
        """keep: {table: how many full months beside the present one, 0 = for ever}."""
        self._database = database
        self._keep = keep
        self._known = {table: set() for table in TABLES}
        self._lock = threading.Lock()
        self._on_postgresql = database.engine.dialect.name == "postgresql"

    def first_kept(self, table, now):
        """The oldest time of which a table keeps rows, in Unix seconds."""
        keep = self._keep[table]
        return month_start(month_of(now) - keep) if keep else 0

    def need(self, wanted):
        """Have the partitions of {table: months}."""
        if not self._on_postgresql:
            return
        missing = [
            (table, month) for table, months in wanted.items() for month in months if month not in self._known[table]
        ]
        if not missing:
            return
        with self._lock, self._database.write() as session:
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            for table, month in missing:
                _make(session, table, month)
        for table, month in missing:
            self._known[table].add(month)

    def drop_old(self, now):
        """Drop what is older than what is kept. Returns the names of partitions, or of tables where rows went."""
        dropped = []
        for table in TABLES:
            first = self.first_kept(table, now)
            if first:
                drop = self._drop_partitions if self._on_postgresql else self._delete_rows
                dropped += drop(table, first)
        return dropped

    def _drop_partitions(self, table, first):
        oldest = month_of(first)
        with self._lock, self._database.write() as session:
            # A long query elsewhere holds the table: the next turn will do.
            session.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            names = [name for name, month in _existing(session, table) if month < oldest]
            for name in names:
                session.execute(text(f"DROP TABLE {name}"))
            self._known[table] = {month for month in self._known[table] if month >= oldest}
        return names

    def _delete_rows(self, table, first):
        """A module at a time, so that nobody waits long for the file."""
        column, at = TABLES[table]
        with self._database.read() as session:
            module_ids = list(session.scalars(text("SELECT id FROM modules")))
        count = 0
        for module_id in module_ids:
            with self._database.write() as session:
                query = text(f"DELETE FROM {table} WHERE module_id = :module_id AND {column} < :end")
                count += session.execute(query, {"module_id": module_id, "end": at(first)}).rowcount
        return [table] if count else []


def _existing(session, table):
    names = session.scalars(
        text(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(:parent)"
        ),
        {"parent": table},
    )
    for name in names:
        match = re.fullmatch(rf"{table}_(\d\d\d\d)(\d\d)", name)
        if match:
            yield name, int(match[1]) * 12 + int(match[2]) - 1


def _make(session, table, month):
    name = f"{table}_{month // 12:04}{month % 12 + 1:02}"
    if session.scalar(text("SELECT to_regclass(:name)"), {"name": name}):
        return
    at = TABLES[table].at
    first, end = at(month_start(month)), at(month_start(month + 1))
    # Made apart and then attached, which keeps nobody from reading and writing the others.
    session.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
    session.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({first}) TO ({end})"))
