"""The bench of the ingest, small: plain SQL stores just what the service stores, and every figure comes out."""

import contextlib

import pytest
from sqlalchemy import func, select, text

from tests.postgres import database_url  # noqa: F401  fixture
from tools.bench import ingest
from tools.pps.models import ReadingRecord, SlotValues


@pytest.fixture
def few(monkeypatch):
    for name, value in {"_MONTH": 8, "_ROUNDS": 2, "_REQUESTS_A_ROUND": 1, "_ONE_MORE": 2}.items():
        monkeypatch.setattr(ingest, name, value)


def test_r24_plain_sql_stores_the_rows_that_the_service_stores(few, database_url):  # noqa: F811
    with ingest._fleet(database_url, 6) as fleet:
        fleet.services.readings.take(*fleet.report(1, 3))
        ingest._store_plainly(fleet.database, [ingest._rows(*fleet.report(2, 3))])
        with fleet.database.read() as session:
            for model in (ReadingRecord, SlotValues):
                columns = [column for column in model.__table__.columns if not column.name.endswith("_id")]
                columns = [column for column in columns if column.name not in ("received_at", "mac")]
                one, other = (
                    session.execute(select(*columns).where(model.module_id == at).order_by(model.number)).all()
                    for at in (1, 2)
                )
                assert one == other and len(one) == 8 + 3


def test_r24_every_figure_of_the_ingest_comes_out(few, tmp_path):
    rows = ingest._of_database("SQLite", lambda name: f"sqlite:///{tmp_path / name}.sqlite3", [6, 12, 18])
    assert [row["unit"] for row in rows] == ["values/s", "values/s", "ms", "ms", "ms", "", "", "B"]
    assert all(row["value"] > 0 for row in rows[:5]) and rows[7]["value"] > 128
    assert rows[0]["limit"] == pytest.approx(0.5 * rows[0]["peer"], abs=1)
    for growth in rows[5:7]:
        assert growth["limit"] == 0.1 and growth["ok"] == (growth["value"] < 0.1)


def test_r24_growth_is_that_of_the_usual_turn_however_quick_the_disk_is_in_it():
    assert ingest._growth([1.0, 10.0, 1.0], [1.05, 10.5, 4.0]) == pytest.approx(0.05)
    assert ingest._growth([1.0, 10.0, 1.0], [1.2, 12.0, 1.0]) == pytest.approx(0.2)


def test_r24_the_largest_fleet_is_a_part_of_the_bench_unless_it_is_left_out(monkeypatch):
    measured = []
    monkeypatch.setattr(ingest, "_of_database", lambda kind, url_of, counts: measured.append(counts) or [])
    monkeypatch.setattr(ingest.postgres_server, "server", lambda options: contextlib.nullcontext("url"))
    monkeypatch.delenv("INKAN_BENCH_MODULES", raising=False)
    ingest.rows()
    monkeypatch.setenv("INKAN_BENCH_MODULES", "1000")
    ingest.rows()
    assert measured == 2 * [[100, 1000, 10_000]] + 2 * [[100, 1000]]


def test_r24_a_month_is_filled_in_and_what_fills_it_leaves_nothing_switched_off(few, database_url):  # noqa: F811
    with ingest._fleet(database_url, 3) as fleet, fleet.database.read() as session:
        for model, column in ((ReadingRecord, ReadingRecord.number), (SlotValues, SlotValues.slot)):
            found = session.execute(select(model.module_id, func.count(), func.max(column)).group_by(model.module_id))
            last = {ReadingRecord: 8, SlotValues: ingest._NOW_SLOT - 1}[model]
            assert sorted(map(tuple, found)) == [(at, 8, last) for at in (1, 2, 3)]
        assert fleet.size() > 3 * 8 * 128
        if session.get_bind().dialect.name == "sqlite":
            assert session.scalar(text("PRAGMA synchronous")) == 2
            assert session.scalar(text("PRAGMA journal_mode")) == "delete"
