"""The phone's page in Chromium, with a module's real phone unit behind a radio made for tests."""

import asyncio
import re
import threading

import pytest
from unit_rig import ID, PASSWORD

from firmware import unique_info
from firmware.errors import InkanError
from tests.phone_house import TOKEN, PhoneHouse
from tools.setup import BUILD, ROOT, phone

LANGUAGES = ("ja", "en")
WRONG = "11112222"
CODE = "12345678901234567894"
HOST = "pps.example.jp:8443"
DER = b"\x30\x03\x02\x01\x05"
PICTURES = BUILD / "screenshots"

FAKE_BLUETOOTH = (ROOT / "tests" / "fake_bluetooth.js").read_text()

_JAPANESE = re.compile(r"[぀-ヿ一-鿿]")
_TOO_SMALL = """[...document.querySelectorAll('button, input, textarea, a, label.check')]
  .filter(e => e.checkVisibility() && !(e.type === 'checkbox'))
  .map(e => [e.getBoundingClientRect(), e.outerHTML])
  .filter(([box]) => box.width < 48 || box.height < 48).map(([, html]) => html)"""
_CUT_OFF = """[...document.querySelectorAll('#app *')]
  .filter(e => !e.closest('.unseen') && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'
    && !['INPUT', 'TEXTAREA', 'svg'].includes(e.tagName)).map(e => e.outerHTML)"""
_AXE = """async () => {
  const found = await axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    rules: {'color-contrast-enhanced': {enabled: true}},
  });
  return found.violations.map(({id, nodes}) => [id, ...nodes.map(node => node.html + ' ' + node.failureSummary)]);
}"""


@pytest.fixture(scope="module")
def house():
    with PhoneHouse() as house:
        yield house


@pytest.fixture(scope="module")
def axe(house):
    return (phone.WORKPLACE / "node_modules" / "axe-core" / "axe.min.js").read_text()


class PhonePage:
    """The page on a phone's screen, and the steps that many tests take."""

    def __init__(self, context, house, axe, language):
        self.context = context
        self.house = house
        self.language = language
        self.complaints = []
        self.page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._console)
        self._axe = axe

    def _console(self, message):
        # The browser itself notes every request that fails; those are the tests' doing.
        own = ("Failed to load resource", "ERR_INTERNET_DISCONNECTED")
        if message.type == "error" and not any(part in message.text for part in own):
            self.complaints.append(message.text)

    def open(self, fragment="#radio"):
        self.page.goto(self.house.url + fragment)
        self.page.wait_for_selector("h1")
        return self

    def find(self):
        """Up to what the module says of itself."""
        self.page.click(".choice")
        self.page.click(".choice:has-text('Inkan 00000001')")
        self.page.wait_for_selector(".facts")
        return self

    def type_login(self, user_id=ID, password=PASSWORD):
        self.page.fill("#user-id", user_id)
        self.page.fill("#password", password)
        self.page.click("button[type=submit]")

    def login(self):
        """Up to the menu."""
        self.find()
        self.page.click(".button.primary")
        self.type_login()
        self.page.wait_for_selector(".strip dl")
        return self

    def open_group(self, number):
        self.page.click(f".choices .choice >> nth={number - 1}")
        self.page.wait_for_selector("ul.fields, p.lead")

    def type_field(self, place, text):
        """Give the field at a place of the open group a new value."""
        self.page.click(f"ul.fields .choice >> nth={place}")
        self.page.fill("#value", text)
        self.page.click("button[type=submit]")
        self.page.wait_for_selector("ul.fields")

    def back(self):
        self.page.click(".heading .back")

    def send(self):
        """From an open group: review, send, see that it was done."""
        self.back()
        self.page.click(".pending .button")
        self.page.click(".actions .primary")
        self.page.wait_for_selector(".done")

    @property
    def text(self):
        return self.page.inner_text("#app")

    def look(self, name):
        """Axe finds nothing, all can be touched, nothing is cut off on the narrowest phone; keep a picture."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"phone-{name}-{self.language}.png", full_page=True)
        self.page.evaluate(self._axe + ";0")
        assert self.page.evaluate(_AXE) == [], name
        assert self.page.evaluate(_TOO_SMALL) == [], name
        assert self.page.evaluate("document.documentElement.lang") == self.language
        for width, zoom in ((320, 100), (390, 200)):
            self.page.set_viewport_size({"width": width, "height": 844})
            self.page.evaluate("zoom => { document.documentElement.style.fontSize = zoom + '%' }", zoom)
            assert self.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (name, width)
            assert self.page.evaluate(_CUT_OFF) == [], (name, width)
        self.page.evaluate("document.documentElement.style.fontSize = ''")
        self.page.set_viewport_size({"width": 390, "height": 844})
        if self.language == "en":
            others = self.text.replace("日本語", "").replace("山田 太郎", "").replace("〒", "")
            assert not _JAPANESE.search(others), name


@pytest.fixture
def opened(browser, house, axe):
    """Callable (language): a PhonePage; whatever it complains about fails the test."""
    pages = []

    def open_page(language="en", script=None, scheme="light"):
        context = browser.new_context(
            locale=language, viewport={"width": 390, "height": 844}, device_scale_factor=2, color_scheme=scheme
        )
        if script:
            context.add_init_script(script)
        pages.append(PhonePage(context, house, axe, language))
        return pages[-1]

    yield open_page
    for page in pages:
        page.context.close()
        assert page.complaints == []


def value_of(house, field_id):
    info = unique_info.UniqueInfo(house.call(house.module.store.vault.read))
    return info.text(field_id)


@pytest.mark.parametrize("language", LANGUAGES)
def test_r18_whole_flow(house, opened, language):
    module = house.new_module()
    page = opened(language).open()
    page.look("choose")
    page.find()
    assert not house.linked  # nothing is held while somebody reads
    page.look("module")
    page.page.click(".button.primary")
    page.look("login")
    page.type_login()
    page.page.wait_for_selector(".strip dl")
    page.look("menu")

    page.open_group(1)
    page.type_field(0, "山田 太郎")
    page.page.click("ul.fields .choice >> nth=1")
    page.page.fill("#value", "12a")
    page.page.wait_for_selector(".told.bad")
    page.look("field-bad")
    page.page.fill("#value", "１２３－４５６７")
    page.page.wait_for_selector(".told.good")
    page.look("field")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("ul.fields")
    page.look("group")
    page.back()
    page.open_group(3)
    page.type_field(0, "0112345678901234567890")
    page.back()
    page.look("menu-pending")
    page.page.click(".pending .button")
    page.look("review")
    assert module.attempts.changes == 0
    page.page.click(".actions .primary")
    page.page.wait_for_selector(".done")
    page.look("result")
    assert [value_of(house, field_id) for field_id in (0x11, 0x12, 0x31)] == [
        "山田 太郎",
        "1234567",
        "0112345678901234567890",
    ]
    assert module.attempts.changes == 1  # one request for all of them

    page.page.click(".actions .primary")
    page.open_group(1)
    page.page.click("ul.fields .choice >> nth=1")
    page.page.click(".button.danger")
    page.look("delete")
    page.page.click(".actions .danger")
    page.page.wait_for_selector(".done")
    page.look("deleted")
    assert (value_of(house, 0x11), value_of(house, 0x12)) == ("山田 太郎", "")
    page.page.click(".actions .primary")
    page.open_group(2)
    page.page.click(".button.danger")
    page.look("delete-usage")
    page.page.click(".actions .danger")
    page.page.wait_for_selector(".done")
    assert "purged" in module.events()

    page.page.click(".actions .primary")
    page.page.click(".actions .button")
    page.look("end")
    page.page.click(".actions .primary")
    page.page.wait_for_selector(".notice.good")
    page.look("over")
    assert module.control.session is None
    assert module.attempts.successes_ever == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_r15_connection_is_enrolled_with_progress(house, opened, language):
    module = house.new_module()
    go_on = threading.Event()

    async def enrol(progress):
        progress(5_000, 20_000)
        while not go_on.is_set():
            await asyncio.sleep(0.02)
            progress(15_000, 20_000)
        return {0x51: "https://" + HOST, 0x53: DER, 0x54: DER, 0x55: b"\x07" * 32}

    async def refuse(progress):
        raise CodeRefused("code_refused")

    module.enrol = refuse
    page = opened(language).open().login()
    page.open_group(5)
    page.look("connection")
    page.page.click(".actions .primary")
    page.page.fill("#host", HOST)
    page.page.fill("#code", CODE[:-1] + "5")
    page.page.click("button[type=submit]")
    page.page.wait_for_selector("#code[aria-invalid=true]:focus")
    page.page.fill("#code", CODE)
    page.look("enrol")
    page.page.click("button[type=submit]")
    page.look("enrol-confirm")
    page.page.click(".actions .primary")
    page.page.wait_for_selector("[role=alert]")
    page.look("enrol-failed")
    assert value_of(house, 0x51) == ""
    module.enrol = enrol
    page.page.click(".actions .primary")
    until(page.page, "document.querySelector('progress')?.value === 15000")
    page.look("enrolling")
    go_on.set()
    page.page.wait_for_selector(".done")
    assert value_of(house, 0x51) == "https://" + HOST
    assert module.enrolled == [(HOST, CODE)] * 2


def steps_of(page):
    """States of the steps that a flow's screen shows: done, next, later, stays."""
    page.page.wait_for_selector(".steps")
    names = page.page.evaluate("[...document.querySelectorAll('.steps > li')].map(e => e.className)")
    return [name.removeprefix("step-") for name in names]


def fill_form(page, values):
    for field_id, text in values.items():
        page.page.fill(f"#value-{field_id}", text)
    page.page.click("button[type=submit]")


def send_form(page, values):
    """From a flow's form: fill it, review, send, and back to the steps."""
    fill_form(page, values)
    page.page.click(".actions .primary")
    page.page.wait_for_selector(".done")
    page.page.click(".actions .primary")


def test_r5_new_resident_is_guided_and_can_leave_and_come_back(house, opened):
    module = house.new_module()
    former = {0x11: "佐藤".encode(), 0x12: b"1000001", 0x14: b"C-1", 0x21: bytes(64)}
    house.call(
        lambda: module.store.vault.commit(unique_info.UniqueInfo(module.store.vault.read()).with_changes(former))
    )
    page = opened("ja").open().login()
    page.page.click(".occasions .button >> nth=0")
    assert page.page.evaluate("document.activeElement.tagName") == "H1"
    assert steps_of(page) == ["next"] + ["later"] * 4
    assert page.page.evaluate("document.activeElement.tagName") == "H1"  # as well once it was read
    assert page.page.locator(".actions .button").count() == 2  # what it can see cannot be passed over
    page.look("flow-new-resident")
    page.page.click(".actions .danger")
    asked = page.page.inner_text("main")
    assert all(part in asked for part in ("佐藤", "〒100-0001", "C-1", "使用履歴もすべて消えます"))
    assert "住所" not in asked  # is not there to go
    page.look("flow-clear")
    page.back()
    assert steps_of(page)[0] == "next" and module.attempts.changes == 0
    page.page.click(".actions .danger")
    page.page.click(".actions .danger")
    page.page.wait_for_selector(".done")
    assert "使用履歴" in page.page.inner_text(".done") and "purged" in module.events()
    page.page.click(".actions .primary")
    assert steps_of(page) == ["done", "next", "later", "later", "later"]

    page.page.click(".actions .primary")
    fill_form(page, {0x11: "田中", 0x12: "1500001", 0x14: "C-2"})
    page.page.wait_for_selector("#value-19[aria-invalid=true]:focus")  # the contract number comes last
    page.look("flow-form")
    page.back()
    page.page.click(".actions .primary")
    assert page.page.input_value("#value-20") == "C-2"  # what was typed is still there
    send_form(page, {0x14: ""})
    assert steps_of(page) == ["done", "done", "done", "next", "later"]
    page.back()
    page.open_group(1)
    page.type_field(2, "東京都")
    page.back()
    page.page.click(".occasions .button >> nth=0")
    assert steps_of(page) == ["done", "done", "done", "next", "later"] and "東京都" in page.text
    page.look("flow-pending")
    page.page.click(".actions .button >> nth=0")
    send_form(page, {0x14: "c-2"})
    assert steps_of(page) == ["done"] * 5
    page.look("flow-over")
    assert [value_of(house, field_id) for field_id in (0x11, 0x12, 0x13, 0x14)] == ["田中", "1500001", "東京都", "C-2"]
    assert module.attempts.changes == 3  # clear, and two requests
    page.page.click(".actions .button >> nth=1")
    asked = page.page.inner_text("main")  # what is done opens again, and is asked about again
    assert "田中" in asked and "使用履歴もすべて消えます" in asked
    page.back()
    assert steps_of(page) == ["done"] * 5
    page.back()
    page.open_group(1)
    page.page.click("ul.fields .choice >> nth=3")
    page.page.click(".button.danger")
    asked = page.page.inner_text("main")  # the contract number by itself takes the usage history along as well
    assert "C-2" in asked and "田中" not in asked and "使用履歴もすべて消えます" in asked


def test_r15_new_pps_and_moved_and_new_equipment_are_guided_where_little_is_seen(house, opened):
    changeable = ["customer", "site", "capacity", "connection"]
    module = house.new_module(scope={"see": ["site"], "change": changeable, "delete": []})

    async def enrol(progress):
        return {0x51: "https://" + HOST, 0x53: DER, 0x54: DER, 0x55: b"\x07" * 32}

    module.enrol = enrol
    page = opened("en").open().login()
    assert page.page.locator(".occasions .button").all_inner_texts() == [
        "New power company",
        "Equipment moved",
        "Equipment replaced",
    ]
    page.look("menu-flows")
    page.page.click(".occasions .button >> nth=0")
    assert steps_of(page) == ["next", "later"]
    page.look("flow-new-pps")
    page.page.click(".actions .button >> nth=1")
    assert steps_of(page) == ["done", "next"]  # the user said so
    page.back()
    page.open_group(4)
    page.page.click(".actions .primary")
    page.page.fill("#host", HOST)
    page.page.fill("#code", CODE)
    page.page.click("button[type=submit]")
    assert "the contract number goes" in page.text
    page.page.click(".actions .primary")
    page.page.wait_for_selector(".done")
    page.page.click(".actions .primary")
    page.page.click(".occasions .button >> nth=0")
    page.page.click(".actions .primary")
    send_form(page, {0x14: "P-7"})
    assert steps_of(page) == ["done", "done"]
    assert (value_of(house, 0x51), value_of(house, 0x14)) == ("https://" + HOST, "P-7")

    page.back()
    page.page.click(".occasions .button >> nth=1")
    assert steps_of(page) == ["next", "later", "later"]
    page.look("flow-moved")
    page.page.click(".actions .primary")
    assert ("Value now: not set" in page.text, page.text.count("Value now")) == (True, 1)  # of what is seen
    fill_form(page, {0x31: "1234567890123456789012", 0x13: "Osaka"})
    page.page.wait_for_selector("#value-49[aria-invalid=true]:focus")  # no such area
    send_form(page, {0x31: "03 1234 5678 9012 3456 7890", 0x13: "Osaka"})
    assert steps_of(page) == ["done", "stays", "done"]
    moved = [value_of(house, field_id) for field_id in (0x31, 0x12, 0x13, 0x14)]
    assert (moved, module.attempts.changes) == (["0312345678901234567890", "", "Osaka", "P-7"], 3)

    page.back()
    page.page.click(".occasions .button >> nth=2")
    assert steps_of(page) == ["next", "later", "later"]
    page.page.click(".actions .primary")
    fill_form(page, {})
    page.page.wait_for_selector("#value-65[aria-invalid=true]:focus")
    page.look("flow-free-form")
    send_form(page, {0x42: "9800"})
    assert steps_of(page) == ["stays", "done", "stays"]
    page.look("flow-stays")
    assert (value_of(house, 0x41), value_of(house, 0x42)) == ("", "9800")
    assert module.attempts.changes == 4


class CodeRefused(InkanError):
    code = "code_refused"


def until(page, expression):
    """Wait for a JavaScript expression; the page's own policy forbids Playwright's way to do that."""
    for _ in range(1000):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(30)
    raise AssertionError(expression)


def test_r13_wrong_password_is_told_and_delays_and_the_way_goes_on(house, opened):
    module = house.new_module()
    page = opened("ja").open().find()
    page.page.click(".button.primary")
    page.type_login(password="123")
    page.page.wait_for_selector("#password[aria-invalid=true]:focus")
    page.look("login-short")
    assert module.attempts.settled_attempts() == 0
    told = []
    for user_id, password in ((ID, WRONG), (WRONG, PASSWORD)):
        page.type_login(user_id, password)
        page.page.wait_for_selector("[role=alert]")
        page.page.wait_for_selector("#password:not([disabled])")
        told.append(page.page.inner_text("[role=alert]"))
        assert page.page.input_value("#password") == ""
        page.look(f"wrong-{len(told)}")
    assert told[0] == told[1]  # which of them was wrong is not said
    assert module.attempts.settled_attempts() == 2
    until(page.page, "document.body.textContent.includes('残りの入力回数: 1回')")
    page.type_login()  # within the delay: the page waits it out by itself
    page.page.wait_for_selector(".strip dl")
    assert (module.attempts.settled_attempts(), module.attempts.successes_ever) == (3, 1)


def test_s5_failures_used_up_lead_to_what_to_do(house, opened):
    house.new_module(max_failures=3)
    page = opened("en").open().find()
    assert "1" in page.page.inner_text(".facts div:nth-child(3) dd")
    page.page.click(".button.primary")
    page.type_login(password=WRONG)
    page.page.wait_for_selector("[role=alert]")
    until(page.page, "document.body.textContent.includes('Tries left: 0')")
    page.back()
    page.page.wait_for_selector(".notice.lock")
    assert "keypad" in page.text and page.page.locator("text=Enter ID").count() == 0
    page.look("locked")


STATES = {
    "idle": dict(credential=False),
    "no_time": dict(knows_time=False),
    "tampered": dict(),
    "recoverable": dict(scope={"recover": True}),
    "busy": dict(),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", STATES)
def test_r18_each_state_says_what_to_do(house, opened, state, language):
    module = house.new_module(**STATES[state])
    if state in ("tampered", "recoverable"):
        house.call(lambda: module.detection.latch("vault_seal"))
    elif state == "busy":
        house.call(module.open)
    page = opened(language).open().find()
    may_login = state == "recoverable"
    assert page.page.locator(".actions .button").count() == (3 if may_login else 2)
    assert page.page.locator(".notice p").count() == 2
    page.look(f"state-{state}")
    # What has changed meanwhile shows on request.
    page.page.click(".actions .button >> nth=" + ("1" if may_login else "0"))
    page.page.wait_for_selector(".facts")


def test_s2_a_refusal_that_comes_after_the_info_is_told(house, opened):
    module = house.new_module()
    page = opened("en").open().find()
    page.page.click(".button.primary")
    house.call(module.open)
    page.type_login()
    page.page.wait_for_selector("[role=alert]")
    assert "In use elsewhere" in page.page.inner_text("[role=alert]")
    assert module.attempts.settled_attempts() == 1  # that of the keypad


@pytest.mark.parametrize("language", LANGUAGES)
def test_s19_tampered_module_is_wiped(house, opened, language):
    module = house.new_module(scope={"recover": True})
    house.call(lambda: module.detection.latch("vault_seal"))
    page = opened(language).open().login()
    page.look("menu-tampered")
    page.page.click(".actions .danger")
    assert page.page.is_disabled(".button.danger")
    page.page.click("label.check")
    page.look("wipe")
    page.page.click(".actions .danger")
    page.page.wait_for_selector(".notice.good")
    page.look("wiped")
    assert module.detection.tamper is None
    page.page.click(".actions .primary")
    page.open_group(1)
    page.type_field(0, "山田 太郎")
    page.send()
    assert value_of(house, 0x11) == "山田 太郎"


@pytest.mark.parametrize("language", LANGUAGES)
def test_r8_a_lost_link_is_resumed_and_costs_nothing(house, opened, language):
    module = house.new_module()
    page = opened(language).open().login()
    page.open_group(1)
    page.page.click("ul.fields .choice >> nth=0")
    page.page.fill("#value", "Yamada")
    house.break_link(stays_away=True)
    page.page.wait_for_selector(".banner .notice.wait")
    again = {"ja": "2回目", "en": "try 2"}[language]
    until(page.page, f"document.querySelector('.banner').textContent.includes('{again}')")
    page.look("lost")
    assert page.page.input_value("#value") == "Yamada"
    page.page.focus("#value")
    house.in_reach = True
    page.page.wait_for_selector(".banner .notice.good")
    page.look("found-again")
    page.page.focus("#value")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("ul.fields")
    page.send()
    assert value_of(house, 0x11) == "Yamada"
    assert (module.attempts.successes_ever, module.attempts.settled_attempts()) == (1, 1)


def test_s6_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(house, opened):
    module = house.new_module()
    page = opened("en").open().login()
    page.open_group(1)
    page.type_field(0, "Yamada")
    page.back()
    page.page.click(".pending .button")
    house.lose_next_answer()
    page.page.click(".actions .primary")
    page.page.wait_for_selector(".done")
    assert "had been done" in page.text
    assert (module.attempts.changes, module.store.vault.generation) == (1, 2)
    page.page.click(".actions .primary")
    page.open_group(4)
    page.type_field(0, "5,000".replace(",", ""))
    page.send()
    assert (module.attempts.changes, value_of(house, 0x41)) == (2, "5000")


def test_s19_a_lost_answer_to_a_wipe_is_found_out_by_the_status(house, opened):
    module = house.new_module(scope={"recover": True})
    house.call(lambda: module.detection.latch("vault_seal"))
    page = opened("en").open().login()
    page.page.click(".actions .danger")
    page.page.click("label.check")
    house.lose_next_answer()
    page.page.click(".actions .danger")
    page.page.wait_for_selector(".notice.good:has-text('Confirmed')")
    assert module.events().count("wiped") == 1


def test_s6_a_change_that_came_between_is_not_overwritten(house, opened):
    module = house.new_module()
    page = opened("ja").open().login()
    page.open_group(1)
    page.type_field(0, "山田")
    others = unique_info.UniqueInfo(house.call(module.store.vault.read)).with_changes({0x11: "鈴木".encode()})
    house.call(lambda: module.store.vault.commit(others))
    page.back()
    page.page.click(".pending .button")
    page.page.click(".actions .primary")
    page.page.wait_for_selector("[role=alert]")
    until(page.page, "document.body.textContent.includes('鈴木')")
    page.look("stale")
    assert value_of(house, 0x11) == "鈴木"


def test_r8_what_the_module_refuses_is_told_and_kept(house, opened):
    house.new_module(max_changes=1)
    page = opened("en").open().login()
    page.open_group(1)
    page.type_field(0, "Yamada")
    page.send()
    page.page.click(".actions .primary")
    page.open_group(1)
    page.type_field(2, "Tokyo")
    page.back()
    page.page.click(".pending .button")
    page.page.click(".actions .primary")
    page.page.wait_for_selector("[role=alert]")
    assert "No changes are left" in page.text and "Tokyo" in page.text
    page.look("used-up")
    assert value_of(house, 0x13) == ""


def end_by(house, how):
    module = house.module
    ways = {
        "idle": lambda: module.pass_s(180),
        "expired": lambda: module.pass_s(86_400),
        "revoked": lambda: module.acquisition.revoke(1, 1),
        "tampered": lambda: module.detection.latch("vault_seal"),
        "lock": lambda: module.control.session.close("lock"),
        "lost": lambda: (module.control.session.close("lock"), [link.close() for link in house.links]),
    }
    house.call(ways[how])


@pytest.mark.parametrize("how", ["idle", "expired", "revoked", "tampered", "lock", "lost"])
def test_r16_end_of_a_session_is_told_and_nothing_stays(house, opened, how):
    house.new_module()
    page = opened("en").open().login()
    page.open_group(1)
    page.type_field(0, "Yamada")
    end_by(house, how)
    page.page.wait_for_selector("h1:has-text('The session is over')")
    assert "were not made" in page.text
    page.look(f"over-{how}")
    assert page.page.locator(".strip dl").is_hidden()
    if how == "lock":
        page.page.click(".actions .primary")
        page.page.wait_for_selector(".facts")


def test_s16_one_wrong_bit_ends_the_session(house, opened):
    module = house.new_module()
    page = opened("en").open().login()
    house.spoil_next_answer()
    page.page.click(".choices .choice")
    page.page.wait_for_selector("h1:has-text('The session is over')")
    assert "Unsound" in page.text
    assert not house.linked and module.attempts.changes == 0


def test_r8_idle_is_warned_of_and_work_counts(house, opened):
    module = house.new_module()
    page = opened("ja").open()
    page.page.clock.install()
    page.login()
    page.page.clock.run_for(130_000)
    page.page.wait_for_selector(".banner .notice.wait")
    house.call(lambda: module.pass_s(130))
    page.page.click(".banner .button")
    page.page.wait_for_selector(".banner .notice", state="detached")
    while house.call(lambda: module.control.session.idle_ms_left) < 100_000:
        page.page.wait_for_timeout(20)
    house.call(lambda: module.pass_s(100))
    assert module.control.session is not None
    page.page.clock.run_for(130_000)
    page.page.wait_for_selector(".banner .notice.wait")
    page.look("idle")


def test_r11_only_what_the_credential_allows_is_offered(house, opened):
    house.new_module(scope={"see": ["customer", "site"], "change": ["customer"], "delete": ["capacity"]})
    page = opened("en").open().login()
    assert page.page.locator(".choices .choice").count() == 3
    page.open_group(2)
    assert page.page.locator("ul.fields button").count() == 0
    page.page.click(".actions .button:last-child")
    page.open_group(3)
    page.page.click("ul.fields .choice >> nth=0")
    assert page.page.locator("#value").count() == 0 and page.page.locator(".button.danger").count() == 1
    assert "not shown" in page.text
    page.look("hidden")


def test_r20_relay_by_link(house, opened):
    module = house.new_module()
    page = opened("ja").open(f"#relay={TOKEN}")
    assert TOKEN not in page.page.url
    assert TOKEN not in page.page.evaluate("JSON.stringify(localStorage)")
    page.look("choose-relay")
    page.page.click(".choice")
    page.page.wait_for_selector(".facts")
    page.page.click(".button.primary")
    page.type_login()
    page.page.wait_for_selector(".strip dl")
    page.open_group(1)
    page.type_field(0, "山田 太郎")
    house.break_link()
    page.page.wait_for_selector(".banner .notice.good")
    page.send()
    assert value_of(house, 0x11) == "山田 太郎"
    assert module.attempts.successes_ever == 1
    page.page.reload()
    page.page.wait_for_selector(".choice")
    house.online = False
    page.page.click(".choice")
    page.page.wait_for_selector("[role=alert]")
    page.look("offline-module")


def test_r18_web_bluetooth(house, opened):
    module = house.new_module()
    page = opened("en", script=FAKE_BLUETOOTH).open("")
    page.page.evaluate("fakeBluetooth.chosen = false")
    page.page.click(".choice")
    page.page.wait_for_selector("[role=alert]")
    page.look("no-module-chosen")
    page.page.evaluate("fakeBluetooth.chosen = true")
    page.page.click(".choice")
    page.page.wait_for_selector(".facts")
    assert page.page.evaluate("fakeBluetooth.filters") == [{"services": ["51644326-28e6-4c56-a4d1-f27e4c2bfcfb"]}]
    page.page.click(".button.primary")
    page.type_login()
    page.page.wait_for_selector(".strip dl")
    page.open_group(1)
    page.type_field(2, "東京都" * 30)
    house.break_link(stays_away=True)
    page.page.wait_for_selector(".banner .notice.wait")
    house.in_reach = True
    page.page.wait_for_selector(".banner .notice.good")
    page.send()
    assert value_of(house, 0x13) == "東京都" * 30
    assert max(page.page.evaluate("fakeBluetooth.writes")) <= 180
    assert module.attempts.successes_ever == 1


def test_without_bluetooth_the_page_says_what_to_use(house, opened):
    page = opened("en", script="delete Navigator.prototype.bluetooth").open("")
    assert page.page.locator(".choice").count() == 0
    assert "relay" not in page.text and "Chrome" in page.text
    page.look("no-bluetooth")


def test_r18_offline_the_page_reloads(house, opened):
    page = opened("ja").open()
    page.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    until(page.page, "navigator.serviceWorker.controller !== null")
    page.context.set_offline(True)
    page.page.reload()
    page.page.wait_for_selector(".choice")
    page.look("offline")
    assert page.page.evaluate("document.querySelector('header img').naturalWidth") > 0
    page.page.click(".choice")
    page.page.wait_for_selector("[role=alert]")
    page.context.set_offline(False)


def test_page_can_be_installed(house, opened):
    page = opened("en").open()
    manifest = page.page.evaluate(
        "fetch(document.querySelector('link[rel=manifest]').href).then(answer => answer.json())"
    )
    assert manifest["display"] == "standalone" and manifest["start_url"] == "./"
    for icon in manifest["icons"]:
        assert page.page.evaluate("name => fetch(name).then(answer => answer.ok)", icon["src"])


def test_r4_nothing_of_a_session_is_stored_or_logged(house, opened):
    house.new_module()
    page = opened("en")
    printed = []
    page.page.on("console", lambda message: printed.append(message.text))
    page.open().login()
    page.open_group(1)
    page.type_field(0, "Yamada")
    page.send()
    stored = page.page.evaluate(
        "async () => JSON.stringify([{...localStorage}, {...sessionStorage}, "
        "await indexedDB.databases(), document.cookie])"
    )
    assert stored == '[{},{},[],""]' and printed == []
    kept = page.page.evaluate(
        "async () => (await Promise.all((await caches.keys()).map(async name => "
        "(await (await caches.open(name)).keys()).map(request => new URL(request.url).pathname)))).flat()"
    )
    assert all(re.fullmatch(r"/phone/([\w.-]+|assets/[\w.-]+)?", path) for path in kept)
    page.page.reload()
    page.page.wait_for_selector(".choice")
    assert "Yamada" not in page.page.content()


def test_language_is_switched_in_the_middle_and_remembered(house, opened):
    house.new_module()
    page = opened("ja").open().find()
    page.page.click(".button.primary")
    page.page.fill("#user-id", "1234")
    page.page.click(".language")
    assert page.page.evaluate("document.documentElement.lang") == "en"
    assert page.page.input_value("#user-id") == "1234" and "Password" in page.text
    page.page.reload()
    page.page.wait_for_selector("h1")
    assert page.page.evaluate("document.documentElement.lang") == "en"


def test_keyboard_alone_is_enough(house, opened):
    house.new_module()
    page = opened("en").open()
    keyboard = page.page.keyboard

    def tab_to(selector):
        for _ in range(40):
            keyboard.press("Tab")
            if page.page.evaluate("selector => document.activeElement?.matches(selector)", selector):
                outline = page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", selector
                return
        raise AssertionError(selector)

    def press(selector, key="Enter"):
        tab_to(selector)
        keyboard.press(key)

    press(".choice")
    page.page.wait_for_selector(".choice:has-text('Inkan 0')")
    press(".choice")
    page.page.wait_for_selector(".facts")
    assert page.page.evaluate("document.activeElement.tagName") == "H1"
    press(".button.primary")
    tab_to("#user-id")
    keyboard.type(ID)
    tab_to("#password")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    page.page.wait_for_selector(".strip dl")
    press(".choice")
    page.page.wait_for_selector("ul.fields")
    press("ul.fields .choice", "Space")
    tab_to("#value")
    keyboard.type("Yamada")
    keyboard.press("Enter")
    page.page.wait_for_selector("ul.fields")
    press(".back")
    press(".pending .button")
    press(".actions .primary")
    page.page.wait_for_selector(".done")
    assert value_of(house, 0x11) == "Yamada"
    page.page.go_back()  # leads nowhere from here, and does not leave the page
    assert page.page.locator(".done").count() == 1


def test_phones_own_way_back_goes_one_screen_back(house, opened):
    house.new_module()
    page = opened("en").open().login()
    page.open_group(1)
    page.page.click("ul.fields .choice >> nth=0")
    page.page.go_back()
    page.page.wait_for_selector("ul.fields")
    page.page.go_back()
    page.page.wait_for_selector(".choices")
    assert page.page.locator(".strip dl").is_visible()


def test_dark_scheme_has_the_same_contrast(house, opened):
    house.new_module()
    page = opened("en", scheme="dark").open()
    page.look("dark-choose")
    page.login()
    page.look("dark-menu")
    page.open_group(1)
    page.type_field(1, "1234567")
    page.look("dark-group")
    page.back()
    page.page.click(".pending .button")
    page.look("dark-review")
    page.page.click(".actions .primary")
    page.page.wait_for_selector(".done")
    page.look("dark-result")
