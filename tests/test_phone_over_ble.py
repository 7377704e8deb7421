"""Operation 2 over BLE with the real firmware in the house: R18 whole, links lost, and phones that behave badly."""

import asyncio
import contextlib
import itertools

import pytest

from firmware import settings, wire
from firmware.errors import LinkError
from tests.test_gatt import shortened
from tools.flash import layout
from tools.flash.image import FlashImage
from tools.phone.client import PhoneClient, RefusedError
from tools.pps.services.credentials import GROUPS, Scope
from tools.sim.house import SERIAL, House

_TIMEOUT_S = 60  # the machine may be busy
_FIELD_IDS = {name: number for number, (name, _) in layout.FIELDS.items()}
_CUSTOMER = settings.GROUP_CUSTOMER
_VALUES = {"customer_name": "高橋 一郎", "address": "京都府京都市中京区", "pv_capacity_w": "8800"}
_BLE = settings.DOOR_BLE


class Technician:
    """Whoever has a credential for the house's module, and looks into its flash."""

    def __init__(self, house, credential):
        self.house = house
        self._credential = credential

    def flash(self):
        return FlashImage(self.house.flash.image())

    async def until(self, condition):
        async with asyncio.timeout(_TIMEOUT_S):
            while not condition():
                await asyncio.sleep(0.02)

    async def unlock(self, client):
        return await client.unlock(self._credential.id, self._credential.password)

    async def unlocked(self, radio, mtu=517):
        """A PhoneClient with a session, once the module lets one in; `link` is what it has it over."""
        async with asyncio.timeout(_TIMEOUT_S):
            while True:
                # It may not be rid yet of a link that is over, or have no buffer left beside one that is full.
                with contextlib.suppress(LinkError):
                    link = await radio.connect(mtu=mtu)
                    client = PhoneClient(link)
                    client.link = link
                    while (info := await client.info()).state == "busy" or info.delay_s:
                        await asyncio.sleep(0.2)
                    await self.unlock(client)
                    return client


def in_the_house(folder, test, phones=1, overlay=None, **order):
    """Run test(technician, *radios) in a new house whose module has taken a credential."""

    async def run():
        async with contextlib.AsyncExitStack() as stack:
            house = await stack.enter_async_context(House(folder, overlay=overlay))
            await house.start(fresh=True)
            scope = Scope(see=GROUPS, change=GROUPS, delete=GROUPS, recover=True)
            credential = await asyncio.to_thread(
                house.server.issue_credential, SERIAL, scope=scope, max_failures=20, **order
            )
            technician = Technician(house, credential)
            await technician.until(lambda: technician.flash().credential("sequence") == credential.sequence)
            radios = [await stack.enter_async_context(house.phones.radio()) for _ in range(phones)]
            await test(technician, *radios)
            assert house.module.faults == []
            assert not [line for line in house.module.output if "failed:" in line]

    asyncio.run(run())


@pytest.mark.parametrize("mtu", [None, 517])
def test_r18_operation_2_while_a_second_phone_is_told_busy(tmp_path, mtu):
    async def test(technician, radio, other):
        client = await technician.unlocked(radio, mtu)
        assert client.link.mtu == (mtu or 23)
        before = technician.flash()
        result = await client.change({_FIELD_IDS[name]: value for name, value in _VALUES.items()})
        after = technician.flash()
        assert (result.generation, result.repeated) == (before.guard[0] + 1, False)
        assert after.guard[0] == result.generation and after.seals_hold
        found = [str(after.field(name)) for name in _VALUES]
        assert found == list(_VALUES.values())
        assert (after.totals()["successes"], after.totals()["changes"], after.totals()["door"]) == (1, 1, _BLE)

        second = PhoneClient(await other.connect(mtu=mtu))
        assert (await second.info()).state == "busy"
        with pytest.raises(RefusedError) as refused:
            await technician.unlock(second)
        assert refused.value.code == "busy"
        assert technician.flash().totals()["attempts_ever"] == after.totals()["attempts_ever"]

        seen = await client.view(_CUSTOMER)
        assert seen[_FIELD_IDS["customer_name"]] == _VALUES["customer_name"]
        assert (await client.delete(_CUSTOMER)).generation == result.generation + 1
        after = technician.flash()
        assert after.seals_hold and after.field("customer_name") is None and after.field("address") is None
        assert str(after.field("pv_capacity_w")) == _VALUES["pv_capacity_w"]
        await client.end()
        await client.link.ended()
        await technician.unlock(second)

    in_the_house(tmp_path, test, phones=2)


@pytest.mark.parametrize("mtu", [None, 517])
def test_s6_the_link_is_lost_after_every_att_operation_of_a_change_which_is_done_once(tmp_path, mtu):
    async def test(technician, radio):
        client = await technician.unlocked(radio, mtu)
        traffic = client.link.traffic
        begun = traffic.round_trips + traffic.notifications
        await client.change({_FIELD_IDS["customer_name"]: "0" * 20})
        operations = traffic.round_trips + traffic.notifications - begun
        assert operations == (2 if mtu else 9)
        repeats = 0
        for operation in range(1, operations + 1):
            before = technician.flash()
            lose_after(radio, client.link, operation)
            name = str(operation) * 20
            try:
                result = await client.change({_FIELD_IDS["customer_name"]: name})
                assert operation == operations  # it was the last, and the answer is complete
            except LinkError:
                await client.link.ended()
                radio.come_back()
                client.link = await radio.connect(mtu=mtu)
                await client.resume(client.link)
                result = await client.repeat()
                repeats += result.repeated
            else:
                await client.link.ended()
                radio.come_back()
                client.link = await radio.connect(mtu=mtu)
                await client.resume(client.link)
            after = technician.flash()
            assert result.generation == after.guard[0] == before.guard[0] + 1
            assert after.totals()["changes"] == before.totals()["changes"] + 1
            assert after.field("customer_name") == name and after.seals_hold
        assert repeats >= (1 if mtu else 3)  # done, and the answer was lost
        assert technician.flash().totals()["attempts_ever"] == 1
        await client.end()

    in_the_house(tmp_path, test)


def lose_after(radio, link, operations):
    """The phone is out of reach as soon as so many answers and notifications more have come."""
    left = [operations]

    def count():
        left[0] -= 1
        if not left[0]:
            radio.vanish()

    link.traffic.listeners.append(count)


def test_fifty_rapid_writes_are_one_frame_and_nothing_is_lost(tmp_path):
    async def test(technician, radio):
        client = await technician.unlocked(radio)
        link = client.link
        whole = link.write

        async def in_fifty(data):
            data = bytes(data)
            step = len(data) // 50
            cuts = [step * number for number in range(50)] + [len(data)]
            assert step
            await asyncio.gather(*[whole(data[a:b], with_response=False) for a, b in itertools.pairwise(cuts)])

        link.write = in_fifty
        for number in range(3):
            text = str(number) * 100
            await client.change({_FIELD_IDS["address"]: text})
            assert technician.flash().field("address") == text
        assert (await client.view(_CUSTOMER))[_FIELD_IDS["address"]] == text
        await client.end()

    in_the_house(tmp_path, test)


# Phones that stop

_LIMITS = {
    "PHONE_SILENCE_S": 3,
    "PHONE_FRAME_S": 2,
    "PHONE_CONFIRM_S": 3,
    "PHONE_NO_LINK_MS": 3_000,
    "SESSION_IDLE_MS": 5_000,
    "BLE_WRITE_MS": 2_000,
}


class Stalling(PhoneClient):
    """Stops at a stage."""

    async def to(self, stage, technician):
        if stage == "nothing":
            return
        if stage == "part of a frame":
            await self._link.write(wire.frame(wire.SHARE_P, bytes(65))[:20])
            return
        await self.info()
        if stage == "info":
            return
        self._stage = stage
        with contextlib.suppress(Stopped):
            await technician.unlock(self)
        if stage == "part of a sealed frame":
            assert self._channel is not None
            await self._link.write(wire.frame(wire.SEALED_P, bytes(64))[:30])

    async def _send(self, kind, *parts):
        if kind == wire.CONFIRM_P and self._stage == "share V":
            raise Stopped
        if kind == wire.CONFIRM_P and self._stage == "part of confirm P":
            await self._link.write(wire.frame(kind, *parts)[:20])
            raise Stopped
        await super()._send(kind, *parts)
        if kind == wire.SHARE_P and self._stage == "share P":
            raise Stopped

    _stage = None


class Stopped(Exception):
    """It says nothing more."""


_STAGES = (
    "nothing",
    "part of a frame",
    "info",
    "share P",
    "share V",
    "part of confirm P",
    "session",
    "part of a sealed frame",
)
_SPENDS_AN_ATTEMPT = _STAGES[3:]


@pytest.mark.parametrize(("stages", "takes"), [(_STAGES, True), (("share P", "session"), False)])
def test_r13_a_phone_that_stalls_in_any_stage_frees_the_module(tmp_path, stages, takes):
    async def test(technician, radio, other):
        for stage in stages:
            before = technician.flash().totals().get("attempts_ever", 0)
            link = await radio.connect()
            await Stalling(link).to(stage, technician)
            if not takes:
                radio.take_nothing()
            client = await technician.unlocked(other)
            await client.end()
            spent = technician.flash().totals()["attempts_ever"] - before - 1
            assert spent == (stage in _SPENDS_AN_ATTEMPT), stage
            await link.ended(_TIMEOUT_S)
            radio.take_again()

    in_the_house(tmp_path, test, phones=2, overlay=shortened(**_LIMITS), max_successes=20)


def test_a_phone_that_never_subscribes_and_one_that_takes_nothing_leave_the_module_to_others(tmp_path):
    async def test(technician, radio, other):
        deaf = await radio.connect(subscribe=False)
        for _ in range(3):
            await deaf.write(wire.frame(wire.ASK_INFO))
        await deaf.write(wire.frame(wire.SHARE_P, bytes(65)))  # refused, if it heard it
        client = await technician.unlocked(other)
        await client.end()
        await deaf.ended(_TIMEOUT_S)
        assert deaf.notifications == 0

        full = await radio.connect()
        radio.take_nothing()
        with contextlib.suppress(LinkError):
            for _ in range(300):
                await full.write(wire.frame(wire.ASK_INFO), with_response=False)
        client = await technician.unlocked(other)
        await client.change({_FIELD_IDS["pv_capacity_w"]: "5500"})
        await client.end()
        assert technician.flash().field("pv_capacity_w") == 5500
        await full.ended(_TIMEOUT_S)

    in_the_house(tmp_path, test, phones=2, overlay=shortened(**_LIMITS), max_successes=20)
