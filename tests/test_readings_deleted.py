"""R5, S12: usage history that was deleted is gone, wherever the power goes meanwhile; and with it the contract's."""

import pytest
from unit_rig import Rig, blank_flash, get, message, provision, random

from firmware import settings
from firmware.readings import Readings
from firmware.store import layout
from tests.power.dump_scan import find
from tests.power.harness import explore, tally

HISTORY = settings.GROUP_USAGE_HISTORY
CUSTOMER = settings.GROUP_CUSTOMER
CONTRACT = 0x14
POWERED_S = 77_777_777
# What a record holds of its own: seven energies in a row.
VALUES = [(0, 1_234_567_890 + 1_000_003 * index, 4_000_000_001 + index) for index in range(7)]
ENERGY = b"".join(energy.to_bytes(4, "little") for _, energy, _ in VALUES)


def readings_of(rig):
    readings = Readings(rig.store.readings, random, rig.sessions.read, rig.audit)
    rig.sessions.information_listeners.append(readings.changed)
    rig.detection.listeners.append(readings.changed)
    return readings


def append(readings, slot):
    readings.append_slot(readings.contract_tag, slot, 1, 0, VALUES, 1, POWERED_S)


def keep_some(device):
    """A contract, and slots of it in two sectors."""
    provision(device)
    rig = Rig(device)
    rig.acquisition.accept(message(max_successes=100, lifetime_s=None), settings.ISSUER_CONNECTION)
    readings = readings_of(rig)
    session = rig.open()
    assert not readings.ready
    session.change(1, session.generation, {CONTRACT: "PPS-1", 0x11: "name"})
    for slot in range(40):
        append(readings, slot)


def delete_history(session):
    session.delete(1, session.generation, HISTORY)


def delete_customer(session):
    session.delete(1, session.generation, CUSTOMER)


def delete_contract(session):
    session.delete(1, session.generation, CUSTOMER, [CONTRACT])


@pytest.mark.parametrize("delete", [delete_history, delete_customer, delete_contract])
def test_r5_s12_deleted_usage_history_is_gone_at_once(delete):
    device = blank_flash()
    keep_some(device)
    image = device.image()
    assert len(find(image, ENERGY)) >= 40
    key = get(device, 0x21)
    assert find(image, key)
    rig = Rig(device)
    readings = readings_of(rig)
    assert readings.head_number == 40
    epoch = readings.epoch
    reading = readings.chained(5)
    assert next(reading)[0] == 5
    session = rig.open()
    delete(session)
    assert list(reading) == []  # nor does who was reading it get more
    image = device.image()
    assert find(image, ENERGY) == [] == find(image, key)
    if delete is delete_history:
        assert readings.epoch not in (None, epoch) and readings.head_number == 0
        append(readings, 41)
        assert readings.head_number == 1
    else:
        assert readings.epoch is None
        session.change(2, session.generation, {CONTRACT: "PPS-1"})
        append(readings, 41)
        assert (readings.head_number, get(device, 0x21) != key) == (1, True)


@pytest.mark.parametrize("delete", [delete_history, delete_customer])
def test_r5_s12_cuts_while_usage_history_is_deleted(delete):
    def operation(device, told):
        rig = Rig(device)
        readings_of(rig)
        delete(rig.open())
        told.append("deleted")

    def check(device, told):
        rig = Rig(device)
        assert rig.detection.tamper is None and not rig.store.vault.purge_pending
        readings = readings_of(rig)
        if readings.head_number == 40:
            assert not told and get(device, CONTRACT) == b"PPS-1"
        else:
            assert readings.head_number == 0 and find(device.image(), ENERGY) == []
            assert all(device.is_erased(layout.READINGS[0] + sector) for sector in range(layout.READINGS[1]))
            if delete is delete_customer:
                assert get(device, CONTRACT) is get(device, 0x21) is None and not readings.ready
                session = rig.open()
                session.change(1, session.generation, {CONTRACT: "PPS-2"})
        append(readings, 41)
        assert readings.head_number in (1, 41)

    done = explore(blank_flash, keep_some, operation, check)
    print(tally("readings: " + delete.__name__, done))
    assert done["points"] >= 50
