"""MicroPython: a ServerLink on real units and real TLS, until the input ends.

Options: host, port, ca, certificate, key (file names), serial, poll_wait_s, retry_ms (of the first retry). Prints a
line when the link or the credential changes. Input: "tamper" latches one, as somebody else would find it; "hello"
says so anew; "spare" and a number leaves so many bytes of heap from then on.
"""

import asyncio
import json
import os
import sys
import time

import unit_rig
from spare_heap import fill_heap

from firmware import settings
from firmware.link.endpoint import CREDENTIAL, Endpoint
from firmware.link.server_link import ServerLink

options = json.loads(os.getenv("OPTIONS"))
settings.LINK_POLL_WAIT_S = options.get("poll_wait_s", settings.LINK_POLL_WAIT_S)
settings.LINK_RETRY_FIRST_MS = options.get("retry_ms", settings.LINK_RETRY_FIRST_MS)
unit_rig.Rig.ticks_ms = lambda rig: time.ticks_ms() & (1 << 30) - 1


def read(name):
    with open(options[name], "rb") as file:
        return file.read()


def endpoints():
    url = "https://" + options["host"] + ":" + str(options["port"])
    yield Endpoint(url, read("ca"), read("certificate"), read("key"), settings.ISSUER_CONNECTION)


async def work():
    rig = unit_rig.module(now=None)

    def show():
        print(
            json.dumps(
                {
                    "online": link.online,
                    "error": link.error,
                    "now": rig.clock.now(),
                    "credential": rig.acquisition.state(),
                    "tamper": rig.detection.tamper,
                }
            )
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
        options["serial"],
        "1.2.3",
    )
    link.listeners.append(show)
    for listeners in (rig.acquisition.listeners, rig.detection.listeners):
        listeners += [show, link.state_changed]
    task = asyncio.create_task(link.run())
    commands = asyncio.StreamReader(sys.stdin)
    held = []
    while True:
        command = (await commands.readline()).split()
        if not command:
            break
        if command[0] == b"tamper":
            rig.detection.latch("vault_seal")
        if command[0] == b"hello":
            link.state_changed()
        if command[0] == b"spare":
            held.append(fill_heap(int(command[1])))
            print(json.dumps({"spare": int(command[1])}))
    task.cancel()


def main():
    asyncio.run(work())
