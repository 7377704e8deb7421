"""R23, S10, S18 to S20: the module's reports, as its firmware makes them, over mutual TLS to the PPS's own server."""

import asyncio
import struct

import pytest
from sqlalchemy import select

from tests.link import micropython
from tests.link.authority import scalar
from tests.pps_client import START, Clock, certificate_request, new_key, running_server
from tests.test_link_server import files
from tools.pps.errors import ServiceError
from tools.pps.models import Alarm, ReadingRecord, ReadingsEpoch, SlotValues

SERIAL = "INK-00000001"
SITE = "0312345678901234567890"
CONTRACT = "PPS-000123"
UNIX_TO_2000_S = 946_684_800
FIRST_SLOT = (START - UNIX_TO_2000_S) // 1800 - 100
HEAP = "256wK"  # beside the units a module's whole flash is made here


class World:
    """The server in this event loop, and a module that a thread talks to."""

    def __init__(self, server, folder):
        self.server = server
        server.register_module(SERIAL, "a house")
        key = new_key()
        certificate = server.certify_connection(SERIAL, certificate_request(key, SERIAL))
        self.options = files(folder, server.ca.pps.certificate_der, certificate, scalar(key)) | {
            "port": server.module_port,
            "site": SITE,
            "contract": CONTRACT,
            "slot": FIRST_SLOT,
        }

    def module(self):
        return micropython.Talk("report_client", self.options, HEAP, timeout_s=120)

    def rows(self, model, *columns):
        """What a table has, in the order of its rows."""
        with self.server.services.readings._database.read() as session:
            return session.execute(select(*[getattr(model, name) for name in columns]).order_by(*columns[:1])).all()

    def numbers(self):
        return [number for (number,) in self.rows(ReadingRecord, "number")]

    def slots(self):
        return [slot - FIRST_SLOT for (slot,) in self.rows(SlotValues, "slot")]


def until_sent(module):
    """What was answered until nothing waits; `through` of each."""
    found = []

    def is_last(line):
        if "through" in line:
            assert line["good"]
            found.append(line["through"])
        return line.get("waiting") == 0

    module.until(is_last)
    return found


def follow(test):
    """Run `test(world)` in a thread, beside a server."""

    async def run(tmp_path):
        async with running_server(tmp_path, Clock()) as server:
            await asyncio.to_thread(test, World(server, tmp_path))

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return pytest.mark.asyncio(run)


@follow
def test_r23_reports_arrive_the_newest_first_and_each_once(world):
    with world.module() as module:
        until_sent(module)
        module.tell("slots 40")
        through = until_sent(module)
        assert (through[0], through[-1]) == (0, 40)  # the newest 16 do not move it
        assert world.numbers() == list(range(1, 41))
        assert world.slots() == list(range(40))
        module.tell("slots 1")
        assert until_sent(module)[-1] == 41
    values = world.rows(SlotValues, "slot", "pv", "sold")
    assert all((row.pv, row.sold) == (row.slot % 1000, row.slot % 1000 + 6) for row in values)
    # Every MAC was checked as it came; the tags are those of the ring, one upon the other.
    records = world.rows(ReadingRecord, "number", "body", "tag")
    assert len({record.tag for record in records}) == 41
    assert all(struct.unpack_from("<I", record.body, 4)[0] == FIRST_SLOT + record.number - 1 for record in records)


@follow
def test_r23_an_answer_that_was_lost_brings_the_same_records_and_no_second_row(world):
    take = world.server.services.readings.take
    requests = []

    def take_and_lose(identity, report):
        requests.append(report)
        through = take(identity, report)
        if len(requests) in (3, 4):  # stored, and nobody hears of it
            raise ServiceError("internal", "lost")
        return through

    world.server.services.readings.take = take_and_lose
    with world.module() as module:
        until_sent(module)
        module.tell("slots 3")
        until_sent(module)
        module.tell("slots 2")
        until_sent(module)
    sent = [[record.number for record in report.records] for report in requests]
    assert sent.count([1, 2, 3]) + sent.count([4, 5]) >= 3  # at least one of them twice
    assert {tuple(numbers) for numbers in sent} == {(), (1, 2, 3), (4, 5)}
    assert world.numbers() == [1, 2, 3, 4, 5]
    assert world.slots() == [0, 1, 2, 3, 4]


@follow
def test_s19_a_tampered_module_reports_nothing_and_says_so(world):
    take = world.server.services.readings.take
    world.server.services.readings.take = lambda identity, report: 0  # knows nothing and keeps nothing
    reports = []
    with world.module() as module:
        module.until(lambda line: line.get("through") == 0)
        module.tell("slots 2")
        module.until(lambda line: line.get("done") == "slots")
        module.tell("tamper")
        module.until(lambda line: line.get("done") == "tamper")
        world.server.services.readings.take = lambda identity, report: reports.append(report) or take(identity, report)
        module.tell("hello")
        module.until(lambda line: line.get("online") is False or line.get("error"))
    assert not reports and not world.numbers()


@follow
def test_s20_what_was_kept_under_another_contract_number_is_passed_over(world):
    take = world.server.services.readings.take
    world.server.services.readings.take = lambda identity, report: 0  # knows nothing and keeps nothing
    with world.module() as module:
        module.until(lambda line: line.get("through") == 0)
        module.tell("slots 3")
        module.tell("contract PPS-000999")
        module.until(lambda line: line.get("done") == "contract")
        world.server.services.readings.take = take
        module.tell("slots 2")
        module.tell("hello")
        module.until(lambda line: line.get("through") == 5 and line["waiting"] == 0)
    assert world.numbers() == [4, 5]
    assert world.slots() == [3, 4]


@follow
def test_s10_a_ring_that_was_played_back_is_told_and_alarmed(world):
    with world.module() as module:
        module.tell("slots 5")
        until_sent(module)
        with world.server.services.readings._database.write() as session:
            epoch = session.scalars(select(ReadingsEpoch)).one()
            epoch.highest = epoch.through = 9  # as if it had been further once
        module.tell("slots 1")
        module.until(lambda line: line.get("tamper") == "remote_rollback")
    assert "readings_rollback" in [kind for _, kind in world.rows(Alarm, "id", "kind")]
    assert world.numbers() == [1, 2, 3, 4, 5]


@follow
def test_r26_the_audit_trail_is_chained_once_the_report_key_is_told(world):
    audit = world.server.services.audit
    take = audit.take
    batches = []

    def look(identity, records, before=None):
        batches.append((records, before))
        return take(identity, records, before)

    audit.take = look
    with world.module() as module:
        module.tell("slots 1")
        until_sent(module)
        module.tell("contract PPS-000999")
        module.until(lambda line: line.get("done") == "contract")
        module.tell("slots 1")
        module.until(lambda line: line.get("through") == 2)
        module.tell("slots 1")
        module.until(lambda line: line.get("through") == 3)
    proved = [(records, before) for records, before in batches if before]
    assert proved and all(record["mac"] for records, _ in proved for record in records)
    assert "change" in [record["event"] for records, _ in proved for record in records]
    assert not world.rows(Alarm, "id", "kind")
