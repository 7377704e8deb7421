"""What the server promises a module: time, credentials, revocation, alarms, audit trail. Over real TLS."""

import asyncio
import json
import re
import zlib
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import TypeAdapter

from tests.pps_client import (
    Clock,
    TestModule,
    ack,
    certificate_request,
    hello,
    new_key,
    poll,
    post,
    record,
    records,
    running_server,
)
from tools.pps import schema
from tools.pps.errors import ServiceError
from tools.pps.server import PpsServer
from tools.pps.services.credentials import Scope

pytestmark = pytest.mark.asyncio(loop_scope="module")

API_DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "api.md"


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory, clock):
    async with running_server(tmp_path_factory.mktemp("pps"), clock) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def module(server, request, tmp_path):
    serial = f"API-{zlib.crc32(request.node.name.encode()):08x}"
    server.register_module(serial, "a house")
    module = TestModule(server, tmp_path, serial)
    yield module
    await module.close()


def alarms(server, module, kind):
    """Alarms of a kind that the server has raised for a module."""
    found = server.services.fleet.module(module.serial)
    return [alarm for alarm in server.services.fleet.alarms(found.id) if alarm.kind == kind]


async def fetch(module, client=None, sequence=0):
    """Poll for a credential that is there, and return it."""
    answer = await post(client or module.connection, "poll", poll(sequence=sequence))
    assert answer["credential"] is not None
    return answer["credential"]


# hello


async def test_s15_nonce_comes_back_with_the_servers_time(module, clock):
    for nonce in ("00" * 16, "ff" * 16):
        answer = await post(module.connection, "hello", hello(module.serial) | {"nonce": nonce})
        assert (answer["nonce"], answer["now"]) == (nonce, clock.now)


async def test_s10_highest_state_is_kept_and_returned(module):
    await post(module.connection, "hello", hello(module.serial))
    answer = await post(module.connection, "hello", hello(module.serial, generation=5, boot_count=9))
    assert answer["highest"] == {
        "generation": 7,
        "attempts": 12,
        "attempts_number": 40,
        "audit_number": 33,
        "boot_count": 9,
    }


@pytest.mark.parametrize("counter", ["generation", "attempts", "attempts_number", "audit_number", "boot_count"])
async def test_s10_step_back_of_any_counter_raises_one_alarm(server, module, counter):
    await post(module.connection, "hello", hello(module.serial))
    before = hello(module.serial)["state"][counter]
    for _ in range(2):
        await post(module.factory_identity, "hello", hello(module.serial, **{counter: before - 1}))
    (alarm,) = alarms(server, module, "rollback")
    assert alarm.detail == {counter: [before, before - 1]}
    assert alarm.over_at is None
    await post(module.connection, "hello", hello(module.serial))
    (alarm,) = alarms(server, module, "rollback")
    assert alarm.over_at is not None and alarm.acknowledged_at is None


async def test_s10_steady_and_growing_state_raise_none(server, module):
    for step in (0, 0, 1, 5):
        await post(module.connection, "hello", hello(module.serial, generation=7 + step))
    assert alarms(server, module, "rollback") == []


async def test_r3_tamper_raises_an_alarm_that_ends_with_it(server, module):
    await post(module.factory_identity, "hello", hello(module.serial, tamper="vault_seal"))
    await post(module.factory_identity, "hello", hello(module.serial, tamper="vault_seal"))
    (alarm,) = alarms(server, module, "tamper")
    assert (alarm.detail, alarm.over_at) == ({"reason": "vault_seal"}, None)
    await post(module.connection, "hello", hello(module.serial))
    (alarm,) = alarms(server, module, "tamper")
    assert alarm.over_at is not None


async def test_s10_operator_lets_a_module_start_anew(server, module):
    await post(module.connection, "hello", hello(module.serial))
    server.services.fleet.forget_highest(module.serial, "an operator")
    answer = await post(module.connection, "hello", hello(module.serial, generation=1, audit_number=2))
    assert answer["highest"]["generation"] == 1
    assert alarms(server, module, "rollback") == []


async def test_s19_wipe_under_a_recover_credential_starts_anew_once(server, module):
    await post(module.connection, "hello", hello(module.serial))
    server.issue_credential(module.serial, scope=Scope(recover=True))
    sequence = (await fetch(module, module.factory_identity))["sequence"]
    await post(module.factory_identity, "ack", ack(sequence))
    wiped = {
        "issuer": "factory_identity",
        "sequence": sequence,
        "successes": 1,
        "failures": 0,
        "changes": 1,
        "ended": "wiped",
    }
    answer = await post(module.factory_identity, "hello", hello(module.serial, generation=1, credential=wiped))
    assert answer["highest"]["generation"] == 1
    assert alarms(server, module, "rollback") == []
    await post(module.factory_identity, "hello", hello(module.serial, generation=9, credential=wiped))
    await post(module.factory_identity, "hello", hello(module.serial, generation=1, credential=wiped))
    assert alarms(server, module, "rollback")[0].detail == {"generation": [9, 1]}


async def test_s10_wipe_that_no_recover_credential_allowed_is_a_rollback(server, module):
    await post(module.connection, "hello", hello(module.serial))
    server.issue_credential(module.serial)
    sequence = (await fetch(module))["sequence"]
    await post(module.connection, "ack", ack(sequence))
    wiped = {
        "issuer": "connection",
        "sequence": sequence,
        "successes": 1,
        "failures": 0,
        "changes": 1,
        "ended": "wiped",
    }
    await post(module.connection, "hello", hello(module.serial, generation=1, credential=wiped))
    assert len(alarms(server, module, "rollback")) == 1


async def test_r8_reported_use_is_kept_with_the_credential(server, module):
    server.issue_credential(module.serial)
    sequence = (await fetch(module))["sequence"]
    await post(module.connection, "ack", ack(sequence))
    report = {
        "issuer": "connection",
        "sequence": sequence,
        "successes": 2,
        "failures": 1,
        "changes": 7,
        "ended": None,
    }
    await post(module.connection, "hello", hello(module.serial, credential=report))
    found = server.services.fleet.module(module.serial)
    (credential,) = server.services.credentials.of_module(found.id)
    assert (credential.successes, credential.failures, credential.changes) == (2, 1, 7)
    assert credential.status == "accepted"
    await post(module.connection, "hello", hello(module.serial, credential=report | {"ended": "expired"}))
    (credential,) = server.services.credentials.of_module(found.id)
    assert (credential.status, credential.ended) == ("ended", "expired")


async def test_s7_report_of_another_servers_credential_changes_nothing(server, module):
    server.issue_credential(module.serial)
    sequence = (await fetch(module))["sequence"]
    await post(module.connection, "ack", ack(sequence))
    report = {
        "issuer": "factory_identity",
        "sequence": sequence,
        "successes": 9,
        "failures": 0,
        "changes": 0,
        "ended": "expired",
    }
    await post(module.connection, "hello", hello(module.serial, credential=report))
    found = server.services.fleet.module(module.serial)
    (credential,) = server.services.credentials.of_module(found.id)
    assert (credential.status, credential.successes) == ("accepted", 0)


# poll and ack


async def test_r7_credential_travels_as_documented(server, module):
    scope = Scope(see=("site", "customer"), change=("customer",), recover=True)
    issued = server.issue_credential(
        module.serial,
        scope=scope,
        max_successes=4,
        max_failures=6,
        max_changes=9,
        lifetime_s=7200,
        password_digits=12,
        iterations=1500,
    )
    credential = await fetch(module)
    assert {name: credential[name] for name in credential if name not in ("w0", "l", "salt")} == {
        "sequence": issued.sequence,
        "iterations": 1500,
        "password_digits": 12,
        "lifetime_s": 7200,
        "max_successes": 4,
        "max_failures": 6,
        "max_changes": 9,
        "scope": {"see": ["customer", "site"], "change": ["customer"], "delete": [], "recover": True},
    }
    assert re.fullmatch("[0-9]{8}", issued.id) and re.fullmatch("[0-9]{12}", issued.password)


@pytest.mark.parametrize(("channel", "lifetime_s"), [("email", 86400), ("sms", 600)])
async def test_r8_lifetime_follows_the_channel(server, module, channel, lifetime_s):
    server.issue_credential(module.serial, channel=channel)
    credential = await fetch(module)
    assert credential["lifetime_s"] == lifetime_s
    assert (credential["max_successes"], credential["max_failures"], credential["max_changes"]) == (3, 5, 20)


async def test_r8_lifetime_can_be_none(server, module):
    server.issue_credential(module.serial, lifetime_s=None)
    assert (await fetch(module))["lifetime_s"] is None


async def _waiting_poll(server, module, client=None, **body):
    """A poll that the server has begun to wait for, as a task."""
    found = server.services.fleet.module(module.serial)
    task = asyncio.create_task(post(client or module.connection, "poll", poll(wait_s=55, **body)))
    while found.id not in server.services.wakeups.waiting():
        await asyncio.sleep(0.01)
    return task


async def test_r7_waiting_poll_gets_a_credential_at_once(server, module, monkeypatch):
    monkeypatch.setattr(server.services.wakeups, "compare", lambda versions: None)  # the event alone wakes it
    task = await _waiting_poll(server, module)
    issued = await asyncio.to_thread(server.issue_credential, module.serial)
    answer = await asyncio.wait_for(task, 40)
    assert answer["credential"]["sequence"] == issued.sequence


async def test_r8_waiting_poll_gets_a_revocation_at_once(server, module):
    server.issue_credential(module.serial)
    sequence = (await fetch(module))["sequence"]
    await post(module.connection, "ack", ack(sequence))
    task = await _waiting_poll(server, module, sequence=sequence)
    await asyncio.to_thread(server.revoke_credentials, module.serial)
    assert await asyncio.wait_for(task, 40) == {"credential": None, "revoked": sequence, "relay": None}


async def test_r7_waiting_poll_finds_what_another_replica_issued(server, module):
    other = PpsServer(server.settings, clock=server._clock)
    task = await _waiting_poll(server, module)
    await other.start()
    try:
        issued = await asyncio.to_thread(other.issue_credential, module.serial)
        answer = await asyncio.wait_for(task, 40)
    finally:
        await other.stop()
    assert answer["credential"]["sequence"] == issued.sequence


async def test_r7_poll_with_nothing_new_ends_after_its_wait(server, module):
    assert await post(module.connection, "poll", poll()) == {"credential": None, "revoked": 0, "relay": None}
    assert await post(module.connection, "poll", poll(wait_s=1)) == {"credential": None, "revoked": 0, "relay": None}


async def test_r27_server_forgets_a_poll_whose_client_left(server, module):
    found = server.services.fleet.module(module.serial)
    task = await _waiting_poll(server, module)
    task.cancel()
    async with asyncio.timeout(60):
        while found.id in server.services.wakeups.waiting():
            await asyncio.sleep(0.01)


async def test_r27_stopping_server_answers_waiting_polls(tmp_path, clock):
    async with running_server(tmp_path / "pps", clock) as server:
        server.register_module("STOP-1", "a house")
        module = TestModule(server, tmp_path, "STOP-1")
        task = await _waiting_poll(server, module)
    assert await asyncio.wait_for(task, 40) == {"credential": None, "revoked": 0, "relay": None}
    await module.close()


async def test_s4_acknowledgement_erases_verifier_and_text_from_the_file(server, module):
    issued = server.issue_credential(module.serial)
    credential = await fetch(module)
    secrets = [bytes.fromhex(credential[name]) for name in ("w0", "l", "salt")]
    secrets += [issued.password.encode()]

    def found():
        files = server.database_path.parent.glob("pps.sqlite3*")
        content = b"".join(path.read_bytes() for path in files)
        return [secret in content for secret in secrets]

    assert found() == [True] * 4  # or the search below would prove nothing
    await post(module.connection, "ack", ack(credential["sequence"]))
    assert found() == [False] * 4


@pytest.mark.parametrize(("result", "code"), [("ignored", None), ("refused", "bad_l")])
async def test_s4_every_result_erases(server, module, result, code):
    issued = server.issue_credential(module.serial)
    sequence = (await fetch(module))["sequence"]
    await post(module.connection, "ack", ack(sequence, result, code))
    assert issued.password.encode() not in server.database_path.read_bytes()
    assert (await post(module.connection, "poll", poll()))["credential"] is None
    if result == "refused":
        (alarm,) = alarms(server, module, "credential_refused")
        assert alarm.detail == {"sequence": sequence, "code": "bad_l"}


async def test_s7_credential_is_offered_until_it_is_acknowledged(server, module):
    server.issue_credential(module.serial)
    first = await fetch(module)
    assert await fetch(module) == first
    for _ in range(2):  # repeating the acknowledgement is harmless
        assert await post(module.connection, "ack", ack(first["sequence"])) == {"ok": True}
    assert (await post(module.connection, "poll", poll()))["credential"] is None
    assert await post(module.connection, "ack", ack(first["sequence"], "refused", "bad_l")) == {"ok": True}
    found = server.services.fleet.module(module.serial)
    assert server.services.credentials.of_module(found.id)[0].status == "accepted"


async def test_s4_poll_that_has_seen_the_number_settles_a_lost_acknowledgement(server, module):
    issued = server.issue_credential(module.serial)
    sequence = (await fetch(module))["sequence"]
    assert (await post(module.connection, "poll", poll(sequence=sequence)))["credential"] is None
    assert issued.password.encode() not in server.database_path.read_bytes()


async def test_s7_acknowledgement_of_an_unknown_number_is_a_conflict(server, module):
    assert await post(module.connection, "ack", ack(1), 409) == "conflict"
    server.issue_credential(module.serial)
    assert await post(module.connection, "ack", ack(1), 409) == "conflict"  # not handed out yet
    await fetch(module)
    assert await post(module.factory_identity, "ack", ack(1), 409) == "conflict"


async def test_s7_numbers_grow_and_are_used_with_one_identity(server, module):
    first = server.issue_credential(module.serial)
    assert (await fetch(module, module.factory_identity))["sequence"] == first.sequence
    assert (await post(module.connection, "poll", poll()))["credential"] is None
    second = server.issue_credential(module.serial)
    assert second.sequence == first.sequence + 1
    assert (await fetch(module))["sequence"] == second.sequence
    assert (await post(module.factory_identity, "poll", poll()))["credential"] is None


async def test_s7_numbers_go_on_above_what_the_module_has_seen(server, module):
    server.issue_credential(module.serial)
    assert (await fetch(module, sequence=40))["sequence"] == 41
    assert server.issue_credential(module.serial).sequence == 42


async def test_r8_new_credential_replaces_the_one_that_was_not_fetched(server, module):
    former = server.issue_credential(module.serial)
    newer = server.issue_credential(module.serial)
    assert former.password.encode() not in server.database_path.read_bytes()
    assert (await fetch(module))["sequence"] == newer.sequence
    found = server.services.fleet.module(module.serial)
    statuses = [credential.status for credential in server.services.credentials.of_module(found.id)]
    assert statuses == ["offered", "replaced"]


async def test_r8_accepted_credential_is_replaced_when_the_module_has_the_new_one(server, module):
    found = server.services.fleet.module(module.serial)

    def statuses():
        return [credential.status for credential in server.services.credentials.of_module(found.id)]

    for _ in range(2):
        server.issue_credential(module.serial)
        credential = await fetch(module)
        assert statuses()[1:] in ([], ["accepted"])
        await post(module.connection, "ack", ack(credential["sequence"]))
    assert statuses() == ["accepted", "replaced"]


async def test_r8_revoked_credential_is_never_handed_out(server, module):
    issued = server.issue_credential(module.serial)
    revoked = server.revoke_credentials(module.serial)
    assert revoked == issued.sequence
    nothing = {"credential": None, "revoked": revoked, "relay": None}
    assert await post(module.connection, "poll", poll(wait_s=55)) == nothing
    assert await post(module.connection, "poll", poll(revoked=revoked)) == nothing
    assert issued.password.encode() not in server.database_path.read_bytes()
    with pytest.raises(ServiceError) as caught:
        server.revoke_credentials(module.serial)
    assert caught.value.code == "conflict"
    newer = server.issue_credential(module.serial)
    assert (await fetch(module))["sequence"] == newer.sequence > revoked


async def test_r8_credential_that_may_have_arrived_can_be_revoked(server, module):
    server.issue_credential(module.serial)
    await fetch(module)  # and the acknowledgement is lost
    newer = server.issue_credential(module.serial)
    await fetch(module)
    await post(module.connection, "ack", ack(newer.sequence, "refused", "bad_w0"))
    assert server.revoke_credentials(module.serial) == newer.sequence


async def test_s18_certificate_is_superseded_once_a_newer_one_is_in_use(server, module):
    key = new_key()
    certificate = server.certify_connection(module.serial, certificate_request(key, module.serial))
    await post(module.connection, "hello", hello(module.serial))  # until then the old one holds
    await post(module.client(key, certificate), "hello", hello(module.serial))
    assert await post(module.connection, "hello", hello(module.serial), 401) == "unauthenticated"
    assert await post(module.connection, "poll", poll(), 401) == "unauthenticated"
    await post(module.factory_identity, "hello", hello(module.serial))


# audit


def stored(server, module):
    """(number, tag) of what is stored for a module."""
    found = server.services.fleet.module(module.serial)
    rows, total = server.services.audit.records(found.id, limit=1000)
    assert len(rows) == total
    return sorted((row.number, row.tag) for row, _ in rows)


async def test_r26_each_number_is_stored_once(server, module):
    assert await post(module.connection, "audit", records(1, 2, 3)) == {"through": 3}
    assert await post(module.connection, "audit", records(2, 3, 4)) == {"through": 4}
    assert await post(module.factory_identity, "audit", records(1, 4)) == {"through": 4}
    assert [number for number, _ in stored(server, module)] == [1, 2, 3, 4]
    assert alarms(server, module, "audit_gap") == alarms(server, module, "audit_conflict") == []
    assert (await post(module.connection, "hello", hello(module.serial)))["audit_through"] == 4


async def test_r26_gap_is_noticed(server, module):
    await post(module.connection, "audit", records(1, 2))
    assert await post(module.connection, "audit", records(5, 6, 9)) == {"through": 9}
    gaps = [alarm.detail for alarm in alarms(server, module, "audit_gap")]
    assert sorted(gap["first"] for gap in gaps) == [3, 7]
    assert sorted(gap["last"] for gap in gaps) == [4, 8]


async def test_r26_changed_record_is_noticed_and_the_first_stays(server, module):
    await post(module.connection, "audit", records(1, 2))
    await post(module.connection, "audit", {"protocol": 1, "records": [record(2, tag="ee" * 28)]})
    assert stored(server, module)[1] == (2, f"{2:056x}")
    assert [alarm.detail for alarm in alarms(server, module, "audit_conflict")] == [{"number": 2}]


async def test_r26_new_start_counts_anew_and_doubles_nothing(server, module):
    await post(module.connection, "audit", records(1, 2, 3))
    server.services.fleet.forget_highest(module.serial, "an operator")
    fresh = {"protocol": 1, "records": [record(1, tag="ab" * 28), record(2, tag="cd" * 28)]}
    assert await post(module.connection, "audit", fresh) == {"through": 2}
    assert await post(module.connection, "audit", records(3)) == {"through": 3}
    assert [number for number, _ in stored(server, module)] == [1, 1, 2, 2, 3]
    assert alarms(server, module, "audit_gap") == alarms(server, module, "audit_conflict") == []


async def test_r26_record_is_stored_as_it_was_sent(server, module):
    sent = record(1, time=None, subject="site", detail=255, door="ble", fields=["site_id", "address"])
    await post(module.connection, "audit", {"protocol": 1, "records": [sent]})
    found = server.services.fleet.module(module.serial)
    (row, _), *_ = server.services.audit.records(found.id)[0]
    assert {name: getattr(row, name) for name in sent} == sent


# documents


def _examples():
    """JSON objects of docs/api.md, by heading, after "<...>" and "..." are filled in."""
    section = None
    block = []
    for line in [*API_DOCUMENT.read_text().splitlines(), ""]:
        if line.startswith("## "):
            section = line
        if line.startswith("    ") and (block or line.lstrip().startswith(("{", "->"))):
            block.append(line.strip().removeprefix("-> "))
        elif block:
            yield section, " ".join(block)
            block = []


def _filled(text):
    text = re.sub(r"<(\d+) hex>", lambda match: "ab" * (int(match[1]) // 2), text)
    text = text.replace("<base64 DER>", "AAAA").replace("<base64>", "AAAA").replace("<same>", "ab" * 16)
    decoder, position = json.JSONDecoder(), 0
    while position < len(text):
        if text[position] != "{":
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        yield value


async def test_r7_every_example_of_the_document_fits_the_schema():
    models = {
        "hello": [schema.HelloRequest, schema.HelloAnswer],
        "poll": [schema.PollRequest, schema.PollAnswer, schema.PollAnswer],
        "ack": [schema.AckRequest, schema.AckAnswer],
        "audit": [schema.AuditRequest, schema.AuditAnswer],
        "readings": [schema.ReadingsRequest, schema.ReadingsAnswer],
        "enrol": [schema.EnrolRequest, schema.EnrolAnswer],
    }
    found = {name: [] for name in models}
    for section, text in _examples():
        name = re.search(r"`POST /v1/(?:module/)?(\w+)`", section or "")
        if name:
            found[name[1]] += _filled(text)
    for name, expected in models.items():
        assert len(found[name]) == len(expected), (name, found[name])
        for value, model in zip(found[name], expected, strict=True):
            TypeAdapter(model).validate_python(value)
