"""Figures of what goes between a module and its server: bytes an exchange, and what a day of them comes to.

The firmware is what is flashed, under mbedTLS; the server is the PPS's; the bytes are counted where the virtual network
passes them on: all that TCP carries, TLS and its handshake included, TCP's and IP's own heads not.

The firmware's clock runs 25 times as fast, and a long poll waits 1 s for 25: so a half hour has as many exchanges as
any, and is over in 72 s. A day is calculated: as many hellos and long polls as the settings make of it, whatever a
loaded machine makes of a second, and of all else 48 times what was counted in the half hour. A second house beside it
has a server of its own for its energy (R25), of whose link a day is 48 times that half hour.
"""

import asyncio
import collections
import contextlib
import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from firmware import settings
from tools.pps import server as pps_server
from tools.sim.entered import enter
from tools.sim.fast import FastTime
from tools.sim.house import HOST_NAME, House

DAY_S = 86_400
SLOT_S = 1_800

_SCALE = settings.LINK_POLL_WAIT_S
_FAST_POLL_S = 1  # as FastTime has it
_LEAD_S = 1_000  # of the fast clock, from its beginning to the half hour's first end: the factory and a start
_TIMEOUT_S = 240
_LOOK_EVERY_S = 0.05
_ROUTES = {f"/v1/module/{name}": name for name in ("hello", "poll", "report_key", "readings", "ack", "audit")}
_SLOTS = DAY_S // SLOT_S
_BY_CLOCK = {"long poll": DAY_S // settings.LINK_POLL_WAIT_S, "hello": DAY_S // settings.LINK_HELLO_S}
# Hellos come more often than half hours, and after one the module first asks what the server has; between any two
# requests it asks for credentials, without waiting.
_REPORTING = ("ask", "poll", "report")
_FASTER = {"REPORT_LOOK_MS": settings.REPORT_LOOK_MS // _SCALE}  # waited for in real time
_RECORD_BYTES = 128  # as it is kept
_DAY_LIMIT_BYTES = 2_000_000
_REPORTING_LIMIT_BYTES = 100_000
_APART_LIMIT_BYTES = 300_000
_DIGITS = len(str(settings.LINK_POLL_WAIT_S)) - len(str(_FAST_POLL_S))
"""How many bytes longer a real long poll's request is: `wait_s` stands in it."""


class Exchange(NamedTuple):
    """A request and its answer. kind: `report` has records, `ask` is one without, `long poll` was waited for.

    is_first: of its connection, whose handshake it includes.
    """

    kind: str
    is_first: bool
    up: int
    down: int


class Traffic:
    """Listener of a Network: what passed, as exchanges. counts: callable, how many of each kind were answered."""

    def __init__(self, counts, now=time.monotonic):
        self.exchanges = []
        self._counts = counts
        self._now = now
        self._connection = None
        self._before = counts()
        self._begin()

    def _begin(self, is_first=False):
        self._is_first = is_first
        self._bytes = [0, 0]
        self._asked_at = self._waited_s = 0

    def __call__(self, port, connection, from_module, size):
        if from_module:
            if connection != self._connection:
                self._settle()
                self._connection = connection
                self._begin(is_first=True)
            elif self._bytes[1]:
                self._settle()
            self._asked_at = self._now()
        elif connection == self._connection:
            self._waited_s = max(self._waited_s, self._now() - self._asked_at)
        if connection == self._connection:
            self._bytes[not from_module] += size

    def _settle(self):
        """The module goes on: what was answered is over; what was not is a handshake, and belongs to what follows."""
        counts = self._counts()
        risen = [kind for kind, count in counts.items() if count > self._before.get(kind, 0)]
        if not risen:
            return
        self._before = counts
        kind = "report" if "record" in risen else risen[0]
        if kind == "readings":
            kind = "ask"
        elif kind == "poll" and self._waited_s > _FAST_POLL_S / 2:
            kind = "long poll"
        self.exchanges.append(Exchange(kind, self._is_first, *self._bytes))
        self._begin()


def rows():
    """Rows {name, value, unit, limit, peer, ok}."""
    both, apart = asyncio.run(_half_hours())
    return figures(*both) + figures_apart(*apart)


async def _half_hours():
    starting = asyncio.Lock()  # two databases at a time cannot be migrated in a process
    return await asyncio.gather(half_hour(starting), half_hour_apart(starting))


def figures(before, counted):
    """The rows, of the exchanges before the half hour that is counted and of those in it."""
    a_day = dict(_BY_CLOCK)
    for each in counted:
        if each.kind not in _BY_CLOCK:
            a_day[each.kind] = a_day.get(each.kind, 0) + _SLOTS
    sizes = {kind: _size(kind, before + counted) for kind in a_day}
    found = []
    for kind, count in a_day.items():
        found += _both_ways(f"{kind}, {count:,} a day", *sizes[kind])
    found += _both_ways("handshake", *_handshake(before + counted, sizes))
    found += _both_ways("a day", *(sum(count * sizes[kind][way] for kind, count in a_day.items()) for way in (0, 1)))
    both = {kind: count * sum(sizes[kind]) for kind, count in a_day.items()}
    day = sum(both.values())
    reporting = sum(both.get(kind, 0) for kind in _REPORTING)
    handshakes = _SLOTS * sum(each.is_first for each in counted)
    return [
        *found,
        _row("a day, both ways", day, "B", _DAY_LIMIT_BYTES),
        _row("a day, share of the long polls", both["long poll"] / day, ""),
        _row("a day, reports, peer: records", reporting, "B", _REPORTING_LIMIT_BYTES, _SLOTS * _RECORD_BYTES),
        _row("a day, handshakes", handshakes, "handshakes", 0),
        _row("a half hour, exchanges, peer: calculated", len(counted), "exchanges", peer=sum(a_day.values()) / _SLOTS),
    ]


def _both_ways(name, up, down):
    return [_row(f"{name}: from the module", up, "B"), _row(f"{name}: to the module", down, "B")]


def _size(kind, exchanges):
    """(from the module, to the module), medians; of a long poll as the real one is."""
    of_kind = [each for each in exchanges if each.kind == kind and not each.is_first]
    up = statistics.median(each.up for each in of_kind)
    return up + _DIGITS * (kind == "long poll"), statistics.median(each.down for each in of_kind)


def _handshake(exchanges, sizes):
    """The first exchange of a connection less what such an exchange is later."""
    first = [each for each in exchanges if each.is_first and each.kind in sizes]
    return tuple(
        statistics.median(getattr(each, way) - sizes[each.kind][place] for each in first)
        for place, way in enumerate(("up", "down"))
    )


def _row(name, value, unit, limit=None, peer=None):
    ok = None if limit is None else value <= limit
    return {"name": f"wire: {name}", "value": value, "unit": unit, "limit": limit, "peer": peer, "ok": ok}


def figures_apart(connections, up, down):
    """The rows of the link to an energy server of its own, of a half hour."""
    # The server closes what is idle: a connection for each half hour's report, which its hello waits for.
    most = _SLOTS
    name = "energy server of its own, a day"
    return [
        *_both_ways(name, _SLOTS * up, _SLOTS * down),
        _row(f"{name}, both ways", _SLOTS * (up + down), "B", _APART_LIMIT_BYTES),
        _row(f"{name}, handshakes", _SLOTS * connections, "handshakes", most),
    ]


@contextlib.asynccontextmanager
async def _house(starting):
    """Without power, with a contract still to come, and soon at the end of a half hour."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="inkan-bench-"))
        async with starting:
            fast = FastTime(_SCALE, (int(time.time()) // SLOT_S + 1) * SLOT_S - _LEAD_S)
            house = House(Path(folder, "house"), clock=fast, overlay=_overlay(fast))
            await stack.enter_async_context(house)
            # What the server waits for on an idle connection passes as fast as the rest.
            with mock.patch.object(pps_server, "_KEEP_ALIVE_S", pps_server._KEEP_ALIVE_S / _SCALE):
                await house.start(fresh=True, power=False)
        yield house


def _overlay(fast):
    """ValueError where the settings are no longer what this knows."""
    overlay = fast.overlay()
    path = "firmware/settings.py"
    for name, value in _FASTER.items():
        overlay[path], changed = re.subn(rf"^{name} = [\d_]+", f"{name} = {value}", overlay[path], flags=re.MULTILINE)
        if not changed:
            raise ValueError(f"{path}: no {name}")
    return overlay


async def half_hour(starting):
    """(exchanges before, exchanges of a half hour): it ends with a report, as the one before it did.

    HouseError, TimeoutError.
    """
    async with _house(starting) as house:
        enter(house)
        traffic = Traffic(lambda: answered(house.server.metrics))
        house.module.network.listeners.append(traffic)
        await house.power_on()
        async with asyncio.timeout(_TIMEOUT_S):
            while len(ends := _reports(traffic.exchanges)) < 2:
                await asyncio.sleep(_LOOK_EVERY_S)
        return traffic.exchanges[: ends[0]], traffic.exchanges[ends[0] : ends[1]]


async def half_hour_apart(starting):
    """(connections, bytes from the module, bytes to it) of a half hour, of the link to a second server alone.

    HouseError, TimeoutError.
    """
    async with _house(starting) as house:
        port = await house.module.network.forward("127.0.0.1", house.server.module_port)
        enter(house, energy_url=f"https://{HOST_NAME}:{port}")
        connections, passed = set(), collections.Counter()

        def count(at, connection, from_module, size):
            if at == port:
                connections.add(connection)
                passed[from_module] += size

        house.module.network.listeners.append(count)
        await house.power_on()
        found = []
        async with asyncio.timeout(_TIMEOUT_S):
            for records in (1, 2):
                while answered(house.server.metrics)["record"] < records:
                    await asyncio.sleep(_LOOK_EVERY_S)
                found.append((len(connections), passed[True], passed[False]))
        return tuple(end - start for start, end in zip(*found, strict=True))


def _reports(exchanges):
    """The places behind each report."""
    return [place + 1 for place, each in enumerate(exchanges) if each.kind == "report"]


def answered(metrics):
    """{kind: how many requests were answered}, and `record`: how many records came with them."""
    found = collections.Counter()
    for metric in metrics.registry.restricted_registry(["inkan_requests_total", "inkan_readings_total"]).collect():
        for sample in metric.samples:
            if sample.name == "inkan_readings_total":
                found["record"] += sample.value
            elif sample.name == "inkan_requests_total":
                route = sample.labels["route"]
                found[_ROUTES.get(route, route)] += sample.value
    return found
