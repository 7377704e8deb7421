"""R22, R23: from the power control device's counters to the PPS's database, through all that lies between.

The firmware is what is flashed, the line a Modbus server's, the clock a fast one; what is compared are whole Wh.
"""

import asyncio
import contextlib
import time

import pytest
from sqlalchemy import select

from tools.pps.models import QUANTITIES, CircuitValues, Module, ReadingRecord, ReadingsEpoch, SlotValues
from tools.sim.entered import enter
from tools.sim.fast import FastTime
from tools.sim.house import House
from tools.sim.power.device import PANEL_BOARD

pytestmark = pytest.mark.asyncio

SCALE = 300  # times as fast


class Database:
    def __init__(self, house):
        self._database = house.server.services.readings._database

    def all(self, model, order):
        with self._database.read() as session:
            return list(session.scalars(select(model).order_by(order)))

    def slots(self):
        return self.all(SlotValues, SlotValues.slot)


async def until(condition, timeout_s=240):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.1)


async def test_r22_r23_two_half_hours_from_the_device_to_the_server(tmp_path):
    fast = FastTime(SCALE, time.time())
    house = House(tmp_path, host=PANEL_BOARD, clock=fast, overlay=fast.overlay())
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(house)
        await house.start(fresh=True, power=False)
        enter(house)
        database = Database(house)
        await house.power_on()
        await until(lambda: len(database.slots()) >= 3)
        before = len(database.slots())
        await house.restart()
        await until(lambda: len(database.slots()) >= before + 2)
        slots = database.slots()
        records = database.all(ReadingRecord, ReadingRecord.number)
        circuits = database.all(CircuitValues, CircuitValues.slot)
        epoch = database.all(ReadingsEpoch, ReadingsEpoch.id)
        (module,) = database.all(Module, Module.id)
        counted = house.power.counted()
        assert not [line for line in house.module.output if "failed" in line]

    # Each half hour once, in one piece with the next, and each record once.
    ends = [row.slot for row in slots]
    assert [row.slot - row.span for row in slots[1:]] == ends[:-1]
    numbers = [record.number for record in records]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(epoch) == 1 and epoch[0].through == numbers[-1]
    # To the Wh: what the slots say together is what the counters say at both ends.
    bodies = {record.number: record.body for record in records}

    def counter(row, place):
        body = bodies[row.number]
        return int.from_bytes(body[44 + 4 * place : 48 + 4 * place], "little")

    for place, name in enumerate(QUANTITIES):
        energy_wh = sum(getattr(row, name) for row in slots[1:])
        assert energy_wh == counter(slots[-1], place) - counter(slots[0], place), name
        assert counter(slots[-1], place) <= counted[place], name
    assert sum(row.bought + row.pv + row.discharged for row in slots) > 0
    assert {row.slot for row in circuits} <= set(ends) and len(circuits) >= len(slots) - 1
    assert module.state["energy"]["device"] == "ok"
