"""MicroPython: readings, reporter and a server's link on real units and real TLS, until the input ends.

Options: host, port, ca, certificate, key (file names), serial, site, contract, slot (the first one). Prints a line for
each answer to a report, and when the link changes. Input: "slots N" appends so many; "contract X" enters another
number; "tamper" latches one; "hello" says so anew.
"""

import asyncio
import json
import os
import sys
import time

import unit_rig
from contract import enter_contract

from firmware import settings
from firmware.link.endpoint import CREDENTIAL, endpoints
from firmware.link.server_link import ServerLink
from firmware.readings import Readings
from firmware.reporting import Reporter

options = json.loads(os.getenv("OPTIONS"))
settings.LINK_POLL_WAIT_S = 1
settings.LINK_RETRY_FIRST_MS = 100
unit_rig.Rig.ticks_ms = lambda rig: time.ticks_ms() & (1 << 30) - 1


class NoIdentity:
    complete = False


class Told(Reporter):
    """Says what was answered."""

    def told(self, epoch, through):
        good = Reporter.told(self, epoch, through)
        print(json.dumps({"through": through, "good": good, "waiting": self.waiting, "epoch": epoch}))
        return good


async def work():
    rig = unit_rig.module(now=None)
    session = enter_contract(rig, options)
    readings = Readings(rig.store.readings, unit_rig.random, rig.sessions.read, rig.audit)
    reporter = Told(readings, rig.detection, rig.sessions.read, lambda: rig.detection.latch("remote_rollback"))
    slot = options["slot"]

    def state():
        state = rig.hello_state()
        state["credential"] = None
        state["energy"] = {
            "device": "ok",
            "report": reporter.state,
            "waiting": reporter.waiting,
            "newest_slot": readings.newest_slot,
        }
        return state

    link = ServerLink(
        CREDENTIAL,
        lambda: endpoints(CREDENTIAL, rig.detection.read, NoIdentity),
        rig.acquisition,
        rig.audit,
        rig.clock,
        state,
        lambda: rig.detection.latch("remote_rollback"),
        os.urandom,
        options["serial"],
        "1.2.3",
        reporter=reporter,
    )

    def show():
        print(json.dumps({"online": link.online, "error": link.error, "tamper": rig.detection.tamper}))

    link.listeners.append(show)
    readings.listeners.append(reporter.changed)
    for listeners in (rig.detection.listeners, rig.sessions.information_listeners):
        listeners += [readings.changed, reporter.changed]
    rig.detection.listeners += [link.connection_changed, link.state_changed, show]
    task = asyncio.create_task(link.run())
    commands = asyncio.StreamReader(sys.stdin)
    while True:
        command = (await commands.readline()).decode().split()
        if not command:
            break
        if command[0] == "slots":
            for _ in range(int(command[1])):
                values = [(0, slot % 1000 + quantity, slot) for quantity in range(7)]
                readings.append_slot(readings.contract_tag, slot, 1, 0, values, 7, rig.clock.powered_s())
                slot += 1
        if command[0] == "contract":
            session.change(3, session.generation, {0x14: command[1]})
        if command[0] == "tamper":
            rig.detection.latch("vault_seal")
        if command[0] == "hello":
            link.state_changed()
        print(json.dumps({"done": command[0]}))
    task.cancel()


def main():
    asyncio.run(work())
