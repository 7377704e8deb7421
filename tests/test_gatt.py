"""The BLE driver on the virtual board: the carrier that docs/protocol.md describes, with phones on the other side."""

import asyncio
import contextlib
import re

import pytest

from firmware import settings
from firmware.errors import LinkError
from tests.ble_rig import in_the_air, read
from tools.setup import ROOT

SERIAL = "INK-00000001"
TERMINATED_BY_PEER = 0x13
SUPERVISION_TIMEOUT = 0x08

# Echoes what a phone writes, and obeys some words.
ECHO = """
    import gc
    import time
    info = bytearray(b"\\x01\\x02" + bytes(43))
    async def serve(link):
        print("link", link.handle)
        buffer = bytearray(1026)
        while True:
            count = await link.read_into(buffer)
            if not count:
                print("over", link.handle)
                return
            words = bytes(memoryview(buffer)[:count])
            if words == b"fail":
                raise ValueError("secret 1234")
            if words == b"state":
                info[1] = 3
                server.set_info(info, 3)
                print("state changed")
            if words == b"same":
                server.set_info(bytes(info), info[1])
            if words == b"block":
                print("busy")
                time.sleep_ms(1500)
                print("free again")
                continue
            if words == b"return":
                return
            if words == b"flood":
                words = bytes(1026)
                while True:
                    await link.write(words)
            await link.write(memoryview(buffer)[:count])
    server = board.gatt("INK-00000001", serve)
    server.set_info(info, 2)
    print("up")
    await server.run()
"""

# Takes what came only when a key of the console's says so.
LAZY = """
    import sys
    line = asyncio.StreamReader(sys.stdin)
    async def serve(link):
        print("link", link.handle)
        await line.readline()
        buffer = bytearray(4096)
        total = 0
        while total < 1026:
            count = await link.read_into(memoryview(buffer)[total:])
            if not count:
                break
            total += count
        print("got", total, bytes(memoryview(buffer)[:3]), bytes(memoryview(buffer)[total - 3:total]))
    server = board.gatt("INK-00000001", serve)
    server.set_info(bytes((1, 0)), 0)
    await server.run()
"""


def stream(seed, size):
    return bytes((seed + at * 7 + at // 251) & 0xFF for at in range(size))


def shortened(**limits):
    """settings.py with other limits, so that a test need not wait for the real ones."""
    text = (ROOT / "firmware" / "settings.py").read_text()
    for name, value in limits.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1
    return {"firmware/settings.py": text}


@pytest.mark.parametrize(("mtu", "agreed", "notifications"), [(None, 23, 52), (185, 185, 6), (517, 517, 2)])
def test_the_longest_frame_goes_both_ways_whatever_the_mtu(tmp_path, mtu, agreed, notifications):
    body = """
        async def serve(link):
            buffer = bytearray(1026)
            count = 0
            while count < 1026:
                count += await link.read_into(memoryview(buffer)[count:])
            await link.write(buffer)
            await link.read_into(buffer)
        server = board.gatt("INK-00000001", serve)
        server.set_info(bytes((1, 0)), 0)
        await server.run()
    """

    async def test(module, phone):
        link = await phone.connect(mtu=mtu)
        assert link.mtu == agreed
        frame = stream(1, settings.BLE_BUFFER_BYTES)
        await link.write(frame)
        assert await read(link, len(frame)) == frame
        assert link.notifications == notifications

    in_the_air(tmp_path, body, test)


@pytest.mark.parametrize("with_response", [True, False])
def test_fifty_rapid_writes_arrive_in_order(tmp_path, with_response):
    async def test(module, phone):
        link = await phone.connect()
        sent = stream(5, 1000)
        pieces = [sent[at : at + 20] for at in range(0, len(sent), 20)]
        assert len(pieces) == 50
        await asyncio.gather(*[link.write(piece, with_response) for piece in pieces])
        assert await read(link, len(sent)) == sent

    in_the_air(tmp_path, ECHO, test)


def test_a_write_longer_than_the_mtu_that_the_stack_puts_together(tmp_path):
    async def test(module, phone):
        link = await phone.connect(mtu=None)
        sent = stream(9, settings.BLE_VALUE_BYTES)
        await link.write_long(sent)
        assert await read(link, len(sent)) == sent

    in_the_air(tmp_path, ECHO, test)


def test_streams_of_two_phones_do_not_mix(tmp_path):
    async def test(module, *phones):
        links = [await phone.connect(mtu=mtu) for phone, mtu in zip(phones, (None, 100), strict=True)]
        await module.wait_output("link 1")
        sent = [stream(seed, 3000) for seed in (11, 200)]

        async def talk(link, data, size):
            for at in range(0, len(data), size):
                await link.write(data[at : at + size])
                assert await read(link, len(data[at : at + size])) == data[at : at + size]

        await asyncio.gather(talk(links[0], sent[0], 60), talk(links[1], sent[1], 90))
        assert [link.notifications for link in links] == [150, 34], "each got its own and nothing else"

    in_the_air(tmp_path, ECHO, test, phones=2)


def test_writes_of_two_phones_while_the_event_loop_is_busy(tmp_path):
    async def test(module, *phones):
        links = [await phone.connect() for phone in phones]
        sent = [stream(seed, 1000) for seed in (11, 200)]
        await links[0].write(b"block")
        await module.wait_output("busy")
        # All of it waits for the module, and comes in one go.
        for at in range(0, 1000, 100):
            for link, data in zip(links, sent, strict=True):
                await link.write(data[at : at + 100], with_response=False)
        assert await read(links[0], 1000) == sent[0]
        assert await read(links[1], 1000) == sent[1]

    in_the_air(tmp_path, ECHO, test, phones=2)


def test_what_is_not_read_yet_is_kept_up_to_the_buffers_size(tmp_path):
    async def test(module, phone):
        link = await phone.connect()
        sent = stream(7, settings.BLE_BUFFER_BYTES)
        await link.write(sent)
        module.write_console("go")
        await module.wait_output(re.escape(f"got 1026 {sent[:3]!r} {sent[-3:]!r}"))

    in_the_air(tmp_path, LAZY, test)


@pytest.mark.parametrize("with_response", [True, False])
def test_a_stream_that_would_get_a_gap_ends(tmp_path, with_response):
    async def test(module, phone):
        link = await phone.connect()
        await link.write(bytes(settings.BLE_BUFFER_BYTES))
        with contextlib.suppress(LinkError):  # the answer and the end may cross
            await link.write(b"x", with_response)
        assert await link.ended() == TERMINATED_BY_PEER
        module.write_console("go")
        await module.wait_output("got 0")

    in_the_air(tmp_path, LAZY, test)


def test_handles_begin_at_zero(tmp_path):
    async def test(module, *phones):
        for number, phone in enumerate(phones):
            link = await phone.connect()
            await module.wait_output(f"link {number}")
            await link.write(b"hello")
            assert await read(link, 5) == b"hello"

    in_the_air(tmp_path, ECHO, test, phones=2)


def test_advertising_says_who_and_in_what_state(tmp_path):
    async def test(module, phone):
        found = await phone.scan()
        service = bytes.fromhex(settings.BLE_SERVICE_UUID.replace("-", ""))[::-1]
        assert found.raw == (
            b"\x02\x01\x06\x11\x07" + service + b"\x05\xff\xff\xff\x01\x02\x0f\x09Inkan 00000001"
        )
        assert (found.name, found.protocol, found.state, found.connectable) == ("Inkan 00000001", 1, 2, True)

    in_the_air(tmp_path, ECHO, test)


def test_a_change_of_state_is_in_the_next_advertisement(tmp_path):
    async def test(module, phone, other):
        link = await phone.connect()
        assert (await other.scan()).state == 2
        await link.write(b"state")
        await module.wait_output("state changed")
        assert (await other.scan()).state == 3
        assert (await phone.scan()).state == 3, "a phone that is connected sees it too"
        async with asyncio.timeout(60):
            assert (await link.infos.get())[:2] == b"\x01\x03"

    in_the_air(tmp_path, ECHO, test, phones=2)


@pytest.mark.parametrize("mtu", [None, 517])
def test_info_is_read_whole_and_notified_only_when_it_changes(tmp_path, mtu):
    async def test(module, phone):
        link = await phone.connect(mtu=mtu)
        assert await link.read_info() == b"\x01\x02" + bytes(43)
        for word in (b"same", b"state", b"same"):
            await link.write(word)
            await read(link, len(word))
        assert await link.read_info() == b"\x01\x03" + bytes(43)
        assert link.infos.qsize() == 1

    in_the_air(tmp_path, ECHO, test)


def test_a_third_phone_finds_it_but_waits_until_there_is_room(tmp_path):
    async def test(module, first, second, third):
        links = [await phone.connect() for phone in (first, second)]
        await module.wait_output("link 1")
        found = await third.scan()
        assert not found.connectable
        await links[0].write(b"state")
        await module.wait_output("state changed")
        assert (await third.scan()).state == 3
        waiting = asyncio.ensure_future(third.connect())
        links[1].close()
        link = await waiting
        await link.write(b"hello")
        assert await read(link, 5) == b"hello"
        await links[0].write(b"still here")
        await read(links[0], len(b"state"))
        assert await read(links[0], 10) == b"still here"

    in_the_air(tmp_path, ECHO, test, phones=3)


def test_it_advertises_again_after_each_end(tmp_path):
    async def test(module, phone):
        for end in ("close", "return", "fail", "close", "return"):
            link = await phone.connect()
            if end == "close":
                link.close()
            else:
                await link.write(end.encode(), with_response=False)
                assert await link.ended() == TERMINATED_BY_PEER
            await link.ended()
        link = await phone.connect()
        await link.write(b"hello")
        assert await read(link, 5) == b"hello"

    in_the_air(tmp_path, ECHO, test)


def test_r4_a_link_that_fails_is_told_without_its_message(tmp_path):
    async def test(module, phone):
        link = await phone.connect()
        await link.write(b"fail", with_response=False)
        await module.wait_output("^link failed: ValueError *$")
        await link.ended()
        assert not any("secret" in line for line in module.output)

    in_the_air(tmp_path, ECHO, test)


def test_a_phone_that_never_subscribes_makes_nothing_hang(tmp_path):
    async def test(module, deaf, other):
        unheard = await deaf.connect(subscribe=False)
        link = await other.connect()
        for _ in range(3):
            await unheard.write(stream(3, 1000))
            await link.write(b"hello")
            assert await read(link, 5) == b"hello"
        assert unheard.notifications == 0

    in_the_air(tmp_path, ECHO, test, phones=2)


def test_a_phone_that_takes_nothing_is_let_go(tmp_path):
    async def test(module, phone, other):
        link = await phone.connect()
        phone.take_nothing()
        await link.write(b"flood", with_response=False)  # the answer would not be taken either
        await module.wait_output("link failed: LinkError timeout")
        assert await link.ended() == TERMINATED_BY_PEER
        phone.take_again()
        again = await other.connect()
        await again.write(b"hello")
        assert await read(again, 5) == b"hello"

    in_the_air(tmp_path, ECHO, test, phones=2, files=shortened(BLE_WRITE_MS=300))


def test_a_phone_that_pauses_loses_nothing(tmp_path):
    async def test(module, phone):
        link = await phone.connect()
        phone.take_nothing()
        await link.write(b"flood", with_response=False)
        waiting = module.circuit.ble
        while waiting.packets_waiting() < 36:
            await asyncio.sleep(0)
        phone.take_again()
        assert await read(link, 50 * 1026) == bytes(50 * 1026)

    in_the_air(tmp_path, ECHO, test)


@pytest.mark.parametrize("word", [b"part of a frame", b"flood"])
def test_a_phone_that_vanishes_frees_its_place(tmp_path, word):
    async def test(module, phone, other):
        link = await phone.connect()
        await module.wait_output("link 0")
        await link.write(word)
        phone.vanish()
        await module.wait_output("over 0" if word != b"flood" else "link failed: LinkError closed")
        assert await link.ended() == SUPERVISION_TIMEOUT
        with pytest.raises(LinkError):
            await link.write(b"too late")
        first, second = await other.connect(), None
        phone.come_back()
        second = await phone.connect()
        for again in (first, second):
            await again.write(b"hello")
            assert await read(again, 5) == b"hello"

    in_the_air(tmp_path, ECHO, test, phones=2)


def test_a_connection_with_the_handle_of_one_that_is_not_cleaned_up_is_refused(tmp_path):
    async def test(module, phone, other):
        link = await phone.connect()
        await link.write(b"block", with_response=False)
        await module.wait_output("busy")
        link.close()
        await link.ended()
        # The module hears of both at once, after its event loop was busy.
        early = await other.connect()
        assert await early.ended() == TERMINATED_BY_PEER
        await module.wait_output("free again")
        again = await other.connect()
        await again.write(b"hello")
        assert await read(again, 5) == b"hello"
        again.close()
        await again.ended()
        await module.wait_output("over 0")
        assert not any("rror" in line for line in module.output)

    in_the_air(tmp_path, ECHO, test, phones=2)


def test_closing_ends_reads_and_writes_under_way(tmp_path):
    body = """
        from firmware.errors import LinkError
        async def reading(link):
            print("read", await link.read_into(bytearray(4)))
        async def writing(link):
            try:
                while True:
                    await link.write(bytes(1000))
            except LinkError as error:
                print("write", error.code)
        async def serve(link):
            buffer = bytearray(4)
            try:
                await asyncio.wait_for_ms(link.read_into(buffer), 20)
            except asyncio.TimeoutError:
                print("nothing yet")
            print("count", await link.read_into(buffer), bytes(buffer))
            print("count", await link.read_into(buffer), bytes(buffer[:2]))
            tasks = [asyncio.create_task(one(link)) for one in (reading, writing)]
            await asyncio.sleep_ms(50)
            link.close()
            link.close()
            await asyncio.gather(*tasks)
            await reading(link)
            await writing(link)
            print("done")
        server = board.gatt("INK-00000001", serve)
        server.set_info(bytes((1, 0)), 0)
        await server.run()
    """

    async def test(module, phone):
        link = await phone.connect()
        await module.wait_output("nothing yet")
        await link.write(b"abcdef")
        await module.wait_output("done")
        assert await link.ended() == TERMINATED_BY_PEER
        said = [line for line in module.output if line.startswith(("read", "write", "count"))]
        assert said[:2] == ["count 4 b'abcd'", "count 2 b'ef'"]
        assert sorted(said[2:]) == ["read 0", "read 0", "write closed", "write closed"]

    in_the_air(tmp_path, body, test)


def test_a_power_cut_takes_the_link_down_and_it_comes_back(tmp_path):
    async def test(module, phone):
        for _ in range(2):
            link = await phone.connect()
            await link.write(b"half a fra")
            await module.power_off()
            assert await link.ended() == SUPERVISION_TIMEOUT
            await module.power_on()
        link = await phone.connect()
        await link.write(b"hello")
        assert await read(link, 5) == b"hello", "a new connection begins the streams anew"

    in_the_air(tmp_path, ECHO, test)


def test_a_radio_that_fails_is_named_and_one_that_fails_once_is_tried_again(tmp_path):
    body = """
        import bluetooth
        from firmware.drivers import DriverError
        def fail(*arguments, **options):
            raise OSError(5)
        works = bluetooth.BLE.active, bluetooth.BLE.gap_advertise
        bluetooth.BLE.active = fail
        try:
            board.gatt("INK-00000001", None)
        except DriverError as error:
            print("refused", error.code)
        bluetooth.BLE.active, bluetooth.BLE.gap_advertise = works[0], fail
        async def serve(link):
            await link.read_into(bytearray(1))
        server = board.gatt("INK-00000001", serve)
        server.set_info(bytes((1, 0)), 0)
        task = asyncio.create_task(server.run())
        await asyncio.sleep_ms(1)
        server.set_info(bytes((1, 4)), 4)
        print("failed")
        bluetooth.BLE.gap_advertise = works[1]
        await task
    """

    async def test(module, phone):
        await module.wait_output("refused ble_radio")
        await module.wait_output("failed")
        assert (await phone.scan()).state == 4

    in_the_air(tmp_path, body, test, files=shortened(BLE_RADIO_RETRY_MS=10))


def test_a_connection_for_which_there_is_no_memory_is_ended_and_the_next_is_served(tmp_path):
    body = """
        import aioble.core
        import bluetooth
        told, advertise, create_task = aioble.core.ble_irq, bluetooth.BLE.gap_advertise, asyncio.create_task
        # At the event twice, and then in advertising again; in aioble's task; in the link's own.
        fails = ["advertise", "event", "event"]
        tasks = [True, False, True]
        def event(number, data):
            if number == 1 and "event" in fails:
                fails.remove("event")
                raise MemoryError
            return told(number, data)
        def once(*arguments, **options):
            if fails == ["advertise"]:
                fails.clear()
                raise MemoryError
            return advertise(*arguments, **options)
        def task(coroutine):
            if tasks and tasks.pop():
                raise MemoryError
            return create_task(coroutine)
        aioble.core.ble_irq, bluetooth.BLE.gap_advertise = event, once
        async def serve(link):
            await link.read_into(bytearray(1))
            await link.write(b"served")
            await link.read_into(bytearray(1))
        server = board.gatt("INK-00000001", serve)
        server.set_info(bytes((1, 0)), 0)
        asyncio.create_task = task
        await server.run()
    """

    async def ask(phone):
        """What came of a connection, b"" where it was ended."""
        with contextlib.suppress(LinkError, phone.REFUSED):
            link = await phone.connect()
            await link.write(b"?")
            buffer = bytearray(6)
            return bytes(buffer[: await link.read_into(buffer)])
        return b""

    async def test(module, phone):
        async with asyncio.timeout(60):
            assert [await ask(phone) for _ in range(5)] == [b""] * 4 + [b"served"]

    in_the_air(tmp_path, body, test, files=shortened(BLE_RADIO_RETRY_MS=10))
