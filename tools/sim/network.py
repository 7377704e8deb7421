"""The way from the module to its servers: TCP forwarders that can be cut."""

import asyncio
import contextlib

_CHUNK_BYTES = 65536


class Network:
    """Every forwarder of one module. Down until `set_link(True)`: no Wi-Fi, no network.

    While it is down, live connections are reset and new ones with them. While
    it is `silent`, nothing passes and nobody is told: connections are
    accepted, stay open and carry nothing.

    `listeners` are called with what passes: the forwarder's port, the number of its connection, whether it comes from
    the module, and how many bytes.
    """

    def __init__(self):
        self.connections = 0  # accepted and passed on, ever
        self.listeners = []
        self._servers = []
        self._links = set()  # a task for each connection
        self._link_up = False
        self._plugged = True
        self._passing = asyncio.Event()
        self._passing.set()

    async def forward(self, host, port, local_port=0):
        """Open a port on 127.0.0.1 (0: any free one) that leads to host:port; returns its number. OSError."""

        async def accept(reader, writer):
            await self._accept(host, port, reader, writer)

        server = await asyncio.start_server(accept, "127.0.0.1", local_port)
        self._servers.append(server)
        return server.sockets[0].getsockname()[1]

    @property
    def up(self):
        return self._link_up and self._plugged

    def set_link(self, up):
        """The radio joined its access point, or lost it."""
        self._link_up = up
        self._reset_when_down()

    def cut(self):
        """Pull the plug: live connections are reset, new ones too."""
        self._plugged = False
        self._reset_when_down()

    def restore(self):
        """Plug in again, and end a silence."""
        self._plugged = True
        self._passing.set()

    def silence(self):
        """Hold every byte back from now on, in both directions, until `restore`."""
        self._passing.clear()

    async def close(self):
        """Close every port and connection."""
        for server in self._servers:
            server.close()
        links = list(self._links)
        self._reset(links)
        await asyncio.gather(*links, return_exceptions=True)

    def _reset_when_down(self):
        if not self.up:
            self._reset(self._links)

    @staticmethod
    def _reset(links):
        for link in list(links):
            link.cancel()

    async def _accept(self, host, port, reader, writer):
        link = asyncio.current_task()
        self._links.add(link)
        far_writer = None
        try:
            if self.up:
                await self._passing.wait()
                self.connections += 1
                link_name = writer.get_extra_info("sockname")[1], self.connections
                far_reader, far_writer = await asyncio.open_connection(host, port)
                await asyncio.gather(
                    self._pump(reader, far_writer, (*link_name, True)),
                    self._pump(far_reader, writer, (*link_name, False)),
                )
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            for end in (writer, far_writer):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, reader, writer, way):
        while data := await reader.read(_CHUNK_BYTES):
            await self._passing.wait()
            for listener in self.listeners:
                listener(*way, len(data))
            writer.write(data)
            await writer.drain()
        await self._passing.wait()
        with contextlib.suppress(OSError):  # the peer may have gone as well
            writer.write_eof()
