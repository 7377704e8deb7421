"""MicroPython: one NTP query. Options: host, port, timeout_ms, mark (hex, the random bytes)."""

import asyncio
import json
import os

from firmware.errors import LinkError
from firmware.link.ntp import query

options = json.loads(os.getenv("OPTIONS"))


async def work():
    try:
        seconds = await query(
            options["host"], lambda size: bytes.fromhex(options["mark"]), options["timeout_ms"], options["port"]
        )
        print(json.dumps({"seconds": seconds}))
    except LinkError as error:
        print(json.dumps({"error": error.code}))


def main():
    asyncio.run(work())
