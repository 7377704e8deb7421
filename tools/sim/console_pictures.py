"""Pictures of the console: a fleet with a month of half-hour values, and what is planned, at an hour that is fixed."""

import asyncio
import datetime
import secrets
import tempfile
from pathlib import Path

from tools.pps.db import Database
from tools.pps.server import PpsServer
from tools.pps.services.credentials import CredentialOrder
from tools.pps.settings import Settings
from tools.sim.energy_month import fill

NOW = datetime.datetime.fromisoformat("2026-05-21T17:13:00+09:00")
_YESTERDAY = NOW.date() - datetime.timedelta(days=1)
_OPERATOR = {"ja": "佐藤", "en": "Sato"}
_WINDOW = {"width": 1280, "height": 1010}
_MOVED_OUT = "INK-00000002"
# Of which pages, in which languages.
_PAGES = {
    "day": (f"modules/INK-00000001/energy?day={_YESTERDAY}", ("ja", "en")),
    "fleet": ("energy", ("en",)),
    "procedure": (f"modules/{_MOVED_OUT}/procedures/1", ("en",)),
}


async def take_console_pictures(browser, languages):
    """{"day-en": PNG}. browser: Playwright's."""
    pictures = {}
    with tempfile.TemporaryDirectory(prefix="inkan-pictures-") as folder:
        settings = Settings(Path(folder))
        database = Database(settings.resolved_database_url())
        database.migrate()
        fill(database, int(NOW.timestamp()))
        database.close()
        server = PpsServer(settings, clock=NOW.timestamp)
        await server.start()
        try:
            order = CredentialOrder(channel="email", recipient="kimura@example.com")
            plan = _MOVED_OUT, "new_resident", order, _OPERATOR["en"]
            await asyncio.to_thread(server.services.procedures.open, *plan, contract="PPS-000208")
            for language in languages:
                page = await _page_of_operator(browser, server, language)
                for name, (path, wanted) in _PAGES.items():
                    if language in wanted:
                        await page.goto(server.console_url + path)
                        pictures[f"{name}-{language}"] = await page.screenshot()
                await page.context.close()
        finally:
            await server.stop()
    return pictures


async def _page_of_operator(browser, server, language):
    name, password = _OPERATOR[language], secrets.token_hex(8)
    server.add_operator(name, password)
    context = await browser.new_context(locale=language, viewport=_WINDOW)
    page = await context.new_page()
    await sign_in(page, server, name, password)
    return page


async def sign_in(page, server, name, password):
    """Log in to a server's console; the page shows its modules then."""
    await page.goto(server.console_url)
    await page.fill("#name", name)
    await page.fill("#password", password)
    await page.press("#password", "Enter")
    await page.wait_for_url("**/modules")
