"""MicroPython: a module with its phone unit, reached by nothing but the relay, until the input ends.

Options: as link_client.py's. Prints a line when its credential changes. An enrolment borrows the link's buffer, as the
app's does, for 1.5 s, and is refused.
"""

import asyncio
import json
import os
import sys
import time

import unit_rig

from firmware import settings
from firmware.errors import LinkError
from firmware.identity import HOST_PCS
from firmware.link.endpoint import CREDENTIAL, Endpoint
from firmware.link.phone import PhoneUnit
from firmware.link.relay import Relay
from firmware.link.server_link import ServerLink

options = json.loads(os.getenv("OPTIONS"))
settings.LINK_RETRY_FIRST_MS = options.get("retry_ms", settings.LINK_RETRY_FIRST_MS)
unit_rig.Rig.ticks_ms = lambda rig: time.ticks_ms() & (1 << 30) - 1


def read(name):
    with open(options[name], "rb") as file:
        return file.read()


def endpoints():
    url = "https://" + options["host"] + ":" + str(options["port"])
    yield Endpoint(url, read("ca"), read("certificate"), read("key"), settings.ISSUER_CONNECTION)


async def sleep_ms(duration_ms):
    await asyncio.sleep_ms(duration_ms)


async def work():
    rig = unit_rig.module(now=None)

    async def enrol(host, code, progress):
        await link.lend_buffer()
        for done in range(3):
            progress(done, 3)
            await sleep_ms(500)
        link.take_back()
        raise LinkError("code_refused")

    phone = PhoneUnit(
        rig.control, rig.acquisition, rig.clock, os.urandom, enrol, unit_rig.SERIAL, HOST_PCS, True, sleep_ms
    )
    link = ServerLink(
        CREDENTIAL,
        endpoints,
        rig.acquisition,
        rig.audit,
        rig.clock,
        rig.hello_state,
        lambda: rig.detection.latch("remote_rollback"),
        os.urandom,
        unit_rig.SERIAL,
        "1.2.3",
        relay=Relay(phone.serve),
    )
    rig.acquisition.listeners += [
        lambda: print(json.dumps({"credential": rig.acquisition.state()})),
        link.state_changed,
    ]

    async def keep_house():
        while True:
            rig.control.tick()
            await sleep_ms(1000)

    tasks = [asyncio.create_task(task) for task in (link.run(), phone.run(), keep_house())]
    await asyncio.StreamReader(sys.stdin).readline()
    for task in tasks:
        task.cancel()


def main():
    asyncio.run(work())
