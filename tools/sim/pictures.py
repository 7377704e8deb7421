"""Pictures of the house's page at work, for the documents: `python -m tools.sim pictures`."""

import asyncio
import io

from PIL import Image
from playwright.async_api import async_playwright

from tools.setup.chromium import CHROMIUM_ARGUMENTS, find_chromium
from tools.sim import typing
from tools.sim.house import SERIAL, House, HouseError
from tools.sim.page.server import Page

_WINDOW = {"width": 1600, "height": 1080}
_COLOURS = 256
_SHOWN_S = 0.4  # how long the page may take to follow the display

# Keys to a language, then what the display says on the way to a change.
_LANGUAGES = {
    "ja": ("", "通信 正常", "残23時間", "IDを入力(8桁)", "パスワード(8桁)", "変更メニュー", "変更しました"),
    "en": ("*DO", "Network: OK", "23 h", "Enter ID (8 digits)", "Password (8 digits)", "Change menu", "Changed"),
}


async def take_pictures(folder, house_folder, heap):
    """Write house-ja.png and house-en.png into a folder. HouseError without Chromium."""
    chromium = find_chromium()
    if chromium is None:
        raise HouseError("no Chromium here: apt-get install chromium, or CHROME=/path/to/it")
    folder.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(chromium), headless=True, args=list(CHROMIUM_ARGUMENTS)
        )
        for language in _LANGUAGES:
            async with House(house_folder, heap=heap) as house:
                await house.start(fresh=True)
                picture = await _work(house, browser, language)
            path = folder / f"house-{language}.png"
            with Image.open(io.BytesIO(picture)) as image:
                few = image.convert("RGB").quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=3)
                few.save(path, optimize=True)
            print(f"{path}: {path.stat().st_size} B")
        await browser.close()


async def _work(house, browser, language):
    """Issue a credential, use it, change the customer's name; returns the page as it is right after that (PNG)."""
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
    return picture
