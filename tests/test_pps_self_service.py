"""The residents' page: a serial number, a link to the registered address, one credential; nothing for anybody else."""

import html
import re
import shutil

import pytest
from sqlalchemy import event
from sqlalchemy import text as sql

from tests.console_client import check_accessible
from tests.pps_client import Browser, Clock
from tools.pps.app import public_app
from tools.pps.ca import CertificateAuthority
from tools.pps.console.text import LANGUAGES
from tools.pps.db import Database
from tools.pps.errors import ServiceError
from tools.pps.identity import FACTORY_IDENTITY, ModuleIdentity
from tools.pps.self_service import text
from tools.pps.services import build_services
from tools.pps.services.credentials import Scope
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.self_service import BY_ADDRESS, BY_SERIAL, LINK_S, WINDOW_S, Policy, read_policy

SERIAL, SILENT = "INK-00000001", "INK-00000002"
ADDRESS = "resident@example.com"
IDENTITY = ModuleIdentity(SERIAL, FACTORY_IDENTITY, "")
PAGE = "https://pps.example/request/"


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create("PPS CA")


@pytest.fixture(scope="module")
def first_database(tmp_path_factory):
    """Two modules, one of them with an address."""
    path = tmp_path_factory.mktemp("first") / "pps.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    services = build_services(database, None, Endpoints("https://a", "https://a"), clock=Clock())
    for serial in (SERIAL, SILENT):
        services.fleet.register(serial, "山田様邸", "an operator")
    services.contacts.set(SERIAL, "email", ADDRESS, "en", "an operator")
    database.close()
    return path


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make_services(first_database, tmp_path, clock, authority):
    database = Database(f"sqlite:///{shutil.copy(first_database, tmp_path)}")

    def make(policy, channels=("email", "sms")):
        return build_services(
            database,
            authority,
            Endpoints("https://a", "https://a"),
            clock=clock,
            channels=channels,
            self_service=policy,
            request_url=PAGE,
        )

    yield make
    database.close()


@pytest.fixture
def services(make_services):
    return make_services(Policy())


@pytest.fixture
def visitor(services, tmp_path):
    with Browser(public_app(services, tmp_path), "https://pps.example") as client:
        client.headers["accept-language"] = "en"
        yield client


def mails(services):
    """Texts of what is queued, which is then as good as sent."""
    services.self_service.work()
    found = []
    while message := services.outbox.claim():
        services.outbox.sent(message.id)
        found.append((message.recipient, message.text))
    return found


def ask(client, services, serial=SERIAL):
    """Ask for a link; returns its path."""
    assert client.post("/request", data={"serial": serial}).status_code == 200
    ((recipient, mail),) = mails(services)
    assert recipient == ADDRESS
    return "/request/" + re.search(re.escape(PAGE) + r"(\S+)", mail)[1]


def test_r6_resident_gets_a_credential_through_the_registered_address(visitor, services):
    link = ask(visitor, services)
    page = visitor.get(link)
    assert page.status_code == 200 and SERIAL in page.text and "24 hours" in page.text
    assert services.credentials.offer(IDENTITY, 0, 0).credential is None  # looking issues nothing
    done = visitor.post(link)
    assert done.status_code == 200 and "On their way" in done.text
    ((recipient, mail),) = mails(services)
    assert recipient == ADDRESS and re.search(r"Password: \d{8}", mail)
    assert services.credentials.offer(IDENTITY, 0, 0).credential["scope"] == Policy().scope.as_dict()
    trail = [action.operator + ": " + action.action for action, _ in services.audit.actions()[0]]
    assert trail[:2] == ["self-service: issue", "self-service: link_sent"]


def test_r6_answer_does_not_tell_what_is_registered(visitor, services):
    answers = []
    for serial in (SERIAL, SILENT, "INK-99999999"):
        answer = visitor.post("/request", data={"serial": serial})
        answers.append((answer.status_code, answer.text, {*answer.headers}))
    assert answers[0] == answers[1] == answers[2]
    assert [recipient for recipient, _ in mails(services)] == [ADDRESS]


def test_r6_asking_costs_the_same_whatever_is_registered(services, make_services):
    """Neither module nor address is looked up before the answer: the statements are the same ones."""
    seen = {}
    engine = services.self_service._database.engine
    for serial in (SERIAL, SILENT, "INK-99999999"):
        statements = seen.setdefault(serial, [])

        def note(connection, cursor, statement, *more, statements=statements):
            statements.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        services.self_service.ask(serial, "192.0.2.1")
        event.remove(engine, "before_cursor_execute", note)
    assert seen[SERIAL] == seen[SILENT] == seen["INK-99999999"]
    assert not any("modules" in statement for statement in seen[SERIAL])


def test_r6_link_is_good_once_for_a_quarter_of_an_hour(visitor, services, clock):
    link = ask(visitor, services)
    clock.advance(LINK_S - 1)
    assert visitor.get(link).status_code == 200
    clock.advance(1)
    for answer in (visitor.get(link), visitor.post(link)):
        assert answer.status_code == 404 and "does not work" in answer.text
    link = ask(visitor, services)
    assert visitor.post(link).status_code == 200
    assert (visitor.get(link).status_code, visitor.post(link).status_code) == (404, 404)
    assert services.fleet.module(SERIAL).last_sequence == 1


def test_r6_newer_link_and_another_address_end_the_older_link(visitor, services):
    first = ask(visitor, services)
    second = ask(visitor, services)
    assert (visitor.get(first).status_code, visitor.get(second).status_code) == (404, 200)
    services.contacts.set(SERIAL, "email", "new@example.com", "en", "an operator")
    assert visitor.post(second).status_code == 404
    assert services.fleet.module(SERIAL).last_sequence == 0


@pytest.mark.parametrize("token", ["x", "A" * 32, "../" * 5, "%00", "ö" * 32])
def test_r6_guessed_link_leads_nowhere(visitor, services, token):
    ask(visitor, services)
    assert visitor.get(f"/request/{token}").status_code == 404
    assert visitor.post(f"/request/{token}").status_code in (404, 405)


def test_s4_link_is_nowhere_but_in_the_message(visitor, services, tmp_path):
    link = ask(visitor, services)
    token = link.rpartition("/")[2].encode()
    assert token not in (tmp_path / "pps.sqlite3").read_bytes()


def test_s5_requests_are_limited_by_serial_and_by_address(visitor, services, clock):
    for _ in range(BY_SERIAL):
        assert visitor.post("/request", data={"serial": "INK-99999999"}).status_code == 200
    answer = visitor.post("/request", data={"serial": "INK-99999999"})  # not even one that exists
    assert answer.status_code == 429 and answer.headers["retry-after"] == str(WINDOW_S)
    for number in range(BY_ADDRESS - BY_SERIAL):
        assert visitor.post("/request", data={"serial": f"X-{number}"}).status_code == 200
    assert visitor.post("/request", data={"serial": SERIAL}).status_code == 429
    services.self_service.ask(SERIAL, "192.0.2.99")  # somebody else's requests are their own
    clock.advance(WINDOW_S)
    assert visitor.post("/request", data={"serial": "INK-99999999"}).status_code == 200
    services.self_service.work()
    clock.advance(WINDOW_S)
    services.self_service.work()
    with services.self_service._database.read() as session:
        assert session.scalar(sql("SELECT count(*) FROM link_requests")) == 0


def test_s5_credentials_of_the_day_hold_here_as_well(visitor, services, monkeypatch):
    monkeypatch.setattr("tools.pps.services.credentials.ISSUES_A_DAY", 1)
    assert visitor.post(ask(visitor, services)).status_code == 200
    mails(services)
    answer = visitor.post(ask(visitor, services))
    assert answer.status_code == 429 and "used up" in answer.text


def test_r6_serial_is_taken_as_a_japanese_keyboard_types_it(visitor, services):
    assert ask(visitor, services, " ＩＮＫ－００００００01 ")
    for serial in ("", "x y", "<script>", "x" * 100):
        answer = visitor.post("/request", data={"serial": serial})
        assert answer.status_code == 422 and "letters, digits" in answer.text and "<script>" not in answer.text
        check_accessible(answer.text)


@pytest.mark.parametrize("language", ["ja", "en"])
def test_r17_pages_of_residents_show_in_both_languages(visitor, services, language):
    visitor.headers["accept-language"] = language
    for page in (visitor.get("/request"), visitor.get(ask(visitor, services)), visitor.get("/request/none")):
        assert f'<html lang="{language}">' in page.text
        check_accessible(page.text)
        assert "set-cookie" not in page.headers and page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["cache-control"] == "no-store"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "form-action 'self'" in policy and "script-src" not in policy
    other = "en" if language == "ja" else "ja"
    assert f'<html lang="{other}">' in visitor.get(f"/request?lang={other}").text
    assert f'<html lang="{other}">' in visitor.post("/request", data={"serial": "X", "lang": other}).text
    assert visitor.get("/request/static/console.css").status_code == 200


def test_r17_both_languages_have_the_same_words_to_fill_in():
    for key, translations in text.TEXTS.items():
        assert len(translations) == len(LANGUAGES) and all(translations), key
        assert len({tuple(re.findall(r"{\w+}", words)) for words in translations}) == 1, key


@pytest.mark.parametrize(("policy", "channels"), [(None, ("email",)), (Policy(), ())])
def test_r6_page_is_closed_without_a_policy_or_a_gateway(make_services, tmp_path, policy, channels):
    services = make_services(policy, channels)
    with Browser(public_app(services, tmp_path), "https://pps.example") as client:
        assert client.get("/request").status_code == 404
        assert client.post("/request", data={"serial": SERIAL}).status_code == 404
    with services.self_service._database.read() as session:
        assert session.scalar(sql("SELECT count(*) FROM link_requests")) == 0


def test_r11_policy_is_read_and_never_lets_anybody_recover():
    policy = read_policy('{"see": ["customer"], "delete": ["usage_history"], "lifetime_s": 600, "max_successes": 1}')
    assert policy == Policy(Scope(see=("customer",), delete=("usage_history",)), 600, 1)
    for wrong in (
        "",
        "[]",
        "{}",
        '{"see": ["everything"]}',
        '{"see": ["site"], "recover": true}',
        '{"see": ["site"], "max_successes": 0}',
        '{"see": ["site"], "lifetime_s": "x"}',
    ):
        with pytest.raises(ServiceError):
            read_policy(wrong)


def test_s5_link_goes_by_sms_where_that_is_the_registered_channel(visitor, services):
    services.contacts.set(SERIAL, "sms", "090-1234-5678", "ja", "an operator")
    visitor.post("/request", data={"serial": SERIAL})
    ((recipient, message),) = mails(services)
    assert recipient == "09012345678" and PAGE in message and "15分" in message
    page = html.unescape(visitor.get("/request/" + message.rpartition("/")[2]).text)
    assert "10 minutes" in page
