"""`inkan-phone` against a module's real phone unit: commands, answers and exit codes over each of its ways."""

import asyncio
import contextlib
import json
import os
import pty
import sys
import types

import httpx
import pytest
from phone_rig import BLE, phone_message
from unit_rig import ID, PASSWORD

from firmware import settings, unique_info, wire
from firmware.errors import LinkError
from tests.phone_house import ADDRESS, PhoneHouse
from tools.phone import cli, faults
from tools.phone import session as session_module
from tools.phone.client import PhoneClient
from tools.phone.links import choose
from tools.phone.links.ble import BleCarrier
from tools.phone.links.house import HouseCarrier
from tools.phone.links.inbox import Inbox
from tools.phone.links.relay import RelayCarrier
from tools.phone.links.serial_line import SerialCarrier

CODE = "12345678901234567894"
LINE = {0x51: "https://pps.example", 0x53: b"\x30\x00", 0x54: b"\x30\x00", 0x55: b"\x07" * 32}
TOKEN = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="module")
def served():
    with PhoneHouse(with_page=False) as house:
        yield house


@pytest.fixture
def house(served, monkeypatch):
    monkeypatch.setenv("INKAN_PASSWORD", PASSWORD)
    served.new_module()
    return served


class Typed:
    """Standard input: lines; a callable among them is called when the line before it has been carried out."""

    def __init__(self, *lines):
        self._lines = lines

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __iter__(self):
        for line in self._lines:
            if callable(line):
                line()
            else:
                yield line + "\n"

    def isatty(self):
        return False


class Terminal:
    """Runs commands; `objects` are the JSON answers of the last one, `said` all that it wrote."""

    def __init__(self, house, capsys, monkeypatch):
        self._house = house
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.objects = self.said = None

    def run(self, *words, json_too=True, user_id=ID, way=None):
        way = way or ["--house", self._house.url.removesuffix("/phone/")]
        given = [*way, "--id", user_id, *(["--json"] if json_too else []), *words]
        code = cli.main(given)
        out, err = self._capsys.readouterr()
        self.said = out + err
        self.objects = [json.loads(line) for line in out.splitlines()] if json_too else None
        assert PASSWORD not in self.said and CODE not in self.said
        return code

    def script(self, *lines, **options):
        self._monkeypatch.setattr(sys, "stdin", Typed(*lines))
        return self.run("script", **options)

    @property
    def last(self):
        return self.objects[-1]


@pytest.fixture
def terminal(house, capsys, monkeypatch):
    return Terminal(house, capsys, monkeypatch)


# Before a login


def test_r18_scan_and_info_need_no_login(house, terminal):
    assert terminal.run("scan") == 0
    assert terminal.last["modules"] == [{"address": ADDRESS, "name": "Inkan 00000001", "state": "waiting"}]
    assert terminal.run("info") == 0
    info = terminal.last
    assert (info["serial"], info["state"], info["failures_left"], info["password_digits"]) == (
        "INK-00000001",
        "waiting",
        3,
        8,
    )
    assert house.module.attempts.attempts == 0
    assert terminal.run("info", json_too=False) == 0
    assert "INK-00000001" in terminal.said and "not proved" in terminal.said


def test_the_way_s_value_may_be_left_out_before_a_command():
    assert cli._separated(["--house", "view", "customer"]) == ["--house=", "view", "customer"]
    assert cli._separated(["--ble", "--json", "scan"]) == ["--ble=", "--json", "scan"]
    assert cli._separated(["--ble", "Inkan 1", "scan"]) == ["--ble", "Inkan 1", "scan"]
    assert cli._separated(["--house"]) == ["--house="]


# A session


def test_r18_a_session_by_script(house, terminal):
    code = terminal.script(
        "# what a technician does",
        "status",
        "view customer",
        "set 'customer_name=山田 太郎' postal_code=123-4567",
        "set pv_capacity_w=5500",
        "view customer",
        "delete customer postal_code",
        "view",
    )
    assert code == 0
    status, before, named, capacity, after, deleted, everything = terminal.objects
    assert (status["generation"], status["changes_left"]) == (1, 20)
    assert status["see"] == list(unique_info.GROUPS[1:])
    assert before["groups"]["customer"]["customer_name"] == ""
    assert (named["generation"], named["changes_left"], named["repeated"]) == (2, 19, False)
    assert capacity["generation"] == 3
    assert after["groups"]["customer"]["customer_name"] == "山田 太郎"
    assert after["groups"]["customer"]["postal_code"] == "1234567"
    assert deleted["generation"] == 4
    assert everything["groups"]["capacity"]["pv_capacity_w"] == "5500"
    assert house.module.attempts.successes == 1, "one login for all of it"
    assert house.module.control.session is None, "nobody has to wait for the session's end"


def test_one_command_is_one_session(house, terminal):
    assert terminal.run("set", "contract_number=ab-1", json_too=False) == 0
    assert "generation 2, changes left 19" in terminal.said
    house.module.pass_s(10)
    assert terminal.run("view", "customer", json_too=False) == 0
    assert "AB-1" in terminal.said
    assert house.module.attempts.successes == 2


def test_a_script_ends_with_the_first_that_fails(house, terminal):
    assert terminal.script("status", "set nonsense=1", "set customer_name=a") == faults.USAGE
    assert [one["ok"] for one in terminal.objects] == [True, False]
    assert house.module.store.vault.generation == 1
    for line in ("fly", "view 'customer", "view nothing", "info", "scan"):
        house.new_module()
        assert terminal.script("status", line) == faults.USAGE, line


def test_r15_enrolment(house, terminal, monkeypatch):
    async def enrolment(progress):
        progress(1, 2)
        return LINE

    house.module.enrol = enrolment
    monkeypatch.setenv("INKAN_CODE", CODE)
    assert terminal.script("enrol pps.example:8443", "view connection") == 0
    assert house.module.enrolled == [("pps.example:8443", CODE)]
    assert terminal.last["groups"]["connection"]["private_key"] == "stored"
    monkeypatch.setenv("INKAN_CODE", "1234")
    assert terminal.run("enrol", "pps.example") == faults.USAGE


def test_s19_wipe_is_the_way_back_and_is_asked_about(house, terminal, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Typed())
    assert terminal.run("--yes", "wipe") == faults.USAGE, "there is nothing to wipe"
    house.new_module(credential=False)
    house.call(lambda: house.module.detection.latch("vault_seal"))
    house.call(lambda: house.module.acquisition.accept(phone_message(2, {"recover": True}), 1))
    assert terminal.run("wipe") == faults.USAGE, "nobody is there to ask"
    house.module.pass_s(10)
    assert terminal.run("--yes", "wipe") == 0
    assert house.module.detection.tamper is None
    house.new_module()
    assert terminal.run("delete", "customer") == faults.USAGE
    house.module.pass_s(10)
    assert terminal.run("--yes", "delete", "customer") == 0


# What is refused


def test_s2_wrong_id_and_wrong_password_are_the_same_and_say_what_is_left(house, terminal, monkeypatch):
    assert terminal.run("status", user_id="00000000", json_too=False) == faults.REFUSED
    said = terminal.said
    assert "ID or password is wrong; attempts left on this way: 2" in said
    house.new_module()
    monkeypatch.setenv("INKAN_PASSWORD", "00000000")
    assert terminal.run("status", json_too=False) == faults.REFUSED
    assert terminal.said == said


def test_the_delay_after_a_failure_is_waited_out(house, terminal):
    assert terminal.run("status", user_id="00000000") == faults.REFUSED
    assert terminal.last["error"]["delay_ms"] > 0
    assert terminal.run("status") == 0


def test_the_password_comes_from_a_file_too_and_from_nowhere_else_on_the_line(house, terminal, monkeypatch, tmp_path):
    monkeypatch.delenv("INKAN_PASSWORD")
    (tmp_path / "password").write_text(PASSWORD + "\n")
    assert terminal.run("--password-file", str(tmp_path / "password"), "status") == 0
    assert terminal.run("--password-file", str(tmp_path / "nothing"), "status") == faults.USAGE
    with pytest.raises(SystemExit):
        terminal.run("--password", "11112222", "status")
    asked = []
    monkeypatch.setattr(cli.getpass, "getpass", lambda prompt: asked.append(prompt) or PASSWORD)
    house.module.pass_s(10)
    assert terminal.run("status") == 0
    assert asked == ["Password: "]


def test_values_are_checked_before_anything_is_sent(house, terminal):
    for value, field, reason in (
        ("postal_code=12", "postal_code", "too_short"),
        ("site_id=99" + "1" * 20, "site_id", "bad_area"),
        ("pv_capacity_w=1000000", "pv_capacity_w", "out_of_range"),
        ("customer_name=", "customer_name", "empty"),
    ):
        assert terminal.run("set", value) == faults.NOT_ALLOWED
        error = terminal.last["error"]
        assert (error["code"], error["field"], error["reason"]) == ("field", field, reason)
        assert field in error["text"]
    for words in (
        ["set", "customer_name"],
        ["set", "nothing=1"],
        ["set", "postal_code=1234567", "postal_code=1234567"],
        ["set", "credential_url=https://x.example"],
        ["delete", "customer", "site_id"],
    ):
        assert terminal.run(*words) == faults.USAGE, words
    assert house.module.attempts.attempts == 0


def test_what_the_module_s_rules_refuse(house, terminal):
    house.new_module({"see": ["customer"], "change": ["customer"], "delete": []}, max_changes=1)
    assert terminal.script("view", "view site") == faults.NOT_ALLOWED
    assert list(terminal.objects[0]["groups"]) == ["customer"]
    assert terminal.last["error"]["code"] == "not_allowed"
    house.module.pass_s(10)
    assert terminal.script("set customer_name=a", "set customer_name=b") == faults.NOT_ALLOWED
    assert terminal.last["error"]["code"] == "used_up"


@pytest.mark.parametrize(
    ("options", "code"),
    [({"credential": False}, "no_credential"), ({"knows_time": False}, "no_time"), ({"max_failures": 2}, "locked")],
)
def test_r13_refusals_have_their_words(house, terminal, options, code):
    house.new_module(**options)
    assert terminal.run("status") == faults.REFUSED
    assert terminal.last["error"]["code"] == code
    assert len(terminal.last["error"]["text"]) > 20


def test_r16_the_end_of_a_session_says_why(house, terminal):
    def revoke():
        house.call(lambda: house.module.acquisition.revoke(settings.ISSUER_CONNECTION, 1))

    assert terminal.script("status", revoke, "view customer") == faults.REFUSED
    assert terminal.last["error"]["code"] == "revoked"


def test_every_code_of_the_protocol_has_words():
    for code in wire.REFUSALS[1:]:
        fault = faults.fault_of(faults.RefusedError(code, 1, 1000))
        assert fault.exit_code == (faults.PROTOCOL if code in ("malformed", "bad_share") else faults.REFUSED)
    for code in wire.ERRORS[1:]:
        fault = faults.fault_of(faults.MessageError(code, 0x11, "empty" if code == "field" else ""))
        assert fault.exit_code == (faults.PROTOCOL if code == "bad_message" else faults.NOT_ALLOWED)
    assert set(faults._FIELDS) == set(wire.FIELD_REASONS[1:])
    assert set(faults._ENROLMENT) == set(wire.ENROL_REASONS[1:])
    assert set(faults._ENDINGS) == set(wire.ENDINGS[1:])
    assert faults.fault_of(RuntimeError()) is None


# What breaks


def test_s6_a_lost_answer_is_asked_for_again_over_another_link(house, terminal):
    code = terminal.script("status", house.lose_next_answer, "set customer_name=a", "view customer")
    assert code == 0
    _, change, view = terminal.objects
    assert (change["generation"], change["repeated"]) == (2, True)
    assert view["groups"]["customer"]["customer_name"] == "a"
    assert (house.module.attempts.changes, house.module.attempts.successes) == (1, 1)


def test_s6_so_is_the_answer_to_a_question_and_the_words_say_so(house, terminal):
    assert terminal.script("status", house.lose_next_answer, "view customer", json_too=False) == 0
    assert "the link is lost; trying again" in terminal.said and "the link stands again" in terminal.said


def test_s19_a_wipe_whose_answer_is_lost_is_done_once(house):
    house.new_module(credential=False)
    house.call(lambda: house.module.detection.latch("vault_seal"))
    house.call(lambda: house.module.acquisition.accept(phone_message(2, {"recover": True}), 1))
    told = []

    async def wipe():
        session = session_module.Session(HouseCarrier(house.url.removesuffix("/phone/")), told.append)
        assert (await session.unlock(ID, PASSWORD)).may_wipe
        house.lose_next_answer()
        result = await session.wipe()
        await session.close()
        return result

    assert asyncio.run(wipe()).repeated
    assert told == ["lost", "back"]
    assert house.module.events().count("wiped") == 1


def test_a_link_that_stays_away_is_given_up_and_says_what_is_not_known(house, terminal, monkeypatch):
    monkeypatch.setattr(session_module, "_GIVE_UP_S", 0.1)
    monkeypatch.setattr(session_module, "_PAUSES_S", (0, 0.02))

    def stay_away():
        house.call(lambda: setattr(house, "in_reach", False))
        house.lose_next_answer()

    assert terminal.script("status", stay_away, "set customer_name=a") == faults.NOT_REACHED
    error = terminal.last["error"]
    assert error["unsure"] and "not known" in error["text"]


def test_a_session_that_the_module_ended_meanwhile_is_lost(house, terminal):
    def restart():
        house.call(lambda: house.module.control.session.close("lock"))
        house.break_link()

    assert terminal.script("status", restart, "view customer") == faults.REFUSED
    assert terminal.last["error"]["code"] == "lock"
    house.new_module()

    def forget():
        house.break_link()
        house.call(lambda: house.module.control.session.close("lock"))

    assert terminal.script("status", forget, "view customer") == faults.NOT_REACHED
    assert terminal.last["error"]["code"] == "no_session" and "unsure" not in terminal.last["error"]


def test_s16_an_answer_that_was_changed_ends_it(house, terminal):
    assert terminal.script("status", house.spoil_next_answer, "view customer") == faults.PROTOCOL
    assert terminal.last["error"]["code"] == "seal"


def test_what_is_not_there_is_named(house, terminal):
    house.call(lambda: setattr(house, "in_reach", False))
    assert terminal.run("status") == faults.NOT_REACHED
    assert terminal.last["error"]["code"] == "not_found"
    assert terminal.run("scan") == 0 and terminal.last["modules"] == []
    assert terminal.run("scan", way=["--house", "http://127.0.0.1:1"]) == faults.NOT_REACHED
    assert terminal.last["error"]["code"] == "no_house"
    assert terminal.run("info", way=["--serial", "/dev/there-is-none"]) == faults.NOT_REACHED
    assert terminal.last["error"]["code"] == "no_port"
    assert terminal.run("scan", way=["--serial", "/dev/there-is-none"]) == faults.USAGE
    for link in ("https://pps.example/phone/", f"http://pps.example/phone/#relay={TOKEN}", "nonsense"):
        assert terminal.run("info", way=["--relay", link]) == faults.USAGE
        assert terminal.last["error"]["code"] == "bad_link"


def test_of_several_modules_one_has_to_be_named():
    found = [types.SimpleNamespace(address=f"C0:00:00:00:00:0{n}", name=f"Inkan 0000000{n}") for n in (1, 2)]
    assert choose(found[:1], None) is found[0]
    for wanted in ("inkan 00000002", "00000002", "c0:00:00:00:00:02"):
        assert choose(found, wanted) is found[1]
    for wanted, code in ((None, "several"), ("00000003", "not_found")):
        with pytest.raises(LinkError) as caught:
            choose(found, wanted)
        assert caught.value.code == code


# BLE, with a stand-in for bleak: there is no adapter here


class FakeBleak(types.ModuleType):
    """bleak's interface as far as it is used; behind it is the house's module."""

    class BleakError(Exception):
        pass

    def __init__(self, house):
        super().__init__("bleak")
        self.house = house
        self.clients = []
        self.on = True
        bleak = self

        class BleakScanner:
            @staticmethod
            async def discover(timeout, *, return_adv, service_uuids):
                assert return_adv and service_uuids == [settings.BLE_SERVICE_UUID]
                if not bleak.on:
                    raise bleak.BleakError("no adapter")
                own = {0xFFFF: bytes((1, 1))}
                return {
                    ADDRESS: _heard(ADDRESS, "Inkan 00000001", [settings.BLE_SERVICE_UUID], own),
                    "C0:FF": _heard("C0:FF", "Lamp", ["0000180f-0000-1000-8000-00805f9b34fb"], {}),
                }

        class BleakClient(_FakeClient):
            def __init__(self, device, disconnected_callback, *, timeout):
                super().__init__(bleak, device, disconnected_callback)

        self.BleakScanner = BleakScanner
        self.BleakClient = BleakClient


def _heard(address, name, services, own):
    advertisement = types.SimpleNamespace(local_name=name, service_uuids=services, manufacturer_data=own)
    return types.SimpleNamespace(address=address, name=None), advertisement


class _FakeClient:
    def __init__(self, bleak, device, gone):
        self._bleak = bleak
        self._gone = gone
        self.address = device.address
        self.mtu_size = 100
        self.writes = []
        self.disconnected = False
        bleak.clients.append(self)

    async def connect(self):
        assert self.address == ADDRESS
        house = self._bleak.house
        self._link = house.call(lambda: house._new_link(BLE))

    async def start_notify(self, characteristic, callback):
        assert characteristic == settings.BLE_FROM_MODULE_UUID
        loop = asyncio.get_running_loop()

        async def pump():
            while (data := await self._link.out.get()) is not None:
                for at in range(0, len(data), 50):
                    loop.call_soon_threadsafe(callback, None, bytearray(data[at : at + 50]))
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._gone, self)

        self._bleak.house.call(lambda: self._bleak.house._keep(pump()))

    async def write_gatt_char(self, characteristic, data, response):
        assert characteristic == settings.BLE_TO_MODULE_UUID and response
        self.writes.append(len(data))
        if self._link.closed:
            raise self._bleak.BleakError("not connected")
        self._bleak.house.call(lambda: self._link.put(bytes(data)))

    async def disconnect(self):
        self.disconnected = True
        self._bleak.house.call(self._link.close)


@pytest.fixture
def bleak(house, monkeypatch):
    fake = FakeBleak(house)
    monkeypatch.setitem(sys.modules, "bleak", fake)
    return fake


def test_r18_by_the_computer_s_bluetooth(house, terminal, bleak):
    way = ["--ble", "inkan 00000001"]
    assert terminal.run("scan", way=way) == 0
    assert [one["name"] for one in terminal.last["modules"]] == ["Inkan 00000001"]
    code = terminal.script("set 'address=" + "あ" * 100 + "'", house.lose_next_answer, "view customer", way=way)
    assert code == 0 and terminal.last["groups"]["customer"]["address"] == "あ" * 100
    assert len(bleak.clients) == 2 and all(client.disconnected for client in bleak.clients)
    assert max(bleak.clients[0].writes) == 97, "no write is longer than the MTU allows"


def test_no_adapter_is_named(terminal, bleak):
    bleak.on = False
    assert terminal.run("scan", way=["--ble"]) == faults.NOT_REACHED
    assert terminal.last["error"]["code"] == "no_adapter"


def test_bleak_has_what_is_used_of_it(monkeypatch):
    """The stand-in above must not drift from the package."""
    import inspect

    bleak = pytest.importorskip("bleak")
    assert {"timeout", "return_adv"} <= set(inspect.signature(bleak.BleakScanner.discover).parameters)
    assert list(inspect.signature(bleak.BleakClient.__init__).parameters)[1:3] == [
        "address_or_ble_device",
        "disconnected_callback",
    ]
    assert list(inspect.signature(bleak.BleakClient.write_gatt_char).parameters)[1:] == [
        "char_specifier",
        "data",
        "response",
    ]
    assert {"connect", "disconnect", "start_notify", "mtu_size"} <= set(dir(bleak.BleakClient))
    assert issubclass(bleak.BleakError, Exception)
    assert BleCarrier(bleak=bleak)


# Relay


class Relay(httpx.AsyncBaseTransport):
    """The house's relay behind a client; `plan` says what becomes of the next requests: "pass", "lose", or a status."""

    def __init__(self, house, *plan):
        self._house = house
        self._plan = list(plan)
        self.bodies = []

    async def handle_async_request(self, request):
        body = json.loads(await request.aread())
        self.bodies.append(body)
        act = self._plan.pop(0) if self._plan else "pass"
        if isinstance(act, int):
            return httpx.Response(act, json={"error": {"code": "x"}})
        work = asyncio.run_coroutine_threadsafe(self._house._relay(body), self._house._loop)
        answer = await asyncio.wrap_future(work)
        if act == "lose":
            raise httpx.ReadError("lost")
        return httpx.Response(200, json=answer)


def by_relay(house, scenario, *plan):
    async def run():
        carrier = RelayCarrier(f"https://localhost/phone/#relay={TOKEN}")
        await carrier._client.aclose()
        relay = Relay(house, *plan)
        carrier._client = httpx.AsyncClient(transport=relay)
        try:
            return await scenario(carrier, relay)
        finally:
            await carrier.close()

    return asyncio.run(run())


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("tools.phone.links.relay._RETRY_S", (0,) * 5)


def test_r20_a_session_through_the_relay_with_answers_lost(house, at_once):
    async def scenario(carrier, relay):
        client = PhoneClient(await carrier.open())
        await client.unlock(ID, PASSWORD)
        await client.change({0x11: "a"})
        assert (await client.view(1))[0x11] == "a"
        await client.end()
        assert all(body["token"] == TOKEN and len(body["frames"]) <= 1 for body in relay.bodies)
        numbers = [frame["number"] for body in relay.bodies for frame in body["frames"]]
        assert numbers == sorted(numbers) and set(numbers) == set(range(1, 7))

    by_relay(house, scenario, "pass", "lose", "lose", 503, "pass", 429, "lose", "pass", "lose")


@pytest.mark.parametrize(
    ("plan", "code"),
    [((404,), "no_conversation"), ((409,), "closed"), ((503,) * 6, "no_server"), ((400,), "no_conversation")],
)
def test_r20_what_the_server_refuses_is_named(house, at_once, plan, code):
    async def scenario(carrier, relay):
        with pytest.raises(LinkError) as caught:
            await PhoneClient(await carrier.open()).info()
        assert caught.value.code == code and TOKEN not in repr(caught.value)

    by_relay(house, scenario, *plan)


def test_r20_a_module_that_is_offline_is_named(house, at_once):
    house.call(lambda: setattr(house, "online", False))

    async def scenario(carrier, relay):
        with pytest.raises(LinkError) as caught:
            await PhoneClient(await carrier.open()).info()
        assert caught.value.code == "module_offline"

    by_relay(house, scenario)


def test_r20_a_link_that_is_left_is_closed_at_the_server(house):
    async def scenario(carrier, relay):
        client = PhoneClient(await carrier.open())
        await client.info()
        client.close()
        await carrier.close()
        assert relay.bodies[-1]["close"] and house.call(lambda: house.links[-1].closed)

    by_relay(house, scenario)


# Serial line


class Pty:
    """Both ends of a line."""

    def __init__(self):
        self.module_end, other = pty.openpty()
        self.path = os.ttyname(other)
        self._other = other
        self.heard = b""
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.module_end, self._read)

    def _read(self):
        self.heard += os.read(self.module_end, 4096)
        self._came.set()

    async def until(self, count):
        async with asyncio.timeout(60):
            while len(self.heard) < count:
                self._came.clear()
                await self._came.wait()

    def say(self, data):
        os.write(self.module_end, data)

    def close(self):
        asyncio.get_running_loop().remove_reader(self.module_end)
        os.close(self.module_end)
        os.close(self._other)


def on_a_line(scenario):
    async def run():
        line = Pty()
        carrier = SerialCarrier(line.path)
        try:
            await scenario(line, carrier)
        finally:
            await carrier.close()
            line.close()

    asyncio.run(run())


def test_r21_a_link_begins_with_zeros_and_without_what_was_left_on_the_line():
    async def scenario(line, carrier):
        opening = asyncio.create_task(carrier.open())
        await line.until(1)
        line.say(b"the end of the link before")
        await line.until(1026)
        line.say(b"and more of it")
        link = await opening
        assert line.heard == bytes(1026)
        line.say(b"\x01\x02")
        buffer = bytearray(8)
        async with asyncio.timeout(60):
            count = await link.read_into(buffer)
            while count < 2:
                count += await link.read_into(memoryview(buffer)[count:])
        assert buffer[:2] == b"\x01\x02"
        await link.write(bytes(range(200)))
        await line.until(1226)
        assert line.heard[1026:] == bytes(range(200))
        second = await carrier.open()
        with pytest.raises(LinkError):
            await link.write(b"late")
        assert await link.read_into(bytearray(1)) == 0
        await second.write(b"x")
        await line.until(1226 + 1026 + 1)

    on_a_line(scenario)


def test_what_floods_a_link_ends_it():
    async def scenario():
        inbox = Inbox()
        for _ in range(1000):
            inbox.put(bytes(1000))
        assert inbox.over and inbox.waiting <= 16_384
        while await inbox.read_into(bytearray(5000)):
            pass
        assert inbox.waiting == 0

    asyncio.run(scenario())
