"""The console in Chromium: what an operator does, with the pictures in build/screenshots/."""

import asyncio
import re
import threading
import time
from pathlib import Path

import pytest

from tests.pps_client import ack, hello, poll, records
from tools.pps.identity import FACTORY_IDENTITY, ModuleIdentity
from tools.pps.server import PpsServer
from tools.pps.settings import Settings

NAME, PASSWORD = "佐藤", "correct horse battery"
SERIAL = "INK-00000001"
IDENTITY = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")
PICTURES = Path(__file__).resolve().parents[1] / "build" / "screenshots"


class RunningServer:
    """A PpsServer on an event loop in a thread of its own."""

    def __init__(self, folder):
        self.server = PpsServer(Settings(folder))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self._loop).result(30)
        return self.server

    def __exit__(self, *error):
        asyncio.run_coroutine_threadsafe(self.server.stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@pytest.fixture
def server(tmp_path):
    with RunningServer(tmp_path / "pps") as server:
        server.add_operator(NAME, PASSWORD)
        server.register_module(SERIAL, "山田様邸 PCS 1号機")
        yield server


@pytest.fixture(params=["ja", "en"])
def page(request, browser, server):
    """A page of the log-in form, in Japanese and in English; whatever the console complains about fails the test."""
    context = browser.new_context(locale=request.param, viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.language = request.param
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(server.console_url)
    yield page
    context.close()
    assert complaints == []


def picture(page, name):
    PICTURES.mkdir(parents=True, exist_ok=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the window"
    page.screenshot(path=PICTURES / f"console-{name}-{page.language}.png", full_page=True)


def log_in(page):
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url("**/modules")


def module_takes_credential(services):
    """What the module does when a credential is there."""
    sequence = services.credentials.offer(IDENTITY, poll()["sequence"], 0).credential["sequence"]
    services.credentials.acknowledge(IDENTITY, sequence, ack(sequence)["result"], None)
    return sequence


def test_r6_operator_issues_follows_and_revokes_a_credential(page, server):
    services = server.services
    picture(page, "login")
    log_in(page)
    picture(page, "modules")

    page.click("th a.row-link")
    page.click("a.button.primary")
    page.check("input[value=sms]")
    assert page.get_attribute("#lifetime", "placeholder") == "10"
    page.check("input[value=email]")
    page.fill("#recipient", "resident@example.com")
    picture(page, "issue")
    page.click("#issue-form button.primary")
    message = page.inner_text("#message")
    password = re.search(r": (\d{8})\n", message.split("ID: ")[1])[1]
    picture(page, "issued")

    page.goto(server.console_url + "outbox")
    assert password in page.inner_text("#outbox")
    picture(page, "outbox")
    sequence = module_takes_credential(services)
    page.wait_for_function("password => !document.body.innerText.includes(password)", arg=password)

    page.goto(server.console_url + f"modules/{SERIAL}")
    report = {
        "issuer": FACTORY_IDENTITY,
        "sequence": sequence,
        "successes": 1,
        "failures": 2,
        "changes": 3,
        "ended": None,
    }
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, credential=report)["state"])
    services.audit.take(IDENTITY, records(*range(1, 6), time=int(time.time()))["records"])
    page.wait_for_selector("#audit tbody tr >> nth=4")  # the page follows by itself
    assert page.inner_text("#credential .usage >> nth=1").split()[-3:] == ["2", "/", "5"]
    picture(page, "module")

    page.click("details.danger-zone summary >> nth=0")
    page.click("button.danger >> nth=0")
    page.wait_for_selector(".notice")
    assert services.fleet.module(SERIAL).revoked_sequence == sequence
    picture(page, "revoked")
    services.credentials.offer(IDENTITY, sequence, sequence)
    page.wait_for_selector(".revocation .chip.good")


def test_r3_operator_sees_tamper_and_acknowledges_it(page, server):
    log_in(page)
    page.goto(server.console_url + f"modules/{SERIAL}")
    state = hello(SERIAL, tamper="vault_seal")["state"]
    server.services.fleet.hello(IDENTITY, "0.1.0", state)
    page.wait_for_selector(".alarm")
    page.wait_for_selector("a.primary[href$='/issue?task=recover']")  # the way back follows by itself as well
    picture(page, "tamper")
    page.click(".alarm button")
    page.wait_for_selector("#past-alarms")
    assert page.query_selector(".alarm") is None


def test_sa_operator_offers_a_code(page, server):
    log_in(page)
    page.goto(server.console_url + f"modules/{SERIAL}")
    page.click("form[action$=enrolment] button")
    code = re.sub(r"\D", "", page.inner_text("#enrol-code"))
    assert len(code) == 20 and page.inner_text("#enrol-host") == server.enrol_host
    picture(page, "code")


def test_r6_console_works_without_scripts_and_on_a_narrow_screen(browser, server):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 800}, locale="en")
    page = context.new_page()
    page.goto(server.console_url)
    log_in(page)
    page.goto(server.console_url + f"modules/{SERIAL}/issue?task=everything")
    page.fill("#recipient", "resident@example.com")
    page.click("#issue-form button.primary")
    assert "Password" in page.inner_text("#message") or "パスワード" in page.inner_text("#message")
    page.goto(server.console_url + f"modules/{SERIAL}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / "console-narrow.png", full_page=True)
    context.close()
