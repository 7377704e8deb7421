"""S20: a house moves to another PPS, and that one gets nothing of what belongs to the one before."""

import sys

from unit_rig import Rig, blank_flash, get, message, module, provision, random

from firmware import settings
from firmware.readings import Readings
from firmware.reporting import Reporter
from tests.power.harness import explore, tally

# The units that report beside those that change, and what the harness keeps of each point.
HEAP = {"test_s20_s9_a_cut_leaves_the_old_pps_with_its_contract_or_the_new_one_without": "256wK"}
SHARES = 6 if sys.implementation.name == "micropython" else 1  # of the points that are taken

CERTIFICATE = b"\x30\x03abc"
OTHER_CERTIFICATE = b"\x30\x03xyz"
OLD = {0x51: "https://old.example", 0x53: CERTIFICATE, 0x54: CERTIFICATE, 0x55: b"\x07" * 32}
RENEWED = OLD | {0x51: "https://renewed.example", 0x54: b"\x30\x03def", 0x55: b"\x08" * 32}
NEW = {0x51: "https://new.example", 0x53: OTHER_CERTIFICATE, 0x54: OTHER_CERTIFICATE, 0x55: b"\x09" * 32}
CONTRACT = 0x14
SITE = {0x31: "03" + "1" * 20}


def session_of(rig, sequence=1):
    rig.acquisition.accept(message(sequence), settings.ISSUER_CONNECTION)
    return rig.open()


def steps(session, *changes):
    """Do one change after another: a dict with a URL is a connection, None deletes the connection."""
    for number, change in enumerate(changes, 1):
        if change is None:
            session.delete(number, session.generation, settings.GROUP_CONNECTION)
        elif 0x51 in change:
            session.change_connection(number, session.generation, change)
        else:
            session.change(number, session.generation, change)


def test_s20_the_contract_number_stays_with_its_pps():
    for changes, stays in (
        (({CONTRACT: "OLD-1"}, OLD), True),  # a new house: the number first
        ((OLD, {CONTRACT: "OLD-1"}, RENEWED), True),
        (({CONTRACT: "OLD-1"}, OLD, None, RENEWED), True),
        ((OLD, {CONTRACT: "OLD-1"}, NEW), False),
        (({CONTRACT: "OLD-1"}, OLD, NEW), False),
        (({CONTRACT: "OLD-1"}, OLD, None, NEW), False),
        ((OLD, {CONTRACT: "OLD-1"}, NEW, {CONTRACT: "NEW-1"}, NEW), True),
    ):
        rig = module()
        steps(session_of(rig), *changes)
        assert (get(rig.device, CONTRACT) is not None) == stays, changes
        gone = [record for record in rig.audit.pending(0, 100) if "contract_number" in record["fields"]]
        assert gone[-1]["subject"] == ("" if stays else "connection"), changes


def reported(rig):
    """Numbers that a new server would be sent, and the reporter's state."""
    readings = Readings(rig.store.readings, random, rig.sessions.read, rig.audit)
    reporter = Reporter(readings, rig.detection, rig.sessions.read, None)
    if not reporter.has_word:
        return reporter.state, []
    b"".join(reporter.request(16))
    reporter.told(readings.epoch.hex(), 0)
    while True:
        pieces = reporter.request(16)
        if pieces is not None:
            said = b"".join(pieces)
            return reporter.state, [record[0] for record in readings.records() if b'"number": %d,' % record[0] in said]


def measure(rig, first_slot, count):
    readings = Readings(rig.store.readings, random, rig.sessions.read, rig.audit)
    if readings.ready:
        values = [(0, 1, 1)] * 7
        for slot in range(first_slot, first_slot + count):
            readings.append_slot(readings.contract_tag, slot, 1, 0, values, 5, 100)


def test_s20_readings_on_both_sides_of_the_switch_go_to_their_own_pps_alone():
    rig = module()
    session = session_of(rig)
    steps(session, OLD, {CONTRACT: "OLD-1"}, SITE)
    measure(rig, 100, 3)
    assert reported(rig) == ("waiting", [1, 2, 3])
    session.change_connection(9, session.generation, NEW)
    assert reported(rig) == ("no_contract", [])
    measure(rig, 103, 2)  # belongs to nobody: not kept
    session.change(10, session.generation, {CONTRACT: "NEW-1"})
    assert reported(rig) == ("ok", [])
    measure(rig, 105, 2)
    assert reported(rig) == ("waiting", [4, 5])


def test_s20_s9_a_cut_leaves_the_old_pps_with_its_contract_or_the_new_one_without():
    old, new = (b"https://old.example", b"OLD-1"), (b"https://new.example", None)

    def prepare(device):
        provision(device)
        rig = Rig(device)
        steps(session_of(rig), OLD, {CONTRACT: "OLD-1"})
        rig.acquisition.accept(message(2), settings.ISSUER_CONNECTION)  # the first one went with the new server

    def operation(device, told):
        session = Rig(device).open()
        session.change_connection(1, session.generation, NEW)
        told.append("connected")

    def check(device, told):
        assert Rig(device).detection.tamper is None
        found = get(device, 0x51), get(device, CONTRACT)
        assert found == new if told else found in (old, new)
        seen.add(found)

    seen = set()
    print(tally("units: another PPS", explore(blank_flash, prepare, operation, check, shard=(0, SHARES))))
    assert seen == {old, new}
