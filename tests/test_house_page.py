"""The house's page in Chromium: keys, display, console, language, power, flash map."""

import re
import time

import pytest

from firmware.audit import EVENTS
from tests.house_runner import RunningHouse
from tools.flash import layout
from tools.sim.evidence import Evidence
from tools.sim.page.story import STEPS

TEXTS = {
    "ja": ("カ", "フラッシュ", "やってみる"),
    "en": ("Flash", "Try this", "Lay hands on it"),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with RunningHouse(tmp_path_factory.mktemp("house") / "house") as running:
        running.wait_text("通信 正常")
        yield running


@pytest.fixture
def page(browser, running):
    """The page in Japanese, the module at its status screen; whatever the browser complains about fails the test."""
    running.call(running.house.restart())
    running.wait_text("通信 正常")
    context = browser.new_context(locale="ja", viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(running.page.url + "?language=ja")
    until(page, "house.state.powered !== undefined")
    yield page
    context.close()
    assert complaints == []


def until(page, expression, argument=None, timeout_s=60):
    """Wait for a JavaScript expression; the page's own policy forbids Playwright's way to do that."""
    end = time.monotonic() + timeout_s
    while not page.evaluate(expression, argument):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(30)


def press(page, keys):
    """Click keys with the mouse; each is taken by the firmware before the next is pressed."""
    for key in keys:
        page.click(f"[data-key='{key}']")


def wait_canvas(page, running):
    """Wait until the canvas shows what the chip shows, dot by dot."""
    frame = list(running.call(running.house.module.frame))
    until(page, "frame => house.lcdFrame().every((byte, at) => byte === frame[at])", frame)
    assert any(frame)


def test_r29_display_is_followed_by_mouse_keyboard_and_tab(page, running):
    wait_canvas(page, running)
    press(page, "*")
    running.wait_text("言語 Language")
    wait_canvas(page, running)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    running.wait_text("Inkan module")
    wait_canvas(page, running)
    until(page, "document.querySelector('#lcd').getAttribute('aria-label').includes('Inkan module')")
    assert "Inkan module" in page.inner_text("#lcd-text")

    page.focus("[data-key='R']")
    page.keyboard.press("Shift+Tab")  # from the right arrow to #
    assert page.evaluate("document.activeElement.dataset.key") == "#"
    page.keyboard.press("Enter")
    running.wait_text("Serial number:")
    page.keyboard.press("Escape")
    running.wait_text("Inkan module")
    press(page, "*UO")
    running.wait_text("情報モジュール")


def test_r14_arrow_that_is_held_goes_on_until_it_is_let_go(page, running):
    press(page, "#")
    running.wait_text("製造番号:")
    page.hover("[data-key='D']")
    page.mouse.down()
    running.wait_text("ソフトウェア:")  # some rows further down
    assert running.house.module.keys.down == "D"
    page.mouse.up()
    press(page, "B")
    running.wait_text("情報モジュール")
    assert running.house.module.keys.down in ("", "B")


def test_r6_r8_credential_is_issued_used_and_revoked_at_the_console(page, running):
    evidence = Evidence(running.house)
    letters, sequence = page.locator("#letters li").count(), evidence.flash().credential("sequence") or 0
    with page.context.expect_page() as opened:
        page.click("#link-console")
    console = opened.value
    console.fill("#name", page.inner_text("#operator-name"))
    console.fill("#password", page.inner_text("#operator-password"))
    console.press("#password", "Enter")
    console.wait_for_url("**/modules/INK-00000001")
    console.click("a[href$='/issue']")
    console.click("a[href*='task=everything']")
    console.fill("#recipient", "technician@example.com")
    console.click("#issue-form button.primary")
    page.bring_to_front()
    until(page, "count => document.querySelectorAll('#letters li').length > count", letters)
    while (evidence.flash().credential("sequence") or 0) <= sequence:
        page.wait_for_timeout(30)
    running.wait_text("残23時間")
    letter = page.inner_text("#letters li:first-child")
    user_id, password = re.search(r"ID: (\d{8})", letter)[1], re.search(r"パスワード: (\d{8})", letter)[1]
    press(page, "O")
    running.wait_text("IDを入力(8桁)")
    page.keyboard.type(user_id)
    page.keyboard.press("Enter")
    running.wait_text("パスワード(8桁)")
    press(page, password + "O")
    running.wait_text("変更メニュー")
    wait_canvas(page, running)
    assert evidence.flash().totals()["successes"] == 1
    page.wait_for_selector("#story li.done:nth-child(3)")

    console.bring_to_front()
    console.goto(running.house.server.console_url + "modules/INK-00000001")
    console.click("details:has(form[action$='/revoke']) summary")
    console.click("form[action$='/revoke'] button")
    running.wait_text("PPSが取り消したため")
    wait_canvas(page, running)
    until(page, "house.events.some(event => event.kind === 'credential_revoked')")
    told = page.inner_text("#log")
    assert user_id not in told and password not in told


def test_language_switch_leaves_no_text_behind(page):
    for language, words in TEXTS.items():
        page.click(f"[data-language='{language}']")
        assert page.evaluate("document.documentElement.lang") == language
        text = page.inner_text("body")
        assert [word for word in words if word not in text] == []
        empty = "[...document.querySelectorAll('[data-t]')].filter(e => !e.textContent).map(e => e.dataset.t)"
        assert page.evaluate(empty) == []
        unnamed = (
            "[...document.querySelectorAll('button, a, select, canvas')]"
            ".filter(e => !e.innerText?.trim() && !e.getAttribute('aria-label') && !e.labels?.length)"
            ".map(e => e.outerHTML)"
        )
        assert page.evaluate(unnamed) == []
    page.reload()
    assert page.evaluate("document.documentElement.lang") == "ja"  # the address says so


def test_texts_are_in_both_languages_and_complete(page, running):
    keys = page.evaluate(
        "import('/static/texts.js').then(({TEXTS}) => Object.entries(TEXTS).map(([key, pair]) => "
        "[key, pair.length, pair.every(Boolean)]))"
    )
    assert [key for key, size, full in keys if size != 2 or not full] == []
    named = {key for key, _, _ in keys}
    assert {f"word_{event}" for event in EVENTS} <= named
    assert {f"step_{step}" for step in STEPS} | {f"step_{step}_how" for step in STEPS} <= named
    assert {f"area_{area}" for area in layout.AREAS} | {f"short_{area}" for area in layout.AREAS} <= named
    for kind in ("power_on", "power_off", "started", "joined", "left", "cut_armed", "unplugged", "plugged"):
        assert f"event_{kind}" in named


def test_r2_power_button_and_breaker(page, running):
    page.click("#do-power")
    until(page, "house.state.powered === false")
    assert not running.house.module.powered
    until(page, "house.lcdFrame().every(byte => byte === 0)")
    assert page.get_attribute("#breaker", "aria-pressed") == "false"
    press(page, "5")  # nothing happens, nothing breaks
    page.click("#breaker")
    running.wait_text("情報モジュール")
    wait_canvas(page, running)
    assert page.get_attribute("#breaker", "aria-pressed") == "true"


def test_r2_power_goes_at_the_next_write_by_button(page, running):
    page.click("#do-cut")
    until(page, "house.state.cut_armed")
    assert page.is_disabled("#do-cut")
    running.call(lambda: running.house.server.issue_credential("INK-00000001"))
    until(page, "house.state.powered === false")
    page.wait_for_selector("#log li:has-text('書き込みの途中で電源が切れました')")
    page.click("#do-power")
    running.wait_text("残23時間")
    assert Evidence(running.house).flash().sound


def test_network_button(page, running):
    page.click("#do-network")
    until(page, "house.state.joined === false")
    page.click("#do-network")
    until(page, "house.state.joined === true")


def test_r3_flipped_bit_shows_on_the_map_until_the_image_is_played_back(page, running):
    page.click("#do-power")
    until(page, "house.state.powered === false && house.state.sound === true")
    page.click("[data-do='take_image']")
    until(page, "house.state.has_image")
    page.select_option("#flip-area", "vault")
    page.click("#do-flip")
    page.wait_for_selector(".area-vault .cell.wrong")
    assert page.inner_text("#chip-seal") == "封印 破れ"
    assert "vault_seal" in page.inner_text("#findings")
    page.click("#do-play-back")
    until(page, "house.state.sound === true")
    assert page.locator(".map .cell.wrong").count() == 0
    page.click("#do-power")
    running.wait_text("情報モジュール")


def test_sector_is_described_and_found_by_arrows(page):
    page.click("[data-sector='4']")
    assert "セクター4" in page.inner_text("#sector")
    page.focus("[data-sector='4']")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.sector") == "5"


@pytest.mark.parametrize("width", [390, 800, 1200, 1440, 1920])
@pytest.mark.parametrize("language", ["ja", "en"])
def test_page_fits_every_width(browser, running, width, language):
    context = browser.new_context(locale=language, viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto(running.page.url)
    until(page, "house.state.sectors !== undefined")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    cut_off = (
        "[...document.querySelectorAll('.button, .key, .chip, h2:not(.unseen), .steps p')]"
        ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
    )
    assert page.evaluate(cut_off) == []
    context.close()
