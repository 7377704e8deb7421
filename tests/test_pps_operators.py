"""Accounts and roles: who may do what, whose sessions end when, and the tables behind it."""

import contextlib
import re
import shutil
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from tests import console_client
from tests.console_client import INSTALLER, NAME, PASSWORD, READER, log_in, submit, token_of
from tests.pps_client import Browser, Clock
from tools.pps.app import console_app
from tools.pps.ca import CertificateAuthority
from tools.pps.console import staff_views, views
from tools.pps.console.forms import TASKS
from tools.pps.db import Database
from tools.pps.errors import ServiceError
from tools.pps.services import access, build_services
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.operators import FAILURES_BY_NAME

SERIAL, OTHER = "INK-00000001", "INK-00000002"
MIGRATIONS = Path(__file__).resolve().parents[1] / "tools" / "pps" / "migrations"
ROWS_OF_BEFORE = (
    "INSERT INTO operators (id, name, password_hash, session_epoch, created_at) VALUES (1, 'x', 'y', 0, 0)",
    "INSERT INTO modules (id, serial, name, registered_at, highest, last_sequence, revoked_sequence, "
    "revoked_confirmed, news_version, audit_epoch, audit_through) VALUES (1, 'A', 'a', 0, '{}', 0, 0, 0, 0, 0, 0)",
    "INSERT INTO alarms (id, module_id, kind, detail, raised_at, last_at) VALUES (1, 1, 'tamper', '{}', 5, 5)",
)


def test_r6_tables_of_roles_come_and_go_under_rows_that_refer_to_each_other(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")

    def migrate(step, revision):
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with database.engine.execution_options(inkan_write=True).begin() as connection:
            config.attributes["connection"] = connection
            step(config, revision)

    def one(query):
        with database.read() as session:
            return session.scalar(sqlalchemy.text(query))

    migrate(command.upgrade, "0003")
    with database.write() as session:
        for statement in ROWS_OF_BEFORE:
            session.execute(sqlalchemy.text(statement))
    migrate(command.upgrade, "0004")
    assert one("SELECT role FROM operators") == "operator"
    assert one("SELECT noticed_at FROM alarms") == 5
    with database.write() as session:
        session.execute(sqlalchemy.text("INSERT INTO module_assignments (operator_id, module_id) VALUES (1, 1)"))
    migrate(command.downgrade, "0003")
    migrate(command.upgrade, "0004")
    assert one("SELECT count(*) FROM modules") == 1
    assert one("SELECT count(*) FROM module_assignments") == 0
    database.close()


@pytest.fixture(scope="module", autouse=True)
def quick_hashes():
    with console_client.quick_hashes():
        yield


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create("PPS CA")


@pytest.fixture(scope="module")
def first_database(tmp_path_factory, quick_hashes, authority):
    """A database with an account of each role and two modules, of which the installer has one."""
    path = tmp_path_factory.mktemp("first") / "pps.sqlite3"
    with console_client.staffed(path, authority) as services:
        for serial, name in ((SERIAL, "Harbour House"), (OTHER, "Hill House")):
            services.fleet.register(serial, name, NAME)
        services.operators.assign(SERIAL, INSTALLER, NAME)
    return path


@pytest.fixture
def services(first_database, tmp_path, authority):
    database = Database(f"sqlite:///{shutil.copy(first_database, tmp_path)}")
    yield build_services(database, authority, Endpoints("https://a", "https://a"), clock=Clock())
    database.close()


@pytest.fixture
def sign_in(services):
    """Callable (name, language) -> Browser of somebody who is signed in."""
    app = console_app(services, "a key", "pps.example:8444")
    with contextlib.ExitStack() as stack:

        def sign_in(name, language="en", password=PASSWORD):
            client = stack.enter_context(Browser(app))
            client.headers["accept-language"] = language
            assert log_in(client, name, password).status_code == 303
            return client

        yield sign_in


ISSUE = {
    "task": "resident",
    "channel": "email",
    "recipient": "a@example.com",
    "language": "en",
    "lifetime": "",
    "lifetime_unit": "hours",
    "max_successes": "3",
    "max_failures": "5",
    "max_changes": "20",
    "password_digits": "8",
    "see_customer": "on",
}
MODULE = f"/modules/{SERIAL}"
FORMS = {
    # path -> (action that it takes, what is typed)
    "/modules": ("register", {"serial": "INK-9", "name": "x"}),
    f"{MODULE}/issue": ("issue", ISSUE),
    f"{MODULE}/enrolment": ("enrol", {}),
    f"{MODULE}/enrolment/withdraw": ("enrol", {}),
    f"{MODULE}/revoke": ("revoke", {}),
    f"{MODULE}/forget": ("forget", {}),
    f"{MODULE}/alarms/1/acknowledge": ("acknowledge", {}),
    f"{MODULE}/contact": ("contact", {"channel": "sms", "address": "090-1234-5678", "language": "ja"}),
    f"{MODULE}/assign": ("assign", {"name": READER}),
    f"{MODULE}/unassign": ("assign", {"name": INSTALLER}),
    "/users": ("manage_users", {"name": "new", "role": "operator"}),
    "/users/role": ("manage_users", {"name": READER, "role": "operator"}),
    "/users/disable": ("manage_users", {"name": READER}),
    "/users/password": ("manage_users", {"name": READER}),
    "/account/mail": ("look", {"mail": "a@example.com", "language": "ja"}),
    "/account/password": ("look", {"current": PASSWORD, "new": "another password"}),
    "/logout": ("look", {}),
}
PAGES = {
    "/modules": "look",
    MODULE: "look",
    f"{MODULE}/issue": "issue",
    f"{MODULE}/issue?task=recover": "recover",
    "/outbox": "see_outbox",
    "/audit": "see_audit",
    "/users": "manage_users",
    "/account": "look",
}


def test_r6_every_form_of_the_console_has_its_action():
    routes = [*views.router.routes, *staff_views.router.routes]
    paths = {route.path for route in routes if "POST" in route.methods} - {"/login"}
    named = {path.replace(SERIAL, "{serial}").replace("alarms/1", "alarms/{alarm_id}") for path in FORMS}
    assert paths == named


@pytest.mark.parametrize(("name", "role"), [(READER, "read_only"), (INSTALLER, "installer"), (NAME, "operator")])
def test_r6_role_is_asked_at_the_server_not_only_on_the_page(sign_in, services, name, role):
    client = sign_in(name)
    services.credentials.issue(SERIAL, CredentialOrder("email", "a@example.com"), NAME)
    token = token_of(client.get("/account"))
    for path, (action, form) in FORMS.items():
        if path in ("/logout", "/account/password"):  # these end the session that the others need
            continue
        before = services.audit.actions()[1]
        answer = client.post(path, data=form | {"form_token": token})
        if access.may(role, action):
            assert answer.status_code != 403, path
        else:
            assert answer.status_code == 403 and f"forbidden: {action}" in answer.text, path
            assert services.audit.actions()[1] == before, path
    for path, action in PAGES.items():
        assert (client.get(path).status_code == 200) == access.may(role, action), path


def test_r6_roles_are_what_they_are_said_to_be():
    assert access.ACTIONS["operator"] > access.ACTIONS["installer"] | access.ACTIONS["read_only"]
    assert {"issue", "enrol"} <= access.ACTIONS["installer"]
    assert not access.ACTIONS["installer"] & {"recover", "manage_users", "see_fleet", "see_outbox", "see_messages"}
    assert all(action.startswith(("look", "see_")) for action in access.ACTIONS["read_only"])
    assert "see_messages" not in access.ACTIONS["read_only"]  # there are passwords in them
    assert not access.may("a role of tomorrow", "look")


@pytest.mark.parametrize(("language", "words"), [("ja", "役割が「施工者」のため"), ("en", "As Installer you may not")])
def test_r6_refusal_says_why_in_the_visitors_language(sign_in, language, words):
    client = sign_in(INSTALLER, language)
    answer = client.get("/users")
    assert answer.status_code == 403 and words in answer.text and INSTALLER in answer.text
    answer = submit(client, f"{MODULE}/issue", **ISSUE, recover="on")
    assert answer.status_code == 403 and words in answer.text and "forbidden: recover" in answer.text


def test_r6_pages_offer_only_what_the_role_allows(sign_in, services):
    services.credentials.issue(SERIAL, CredentialOrder("email", "a@example.com"), NAME)
    reader, installer = sign_in(READER), sign_in(INSTALLER)
    actions = set(re.findall(r'action="([^"]+)"', reader.get(MODULE).text + reader.get("/modules").text))
    assert actions == {"/logout", "/modules"}  # the latter is the search
    actions = set(re.findall(r'<form method="post" action="([^"]+)"', installer.get(MODULE).text))
    assert actions == {"/logout", f"{MODULE}/enrolment"}
    assert "task=recover" not in installer.get(f"{MODULE}/issue").text and "recover" in TASKS
    outbox = reader.get("/outbox").text
    assert "a@example.com" in outbox and "<pre" not in outbox  # the password is for who passes it on


def test_r6_installer_sees_his_list_and_finds_the_rest_by_name(sign_in):
    client = sign_in(INSTALLER)
    page = client.get("/modules").text
    assert "Harbour House" in page and "Hill House" not in page
    for search in ("I", "INK", "%%%%", "____"):
        assert "Hill House" not in client.get("/modules", params={"search": search}).text
    for search in (OTHER, "hill"):
        assert "Hill House" in client.get("/modules", params={"search": search}).text
    assert client.get(f"/modules/{OTHER}/issue").status_code == 200


def test_r6_assignment_comes_and_goes(sign_in, services):
    operator, installer = sign_in(NAME), sign_in(INSTALLER)
    assert submit(operator, f"/modules/{OTHER}/assign", name=INSTALLER).status_code == 303
    assert "Hill House" in installer.get("/modules").text
    assert submit(operator, f"/modules/{OTHER}/unassign", name=INSTALLER).status_code == 303
    assert "Hill House" not in installer.get("/modules").text
    assert submit(operator, f"/modules/{OTHER}/assign", name="nobody").status_code == 404


def test_r6_users_page_makes_an_account_whose_password_is_shown_once(sign_in, services):
    operator = sign_in(NAME)
    page = submit(operator, "/users", name="田中 <b>", role="read_only")
    password = re.search(r'id="new-password">([^<]+)<', page.text)[1]
    listed = operator.get("/users").text
    assert "田中 &lt;b&gt;" in listed and password not in listed and "<b>田中 <b>" not in listed
    assert sign_in("田中 <b>", password=password).get("/users").status_code == 403
    for form, words in (
        ({"name": NAME, "role": "operator"}, "is taken"),
        ({"name": " ", "role": "operator"}, "1 to 80"),
        ({"name": "x", "role": "king"}, "Choose a role"),
    ):
        answer = submit(operator, "/users", **form)
        assert answer.status_code == 422 and words in answer.text


def test_r6_role_holds_from_the_next_request_on(sign_in):
    operator, reader = sign_in(NAME), sign_in(READER)
    assert reader.get("/users").status_code == 403
    submit(operator, "/users/role", name=READER, role="operator")
    assert reader.get("/users").status_code == 200
    submit(operator, "/users/role", name=NAME, role="installer")
    assert operator.get("/users").status_code == 403


def test_r6_disabled_account_is_out_at_once_and_its_name_stays(sign_in, services):
    operator, installer = sign_in(NAME), sign_in(INSTALLER)
    submit(operator, "/users/disable", name=INSTALLER)
    assert installer.get("/modules").status_code == 303
    assert log_in(installer, INSTALLER).status_code == 403
    with pytest.raises(ServiceError, match="of this name"):
        services.operators.add(INSTALLER, PASSWORD)


def test_r6_last_operator_stays(sign_in, services):
    operator = sign_in(NAME)
    for path, form in (("/users/disable", {}), ("/users/role", {"role": "installer"})):
        answer = submit(operator, path, name=NAME, **form)
        assert answer.status_code == 409 and "The last operator" in answer.text
    assert services.operators.named(NAME).role == "operator"


def test_r6_own_password_is_changed_with_the_current_one(sign_in):
    here, elsewhere = sign_in(READER), sign_in(READER)
    for current, new, status in (("wrong", "another password", 403), (PASSWORD, "short", 422)):
        assert submit(here, "/account/password", "/account", current=current, new=new).status_code == status
    assert submit(here, "/account/password", "/account", current=PASSWORD, new="another password").status_code == 303
    assert here.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 303
    assert sign_in(READER, password="another password").get("/account").status_code == 200


def test_r6_guesses_of_the_current_password_are_throttled_as_log_ins_are(sign_in):
    client = sign_in(READER)
    token = token_of(client.get("/account"))
    for expected in [403] * FAILURES_BY_NAME + [429]:
        form = {"form_token": token, "current": "wrong", "new": "another password"}
        assert client.post("/account/password", data=form).status_code == expected


def test_r6_contact_is_registered_checked_and_taken_away(sign_in, services):
    operator = sign_in(NAME)
    assert submit(operator, f"{MODULE}/contact", **FORMS[f"{MODULE}/contact"][1]).status_code == 303
    module = services.fleet.module(SERIAL)
    assert (module.contact_channel, module.contact_address, module.contact_language) == ("sms", "09012345678", "ja")
    assert 'value="09012345678"' in operator.get(f"{MODULE}/issue").text
    for form in (
        {"channel": "email", "address": "09012345678", "language": "ja"},
        {"channel": "pigeon", "address": "a@example.com", "language": "ja"},
        {"channel": "email", "address": "a@example.com\r\nbcc: b@example.com", "language": "ja"},
        {"channel": "email", "address": "a@example.com", "language": "fr"},
    ):
        assert submit(operator, f"{MODULE}/contact", **form).status_code == 422
    assert services.fleet.module(SERIAL).contact_address == "09012345678"
    submit(operator, f"{MODULE}/contact", channel="email", address=" ", language="ja")
    assert services.fleet.module(SERIAL).contact_channel is None
    assert not any("0901" in str(action.detail) for action, _ in services.audit.actions()[0])
