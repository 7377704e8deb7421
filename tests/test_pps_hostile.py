"""SQL and HTML in every text field, and several at once: on SQLite and on PostgreSQL."""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from sqlalchemy import text as sql

from tests import console_client
from tests.console_client import NAME, PASSWORD, log_in, token_of
from tests.postgres import module_database_url, opened  # noqa: F401  fixture
from tests.pps_client import Browser, Clock, hello, record
from tools.pps.app import console_app, public_app
from tools.pps.ca import CertificateAuthority
from tools.pps.console.text import alarm_words
from tools.pps.db import Database
from tools.pps.errors import ServiceError
from tools.pps.identity import FACTORY_IDENTITY, ModuleIdentity
from tools.pps.services import build_services
from tools.pps.services.alarm_mail import AlarmMail
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.self_service import Policy

SERIAL = "INK-00000001"
IDENTITY = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")
MARK = "hostile"
HOSTILE = (
    f"\"'></title><script>{MARK}()</script><img src=x onerror={MARK}()>",
    f"' onmouseover='{MARK}()",
    f"javascript:{MARK}()",
    f"{MARK}'; DROP TABLE operators; --",
    f"{MARK}\" OR '1'='1",
    f"%s %(x)s :x {{{{ 7 * 7 }}}} {MARK} \\",
    f"\u202e{MARK}\u2028\x00\r\nset-cookie: a=b",
    "９" * 300 + MARK,
)


class _Page(HTMLParser):
    """Finds what would run: handlers, scripts and pictures from elsewhere, addresses that are programs."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.text = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            runs = name.startswith("on") or (name in ("href", "src", "action") and not (value or "").startswith("/"))
            if runs and not (tag == "a" and value in ("#content",)):
                self.found.append((tag, name, value))
        if tag == "script" and not dict(attributes).get("src"):
            self.found.append((tag,))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module", autouse=True)
def quick_hashes():
    with console_client.quick_hashes():
        yield


@pytest.fixture(scope="module")
def database(module_database_url):  # noqa: F811
    database = opened(module_database_url)
    yield database
    database.close()


@pytest.fixture(scope="module")
def clock(database):
    return Clock()


@pytest.fixture(scope="module")
def services(database, clock, quick_hashes):
    services = build_services(
        database,
        CertificateAuthority.create("PPS CA"),
        Endpoints("https://a", "https://a"),
        clock=clock,
        channels=("email",),
        self_service=Policy(),
        request_url="https://pps.example/request/",
    )
    services.operators.add(NAME, PASSWORD)
    services.fleet.register(SERIAL, "a house", NAME)
    services.contacts.set(SERIAL, "email", "a@example.com", "en", NAME)
    return services


@pytest.fixture(scope="module")
def browser(services):
    with Browser(console_app(services, "a key", "pps.example")) as client:
        client.headers["accept-language"] = "en"
        assert log_in(client).status_code == 303
        yield client


def counts(database):
    """Rows of the tables that an injection would change."""
    with database.read() as session:
        return [session.scalar(sql(f"SELECT count(*) FROM {table}")) for table in ("modules", "operators")]


def check(answer, typed):
    assert answer.status_code < 500, typed
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert _Page(answer.text).found == [], typed
    assert "a=b" not in answer.headers.get("set-cookie", "")


def forms(typed):
    """Every text that the console takes: (path, form)."""
    module = f"/modules/{SERIAL}"
    issue = {"task": typed, "channel": typed, "recipient": typed, "language": typed, "lifetime": typed}
    issue |= {"max_successes": typed, "once": typed, "see_customer": "on", "password_digits": typed}
    return [
        ("/modules", {"serial": typed, "name": "x"}),
        ("/modules", {"serial": f"H-{abs(hash(typed)) % 10**8}", "name": typed[:80]}),
        (f"{module}/issue", issue),
        (f"{module}/contact", {"channel": "email", "address": typed, "language": "ja"}),
        (f"{module}/contact", {"channel": typed, "address": "a@example.com", "language": typed}),
        (f"{module}/assign", {"name": typed}),
        (f"{module}/unassign", {"name": typed}),
        (f"{module}/alarms/{10**30}/acknowledge", {}),
        ("/users", {"name": typed[:80], "role": "read_only"}),
        ("/users", {"name": "x", "role": typed}),
        ("/users/role", {"name": typed, "role": "operator"}),
        ("/users/disable", {"name": typed}),
        ("/users/password", {"name": typed}),
        ("/account/mail", {"mail": typed, "language": typed}),
        ("/account/password", {"current": typed, "new": typed}),
    ]


def test_r24_text_in_every_field_of_the_console_stays_text(browser, services, database, clock):
    for typed in HOSTILE:
        before = counts(database)
        assert log_in(browser).status_code == 303
        token = token_of(browser.get("/account"))
        added = 0
        for path, form in forms(typed):
            answer = browser.post(path, data=form | {"form_token": token})
            check(answer, (path, form))
            added += answer.status_code == 303 and path == "/modules"
            added += "new-password" in answer.text and path == "/users"
        assert sum(counts(database)) - sum(before) == added
        names = ("search", "module", "view", "next", "notice", "day", "month", "event", "operator", "since", "about")
        for path in ("/modules", "/audit", "/alarms", "/energy", f"/modules/{SERIAL}", f"/modules/{SERIAL}/energy"):
            check(browser.get(path, params=dict.fromkeys(names, typed)), (path, typed))
        check(browser.get("/modules", params={"search": typed}), typed)
        check(browser.get("/login", params={"next": typed}), typed)
        clock.advance(900)  # wrong passwords count against the next ones


def test_r24_what_was_typed_is_shown_as_it_was_typed(browser, services):
    for number, typed in enumerate(HOSTILE):
        if typed.isprintable() and len(typed) <= 80:
            services.fleet.register(f"S-{number}", typed, NAME)
            with contextlib.suppress(ServiceError):  # added as another test typed it
                services.operators.add(typed, PASSWORD)
    assert log_in(browser).status_code == 303
    for path, shown in (("/modules?search=hostile", "modules"), ("/users", "users")):
        text = _Page(browser.get(path).text).text
        for typed in HOSTILE:
            if typed.isprintable() and len(typed) <= 80:
                assert typed in text, (shown, typed)


def test_r24_text_at_the_log_in_and_on_the_residents_page_stays_text(services, database, tmp_path, clock):
    with Browser(console_app(services, "a key", "pps.example")) as client:
        for typed in HOSTILE:
            answer = log_in(client, typed, typed, next=typed)
            assert answer.status_code == 403
            check(answer, typed)
            clock.advance(900)
    with Browser(public_app(services, tmp_path), "https://pps.example") as client:
        for typed in HOSTILE:
            answer = client.post("/request", data={"serial": typed, "lang": typed})
            assert answer.status_code == 422
            check(answer, typed)
            check(client.get("/request", params={"lang": typed}), typed)
            check(client.get("/request/" + quote(typed, safe="")), typed)


def test_r24_text_that_a_module_sends_stays_text(browser, services):
    """The API bounds what a module may say; should a name slip through, the pages still hold it for text."""
    assert log_in(browser).status_code == 303
    state = hello(SERIAL)["state"]
    for number, typed in enumerate((each for each in HOSTILE if "\x00" not in each), 1):
        services.fleet.hello(IDENTITY, typed[:32], state | {"tamper": typed})
        short = typed[:32]
        services.audit.take(IDENTITY, [record(number, event=short, subject=short, fields=[typed], door="none")])
        for path in ("/modules", f"/modules/{SERIAL}", "/audit", "/alarms", "/energy"):
            check(browser.get(path), (path, typed))


# Several at once


def at_once(count, work):
    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(work) for _ in range(count)]]


def test_r6_link_that_is_pressed_twice_at_once_issues_once(services, database, clock):
    clock.advance(24 * 3600)
    before = services.fleet.module(SERIAL).last_sequence
    services.contacts.set(SERIAL, "email", "a@example.com", "en", NAME)
    services.self_service.ask(SERIAL, "192.0.2.1")
    services.self_service.work()
    while (message := services.outbox.claim("email")) and message.kind != "link":
        services.outbox.sent(message.id)
    token = re.search(r"/request/(\S+)", message.text)[1]

    def press():
        try:
            services.self_service.issue(token)
        except ServiceError as error:
            return error.code
        return "issued"

    assert sorted(at_once(4, press)) == ["issued"] + ["not_found"] * 3
    assert services.fleet.module(SERIAL).last_sequence == before + 1


def test_r24_alarm_is_mailed_once_by_several_processes(services, module_database_url, clock):  # noqa: F811
    clock.advance(24 * 3600)
    operator = services.operators.named(NAME)
    services.operators.set_mail(operator.id, "one@example.com", "en", False)
    services.operators.set_mail(operator.id, "one@example.com", "en", True)
    databases = [Database(module_database_url) for _ in range(3)]
    mails = [AlarmMail(each, services.now, alarm_words, "https://c/", 100) for each in databases]
    for each in mails:
        each.collect()
    before = services.outbox.counts()["queued"]
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, tamper="vault_seal")["state"])
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, tamper="root_missing")["state"])
    waiting = list(mails)
    assert sum(at_once(3, lambda: waiting.pop().collect())) == 2
    assert services.outbox.counts()["queued"] == before + 2
    for each in databases:
        each.close()


def test_r6_message_is_claimed_by_one_process(services, clock):
    clock.advance(24 * 3600)
    while message := services.outbox.claim():
        services.outbox.sent(message.id)
    services.credentials.issue(SERIAL, CredentialOrder("email", "a@example.com"), NAME)
    claimed = [each for each in at_once(4, services.outbox.claim) if each is not None]
    assert len(claimed) == 1
