"""MicroPython: requests by the real client, a line of JSON for each.

Options: host, port, ca, certificate, key (file names, or none of the last two), limits [connect, first byte,
answer] in ms, calls (how many), spare (bytes of heap that are left to the second call, over a connection of its own),
later_limits (from the second call on).
"""

import asyncio
import json
import os

from spare_heap import fill_heap

from firmware.errors import LinkError
from firmware.link import transport
from firmware.link.http import HttpClient, Limits, new_buffer

options = json.loads(os.getenv("OPTIONS"))


def read(name):
    with open(options[name], "rb") as file:
        return file.read()


def context():
    if "certificate" in options:
        return transport.mutual_context(read("ca"), read("certificate"), read("key"))
    import tls

    made = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
    made.verify_mode = tls.CERT_REQUIRED
    made.load_verify_locations(read("ca"))
    return made


class Steps:
    """The most turns that the link takes between two of another task."""

    def __init__(self):
        self.ticks = 0
        self.since = 0
        self.most = 0
        self._wait = transport.readable
        transport.readable = self._count

    def _count(self, stream):
        self.since += 1
        self.most = max(self.most, self.since)
        return self._wait(stream)

    async def tick(self):
        while True:
            self.ticks += 1
            self.since = 0
            await asyncio.sleep_ms(0)


async def call(client):
    try:
        return {"answer": await client.call("/x", (b"{}",))}
    except LinkError as error:
        found = {"error": error.code}
        for name in ("status", "server_code", "retry_after_s"):
            if hasattr(error, name):
                found[name] = getattr(error, name)
        return found


async def work():
    limits = Limits(*options["limits"])
    client = HttpClient(options["host"], options["port"], context(), new_buffer(), limits)
    steps = Steps()
    ticker = asyncio.create_task(steps.tick())
    held = []
    for number in range(options["calls"]):
        if "later_limits" in options and number == 1:
            limits.connect_ms, limits.first_byte_ms, limits.answer_ms = options["later_limits"]
        if "spare" in options and number == 1:
            client.close()
            held.append(fill_heap(options["spare"]))
        before = steps.ticks
        steps.most = 0
        try:
            found = await call(client)
        except MemoryError:
            found = {"error": "MemoryError"}
        held.clear()
        found["ticks"] = steps.ticks - before
        found["most_steps"] = steps.most
        found["open_files"] = len(list(os.ilistdir("/proc/self/fd")))
        print(json.dumps(found))
    ticker.cancel()


def main():
    asyncio.run(work())
