"""Operation 2 by Web Bluetooth: the phone's page in Chromium, its emulated Bluetooth, Bumble, and the real firmware."""

import contextlib

import pytest
from playwright.async_api import async_playwright, expect

from firmware import settings
from tests.chromium_bluetooth import ARGUMENTS, EmulatedBluetooth
from tools.setup import BUILD, locked, phone
from tools.setup.chromium import CHROMIUM_ARGUMENTS
from tools.sim.evidence import Evidence, found_in
from tools.sim.house import SERIAL, House
from tools.sim.page.server import Page

PICTURES = BUILD / "screenshots"
NAME = "山田 花子"
ADDRESS = "東京都千代田区丸の内一丁目"
SITE_NUMBER = "0312345678901234567890"
TIMEOUT_MS = 30_000
# Info for the list, then for the try, the share, that it is given up, and info again.


@contextlib.asynccontextmanager
async def phone_in_house(folder, chromium):
    """(House, page of the phone with the emulated Bluetooth, EmulatedBluetooth); the module waits for a credential."""
    with locked("setup"):
        phone.ensure()
    async with House(folder) as house, async_playwright() as playwright:
        await house.start()
        served = Page(house)
        await served.start()
        browser = await playwright.chromium.launch(
            executable_path=str(chromium), headless=True, args=[*CHROMIUM_ARGUMENTS, *ARGUMENTS]
        )
        try:
            context = await browser.new_context(
                locale="en", viewport={"width": 390, "height": 844}, device_scale_factor=2
            )
            page = await context.new_page()
            page.set_default_timeout(TIMEOUT_MS)
            async with house.phones.radio() as radio, EmulatedBluetooth(page, radio) as bluetooth:
                await page.goto(served.url + "phone/")
                yield house, page, bluetooth
        finally:
            await browser.close()
            await served.stop()


@pytest.mark.asyncio
async def test_r18_whole_operation_by_chromiums_own_bluetooth(tmp_path, chromium_path):
    async with phone_in_house(tmp_path / "house", chromium_path) as (house, page, bluetooth):
        evidence, module = Evidence(house), house.module
        await module.wait_text("通信 正常")
        issued = house.server.issue_credential(SERIAL, language="en")
        await module.wait_text("残23時間")

        await page.click(".choice")
        await page.wait_for_selector(".facts")
        await expect(page.locator(".facts")).to_contain_text(SERIAL)
        await page.click(".button.primary")
        await log_in(page, issued.id, wrong(issued.password))
        await page.wait_for_selector("[role=alert]")
        await page.wait_for_selector("#password:not([disabled])")
        counts = evidence.flash().totals()
        assert (counts["failures"], counts["successes"], counts["door"]) == (1, 0, settings.DOOR_BLE)
        await log_in(page, issued.id, issued.password)
        await page.wait_for_selector(".strip dl")
        await module.wait_text("別の端末で操作中")

        await open_group(page, 1)
        await set_field(page, 0, NAME)
        await set_field(page, 2, ADDRESS)
        house.carry_phone_away()
        await page.wait_for_selector(".banner .notice.wait")
        house.bring_phone_back()
        await page.wait_for_selector(".banner .notice.good")
        await back(page)
        await open_group(page, 3)
        await set_field(page, 0, SITE_NUMBER)
        await back(page)
        await page.click(".pending .button")
        await page.click(".actions .primary")
        await page.wait_for_selector(".done")
        await keep_picture(page, "result")
        image = evidence.flash()
        changed = {name: image.field(name) for name in ("customer_name", "address", "site_number")}
        assert changed == {"customer_name": NAME, "address": ADDRESS, "site_number": SITE_NUMBER}
        assert image.seals_hold and image.totals()["changes"] == 1

        await page.click(".actions .primary")
        await open_group(page, 1)
        await page.click(".button.danger")
        await page.click(".actions .danger")
        await page.wait_for_selector(".done")
        await page.click(".actions .primary")
        await page.click(".actions .button")
        await page.click(".actions .primary")
        await page.wait_for_selector(".notice.good")
        await module.wait_text("受付中")
        image = evidence.flash()
        assert image.seals_hold and image.field("site_number") == SITE_NUMBER
        assert not found_in(image, {NAME.encode(), ADDRESS.encode()})
        counts = image.totals()
        assert (counts["attempts_ever"], counts["successes_ever"], counts["changes"]) == (2, 1, 2)
        assert bluetooth.prompts == 1
        assert {"connection", "discovery", "write"} <= set(bluetooth.operations)
        assert module.faults == []


async def log_in(page, user_id, password):
    await page.fill("#user-id", user_id)
    await page.fill("#password", password)
    await page.click("button[type=submit]")


def wrong(password):
    return password[:-1] + str((int(password[-1]) + 1) % 10)


async def open_group(page, number):
    await page.click(f".choices .choice >> nth={number - 1}")
    await page.wait_for_selector("ul.fields")


async def set_field(page, place, text):
    await page.click(f"ul.fields .choice >> nth={place}")
    await page.fill("#value", text)
    await page.click("button[type=submit]")
    await page.wait_for_selector("ul.fields")


async def back(page):
    await page.click(".heading .back")


async def keep_picture(page, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / f"phone-web-bluetooth-{name}.png", full_page=True)
