"""The virtual house's energy: nothing appears or is lost, whatever the weather and whoever drives."""

import asyncio
import random

import pytest

from firmware.drivers import DriverError
from firmware.sunspec import Device
from tools.sim.power.device import BAD_CRC, EXCEPTION, PANEL_BOARD, SILENT, PowerDevice
from tools.sim.power.direct import Direct
from tools.sim.power.house_model import (
    BATTERY_CHARGED,
    BATTERY_DISCHARGED,
    BOUGHT,
    EV_CHARGED,
    EV_DISCHARGED,
    FIRST_CIRCUIT,
    LOAD,
    PV,
    QUANTITIES,
    SOLD,
    HouseModel,
)

DAY_S = 86_400
NEW_YEAR_S = 1_798_729_200  # 2027-01-01T00:00 in Japan


def balance_ws(model, from_s, to_s):
    """What the house used beyond what came into it: 0."""
    came, went = (PV, BATTERY_DISCHARGED, EV_DISCHARGED, BOUGHT), (BATTERY_CHARGED, EV_CHARGED, SOLD, LOAD)
    return sum(model.energy_ws(quantity, from_s, to_s) for quantity in came) - sum(
        model.energy_ws(quantity, from_s, to_s) for quantity in went
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_comes_in_is_what_is_used_to_the_watt_second(seed):
    model = HouseModel(NEW_YEAR_S, seed=seed, step_s=300, circuits=11)
    times = random.Random(seed)
    for _ in range(200):
        first, last = sorted(times.randrange(NEW_YEAR_S, NEW_YEAR_S + 40 * DAY_S) for _ in range(2))
        assert balance_ws(model, first, last) == 0
        circuits = sum(model.energy_ws(FIRST_CIRCUIT + number, first, last) for number in range(11))
        assert circuits == model.energy_ws(LOAD, first, last)


def test_the_integral_is_the_sum_of_the_power_second_by_second():
    model = HouseModel(NEW_YEAR_S, seed=4)
    first, last = NEW_YEAR_S + 43_217, NEW_YEAR_S + 50_029
    for quantity in range(QUANTITIES + 1):
        by_seconds = sum(model.power_w(quantity, second) for second in range(first, last))
        assert model.energy_ws(quantity, first, last) == by_seconds
        middle = first + 1_111.5
        parts = model.energy_ws(quantity, first, middle) + model.energy_ws(quantity, middle, last)
        assert parts == by_seconds


def test_the_same_seed_is_the_same_house_and_another_is_not():
    def days(seed, ask_first):
        model = HouseModel(NEW_YEAR_S, seed=seed, step_s=600)
        model.power_w(PV, NEW_YEAR_S + ask_first)
        return [model.energy_ws(quantity, NEW_YEAR_S, NEW_YEAR_S + 9 * DAY_S) for quantity in range(QUANTITIES)]

    assert days(1, 0) == days(1, 20 * DAY_S) != days(2, 0)
    with pytest.raises(ValueError, match="before that"):
        HouseModel(NEW_YEAR_S).power_w(PV, NEW_YEAR_S - 61)


def test_a_year_looks_like_one():
    model = HouseModel(NEW_YEAR_S, seed=7, step_s=900)
    steps = range(NEW_YEAR_S, NEW_YEAR_S + 365 * DAY_S, 900)
    totals = [model.energy_wh(quantity, NEW_YEAR_S, NEW_YEAR_S + 365 * DAY_S) / 1_000 for quantity in range(8)]
    assert all(total > 100 for total in totals), "there is something of everything"
    assert 4_500 < totals[PV] < 9_000 and 4_000 < totals[LOAD] < 10_000  # kWh
    for charged, discharged in ((BATTERY_CHARGED, BATTERY_DISCHARGED), (EV_CHARGED, EV_DISCHARGED), (SOLD, BOUGHT)):
        powers = [(model.power_w(charged, at), model.power_w(discharged, at)) for at in steps]
        assert all(one >= 0 and other >= 0 and not (one and other) for one, other in powers), "one way at a time"
    assert 0.85 < totals[BATTERY_DISCHARGED] / totals[BATTERY_CHARGED] < 0.95, "the battery has losses"
    assert totals[EV_DISCHARGED] < totals[EV_CHARGED], "the rest was driven"
    hours = [
        sum(model.power_w(PV, at) for at in steps if (at - NEW_YEAR_S) // 3_600 % 24 == hour) for hour in range(24)
    ]
    assert sum(hours[20:] + hours[:4]) == 0 and max(hours) in hours[10:14]
    june, december = (
        model.energy_wh(PV, NEW_YEAR_S + first * DAY_S, NEW_YEAR_S + (first + 30) * DAY_S) for first in (155, 335)
    )
    assert june > 1.5 * december


def test_a_house_without_battery_and_ev_has_sun_and_grid():
    model = HouseModel(NEW_YEAR_S, step_s=600, battery_wh=0, ev_wh=0)
    last = NEW_YEAR_S + 10 * DAY_S
    totals = [model.energy_ws(quantity, NEW_YEAR_S, last) for quantity in range(8)]
    assert totals[BATTERY_CHARGED : EV_DISCHARGED + 1] == [0, 0, 0, 0]
    assert totals[PV] + totals[BOUGHT] == totals[LOAD] + totals[SOLD] and min(totals[BOUGHT], totals[SOLD]) > 0


def test_r22_forty_days_of_counters_are_the_integral_of_the_power_within_one_wh():
    house = HouseModel(NEW_YEAR_S, seed=5, step_s=300, circuits=16)
    now_s = NEW_YEAR_S
    device = PowerDevice(house, lambda: now_s, kind=PANEL_BOARD, dc_scale=-2)
    module = Device(Direct(device))
    pauses = random.Random(5)
    begun = circuits_begun = None

    async def run():
        nonlocal now_s, begun, circuits_begun
        while now_s < NEW_YEAR_S + 40 * DAY_S:
            await module.read()
            if begun is None:
                begun, circuits_begun = list(module.counters), list(module.circuits)
            for quantity, wh in enumerate(module.counters):
                assert abs(wh - begun[quantity] - house.energy_wh(quantity, NEW_YEAR_S, now_s)) < 1
            for circuit, wh in enumerate(module.circuits):
                used = house.energy_wh(FIRST_CIRCUIT + circuit, NEW_YEAR_S, now_s)
                assert abs(wh - circuits_begun[circuit] - used) < 1
            now_s += pauses.choice((10, 10.25, 1_800, 7_001, 50_000))

    asyncio.run(run())
    again = PowerDevice(house, lambda: now_s, kind=PANEL_BOARD, since_s=NEW_YEAR_S)
    assert again.counted() == device.counted()


def test_faults_come_without_a_line_as_with_one():
    now_s = NEW_YEAR_S
    device = PowerDevice(HouseModel(NEW_YEAR_S), lambda: now_s)
    module = Device(Direct(device))

    async def run():
        await module.read()
        for name, value, code in (
            (SILENT, None, "modbus_timeout"),
            (BAD_CRC, None, "modbus_bad_crc"),
            (EXCEPTION, 4, "modbus_exception"),
        ):
            device.fault(name, value, times=1)
            with pytest.raises(DriverError) as caught:
                await module.read()
            assert caught.value.code == code and module.state == "silent"
            await module.read()
            assert module.state == "ok" and module.counters == device.counted()

    asyncio.run(run())
