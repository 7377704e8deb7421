"""The Python phone against the module's unit: R18 from end to end, R15 by phone, S6 and the errors by their types."""

import asyncio

import pytest
from phone_rig import BLE, RELAY, link_pair, phone_message, run
from unit_rig import ID, PASSWORD, SALT, SERIAL
from virtual_time import sleep_ms

from firmware import settings, wire
from firmware.errors import LinkError
from tools.phone.client import ChannelError, EndedError, MessageError, PhoneClient, RefusedError
from tools.phone.spake2plus import ProverError

LINE = {0x51: "https://pps.example", 0x53: b"\x30\x00", 0x54: b"\x30\x00", 0x55: b"\x07" * 32}


def client_of(rig, door=BLE):
    phone = rig.link(door)
    client = PhoneClient(phone.end)
    client.module_end = phone.module_end
    return client


async def unlocked(rig):
    client = client_of(rig)
    await client.unlock(ID, PASSWORD)
    return client


def test_r18_a_session_from_end_to_end():
    async def scenario(rig):
        client = client_of(rig)
        info = await client.info()
        assert (info.state, info.failures_left, info.password_digits) == ("waiting", 3, 8)
        assert (info.serial, info.salt, info.iterations, info.has_panel) == (SERIAL, SALT, 1000, True)
        status = await client.unlock(ID, PASSWORD)
        assert (status.generation, status.changes_left, status.idle_s) == (1, 20, 180)
        assert status.see == status.change == status.delete == {1, 2, 3, 4, 5}
        result = await client.change({0x12: "123-4567", 0x11: "山田 太郎"})
        assert result == (2, 19, False)
        assert await client.view(1) == {0x11: "山田 太郎", 0x12: "1234567", 0x13: "", 0x14: ""}
        await client.delete(1, [0x11])
        assert await client.delete(4) == (4, 17, False)
        assert (await client.status()).generation == 4
        await client.end()
        assert client._keys is None
        assert rig.control.session is None

    run(scenario)


def test_r13_refused_says_what_is_left():
    async def scenario(rig):
        client = client_of(rig)
        for user_id, password, left in ((ID, "00000000", 2), ("00000000", PASSWORD, 1)):
            with pytest.raises(RefusedError) as caught:
                await client.unlock(user_id, password)
            assert (caught.value.code, caught.value.failures_left) == ("wrong", left)
            assert password not in repr(caught.value)
            await sleep_ms(caught.value.delay_ms)
        await client.unlock(ID, PASSWORD)
        with pytest.raises(RefusedError) as caught:
            await client_of(rig).unlock(ID, PASSWORD)
        assert caught.value.code == "busy"

    run(scenario)


def test_s2_the_phone_refuses_too_few_iterations_before_it_tries():
    async def scenario(rig):
        client = client_of(rig)
        told = rig.unit.info
        for iterations in (0, 999, 100_001):
            wrong = iterations.to_bytes(4, "little")
            rig.unit.info = lambda door, wrong=wrong: told(door)[:8] + wrong + told(door)[12:]
            with pytest.raises(ProverError):
                await client.unlock(ID, PASSWORD)
        assert rig.attempts.attempts == 0
        rig.unit.info = lambda door: b"\x02" + told(door)[1:]
        with pytest.raises(ChannelError):
            await client.unlock(ID, PASSWORD)

    run(scenario)


def test_errors_say_which_and_why_and_the_session_goes_on():
    async def scenario(rig):
        client = await unlocked(rig)
        with pytest.raises(MessageError) as caught:
            await client.change({0x31: "99" + "1" * 20})
        assert (caught.value.code, caught.value.field_id, caught.value.reason) == ("field", 0x31, "bad_area")
        with pytest.raises(MessageError) as caught:
            await client.change({0x51: "https://x.example"})
        assert (caught.value.code, caught.value.reason) == ("not_allowed", "")
        client.generation = 9
        with pytest.raises(MessageError) as caught:
            await client.change({0x11: "a"})
        assert caught.value.code == "stale"
        client.generation = (await client.status()).generation
        assert (await client.change({0x11: "a"})).generation == 2

    run(scenario)


def test_r15_enrolment_by_phone():
    async def scenario(rig):
        async def enrolment(progress):
            for done in range(5):
                progress(done, 5)
                await sleep_ms(1000)
            return LINE

        rig.enrol = enrolment
        client = await unlocked(rig)
        told = []
        result = await client.enrol("pps.example", "1" * 20, lambda done, total: told.append((done, total)))
        assert result == (2, 19, False) and told and told[-1] == (4, 5)
        assert rig.enrolled == [("pps.example", "1" * 20)]
        assert (await client.view(5))[0x55] == "stored"

    run(scenario)


def test_s6_a_lost_answer_is_asked_for_again_over_another_link():
    async def scenario(rig):
        client = await unlocked(rig)
        client.module_end.gate = lambda data: None
        with pytest.raises(LinkError):
            await client.change({0x11: "山田"})
        assert rig.attempts.changes == 1
        status = await client.resume(rig.link(RELAY).end)
        assert status.generation == 2
        assert await client.repeat() == (2, 19, True)
        assert await client.repeat() is None
        assert (await client.change({0x11: "田中"})) == (3, 18, False)
        assert (rig.attempts.changes, rig.attempts.successes) == (2, 1)

    run(scenario)


def test_r16_the_end_comes_by_its_reason():
    async def scenario(rig):
        client = await unlocked(rig)
        rig.acquisition.revoke(settings.ISSUER_CONNECTION, 1)
        await sleep_ms(0)
        with pytest.raises(EndedError) as caught:
            await client._hear(wire.STATUS_IS)
        assert caught.value.reason == "revoked"
        with pytest.raises(ChannelError):
            await client.status()
        with pytest.raises(ChannelError):
            await client.resume(rig.link().end)

    run(scenario)


def test_s19_recovery_by_phone():
    async def scenario(rig):
        rig.detection.latch("vault_seal")
        rig.acquisition.accept(phone_message(2, {"recover": True}), settings.ISSUER_CONNECTION)
        client = client_of(rig)
        assert (await client.info()).recovers
        status = await client.unlock(ID, PASSWORD)
        assert status.may_wipe and not status.see
        await client.wipe()
        status = await client.status()
        assert not status.may_wipe and status.see
        await client.change({0x11: "a"})

    run(scenario)


@pytest.mark.parametrize("at", [*range(0, 19, 3), 20, 34, 40, 60, 82])
def test_s16_a_module_s_frame_that_was_changed_ends_it_for_the_phone(at):
    async def scenario(rig):
        client = await unlocked(rig)

        def flip(data):
            data = bytearray(data)
            data[at] ^= 2
            return bytes(data)

        client.module_end.gate = flip
        with pytest.raises((ChannelError, LinkError)) as caught:
            await client.status()
        if isinstance(caught.value, ChannelError):
            assert client._keys is None
        else:
            assert at < 2  # a length that waits for more

    run(scenario)


def test_s16_a_module_s_frame_played_back_ends_it_for_the_phone():
    async def scenario(rig):
        client = await unlocked(rig)
        await client.status()
        last = client.module_end.sent[-83:]
        client.module_end.gate = lambda data: last
        with pytest.raises(ChannelError) as caught:
            await client.status()
        assert caught.value.code == "seal"

    run(scenario)


def test_a_false_module_that_knows_nothing_learns_no_proof():
    async def scenario(rig):
        ends = link_pair()
        client = PhoneClient(ends[1])

        async def false_module():
            reader = wire.FrameReader()
            while True:
                frame = reader.next()
                if frame is None:
                    count = await ends[0].read_into(reader.room())
                    if not count:
                        return
                    reader.add(count)
                    continue
                heard.append(frame[0])
                if frame[0] == wire.ASK_INFO:
                    await ends[0].write(wire.frame(wire.INFO, rig.unit.info(BLE)))
                elif frame[0] == wire.SHARE_P:
                    # Its own share back, which is a point of the curve.
                    await ends[0].write(wire.frame(wire.SHARE_V, bytes(frame[1:]), bytes(32)))
                else:
                    await ends[0].write(wire.frame(wire.REFUSED, b"\x01\x02\x00\x00\x00\x00"))

        heard = []
        task = asyncio.create_task(false_module())
        with pytest.raises(RefusedError):
            await client.unlock(ID, PASSWORD)
        assert heard == [wire.ASK_INFO, wire.SHARE_P, wire.GIVE_UP]
        task.cancel()

    run(scenario)


def test_a_module_that_says_nothing_is_given_up():
    async def scenario(rig):
        client = PhoneClient(link_pair()[1])
        with pytest.raises(LinkError) as caught:
            await client.info()
        assert caught.value.code == "timeout"

    run(scenario)
