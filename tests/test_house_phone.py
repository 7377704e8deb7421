"""Operation 2 by hand, as README tells it: the pages of house and phone in Chromium, the real firmware behind them.

By the virtual radio (Bumble) and, from the message's link, through the PPS's server. Screenshots: build/screenshots/.
"""

import re

import pytest
from playwright.sync_api import expect

from firmware import settings
from tests.house_runner import RunningHouse
from tools.setup import BUILD, locked, phone
from tools.sim.evidence import Evidence, found_in
from tools.sim.house import SERIAL

PICTURES = BUILD / "screenshots"
NAME = "Hanako 山田"
POSTAL_CODE = "1000005"
SITE_NUMBER = "0312345678901234567890"
RELAY_NAME = "Emma Lee"
TIMEOUT_MS = 30_000


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with locked("setup"):
        phone.ensure()
    with RunningHouse(tmp_path_factory.mktemp("house") / "house") as running:
        running.wait_text("通信 正常")
        yield running


@pytest.fixture
def house_page(browser, running):
    """The house's page in English. What it or a page opened from it complains about fails the test."""
    context = browser.new_context(
        locale="en", viewport={"width": 1440, "height": 1000}, ignore_https_errors=True, reduced_motion="reduce"
    )
    context.set_default_timeout(TIMEOUT_MS)
    complaints = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page = context.new_page()
    page.goto(running.page.url)
    expect(page.locator("#lcd-text")).to_contain_text("情報モジュール")
    yield page
    context.close()
    # Offline the page works from an origin that the browser trusts, which the house's server is not.
    assert [complaint for complaint in complaints if "error occurred when fetching the script" not in complaint] == []


class Phone:
    """The phone's page in a tab of its own."""

    def __init__(self, page, name):
        self.page = page
        self._name = name
        page.set_viewport_size({"width": 390, "height": 844})
        page.wait_for_selector("h1")

    def log_in(self, user_id, password):
        self.page.fill("#user-id", user_id)
        self.page.fill("#password", password)
        self.page.click("button[type=submit]")

    def open_group(self, number):
        self.page.click(f".choices .choice >> nth={number - 1}")
        self.page.wait_for_selector("ul.fields")

    def set_field(self, place, text):
        self.page.click(f"ul.fields .choice >> nth={place}")
        self.page.fill("#value", text)
        self.page.click("button[type=submit]")
        self.page.wait_for_selector("ul.fields")

    def back(self):
        self.page.click(".heading .back")

    def send(self):
        """From the menu: review, send, see that it was done."""
        self.page.click(".pending .button")
        self.page.click(".actions .primary")
        self.page.wait_for_selector(".done")

    def end(self):
        """From a result."""
        self.page.click(".actions .primary")
        self.page.click(".actions .button")
        self.page.click(".actions .primary")
        self.page.wait_for_selector(".notice.good")

    def picture(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"phone-{self._name}-{name}.png", full_page=True)


def house_picture(page, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.bring_to_front()
    page.screenshot(path=PICTURES / f"phone-house-{name}.png", full_page=True)


def issue(running, page, **order):
    """(ID, password) out of the newest message on the house's page, the module having the credential."""
    letters = page.locator("#letters li")
    count = letters.count()
    issued = running.call(lambda: running.house.server.issue_credential(SERIAL, language="en", **order))
    expect(letters).to_have_count(count + 1)
    text = letters.first.inner_text()
    sequence = issued.sequence
    expect(page.locator(f"#log li:has-text('#{sequence} acknowledged')")).to_have_count(1, timeout=TIMEOUT_MS)
    return re.search(r"ID: (\d{8})", text)[1], re.search(r"Password: (\d{8})", text)[1]


def opened_by(page, click_on):
    with page.context.expect_page() as opened:
        page.click(click_on)
    return opened.value


def wait_lcd(page, text):
    expect(page.locator("#lcd-text")).to_contain_text(text, timeout=TIMEOUT_MS)


def wrong(password):
    return password[:-1] + str((int(password[-1]) + 1) % 10)


def test_r18_operation_2_by_the_houses_radio(running, house_page):
    evidence = Evidence(running.house)
    before = evidence.flash().totals()["attempts_ever"]
    secrets = issue(running, house_page)
    phone = Phone(opened_by(house_page, "#link-phone"), "house")
    phone.page.click(".choice:has-text('virtual house')")
    phone.page.click(".choice:has-text('Inkan 00000001')")
    phone.page.wait_for_selector(".facts")
    assert SERIAL in phone.page.inner_text(".facts")
    phone.picture("found")
    phone.page.click(".button.primary")
    phone.log_in(secrets[0], wrong(secrets[1]))
    phone.page.wait_for_selector("[role=alert]")
    phone.page.wait_for_selector("#password:not([disabled])")
    assert "Tries left: 2" in phone.page.inner_text("#app")  # of 5, one being used and two the keypad's
    phone.log_in(*secrets)
    phone.page.wait_for_selector(".strip dl")
    phone.picture("menu")

    # The display follows, and the keypad is told.
    house_page.bring_to_front()
    wait_lcd(house_page, "別の端末で操作中")
    house_page.click("[data-key='O']")
    wait_lcd(house_page, "終わるまで")
    house_picture(house_page, "in-use")
    house_page.click("[data-key='O']")

    # Out of range in the middle of typing, and back.
    phone.page.bring_to_front()
    phone.open_group(1)
    phone.page.click("ul.fields .choice >> nth=0")
    phone.page.fill("#value", NAME)
    house_page.click("#do-phone")
    expect(house_page.locator("#phone-state")).to_have_text("out of range")
    phone.page.wait_for_selector(".banner .notice.wait")
    phone.picture("lost")
    house_picture(house_page, "out-of-range")
    house_page.click("#do-phone")
    phone.page.bring_to_front()
    phone.page.wait_for_selector(".banner .notice.good")
    assert phone.page.input_value("#value") == NAME
    phone.page.click("button[type=submit]")
    phone.page.wait_for_selector("ul.fields")
    phone.set_field(1, POSTAL_CODE)
    phone.back()
    phone.open_group(3)
    phone.set_field(0, SITE_NUMBER)
    phone.back()
    phone.send()
    phone.picture("changed")
    image = evidence.flash()
    assert [image.field(name) for name in ("customer_name", "postal_code", "site_number")] == [
        NAME,
        POSTAL_CODE,
        SITE_NUMBER,
    ]
    assert image.seals_hold and image.totals()["changes"] == 1
    assert image.totals()["attempts_ever"] == before + 2 and image.totals()["door"] == settings.DOOR_BLE

    phone.page.click(".actions .primary")
    phone.open_group(1)
    phone.page.click(".button.danger")
    phone.page.click(".actions .danger")
    phone.page.wait_for_selector(".done")
    phone.end()
    image = evidence.flash()
    assert image.seals_hold and image.field("site_number") == SITE_NUMBER
    assert not found_in(image, {NAME.encode(), POSTAL_CODE.encode()})

    house_page.bring_to_front()
    wait_lcd(house_page, "受付中")
    house_page.wait_for_selector("#story li.done:has-text('The same by phone')")
    for language, words in (
        (
            "en",
            ("Radio: a phone connected", "Radio: a phone is gone", "Phone carried out of range", "Phone brought back"),
        ),
        ("ja", ("スマートフォンが接続しました", "接続が終わりました", "届かない所へ移しました", "そばへ戻しました")),
    ):
        house_page.click(f"[data-language='{language}']")
        told = house_page.inner_text("#log")
        assert [text for text in words if text not in told] == []
        assert not any(secret in told for secret in (*secrets, NAME, POSTAL_CODE, SITE_NUMBER))


def test_r20_operation_2_through_the_relay_by_the_messages_link(running, house_page):
    evidence = Evidence(running.house)
    secrets = issue(running, house_page, relay=True)
    link = house_page.locator("#letters li:first-child a")
    address = link.get_attribute("href")
    assert ">From" not in house_page.inner_text("#letters li:first-child")  # what a mail server makes of some lines
    token = address.partition("#relay=")[2]
    assert address.startswith(running.house.server.phone_url) and address.startswith("https://")
    assert link.get_attribute("rel") == "noopener"
    phone = Phone(opened_by(house_page, "#letters li:first-child a"), "relay")
    assert token not in phone.page.url
    phone.page.click(".choice:has-text('over the internet')")
    phone.page.wait_for_selector(".facts")
    phone.page.click(".button.primary")
    phone.log_in(*secrets)
    phone.page.wait_for_selector(".strip dl")
    wait_lcd(house_page, "別の端末で操作中")
    phone.open_group(1)
    phone.set_field(0, RELAY_NAME)
    phone.back()
    phone.send()
    phone.picture("changed")
    image = evidence.flash()
    assert image.field("customer_name") == RELAY_NAME and image.seals_hold
    assert image.totals()["door"] == settings.DOOR_RELAY
    phone.end()

    house_page.bring_to_front()
    wait_lcd(house_page, "受付中")
    house_page.wait_for_selector("#story li.done:has-text('The same from afar')")
    house_page.wait_for_selector("#log li:has-text('a phone through the relay')")
    house_page.wait_for_selector("#log li:has-text('conversation is over')")
    house_picture(house_page, "relay")
    assert not evidence.in_database(RELAY_NAME, token, *secrets)


def test_r18_phones_page_works_without_the_house(running, house_page):
    """Its service worker has its own folder alone."""
    page = opened_by(house_page, "#link-phone")
    page.wait_for_selector(".choice")
    scope = page.evaluate("navigator.serviceWorker.ready.then(registration => registration.scope)")
    assert scope == running.page.url + "phone/"
    page.reload()
    page.wait_for_selector(".choice")
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector(".choice")
    page.context.set_offline(False)
