"""The database: migrations on SQLite and PostgreSQL, erasing."""

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from tests.postgres import database_url  # noqa: F401  fixture
from tests.pps_client import START
from tests.ready_database import migrate
from tools.pps.db import Database
from tools.pps.models import AuditRecord, Base, Module, SlotValues
from tools.pps.partitions import TABLES, Partitions, month_of, month_start
from tools.pps.readings_body import slot_of


@pytest.fixture(autouse=True)
def _real_migrations(monkeypatch):
    monkeypatch.setattr(Database, "migrate", migrate)


@pytest.fixture
def database(database_url):  # noqa: F811
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def sqlite(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")
    yield database
    database.close()


def test_r6_migrations_lead_to_the_models(database):
    for _ in range(2):  # a second start finds nothing to do
        database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_r24_energy_tables_come_and_go_and_leave_the_other_rows(database):
    database.migrate(to="0002")
    with database.write() as session:
        session.execute(
            sqlalchemy.insert(Module.__table__),
            {"id": 1, "serial": "OLD", "name": "a house", "registered_at": START, "highest": {}},
        )
        session.execute(
            sqlalchemy.text(
                "INSERT INTO audit_records (id, module_id, epoch, number, event, door, subject, detail, fields, "
                "powered_s, sequence, generation, tag, received_at) "
                "VALUES (1, 1, 0, 1, 'success', 'keypad', '', 0, '[]', 0, 0, 0, 'ab', 0)"
            )
        )
    partitions = Partitions(database, dict.fromkeys(TABLES, 0))
    for _ in range(2):
        database.migrate()
        partitions = Partitions(database, dict.fromkeys(TABLES, 0))
        partitions.need({table: [month_of(START)] for table in TABLES})
        with database.write() as session:
            session.add(_value(1, START))
        with database.read() as session:
            assert session.scalars(select(SlotValues.pv)).all() == [5]
            assert session.scalars(select(AuditRecord.mac)).all() == [None]
        database.migrate(to="0002")
    with database.read() as session:
        assert session.scalar(sqlalchemy.text("SELECT tag FROM audit_records")) == "ab"
        assert session.scalar(sqlalchemy.text("SELECT serial FROM modules")) == "OLD"
    names = sqlalchemy.inspect(database.engine).get_table_names()
    assert not [name for name in names if name.startswith(("slot_values", "reading", "circuit", "sites"))]


def _value(module_id, unix_s):
    given = {"span": 1, "pv": 5, "quality": 0, "flags": 0, "site_id": 1, "epoch_id": 1, "number": 1}
    return SlotValues(module_id=module_id, slot=slot_of(unix_s), contract=1, **given)


def test_r24_months_are_made_when_they_are_needed_and_dropped_when_they_are_kept_no_longer(database):
    database.migrate()
    partitions = Partitions(database, {"reading_records": 0, "slot_values": 2, "circuit_values": 1})
    now = month_of(START)
    with database.write() as session:
        session.add(Module(id=1, serial="A", name="a house", registered_at=0, highest={}))
    for month in range(now - 4, now + 1):
        partitions.need({table: [month] for table in TABLES})
        Partitions(database, {}).need({table: [month] for table in TABLES})  # another replica: nothing to do
        with database.write() as session:
            for at in (month_start(month), month_start(month + 1) - 1800):
                session.add(_value(1, at))
    dropped = partitions.drop_old(START)
    if database.engine.dialect.name == "postgresql":
        named = {f"{month // 12}{month % 12 + 1:02}" for month in (now - 4, now - 3)}
        assert {name for name in dropped if name.startswith("slot")} == {f"slot_values_{name}" for name in named}
        assert len([name for name in dropped if name.startswith("circuit")]) == 3
    else:
        assert dropped == ["slot_values"]
    with database.read() as session:
        slots = session.scalars(select(SlotValues.slot).order_by(SlotValues.slot)).all()
    assert len(slots) == 6 and slots[0] == slot_of(month_start(now - 2))
    assert slots[0] == slot_of(partitions.first_kept("slot_values", START))
    assert partitions.drop_old(START) == []


def test_s4_overwritten_value_is_gone_from_every_file(sqlite, tmp_path):
    database = sqlite
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
    with pytest.raises(sqlalchemy.exc.DBAPIError) as caught, database.write() as session:
        session.execute(insert, {"name": "a secret"})
    assert "a secret" not in str(caught.value)
