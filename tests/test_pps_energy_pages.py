"""The console's energy pages without a browser: who may see them, what they say of odd half hours and dates, CSV."""

import csv
import datetime
import html
import inspect
import io
import re
import shutil

import pytest
from sqlalchemy import func, insert, select

from tests import console_client
from tests.console_client import NAME, PASSWORD, check_accessible, log_in, submit
from tests.pps_client import Browser, Clock, record, state
from tools.pps.app import console_app
from tools.pps.ca import CertificateAuthority
from tools.pps.console import build_console, energy_csv, text
from tools.pps.console.energy_views import ENERGY_ALARMS, EXPORT_DAYS, SECURITY_ALARMS, router
from tools.pps.db import Database
from tools.pps.identity import FACTORY_IDENTITY, ModuleIdentity
from tools.pps.models import QUANTITIES, Alarm, CircuitValues, ReadingsEpoch, Site, SlotValues
from tools.pps.readings_body import slot_of
from tools.pps.services import build_services
from tools.pps.services.common import raise_alarm
from tools.pps.services.energy import SILENT_S, HalfHours
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.fleet import Fleet
from tools.pps.services.operators import Operators
from tools.setup import ROOT

SERIAL, OTHER = "INK-00000001", "-2-3"
READER, INSTALLER = "reader", "installer"
SITE = "0312345678901234567890"
CONTRACT = "-1+1"
JAPAN = datetime.timezone(datetime.timedelta(hours=9))
TODAY = datetime.date(2026, 9, 21)  # the tests' clock stands at 23:13 in Japan
DAY = datetime.date(2026, 9, 20)
ESTIMATED, RESET = 0x1111111, 0x3333333
PATH = f"/modules/{SERIAL}/energy"
PAGES = (
    "/energy",
    "/energy?show=look",
    PATH,
    f"{PATH}?day={DAY}",
    f"{PATH}?month=2026-09",
    "/alarms",
    "/alarms?about=energy&past=1",
    "/audit?event=tamper&door=none&since=2026-09-01",
    "/audit?view=operators&action=export&by=x",
)


def slot_at(date, hour=0.0):
    """The slot that begins at an hour of a day in Japan."""
    start = datetime.datetime.combine(date, datetime.time(), JAPAN).timestamp()
    return slot_of(int(start + hour * 3600))


def values(slot, *energies, span=1, quality=0, flags=0, number=1, module_id=1, contract=1):
    """A row of slot_values; energies that are left out are 0."""
    found = dict.fromkeys(QUANTITIES, 0) | dict(zip(QUANTITIES, energies, strict=False))
    rest = {"site_id": 1, "epoch_id": 1, "number": number, "contract": contract}
    return {"module_id": module_id, "slot": slot, "span": span, "quality": quality, "flags": flags} | found | rest


@pytest.fixture(scope="module", autouse=True)
def quick_hashes():
    with console_client.quick_hashes():
        yield


@pytest.fixture(scope="module")
def first_database(tmp_path_factory, quick_hashes):
    """A day with one of each odd half hour, to start every test from."""
    path = tmp_path_factory.mktemp("energy") / "pps.sqlite3"
    database, clock = Database(f"sqlite:///{path}"), Clock()
    database.migrate()
    operators = Operators(database, clock)
    operators.add(NAME, PASSWORD)
    operators.add(READER, PASSWORD, "read_only")
    operators.add(INSTALLER, PASSWORD, "installer")
    fleet = Fleet(database, clock)
    fleet.register(SERIAL, "山田様邸 <script>", NAME)
    fleet.register(OTHER, "Hill House", NAME)
    start = slot_at(DAY)
    rows = {index: values(start + index, 10, 20, 30, 40, 50, 60, 70) for index in range(48)}
    for index in (5, 6, 7, 11, 12, 47):
        del rows[index]
    rows[8] = values(start + 8, 400, span=4, quality=ESTIMATED)
    rows[16] = values(start + 16, 1234, quality=ESTIMATED, flags=1 | 2 | 4 | 256)
    rows[17] = values(start + 17, 99, quality=RESET)
    rows[18] = values(start + 18, 10, 20, 30, None, None, 60, 70, quality=0x0022000)
    rows[50] = values(start + 50, 600, span=4, quality=ESTIMATED)  # reaches over midnight
    with database.write() as session:
        session.add(Site(id=1, module_id=1, number=SITE, contract=CONTRACT, since_at=0))
        epoch = {"epoch": "00" * 8, "newest_slot": slot_at(TODAY, 1.5), "begun_at": clock.now, "reported_at": clock.now}
        session.add(ReadingsEpoch(id=1, module_id=1, **epoch))
        session.execute(insert(SlotValues), list(rows.values()))
        circuits = {"module_id": 1, "number": 1, "span": 1, "epoch_id": 1}
        packed = b"".join(energy.to_bytes(2, "little") for energy in (5, 0, 65_535))
        session.execute(insert(CircuitValues), [circuits | {"slot": start, "energies": packed, "quality": 0b110100}])
    database.close()
    return path


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(first_database, tmp_path):
    database = Database(f"sqlite:///{shutil.copy(first_database, tmp_path)}")
    yield database
    database.close()


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create("PPS CA")


@pytest.fixture
def services(database, clock, authority):
    endpoints = Endpoints("https://pps.example", "https://pps.example")
    return build_services(database, authority, endpoints, clock=clock)


@pytest.fixture
def sign_in(services):
    """Callable (name) -> a browser in English that is signed in."""
    app = console_app(services, "a key", "pps.example")
    opened = []

    def sign_in(name=NAME):
        client = Browser(app)
        opened.append(client)
        client.headers["accept-language"] = "en"
        assert log_in(client, name).status_code == 303
        return client

    yield sign_in
    for client in opened:
        client.__exit__()


@pytest.fixture
def browser(sign_in):
    return sign_in()


def rows_of(page, table):
    """{heading: ([value or None], [quality], state, notes)} of a table's rows."""
    body = re.search(rf'<table class="values" id="{table}">.*?<tbody>(.*?)</tbody>', page, re.DOTALL)[1]
    found = {}
    for attributes, row in re.findall(r"<tr( data-label[^>]*)>(.*?)</tr>", body, re.DOTALL):
        cells = re.findall(r'<td data-quality="(\w+)"(?: data-wh="(\d+)")?>', row)
        heading = re.sub("<[^>]+>", "", re.search(r"<th[^>]*>(.*?)</th>", row)[1]).strip()
        notes = html.unescape(re.search(r'data-notes="([^"]*)"', attributes)[1])
        state = re.search(r'data-state="(\w+)"', attributes)[1]
        found[heading] = ([int(wh) if wh else None for _, wh in cells], [quality for quality, _ in cells], state, notes)
    return found


# who may see them


def test_r24_energy_is_for_those_who_may_see_it(sign_in, services):
    with Browser(console_app(services, "a key", "pps.example")) as stranger:
        assert all(stranger.get(path).status_code == 303 for path in PAGES)
        assert stranger.get(f"{PATH}.csv?since={DAY}&until={DAY}").status_code == 303
    reader, installer = sign_in(READER), sign_in(INSTALLER)
    for path in (*PAGES, f"{PATH}.csv?since={DAY}&until={DAY}"):
        assert reader.get(path).status_code == 200, path
        answer = installer.get(path)
        assert answer.status_code == 403 and "forbidden: see_" in answer.text, path
    assert "/energy" not in installer.get(f"/modules/{SERIAL}").text
    assert f'href="{PATH}"' in reader.get(f"/modules/{SERIAL}").text


# pages


@pytest.mark.parametrize("language", ["ja", "en"])
def test_r24_pages_show_in_both_languages(browser, database, services, language):
    browser.get(f"/language/{language}")
    raise_every_alarm(database, services)
    for path in PAGES:
        page = browser.get(path)
        assert page.status_code == 200, path
        assert f'<html lang="{language}">' in page.text
        assert "山田様邸 <script>" not in page.text
        assert "style=" not in page.text and not re.search(r"<script(?! src=)", page.text)  # the policy would bar them
        check_accessible(page.text)
        if language == "en":
            plain = re.sub("[〈〉]|山田様邸|日本語|佐藤", "", page.text)
            assert not re.search("[぀-ヿ一-鿿]", plain), path


def test_r24_day_says_what_each_half_hour_is(browser):
    page = browser.get(f"{PATH}?day={DAY}").text
    rows = rows_of(page, "half-hours")
    assert len(rows) == 48 - 3  # four half hours are one row
    assert rows["00:00–00:30"] == ([10, 20, 30, 40, 50, 60, 70], ["measured"] * 7, "values", "")
    energies, qualities, state, notes = rows["02:30–04:30"]
    assert (energies[0], qualities[0], state, notes) == (400, "estimated", "values", "total of 4 half hours")
    for missing in ("05:30–06:00", "06:00–06:30"):
        assert rows[missing] == ([None] * 7, ["missing"] * 7, "missing", "")
    odd = next(row for row in rows.values() if row[0][0] == 1234)
    assert odd[3] == "module started, clock was set, device replaced, time found out later"
    assert "≈ 1,234" in page and "≥ 99" in page
    no_ev = next(row for row in rows.values() if row[2] == "values" and row[0][3] is None)
    assert no_ev[1] == ["measured"] * 3 + ["missing"] * 2 + ["measured"] * 2
    energies, _, _, notes = rows["23:30–24:00"]
    assert energies[0] == 600 and notes.startswith("total of 4 half hours from 2026-09-20 23:30 to 2026-09-21 01:30")
    assert "Missing half hours: 2" in page
    assert SITE in page and CONTRACT in page


def test_r24_totals_of_the_day_are_what_the_table_adds_up_to(browser):
    page = browser.get(f"{PATH}?day={DAY}").text
    rows = [row for heading, row in rows_of(page, "half-hours").items() if heading != "23:30–24:00"]
    foot = re.search(r"<tfoot>(.*?)</tfoot>", page, re.DOTALL)[1]
    totals = [int(wh) for wh in re.findall(r'data-wh="(\d+)"', foot)]
    assert totals == [sum(row[0][column] or 0 for row in rows) for column in range(7)]
    month = rows_of(browser.get(f"{PATH}?month=2026-09").text, "days")
    assert month[str(DAY)][0] == totals


def test_r24_half_hours_to_come_are_not_missing(browser):
    rows = rows_of(browser.get(PATH).text, "half-hours")
    states = [row[2] for row in rows.values()]
    assert rows["00:00–01:30"][0][0] == 600
    # Those of the day that are over are missing, but for the one that may still be on its way.
    assert states == ["values"] + ["missing"] * 42 + ["to_come"] * 3
    assert "not here yet" in rows["23:30–24:00"][3]


def test_r24_month_counts_what_is_missing_and_tells_what_reaches_over_midnight(browser):
    page = browser.get(f"{PATH}?month=2026-09").text
    rows = rows_of(page, "days")
    assert len(rows) == 30 and rows["2026-09-19"][2] == "missing" and rows["2026-09-22"][2] == "to_come"
    assert 'data-missing="48"' in page and rows[str(DAY)][3] == "2 estimated"
    across = "total of 4 half hours from 2026-09-20 23:30 to 2026-09-21 01:30, in no day"
    assert across in html.unescape(page)
    whole = int(re.search(r'<tfoot>.*?data-wh="(\d+)"', page, re.DOTALL)[1])
    assert whole == rows[str(DAY)][0][0] + 600


def test_r24_branch_circuits_of_a_panel_board_are_shown(browser):
    page = browser.get(f"{PATH}?day={DAY}").text
    (row,) = re.findall(r"<tfoot><tr data-label=\"circuits\">(.*?)</tr>", page, re.DOTALL)
    assert re.findall(r'data-quality="(\w+)" data-wh="(\d+)"', row) == [
        ("measured", "5"),
        ("estimated", "0"),
        ("reset", "65535"),
    ]
    assert "circuits" not in browser.get(f"{PATH}?day=2026-09-19").text.split("<main")[1]


ODD_DATES = (
    ("day=2026-02-29", 422),
    ("day=2026-1-1", 422),
    ("day=20260920", 422),
    ("day=2026-W38-7", 422),
    ("day=２０２６-09-20", 422),
    ("day=1999-12-31", 422),
    ("day=2200-01-01", 422),
    ("day=' OR 1=1", 422),
    ("day=<script>", 422),
    ("month=2026-13", 422),
    ("month=2026", 422),
    ("month=2026-09-01", 422),
    ("day=2000-01-02", 200),
    ("day=2199-12-31", 200),
    ("month=2000-01", 200),
    ("month=2199-12", 200),
    ("day=", 200),
)


def test_r27_odd_dates_are_told_and_harm_nothing(browser):
    for query, status in ODD_DATES:
        answer = browser.get(f"{PATH}?{query}")
        assert answer.status_code == status and "<script>" not in answer.text, query
        assert ("A date lies between" in answer.text) == (status == 422), query
        check_accessible(answer.text)


def test_r24_page_says_when_there_are_no_charts_and_serves_them_where_there_are(services, tmp_path):
    without = build_console(services, "a key", "pps.example", charts=tmp_path / "nowhere")
    (tmp_path / "chart.js").write_text("// a chart")
    for app, there in ((without, False), (build_console(services, "a key", "pps.example", charts=tmp_path), True)):
        with Browser(app) as client:
            client.headers["accept-language"] = "en"
            log_in(client)
            page = client.get(f"{PATH}?day={DAY}").text
            assert ("lacks its chart library" in page) != there
            assert ("/static/charts/chart.js" in page) == there
            assert len(rows_of(page, "half-hours")) == 45
            library = client.get("/static/charts/chart.js")
            assert library.status_code == (200 if there else 404)
            assert "script-src 'self'" in library.headers["content-security-policy"]


# the fleet


def test_r24_fleet_shows_first_who_needs_a_look(sign_in, services, clock):
    def listed(path="/energy"):
        page = sign_in().get(path).text
        found = re.findall(r'href="/modules/([^"/]+)/energy">.*?<span class="reasons">(.*?)</td>', page, re.DOTALL)
        return [(serial, re.findall(r"</svg>([^<]+)<", reasons)) for serial, reasons in found]

    everybody = [(OTHER, ["Never reported"]), (SERIAL, ["Values missing"])]
    assert listed() == everybody and listed("/energy?show=look") == everybody[:1]
    clock.advance(SILENT_S + 1)
    assert dict(listed("/energy?show=look"))[SERIAL] == ["No reports", "Values missing"]
    identity = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")
    energy = {"device": "silent", "report": "ok", "waiting": 0, "newest_slot": None}
    services.fleet.hello(identity, "0.1.0", state(tamper="vault_seal", energy=energy))
    expected = ["Tampered", "Alarms: 1", "No reports", "Device is silent", "Values missing"]
    assert dict(listed())[SERIAL] == expected


def test_r24_fleet_has_pages(browser, services):
    for number in range(60):
        services.fleet.register(f"Z-{number:02}", f"House {number}", NAME)
    first = browser.get("/energy?show=look").text
    assert "1 to 50 of 61" in first
    following = html.unescape(re.search(r'href="([^"]+)" rel="next"', first)[1])
    second = browser.get(following).text
    assert "51 to 61 of 61" in second and "show=look" in following


# CSV


def read_csv(answer):
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")  # so that Excel takes it for UTF-8
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


def test_r24_csv_has_every_half_hour_of_the_range_once(browser, database):
    rows = read_csv(browser.get(f"{PATH}.csv?since={DAY}&until={DAY}"))
    assert tuple(rows[0]) == energy_csv.COLUMNS
    covered = []
    for row in rows:
        start = datetime.datetime.fromisoformat(row["start_utc"])
        assert datetime.datetime.fromisoformat(row["start_local"]).replace(tzinfo=JAPAN) == start
        assert datetime.datetime.fromisoformat(row["end_utc"]) - start == datetime.timedelta(
            minutes=30 * int(row["half_hours"])
        )
        covered += range(slot_of(int(start.timestamp())), slot_of(int(start.timestamp())) + int(row["half_hours"]))
    assert covered == list(range(slot_at(DAY), slot_at(DAY) + 51))  # the last one is a total that reaches further
    missing = [row for row in rows if row["pv_wh"] == ""]
    assert [row["start_local"][-5:] for row in missing] == ["05:30", "06:00"]
    assert all(row["pv_quality"] == "missing" and row["flags"] == "0" for row in missing)
    whole = sum(int(row["pv_wh"] or 0) for row in rows)
    with database.read() as session:
        assert whole == session.scalar(select(func.sum(SlotValues.pv)))


def test_r24_csv_ends_with_the_present(browser):
    rows = read_csv(browser.get(f"{PATH}.csv?since={TODAY}&until=2026-12-31"))
    assert rows[0]["half_hours"] == "4" and rows[-1]["end_local"] == "2026-09-21 23:00"


def test_s12_csv_holds_no_formula(browser):
    (row, *_) = read_csv(browser.get(f"{PATH}.csv?since={DAY}&until={DAY}"))
    assert row["contract"] == "'-1+1" and row["site"] == "03-1234-5678-9012-3456-7890"
    (row, *_) = read_csv(browser.get(f"/modules/{OTHER}/energy.csv?since={DAY}&until={DAY}"))
    assert row["module"] == "'-2-3"
    for text_of in ("=1", "+1", "-1", "@a", "\t=1", "\r=1", "＝1"):
        assert energy_csv.harmless(text_of) == "'" + text_of
    assert energy_csv.harmless("PPS-1") == "PPS-1"


def test_r24_csv_comes_in_pieces_however_long_it_is():
    drawn = []

    def without_end():
        for slot in range(10_000_000):
            drawn.append(slot)
            yield HalfHours(slot, 1, (1,) * 7, ("measured",) * 7, 0, SITE, "PPS-1")

    pieces = energy_csv.encode(without_end(), SERIAL, JAPAN)
    assert next(pieces).decode("utf-8-sig").strip().split(",") == list(energy_csv.COLUMNS)
    assert len(next(pieces)) < 200_000 and len(drawn) <= 1000


ODD_RANGES = (
    ("2026-09-20", "2026-09-19", "the first one first"),
    ("2025-09-20", "2026-09-21", f"at most {EXPORT_DAYS} days"),
    ("2026-09-31", "2026-09-21", "A date lies between"),
    ("", "", "A date lies between"),
    ("x", "2026-09-21", "A date lies between"),
)


def test_r27_odd_ranges_are_told_and_export_nothing(browser, services):
    before = services.audit.actions()[1]
    for since, until, words in ODD_RANGES:
        answer = browser.get(f"{PATH}.csv", params={"since": since, "until": until})
        assert answer.status_code == 422 and words in answer.text, (since, until)
    assert services.audit.actions()[1] == before


def test_r26_export_is_noted(browser):
    browser.get(f"{PATH}.csv?since=2025-09-21&until=2026-09-21")
    page = browser.get("/audit?view=operators&action=export").text
    assert "2025-09-21 – 2026-09-21" in page and page.count("<tr>") == 2 and NAME in page


# alarms

ALARM_DETAILS = {
    "readings_gap": {"first": 3, "last": 9},
    "readings_conflict": {"number": 7, "reason": "mac"},
    "readings_foreign": {"what": "site"},
    "readings_rollback": {"highest": 812, "head": 790},
    "report_key": {},
    "tamper": {"reason": "vault_seal"},
    "rollback": {"generation": [7, 5]},
    "audit_gap": {"first": 1, "last": 2},
    "audit_conflict": {"number": 2},
    "credential_refused": {"sequence": 1, "code": "bad_l"},
}


def raise_every_alarm(database, services):
    module = services.fleet.module(SERIAL)
    with database.write() as session:
        for kind in (*ENERGY_ALARMS, *SECURITY_ALARMS):
            raise_alarm(session, module, kind, ALARM_DETAILS[kind], services.now())


def test_r24_alarms_are_named_and_acknowledged_where_they_are_seen(browser, sign_in, database, services):
    raise_every_alarm(database, services)
    page = browser.get("/alarms?about=energy").text
    for words in ("#3–#9", "authentication code is wrong", "generation site", "#812 → #790", "Another report key"):
        assert words in page
    assert page.count("/acknowledge") == len(ENERGY_ALARMS) and "Tampering" not in page
    assert browser.get("/alarms?about=security").text.count("/acknowledge") == len(SECURITY_ALARMS)
    assert "/acknowledge" not in sign_in(READER).get("/alarms").text
    path = re.search(r'action="([^"]+/acknowledge)"', page)[1]
    answer = submit(browser, path, next="/alarms?about=energy")
    assert answer.headers["location"] == "/alarms?about=energy&notice=acknowledged"
    page = browser.get("/alarms?about=energy").text
    assert page.count("/acknowledge") == len(ENERGY_ALARMS) - 1
    assert f"Acknowledged by {NAME}" in browser.get("/alarms?about=energy&past=1").text
    answer = submit(browser, path, next="//evil.example/")
    assert answer.headers["location"].startswith("/?")
    assert browser.get("/alarms?about=nothing").status_code == 200


def test_r24_every_kind_of_alarm_is_in_words():
    told = re.search(r'kind: Mapped\[Code\]\s+"""(.*?)"""', inspect.getsource(Alarm), re.DOTALL)[1]
    assert set(re.findall(r"[a-z_]+", told)) - {"or"} == {*ENERGY_ALARMS, *SECURITY_ALARMS}
    assert {f"alarm_{kind}" for kind in (*ENERGY_ALARMS, *SECURITY_ALARMS)} <= text.keys()


# whose values they are


def test_r23_site_is_assigned_and_released_by_operators_alone(browser, sign_in, services):
    path = f"/modules/{OTHER}/site"
    forms = {path: {"number": "03-9999 5678901234567890", "contract": " PPS-9 "}, f"{path}/release": {}}
    assert {route.path.format(serial=OTHER) for route in router.routes if "POST" in route.methods} == set(forms)
    before = services.audit.actions(action="assign_site")[1]
    for name in (READER, INSTALLER):
        client = sign_in(name)
        for each, form in forms.items():
            answer = submit(client, each, "/account", **form)
            assert answer.status_code == 403 and "forbidden: assign_site" in answer.text
    assert path not in sign_in(READER).get(f"/modules/{OTHER}/energy").text
    for each, form in forms.items():
        assert browser.post(each, data=form).status_code == 403  # without the page's token
    assert services.audit.actions(action="assign_site")[1] == before
    assert submit(browser, path, **forms[path]).status_code == 303
    page = browser.get(f"/modules/{OTHER}/energy").text
    assert "03999956789012345678" in page and "PPS-9" in page and f"Assigned by {NAME}" in page
    for form, status, words in (
        ({"number": "1", "contract": "A"}, 422, "22 digits"),
        ({"number": SITE, "contract": "a<b"}, 422, "A contract has"),
        ({"number": SITE, "contract": "A"}, 409, "another module's"),
    ):
        answer = submit(browser, path, **form)
        assert answer.status_code == status and words in answer.text
        assert all(f'value="{html.escape(typed)}"' in answer.text for typed in form.values())
        check_accessible(answer.text)
    assert submit(browser, f"{path}/release").status_code == 303
    assert "PPS-9" not in browser.get(f"/modules/{OTHER}/energy").text
    trail = browser.get("/audit?view=operators").text
    assert "Site assigned" in trail and "Site released" in trail
    assert submit(browser, "/modules/NOBODY/site", **forms[path]).status_code == 404


def test_r26_every_action_that_is_noted_is_in_words():
    noted = set()
    for source in (ROOT / "tools" / "pps" / "services").glob("*.py"):
        noted |= set(re.findall(r'note_action\([^"\n]*"(\w+)"', source.read_text()))
    assert len(noted) > 10 and {f"action_{name}" for name in noted} <= text.keys()


# audit


def test_r26_trails_are_filtered(browser, services):
    identity = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")
    services.audit.take(identity, [record(1), record(2, event="failure", door="ble"), record(3, event="change")])

    def events(query):
        page = browser.get(f"/audit?{query}")
        assert page.status_code == 200
        return re.findall(r'<td class="number">(\d+)</td>', page.text)

    assert events("") == ["3", "2", "1"]
    assert events("event=failure") == ["2"] and events("door=keypad") == ["3", "1"]
    assert events(f"module={SERIAL}&event=change&door=keypad") == ["3"]
    assert events(f"module={OTHER}") == [] and events("event=' OR 1=1") == []
    assert events("since=2026-09-21&until=2026-09-21") == ["3", "2", "1"]
    assert events("until=2026-09-20") == [] and events("since=2026-09-22") == []
    for query in ("since=yesterday", "view=operators&until=2026-02-30"):
        answer = browser.get(f"/audit?{query}")
        assert answer.status_code == 422 and "A date lies between" in answer.text
    actions = browser.get("/audit", params={"view": "operators", "by": NAME, "action": "register"}).text
    assert actions.count("<td>Module registered</td>") == 2 and "<td>Signed in</td>" not in actions
    assert "<td>" not in browser.get("/audit?view=operators&by=nobody").text
