"""Where the user's messages arrive: a mail server and an SMS gateway that keep them instead of passing them on.

Both listen on 127.0.0.1 and speak just enough (SMTP of RFC 5321 without
extensions; HTTP POST of {"to", "text"}) for a PPS server to hand its messages over.
"""

import asyncio
import contextlib
import email
import email.policy
import json
import time
from dataclasses import dataclass, field

_LIMIT_BYTES = 64 * 1024
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Letter:
    """A message as the user gets it. `text` holds ID and password."""

    channel: str
    recipient: str
    text: str = field(repr=False)
    at: float


class Mailbox:
    """`letters`, oldest first; `listeners` are called without arguments when one has come."""

    def __init__(self, clock=time.time):
        self.letters = []
        self.listeners = []
        self.smtp_port = self.sms_port = None
        self._clock = clock
        self._servers = []
        self._tasks = set()

    @property
    def sms_url(self):
        return f"http://127.0.0.1:{self.sms_port}/"

    async def start(self):
        for serve in (self._serve_smtp, self._serve_sms):
            self._servers.append(await asyncio.start_server(self._guarded(serve), "127.0.0.1", 0, limit=_LIMIT_BYTES))
        self.smtp_port, self.sms_port = (server.sockets[0].getsockname()[1] for server in self._servers)

    async def stop(self):
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_letter(self, number, timeout_s=60):
        """Wait for the letter of that number (from 1). TimeoutError."""
        arrived = asyncio.Event()
        self.listeners.append(arrived.set)
        try:
            async with asyncio.timeout(timeout_s):
                while len(self.letters) < number:
                    arrived.clear()
                    await arrived.wait()
        finally:
            self.listeners.remove(arrived.set)
        return self.letters[number - 1]

    def _guarded(self, serve):
        async def connection(reader, writer):
            task = asyncio.current_task()
            self._tasks.add(task)
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await serve(reader, writer)
            except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass  # what is no message is none of the mailbox's
            except asyncio.CancelledError:
                pass
            finally:
                self._tasks.discard(task)
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

        return connection

    def _deliver(self, channel, recipient, text):
        self.letters.append(Letter(channel, recipient, text, self._clock()))
        for listener in list(self.listeners):
            listener()

    async def _serve_smtp(self, reader, writer):
        async def say(line):
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        recipient = ""
        await say("220 mailbox")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"RCPT":
                recipient = line.decode().partition("<")[2].partition(">")[0]
            if verb == b"DATA":
                await say("354 go on")
                data = await reader.readuntil(b"\r\n.\r\n")
                message = email.message_from_bytes(data[:-3].replace(b"\r\n..", b"\r\n."), policy=email.policy.default)
                self._deliver("email", recipient, message.get_content().strip())
            await say("221 bye" if verb == b"QUIT" else "250 ok")
            if verb == b"QUIT":
                return

    async def _serve_sms(self, reader, writer):
        size = 0
        while line := (await reader.readline()).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = min(int(value), _LIMIT_BYTES)
        message = json.loads(await reader.readexactly(size))
        self._deliver("sms", message["to"], message["text"])
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
