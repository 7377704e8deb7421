"""What the console gets to know of half-hour values: days, months, the fleet, rows for CSV. On both databases."""

import datetime

import pytest

from tests.postgres import module_database_url  # noqa: F401  fixture
from tests.pps_client import START, hello
from tests.readings_api import serving
from tests.readings_sender import Sender, energies_of, slot_body, slot_of, slot_time

TODAY = datetime.date(2026, 9, 21)
FIRST = slot_of(int(datetime.datetime(2026, 9, 20, 15, tzinfo=datetime.UTC).timestamp()))
"""With which that day begins in Japan."""
NOW_SLOT = slot_of(START)


@pytest.fixture(scope="module")
def api(module_database_url):  # noqa: F811
    with serving(module_database_url) as api:
        yield api


def reported(api, serial, *bodies):
    """Id of a new module that has reported these."""
    number = f"{sum(serial.encode()) * 1000 + len(serial):022d}"
    sender = Sender(serial.encode(), site=number, contract=serial)
    module_id = api.register(serial, sender)
    sender.append(*bodies)
    for first in range(1, sender.head + 1, 16):
        api.report(serial, sender.request(first, min(first + 15, sender.head), oldest=first))
    return module_id


def test_r24_day_is_japans_and_shows_what_is_missing(api):
    energy = api.services.energy
    assert (energy.today(), energy.first_slot(TODAY)) == (TODAY, FIRST)
    module_id = reported(
        api,
        "DAY",
        slot_body(FIRST - 1),
        slot_body(FIRST, [1, None, 3, 4, 5, 6, 7], quality=1),
        slot_body(FIRST + 5, [90] * 7, span=4),
        slot_body(FIRST + 47 - 20),
    )
    day = energy.day(module_id, TODAY)
    assert day.over == NOW_SLOT - FIRST and len(day.slots) == 48
    assert [at for at, slot in enumerate(day.slots) if slot] == [0, 27]
    assert day.slots[0].energies == (1, None, 3, 4, 5, 6, 7)
    assert day.slots[0].qualities == ("estimated", "missing", *["estimated"] * 5)
    assert (day.slots[0].start, day.slots[0].end) == (slot_time(FIRST), slot_time(FIRST + 1))
    assert [(span.slot, span.span, span.energies) for span in day.spans] == [(FIRST + 5, 4, (90,) * 7)]
    assert day.slots[27].contract == "DAY"
    before = energy.day(module_id, TODAY - datetime.timedelta(days=1))
    assert before.over == 48 and [at for at, slot in enumerate(before.slots) if slot] == [47]


def test_r24_month_adds_up_and_counts_what_is_missing(api):
    bodies = [slot_body(slot) for slot in range(FIRST - 96, FIRST - 60)]
    bodies.append(slot_body(FIRST - 51, [900] * 7, span=9))  # within a day
    bodies.append(slot_body(FIRST + 1, [7] * 7, span=5))  # over a midnight
    bodies.append(slot_body(FIRST + 2, quality=1))
    module_id = reported(api, "MONTH", *bodies)
    month = api.services.energy.month(module_id, 2026, 9)
    assert [day.date.day for day in month.days] == list(range(1, 31))
    nineteenth, twentieth, today, later = month.days[18:22]
    for quantity in range(7):
        whole = sum(energies_of(slot)[quantity] for slot in range(FIRST - 96, FIRST - 60)) + 900
        assert nineteenth.energies[quantity] == whole
        assert month.energies[quantity] == whole + 7 + energies_of(FIRST + 2)[quantity]
    assert (nineteenth.missing, nineteenth.estimated) == (48 - 36 - 9, 0)
    assert (twentieth.energies, twentieth.missing) == ((None,) * 7, 48 - 3)
    assert (today.missing, today.estimated, today.over) == (NOW_SLOT - FIRST - 3, 1, NOW_SLOT - FIRST)
    assert (later.missing, later.over) == (0, 0)
    assert [(span.slot, span.span) for span in month.spans] == [(FIRST + 1, 5)]


def test_r24_fleet_shows_first_who_needs_a_look(api):
    well = reported(api, "Z-WELL", *(slot_body(slot) for slot in range(NOW_SLOT - 20, NOW_SLOT)))
    gap = reported(api, "Y-GAP", *(slot_body(slot) for slot in range(NOW_SLOT - 20, NOW_SLOT) if slot % 5))
    api.register("X-NEVER")
    state = {"device": "silent", "report": "waiting", "waiting": 3, "newest_slot": NOW_SLOT - 1}
    body = hello("Z-WELL", energy=state)
    api.post("Z-WELL", "hello", body)
    energy = api.services.energy
    status = energy.status(well)
    assert (status.reported_at, status.newest_slot, status.missing) == (START, NOW_SLOT - 1, 0)
    assert (status.device, status.report, status.open_alarms, status.tamper) == ("silent", "waiting", 0, None)
    assert energy.status(gap).missing == len([s for s in range(NOW_SLOT - 19, NOW_SLOT - 1) if not s % 5])
    rows, total = energy.fleet()
    assert total == len(rows) and rows[0][0].serial == "X-NEVER" and rows[0][1].missing is None
    looked_at, count = energy.fleet(needs_look=True)
    assert count == len(looked_at) and "X-NEVER" in {module.serial for module, _ in looked_at}
    assert "Z-WELL" not in {module.serial for module, _ in looked_at}
    assert [module.serial for module, _ in energy.fleet(offset=total - 1, limit=5)[0]] == ["Z-WELL"]
    api.clock.advance(4 * 3600)
    assert energy.fleet(needs_look=True)[1] == total  # nobody has reported since
    assert energy.status(well).missing == 7
    api.clock.now = START


def test_r24_rows_for_csv_come_in_order_and_in_pieces(api, monkeypatch):
    monkeypatch.setattr("tools.pps.services.energy._CHUNK", 7)
    slots = range(NOW_SLOT - 30, NOW_SLOT)
    module_id = reported(api, "CSV", *(slot_body(slot) for slot in slots))
    rows = list(api.services.energy.csv_rows(module_id, NOW_SLOT - 25, NOW_SLOT - 2))
    assert [row.slot for row in rows] == list(slots)[5:-2]
    assert all(row.energies == tuple(energies_of(row.slot)) for row in rows)
    assert rows[0].site == api.services.energy.sites(module_id)[0].number
