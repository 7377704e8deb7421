"""The bench of the ingest, small: plain SQL stores just what the service stores, and every figure comes out."""

import pytest
from sqlalchemy import select

from tests.postgres import database_url  # noqa: F401  fixture
from tools.bench import ingest
from tools.pps.models import ReadingRecord, SlotValues


@pytest.fixture
def few(monkeypatch):
    for name, value in {"_SMALL": 6, "_MONTH": 8, "_ROUNDS": 2, "_REQUESTS_A_ROUND": 1, "_ONE_MORE": 2}.items():
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
    rows = ingest._of_database("SQLite", lambda name: f"sqlite:///{tmp_path / name}.sqlite3", 12)
    assert [row["unit"] for row in rows] == ["values/s", "values/s", "ms", "ms", ""]
    assert all(row["value"] > 0 for row in rows[:4])
    assert rows[0]["limit"] == pytest.approx(0.5 * rows[0]["peer"], abs=1)
    assert rows[4]["value"] == pytest.approx(rows[3]["value"] / rows[2]["value"] - 1)
