"""Statements that go to the database together: on PostgreSQL in one exchange, whatever their number.

The large tables' rows go this way past the ORM, whose statements would be composed anew for each number of rows.
"""

import functools
import itertools

import sqlalchemy


class ComesTwice(Exception):
    """A row was there already, though nothing showed that: look again."""


class Writes:
    """Collects inserts and updates of a session's transaction until flush()."""

    def __init__(self, session):
        self._connection = session.connection()
        self._dialect = self._connection.dialect
        self._waiting = []

    def insert(self, table, rows):
        """Insert rows (tuples, in the order of the table's columns). flush() raises ComesTwice where one is there."""
        self._waiting.append((*insert_statement(table, rows, self._dialect), len(rows)))

    def update(self, table, row_id, values):
        """Update the row of an id. values: {column name: value}."""
        mark = _mark(self._dialect)
        names = ", ".join(f"{name} = {mark}" for name in values)
        self._waiting.append((f"UPDATE {table.name} SET {names} WHERE id = {mark}", (*values.values(), row_id), 1))

    def flush(self):
        """Have all of it done. ComesTwice, sqlalchemy's DBAPIError."""
        waiting, self._waiting = self._waiting, []
        if self._dialect.driver == "psycopg" and len(waiting) > 1:
            counts = self._in_one_exchange(waiting)
        else:
            run = self._connection.exec_driver_sql
            counts = [run(statement, parameters).rowcount for statement, parameters, _ in waiting]
        if counts != [count for _, _, count in waiting]:
            raise ComesTwice

    def _in_one_exchange(self, waiting):
        connection = self._connection.connection.driver_connection
        errors = self._dialect.loaded_dbapi
        try:
            with connection.pipeline():
                cursors = [connection.execute(statement, parameters) for statement, parameters, _ in waiting]
        except errors.OperationalError as error:
            # The text could hold what was to be stored.
            raise sqlalchemy.exc.OperationalError("several statements", None, type(error)()) from None
        return [cursor.rowcount for cursor in cursors]


def insert_statement(table, rows, dialect):
    """(SQL, parameters) that insert rows (tuples, in the order of the table's columns) where they are not there yet."""
    if dialect.name == "postgresql":
        return _insert_text(table, 0, dialect), tuple(map(_array, zip(*rows, strict=True)))
    return _insert_text(table, len(rows), dialect), tuple(itertools.chain.from_iterable(rows))


@functools.cache
def _insert_text(table, rows, dialect):
    columns = ", ".join(column.name for column in table.columns)
    mark = _mark(dialect)
    if dialect.name == "postgresql":
        # A column in one parameter each: the statement is short and the same whatever the number of rows.
        arrays = ", ".join(f"{mark}::{column.type.compile(dialect)}[]" for column in table.columns)
        source = f"SELECT * FROM unnest({arrays})"
    else:
        row = f"({', '.join([mark] * len(table.columns))})"
        source = f"VALUES {', '.join([row] * rows)}"
    return f"INSERT INTO {table.name} ({columns}) {source} ON CONFLICT DO NOTHING"


def _mark(dialect):
    return "?" if dialect.paramstyle == "qmark" else "%s"


def _array(values):
    """A column as PostgreSQL writes arrays; of whole numbers, bytes and None."""
    texts = (
        "NULL" if value is None else f'"\\\\x{value.hex()}"' if isinstance(value, bytes) else str(value)
        for value in values
    )
    return f"{{{','.join(texts)}}}"
