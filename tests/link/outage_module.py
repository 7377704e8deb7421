"""MicroPython: meter, readings, reporter and a server's link on real units, in a time that passes only while all wait.

Its flash, its server (real TLS) and the registers of its power control device are there in real time; everything that
the firmware sleeps through takes none. The power goes, and acknowledgements are lost, where they are told to.

Options: host, port, dead_port (nothing listens there), ca, certificate, key (file names), serial, site, contract, seed,
read_ms, drift_ppm (of the module's crystal), start (Unix seconds), at: a file that has the milliseconds since then, 8
bytes, whenever somebody is asked.
Prints "R address register count" for registers and reads their bytes as hex, or "- code"; else lines of JSON. Input:

    network 0|1             the way to the server
    chances REQUEST ANSWER  in 1,000: that a request, or the answer to it, is lost
    cuts 0|1                the power goes at random points, and for hours at times
    tear INDEX WHICH        it goes in that program or erase from now on, torn in that way of all that there are
    untorn                  it goes on after all
    run SECONDS             go on until so long after `start`
    settle SECONDS          go on until the server has all, at most so long
    ring                    digest and number of the readings
"""

import asyncio
import gc
import hashlib
import json
import os
import random
import struct
import sys

import unit_rig
from contract import enter_contract

from firmware import settings
from firmware.drivers import DriverError
from firmware.errors import LinkError
from firmware.link import server_link
from firmware.link.endpoint import CREDENTIAL, endpoints
from firmware.link.transport import open_connection
from firmware.metering import Meter
from firmware.readings import Readings
from firmware.reporting import Reporter
from firmware.sunspec import Device
from tools.sim.chips.flash import PowerCut

_SLOT_MS = 1_800_000
_HOUSEKEEPING_MS = 300_000
_EXCHANGE_MS = 40  # of one request to the device
_WAIT = b'"wait_s": '

options = json.loads(os.getenv("OPTIONS"))
settings.METER_READ_MS = options["read_ms"]
# Each costs the server some milliseconds, and there are days of them.
settings.LINK_POLL_WAIT_S = 1_500
settings.LINK_HELLO_S = 1_800
_buffer = server_link.new_buffer()
server_link.new_buffer = lambda: _buffer  # one for every boot


def say(**what):
    print(json.dumps(what))


class NoIdentity:
    complete = False


class World:
    """Time, the way to the server, and when the power goes. `tasks`: how many sleep when nothing can run."""

    def __init__(self):
        self.now_ms = 0
        self.tasks = 0
        self.online = True
        self.request_chance = self.answer_chance = 0
        self.cutting = False
        self.losses = [0, 0]  # requests, answers
        self.cuts = {}  # where it went: how often
        self.ways = 0  # in which the program or erase that was torn last can be
        self.wires = []
        self.flash = None
        self._file = open(options["at"], "r+b")  # noqa: SIM115  held as long as the world
        self._sleepers = []
        self._idle = asyncio.Event()
        self._plan = None  # [kind, points of it that are still to come, which way of tearing]
        self._die_ms = None

    # Time

    def ticks_ms(self):
        return self.now_ms + self.now_ms * options["drift_ppm"] // 1_000_000 & (1 << 30) - 1

    def stamp(self):
        """What the others take for the time from now on."""
        self._file.seek(0)
        self._file.write(struct.pack("<Q", self.now_ms))

    async def sleep_ms(self, ms):
        if ms <= 0:
            await asyncio.sleep_ms(0)
            return
        me = [self.now_ms + ms, asyncio.Event()]
        self._sleepers.append(me)
        if len(self._sleepers) >= self.tasks:
            self._idle.set()
        try:
            await me[1].wait()
        finally:
            if me in self._sleepers:
                self._sleepers.remove(me)

    async def go_on(self, until_ms, reached):
        """Let time pass until then, or until something is reached: True."""
        while True:
            while len(self._sleepers) < self.tasks:
                self._idle.clear()
                await self._idle.wait()
            if reached():
                return True
            first = self._sleepers[0]
            for me in self._sleepers:
                if me[0] < first[0]:
                    first = me
            if self._die_ms is not None and self._die_ms <= first[0]:
                self.now_ms = max(self._die_ms, self.now_ms)
                self.cut("in between")
            if first[0] > until_ms:
                self.now_ms = max(until_ms, self.now_ms)
                return False
            self.now_ms = max(first[0], self.now_ms)
            self._sleepers.remove(first)
            first[1].set()

    # The power

    def plan(self):
        """Where it goes next: in a program or erase, in a talk with the server, or in between."""
        self._plan = self._die_ms = None
        if not self.cutting:
            return
        kind = random.getrandbits(2)
        far = random.getrandbits(1)  # or soon
        if kind == 0:
            self._die_ms = self.now_ms + random.randint(1, 86_400_000 if far else 7_200_000)
        elif kind == 1 and self.online:
            self._plan = ["network", random.randint(0, 200 if far else 20), 0]
        else:
            self._plan = ["flash", random.randint(0, 200 if far else 12), random.getrandbits(8)]

    def tear(self, index, which):
        self._plan = ["flash", index, which]

    @property
    def is_torn(self):
        return self._plan is None

    def before_flash(self, operation, data):
        """The chip's own call, before each program and erase."""
        if self._plan and self._plan[0] == "flash":
            if self._plan[1]:
                self._plan[1] -= 1
                return
            kinds = self.flash.torn_kinds(operation)
            self.ways = len(kinds)
            torn = kinds[self._plan[2] % len(kinds)]
            self._count(operation[0] + ", " + (torn if isinstance(torn, str) else torn[0]))
            self.flash.cut_at(0, torn)

    def network_point(self):
        """One of those points in a talk at which it can go."""
        if self._plan and self._plan[0] == "network":
            if not self._plan[1]:
                self.cut("talk")
            self._plan[1] -= 1

    def cut(self, where):
        self._count(where)
        raise PowerCut()

    def _count(self, where):
        self._plan = self._die_ms = None
        self.cuts[where] = self.cuts.get(where, 0) + 1

    def power_on(self):
        """After a cut and a while without power; what was running is gone."""
        asyncio.new_event_loop()
        for wire in self.wires:
            wire.connection.close()
        self.wires = []
        self._sleepers = []
        self._idle = asyncio.Event()
        self.tasks = 0
        self.flash.power_on()
        kind = random.getrandbits(4) if self.cutting else 15
        longest_s = 18_000 if kind == 0 else 900 if kind < 3 else 20
        self.now_ms += random.randint(3_000, longest_s * 1000)

    # The way to the server

    async def connect(self, host, port, context):
        self.network_point()
        if not self.online:
            port = options["dead_port"]
        wire = Wire(self, await open_connection(host, port, context))
        self.wires.append(wire)
        return wire

    def is_lost(self, index, chance):
        lost = chance and random.randint(0, 999) < chance
        self.losses[index] += bool(lost)
        return lost


class Wire:
    """A `transport.Connection` whose requests, or answers, get lost."""

    def __init__(self, world, connection):
        self.connection = connection
        self._world = world
        self._loses = False

    async def write(self, view):
        world = self._world
        at = bytes(view).find(_WAIT) + len(_WAIT)
        if at >= len(_WAIT):
            # What the server would wait in real time passes here.
            end = at
            while view[end] not in b",}":
                end += 1
            wait_s = int(bytes(view[at:end]))
            view[at:end][:] = b" " * (end - at - 1) + b"0"
            await world.sleep_ms(wait_s * 1000)
        world.network_point()
        if not world.online or world.is_lost(0, world.request_chance):
            self.close()
            raise LinkError("closed")
        world.stamp()
        await self.connection.write(view)
        world.network_point()
        self._loses = world.is_lost(1, world.answer_chance)

    async def read_into(self, view):
        await self.connection.read_into(view)  # so the server has done what it was asked
        self._world.network_point()
        if self._loses:
            self.close()
            raise LinkError("closed")

    async def read_line(self, view):
        return await self.connection.read_line(view)

    def waiting(self):
        return self.connection.waiting()

    def close(self):
        if self in self._world.wires:
            self._world.wires.remove(self)
        self.connection.close()


class Registers:
    """In the place of the driver: the house asks its device."""

    def __init__(self, world):
        self._world = world

    async def read(self, address, register, count):
        world = self._world
        world.now_ms += _EXCHANGE_MS // 2
        world.stamp()
        print("R", address, register, count)
        line = sys.stdin.readline().strip()
        world.now_ms += _EXCHANGE_MS - _EXCHANGE_MS // 2
        if line[:1] == "-":
            raise DriverError(line[2:])
        return memoryview(bytes.fromhex(line))


class Module:
    """One boot: the units, wired as the app does it."""

    def __init__(self, world, device, contract=None):
        self.rig = rig = unit_rig.Rig(device, now=None)
        if contract:
            contract(rig)
        self.readings = readings = Readings(rig.store.readings, unit_rig.random, rig.sessions.read, rig.audit)
        self.reporter = reporter = Reporter(readings, rig.detection, rig.sessions.read, self._rolled_back)
        self.meter = Meter(Device(Registers(world)), rig.clock, readings, world.sleep_ms)
        readings.listeners.append(reporter.changed)
        for listeners in (rig.sessions.information_listeners, rig.detection.listeners):
            listeners += [readings.changed, reporter.changed]
        self.link = link = server_link.ServerLink(
            CREDENTIAL,
            lambda: endpoints(CREDENTIAL, rig.detection.read, NoIdentity),
            rig.acquisition,
            rig.audit,
            rig.clock,
            self._state,
            self._rolled_back,
            unit_rig.random,
            options["serial"],
            settings.FIRMWARE_VERSION,
            reporter=reporter,
            sleep_ms=world.sleep_ms,
            connect=world.connect,
        )
        rig.acquisition.listeners.append(link.state_changed)
        rig.detection.listeners += [link.connection_changed, link.state_changed]
        self._world = world
        tasks = (self.meter.run, link.run, self._housekeeping)
        world.tasks = len(tasks)
        self._tasks = [asyncio.create_task(self._told(task)) for task in tasks]

    async def _told(self, task):
        try:
            await task()
        except Exception as error:
            sys.print_exception(error)
            say(failed=repr(error))
            sys.exit(1)

    async def _housekeeping(self):
        while True:
            self.rig.control.tick()
            self.rig.clock.tick()
            await self._world.sleep_ms(_HOUSEKEEPING_MS)

    def _rolled_back(self):
        self.rig.detection.latch("remote_rollback")

    def _state(self):
        state = self.rig.hello_state()
        state["energy"] = {
            "device": self.meter.state,
            "report": self.reporter.state,
            "waiting": self.reporter.waiting,
            "newest_slot": self.readings.newest_slot,
        }
        return state

    def is_settled(self):
        return self.link.online and self.reporter.state == "ok" and not self.reporter.has_word

    def is_newest(self, at_s):
        """The half hour before a time was cut."""
        newest = self.readings.newest_slot
        return newest is not None and newest + 1 >= (at_s + options["start"] - 946_684_800) // 1800


class Run:
    def __init__(self):
        self.world = world = World()
        random.seed(options["seed"])
        unit_rig.Rig.ticks_ms = lambda rig: world.ticks_ms()
        world.flash = unit_rig.blank_flash()
        unit_rig.provision(world.flash)
        world.flash.before_each = world.before_flash
        self.module = Module(world, world.flash, lambda rig: enter_contract(rig, options))

    def command(self, name, *numbers):
        world = self.world
        numbers = [int(number) for number in numbers]
        if name == "network":
            world.online = bool(numbers[0])
        elif name == "chances":
            world.request_chance, world.answer_chance = numbers
        elif name == "cuts":
            world.cutting = bool(numbers[0])
            world.plan()
        elif name == "tear":
            world.tear(*numbers)
        elif name == "untorn":
            world.plan()
        elif name == "run":
            self.go_on(numbers[0] * 1000, lambda: False)
        elif name == "settle":
            until_s = world.now_ms // 1000 + numbers[0]
            from_s = world.now_ms // 1000
            if not self.go_on(until_s * 1000, lambda: self.module.is_newest(from_s) and self.module.is_settled()):
                say(failed="not settled", error=self.module.link.error, waiting=self.module.reporter.waiting)
        elif name == "ring":
            self.tell_ring()
        say(
            done=name,
            now_ms=world.now_ms,
            is_torn=world.is_torn,
            waiting=self.module.reporter.waiting,
            head=self.module.readings.head_number,
            tamper=self.module.rig.detection.tamper,
            ways=world.ways,
            boots=self.module.rig.clock.boot_count,
            cuts=world.cuts,
            losses=world.losses,
            misuses=world.flash.misuses,
        )

    def go_on(self, until_ms, reached):
        """Let time pass, and the module start again as often as it takes."""
        while True:
            try:
                if self.module is None:
                    self.world.plan()
                    self.module = Module(self.world, self.world.flash)
                return asyncio.run(self.world.go_on(until_ms, reached))
            except PowerCut:
                self.module = None
                self.world.power_on()
                gc.collect()

    def tell_ring(self):
        digest = hashlib.sha256()
        count = 0
        for number, body, tag in self.module.readings.records():
            digest.update(struct.pack("<I", number))
            digest.update(body)
            digest.update(tag)
            count += 1
        say(head=self.module.readings.head_number, count=count, digest=digest.digest().hex())


def main():
    run = Run()
    say(done="start", now_ms=0)
    while True:
        line = sys.stdin.readline().split()
        if not line:
            return
        run.command(*line)
