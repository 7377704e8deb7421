"""Half-hour values into the server: how many a second, beside plain SQL, and whether a larger fleet makes it slower.

On SQLite, and on a PostgreSQL started for this, both as they keep data for good (fsync). The values of a report go in
by one transaction of the service, since the module is answered after it; plain SQL gets the same rows by the same
number of transactions: two inserts of several rows and a commit, nothing checked. The two take turns, and the quickest
sixth of the turns of each counts: whatever else the machine does only ever adds to it.

The largest fleet's month is 14,400,000 records with their values: it takes 10 GB of disk for as long as it is measured,
and INKAN_BENCH_MODULES=1000 leaves it out. It goes in by the database's own means, without a log and with nothing
synced before all of it is there.
"""

import contextlib
import hashlib
import os
import random
import sqlite3
import statistics
import struct
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy
from sqlalchemy import insert, text

from tools.pps.db import Database
from tools.pps.energy_settings import EnergySettings
from tools.pps.identity import CONNECTION, ModuleIdentity
from tools.pps.models import Module, ReadingRecord, ReadingsEpoch, ReportKey, Site, SlotValues
from tools.pps.partitions import TABLES, month_of
from tools.pps.readings_body import slot_of, slot_start
from tools.pps.services import build_services
from tools.pps.services.taking import Report, SentRecord, reading_mac
from tools.pps.services.writes import insert_statement
from tools.setup import postgres_server

QUANTITIES = 7
BATCH = 16
LIMIT_SHARE = 0.5
LIMIT_GROWTH = 0.1
LIMIT_SIZE = 400

_NOW = 1_790_000_000
_NOW_SLOT = slot_of(_NOW)
_MONTH = 30 * 48
_FURTHER_S = 25 * 86400
"""What comes after that month lies before this."""
_EPOCH = "00112233445566ff"
_ROUNDS = 30
_REQUESTS_A_ROUND = 4
_FLEETS = (100, 1000, 10_000)
_ONE_MORE = 500
_SQLITE_FILL = ("synchronous=OFF", "journal_mode=OFF", "locking_mode=EXCLUSIVE", "cache_size=-200000")
_TAG = bytes(range(28))


def rows():
    """Rows {name, value, unit, limit, peer, ok}."""
    found = []
    most = int(os.environ.get("INKAN_BENCH_MODULES", _FLEETS[-1]))
    counts = [count for count in _FLEETS if count <= most]
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        found += _of_database("SQLite", lambda name: f"sqlite:///{Path(folder, name)}.sqlite3", counts)
    try:
        with postgres_server.server(options=("shared_buffers=256MB", "max_wal_size=4GB")) as url:
            found += _of_database("PostgreSQL", lambda name: _schema(url, name), counts)
    except postgres_server.NoPostgres as reason:
        missing = {"value": None, "unit": "", "limit": None, "peer": None, "ok": False}
        found.append(missing | {"name": f"ingest, PostgreSQL: not measured ({reason})"})
    return found


def _schema(url, name):
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    engine.dispose()
    options = {"options": f"-csearch_path={name}"}
    return sqlalchemy.make_url(url).update_query_dict(options).render_as_string(hide_password=False)


def _of_database(kind, url_of, counts):
    """Of a fleet for each of the counts, the smallest first; that one is worn by the plain SQL, after the others."""
    found = []
    with contextlib.ExitStack() as stack:
        small = stack.enter_context(_fleet(url_of("small"), counts[0]))
        with contextlib.ExitStack() as larger:
            others = [larger.enter_context(_fleet(url_of(f"of_{count}"), count)) for count in counts[1:]]
            largest = others[-1] if others else small
            a_slot = round(largest.size() / largest.count / _MONTH)
            turns_ms = _one_more([small, *others])
        for size in (BATCH, 1):
            service, plain = _against_plain_sql(small, size)
            name = f"ingest, {kind}, {size} a request: values"
            # For one record the checks alone are more than its rows: that has no limit.
            limit = None if size == 1 else round(LIMIT_SHARE * plain)
            ok = None if limit is None else service >= limit
            found.append(_row(name, round(service), "values/s", limit, peer=round(plain), ok=ok))
    name = f"ingest, {kind}: one more request"
    for count, times_ms in zip(counts, turns_ms, strict=True):
        found.append(_row(f"{name} at {count:,} modules with a month", statistics.median(times_ms), "ms"))
    for count, times_ms in zip(counts[1:], turns_ms[1:], strict=True):
        growth = _growth(turns_ms[0], times_ms)
        dearer = f"{name}, how much dearer at {count:,}"
        found.append(_row(dearer, growth, "", LIMIT_GROWTH, ok=growth < LIMIT_GROWTH))
    found.append(
        _row(f"ingest, {kind}: a half hour kept, with indexes", a_slot, "B", LIMIT_SIZE, ok=a_slot <= LIMIT_SIZE)
    )
    return found


def _row(name, value, unit, limit=None, peer=None, ok=None):
    return {"name": name, "value": value, "unit": unit, "limit": limit, "peer": peer, "ok": ok}


class _Fleet:
    """Modules that have reported for a month, at one database."""

    def __init__(self, database, count):
        self.database = database
        self.count = count
        self._now = _NOW
        settings = EnergySettings(keep_values_months=0, keep_records_months=0)
        self.services = build_services(database, None, None, clock=lambda: self._now, energy_settings=settings)
        self._heads = {}
        self._tags = {}

    def fill(self):
        """A month of records and values for each module, by the database's own means."""
        self.services.readings.keep_partitions()
        self._now += _FURTHER_S
        months = {month_of(_NOW - back * 86400) for back in range(33)}
        self.services.readings.partitions.need(dict.fromkeys(TABLES, months))
        ids = range(1, self.count + 1)
        head = {"through": _MONTH, "highest": _MONTH, "highest_tag": _TAG, "newest_slot": _NOW_SLOT - 1}
        head |= {"placed_through": _MONTH, "points_wait": False, "begun_at": _NOW, "reported_at": _NOW}
        with self.database.write() as session:
            for table, given in (
                (Module, lambda at: {"id": at, "serial": f"B{at}", "name": "-", "registered_at": 0, "highest": {}}),
                (ReportKey, lambda at: {"module_id": at, "fingerprint": f"{at:064x}", "key": _key(at), "told_at": 0}),
                (Site, lambda at: {"module_id": at, "number": f"{at:022d}", "contract": f"C-{at}", "since_at": 0}),
                (ReadingsEpoch, lambda at: {"id": at, "module_id": at, "epoch": _EPOCH, **head}),
            ):
                session.execute(insert(table.__table__), [given(at) for at in ids])
        if self.database.engine.dialect.name == "postgresql":
            with ThreadPoolExecutor() as pool:  # a process of the server's for each table
                list(pool.map(self._fill_on_postgresql, self._month_of_rows().items()))
            with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")
                connection.exec_driver_sql("CHECKPOINT")
        else:
            self._fill_on_sqlite()

    def _fill_on_postgresql(self, table_and_statement):
        table, statement = table_and_statement
        with self.database.write() as session:
            # What the same transaction has emptied is not logged (wal_level=minimal): it is synced at the commit.
            session.execute(text(f"TRUNCATE {table}"))
            session.execute(text(statement))

    def _fill_on_sqlite(self):
        """By a connection of its own: what is set on it ends with it."""
        path = self.database.engine.url.database
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in _SQLITE_FILL:
                connection.execute(f"PRAGMA {pragma}")
            for statement in self._month_of_rows().values():
                connection.execute(statement)
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    def _month_of_rows(self):
        """{table: statement that makes its rows}."""
        first = _NOW_SLOT - _MONTH
        if self.database.engine.dialect.name == "postgresql":
            numbers = f"LATERAL (SELECT number FROM generate_series(1, {_MONTH}) number OFFSET 0) numbers"
            both = f"generate_series(1, {self.count}) module, {numbers}"
            series, body, tag = (
                "",
                r"'\x01'::bytea || decode(repeat('5a', 79), 'hex')",
                "decode(repeat('a5', 28), 'hex')",
            )
            mac = "decode(repeat('c3', 16), 'hex')"
        else:
            both = "modules_ CROSS JOIN numbers"
            series = (
                f"WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < "
                f"{_MONTH}), modules_(module) AS (SELECT 1 UNION ALL SELECT module + 1 FROM modules_ WHERE module < "
                f"{self.count}) "
            )
            body, tag, mac = f"x'01{'5a' * 79}'", f"x'{'a5' * 28}'", f"x'{'c3' * 16}'"
        received = f"{slot_start(first)} + number * 1800"
        records = (
            f"{series}INSERT INTO reading_records "
            "(module_id, epoch_id, number, received_at, key_id, kind, body, tag, mac) "
            f"SELECT module, module, number, {received}, module, 1, {body}, {tag}, {mac} FROM {both}"
        )
        values = (
            f"{series}INSERT INTO slot_values (module_id, slot, contract, span, pv, charged, discharged, ev_charged, "
            "ev_discharged, bought, sold, quality, flags, site_id, epoch_id, number) "
            f"SELECT module, {first} - 1 + number, 77, 1, 500, 20, 30, 40, 50, 60, 70, 0, 0, module, module, number "
            f"FROM {both}"
        )
        return {"reading_records": records, "slot_values": values}

    def size(self):
        """Bytes of the records and values, with their indexes."""
        if self.database.engine.dialect.name == "sqlite":
            return Path(self.database.engine.url.database).stat().st_size
        parts = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent IN "
        with self.database.read() as session:
            return int(session.scalar(text(f"{parts}('reading_records'::regclass, 'slot_values'::regclass)")))

    def report(self, module_id, count):
        """(identity, Report) of a module's next records."""
        head = self._heads.get(module_id, _MONTH)
        before = tag = self._tags.get(module_id, _TAG)
        records = []
        for number in range(head + 1, head + count + 1):
            body = _body(_NOW_SLOT - _MONTH + number - 1)
            last, tag = tag, hashlib.sha256(tag).digest()[:28]
            mac = reading_mac(_key(module_id), bytes.fromhex(_EPOCH), number, last, tag, body)
            records.append(SentRecord(number, body, tag, mac))
        self._heads[module_id], self._tags[module_id] = head + count, tag
        identity = ModuleIdentity(f"B{module_id}", CONNECTION, f"{module_id:064x}")
        site, contract = f"{module_id:022d}", f"C-{module_id}"
        return identity, Report(_EPOCH, site, contract, head + count, head + 1, before, tuple(records))


def _key(module_id):
    return hashlib.sha256(str(module_id).encode()).digest()


def _body(slot):
    return struct.pack("<BBHIII14III", 1, 0, 1, slot, 77, 0, *range(500, 507), *range(7), 1, 0)


@contextlib.contextmanager
def _fleet(url, count):
    database = Database(url)
    try:
        database.migrate()
        fleet = _Fleet(database, count)
        fleet.fill()
        yield fleet
    finally:
        database.close()


def _against_plain_sql(fleet, size):
    """Values a second: (through the service, by plain SQL), `size` records a request."""
    service, plain = [], []
    for _ in range(_ROUNDS):
        requests = [fleet.report(random.randrange(1, fleet.count // 2), size) for _ in range(_REQUESTS_A_ROUND)]
        started = time.perf_counter()
        for identity, report in requests:
            fleet.services.readings.take(identity, report)
        service.append(time.perf_counter() - started)
        batches = [_rows(*fleet.report(random.randrange(fleet.count // 2, fleet.count), size))
                   for _ in range(_REQUESTS_A_ROUND)]  # fmt: skip
        started = time.perf_counter()
        _store_plainly(fleet.database, batches)
        plain.append(time.perf_counter() - started)
    values = _REQUESTS_A_ROUND * size * QUANTITIES
    return values / _quick(service), values / _quick(plain)


def _quick(times):
    return statistics.quantiles(times, n=6, method="inclusive")[0]


def _rows(identity, report):
    """The rows of both tables that a report makes."""
    module_id = int(identity.serial[1:])
    records = [
        (module_id, module_id, each.number, _NOW, module_id, 1, each.body, each.tag, each.mac)
        for each in report.records
    ]
    values = [
        (
            module_id,
            _NOW_SLOT - _MONTH + each.number - 1,
            77,
            1,
            *range(500, 507),
            0,
            0,
            module_id,
            module_id,
            each.number,
        )
        for each in report.records
    ]
    return records, values


def _store_plainly(database, batches):
    """By the driver alone: two inserts and a commit for each."""
    with contextlib.closing(database.engine.raw_connection()) as borrowed:
        connection = borrowed.driver_connection
        dialect = database.engine.dialect
        cursor = connection.cursor()
        for batch in batches:
            if dialect.name == "sqlite":
                cursor.execute("BEGIN IMMEDIATE")
            for model, given in zip((ReadingRecord, SlotValues), batch, strict=True):
                cursor.execute(*insert_statement(model.__table__, given, dialect))
            cursor.execute("COMMIT") if dialect.name == "sqlite" else connection.commit()


def _one_more(fleets):
    """What one more request of one record takes in each of the fleets, ms: a list of turns for each.

    In a turn each has one, in any order.
    """
    times = {fleet: [] for fleet in fleets}
    for _ in range(_ONE_MORE):
        for fleet in random.sample(fleets, len(fleets)):
            identity, report = fleet.report(random.randrange(1, fleet.count + 1), 1)
            started = time.perf_counter()
            fleet.services.readings.take(identity, report)
            times[fleet].append(1000 * (time.perf_counter() - started))
    return list(times.values())


def _growth(few_ms, many_ms):
    """By what share the second is dearer: the median over the turns, since the disk is not as quick in each of them."""
    return statistics.median(many / few for few, many in zip(few_ms, many_ms, strict=True)) - 1
