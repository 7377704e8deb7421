"""The operators' console, page by page, without a browser: log-in, forged requests, throttling, both languages."""

import html
import re
import shutil
from pathlib import Path

import pytest

from firmware import settings
from tests import console_client
from tests.console_client import NAME, PASSWORD, check_accessible, log_in, submit, token_of
from tests.pps_client import Browser, Clock, hello, record
from tests.relay_client import token_of as relay_token_of
from tools.flash import layout
from tools.pps.app import console_app
from tools.pps.ca import CertificateAuthority
from tools.pps.console import staff_views, text
from tools.pps.console.session import IDLE_S, LIFETIME_S
from tools.pps.console.views import local_path, router
from tools.pps.db import Database
from tools.pps.identity import FACTORY_IDENTITY, ModuleIdentity
from tools.pps.services import build_services
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.fleet import Fleet
from tools.pps.services.operators import FAILURE_WINDOW_S, FAILURES_BY_ADDRESS, FAILURES_BY_NAME, Operators

SERIAL = "INK-00000001"
IDENTITY = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")
PPS = Path(__file__).resolve().parents[1] / "tools" / "pps"
PAGES = (
    "/modules",
    f"/modules/{SERIAL}",
    f"/modules/{SERIAL}/issue",
    f"/modules/{SERIAL}/issue?task=recover",
    f"/modules/{SERIAL}/procedures/new",
    "/procedures",
    "/outbox",
    "/audit",
    "/audit?view=operators",
    "/users",
    "/account",
    f"/audit?module={SERIAL}",
)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module", autouse=True)
def quick_hashes():
    with console_client.quick_hashes():
        yield


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create("PPS CA")


@pytest.fixture(scope="module")
def first_database(tmp_path_factory, quick_hashes):
    """A database with an operator and a module, to start each test from."""
    path = tmp_path_factory.mktemp("first") / "pps.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    operators = Operators(database, Clock())
    operators.add(NAME, PASSWORD)
    Fleet(database, Clock()).register(SERIAL, "山田様邸 <PCS>", NAME)
    database.close()
    return path


@pytest.fixture
def make_services(first_database, tmp_path, clock, authority):
    """Callable (channels that a gateway delivers) -> Services."""
    database = Database(f"sqlite:///{shutil.copy(first_database, tmp_path)}")
    endpoints = Endpoints("https://pps.example", "https://pps.example")
    yield lambda *channels: build_services(
        database, authority, endpoints, channels=channels, phone_url="https://pps.example/phone/", clock=clock
    )
    database.close()


@pytest.fixture
def services(make_services):
    return make_services()


@pytest.fixture
def app(services):
    return console_app(services, "the key of the cookies", "pps.example:8444")


@pytest.fixture
def visitor(app):
    """A browser that is not signed in."""
    with Browser(app) as client:
        client.headers["accept-language"] = "en-GB,en;q=0.9,ja;q=0.5"
        yield client


@pytest.fixture
def browser(visitor):
    """A browser that is signed in."""
    assert log_in(visitor).status_code == 303
    return visitor


ISSUE = {
    "task": "resident",
    "channel": "email",
    "recipient": "resident@example.com",
    "language": "ja",
    "lifetime": "",
    "lifetime_unit": "hours",
    "max_successes": "3",
    "max_failures": "5",
    "max_changes": "20",
    "password_digits": "8",
    "see_customer": "on",
    "change_customer": "on",
}


def issue(client, **changed):
    once = re.search(r'name="once" value="([^"]+)"', client.get(f"/modules/{SERIAL}/issue").text)[1]
    return submit(client, f"/modules/{SERIAL}/issue", **(ISSUE | {"once": once} | changed))


def busy_module(services):
    """Give the module one of everything that a page can show."""
    state = hello(SERIAL, tamper="vault_seal")["state"]
    services.fleet.hello(IDENTITY, "0.1.0", state)
    services.fleet.hello(IDENTITY, "0.1.0", state | {"generation": 1})
    services.audit.take(
        IDENTITY,
        [
            record(2, time=None, event="tamper", door="none", fields=[]),
            record(3, event="an_event_of_tomorrow", subject="site", fields=["a_field_of_tomorrow"]),
        ],
    )
    services.credentials.issue(SERIAL, CredentialOrder("sms", "09012345678"), NAME)
    services.credentials.offer(IDENTITY, 0, 0)
    services.credentials.acknowledge(IDENTITY, 1, "refused", "bad_l")
    services.credentials.issue(SERIAL, CredentialOrder("email", "a@example.com", lifetime_s=None), NAME)
    services.credentials.revoke(SERIAL, NAME)
    services.credentials.issue(SERIAL, CredentialOrder("email", "a@example.com"), NAME)
    services.enrolment.offer(SERIAL, NAME)
    services.contacts.set(SERIAL, "email", "a@example.com", "ja", NAME)
    services.procedures.open(SERIAL, "leaves", CredentialOrder("email", "a@example.com"), NAME)
    services.operators.assign(SERIAL, NAME, NAME)
    alarm = services.fleet.alarms(1)[0]
    services.fleet.acknowledge_alarm(SERIAL, alarm.id, NAME)


# who gets in


@pytest.mark.parametrize("path", [*PAGES, "/"])
def test_r6_console_wants_a_log_in(visitor, path):
    answer = visitor.get(path)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/login")


@pytest.mark.parametrize("path", ["revoke", "issue", "enrolment", "enrolment/withdraw", "forget"])
def test_r6_nothing_is_done_without_a_log_in(visitor, services, path):
    page = visitor.get("/login")
    answer = visitor.post(f"/modules/{SERIAL}/{path}", data=ISSUE | {"form_token": token_of(page)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert services.outbox.messages()[1] == 0


def test_r6_log_in_leads_back_to_the_page(visitor):
    where = visitor.get(f"/modules/{SERIAL}").headers["location"]
    assert visitor.get(where).status_code == 200
    answer = log_in(visitor, next=f"/modules/{SERIAL}")
    assert answer.headers["location"] == f"/modules/{SERIAL}"
    assert visitor.get(f"/modules/{SERIAL}").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x", ""])
def test_r6_log_in_leads_to_no_other_site(visitor, target):
    assert local_path(target) == "/"
    assert log_in(visitor, next=target).headers["location"] == "/"
    answer = visitor.get("/language/en", params={"next": target})
    assert answer.headers["location"] == "/"


@pytest.mark.parametrize(("name", "password"), [(NAME, "wrong"), ("nobody", PASSWORD), ("", ""), (NAME, "x" * 5000)])
def test_r6_wrong_log_in_is_refused_alike(visitor, name, password):
    answer = log_in(visitor, name, password)
    assert answer.status_code == 403
    assert "User name or password is wrong." in answer.text
    assert visitor.get("/modules").status_code == 303


def test_r6_log_out_ends_every_session(browser, app):
    cookies = dict(browser.cookies)
    assert browser.get("/modules").status_code == 200
    assert submit(browser, "/logout").status_code == 303
    with Browser(app) as thief:
        thief.cookies.update(cookies)
        assert thief.get("/modules").status_code == 303


def test_r6_session_ends_after_half_an_hour_of_nothing(browser, clock):
    for _ in range(3):
        clock.advance(IDLE_S - 1)
        assert browser.get("/modules").status_code == 200
    clock.advance(IDLE_S)
    assert browser.get("/modules").status_code == 303


def test_r6_page_that_follows_by_itself_keeps_no_session_alive(browser, clock):
    for _ in range(2):
        clock.advance(IDLE_S // 2)
        answer = browser.get("/modules", headers={"x-inkan-live": "1"})
    assert answer.status_code == 303


def test_r6_session_ends_after_eight_hours_of_work(browser, clock):
    for _ in range(LIFETIME_S // 1200 - 1):
        clock.advance(1200)
        assert browser.get("/modules").status_code == 200
    clock.advance(1200)
    assert browser.get("/modules").status_code == 303


def test_r6_session_goes_on_at_a_server_whose_clock_is_a_little_behind(browser, clock):
    clock.advance(-30)
    assert browser.get("/modules").status_code == 200
    clock.advance(-3600)
    assert browser.get("/modules").status_code == 303


def test_r6_copied_cookie_does_not_outlive_its_own_time(browser, app, clock):
    stolen = dict(browser.cookies)
    clock.advance(IDLE_S - 1)
    assert browser.get("/modules").status_code == 200
    clock.advance(1)
    with Browser(app) as thief:
        thief.cookies.update(stolen)
        assert thief.get("/modules").status_code == 303
    assert browser.get("/modules").status_code == 200


def test_r6_forged_cookie_is_worth_nothing(browser, services):
    name = "inkan_console"
    value = browser.cookies[name]
    browser.cookies.clear()
    signed, _, signature = value.rpartition(".")
    # Its first sign: not every bit of the last one counts.
    other = ("A" if signature[0] != "A" else "B") + signature[1:]
    for forged in (f"{signed}.{other}", "x", value.split(".")[0] + ".x.y"):
        browser.cookies.set(name, forged, domain="console.example")
        assert browser.get("/modules").status_code == 303


def test_r6_cookie_is_out_of_reach_of_scripts_and_plain_http(services):
    for behind_https in (False, True):
        app = console_app(services, "a key", "pps.example", behind_https=behind_https)
        with Browser(app, "https://console.example") as client:
            cookie = client.get("/login").headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        assert ("secure" in cookie and cookie.startswith("__host-")) == behind_https


# throttling


def test_r6_failed_log_ins_are_throttled_by_name(visitor, clock):
    for _ in range(FAILURES_BY_NAME):
        assert log_in(visitor, password="wrong").status_code == 403
    answer = log_in(visitor)  # the right password is not even looked at
    assert answer.status_code == 429 and answer.headers["retry-after"] == str(FAILURE_WINDOW_S)
    clock.advance(FAILURE_WINDOW_S)
    assert log_in(visitor).status_code == 303


def test_r6_failed_log_ins_are_throttled_by_address(visitor):
    for number in range(FAILURES_BY_ADDRESS):
        assert log_in(visitor, name=f"guess {number}", password="wrong").status_code == 403
    assert log_in(visitor).status_code == 429


def test_r6_success_takes_back_the_failures_of_the_name(visitor):
    for _ in range(3):
        for _ in range(FAILURES_BY_NAME - 1):
            assert log_in(visitor, password="wrong").status_code == 403
        assert log_in(visitor).status_code == 303


# forged requests


def _forms():
    """Every POST that the console takes, with what it needs."""
    return {
        "/modules": {"serial": "INK-2", "name": "x"},
        f"/modules/{SERIAL}/issue": ISSUE,
        f"/modules/{SERIAL}/revoke": {},
        f"/modules/{SERIAL}/enrolment": {},
        f"/modules/{SERIAL}/enrolment/withdraw": {},
        f"/modules/{SERIAL}/forget": {},
        f"/modules/{SERIAL}/alarms/1/acknowledge": {},
        f"/modules/{SERIAL}/contact": {"channel": "email", "address": "a@example.com", "language": "ja"},
        f"/modules/{SERIAL}/assign": {"name": NAME},
        f"/modules/{SERIAL}/unassign": {"name": NAME},
        "/users": {"name": "new", "role": "operator"},
        "/users/role": {"name": NAME, "role": "operator"},
        "/users/disable": {"name": NAME},
        "/users/password": {"name": NAME},
        "/account/mail": {"mail": "a@example.com", "language": "ja"},
        "/account/password": {"current": PASSWORD, "new": "another password"},
        "/logout": {},
    }


@pytest.mark.parametrize("path", sorted(_forms()))
def test_r6_forged_request_is_refused(browser, services, path):
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, tamper="vault_seal")["state"])
    before = services.audit.actions()[1]
    for token in ({}, {"form_token": ""}, {"form_token": "x" * 32}, {"form_token": "ö"}):
        answer = browser.post(path, data=_forms()[path] | token)
        assert answer.status_code == 403 and "out of date" in answer.text
    assert services.audit.actions()[1] == before
    assert browser.get("/modules").status_code == 200


def test_r6_every_form_is_among_those_that_are_tested(services):
    routes = [*router.routes, *staff_views.router.routes]
    paths = {route.path for route in routes if "POST" in route.methods}
    known = {re.sub(r"alarms/1", "alarms/{alarm_id}", path.replace(SERIAL, "{serial}")) for path in _forms()}
    assert paths == known | {"/login"}


def test_r6_forged_log_in_is_refused(visitor, app):
    token = token_of(visitor.get("/login"))
    with Browser(app) as victim:
        answer = victim.post("/login", data={"form_token": token, "name": NAME, "password": PASSWORD})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_r6_token_of_another_session_is_refused(browser, app):
    token = token_of(browser.get("/modules"))
    assert log_in(browser).status_code == 303
    assert browser.post(f"/modules/{SERIAL}/forget", data={"form_token": token}).status_code == 403


@pytest.mark.parametrize("path", ["/login", "/static/console.css", "/static/console.js", "/nowhere", "/modules"])
def test_r6_every_answer_carries_the_headers_that_keep_others_out(browser, path):
    headers = browser.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}
    assert headers["x-content-type-options"] == "nosniff"
    assert "no-store" in headers["cache-control"] or path.startswith("/static/")


# pages


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("path", PAGES)
def test_r6_page_shows_in_both_languages(browser, services, path, language):
    browser.get(f"/language/{language}")
    for busy in (False, True):
        if busy:
            busy_module(services)
        page = browser.get(path)
        assert page.status_code == 200
        assert f'<html lang="{language}">' in page.text
        assert "山田様邸 <PCS>" not in page.text  # values are escaped
        assert "style=" not in page.text and "<script>" not in page.text  # the policy would bar them
        assert "&lt;time" not in page.text
        check_accessible(page.text)


def every_key():
    return sorted(text.keys())


def test_r6_both_languages_have_the_same_words_to_fill_in():
    for key in every_key():
        japanese, english = text.translations(key)
        assert set(re.findall(r"{\w+}", japanese)) == set(re.findall(r"{\w+}", english)), key
        assert japanese and english


def test_r6_every_text_is_used():
    sources = [*PPS.glob("templates/*.html"), *PPS.glob("console/*.py")]
    content = "\n".join(path.read_text() for path in sources if not path.name.endswith("text.py"))
    families = set(re.findall(r'"([a-z]+_)" ~|label\("([a-z]+_)"|known\("([a-z]+_)"', content))
    families = {family for found in families for family in found if family} | {"problem_"}
    for key in every_key():
        used = re.search(rf'["\']{key}["\']', content) or any(key.startswith(family) for family in families)
        assert used, key


def test_r3_every_reason_for_tamper_is_in_words():
    assert {f"reason_{reason}" for reason in layout.TAMPER.values()} <= text.keys()


@pytest.mark.parametrize(
    ("event", "detail", "words"),
    [
        ("ended", settings.ENDED_WIPED, "wiped"),
        ("ended", 99, "Detail 99"),
        ("tamper", 12, "Old records put back"),
        ("failure", 1, "noted after a power cut"),
    ],
)
def test_r26_detail_of_an_audit_record_is_in_words(browser, services, event, detail, words):
    services.audit.take(IDENTITY, [record(1, event=event, detail=detail)])
    shown = browser.get("/audit").text
    assert f"· {words}</span>" in shown


def test_r6_language_follows_the_browser_then_the_choice(visitor):
    assert '<html lang="en">' in visitor.get("/login").text
    visitor.headers["accept-language"] = "fr, ja;q=0.5"
    assert '<html lang="ja">' in visitor.get("/login").text
    visitor.get("/language/en")
    assert '<html lang="en">' in visitor.get("/login").text
    visitor.get("/language/tlh")
    assert '<html lang="en">' in visitor.get("/login").text


def test_r6_module_is_registered_once(browser, services):
    answer = submit(browser, "/modules", serial="INK-2", name=" Harbour House ")
    assert answer.headers["location"] == "/modules/INK-2?notice=registered"
    page = browser.get(answer.headers["location"])
    assert "The module is registered." in page.text and "Harbour House" in page.text
    assert "registered already" in submit(browser, "/modules", serial="INK-2", name="x").text
    for serial in ("", "a b", "ö", "x" * 33, "../x"):
        answer = submit(browser, "/modules", serial=serial, name="x")
        assert answer.status_code == 422 and "letters, digits" in answer.text
    answer = submit(browser, "/modules", serial="INK-3", name=" ")
    assert answer.status_code == 422 and "A name has" in answer.text


def test_r6_modules_are_found_by_serial_and_name(browser, services):
    for number in range(2, 60):
        services.fleet.register(f"INK-{number:08d}", f"House {number}", NAME)
    assert "House 7<" in browser.get("/modules?search=house+7").text
    page = browser.get("/modules?search=00000059").text
    assert "House 59<" in page and "House 7<" not in page
    for pattern in ("%", "_", "\\"):
        assert "No module matches." in browser.get("/modules", params={"search": pattern}).text
    first = browser.get("/modules").text
    assert "1 to 50 of 59" in first and "House 59<" not in first
    assert "House 59<" in browser.get("/modules?page=2").text


def test_r6_issued_credential_is_shown_and_waits_in_the_outbox(browser, services):
    page = issue(browser)
    assert page.status_code == 200
    message = html.unescape(re.search(r'<pre id="message"[^>]*>(.*?)</pre>', page.text, re.DOTALL)[1])
    password = re.search(r"パスワード: (\d{8})\n", message)[1]
    assert password in browser.get("/outbox").text
    services.credentials.offer(IDENTITY, 0, 0)
    services.credentials.acknowledge(IDENTITY, 1, "accepted", None)
    page = browser.get("/outbox").text
    assert password not in page and "Erased" in page


def test_r8_limits_and_scope_are_what_was_chosen(browser, services):
    chosen = {
        "channel": "sms",
        "recipient": "090-1234-5678",
        "lifetime": "2",
        "lifetime_unit": "days",
        "max_successes": "4",
        "max_failures": "6",
        "max_changes": "9",
        "password_digits": "12",
        "delete_site": "on",
        "recover": "on",
    }
    assert issue(browser, **chosen).status_code == 200
    offered = services.credentials.offer(IDENTITY, 0, 0).credential
    assert offered["scope"] == {
        "see": ["customer"],
        "change": ["customer"],
        "delete": ["site"],
        "recover": True,
    }
    assert [offered[name] for name in ("lifetime_s", "max_successes", "max_failures", "max_changes")] == [
        172800,
        4,
        6,
        9,
    ]
    assert offered["password_digits"] == 12
    assert services.outbox.messages()[0][0][0].recipient == "09012345678"


@pytest.mark.parametrize(
    ("channel", "recipient", "seconds"), [("email", "a@b.jp", 86400), ("sms", "+819012345678", 600)]
)
def test_r8_empty_lifetime_follows_the_channel(browser, services, channel, recipient, seconds):
    assert issue(browser, channel=channel, recipient=recipient).status_code == 200
    assert services.credentials.offer(IDENTITY, 0, 0).credential["lifetime_s"] == seconds


@pytest.mark.parametrize(
    "changed",
    [
        {"recipient": "nobody"},
        {"recipient": "a@b.jp\r\nbcc: c@d.jp"},
        {"recipient": "a@b.jp", "channel": "sms"},
        {"recipient": "09012345678"},
        {"channel": "pigeon"},
        {"language": "fr"},
        {"lifetime": "0"},
        {"lifetime": "366", "lifetime_unit": "days"},
        {"lifetime": "1.5"},
        {"max_successes": "0"},
        {"max_failures": "101"},
        {"max_changes": "x"},
        {"password_digits": "7"},
        {"see_customer": "", "change_customer": ""},
    ],
    ids=str,
)
def test_r8_form_out_of_bounds_comes_back_filled_in(browser, services, changed):
    page = issue(browser, **changed)
    assert page.status_code == 422 and "field-problem" in page.text
    check_accessible(page.text)
    assert services.outbox.messages()[1] == 0


def test_r20_relay_is_ordered_by_a_tick_and_shown_on_the_modules_page(browser, services):
    assert "#relay=" not in issue(browser).text
    assert "Relay:" not in browser.get(f"/modules/{SERIAL}").text
    issued = issue(browser, relay="on").text
    token = relay_token_of(html.unescape(issued))
    module = f"/modules/{SERIAL}"
    assert "Relay: on" in browser.get(module).text
    services.credentials.offer(IDENTITY, 0, 0)
    services.credentials.acknowledge(IDENTITY, 2, "accepted", None)
    services.relay.phone(token, "00" * 8, 0, [(1, b"abc")], False, "192.0.2.1")
    assert "Relay: a phone is connected" in browser.get(module).text
    assert not any(token in browser.get(page).text for page in PAGES)
    services.relay.phone(token, "00" * 8, 0, [], True, "192.0.2.1")
    trail = browser.get("/audit?view=operators").text
    assert "Relay conversation begun" in trail and "#2 · by the phone" in trail


def test_r6_form_that_is_sent_twice_issues_once(browser, services):
    form = ISSUE | {"once": "the same", "form_token": token_of(browser.get("/modules"))}
    assert browser.post(f"/modules/{SERIAL}/issue", data=form).status_code == 200
    answer = browser.post(f"/modules/{SERIAL}/issue", data=form)
    assert answer.headers["location"].endswith("notice=repeated")
    assert "Nothing was issued again" in browser.get(answer.headers["location"]).text
    assert services.outbox.messages()[1] == 1


def test_s5_no_more_than_a_days_credentials_are_issued(browser, services, monkeypatch):
    monkeypatch.setattr("tools.pps.services.credentials.ISSUES_A_DAY", 1)
    assert issue(browser).status_code == 200
    page = issue(browser, recipient="other@example.com")
    assert page.status_code == 429 and 1 <= int(page.headers["retry-after"]) <= 24 * 3600
    assert "Too many credentials for this module today" in page.text
    assert 'value="other@example.com"' in page.text  # what was entered is still there
    check_accessible(page.text)
    assert services.outbox.messages()[1] == 1


def test_r6_text_that_a_gateway_sends_is_not_shown(make_services):
    services = make_services("email")
    app = console_app(services, "a key", "pps.example")
    with Browser(app) as client:
        log_in(client)
        page = issue(client)
        ((message, _),), _ = services.outbox.messages()
        password = re.search(r"パスワード: (\d{8})\n", message.text)[1]
        assert password not in page.text and "resident@example.com" in page.text
        assert password not in client.get("/outbox").text


def test_r8_revoked_on_the_page(browser, services):
    issue(browser)
    answer = submit(browser, f"/modules/{SERIAL}/revoke")
    assert answer.headers["location"].endswith("notice=revoked")
    page = browser.get(f"/modules/{SERIAL}").text
    assert "Waiting for the module to act on the revocation." in page
    services.credentials.offer(IDENTITY, 1, 1)
    assert "The module has acted on the revocation." in browser.get(f"/modules/{SERIAL}").text
    assert submit(browser, f"/modules/{SERIAL}/revoke").status_code == 409


def test_sa_code_is_shown_once(browser, services):
    page = submit(browser, f"/modules/{SERIAL}/enrolment")
    groups = re.findall(r"<span>(\d{4})</span>", page.text)
    assert len(groups) == 5 and "pps.example:8444" in page.text
    assert groups[2] + "</span>" not in browser.get(f"/modules/{SERIAL}").text
    assert "Open" in browser.get(f"/modules/{SERIAL}").text
    assert submit(browser, f"/modules/{SERIAL}/enrolment/withdraw").status_code == 303
    assert services.enrolment.newest_code(1).status == "withdrawn"


def test_s10_alarm_is_shown_and_acknowledged(browser, services):
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL)["state"])
    services.fleet.hello(IDENTITY, "0.1.0", hello(SERIAL, generation=5)["state"])
    page = browser.get(f"/modules/{SERIAL}").text
    assert "State stepped back" in page and "generation 7 → 5" in page
    (alarm,) = services.fleet.alarms(1)
    answer = submit(browser, f"/modules/{SERIAL}/alarms/{alarm.id}/acknowledge")
    assert answer.status_code == 303
    page = browser.get(f"/modules/{SERIAL}").text
    assert f"Acknowledged by {NAME}" in page
    assert submit(browser, f"/modules/{SERIAL}/alarms/999/acknowledge").status_code == 404


def test_r26_operators_actions_are_listed(browser, services):
    issue(browser)
    submit(browser, f"/modules/{SERIAL}/revoke")
    page = browser.get("/audit?view=operators").text
    for action in ("Signed in", "Credential issued", "Credentials revoked", "Module registered"):
        assert action in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", 404),
        ("/modules/NOBODY", 404),
        ("/modules/NOBODY/issue", 404),
        (f"/modules/{SERIAL}/issue?task=nothing", 404),
        ("/modules?page=-1", 200),
        ("/modules?page=999999999999999999999", 200),
        ("/modules?page=x", 404),
        ("/audit?module=NOBODY", 404),
        ("/static/../settings.py", 404),
        ("/openapi.json", 404),
    ],
)
def test_r27_odd_addresses_get_a_page(browser, path, status):
    answer = browser.get(path)
    assert answer.status_code == status and "<h1>" in answer.text


def test_r27_failure_inside_shows_no_trace(browser, services, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError("hunter2 of the database")

    monkeypatch.setattr(services.fleet, "modules", fail)
    answer = browser.get("/modules")
    assert answer.status_code == 500 and "The server failed" in answer.text
    assert "hunter2" not in answer.text + caplog.text and "Traceback" not in answer.text + caplog.text


def test_r27_form_over_the_limit_is_refused(browser):
    answer = browser.post("/modules", data={"name": "x" * 20_000})
    assert answer.status_code == 413


def test_r6_static_files_need_no_other_site():
    for path in [*PPS.glob("static/*"), *PPS.glob("templates/*")]:
        content = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?://|@import|url\(", content), path


def test_r6_text_keeps_a_contrast_of_four_and_a_half():
    css = (PPS / "static" / "console.css").read_text()
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", css))

    def luminance(name):
        digits = colours[name][1:]
        digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
        channels = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pairs = [("ink", "paper"), ("muted", "paper"), ("muted", "card"), ("accent", "card"), ("card", "accent")]
    pairs += [(name, f"{name}-soft") for name in ("good", "warn", "bad", "accent")]
    pairs += [("muted", "quiet-soft"), ("card", "bad")]
    for text_colour, ground in pairs:
        light, dark = sorted((luminance(text_colour), luminance(ground)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text_colour, ground)
