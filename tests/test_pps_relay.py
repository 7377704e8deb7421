"""The relay, the server's part (R20, S5): frames both ways, bounded, each once; tokens good, dead and guessed."""

import asyncio
import contextlib
import json

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, text

from tests.pps_client import Clock, TestModule, ack, hello, poll, post, running_server, state
from tests.relay_client import RelayPhone, numbered, order, token_of
from tools.pps.ca import CertificateAuthority
from tools.pps.db import Database
from tools.pps.errors import ServiceError
from tools.pps.identity import ModuleIdentity
from tools.pps.models import RelayConversation, RelayFrame
from tools.pps.services import build_services
from tools.pps.services.enrolment import Endpoints
from tools.pps.services.relay import BEGUN_IN_KEPT_S, KEPT_S, ONLINE_S, REFUSALS, REFUSALS_S, SILENCE_S, USED_UP_S

SERIAL = "INK-00000001"
CONNECTION = ModuleIdentity(SERIAL, "connection", "")
FACTORY = ModuleIdentity(SERIAL, "factory_identity", "")
ONE, TWO = "0123456789abcdef", "fedcba9876543210"
PHONE_URL = "https://pps.example/phone/"


class Rig:
    """Services with an online module and a credential that it has; what phone and module say to them."""

    def __init__(self, database, clock, identity=CONNECTION, **changed):
        authority = CertificateAuthority.create("PPS CA")
        endpoints = Endpoints("https://pps.example", "https://pps.example")
        self.database = database
        self.clock = clock
        self.services = build_services(database, authority, endpoints, phone_url=PHONE_URL, clock=clock)
        self.identity = identity
        with contextlib.suppress(ServiceError):
            self.services.fleet.register(SERIAL, "a house", "an operator")
        self.token = self.issue(**changed)

    def issue(self, **changed):
        """A credential that the module has taken; returns its token."""
        issued = self.services.credentials.issue(SERIAL, order(**changed), "an operator")
        self.services.credentials.offer(self.identity, issued.sequence - 1, 0)
        self.services.credentials.acknowledge(self.identity, issued.sequence, "accepted", None)
        self.sequence = issued.sequence
        self.text = issued.text
        self.report()
        return token_of(issued.text)

    def report(self, ended=None):
        """The module says hello, with its credential's state."""
        credential = {
            "issuer": self.identity.kind,
            "sequence": self.sequence,
            "successes": 0,
            "failures": 0,
            "changes": 0,
            "ended": ended,
        }
        self.services.fleet.hello(self.identity, "0.1.0", state(credential=credential))

    def phone(self, *frames, first=1, received=0, name=ONE, token=None, close=False, address="192.0.2.1"):
        frames = list(enumerate(frames, first))
        return self.services.relay.phone(token or self.token, name, received, frames, close, address)

    def poll(self, asked=None, identity=None):
        return self.services.relay.for_module(identity or self.identity, asked)

    def send(self, number, frame, name=ONE, identity=None):
        self.services.relay.from_module(identity or self.identity, name, number, frame)

    def count(self, table):
        with self.database.read() as session:
            return len(list(session.scalars(select(table))))

    def relay_actions(self):
        """[(action, detail)] of the server's audit trail, oldest first."""
        rows, _ = self.services.audit.actions()
        return [(action.action, action.detail) for action, _ in reversed(rows) if action.operator == "relay"]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/pps.sqlite3")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def make(database, clock):
    """Callable (identity, changes of the order) -> Rig."""
    return lambda identity=CONNECTION, **changed: Rig(database, clock, identity, **changed)


@pytest.fixture
def rig(make):
    return make()


@contextlib.contextmanager
def refused(code):
    with pytest.raises(ServiceError) as caught:
        yield
    assert caught.value.code == code


# The token


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_r20_message_has_the_link_where_it_was_ordered(rig, language, channel):
    tokens = set()
    for relay in (True, False, True):
        issued = rig.services.credentials.issue(
            SERIAL, order(channel=channel, language=language, relay=relay), "an operator"
        )
        assert (PHONE_URL + "#relay=" in issued.text) == relay
        if relay:
            tokens.add(token_of(issued.text))
    assert len(tokens) == 2


def test_r20_without_a_page_for_phones_there_is_no_relay(database, clock):
    services = build_services(database, None, None, clock=clock)
    services.fleet.register(SERIAL, "a house", "an operator")
    with refused("bad_request"):
        services.credentials.issue(SERIAL, order(), "an operator")


def test_s5_token_is_stored_nowhere_once_the_message_is_erased(rig, tmp_path, caplog):
    rig.phone(b"abc")
    with rig.database.read() as session:
        for table in rig.database.engine.dialect.get_table_names(session.connection()):
            assert rig.token not in str(session.execute(text(f'SELECT * FROM "{table}"')).fetchall())
    for path in tmp_path.iterdir():
        assert rig.token.encode() not in path.read_bytes() and bytes.fromhex(rig.token) not in path.read_bytes()
    assert rig.token not in caplog.text


def dead_tokens(rig):
    """(how it died, token), each of another credential."""
    yield "unknown", "ab" * 16
    first = rig.token
    second = rig.issue()
    yield "replaced", first
    for ended in ("failures", "expired", "revoked", "replaced", "broken"):
        rig.report(ended)
        yield ended, second
        second = rig.issue()
    rig.clock.advance(24 * 3600)
    yield "past its lifetime", second
    second = rig.issue()
    rig.services.credentials.revoke(SERIAL, "an operator")
    yield "revoked by the server", second


def test_s5_dead_tokens_and_unknown_ones_are_refused_alike(rig):
    messages = set()
    for how, token in dead_tokens(rig):
        with pytest.raises(ServiceError) as caught:
            rig.phone(b"abc", token=token)
        assert caught.value.code == "not_found", how
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert rig.count(RelayConversation) == 0


def test_s5_guesses_are_slowed_by_address_and_a_good_token_never(rig):
    for _ in range(REFUSALS):
        with refused("not_found"):
            rig.phone(b"abc", token="00" * 16)
    with refused("too_many"):
        rig.phone(b"abc", token="00" * 16)
    with refused("not_found"):
        rig.phone(b"abc", token="00" * 16, address="192.0.2.2")
    assert not rig.phone(b"abc").closed
    rig.clock.advance(REFUSALS_S)
    with refused("not_found"):
        rig.phone(b"abc", token="00" * 16)


def test_s5_memory_for_guesses_is_bounded(rig, monkeypatch):
    monkeypatch.setattr("tools.pps.services.relay._ADDRESSES", 50)
    for number in range(200):
        with refused("not_found"):
            rig.phone(b"abc", token="00" * 16, address=f"192.0.2.{number}")
    assert len(rig.services.relay._refusals._counts) <= 50


def test_s5_one_token_begins_so_many_conversations_and_no_more(rig):
    for number in range(BEGUN_IN_KEPT_S):
        rig.phone(b"abc", name=f"{number:016x}")
    with refused("too_many"):
        rig.phone(b"abc", name=TWO)
    assert rig.count(RelayConversation) == BEGUN_IN_KEPT_S and rig.count(RelayFrame) == 1
    rig.clock.advance(KEPT_S)
    rig.report()
    assert not rig.phone(b"abc", name=TWO).closed


# Frames


def test_r20_frames_go_both_ways_in_order(rig):
    view = rig.phone(b"question 1")
    assert (view.frames, view.online, view.closed) == ([], True, False)
    found = rig.poll()
    assert (found.name, found.number, found.frame) == (ONE, 1, b"question 1")
    assert rig.poll((ONE, 1)) is None
    rig.send(1, b"answer 1")
    rig.send(2, b"answer 2")
    assert rig.phone().frames == [(1, b"answer 1"), (2, b"answer 2")]
    assert rig.phone(b"question 2", first=2, received=1).frames == [(2, b"answer 2")]
    assert rig.phone(b"question 3", first=3, received=2).frames == []
    assert rig.poll((ONE, 1)).frame == b"question 2"
    assert rig.poll((ONE, 2)).frame == b"question 3"
    assert rig.poll((ONE, 3)) is None
    assert rig.count(RelayFrame) == 0  # both ends have all of them


def test_r20_what_had_no_answer_is_repeated_without_harm(rig):
    for _ in range(3):
        rig.phone(b"question")
        assert rig.poll().frame == b"question"
    rig.phone(b"another under the same number")
    assert rig.poll().frame == b"question"
    rig.poll((ONE, 1))
    for _ in range(3):
        rig.phone(b"question")
        assert rig.poll((ONE, 1)) is None
        rig.send(1, b"answer")
        rig.send(1, b"another under the same number")
        assert rig.phone().frames == [(1, b"answer")]
    rig.phone(b"question", b"question 2", received=1)
    assert rig.poll((ONE, 1)).frame == b"question 2"


def test_r20_gap_in_the_numbers_is_refused_and_nothing_taken(rig):
    rig.phone(b"1")
    with refused("conflict"):
        rig.phone(b"3", first=3)
    with rig.database.read() as session:
        assert [frame.number for frame in session.scalars(select(RelayFrame))] == [1]
    rig.poll((ONE, 1))
    with refused("conflict"):
        rig.send(2, b"2")
    assert rig.phone().frames == []


def test_r20_number_that_was_never_sent_cannot_be_received(rig):
    rig.phone(b"1")
    rig.poll()
    with refused("conflict"):
        rig.phone(received=1)
    rig.send(1, b"1")
    assert rig.phone().frames == [(1, b"1")]
    # A module that says so is not the one that the conversation was with.
    assert rig.poll((ONE, 2)).frame is None
    assert rig.phone().closed


def test_r20_four_frames_wait_and_no_more(rig):
    for number in range(1, 5):
        rig.phone(b"q", first=number)
    with refused("too_many"):
        rig.phone(b"q", first=5)
    rig.poll((ONE, 1))
    rig.phone(b"q", first=5)
    for number in range(1, 5):
        rig.send(number, b"a")
    with refused("too_many"):
        rig.send(5, b"a")
    rig.phone(received=2)
    rig.send(5, b"a")
    assert rig.count(RelayFrame) == 4 + 3


# Conversations


def test_r20_new_conversation_replaces_the_one_before(rig):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    rig.send(1, b"1")
    rig.phone(b"2", name=TWO)
    assert rig.phone(received=0).closed and not rig.phone(name=TWO).closed
    found = rig.poll((ONE, 1))
    assert (found.name, found.number, found.frame) == (TWO, 1, b"2")
    with refused("conflict"):
        rig.send(2, b"2")
    # What has ended does not come back and replace in its turn.
    assert rig.phone(b"1").closed and rig.phone(b"2", first=2).closed
    assert not rig.phone(name=TWO).closed
    with rig.database.read() as session:
        assert [frame.frame for frame in session.scalars(select(RelayFrame))] == [b"2"]


def test_r20_conversation_begins_with_its_first_frame_and_nothing_else(rig):
    assert rig.phone().closed
    assert rig.phone(b"2", first=2).closed
    assert rig.phone(b"1", received=1).closed
    assert rig.phone(b"1", close=True).closed
    assert rig.count(RelayConversation) == 0
    assert not rig.phone(b"1").closed


def test_s5_conversation_of_another_token_is_out_of_reach(rig):
    first = rig.token
    rig.phone(b"1")
    second = rig.issue()
    assert rig.phone(b"2", first=2, token=second).closed
    assert rig.phone(close=True, token=second).closed
    assert not rig.phone(token=first).closed


def test_r20_phone_ends_it(rig):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    rig.send(1, b"1")
    assert rig.phone(close=True).closed
    assert rig.poll((ONE, 1)).frame is None
    assert rig.poll() is None
    with refused("conflict"):
        rig.send(2, b"2")
    assert rig.count(RelayFrame) == 0


def test_r20_modules_last_words_are_still_fetched(rig):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    rig.send(1, b"answer")
    rig.send(2, b"ended")
    rig.send(3, None)
    for _ in range(2):  # and again, had the answer been lost
        view = rig.phone(received=1)
        assert (view.frames, view.closed) == ([(2, b"ended")], True)
    view = rig.phone(received=2)
    assert (view.frames, view.closed) == ([], True)
    assert rig.count(RelayFrame) == 0


def test_r20_module_that_was_restarted_has_lost_it(rig):
    rig.phone(b"1")
    assert rig.poll().frame == b"1" and rig.poll().frame == b"1"  # before it has it, it may ask again
    rig.poll((ONE, 1))
    assert rig.poll() is None
    assert rig.phone().closed
    assert rig.relay_actions()[-1][1]["reason"] == "lost"


@pytest.mark.parametrize("silent", ["phone", "module"])
def test_r20_silence_of_either_end_ends_it(rig, silent):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    for _ in range(3):
        rig.clock.advance(SILENCE_S // 2)
        rig.report()
        if silent == "phone":
            rig.poll((ONE, 1))
        elif rig.phone().closed:
            break
    rig.services.relay.sweep()
    assert rig.phone().closed and rig.poll((ONE, 1)).frame is None
    assert [detail.get("reason") for _, detail in rig.relay_actions()] == [None, "silent"]
    assert rig.count(RelayFrame) == 0


def test_r20_ended_conversations_are_forgotten(rig):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    rig.send(1, b"never fetched")
    rig.send(2, None)
    rig.clock.advance(KEPT_S - 1)
    rig.services.relay.sweep()
    assert (rig.count(RelayConversation), rig.count(RelayFrame)) == (1, 1)
    rig.clock.advance(1)
    rig.services.relay.sweep()
    assert (rig.count(RelayConversation), rig.count(RelayFrame)) == (0, 0)


def test_r20_module_that_is_not_heard_is_offline(rig):
    rig.clock.advance(ONLINE_S + 1)
    view = rig.phone(b"1")
    assert (view.online, view.closed) == (False, False)
    assert rig.count(RelayConversation) == 0
    rig.report()
    assert rig.phone(b"1").online
    rig.clock.advance(ONLINE_S + 1)
    assert not rig.phone().online


# Who


def test_s5_credential_of_the_factory_identity_is_reached_by_either(make):
    """The connection may have been entered through that very conversation."""
    rig = make(FACTORY)
    rig.phone(b"1")
    assert rig.poll().frame == b"1"
    assert rig.poll((ONE, 1), CONNECTION) is None
    rig.send(1, b"result", identity=CONNECTION)
    assert rig.phone().frames == [(1, b"result")]


def test_s5_credential_of_the_connection_is_not_reached_by_the_factory_identity(rig):
    rig.phone(b"1")
    assert rig.poll(identity=FACTORY) is None
    assert rig.poll((ONE, 0), FACTORY).frame is None
    with refused("conflict"):
        rig.send(1, b"1", identity=FACTORY)
    assert rig.poll().frame == b"1" and rig.phone().frames == []


def test_s5_other_modules_have_no_part_in_it(rig):
    rig.services.fleet.register("INK-00000002", "another house", "an operator")
    other = ModuleIdentity("INK-00000002", "connection", "")
    rig.phone(b"1")
    assert rig.poll(identity=other) is None
    assert rig.poll((ONE, 0), other).frame is None
    for frame in (b"1", None):
        with refused("conflict"):
            rig.send(1, frame, identity=other)
    assert rig.poll().frame == b"1" and not rig.phone().closed


@pytest.mark.parametrize("ended", ["successes", "changes", "wiped"])
def test_r8_used_up_credential_lets_the_open_session_finish(rig, ended):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    rig.report(ended)
    rig.clock.advance(SILENCE_S - 1)
    rig.services.relay.sweep()
    assert not rig.phone(b"2", first=2).closed
    assert rig.poll((ONE, 1)).frame == b"2"
    # A broken link is resumed in another conversation.
    assert not rig.phone(b"1", name=TWO).closed
    rig.clock.advance(USED_UP_S)
    rig.report(ended)
    with refused("not_found"):
        rig.phone(b"1", name="00" * 8)


def test_r8_revoked_credential_leaves_time_for_a_word(rig):
    rig.phone(b"1")
    rig.poll((ONE, 1))
    rig.services.credentials.revoke(SERIAL, "an operator")
    with refused("not_found"):
        rig.phone(b"1", name=TWO)
    rig.clock.advance(29)
    rig.send(1, b"ended: revoked")
    assert rig.phone().frames == [(1, b"ended: revoked")]
    rig.clock.advance(2)
    assert rig.phone().closed and rig.poll((ONE, 1)).frame is None
    assert rig.relay_actions()[-1] == ("relay_ended", {"sequence": 1, "reason": "credential"})


def test_r26_servers_trail_says_when_and_why_and_not_what(rig):
    rig.phone(b"secret question")
    rig.poll((ONE, 1))
    rig.send(1, b"secret answer")
    rig.phone(b"1", name=TWO)
    rig.poll((TWO, 1))
    rig.send(1, None, name=TWO)
    assert rig.relay_actions() == [
        ("relay_begun", {"sequence": 1}),
        ("relay_ended", {"sequence": 1, "reason": "replaced"}),
        ("relay_begun", {"sequence": 1}),
        ("relay_ended", {"sequence": 1, "reason": "module"}),
    ]


# Two replicas


def test_r20_phone_at_one_replica_and_module_at_another(rig, tmp_path, clock):
    second = Database(f"sqlite:///{tmp_path}/pps.sqlite3")
    other = build_services(second, None, None, phone_url=PHONE_URL, clock=clock).relay
    rig.phone(b"question")
    assert other.for_module(CONNECTION, None).frame == b"question"
    assert rig.poll((ONE, 1)) is None
    other.from_module(CONNECTION, ONE, 1, b"answer")
    assert rig.phone().frames == [(1, b"answer")]
    other.from_module(CONNECTION, ONE, 2, None)
    assert rig.phone(received=1).closed
    second.close()


# Over HTTPS


@pytest_asyncio.fixture
async def server(tmp_path, clock):
    async with running_server(tmp_path / "pps", clock, phone_page=tmp_path / "phone") as server:
        yield server


@pytest_asyncio.fixture
async def module(server, tmp_path):
    """A module with a credential, at the server; `token` of it."""
    server.register_module(SERIAL, "a house")
    module = TestModule(server, tmp_path, SERIAL)
    module.token = token_of(server.issue_credential(SERIAL, relay=True).text)
    await post(module.connection, "hello", hello(SERIAL))
    await post(module.connection, "poll", poll())
    await post(module.connection, "ack", ack(1))
    yield module
    await module.close()


@pytest_asyncio.fixture
async def phone(server, module):
    phone = phone_at(server, module)
    yield phone
    await phone.drop()


def phone_at(server, module, **options):
    return RelayPhone(f"https://localhost:{server.enrol_port}/v1/relay", module.token, **options)


def relay_poll(taken=None, wait_s=20):
    relay = taken and {"conversation": taken[0], "received": taken[1]}
    return poll(1, wait_s=wait_s) | {"relay": relay}


def from_module(name, number, frame):
    encoded = numbered(frame)[0]["frame"] if frame else None
    return {"protocol": 1, "conversation": name, "number": number, "frame": encoded}


async def waits(wakeups):
    """Until somebody waits."""
    async with asyncio.timeout(60):
        while not wakeups.waiting():
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_r20_each_end_is_woken_by_the_other(server, module, phone):
    polled = asyncio.create_task(post(module.connection, "poll", relay_poll()))
    await waits(server.services.wakeups)
    await phone.write(b"question")
    answer = await polled
    assert answer["relay"] == {"conversation": phone.name, **numbered(b"question")[0]}
    read = asyncio.create_task(phone.read())
    await waits(server.services.relay.phone_wakeups)
    assert await post(module.connection, "relay", from_module(phone.name, 1, b"answer")) == {"ok": True}
    assert await read == b"answer"
    read = asyncio.create_task(phone.read())
    await waits(server.services.relay.phone_wakeups)
    await post(module.connection, "relay", from_module(phone.name, 2, None))
    assert await read == b"" and phone.closed


@pytest.mark.asyncio
async def test_r20_credential_goes_before_a_frame_and_never_with_it(server, module, phone):
    await phone.write(b"question")
    server.issue_credential(SERIAL)
    answer = await post(module.connection, "poll", relay_poll())
    assert (answer["credential"]["sequence"], answer["relay"]) == (2, None)
    await post(module.connection, "ack", ack(2))
    answer = await post(module.connection, "poll", relay_poll() | {"sequence": 2})
    assert (answer["credential"], answer["relay"]["number"]) == (None, 1)


@pytest.mark.asyncio
async def test_r20_poll_that_waits_hears_of_the_end(server, module, phone):
    await phone.write(b"question")
    polled = asyncio.create_task(post(module.connection, "poll", relay_poll((phone.name, 1))))
    await waits(server.services.wakeups)
    await phone.close()
    assert (await polled)["relay"] == {"conversation": phone.name, "closed": True}
    assert await post(module.connection, "relay", from_module(phone.name, 1, b"answer"), 409) == "conflict"


@pytest.mark.asyncio
async def test_r20_replicas_wake_each_other(server, module, phone, tmp_path, clock):
    async with running_server(tmp_path / "pps", clock) as other:
        there = TestModule(other, tmp_path, SERIAL)
        await post(there.connection, "hello", hello(SERIAL))
        polled = asyncio.create_task(post(there.connection, "poll", relay_poll()))
        await waits(other.services.wakeups)
        await phone.write(b"question")
        assert (await polled)["relay"]["number"] == 1
        read = asyncio.create_task(phone.read())
        await waits(server.services.relay.phone_wakeups)
        await post(there.connection, "relay", from_module(phone.name, 1, b"answer"))
        assert await read == b"answer"
        await there.close()


@pytest.mark.asyncio
async def test_r20_server_that_stops_lets_phones_go(server, module, phone):
    await phone.write(b"question")
    waiting = asyncio.create_task(phone.ask(phone.body()))
    await waits(server.services.relay.phone_wakeups)
    await server.stop()
    assert await waiting == (200, {"frames": [], "module": "online", "closed": False})


@pytest.mark.asyncio
async def test_r27_one_conversation_waits_four_times_at_most(server, module, phone):
    await phone.write(b"question")
    waiting = [asyncio.create_task(phone.ask(phone.body())) for _ in range(4)]
    async with asyncio.timeout(60):
        while server.services.relay.phone_wakeups.count(1) < 4:
            await asyncio.sleep(0.01)
    status, answer = await phone.ask(phone.body())
    assert (status, answer["error"]["code"]) == (429, "too_many")
    await phone.close()
    assert [(await task)[0] for task in waiting] == [200] * 4


@pytest.mark.asyncio
async def test_s5_failure_inside_does_not_log_the_token(server, module, phone, monkeypatch, caplog):
    def fail(*arguments):
        raise RuntimeError(arguments)

    monkeypatch.setattr(server.services.relay, "phone", fail)
    status, answer = await phone.ask(phone.body(numbered(b"question")))
    assert (status, answer["error"]["code"]) == (500, "internal")
    assert "RuntimeError" in caplog.text and module.token not in caplog.text + json.dumps(answer)


@pytest.mark.asyncio
async def test_s5_answers_to_dead_tokens_are_the_same_bytes(server, module, phone):
    server.revoke_credentials(SERIAL)
    answers = set()
    async with httpx.AsyncClient(verify=False) as client:
        for token in (module.token, "00" * 16):
            body = phone.body(numbered(b"question"), token=token)
            answer = await client.post(f"https://localhost:{server.enrol_port}/v1/relay", json=body)
            headers = sorted(pair for pair in answer.headers.items() if pair[0] != "date")
            answers.add((answer.status_code, answer.content, tuple(headers)))
    ((status, content, headers),) = answers
    assert (status, json.loads(content)["error"]["code"]) == (404, "not_found")
    assert ("cache-control", "no-store") in headers


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "changed",
    [
        {"token": "A" * 32},
        {"token": "00" * 15},
        {"conversation": "00" * 7},
        {"received": -1},
        {"wait_s": 26},
        {"frames": numbered(*[b"abc"] * 5)},
        {"frames": numbered(b"abc") * 2},
        {"frames": numbered(b"ab")},
        {"frames": numbered(bytes(1027))},
        {"frames": numbered(b"abc", first=0)},
        {"frames": [{"number": 1, "frame": "AAA"}]},
        {"frames": [{"number": 1, "frame": "AA\n=="}]},
        {"close": None},
    ],
    ids=str,
)
async def test_r27_request_out_of_bounds_is_refused(server, module, phone, changed):
    body = phone.body(numbered(bytes(1026)), wait_s=0)
    status, answer = await phone.ask(body | changed)
    assert (status, answer["error"]["code"]) == (422, "bad_request")
    assert (await phone.ask(body))[0] == 200


# The phone's page


@pytest.mark.asyncio
async def test_r20_phones_page_is_served_beside_the_relay(server, tmp_path):
    folder = tmp_path / "phone"
    async with httpx.AsyncClient(verify=False, base_url=f"https://localhost:{server.enrol_port}") as client:
        missing = await client.get("/phone/")
        assert missing.status_code == 404 and "not built" in missing.text
        (folder / "assets").mkdir(parents=True)
        files = {
            "index.html": "text/html; charset=utf-8",
            "manifest.webmanifest": "application/manifest+json",
            "sw.js": "text/javascript; charset=utf-8",
            "assets/page-12345678.js": "text/javascript; charset=utf-8",
            "icon.svg": "image/svg+xml",
        }
        for name in files:
            (folder / name).write_text(name)
        (tmp_path / "secret").write_text("not for phones")
        for name, kind in files.items():
            answer = await client.get(f"/phone/{name}")
            assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, name, kind)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert ("immutable" in answer.headers["cache-control"]) == name.startswith("assets/")
        assert (await client.get("/phone/")).text == "index.html"
        assert (await client.get("/phone")).headers["location"] == "/phone/"
        for path in ("/phone/nothing.js", "/phone/../secret", "/phone/%2e%2e/secret", "/phone/..%2fsecret"):
            answer = await client.get(path)
            assert answer.status_code == 404 and "not for phones" not in answer.text
        assert (await client.post("/phone/")).status_code == 405


@pytest.mark.asyncio
async def test_r20_page_is_reached_by_the_link_in_the_message(server, module):
    ((message, _),), _ = server.services.outbox.messages()
    assert message.text is None  # the module has the credential
    text = server.issue_credential(SERIAL, relay=True).text
    assert f"https://localhost:{server.enrol_port}/phone/#relay={token_of(text)}" in text
