"""Procedures at the server: what a report switches and what it does not, deadlines, several at once. Both databases.

docs/lifecycle.md, "At the console".
"""

import contextlib
import json
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy
from sqlalchemy import select

from tests.postgres import database_url, module_database_url  # noqa: F401  fixtures
from tests.pps_client import START, certificate_request, new_key, record
from tests.readings_api import serving
from tests.readings_sender import Sender, slot_body, slot_of
from tests.readings_worker import identity_of
from tools.pps.ca import CertificateAuthority
from tools.pps.db import Database
from tools.pps.errors import ServiceError
from tools.pps.models import Credential, EnrolmentCode, Message, Module, Procedure, Site
from tools.pps.services import build_services, plans
from tools.pps.services.credentials import EVERYTHING, CredentialOrder, Scope
from tools.pps.services.enrolment import Endpoints, code_key, request_mac
from tools.pps.services.writes import Writes
from tools.setup import ROOT

NOW_SLOT = slot_of(START)
DAY_S = 24 * 3600
OPERATOR = "suzuki"
SCOPES = {
    # docs/lifecycle.md: what each flow needs, and nothing else
    "new_resident": Scope(change=("customer",), delete=("customer", "usage_history")),
    "joins": Scope(change=("customer", "connection")),
    "leaves": Scope(change=("customer", "connection")),
    "moved": Scope(change=("customer", "site")),
    "equipment": Scope(change=("capacity",)),
}


@pytest.fixture(scope="module")
def api(module_database_url):  # noqa: F811
    with serving(module_database_url) as api:
        yield api


@pytest.fixture(scope="module")
def services(api):
    """As the server has them, with a CA; on the database of `api`."""
    endpoints = Endpoints("https://pps.example", "https://pps.example")
    return build_services(api.database, CertificateAuthority.create("PPS CA"), endpoints, clock=api.clock)


class House:
    """A module of this test's own, with one report for the site and contract that an operator assigned to it."""

    def __init__(self, api, services, name, assigned=True):
        number = zlib.crc32(name.encode())
        self.api, self.services, self.serial = api, services, f"M{number:08X}"
        self.old = (f"1{number:021d}", f"OLD-{number}")
        self.new = (f"2{number:021d}", f"NEW-{number}")
        self.sender = Sender(self.serial.encode(), site=self.old[0], contract=self.old[1])
        self.id = api.register(self.serial, self.sender)
        self.identity = identity_of(self.serial)
        if assigned:
            services.sites.assign(self.serial, *self.old, OPERATOR)
        self._slot = NOW_SLOT - 100
        if assigned is not None:
            assert self.report(self.old) == 1

    def open(self, kind, order=None, **plan):
        for name, value in zip(("site", "contract"), self.new, strict=True):
            if name in plans.KINDS[kind].plans:
                plan.setdefault(name, value)
        order = order or CredentialOrder("email", "a@example.com")
        return self.services.procedures.open(self.serial, kind, order, OPERATOR, **plan)

    def report(self, pair, status=200, body=None):
        """A report of the next half hour for a site and a contract; `through` or the error code."""
        ring = self.sender.copy()
        ring.site, ring.contract = pair
        ring.append(body or slot_body(self._slot))
        answer = self.api.report(self.serial, ring.request(ring.head, ring.head, oldest=ring.head), status)
        if status == 200:
            self.sender, self._slot = ring, self._slot + 1
        return answer

    def take(self, sequence=0, revoked=0):
        """The module polls, and takes what there is; its answer."""
        offer = self.services.credentials.offer(self.identity, sequence, revoked)
        if offer.credential is not None:
            self.services.credentials.acknowledge(self.identity, offer.credential["sequence"], "accepted", None)
        return offer

    def note(self, number, **changed):
        """A record of the module's audit trail."""
        self.services.audit.take(self.identity, [record(number, **({"time": self.api.clock.now} | changed))])

    @property
    def assigned(self):
        with self.api.database.read() as session:
            site = session.scalar(select(Site).where(Site.module_id == self.id, Site.until_at.is_(None)))
        return site and (site.number, site.contract)

    @property
    def procedure(self):
        return self.services.procedures.of_module(self.id, 1)[0]

    @property
    def alarms(self):
        return [alarm.detail["what"] for alarm in self.api.alarms(self.id, "readings_foreign")]

    def steps(self, procedure_id):
        steps = self.services.procedures.look(self.serial, procedure_id).steps
        return {step.key: step.at for step in steps}

    def actions(self):
        return [action.action for action, _ in self.services.audit.actions(module_id=self.id)[0]]

    def all(self, model):
        with self.api.database.read() as session:
            return list(session.scalars(select(model).where(model.module_id == self.id).order_by(model.id)))


@pytest.fixture
def house(api, services, request):
    api.clock.now = START
    return House(api, services, request.node.name)


def refused(work, code, field=None):
    with pytest.raises(ServiceError) as caught:
        work()
    assert (caught.value.code, caught.value.field) == (code, field)


# What a report does


@pytest.mark.parametrize("kind", ["new_resident", "joins", "moved"])
def test_s20_first_report_for_what_is_planned_makes_it_the_assignment(api, house, kind):
    opened = house.open(kind)
    planned = {"new_resident": (house.old[0], house.new[1]), "joins": house.new, "moved": (house.new[0], house.old[1])}
    third = [("9" * 22, house.old[1]), (house.old[0], "THIRD")]
    if kind == "joins":  # neither half of what is planned goes with half of what is there
        third += [(house.new[0], house.old[1]), (house.old[0], house.new[1])]
    assert house.report(house.old) == 2
    for pair in third:
        assert house.report(pair, 403) == "forbidden"
    assert house.alarms and house.assigned == house.old and house.procedure.status == "open"
    api.clock.advance(60)
    assert house.report(planned[kind]) == 3
    assert house.assigned == planned[kind]
    assert (house.procedure.status, house.procedure.closed_by) == ("done", "server")
    assert house.steps(opened.procedure.id)["reported"] == START + 60
    former, current = house.all(Site)
    assert former.until_at == current.since_at == START + 60 and current.assigned_by == OPERATOR
    assert house.report(house.old, 403) == "forbidden"
    assert house.report(planned[kind]) == 4
    assert house.actions()[:1] == ["procedure_done"]


def test_s20_refused_report_for_what_is_planned_leaves_assignment_and_procedure(house, monkeypatch):
    house.open("joins")
    # It fails behind the switch: a half hour that is here already, then one that cannot be stored at all.
    assert house.report(house.new, 409, slot_body(NOW_SLOT - 100)) == "conflict"

    def fail(writes):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(Writes, "flush", fail)
        assert house.report(house.new, 500) == "internal"
    assert house.assigned == house.old and house.procedure.status == "open"
    assert len(house.all(Site)) == 1 and "procedure_done" not in house.actions()
    assert house.report(house.new) == 2
    assert house.assigned == house.new and house.procedure.status == "done"


def test_s20_worker_that_is_killed_within_the_switch_leaves_assignment_and_procedure(
    house,
    module_database_url,  # noqa: F811
):
    house.open("new_resident")
    planned = (house.old[0], house.new[1])
    ring = house.sender.copy()
    ring.contract = planned[1]
    ring.append(slot_body(NOW_SLOT - 50))
    text = json.dumps(ring.request(2, 2, oldest=2)) + "\n"
    command = [sys.executable, "-m", "tests.readings_worker", module_database_url, house.serial, "0", "1", str(START)]
    worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        worker.stdin.write(text.encode())
        worker.stdin.close()
        assert worker.stdout.readline() == b"stopped\n"
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
    assert house.assigned == house.old and house.procedure.status == "open"
    assert house.report(house.old) == 2 and house.report(planned) == 3
    assert house.assigned == planned and house.procedure.status == "done"


def test_s20_module_that_nothing_was_assigned_to_keeps_what_it_said_while_a_procedure_is_open(api, services):
    api.clock.now = START
    house = House(api, services, "said it itself", assigned=False)
    opened = house.open("equipment")
    assert house.report((house.old[0], "ANOTHER"), 403) == "forbidden"
    services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
    assert house.report((house.old[0], "ANOTHER")) == 2  # as before: nobody else's
    assert house.all(Site)[-1].assigned_by is None


def test_s20_module_without_a_site_reports_for_what_is_planned_alone(api, services):
    api.clock.now = START
    house = House(api, services, "new here", assigned=None)
    house.open("joins")
    for pair in (house.old, (house.new[0], house.old[1]), (house.old[0], house.new[1])):
        assert house.report(pair, 403) == "forbidden"
    assert house.report(house.new) == 1 and house.procedure.status == "done"
    other = House(api, services, "new, too", assigned=None)
    other.open("new_resident")
    assert other.report((house.new[0], other.new[1]), 403) == "forbidden"  # the site is another module's
    assert other.report((other.old[0], other.old[1]), 403) == "forbidden"
    assert other.report((other.old[0], other.new[1])) == 1 and other.procedure.status == "done"


def test_s20_what_is_planned_for_one_module_no_other_says_of_itself(api, services, house):
    house.open("joins")
    other = House(api, services, "somebody else", assigned=False)
    for pair in ((house.new[0], other.new[1]), (other.new[0], house.new[1])):
        assert other.report(pair, 403) == "forbidden"
    refused(lambda: services.sites.assign(other.serial, house.new[0], "X", OPERATOR), "conflict", "site")
    refused(lambda: other.open("moved", site=house.new[0]), "conflict", "site")
    refused(lambda: other.open("moved", site=house.old[0]), "conflict", "site")
    assert other.report(other.old) == 2


def test_s20_assignment_stays_as_it_is_while_a_procedure_is_open(services, house):
    opened = house.open("leaves")
    refused(lambda: services.sites.assign(house.serial, *house.new, OPERATOR), "conflict", "procedure")
    refused(lambda: services.sites.release(house.serial, OPERATOR), "conflict", "procedure")
    services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
    services.sites.assign(house.serial, *house.new, OPERATOR)
    assert house.assigned == house.new


# What it takes, and what it gives back


@pytest.mark.parametrize("kind", SCOPES)
def test_r11_credential_has_exactly_the_flows_scope(services, house, kind):
    order = CredentialOrder("sms", "09012345678", "en", scope=EVERYTHING, lifetime_s=None)
    opened = house.open(kind, order, days=2)
    wire = house.take().credential
    assert wire["scope"] == SCOPES[kind].as_dict() and plans.KINDS[kind].scope == SCOPES[kind]
    assert wire["lifetime_s"] == 2 * DAY_S  # not beyond the deadline
    assert (opened.code is not None) == (kind == "joins")
    (message,) = house.all(Message)
    assert (message.channel, message.recipient, message.language) == ("sms", "09012345678", "en")
    again = services.procedures.issue_again(house.serial, opened.procedure.id, order, OPERATOR)
    wire = house.take(opened.issued.sequence).credential
    assert wire["sequence"] == again.sequence and wire["scope"] == SCOPES[kind].as_dict()
    assert house.actions()[0] == "issue" and "procedure_opened" in house.actions()


def test_s20_joining_module_enrols_with_the_code_and_is_done_when_it_reports(api, services, house):
    opened = house.open("joins")
    assert house.steps(opened.procedure.id)["enrolled"] is None
    api.clock.advance(60)
    request_der, nonce = certificate_request(new_key(), house.serial), b"nonce of a modul"
    mac = request_mac(code_key(opened.code, house.serial), house.serial, nonce, request_der)
    services.enrolment.enrol(house.serial, nonce, request_der, mac)
    assert house.steps(opened.procedure.id)["enrolled"] == START + 60
    assert house.report(house.new) == 2 and house.procedure.status == "done"
    assert services.enrolment.newest_code(house.id).status == "used"


@pytest.mark.parametrize("ended_by", ["deadline", "call off"])
def test_s20_undone_drops_the_plan_and_revokes_credential_and_code(api, services, house, ended_by):
    opened = house.open("joins", days=3)
    house.take()
    house.note(1, event="success", sequence=1)
    if ended_by == "deadline":
        api.clock.advance(3 * DAY_S - 1)
        services.procedures.undo_overdue()
        assert house.procedure.status == "open"
        api.clock.advance(1)
        assert house.report(house.new, 403) == "forbidden"  # the deadline holds before anybody has looked
        services.procedures.undo_overdue()
        expected, by = "undone", "server"
    else:
        services.procedures.call_off(house.serial, opened.procedure.id, "tanaka")
        expected, by = "called_off", "tanaka"
    assert (house.procedure.status, house.procedure.closed_by) == (expected, by)
    assert house.actions()[0] == f"procedure_{expected}"
    assert house.take(1).revoked == 1
    assert services.enrolment.newest_code(house.id).status == "withdrawn"
    assert house.all(EnrolmentCode)[0].key is None
    (credential,) = house.all(Credential)
    assert credential.status == "revoked" and credential.w0 is None
    assert house.assigned == house.old
    assert house.report(house.new, 403) == "forbidden" and house.report(house.old) == 2
    assert house.steps(opened.procedure.id)["unlocked"] is not None  # what was done stands, and is said
    refused(lambda: services.procedures.call_off(house.serial, opened.procedure.id, "x"), "conflict", "procedure")
    services.procedures.undo_overdue()
    assert house.actions().count(f"procedure_{expected}") == 1
    house.open("moved")  # there is room for another, which has a number of its own
    refused(lambda: services.procedures.call_off(house.serial, opened.procedure.id, "x"), "conflict", "procedure")
    assert house.procedure.status == "open"


def test_r8_credential_that_the_module_never_had_takes_no_other_with_it(services, house):
    services.credentials.issue(house.serial, CredentialOrder("email", "a@example.com"), OPERATOR)
    house.take()
    opened = house.open("equipment")
    services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
    offer = house.take(1)
    assert offer.credential is None and offer.revoked == 0
    assert [each.status for each in house.all(Credential)] == ["accepted", "revoked"]
    assert house.all(Message)[-1].text is None


def test_r8_undone_takes_back_every_credential_of_the_procedure_and_leaves_later_ones(services, house):
    order = CredentialOrder("email", "a@example.com")
    opened = house.open("moved", order)
    house.take()
    services.procedures.issue_again(house.serial, opened.procedure.id, order, OPERATOR)
    services.credentials.issue(house.serial, order, OPERATOR)  # from the module's page, for something else
    services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
    assert house.take(1).revoked == 1
    assert [each.status for each in house.all(Credential)] == ["revoked", "replaced", "accepted"]


def test_r4_new_resident_done_takes_the_former_ones_address_away(services, house):
    services.contacts.set(house.serial, "email", "former@example.com", "ja", OPERATOR)
    opened = house.open("new_resident")
    services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
    assert services.fleet.module(house.serial).contact_address == "former@example.com"
    house.open("new_resident")
    house.report((house.old[0], house.new[1]))
    module = services.fleet.module(house.serial)
    assert module.contact_channel is module.contact_address is module.contact_language is None
    assert house.actions()[:2] == ["contact_removed", "procedure_done"]
    services.contacts.set(house.serial, "email", "new@example.com", "ja", OPERATOR)
    house.open("moved")
    house.report((house.new[0], house.new[1]))
    assert services.fleet.module(house.serial).contact_address == "new@example.com"


def test_s20_leaving_is_done_when_an_operator_says_so_and_releases_the_assignment(api, services, house):
    opened = house.open("leaves")
    records = api.values(house.id)
    assert house.report(house.old) == 2 and house.report(house.new, 403) == "forbidden"
    services.procedures.finish(house.serial, opened.procedure.id, "tanaka")
    assert house.assigned is None and (house.procedure.status, house.procedure.closed_by) == ("done", "tanaka")
    assert len(api.values(house.id)) == len(records) + 1
    assert house.steps(opened.procedure.id)["left"] == START
    refused(lambda: services.procedures.finish(house.serial, opened.procedure.id, "x"), "conflict", "procedure")
    for kind in ("new_resident", "moved", "equipment", "joins"):
        opened = house.open(kind)
        refused(lambda number=opened.procedure.id: services.procedures.finish(house.serial, number, "x"), "conflict")
        services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)


def test_r26_new_equipment_is_done_by_the_audit_trail_alone(api, services, house):
    services.credentials.issue(house.serial, CredentialOrder("email", "a@example.com"), OPERATOR)
    house.take()
    opened = house.open("equipment")
    house.take(1)
    api.clock.advance(60)
    others = (
        {"sequence": 1, "event": "change", "fields": ["pv_capacity_w"]},  # another credential's
        {"sequence": 2, "event": "change", "fields": ["address"]},
        {"sequence": 2, "event": "delete", "subject": "capacity", "fields": ["pv_capacity_w"]},
        {"sequence": 2, "event": "change", "fields": ["pv_capacity_w"], "time": START - 1},  # another PPS's number 2
        {"sequence": 2, "event": "success", "fields": []},
    )
    for number, changed in enumerate(others, 1):
        house.note(number, **changed)
        assert house.procedure.status == "open", changed
    assert house.steps(opened.procedure.id) == {
        "sent": START,
        "taken": START,
        "unlocked": START + 60,
        "capacity": None,
    }
    house.note(6, sequence=2, event="change", fields=["battery_capacity_wh"])
    assert house.procedure.status == "done"
    assert house.steps(opened.procedure.id)["capacity"] == START + 60
    house.note(7, sequence=2, event="change", fields=["battery_capacity_wh"])
    assert house.actions().count("procedure_done") == 1


def test_r26_steps_are_what_the_audit_trail_says(api, services, house):
    opened = house.open("new_resident")
    assert list(house.steps(opened.procedure.id)) == ["sent", "taken", "unlocked", "cleared", "entered", "reported"]
    assert house.steps(opened.procedure.id)["taken"] is None
    house.take()
    for number, changed in enumerate(
        (
            {"event": "success", "fields": []},
            {"event": "delete", "subject": "customer", "fields": ["contract_number"]},
            {"event": "change", "fields": ["contract_number"], "time": None},
        ),
        1,
    ):
        api.clock.advance(1)
        house.note(number, sequence=1, **changed)
    steps = house.steps(opened.procedure.id)
    assert steps == {
        "sent": START,
        "taken": START,
        "unlocked": START + 1,
        "cleared": START + 2,
        "entered": START + 3,
        "reported": None,
    }
    services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
    refusing = house.open("moved")
    wire = services.credentials.offer(house.identity, 1, 1).credential
    services.credentials.acknowledge(house.identity, wire["sequence"], "refused", "bad_l")
    steps = {step.key: step for step in services.procedures.look(house.serial, refusing.procedure.id).steps}
    assert (steps["taken"].at, steps["taken"].problem) == (None, "refused")


# What is refused


def test_s20_plan_that_cannot_be_is_refused_with_its_field(services, house):
    order = CredentialOrder("email", "a@example.com")
    for kind, plan, field in (
        ("sold", {}, "kind"),
        ("new_resident", {}, "contract"),
        ("new_resident", {"contract": "lower"}, "contract"),
        ("new_resident", {"contract": "C\n"}, "contract"),
        ("new_resident", {"contract": "C", "site": "1" * 22}, "site"),
        ("joins", {"contract": "C", "site": "1" * 21}, "site"),
        ("joins", {"contract": "C"}, "site"),
        ("moved", {"site": "١" * 22}, "site"),
        ("equipment", {"contract": "C"}, "contract"),
        ("leaves", {"days": 0}, "days"),
        ("leaves", {"days": 31}, "days"),
        ("new_resident", {"contract": house.old[1]}, "same_contract"),
        ("moved", {"site": house.old[0]}, "same_site"),
        ("joins", {"site": house.old[0], "contract": house.old[1]}, "same_contract"),
    ):

        def attempt(kind=kind, plan=plan):
            services.procedures.open(house.serial, kind, order, OPERATOR, **plan)

        refused(attempt, "bad_request", field)
    refused(lambda: services.procedures.open("NOBODY", "leaves", order, OPERATOR), "unknown_module")
    opened = house.open("leaves", days=30)
    other = House(house.api, services, "of another house")
    for number in (opened.procedure.id, 2**31 - 1):
        refused(lambda number=number: services.procedures.look(other.serial, number), "not_found")
        refused(lambda number=number: services.procedures.call_off(other.serial, number, OPERATOR), "not_found")
    refused(lambda: house.open("equipment"), "conflict", "procedure")
    assert [each.kind for each in house.all(Procedure)] == ["leaves"] and len(house.all(Credential)) == 1


def test_s20_overdue_procedure_makes_room_for_the_next(api, services, house):
    house.open("joins", days=1)
    house.take()
    api.clock.advance(DAY_S)
    house.open("moved")
    assert [each.status for each in house.all(Procedure)] == ["undone", "open"]
    assert [each.status for each in house.all(Credential)] == ["revoked", "waiting"]
    assert services.enrolment.newest_code(house.id).status in ("withdrawn", "expired")
    assert house.report((house.new[0], house.old[1])) == 2 and house.procedure.status == "done"


@pytest.mark.parametrize("broken", ["note", "close", "add_code"])
def test_s20_what_breaks_off_in_between_leaves_nothing_half_done(services, house, monkeypatch, broken):
    def fail(*arguments, **options):
        raise RuntimeError

    opened = house.open("joins") if broken == "close" else None
    where = "tools.pps.services.procedures.add_code" if broken == "add_code" else f"tools.pps.services.plans.{broken}"
    before = [len(house.all(model)) for model in (Procedure, Credential, Message, EnrolmentCode)]
    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(RuntimeError):
            if opened:
                services.procedures.call_off(house.serial, opened.procedure.id, OPERATOR)
            else:
                house.open("joins")
    assert [len(house.all(model)) for model in (Procedure, Credential, Message, EnrolmentCode)] == before
    if opened:
        assert services.enrolment.newest_code(house.id).status == "open"
        assert [each.status for each in house.all(Credential)] == ["waiting"]
        assert house.procedure.status == "open"
    else:
        house.open("joins")


# Several at once


@contextlib.contextmanager
def workers(url, clock, count):
    """Services of several processes' own."""
    databases = [Database(url) for _ in range(count)]
    authority = CertificateAuthority.create("PPS CA")
    try:
        yield [build_services(each, authority, Endpoints("https://a", "https://a"), clock=clock) for each in databases]
    finally:
        for each in databases:
            each.close()


def at_once(*works):
    """What each says: "ok", or (code, field) of its refusal."""

    def run(work):
        try:
            work()
        except ServiceError as error:
            return error.code, error.field
        return "ok"

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(run, work) for work in works]]


def test_s20_of_two_operators_at_once_one_is_told_of_a_conflict(api, services, house, module_database_url):  # noqa: F811
    order = CredentialOrder("email", "a@example.com")
    other = House(api, services, "the other of two")
    with workers(module_database_url, api.clock, 2) as both:
        results = at_once(*(lambda s=s: s.procedures.open(house.serial, "leaves", order, OPERATOR) for s in both))
        assert sorted(results, key=str) == [("conflict", "procedure"), "ok"]
        assert len(house.all(Procedure)) == len(house.all(Credential)) == 1
        number = house.procedure.id
        ends = (lambda: both[0].procedures.call_off(house.serial, number, "a"),)
        ends += (lambda: both[1].procedures.finish(house.serial, number, "b"),)
        assert sorted(at_once(*ends), key=str) == [("conflict", "procedure"), "ok"]
        assert (house.assigned is None) == (house.procedure.status == "done")
        # One site for two modules.
        site = f"3{house.id:021d}"
        results = at_once(
            lambda: both[0].procedures.open(house.serial, "joins", order, "a", site=site, contract="A"),
            lambda: both[1].procedures.open(other.serial, "joins", order, "b", site=site, contract="B"),
        )
        assert sorted(results, key=str) == [("conflict", "site"), "ok"]


def test_s20_report_and_call_off_at_once_leave_one_of_the_two(api, services, house, module_database_url):  # noqa: F811
    with workers(module_database_url, api.clock, 2) as both:
        for turn in range(4):
            site, old = f"4{house.id:020d}{turn}", house.assigned
            number = house.open("moved", site=site).procedure.id
            statuses = []

            def report(site=site, old=old, statuses=statuses):
                ring = house.sender.copy()
                ring.site, ring.contract = site, old[1]
                ring.append(slot_body(NOW_SLOT - 60 + len(house.sender.bodies)))
                status, _ = api.post_any(house.serial, ring.request(ring.head, ring.head, oldest=ring.head))
                statuses.append(status)
                if status == 200:
                    house.sender = ring

            (ended,) = at_once(lambda n=number: both[0].procedures.call_off(house.serial, n, "a"), report)[:1]
            done = house.procedure.status == "done"
            assert statuses == [200 if done else 403] and (ended == "ok") != done
            assert house.assigned == ((site, old[1]) if done else old)


# The tables


def test_s20_tables_come_and_go_and_leave_the_other_rows(database_url):  # noqa: F811
    database = Database(database_url)
    database.migrate()
    with database.write() as session:
        session.add(Module(id=1, serial="A", name="a house", registered_at=0, highest={}))
    row = {"module_id": 1, "kind": "leaves", "opened_at": 0, "opened_by": "x", "deadline_at": 1}
    for _ in range(2):
        with database.write() as session:
            session.add(Procedure(status="open", **row))
            session.add(Procedure(status="done", **row))
        with pytest.raises(sqlalchemy.exc.IntegrityError), database.write() as session:
            session.add(Procedure(status="open", **row))
        database.migrate(to="0004")
        with database.read() as session:
            assert session.scalar(sqlalchemy.text("SELECT serial FROM modules")) == "A"
        assert not {"procedures", "procedure_credentials"} & set(sqlalchemy.inspect(database.engine).get_table_names())
        database.migrate()
    database.close()
