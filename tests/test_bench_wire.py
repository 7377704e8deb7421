"""What passes is told apart into exchanges, and a day is calculated from them."""

import pytest

from tools.bench import wire
from tools.bench.wire import Exchange, Traffic
from tools.pps.metrics import Metrics

HANDSHAKE = Exchange("hello", True, 1600, 1700)
HALF_HOUR = [
    *69 * [Exchange("long poll", False, 213, 196)],
    *3 * [Exchange("hello", False, 517, 324)],
    Exchange("ask", False, 389, 192),
    Exchange("poll", False, 213, 196),
    Exchange("report", False, 677, 192),
]


class Link:
    """A connection after another, as the forwarder tells of them, and what the server has counted."""

    def __init__(self):
        self.counts = {}
        self.now = 0
        self.connection = 1
        self.traffic = Traffic(lambda: dict(self.counts), lambda: self.now)

    def pass_on(self, from_module, size):
        self.traffic(8443, self.connection, from_module, size)

    def ask(self, up, *down, kinds, waits_s=0.0):
        self.pass_on(True, up)
        self.now += waits_s
        for kind in kinds:
            self.counts[kind] = self.counts.get(kind, 0) + 1
        for size in down:
            self.pass_on(False, size)


def test_exchanges_are_told_apart_by_what_the_server_counted_and_how_long_it_waited():
    link = Link()
    link.pass_on(True, 300)  # a handshake: nothing is counted for it
    link.pass_on(False, 1200)
    link.pass_on(True, 800)
    link.ask(500, 66, 130, kinds=["hello"])
    link.ask(213, 66, 130, kinds=["poll"], waits_s=1.0)
    link.ask(213, 196, kinds=["poll"])
    link.ask(389, 192, kinds=["readings"])
    link.ask(677, 192, kinds=["readings", "record"])
    link.connection = 2
    link.ask(1600, 1700, kinds=["hello"])
    link.pass_on(True, 1)
    assert link.traffic.exchanges == [
        Exchange("hello", True, 1600, 1396),
        Exchange("long poll", False, 213, 196),
        Exchange("poll", False, 213, 196),
        Exchange("ask", False, 389, 192),
        Exchange("report", False, 677, 192),
        Exchange("hello", True, 1600, 1700),
    ]


def test_kinds_are_the_routes_of_the_module_and_records_are_counted_beside_them():
    metrics = Metrics()
    metrics._requests.labels("module", "/v1/module/readings", "POST", 200).inc(2)
    metrics._requests.labels("module", "/v1/module/hello", "POST", 200).inc()
    metrics._requests.labels("module", "/v1/module/hello", "POST", 409).inc()
    metrics._records.inc(3)
    assert wire.answered(metrics) == {"readings": 2, "hello": 2, "record": 3}


def test_r23_a_day_is_what_the_settings_and_the_half_hour_make_of_it():
    rows = {row["name"].removeprefix("wire: "): row for row in wire.figures([HANDSHAKE], HALF_HOUR)}
    assert rows["handshake: from the module"]["value"] == 1600 - 517
    assert rows["handshake: to the module"]["value"] == 1700 - 324
    assert rows["long poll, 3,456 a day: from the module"]["value"] == 214  # it says 25 where a fast one says 1
    up = 3456 * 214 + 144 * 517 + 48 * (389 + 213 + 677)
    down = 3456 * 196 + 144 * 324 + 48 * (192 + 196 + 192)
    assert (rows["a day: from the module"]["value"], rows["a day: to the module"]["value"]) == (up, down)
    assert rows["a day, both ways"]["value"] == up + down and rows["a day, both ways"]["ok"]
    assert rows["a day, share of the long polls"]["value"] == pytest.approx(3456 * 410 / (up + down))
    assert rows["a day, reports, peer: records"]["value"] == 48 * (581 + 409 + 869)
    assert rows["a day, handshakes"]["value"] == 0 and rows["a day, handshakes"]["ok"]
    assert rows["a half hour, exchanges, peer: calculated"]["value"] == 75
    assert rows["a half hour, exchanges, peer: calculated"]["peer"] == 78


def test_r23_a_handshake_and_what_is_not_usual_count_in_the_day():
    odd = [*HALF_HOUR, Exchange("audit", False, 421, 165), HANDSHAKE]
    rows = {row["name"].removeprefix("wire: "): row for row in wire.figures([], odd)}
    assert rows["a day, handshakes"]["value"] == 48 and rows["a day, handshakes"]["ok"] is False
    usual = {row["name"]: row for row in wire.figures([HANDSHAKE], HALF_HOUR)}["wire: a day, both ways"]["value"]
    assert rows["a day, both ways"]["value"] == usual + 48 * (421 + 165)


def test_r25_an_energy_server_of_its_own_has_a_handshake_for_each_report_and_no_more():
    rows = {row["name"].rpartition("a day")[2]: row for row in wire.figures_apart(1, 2700, 2100)}
    assert rows[", both ways"]["value"] == 48 * 4800 and rows[", both ways"]["ok"]
    assert rows[", handshakes"]["value"] == rows[", handshakes"]["limit"] == 48
    assert rows[", handshakes"]["ok"]
    assert wire.figures_apart(2, 2700, 2100)[-1]["ok"] is False
