"""What the tests of messages share: a gateway for SMS, and the server's delivery run until something has come of it."""

import asyncio
import json

from tools.pps.delivery import deliver


async def deliver_until(services, condition, mail=None, sms=None):
    task = asyncio.create_task(deliver(services.outbox, mail, sms))
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Gateway:
    """An HTTP server that answers every POST with the same bytes, or not at all."""

    def __init__(self, answer):
        self.posts = []
        self._answer = answer

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/send"
        return self

    async def __aexit__(self, *error):
        self._server.close()

    async def _talk(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length"))
        self.posts.append((head, json.loads(await reader.readexactly(length))))
        if self._answer is None:
            await asyncio.sleep(60)
        writer.write(self._answer)
        await writer.drain()
        writer.close()
