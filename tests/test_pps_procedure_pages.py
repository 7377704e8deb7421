"""The console's pages about procedures: each kind driven through in both languages, roles, forged and hostile forms."""

import asyncio
import contextlib
import html
import re
import shutil

import pytest

from tests import console_client
from tests.console_client import INSTALLER, NAME, READER, check_accessible, log_in, submit, token_of
from tests.pps_client import Browser, Clock, record
from tests.readings_sender import Sender, slot_body, slot_of
from tests.readings_worker import identity_of, report_of
from tests.test_pps_hostile import HOSTILE, check
from tools.pps.app import console_app, module_app
from tools.pps.ca import CertificateAuthority
from tools.pps.console import procedure_views
from tools.pps.db import Database
from tools.pps.services import access, build_services
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.plans import KINDS

SERIAL = "INK-00000001"
MODULE = f"/modules/{SERIAL}"
SITE, NEW_SITE = "1" * 22, "2" * 22
DAY_S = 24 * 3600
FORM = {"channel": "email", "recipient": "new@example.com", "language": "en", "lifetime": "", "days": "7"}
PLANS = {"site": "2222 2222-2222222222 2222", "contract": "NEW-1"}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def authority():
    return CertificateAuthority.create("PPS CA")


@pytest.fixture(scope="module", autouse=True)
def quick_hashes():
    with console_client.quick_hashes():
        yield


@pytest.fixture(scope="module")
def first_database(tmp_path_factory, quick_hashes, authority):
    """A database with an account of each role, and a module that has a site."""
    path = tmp_path_factory.mktemp("first") / "pps.sqlite3"
    with console_client.staffed(path, authority) as services:
        services.fleet.register(SERIAL, "山田様邸 <PCS>", NAME)
        services.sites.assign(SERIAL, SITE, "OLD-1", NAME)
    return path


@pytest.fixture
def services(first_database, tmp_path, authority, clock):
    database = Database(f"sqlite:///{shutil.copy(first_database, tmp_path)}")
    yield build_services(database, authority, Endpoints("https://a", "https://a"), clock=clock)
    database.close()


@pytest.fixture
def sign_in(services):
    """Callable (name, language) -> Browser of somebody who is signed in."""
    app = console_app(services, "a key", "pps.example:8444")
    with contextlib.ExitStack() as stack:

        def sign_in(name=NAME, language="en"):
            client = stack.enter_context(Browser(app))
            client.headers["accept-language"] = language
            assert log_in(client, name).status_code == 303
            return client

        yield sign_in


def form_of(kind, **changed):
    plan = {name: PLANS[name] for name in KINDS[kind].plans}
    return FORM | plan | {"kind": kind} | changed


def open_one(client, kind, **changed):
    """The page that tells what was issued; and the address of the procedure."""
    page = submit(client, f"{MODULE}/procedures", **form_of(kind, **changed))
    assert page.status_code == 200, page.text
    return page.text, re.search(rf'href="({MODULE}/procedures/\d+)"', page.text)[1]


def order():
    return CredentialOrder("email", "a@example.com")


def shown(client, path):
    page = client.get(path)
    assert page.status_code == 200
    check_accessible(page.text)
    assert "style=" not in page.text and "山田様邸 <PCS>" not in page.text and "&lt;time" not in page.text
    return page.text


def done_steps(page):
    steps = re.search(r'<ol class="steps">(.*?)</ol>', page, re.DOTALL)[1]
    return [html.unescape(name) for name in re.findall(r'<li class="done"><b>(.*?)</b>', steps)]


def take(services, sequence=0):
    identity = identity_of(SERIAL)
    wire = services.credentials.offer(identity, sequence, 0).credential
    services.credentials.acknowledge(identity, wire["sequence"], "accepted", None)
    return wire["sequence"]


def report(services, clock, site, contract):
    sender = Sender(SERIAL.encode(), site=site, contract=contract)
    sender.append(slot_body(slot_of(clock.now) - 1))
    services.readings.tell_key(identity_of(SERIAL), sender.report_key)
    services.readings.take(identity_of(SERIAL), report_of(sender.request(1, 1, oldest=1)))


FLOWS = {
    # kind -> what the module notes, what it reports for; words of the page once it is done, in both languages
    "new_resident": (
        [{"event": "delete", "subject": "customer", "fields": []}, {"event": "change", "fields": ["address"]}],
        (SITE, "NEW-1"),
        {"en": ["Message sent", "Credential taken", "Unlocked", "Cleared", "Customer entered", "First report"]},
    ),
    "joins": ([], (NEW_SITE, "NEW-1"), {"ja": ["メッセージ送付", "モジュールが受領", "認証成功", "最初の報告"]}),
    "moved": (
        [{"event": "change", "fields": ["site_id", "address"]}],
        (NEW_SITE, "OLD-1"),
        {"en": ["Message sent", "Credential taken", "Unlocked", "Site entered", "First report"]},
    ),
    "equipment": (
        [{"event": "change", "fields": ["ev_capacity_wh"]}],
        None,
        {"ja": ["メッセージ送付", "モジュールが受領", "認証成功", "容量を入力"]},
    ),
    "leaves": ([], None, {"ja": ["メッセージ送付", "モジュールが受領", "認証成功", "切り替え完了"]}),
}


@pytest.mark.parametrize("kind", FLOWS)
def test_s20_procedure_is_opened_followed_and_done_on_the_pages_in_both_languages(sign_in, services, clock, kind):
    clients = {language: sign_in(NAME, language) for language in ("ja", "en")}
    records, reported, expected = FLOWS[kind]
    ((language, steps),) = expected.items()
    client = clients[language]
    for each in clients.values():
        assert f"{MODULE}/procedures/new" in shown(each, MODULE)
        form = shown(each, f"{MODULE}/procedures/new?kind={kind}")
        assert all((f'name="{name}"' in form) == (name in KINDS[kind].plans) for name in PLANS)
        assert "checkbox" not in form.replace('type="checkbox" name="relay"', "")  # the scope is nobody's choice
    page, path = open_one(client, kind)
    check_accessible(page)
    assert "new@example.com" in page and ('id="enrol-code"' in page) == (kind == "joins")
    password = re.search(r"Password: (\d{8})\n", html.unescape(page))[1]
    for each in clients.values():
        for address in ("/procedures", MODULE, path, f"{path}/credential", "/audit?view=operators"):
            assert password not in shown(each, address)
        assert f'href="{path}"' in shown(each, "/procedures") and f'href="{path}"' in shown(each, MODULE)
    assert done_steps(shown(client, path)) == steps[:1]
    sequence = take(services)
    for number, noted in enumerate([{"event": "success", "fields": []}, *records], 1):
        services.audit.take(identity_of(SERIAL), [record(number, **{"sequence": sequence, "time": clock.now} | noted)])
    if kind != "equipment":
        assert done_steps(shown(client, path)) == steps[:-1]
        assert f"{path}/call_off" in shown(client, path)
    if kind == "leaves":
        assert submit(client, f"{path}/finish").headers["location"] == f"{path}?notice=finished"
    elif reported:
        report(services, clock, *reported)
    page = shown(client, f"{path}?notice=finished")
    assert done_steps(page) == steps
    assert ("手続きを完了しました。" if language == "ja" else "The procedure is done.") in page
    for each in clients.values():
        assert f"{path}/call_off" not in shown(each, path)
        assert path not in shown(each, "/procedures") and path in shown(each, "/procedures?past=1")
    assert "Procedure done" in clients["en"].get("/audit?view=operators").text
    assert "手続きの完了" in clients["ja"].get("/audit?view=operators").text


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ja", ("手続きを取り消しました", "すでに終了", "期限切れで取り消し", "すでに進行中")),
        ("en", ("is called off", "is over already", "Undone at the deadline", "open for this module already")),
    ],
)
def test_s20_called_off_and_undone_say_what_stands(sign_in, services, clock, language, words):
    client = sign_in(NAME, language)
    _, path = open_one(client, "joins")
    again = submit(client, f"{MODULE}/procedures", **form_of("leaves"))
    assert again.headers["location"] == f"{path}?notice=procedure_open"
    assert words[3] in shown(client, again.headers["location"])
    assert SITE in shown(client, path) and NEW_SITE in shown(client, path)
    question = re.search(r"<details.*?</details>", shown(client, path), re.DOTALL)[0]
    assert f'action="{path}/call_off"' in question and "<summary>" in question
    answer = submit(client, f"{path}/call_off")
    assert words[0] in shown(client, answer.headers["location"])
    for late in ("call_off", "finish", "credential"):
        answer = submit(client, f"{path}/{late}", **FORM)
        assert answer.headers["location"] == f"{path}?notice=procedure_over"
        assert words[1] in shown(client, answer.headers["location"])
    _, path = open_one(client, "moved", days="1")
    clock.advance(DAY_S)
    services.procedures.undo_overdue()
    assert log_in(client).status_code == 303  # the session has ended meanwhile
    client.get(f"/language/{language}")
    assert words[2] in shown(client, path) and words[2] in shown(client, "/procedures?past=1")
    stands = "モジュールで済んだ操作" if language == "ja" else "What was done at the module"
    assert stands in shown(client, path)


def test_s20_another_credential_of_a_procedure_has_its_scope_whatever_is_posted(sign_in, services):
    client = sign_in()
    _, path = open_one(client, "equipment", delete_connection="on", recover="on", see_customer="on", max_changes="99")
    page = submit(client, f"{path}/credential", **FORM | {"change_connection": "on", "relay": ""})
    assert page.status_code == 200 and "Credential issued" in page.text
    assert "code_title" not in page.text and 'id="enrol-code"' not in page.text
    for credential in services.credentials.of_module(1):
        assert credential.scope == KINDS["equipment"].scope.as_dict() and credential.max_changes == 20
    assert submit(client, f"{path}/credential", **FORM | {"recipient": "nobody"}).status_code == 422


def test_r4_form_for_a_new_resident_does_not_offer_the_former_ones_address(sign_in, services):
    services.contacts.set(SERIAL, "email", "former@example.com", "ja", NAME)
    client = sign_in()
    for kind in KINDS:
        form = client.get(f"{MODULE}/procedures/new?kind={kind}").text
        assert ("former@example.com" in form) == (kind != "new_resident")


@pytest.mark.parametrize(
    ("kind", "changed", "status"),
    [
        ("new_resident", {"contract": "lower"}, 422),
        ("new_resident", {"contract": ""}, 422),
        ("new_resident", {"contract": "OLD-1"}, 422),
        ("moved", {"site": "1" * 21}, 422),
        ("moved", {"site": SITE}, 422),
        ("moved", {"site": "3" * 22}, 409),
        ("joins", {"days": "31"}, 422),
        ("joins", {"days": "x"}, 422),
        ("leaves", {"recipient": "a@b.jp\r\nbcc: c@d.jp"}, 422),
        ("leaves", {"lifetime": "0"}, 422),
        ("equipment", {"language": "fr"}, 422),
    ],
    ids=str,
)
def test_s20_form_that_cannot_be_comes_back_filled_in_and_opens_nothing(sign_in, services, kind, changed, status):
    services.fleet.register("INK-2", "another", NAME)
    services.sites.assign("INK-2", "3" * 22, "X", NAME)
    client = sign_in()
    answer = submit(client, f"{MODULE}/procedures", **form_of(kind, **changed))
    assert answer.status_code == status and "field-problem" in answer.text
    check_accessible(answer.text)
    ((name, typed),) = changed.items()
    assert name == "language" or html.escape(typed.replace("\r\n", ""))[:6] in answer.text
    assert services.procedures.listed() == ([], 0) and services.outbox.messages()[1] == 0


def test_s5_days_limit_of_credentials_holds_here_too(sign_in, services, monkeypatch):
    monkeypatch.setattr("tools.pps.services.credentials.ISSUES_A_DAY", 1)
    client = sign_in()
    services.credentials.issue(SERIAL, order(), NAME)
    answer = submit(client, f"{MODULE}/procedures", **form_of("joins"))
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) > 0
    assert "Too many credentials" in answer.text and services.procedures.listed()[1] == 0


def test_s20_site_cannot_be_assigned_past_an_open_procedure(sign_in, services):
    client = sign_in()
    open_one(client, "moved")
    for path, form in (("site", {"number": NEW_SITE, "contract": "X"}), ("site/release", {})):
        answer = submit(client, f"{MODULE}/{path}", **form)
        assert answer.status_code == 409 and "while a procedure is open" in answer.text


# Who may


FORMS = {
    # path -> (actions that it takes, what is typed)
    **{f"{MODULE}/procedures#{kind}": (KINDS[kind].actions, form_of(kind)) for kind in KINDS},
    f"{MODULE}/procedures/1/credential": (KINDS["leaves"].actions, FORM),
    f"{MODULE}/procedures/1/finish": (("assign_site",), {}),
    f"{MODULE}/procedures/1/call_off": (("revoke",), {}),
}
PAGES = {
    "/procedures": ("see_fleet",),
    f"{MODULE}/procedures/1": ("look",),
    f"{MODULE}/procedures/1/credential": KINDS["leaves"].actions,
    f"{MODULE}/procedures/new": ("issue",),
    **{f"{MODULE}/procedures/new?kind={kind}": KINDS[kind].actions for kind in KINDS},
}


def test_r6_every_form_and_page_of_procedures_is_among_those_that_are_tested():
    for method, tested in (("POST", FORMS), ("GET", PAGES)):
        paths = {route.path for route in procedure_views.router.routes if method in route.methods}
        named = {re.sub(r"[#?].*", "", path).replace(SERIAL, "{serial}") for path in tested}
        assert paths == {name.replace("procedures/1", "procedures/{procedure_id}") for name in named}


@pytest.mark.parametrize(("name", "role"), [(READER, "read_only"), (INSTALLER, "installer"), (NAME, "operator")])
def test_r6_procedures_take_the_roles_of_issuing_and_assigning(sign_in, services, name, role):
    services.procedures.open(SERIAL, "leaves", order(), NAME)
    client = sign_in(name)
    token = token_of(client.get("/account"))
    for path, (actions, form) in FORMS.items():
        before = services.audit.actions()[1]
        answer = client.post(path, data=form | {"form_token": token})
        if all(access.may(role, action) for action in actions):
            assert answer.status_code in (200, 303), path
        else:
            assert answer.status_code == 403 and "forbidden: " in answer.text, path
            assert services.audit.actions()[1] == before, path
    for path, actions in PAGES.items():
        allowed = all(access.may(role, action) for action in actions)
        assert (client.get(path).status_code == 200) == allowed, path
    assert (access.may(role, "assign_site"), access.may(role, "revoke")) == (role == "operator",) * 2


def test_r6_pages_offer_only_what_the_role_allows(sign_in, services):
    number = services.procedures.open(SERIAL, "joins", order(), NAME, site=NEW_SITE, contract="NEW-1").procedure.id
    reader, installer = sign_in(READER), sign_in(INSTALLER)
    path = f"{MODULE}/procedures/{number}"
    for client in (reader, installer):
        assert set(re.findall(r'method="post" action="([^"]+)"', shown(client, path))) == {"/logout"}
        assert f"{path}/credential" not in shown(client, path)
    # Where somebody moves to is not for installers, as the page that assigns it is not.
    assert NEW_SITE in shown(reader, path) and NEW_SITE not in shown(installer, path)
    assert "/procedures/new" not in shown(reader, MODULE)
    services.procedures.call_off(SERIAL, number, NAME)
    form = shown(installer, f"{MODULE}/procedures/new")
    assert "New equipment" in form and "kind=joins" not in form and "kind=equipment" in form


def test_r6_forged_and_repeated_forms_open_nothing(sign_in, services):
    client = sign_in()
    for path, (_, form) in FORMS.items():
        for token in ({}, {"form_token": "x" * 32}):
            answer = client.post(path, data=form | token)
            assert answer.status_code == 403 and "out of date" in answer.text
    assert services.procedures.listed()[1] == 0 and services.audit.actions()[0][0][0].action == "log_in"
    token = token_of(client.get("/account"))
    form = form_of("joins") | {"form_token": token, "once": "the same"}
    assert client.post(f"{MODULE}/procedures", data=form).status_code == 200
    answer = client.post(f"{MODULE}/procedures", data=form)
    assert answer.headers["location"].endswith("notice=procedure_open")
    again = f"{MODULE}/procedures/1/credential"
    assert client.post(again, data=form | {"once": "the same"}).headers["location"].endswith("notice=repeated")
    assert len(services.credentials.of_module(1)) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/procedures?page=-1&past=x", 200),
        (f"{MODULE}/procedures/new?kind=sold", 404),
        ("/modules/NOBODY/procedures/new", 404),
        (f"{MODULE}/procedures/7", 404),
        (f"{MODULE}/procedures/99999999999999999999", 404),
        (f"{MODULE}/procedures/x", 404),
        ("/modules/INK-2/procedures/1", 404),
    ],
)
def test_r27_odd_addresses_of_procedures_get_a_page(sign_in, services, path, status):
    services.procedures.open(SERIAL, "leaves", order(), NAME)
    services.fleet.register("INK-2", "another", NAME)
    answer = sign_in().get(path)
    assert answer.status_code == status and "<h1>" in answer.text


def test_r24_text_in_every_field_of_a_procedure_stays_text(sign_in, services):
    client = sign_in()
    token = token_of(client.get("/account"))
    for typed in HOSTILE:
        for name in ("kind", *PLANS, "days", "channel", "recipient", "language", "lifetime", "once", "relay"):
            form = form_of("joins") | {name: typed, "form_token": token}
            answer = client.post(f"{MODULE}/procedures", data=form)
            check(answer, (name, typed))
            if answer.status_code == 422 and name in ("contract", "recipient", "lifetime") and typed.isprintable():
                assert typed.strip() in html.unescape(answer.text)
            for procedure in services.procedures.of_module(1, 1):  # signs that are thrown away: relay, once
                if procedure.status == "open":
                    services.procedures.call_off(SERIAL, procedure.id, NAME)
        check(client.get("/procedures", params={"past": typed, "page": typed}), typed)
        check(client.get(f"{MODULE}/procedures/new", params={"kind": typed}), typed)
    # What the pages show of a procedure that an operator with such a name opened for a module with such a name.
    for number, typed in enumerate(each for each in HOSTILE if each.isprintable() and len(each) <= 80):
        services.fleet.register(f"H-{number}", typed, NAME)
        opened = services.procedures.open(f"H-{number}", "leaves", order(), typed)
        services.procedures.finish(f"H-{number}", opened.procedure.id, typed)
        module = f"/modules/H-{number}"
        for path in (f"{module}/procedures/{opened.procedure.id}", module, "/procedures?past=1"):
            answer = client.get(path)
            check(answer, (path, typed))
            assert typed in html.unescape(answer.text)


def test_s20_servers_housekeeping_undoes_what_is_overdue(services, clock):
    services.procedures.open(SERIAL, "joins", order(), NAME, site=NEW_SITE, contract="NEW-1", days=1)
    clock.advance(DAY_S)

    async def serve():
        looked, to_app, from_app = asyncio.Event(), asyncio.Queue(), asyncio.Queue()
        loop, undo = asyncio.get_running_loop(), services.procedures.undo_overdue

        def look():
            undo()
            loop.call_soon_threadsafe(looked.set)

        services.procedures.undo_overdue = look
        app = module_app(services, None)
        running = asyncio.create_task(app({"type": "lifespan", "state": {}}, to_app.get, from_app.put))
        await to_app.put({"type": "lifespan.startup"})
        await asyncio.wait_for(looked.wait(), 60)
        await to_app.put({"type": "lifespan.shutdown"})
        await running

    asyncio.run(serve())
    assert services.procedures.of_module(1)[0].status == "undone"
