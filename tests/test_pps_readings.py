"""Half-hour values at the server: each once, whatever is repeated, lost, edited or played back. On both databases."""

import contextlib
import copy
import json
import random
import subprocess
import sys
import zlib

import pytest
from sqlalchemy import func, select

from tests.postgres import module_database_url, postgres_url  # noqa: F401  fixtures
from tests.pps_client import START, record
from tests.readings_api import serving
from tests.readings_sender import (
    Sender,
    circuits_body,
    clock_body,
    energies_of,
    point_body,
    slot_body,
    slot_of,
    slot_time,
)
from tools.pps.models import ReadingGap, ReadingRecord, SlotValues
from tools.pps.services.audit import audit_mac
from tools.setup import ROOT

NOW_SLOT = slot_of(START)
DAYS = 40


@pytest.fixture(scope="module")
def api(module_database_url):  # noqa: F811
    with serving(module_database_url) as api:
        yield api


@pytest.fixture
def house(api, request):
    """(serial, id, Sender) of a module of this test's own."""
    name = zlib.crc32(request.node.name.encode())
    serial, number = f"M{name:08X}", f"{name:022d}"
    sender = Sender(serial.encode(), site=number, contract=serial)
    api.clock.now = START
    return serial, api.register(serial, sender), sender


def stored_records(api, module_id):
    with api.database.read() as session:
        query = select(ReadingRecord.epoch_id, ReadingRecord.number).where(ReadingRecord.module_id == module_id)
        return sorted(map(tuple, session.execute(query)))


def gaps(api, module_id):
    with api.database.read() as session:
        rows = session.scalars(select(ReadingGap).where(ReadingGap.module_id == module_id).order_by(ReadingGap.first))
        return [(gap.first, gap.last, gap.reason) for gap in rows]


def expected(sender, first, count):
    return {(slot, sender.contract): (1, energies_of(slot)) for slot in range(first, first + count)}


def test_r23_forty_days_are_filled_in_behind_the_newest_each_slot_once(api, house):
    serial, module_id, sender = house
    count = DAYS * 48
    sender.append_slots(NOW_SLOT - count, count)
    assert api.report(serial, sender.request()) == 0
    newest = sender.next_request(0, newest_first=True)
    assert api.report(serial, newest) == 0
    assert (NOW_SLOT - 1, sender.contract) in api.values(module_id)  # the present does not wait for the past
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    through = 0
    while through < sender.head:
        request = sender.next_request(through)
        if chance.random() < 0.3:
            sender.append_slots(NOW_SLOT + sender.head - count, 1)
            api.clock.now = max(api.clock.now, slot_time(NOW_SLOT + sender.head - count))
        answer = api.report(serial, request)
        if chance.random() < 0.7:  # else the answer is lost, and the same comes again
            through = answer
    assert api.values(module_id) == expected(sender, NOW_SLOT - count, sender.head)
    assert [number for _, number in stored_records(api, module_id)] == list(range(1, sender.head + 1))
    assert gaps(api, module_id) == [] and api.services.fleet.alarms(module_id) == []
    assert api.services.energy.status(module_id).missing == 0


def test_s10_flip_of_a_byte_is_refused_and_nothing_of_it_stored(api, house):
    serial, module_id, sender = house
    sender.append_slots(NOW_SLOT - 100, 3)
    assert api.report(serial, sender.request(1, 3, oldest=1)) == 3
    sender.append_slots(NOW_SLOT - 97, 2)
    honest = sender.request(4, 5, oldest=4)
    before = stored_records(api, module_id)

    def flipped(text, at):
        byte = int(text[at : at + 2], 16) ^ 1 << random.randrange(8)
        return f"{text[:at]}{byte:02x}{text[at + 2 :]}"

    shift = random.randrange(3)

    def attempts():
        for index, one in enumerate(honest["records"]):
            for name in ("body", "tag", "mac"):
                for at in range(2 * (index + shift) % 6, len(one[name]), 6):  # a third of all bytes a run
                    request = copy.deepcopy(honest)
                    request["records"][index][name] = flipped(one[name], at)
                    yield request
        for at in range(0, 56, 6):
            yield honest | {"before": flipped(honest["before"], at)}
        yield honest | {"epoch": flipped(honest["epoch"], 0)}
        yield honest | {"records": [one | {"number": one["number"] + 1} for one in honest["records"]], "head": 9}

    for request in attempts():
        answer = api.post_any(serial, request)
        assert answer[0] in (409, 422), (answer, request)
    assert stored_records(api, module_id) == before
    assert len(api.values(module_id)) == 3
    (alarm,) = api.alarms(module_id, "readings_conflict")
    assert alarm.detail["reason"] in ("mac", "before", "tag")
    assert api.report(serial, honest) == 5


def test_s10_number_with_another_tag_and_a_record_that_others_do_not_continue_are_conflicts(api, house):
    serial, module_id, sender = house
    sender.append_slots(NOW_SLOT - 100, 2)
    other = sender.copy()
    other.append_slots(NOW_SLOT - 90, 2)
    sender.append_slots(NOW_SLOT - 98, 4)
    assert api.report(serial, sender.request(4, 6, oldest=1)) == 0
    assert api.report(serial, other.request(4, 4) | {"head": 6}, 409) == "conflict"
    # Number 3 is not here yet, but what is here continues another one.
    assert api.report(serial, other.request(3, 3) | {"head": 6}, 409) == "conflict"
    assert api.report(serial, other.request(1, 3) | {"head": 6}, 409) == "conflict"
    assert len(stored_records(api, module_id)) == 3
    assert api.report(serial, sender.request(1, 3, oldest=1)) == 6
    assert len(api.alarms(module_id, "readings_conflict")) == 1


def test_s10_left_out_record_shows(api, house):
    serial, _, sender = house
    sender.append_slots(NOW_SLOT - 100, 5)
    assert api.report(serial, sender.request(1, 3, oldest=1)) == 3
    assert api.report(serial, sender.request(5, 5, oldest=4)) == 3
    hidden = sender.request(5, 5) | {"before": sender.tags[3].hex(), "head": 5}
    hidden["records"][0]["number"] = 4
    assert api.report(serial, hidden, 409) == "conflict"
    assert api.report(serial, sender.request(), 200) == 3
    assert api.report(serial, sender.request(4, 4, oldest=4)) == 5


@pytest.mark.parametrize("again", [{"slot": 0}, {"slot": 1, "span": 2}, {"slot": -3, "span": 2}])
def test_r23_slot_that_comes_again_under_another_number_is_a_conflict(api, house, again):
    serial, module_id, sender = house
    first = NOW_SLOT - 100
    sender.append(slot_body(first - 2, span=4), slot_body(first - 1), slot_body(first))
    assert api.report(serial, sender.request(1, 3, oldest=1)) == 3
    sender.append(slot_body(first + again["slot"], [9] * 7, span=again.get("span", 1)))
    assert api.report(serial, sender.request(4, 4, oldest=4), 409) == "conflict"
    assert len(stored_records(api, module_id)) == 3
    (alarm,) = api.alarms(module_id, "readings_conflict")
    assert alarm.detail == {"number": 4, "reason": "slot"}


def test_r23_site_and_contract_of_another_module_are_forbidden(api, house):
    serial, _, sender = house
    sender.append_slots(NOW_SLOT - 10, 2)
    assert api.report(serial, sender.request(1, 1, oldest=1)) == 1
    other = Sender(b"other" + serial.encode(), site=sender.site, contract="OTHER-1")
    other_id = api.register(f"X{serial}", other)
    other.append_slots(NOW_SLOT - 10, 1)
    assert api.report(f"X{serial}", other.request(1, 1, oldest=1), 403) == "forbidden"
    assert api.alarms(other_id, "readings_foreign")[0].detail == {"what": "site"}
    changed = other.request(1, 1, oldest=1) | {"site": "9" * 22, "contract": sender.contract}
    assert api.report(f"X{serial}", changed, 403) == "forbidden"
    assert stored_records(api, other_id) == [] and api.services.energy.sites(other_id) == []
    # What an operator assigned is all that it may say.
    api.services.sites.assign(serial, sender.site, "ASSIGNED", "an operator")
    assert api.report(serial, sender.request(2, 2, oldest=2), 403) == "forbidden"
    sender.contract = "ASSIGNED"
    assert api.report(serial, sender.request(2, 2, oldest=2)) == 2


def test_s20_new_contract_number_parts_a_half_hour_and_is_noted(api, house):
    serial, module_id, sender = house
    sender.append(slot_body(NOW_SLOT - 3), slot_body(NOW_SLOT - 2, [1, None, 0, 0, 0, 5, 0], contract=77))
    assert api.report(serial, sender.request(1, 2, oldest=1)) == 2
    sender.append(
        slot_body(NOW_SLOT - 2, [10, None, 0, 0, 0, 50, 0], contract=88), slot_body(NOW_SLOT - 1, contract=88)
    )
    sender.contract += "-B"
    assert api.report(serial, sender.request(3, 4, oldest=3)) == 4
    contracts = [site.contract for site in api.services.energy.sites(module_id)]
    assert contracts == [sender.contract, sender.contract.removesuffix("-B")]
    day = api.services.energy.day(module_id, api.services.energy.today())
    assert day.slots[NOW_SLOT - 2 - day.first_slot].energies == (11, None, 0, 0, 0, 55, 0)
    assert api.services.energy.status(module_id).missing == 0
    sender.append(slot_body(NOW_SLOT, contract=88), slot_body(NOW_SLOT + 1, contract=99))
    sender.contract += "-C"  # the record of the contract before has not been reported, and never will be
    assert api.report(serial, sender.request(6, 6, oldest=6)) == 6
    assert gaps(api, module_id) == [(5, 5, "passed_over")] and api.alarms(module_id, "readings_gap") == []
    sender.contract = sender.contract.removesuffix("-C")
    sender.append(slot_body(NOW_SLOT - 2, contract=88))
    assert api.report(serial, sender.request(7, 7, oldest=7), 409) == "conflict"
    mixed = Sender(serial.encode() + b"mixed", site=sender.site, contract=sender.contract)
    mixed.append(slot_body(NOW_SLOT - 9, contract=1), slot_body(NOW_SLOT - 8, contract=2))
    assert api.report(serial, mixed.request(1, 2), 422) == "bad_request"


def test_r23_new_history_counts_from_one_again(api, house):
    serial, module_id, sender = house
    sender.append_slots(NOW_SLOT - 10, 4)
    assert api.report(serial, sender.request(1, 4, oldest=1)) == 4
    sender.new_history(serial.encode() + b"anew")
    assert api.report(serial, sender.request()) == 0
    sender.append_slots(NOW_SLOT - 6, 3)
    assert api.report(serial, sender.request(1, 3, oldest=1)) == 3
    assert api.values(module_id) == expected(sender, NOW_SLOT - 10, 7)
    sender.append_slots(NOW_SLOT - 10, 1)  # the other history has it
    assert api.report(serial, sender.request(4, 4, oldest=4), 409) == "conflict"


def test_s10_ring_that_was_played_back_is_told_and_alarmed(api, house):
    serial, module_id, sender = house
    sender.append_slots(NOW_SLOT - 100, 5)
    old = sender.copy()
    sender.append_slots(NOW_SLOT - 95, 4)
    assert api.report(serial, sender.request(1, 9, oldest=1)) == 9
    assert api.report(serial, sender.request(1, 5, oldest=1) | {"head": 5}) == 9  # a late copy of an earlier request
    assert api.alarms(module_id, "readings_rollback") == []
    assert api.report(serial, old.request()) == 9
    old.append_slots(NOW_SLOT - 94, 1)
    assert api.report(serial, old.request(6, 6, oldest=6), 409) == "conflict"
    assert len(api.alarms(module_id, "readings_rollback")) == 1
    assert len(stored_records(api, module_id)) == 9


def test_r23_what_never_comes_is_passed_over_and_noted(api, house):
    serial, module_id, sender = house
    sender.append_slots(NOW_SLOT - 200, 60)
    assert api.report(serial, sender.request(5, 8, oldest=5)) == 8  # an older contract's, perhaps
    assert gaps(api, module_id) == [(1, 4, "passed_over")] and api.alarms(module_id, "readings_gap") == []
    assert api.report(serial, sender.request(50, 60, oldest=9)) == 8
    assert api.report(serial, sender.request(20, 30, oldest=20)) == 30
    assert gaps(api, module_id)[1:] == [(9, 19, "passed_over")]
    assert [alarm.detail for alarm in api.alarms(module_id, "readings_gap")] == [{"first": 9, "last": 19}]
    assert api.report(serial, sender.request(oldest=61)) == 60
    assert gaps(api, module_id)[2:] == [(31, 49, "passed_over")]


def test_s18_key_is_told_once_by_a_connection_alone(api, house):
    serial, module_id, sender = house
    sender.append_slots(NOW_SLOT - 10, 1)
    for name, body in (("report_key", sender.key_request()), ("readings", sender.request())):
        assert api.post(serial, name, body, 403, kind="factory_identity") == "forbidden"
    assert api.report(serial, sender.request(1, 1), 409, certificate=2) == "no_report_key"
    assert api.post(serial, "report_key", sender.key_request()) == {"ok": True}
    assert api.post(serial, "report_key", {"protocol": 1, "key": "00" * 32}, 409) == "conflict"
    assert len(api.alarms(module_id, "report_key")) == 1
    assert api.report(serial, sender.request(1, 1, oldest=1)) == 1
    assert api.report("NOBODY", sender.request(), 404) == "unknown_module"


@pytest.mark.parametrize(
    "body",
    [
        bytes(80),
        slot_body(NOW_SLOT - 5, flags=16),
        slot_body(NOW_SLOT - 5, span=0),
        slot_body(NOW_SLOT - 5, contract=0),
        slot_body(NOW_SLOT - 5, quality=4),
        slot_body(NOW_SLOT - 5, [2**31] * 7),
        slot_body(NOW_SLOT + 100),
        circuits_body(NOW_SLOT - 5, []),
        clock_body(1, START, 5, contract=0),
    ],
    ids=["kind", "flags", "span", "contract", "quality", "energy", "future", "no-circuits", "clock"],
)
def test_r27_body_that_the_format_does_not_allow_is_a_bad_request(api, house, body):
    serial, module_id, sender = house
    sender.append(body)
    assert api.report(serial, sender.request(1, 1, oldest=1), 422) == "bad_request"
    assert stored_records(api, module_id) == []


def test_r22_circuits_come_with_their_slot(api, house):
    serial, module_id, sender = house
    sender.append(slot_body(NOW_SLOT - 2, flags=8), circuits_body(NOW_SLOT - 2, [5, 65535, 0]))
    assert api.report(serial, sender.request(1, 2, oldest=1)) == 2
    assert api.report(serial, sender.request(2, 2, oldest=2)) == 2
    date = api.services.energy.today()
    assert api.services.energy.circuits(module_id, date) == {NOW_SLOT - 2: (1, (5, 65535, 0), ("measured",) * 3)}
    sender.append(slot_body(NOW_SLOT - 1), circuits_body(NOW_SLOT - 2, [5]))
    assert api.report(serial, sender.request(3, 4, oldest=3), 409) == "conflict"


def test_r23_points_are_placed_once_the_clock_is_known_and_no_energy_is_lost(api, house):
    serial, module_id, sender = house
    boot_at = slot_time(NOW_SLOT - 20) + 300
    sender.append(slot_body(NOW_SLOT - 21, powered_s=10_000))
    sender.append(*(point_body(5, 10_360 + 1800 * index, [1001] * 7) for index in range(3)))
    known_s = 10_360 + 2 * 1800 + 900
    sender.append(point_body(5, known_s, [500] * 7), clock_body(5, boot_at + known_s - 10_360 + 1800, known_s))
    assert api.report(serial, sender.request(4, 6, oldest=1)) == 0
    assert api.report(serial, sender.request(1, 3, oldest=1)) == 6
    assert len(api.values(module_id)) == 1  # the slot in which the clock became known is not over yet
    closing = slot_of(boot_at + known_s - 10_360 + 1800)
    sender.append(slot_body(closing, [40] * 7, quality=1, powered_s=known_s + 600))
    assert api.report(serial, sender.request(7, 7, oldest=7)) == 7
    values = api.values(module_id)
    placed = [values[slot, sender.contract][1] for slot in range(NOW_SLOT - 20, closing + 1)]
    for quantity in range(7):
        assert sum(each[quantity] for each in placed) == 3 * 1001 + 500 + 40
    assert sum(span for span, _ in values.values()) == closing - NOW_SLOT + 22  # without holes
    assert placed[-1][0] > 40
    assert api.report(serial, sender.request(1, 7, oldest=1)) == 7
    assert api.values(module_id) == values
    sender.append(slot_body(closing + 1))
    assert api.report(serial, sender.request(8, 8, oldest=8)) == 8


def test_r26_audit_trail_is_checked_as_a_chain(api, house):
    serial, module_id, sender = house
    tags = [f"{number:056x}" for number in range(9)]

    def body(*numbers, tags=tags, key=sender.report_key):
        macs = [audit_mac(key, number, tags[number - 1], tags[number]) for number in numbers]
        sent = [record(number, tags[number], mac=mac) for number, mac in zip(numbers, macs, strict=True)]
        return {"protocol": 1, "before": tags[numbers[0] - 1], "records": sent}

    assert api.post(serial, "audit", body(1, 2)) == {"through": 2}
    assert api.post(serial, "audit", body(2, 3)) == {"through": 3}
    edited = [*tags[:3], "ee" * 28, *tags[4:]]
    for wrong in (body(4, tags=edited), body(4, 5, key=bytes(32)), body(4) | {"before": None}):
        assert api.post(serial, "audit", wrong, 409) == "conflict"
    assert api.post(serial, "audit", {"protocol": 1, "records": [record(4, tags[4])]}) == {"through": 4}
    rows, total = api.services.audit.records(module_id)
    assert total == 4 and [row.mac is not None for row, _ in rows] == [False, True, True, True]
    assert len(api.alarms(module_id, "audit_conflict")) == 1


def test_r23_worker_that_is_killed_in_a_store_leaves_it_to_two_others(postgres_url):  # noqa: F811
    with serving(postgres_url) as api:
        sender = Sender()
        module_id = api.register("BUSY", sender)
        sender.append_slots(NOW_SLOT - 480, 480)
        requests = [sender.request(first, first + 7) for first in range(1, 480, 8)]
        text = "".join(json.dumps(request) + "\n" for request in requests).encode()
        with _worker(postgres_url, text, seed=1, stops_at=5) as killed:
            assert killed.stdout.readline() == b"stopped\n"
            with _worker(postgres_url, text, seed=2) as one, _worker(postgres_url, text, seed=3) as other:
                for worker in (one, other):
                    assert worker.stdout.readline() == b"ready\n"
                killed.kill()
                assert (one.wait(120), other.wait(120)) == (0, 0)
        with api.database.read() as session:
            count = session.scalar(select(func.count()).select_from(SlotValues))
            assert count == session.scalar(select(func.count()).select_from(ReadingRecord)) == 480
        assert api.report("BUSY", sender.request(oldest=1)) == 480
        assert api.values(module_id) == expected(sender, NOW_SLOT - 480, 480)
        assert api.services.fleet.alarms(module_id) == []


@contextlib.contextmanager
def _worker(url, text, *, seed, stops_at=0):
    command = [sys.executable, "-m", "tests.readings_worker", url, "BUSY", str(seed), str(stops_at), str(START)]
    worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        worker.stdin.write(text)
        worker.stdin.close()
        yield worker
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close()
