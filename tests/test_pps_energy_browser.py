"""The console's energy pages in Chromium: the charts beside their tables, with the pictures in build/screenshots/."""

import datetime
import time

import pytest

from tests.test_pps_browser import NAME, PASSWORD, PICTURES, RunningServer, log_in
from tools.pps.console import CHARTS
from tools.pps.db import Database
from tools.pps.settings import Settings
from tools.setup import phone
from tools.sim.energy_month import CIRCUITS, FLEET, fill

JAPAN = datetime.timezone(datetime.timedelta(hours=9))
NOW = int(time.time())
DAY = datetime.datetime.fromtimestamp(NOW, JAPAN).date() - datetime.timedelta(days=1)
SERIAL = "INK-00000001"
PATH = f"modules/{SERIAL}/energy"
PAGES = ("energy", f"{PATH}?day={DAY}", f"{PATH}?month={DAY:%Y-%m}", "alarms", "audit?view=operators", "audit")
BELOW_ZERO = ("charged", "ev_charged", "sold")
OTHER = {"ja": ("en", "PV generated", "English"), "en": ("ja", "太陽光発電", "日本語")}

_WATCH = """window.violations = [];
document.addEventListener('securitypolicyviolation', event =>
  violations.push(event.violatedDirective + ' ' + event.blockedURI));"""
_AXE = """async () => {
  const runOnly = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const found = await axe.run(document, {runOnly});
  return found.violations.map(({id, nodes}) => [id, ...nodes.map(node => node.html + ' ' + node.failureSummary)]);
}"""
_CHART = """kind => {
  const canvas = document.querySelector(`canvas[data-chart=${kind}]`);
  const {labels, datasets} = Chart.getChart(canvas).data;
  return {labels, datasets: datasets.map(({label, data, backgroundColor}) => ({label, data, backgroundColor}))};
}"""
_TABLE = """id => {
  const all = selector => [...document.querySelectorAll(`#${id} ${selector}`)];
  return {
    headings: all('thead th[data-quantity]').map(th => [th.dataset.quantity, th.textContent]),
    rows: all('tbody tr[data-label]').map(tr => ({
      ...tr.dataset,
      cells: [...tr.querySelectorAll('td[data-quality]')].map(td => [td.dataset.wh ?? null, td.dataset.quality]),
    })),
  };
}"""
# For each half hour: the share of its column's pixels that are drawn on, of all of them and at the upper edge.
_INKED = """() => {
  const canvas = document.querySelector('canvas[data-chart=day]');
  const chart = Chart.getChart(canvas), area = chart.chartArea, scale = canvas.width / chart.width;
  const {data, width} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const half = area.width / chart.data.labels.length / 3;
  const share = (x, top, height) => {
    let inked = 0, count = 0;
    for (let row = Math.round(top * scale); row < Math.round((top + height) * scale); row++)
      for (let column = Math.round((x - half) * scale); column < Math.round((x + half) * scale); column++, count++)
        inked += data[4 * (row * width + column) + 3] > 0;
    return inked / count;
  };
  return chart.data.labels.map((_, index) => {
    const x = chart.scales.x.getPixelForValue(index);
    return {whole: share(x, area.top, area.height), edge: share(x, area.top + 2, 2)};
  });
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("energy") / "pps"
    folder.mkdir()
    database = Database(Settings(folder).resolved_database_url())
    database.migrate()
    fill(database, NOW, (FLEET[0], FLEET[5]), days=3)
    database.close()
    with RunningServer(folder) as server:
        server.add_operator(NAME, PASSWORD)
        yield server


@pytest.fixture(params=["ja", "en"])
def page(request, browser, server):
    """Signed in; errors and what the policy barred fail the test."""
    assert (CHARTS / "chart.js").is_file(), "python3 -m tools.setup console"
    context = browser.new_context(locale=request.param, viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.language = request.param
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.add_init_script(_WATCH)
    page.goto(server.console_url)
    log_in(page)
    yield page
    assert page.evaluate("violations") == []
    context.close()
    assert complaints == []


def expected_data(table, column, unit_wh):
    """What the chart has to draw of a table's column: signs, averages of totals, nothing where it is missing."""
    name = table["headings"][column][0]
    found = []
    for row in table["rows"]:
        wh = row["cells"][column][0]
        value = None if wh is None else int(wh) / int(row.get("span", 1)) / unit_wh
        found += [-value if value and name in BELOW_ZERO else value] * int(row.get("onPage", 1))
    return found


def same(drawn, expected):
    pairs = zip(drawn, expected, strict=True)
    return all(one is None if other is None else one == pytest.approx(other) for one, other in pairs)


@pytest.mark.parametrize("page", ["en"], indirect=True)
def test_r24_charts_draw_what_the_tables_say(page, server):
    page.goto(server.console_url + f"{PATH}?day={DAY}")
    chart, table = page.evaluate(_CHART, "day"), page.evaluate(_TABLE, "half-hours")
    assert len(chart["labels"]) == 48 and (chart["labels"][0], chart["labels"][47]) == ("00:00", "23:30")
    assert [each["label"] for each in chart["datasets"]] == [words for _, words in table["headings"]]
    for column, each in enumerate(chart["datasets"]):
        assert same(each["data"], expected_data(table, column, 1)), each["label"]
    bars = [row for row in table["rows"] for _ in range(int(row.get("onPage", 1)))]
    missing = [index for index, row in enumerate(bars) if row["state"] == "missing"]
    total = [index for index, row in enumerate(bars) if int(row.get("span", 1)) > 1]
    assert missing == [19, 20, 21] and total == list(range(2, 12))
    pv = chart["datasets"][0]
    assert all(pv["data"][index] is None for index in missing)  # not zero
    full = pv["backgroundColor"][23]
    for index, row in enumerate(bars):
        pale = row["cells"][0][1] == "estimated"
        assert pv["backgroundColor"][index] == (full + "66" if pale else full), index
    inked = page.evaluate(_INKED)
    assert all((each["whole"] > 0.95) == (index in missing) for index, each in enumerate(inked))
    others = [each["edge"] for index, each in enumerate(inked) if index not in missing + total]
    assert all(inked[index]["edge"] > max(others) for index in total)
    circuits = page.evaluate(_CHART, "circuits")
    assert len(circuits["labels"]) == CIRCUITS and all(value > 0 for value in circuits["datasets"][0]["data"])

    page.goto(server.console_url + f"{PATH}?month={DAY:%Y-%m}")
    chart, table = page.evaluate(_CHART, "month"), page.evaluate(_TABLE, "days")
    assert len(chart["labels"]) == len(table["rows"]) >= 28
    for column, each in enumerate(chart["datasets"]):
        assert same(each["data"], expected_data(table, column, 1000)), each["label"]
    assert page.get_attribute(f"#days tr[data-label='{DAY.day}']", "data-missing") == "3"


def test_r24_pages_lead_to_each_other_in_both_languages(page, server):
    page.goto(server.console_url + "energy")
    page.click(f"th a[href$='{SERIAL}/energy']")
    today = page.input_value("#day")
    page.click("a[rel=prev]")
    assert page.input_value("#day") != today
    page.click("a[rel=next]")
    assert page.input_value("#day") == today
    page.fill("#day", str(DAY))
    page.press("#day", "Enter")
    page.wait_for_url(f"**?day={DAY}")
    language, words, link = OTHER[page.language]
    page.click(f".languages a:has-text('{link}')")
    page.wait_for_url(f"**?day={DAY}")
    assert page.get_attribute("html", "lang") == language
    assert page.evaluate(_CHART, "day")["datasets"][0]["label"] == words
    page.click(".energy-head .tabs a >> nth=1")
    page.click(f"#days th a:has-text('{DAY}')")
    assert page.input_value("#day") == str(DAY)
    page.fill("#since", str(DAY))
    page.fill("#until", str(DAY))
    with page.expect_download() as download:
        page.click(".export button")
    assert download.value.suggested_filename == f"{SERIAL}_{DAY}_{DAY}.csv"
    lines = download.value.path().read_bytes().decode("utf-8-sig").split("\r\n")
    assert len(lines) == 1 + 48 - 9 + 1  # the heading, ten half hours in one line, and the end


@pytest.mark.parametrize("page", ["ja"], indirect=True)
def test_r24_pages_are_accessible_and_fit_a_narrow_screen(page, server):
    axe = (phone.WORKPLACE / "node_modules" / "axe-core" / "axe.min.js").read_text()
    PICTURES.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(PAGES):
        page.set_viewport_size({"width": 1280, "height": 860})
        page.goto(server.console_url + path)
        page.evaluate(axe + ";0")
        assert page.evaluate(_AXE) == [], path
        page.screenshot(path=PICTURES / f"console-energy-{number}-{page.language}.png", full_page=True)
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 860})
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path, width)


def test_r24_without_scripts_there_are_the_tables_and_a_word_about_the_charts(browser, server):
    context = browser.new_context(java_script_enabled=False, locale="en")
    page = context.new_page()
    page.goto(server.console_url)
    log_in(page)
    for path, table in ((f"{PATH}?day={DAY}", "half-hours"), (f"{PATH}?month={DAY:%Y-%m}", "days")):
        page.goto(server.console_url + path)
        assert "Charts need JavaScript" in page.inner_text("main")
        assert page.locator("canvas").first.is_hidden()
        assert page.locator(f"#{table} tbody tr").count() >= 28
    context.close()
