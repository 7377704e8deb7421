"""The BLE radio: MicroPython's `bluetooth` over its wire, Bumble behind it, and the air between radios."""

import asyncio
import contextlib

import pytest
from bumble.transport import open_transport

from tests.ble_rig import in_the_air
from tools.sim.air import Air, Radio
from tools.sim.chips import ble as chip
from tools.sim.chips.ble import Ble
from tools.sim.phone_radio import PhoneRadio

UUIDS = ("51644326", "51644327", "51644328", "51644329")  # of the module's service, which phones look for

# A service like the module's, straight on the radio. `event` may be replaced, `handles` are info, in and out.
RADIO = """
    import bluetooth
    from bluetooth import BLE, UUID, FLAG_READ, FLAG_WRITE, FLAG_WRITE_NO_RESPONSE, FLAG_NOTIFY, FLAG_INDICATE
    def uuid(start):
        return UUID(start + "-28e6-4c56-a4d1-f27e4c2bfcfb")
    service = (
        uuid("51644326"),
        (
            (uuid("51644327"), FLAG_READ | FLAG_NOTIFY),
            (uuid("51644328"), FLAG_WRITE | FLAG_WRITE_NO_RESPONSE, ((UUID(0x2901), FLAG_READ),)),
            (uuid("51644329"), FLAG_NOTIFY | FLAG_INDICATE),
        ),
    )
    ble = BLE()
    def start(event):
        ble.irq(event)
        ble.active(True)
        ble.config(gap_name="house", mtu=100)
        handles = ble.gatts_register_services((service,))[0]
        advertise()
        return handles
    def advertise(connectable=True):
        data = b"\\x02\\x01\\x06\\x11\\x07" + bytes(uuid("51644326")) + b"\\x05\\xff\\xff\\xff\\x01\\x00"
        ble.gap_advertise(100000, data, resp_data=b"\\x06\\x09house", connectable=connectable)
    async def for_ever():
        while True:
            await asyncio.sleep(1)
"""


def said(module):
    """What it printed before "done"."""
    lines = list(module.output)
    return lines[: lines.index("done")]


def test_uuids_are_as_on_the_chip(tmp_path):
    body = """
        from bluetooth import UUID
        text = "51644326-28e6-4c56-a4d1-f27e4c2bfcfb"
        print(UUID(text), bytes(UUID(text)) == bytes(reversed(bytes.fromhex(text.replace("-", "")))))
        print(UUID(0x2901), bytes(UUID(0x2901)), UUID(bytes(UUID(text))) == UUID(text), len(UUID(text)))
        print(UUID(0x2901) == UUID(0x2902), {UUID(text): 1}[UUID(text)])
        for wrong in (65536, -1, "51644326", b"123"):
            try:
                print("taken", UUID(wrong))
            except ValueError as error:
                print("refused", error)
        print("done")
    """

    async def test(module):
        await module.wait_output("done")
        assert said(module) == [
            "UUID('51644326-28e6-4c56-a4d1-f27e4c2bfcfb') True",
            "UUID(0x2901) b'\\x01)' True 16",
            "False 1",
            *["refused invalid UUID"] * 4,
        ]

    in_the_air(tmp_path, body, test, phones=0)


def test_a_radio_that_is_off_refuses_and_one_that_is_on_says_its_address(tmp_path):
    body = (
        RADIO
        + """
    for use in (advertise, lambda: ble.config("mac"), lambda: ble.gatts_read(1), lambda: ble.gatts_notify(0, 1)):
        try:
            use()
        except OSError as error:
            print("off", error.errno)
    print(ble is BLE(), ble.active(), ble.active(True), ble.config("gap_name"), ble.config("mtu"))
    kind, address = ble.config("mac")
    print(kind, bytes(address).hex())
    for use in (lambda: ble.config(no_such=1), lambda: ble.config("no_such")):
        try:
            use()
        except ValueError as error:
            print(error)
    for use in (lambda: ble.gatts_read(999), lambda: ble.gap_advertise(100000, bytes(32))):
        try:
            use()
        except OSError as error:
            print("bad", error.errno)
    try:
        ble.gatts_notify(0, 1, b"x")
    except OSError as error:
        print("nobody", error.errno, ble.gap_disconnect(0))
    print(ble.active(False), ble.active(True), ble.active())
    print("done")
    """
    )

    async def test(module):
        await module.wait_output("done")
        assert said(module) == [
            *["off 19"] * 4,
            "True False True b'MPY ESP32' 256",
            "1 c10200000000",
            *["unknown config param"] * 2,
            *["bad 22"] * 2,
            "nobody 107 False",
            "False True True",
        ]

    in_the_air(tmp_path, body, test, phones=0)


def test_events_come_with_data_that_do_not_last(tmp_path):
    body = (
        RADIO
        + """
    kept = []
    def event(number, data):
        if number in (1, 2):
            kept.append(data[2])
            print("event", number, data[0], data[1], len(bytes(data[2])), bytes(data[2]) != b"\\xdd" * 6)
        else:
            print("event", number, *data)
        if number == 2:
            print("kept", kept[0] == b"\\xdd" * 6)
    print("handles", *start(event))
    await for_ever()
    """
    )

    async def test(module, phone):
        handles = [int(one) for one in (await module.wait_output(r"^handles (\d+) (\d+) (\d+) (\d+)$")).groups()]
        link = await phone.connect(mtu=60)
        await link.write(b"abc")
        link.close()
        await module.wait_output("kept True")
        assert list(module.output)[1:] == [
            "event 1 0 1 6 True",
            "event 21 0 60",
            f"event 3 0 {handles[1]}",
            "event 2 0 1 6 True",
            "kept True",
        ]

    in_the_air(tmp_path, body, test)


def test_values_are_cut_to_their_buffers_appended_and_taken(tmp_path):
    body = (
        RADIO
        + """
    def event(number, data):
        if number == 3:
            print("value", ble.gatts_read(data[1]) if data[1] else None)
        elif number == 4:
            print("read")
            return refuse
    refuse = 0
    info, inbox, described, outbox = start(event)
    ble.gatts_write(info, bytes(60))
    ble.gatts_write(described, b"what it is")
    print("own", ble.gatts_read(described), len(ble.gatts_read(info)))
    line = asyncio.StreamReader(__import__("sys").stdin)
    print("short")
    await line.readline()
    ble.gatts_set_buffer(inbox, 30)
    print("longer")
    await line.readline()
    ble.gatts_set_buffer(inbox, 40, True)
    ble.irq(None)
    print("appending")
    await line.readline()
    print("sum", ble.gatts_read(inbox), ble.gatts_read(inbox))
    ble.irq(event)
    refuse = 5
    print("refusing")
    await for_ever()
    """
    )

    async def test(module, phone):
        link = await phone.connect()
        await module.wait_output("short")
        assert await link.read_info() == bytes(60)
        await link.write(b"x" * 25)
        module.write_console("")
        await module.wait_output("longer")
        await link.write(b"y" * 25)
        module.write_console("")
        await module.wait_output("appending")
        await link.write(b"a" * 25)
        await link.write(b"b" * 25)
        module.write_console("")
        await module.wait_output("refusing")
        with pytest.raises(Exception, match=r"ATT_ERROR_RESPONSE|(?i:insufficient|authentication|0x05)"):
            await link.read_info()
        values = [line for line in module.output if line.startswith(("value", "own", "sum"))]
        assert values == [
            "own b'what it is' 60",
            f"value {b'x' * 20!r}",
            f"value {b'y' * 25!r}",
            f"sum {b'a' * 25 + b'b' * 15!r} b''",
        ]

    in_the_air(tmp_path, body, test)


def test_a_handler_that_fails_is_printed_and_the_next_event_comes(tmp_path):
    body = (
        RADIO
        + """
    def event(number, data):
        if number == 3:
            value = ble.gatts_read(data[1])
            print("value", value)
            if value == b"bad":
                raise ValueError("on purpose")
    start(event)
    await for_ever()
    """
    )

    async def test(module, phone):
        link = await phone.connect()
        await link.write(b"bad")
        await link.write(b"good")
        await module.wait_output("ValueError: on purpose")
        await module.wait_output("value b'good'")

    in_the_air(tmp_path, body, test)


def test_a_handler_may_ask_the_radio_while_more_events_wait(tmp_path):
    body = (
        RADIO
        + """
    seen = []
    def event(number, data):
        if number == 3:
            value = ble.gatts_read(data[1])
            ble.gatts_notify(data[0], outbox, value)
            seen.append(value[0])
            if len(seen) == 30:
                print("order", seen == list(range(30)))
                ble.gap_disconnect(data[0])
    outbox = start(event)[3]
    await for_ever()
    """
    )

    async def test(module, phone):
        link = await phone.connect()
        await asyncio.gather(*[link.write(bytes((number,)), with_response=False) for number in range(30)])
        await module.wait_output("order True")
        await link.ended()
        assert link.notifications == 30

    in_the_air(tmp_path, body, test)


def test_notifications_find_the_buffers_full_where_nobody_takes_them(tmp_path):
    body = (
        RADIO
        + """
    def event(number, data):
        if number == 3:
            sent = 0
            try:
                while sent < 1000:
                    ble.gatts_notify(data[0], outbox, bytes(90))
                    sent += 1
            except OSError as error:
                print("full", error.errno, 30 <= sent <= 60)
    outbox = start(event)[3]
    await for_ever()
    """
    )

    async def test(module, phone):
        link = await phone.connect()
        phone.take_nothing()
        await link.write(b"go", with_response=False)
        await module.wait_output("full 12 True")

    in_the_air(tmp_path, body, test)


def test_indications_end_with_an_event(tmp_path):
    body = (
        RADIO
        + """
    def event(number, data):
        if number == 3:
            ble.gatts_indicate(data[0], outbox, b"look")
        if number == 20:
            print("indicated", data == (0, outbox, 0))
    outbox = start(event)[3]
    await for_ever()
    """
    )

    async def test(module, phone):
        link = await phone.connect()
        await link.write(b"go")
        await module.wait_output("indicated True")

    in_the_air(tmp_path, body, test)


def test_advertising_takes_no_connections_stops_and_ends_with_a_reset(tmp_path):
    body = (
        RADIO
        + """
    import machine
    def event(number, data):
        print("event", number)
    start(event)
    advertise(False)
    print("advertising")
    line = asyncio.StreamReader(__import__("sys").stdin)
    await line.readline()
    ble.gap_advertise(None)
    print("stopped")
    await line.readline()
    advertise()
    print("again")
    await line.readline()
    machine.reset()
    """
    )

    async def test(module, phone):
        await module.wait_output("advertising")
        found = await phone.scan()
        assert (found.name, found.connectable) == ("house", False)
        with pytest.raises(TimeoutError):
            await phone.connect(found, timeout_s=0.3)
        module.write_console("")
        await module.wait_output("stopped")
        with pytest.raises(TimeoutError):
            await phone.scan(timeout_s=0.3)
        module.write_console("")
        await module.wait_output("again")
        link = await phone.connect(found)
        module.write_console("")
        await module.wait_start(2)
        assert await link.ended() == 8
        assert [line for line in module.output if line.startswith("event")] == ["event 1", "event 21"]

    in_the_air(tmp_path, body, test)


# Without an interpreter


async def begin(one):
    """Switch a chip on, and advertise the module's service; returns the advertising data."""
    await one.power_on(100, "house")
    service = [bytes.fromhex(start + "28e64c56a4d1f27e4c2bfcfb")[::-1] for start in UUIDS]
    one.register([(service[0], [(service[1], 0x12, []), (service[2], 0x0C, []), (service[3], 0x10, [])])])
    data = b"\x11\x07" + service[0] + b"\x05\xff\xff\xff\x01\x00"
    await one.advertise(50_000, data, b"\x06\x09house", True)
    return data


@contextlib.asynccontextmanager
async def radios(count=2, air=None, where=None):
    """(chip, its events, advertising data, phones): a chip that advertises, and phones around it."""
    air = air or Air()
    one = Ble(where or air, b"\x02\0\0\0\0\x01")
    events = []

    def event(number, connection, payload):
        events.append((number, connection))
        answer = asyncio.get_running_loop().create_future()
        answer.set_result((0, b"info"))
        return answer

    one.on_event = event
    data = await begin(one)
    async with contextlib.AsyncExitStack() as stack:
        phones = [await stack.enter_async_context(PhoneRadio(air)) for _ in range(count)]
        yield one, events, data, phones
        one.power_off()


def test_of_two_phones_that_answer_one_advertisement_one_is_connected():
    async def run():
        async with radios() as (one, events, data, phones):
            waiting = [asyncio.ensure_future(phone.connect()) for phone in phones]
            done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == len(pending) == 1
            assert [event for event in events if event[0] == chip.CONNECTED] == [(chip.CONNECTED, 0)]
            await one.advertise(50_000, data, b"", True)
            await next(iter(pending))
            assert (chip.CONNECTED, 1) in events

    asyncio.run(run())


def test_a_phone_out_of_reach_is_noticed_by_both_ends_and_can_come_back():
    async def run():
        async with radios(1) as (one, events, data, (phone,)):
            for _ in range(2):
                link = await phone.connect()
                phone.vanish()
                assert await link.ended() == 8
                while events[-1] != (chip.DISCONNECTED, 0):
                    await asyncio.sleep(0)
                await one.advertise(50_000, data, b"", True)
                with pytest.raises(TimeoutError):
                    await phone.scan(timeout_s=0.2)
                phone.come_back()
            assert await (await phone.connect()).read_info() == b"info"

    asyncio.run(run())


def test_a_radio_behind_a_transport_is_found_by_phones_and_falls_silent_with_the_module(tmp_path):
    async def run():
        air = Air()
        path = tmp_path / "hci"
        controller = await open_transport(f"unix-server:{path}")
        adapter = Radio("adapter", air)
        controller.source.set_packet_sink(adapter)
        adapter.host = controller.sink
        async with radios(1, air=air, where=f"unix-client:{path}") as (one, _, _, (phone,)):
            for _ in range(2):
                link = await phone.connect()
                assert await link.read_info() == b"info"
                one.power_off()
                assert await link.ended() == 8
                with pytest.raises(TimeoutError):
                    await phone.scan(timeout_s=0.2)
                await begin(one)
        await one.closed()
        await controller.close()

    asyncio.run(run())


def test_connecting_to_nobody_can_be_given_up():
    async def run():
        async with radios(1) as (one, _, data, (phone,)):
            found = await phone.scan()
            await one.stop_advertising()
            with pytest.raises(TimeoutError):
                await phone.connect(found, timeout_s=0.2)
            await one.advertise(50_000, data, b"", True)
            assert (await phone.connect(found)).mtu == 100

    asyncio.run(run())
