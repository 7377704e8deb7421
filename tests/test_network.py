"""The forwarder between the module and its servers, with the plug in and out."""

import asyncio
import collections
import contextlib

import pytest

from tools.sim.network import Network


async def echo(reader, writer):
    while data := await reader.read(1000):
        writer.write(data)
        await writer.drain()
    writer.write(b"end")
    writer.close()


@contextlib.asynccontextmanager
async def house():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    network = Network()
    network.set_link(True)
    port = await network.forward("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield network, port
    finally:
        await network.close()
        server.close()


def in_house(body):
    async def run():
        async with asyncio.timeout(60), house() as (network, port):
            await body(network, port)

    asyncio.run(run())


async def ask(reader, writer, data):
    writer.write(data)
    return await reader.readexactly(len(data))


async def assert_reset(reader):
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read(1) == b""


def test_bytes_pass_both_ways_and_the_end_too():
    async def body(network, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        data = bytes(range(256)) * 2000
        assert await ask(reader, writer, data) == data
        writer.write_eof()
        assert await reader.read() == b"end"
        assert network.connections == 1
        writer.close()

    in_house(body)


def test_what_passes_is_told_by_way_and_connection():
    passed = collections.Counter()
    ports = set()

    def listener(port, connection, from_module, size):
        ports.add(port)
        passed[connection, from_module] += size

    async def body(network, port):
        network.listeners.append(listener)
        for size in (1000, 3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await ask(reader, writer, bytes(size))
            writer.write_eof()
            await reader.read()  # and the 3 bytes of its end
            writer.close()
        assert ports == {port}
        assert passed == {(1, True): 1000, (1, False): 1003, (2, True): 3, (2, False): 6}

    in_house(body)


@pytest.mark.parametrize("how", ["cut", "radio"])
def test_cut_ends_live_connections_and_refuses_new_ones(how):
    async def body(network, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ask(reader, writer, b"hello") == b"hello"
        network.cut() if how == "cut" else network.set_link(False)
        await assert_reset(reader)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await assert_reset(reader)
        network.restore() if how == "cut" else network.set_link(True)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ask(reader, writer, b"again") == b"again"
        writer.close()

    in_house(body)


def test_nothing_passes_before_the_radio_has_joined():
    async def body(network, port):
        network.set_link(False)
        reader, _ = await asyncio.open_connection("127.0.0.1", port)
        await assert_reset(reader)
        assert network.connections == 0

    in_house(body)


def test_silence_holds_bytes_back_until_it_ends():
    async def body(network, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await ask(reader, writer, b"one") == b"one"
        network.silence()
        waiting = asyncio.ensure_future(ask(reader, writer, b"two"))
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
        late = asyncio.ensure_future(ask(late_reader, late_writer, b"three"))
        done, _ = await asyncio.wait((waiting, late), timeout=0.05)
        assert not done
        network.restore()
        assert await waiting == b"two"
        assert await late == b"three"
        writer.close()
        late_writer.close()

    in_house(body)
