"""Pictures of the pages of house, phone and console at work, for the documents: `python -m tools.sim pictures`."""

import asyncio
import io

from PIL import Image
from playwright.async_api import async_playwright

from tools.setup.chromium import CHROMIUM_ARGUMENTS, find_chromium, picture_environment
from tools.sim import typing
from tools.sim.console_pictures import take_console_pictures
from tools.sim.house import SERIAL, House, HouseError
from tools.sim.page.server import Page

_WINDOW = {"width": 1600, "height": 1080}
_PHONE = {"width": 390, "height": 860}
_BETWEEN = 40  # pixels between phones
_GROUND = "#dde2e8"
_COLOURS = 256
_SHOWN_S = 0.4  # how long the page may take to follow the display

# Keys to a language, then what the display says on the way to a change.
_LANGUAGES = {
    "ja": ("", "通信 正常", "残23時間", "IDを入力(8桁)", "パスワード(8桁)", "変更メニュー", "変更しました"),
    "en": ("*DO", "Network: OK", "23 h", "Enter ID (8 digits)", "Password (8 digits)", "Change menu", "Changed"),
}
# What is changed by phone: group, place in it, value.
_CHANGES = {
    "ja": ((1, 1, "6048571"), (1, 2, "京都府京都市中京区寺町通御池上る"), (4, 0, "5500")),
    "en": ((1, 1, "6048571"), (1, 2, "Teramachi-Oike, Nakagyo, Kyoto"), (4, 0, "5500")),
}


async def take_pictures(folder, house_folder, heap):
    """Write house-ja.png, phone-ja.png, those of the console and their English ones into a folder.

    HouseError without Chromium.
    """
    chromium = find_chromium()
    if chromium is None:
        raise HouseError("no Chromium here: apt-get install chromium-headless-shell, or CHROME=/path/to/it")
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(chromium), headless=True, args=list(CHROMIUM_ARGUMENTS), env=picture_environment()
        )
        for name, picture in (await take_console_pictures(browser, tuple(_LANGUAGES))).items():
            with Image.open(io.BytesIO(picture)) as image:
                _save(image, folder / f"console-{name}.png")
        for language in _LANGUAGES:
            async with House(house_folder, heap=heap) as house:
                await house.start(fresh=True)
                house_picture, phone_pictures = await _work(house, browser, language)
            with Image.open(io.BytesIO(house_picture)) as image:
                _save(image, folder / f"house-{language}.png")
            _save(_side_by_side(phone_pictures), folder / f"phone-{language}.png")
        await browser.close()


def _save(image, path):
    image.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size} B")


def _side_by_side(pictures):
    images = [Image.open(io.BytesIO(picture)) for picture in pictures]
    width = sum(image.width + _BETWEEN for image in images) + _BETWEEN
    whole = Image.new("RGB", (width, images[0].height + 2 * _BETWEEN), _GROUND)
    left = _BETWEEN
    for image in images:
        whole.paste(image, (left, _BETWEEN))
        left += image.width + _BETWEEN
    return whole


async def _work(house, browser, language):
    """Issue a credential, use it by phone and then at the keypad, where the customer's name is changed.

    Returns the house's page as it is right after that, and a list of the phone's on the way (PNG).
    """
    keys, online, arrived, ask_id, ask_password, menu, done = _LANGUAGES[language]
    module = house.module
    page = Page(house)
    await page.start()
    context = await browser.new_context(viewport=_WINDOW, locale=language, reduced_motion="no-preference")
    view = await context.new_page()
    await view.goto(page.url)
    await module.type(keys)
    await module.wait_text(online)
    issued = await asyncio.to_thread(
        house.server.issue_credential, SERIAL, recipient="technician@example.com", language=language
    )
    await module.wait_text(arrived)
    await house.mailbox.wait_letter(1)
    phone_pictures = await _work_by_phone(browser, page.phone_url, language, issued)
    await module.wait_text(arrived)
    await module.press("O")
    await module.wait_text(ask_id)
    await module.type(issued.id + "O")
    await module.wait_text(ask_password)
    await module.type(issued.password + "O")
    await module.wait_text(menu)
    await module.type("OOOO" + typing.kana("やまだ") + "OO")
    await module.wait_text(done)
    await asyncio.sleep(_SHOWN_S)
    picture = await view.screenshot()
    await context.close()
    await page.stop()
    return picture, phone_pictures


async def _work_by_phone(browser, url, language, issued):
    """Change some fields and end; returns pictures of the module's state, of what is about to be sent, and after it."""
    context = await browser.new_context(viewport=_PHONE, locale=language)
    view = await context.new_page()
    pictures = []
    await view.goto(url)
    await view.click(".choice")
    await view.click(".choice:has-text('Inkan 0')")
    await view.wait_for_selector(".facts")
    pictures.append(await view.screenshot())
    await view.click(".button.primary")
    await view.fill("#user-id", issued.id)
    await view.fill("#password", issued.password)
    await view.click("button[type=submit]")
    await view.wait_for_selector(".strip dl")
    for group, place, value in _CHANGES[language]:
        await view.click(f".choices .choice >> nth={group - 1}")
        await view.click(f"ul.fields .choice >> nth={place}")
        await view.fill("#value", value)
        await view.click("button[type=submit]")
        await view.wait_for_selector("ul.fields")
        await view.click(".heading .back")
    await view.click(".pending .button")
    pictures.append(await view.screenshot())
    await view.click(".actions .primary")
    await view.wait_for_selector(".done")
    pictures.append(await view.screenshot())
    for button in (".actions .primary", ".actions .button", ".actions .primary"):  # to the menu, end, yes
        await view.click(button)
    await view.wait_for_selector(".notice.good")
    await context.close()
    return pictures
