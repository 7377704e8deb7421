"""A phone and a module that meet at the PPS's server (R20): the real firmware in its interpreter, real TLS, both ends'
own code, and what goes wrong on the way."""

import asyncio
import contextlib

import pytest
import pytest_asyncio

from firmware import settings
from tests.link import micropython
from tests.link.authority import scalar
from tests.pps_client import Clock, certificate_request, new_key, running_server
from tests.relay_client import RelayPhoneLink, token_of
from tests.test_link_server import SERIAL, files
from tools.phone.client import EndedError, MessageError, PhoneClient, RefusedError

pytestmark = pytest.mark.asyncio

NAME = "山田 花子"
CUSTOMER_NAME = 0x11


class House:
    """A server, and a module whose credential goes through the relay."""

    def __init__(self, folder, server):
        self.folder = folder
        self.server = server
        self.ports = {"module_port": server.module_port, "enrol_port": server.enrol_port}
        server.register_module(SERIAL, "a house")
        key = new_key()
        certificate = server.certify_connection(SERIAL, certificate_request(key, SERIAL))
        given = files(folder, server.ca.pps.certificate_der, certificate, scalar(key))
        self._talk = micropython.Talk(
            "relay_module", given | {"port": server.module_port, "retry_ms": 200}, timeout_s=120
        )

    async def start(self):
        self._talk.__enter__()
        await self.issue()

    async def issue(self, **order):
        """A credential, which the module then has."""
        self.issued = self.server.issue_credential(SERIAL, relay=True, **order)
        wanted = self.issued.sequence
        await asyncio.to_thread(
            self._talk.until, lambda line: line["credential"] and line["credential"]["sequence"] == wanted
        )

    async def stop(self):
        await asyncio.to_thread(self._talk.__exit__)

    def link(self, **options):
        url = f"https://localhost:{self.ports['enrol_port']}/v1/relay"
        return RelayPhoneLink(url, token_of(self.issued.text), **options)

    @contextlib.asynccontextmanager
    async def phone(self, **options):
        link = self.link(**options)
        try:
            yield PhoneClient(link)
        finally:
            await link.phone.drop()

    async def until_trail(self, *expected):
        """Until the server's audit trail says so of conversations: None for a beginning, or why one ended."""
        async with asyncio.timeout(60):
            while self._trail() != expected:
                await asyncio.sleep(0.05)

    def _trail(self):
        rows, _ = self.server.services.audit.actions()
        return tuple(action.detail.get("reason") for action, _ in reversed(rows) if action.operator == "relay")


@pytest_asyncio.fixture
async def house(tmp_path):
    async with running_server(tmp_path / "pps", Clock()) as server:
        house = House(tmp_path, server)
        try:
            await house.start()
            yield house
        finally:
            await house.stop()


async def see_change_and_end(house, phone):
    """A session from beginning to end."""
    status = await phone.unlock(house.issued.id, house.issued.password)
    assert status.changes_left == 20
    assert (await phone.view(settings.GROUP_CUSTOMER))[CUSTOMER_NAME] == ""
    result = await phone.change({CUSTOMER_NAME: NAME})
    assert (result.generation, result.changes_left) == (status.generation + 1, 19)
    assert (await phone.view(settings.GROUP_CUSTOMER))[CUSTOMER_NAME] == NAME
    await phone.end()


async def test_r20_a_session_from_afar(house):
    async with house.phone() as phone:
        await see_change_and_end(house, phone)
    await house.until_trail(None, "module")
    async with house.phone() as phone:
        info = await phone.info()
        assert (info.state, info.serial, info.failures_left) == ("waiting", SERIAL, 3)
    async with asyncio.timeout(60):
        while not any(record.event == "change" for record, _ in house.server.services.audit.records()[0]):
            await asyncio.sleep(0.05)
    records, _ = house.server.services.audit.records()
    assert {record.door for record, _ in records if record.event in ("success", "change")} == {"relay"}


async def test_s5_wrong_passwords_from_afar_are_counted_and_two_are_left_for_the_keypad(house):
    async with house.phone() as phone:
        for left in (2, 1, 0):
            with pytest.raises(RefusedError) as caught:
                await phone.unlock(house.issued.id, "00000000")
            assert (caught.value.code, caught.value.failures_left) == ("wrong", left)
            async with asyncio.timeout(60):
                while (await phone.info()).delay_s:
                    await asyncio.sleep(0.05)
        with pytest.raises(RefusedError) as caught:
            await phone.unlock(house.issued.id, house.issued.password)
        assert caught.value.code == "locked"


async def test_r20_every_answer_to_the_phone_is_lost_once(house):
    async with house.phone(lossy=True) as phone:
        await see_change_and_end(house, phone)


async def test_r20_every_other_answer_to_the_module_is_lost(house, monkeypatch):
    """What it asked for has been done by then."""
    relay = house.server.services.relay
    lost = []

    def losing(work):
        def work_and_fail(*arguments):
            result = work(*arguments)
            lost.append(work.__name__)
            if (len(lost) % 2 and result is not None) or len(lost) % 3 == 0:
                raise RuntimeError("lost")
            return result

        return work_and_fail

    for name in ("for_module", "from_module"):
        monkeypatch.setattr(relay, name, losing(getattr(relay, name)))
    async with house.phone(wait_s=2) as phone:
        await see_change_and_end(house, phone)
    assert set(lost) == {"for_module", "from_module"}


async def test_r20_the_server_restarts_in_the_middle(house):
    async with house.phone(patient=True) as phone:
        status = await phone.unlock(house.issued.id, house.issued.password)
        await house.server.stop()
        async with running_server(house.folder / "pps", Clock(), **house.ports) as server:
            house.server = server
            await phone.change({CUSTOMER_NAME: NAME})
            assert (await phone.status()).generation == status.generation + 1
            await phone.end()
            await house.until_trail(None, "module")


async def test_r8_a_link_that_breaks_is_resumed_in_another_conversation(house):
    async with house.phone() as phone:
        await phone.unlock(house.issued.id, house.issued.password)
        another = house.link()
        await phone.resume(another)
        await phone.change({CUSTOMER_NAME: NAME})
        await phone.end()
        await another.phone.drop()
    await house.until_trail(None, "replaced", None, "module")


async def test_r8_the_last_success_lets_the_session_finish(house):
    await house.issue(max_successes=1)
    async with house.phone() as phone:
        await phone.unlock(house.issued.id, house.issued.password)
        async with asyncio.timeout(60):
            while house.server.services.credentials.of_module(1)[0].ended != "successes":
                await asyncio.sleep(0.05)
        await phone.change({CUSTOMER_NAME: NAME})
        another = house.link()
        await phone.resume(another)
        assert (await phone.view(settings.GROUP_CUSTOMER))[CUSTOMER_NAME] == NAME
        await phone.end()
        await another.phone.drop()


async def test_r8_a_revocation_ends_the_session_and_says_so(house):
    async with house.phone() as phone:
        await phone.unlock(house.issued.id, house.issued.password)
        house.server.revoke_credentials(SERIAL)
        with pytest.raises(EndedError) as caught:
            while True:
                await phone.status()
        assert caught.value.reason == "revoked"


async def test_r15_an_enrolment_from_afar_keeps_its_conversation(house):
    """The link has no connection meanwhile; its progress is told late, its outcome behind it."""
    told = []
    async with house.phone() as phone:
        await phone.unlock(house.issued.id, house.issued.password)
        with pytest.raises(MessageError) as caught:
            await phone.enrol("localhost:1", "0" * 20, lambda done, total: told.append(done))
        assert (caught.value.code, caught.value.reason) == ("enrol", "code_refused")
        assert told
        await phone.end()
    await house.until_trail(None, "module")
