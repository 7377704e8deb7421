"""Statements that go to the database together: on PostgreSQL in one exchange, whatever their number.

Each exchange is a wait, and several of them were half of what a report cost. The large tables' rows go this way past
the ORM, whose statements would be composed anew for each number of rows.
"""

import collections
import contextlib
import functools
import itertools

import sqlalchemy


class ComesTwice(Exception):
    """A row was there already, though nothing showed that: look again."""


class Writes:
    """Collects inserts and updates of a connection's transaction until flush()."""

    def __init__(self, connection):
        self._connection = connection
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
        with _exchange(self._connection) as driver:
            cursors = [driver.execute(statement, parameters) for statement, parameters, _ in waiting]
        return [cursor.rowcount for cursor in cursors]


def first_query(connection, query, parameters):
    """Rows of a transaction's first query: on PostgreSQL in one exchange with the transaction's beginning."""
    if connection.dialect.driver != "psycopg":
        return connection.execute(query, parameters).all()
    statement, row = _compiled(query, connection.dialect)
    with _exchange(connection) as driver:
        cursor = driver.execute(statement, parameters)
    return [row(*values) for values in cursor.fetchall()]


@contextlib.contextmanager
def _exchange(connection):
    """The driver's connection, what is executed on it being sent together."""
    driver = connection.connection.driver_connection
    try:
        with driver.pipeline():
            yield driver
    except connection.dialect.loaded_dbapi.OperationalError as error:
        # Its text could hold what was to be stored.
        raise sqlalchemy.exc.OperationalError("several statements", None, type(error)()) from None


@functools.cache
def _compiled(query, dialect):
    names = [column.name for column in query.selected_columns]
    return str(query.compile(dialect=dialect)), collections.namedtuple("Row", names)


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
    """A column as PostgreSQL writes arrays: all of it bytes, or whole numbers and None."""
    if isinstance(values[0], bytes):
        text = ",".join([f'"\\\\x{value.hex()}"' for value in values])
    else:
        text = str(values)[1:-1].rstrip(",").replace("None", "NULL")
    return f"{{{text}}}"
