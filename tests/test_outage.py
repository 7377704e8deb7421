"""R22, R23: 40 days without a network, and the server has every half hour once, as the house's powers have it.

One run over all that lies between: the registers of the device, the firmware's meter, readings, reporter, link and TLS
on the firmware's interpreter (tests/link/outage_module.py), the PPS's server and its database. What the values have to
be is added up from the powers of the house (outage_rig.Powers), not read off a counter.

INKAN_OUTAGE_SEED=N does what is random from that seed again, INKAN_OUTAGE_ROUNDS=N so many rounds of it (0: for ever),
and INKAN_OUTAGE_TORN=all tears each write in each way that there is.
"""

import asyncio
import contextlib
import itertools
import os
import random
import secrets

import pytest

from tests.outage_rig import BEGIN_S, DAY_S, House, Time
from tests.power.harness import tally
from tests.pps_client import running_server
from tools.pps.models import ReadingRecord
from tools.pps.readings_body import CLOCK_STEPPED, SLOT, SLOT_S

DAYS = 40
ROUNDS = 2
_BOUGHT_AT = 44 + 4 * 5  # of its counter, in a slot's body


def in_house(test):
    """Run `test(make)` in a thread; `with make(seed, ...)` is a House beside a server of its own in this loop."""

    async def run(tmp_path):
        loop = asyncio.get_running_loop()
        numbers = itertools.count(1)

        def wait(coroutine):
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

        @contextlib.contextmanager
        def make(seed, **options):
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            with contextlib.closing(Time(folder / "at")) as time:
                running = running_server(folder, time.server)
                server = wait(running.__aenter__())
                try:
                    with House(server, time, folder, seed=seed, **options) as house:
                        yield house
                finally:
                    wait(running.__aexit__(None, None, None))

        await asyncio.to_thread(test, make)

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return pytest.mark.asyncio(run)


@in_house
def test_r23_forty_days_of_outage_and_every_half_hour_is_there_once(make):
    with make(seed=1, read_s=SLOT_S) as house:
        house.run_slots(2)
        house.settle()
        before = len(house.reports)
        house.tell("network 0")
        house.run_hours(DAYS * 24)
        assert len(house.reports) == before
        kept = house.told["waiting"]
        head = house.told["head"]
        assert kept >= 2 * DAYS * 48  # each half hour's record, and its circuits'
        on_s = BEGIN_S + house.told["now_ms"] / 1000
        house.tell("network 1")
        house.settle(DAY_S)
        # The present first: once the server has said what it has, the newest records come.
        asked, newest = house.reports[before : before + 2]
        assert not asked[1] and newest[1] == list(range(head - 15, head + 1))
        assert newest[0] - on_s < 310  # the link's longest pause, by the module's time
        rows, alone = house.check()
        assert len(rows) >= DAYS * 48 + 2 and alone >= DAYS * 48
        assert all(row.span == 1 for row in rows) and house.alarms() == []
        bodies = [record.body for record in house.rows(ReadingRecord, ReadingRecord.number)]
        bought = [int.from_bytes(body[_BOUGHT_AT : _BOUGHT_AT + 4], "little") for body in bodies if body[0] == SLOT]
        assert bought != sorted(bought)  # it has gone on with 0


@in_house
def test_r23_a_clock_that_went_wrong_meanwhile_is_put_right_and_no_half_hour_comes_twice(make):
    # 800 ppm in a day is what a crystal's 20 are in 40: more than a minute.
    for drift_ppm in (-800, 800):
        with make(seed=1, read_s=600, drift_ppm=drift_ppm, drift_days=1) as house:
            house.run_slots(2)
            house.settle()
            house.tell("network 0")
            house.run_slots(46)
            house.run_hours(0.49)  # the module's clock is before this half hour's end, or behind it
            house.tell("network 1")
            house.run_slots(4)
            house.settle()
            rows, alone = house.check()
            assert any(row.flags & CLOCK_STEPPED for row in rows[46:]) and house.alarms() == []
            assert alone >= 48 and all(row.span == 1 for row in rows)


def _round(make, seed):
    """Outages of hours and days, with power cuts at random, a crystal that drifts, and talks that are lost in part."""
    print(f"seed {seed}: INKAN_OUTAGE_SEED={seed} does it again", flush=True)
    chance = random.Random(seed)
    with make(seed, read_s=600, drift_ppm=chance.choice((-20, 20))) as house:
        house.tell("chances 100 150")
        house.run_slots(2)
        house.settle()
        house.tell("cuts 1")
        for hours in (3, 12, chance.uniform(20, 60)):
            house.tell("network 0")
            house.run_hours(hours)
            house.tell("network 1")
            house.run_hours(chance.uniform(0.5, 2))
        house.tell("cuts 0")
        house.tell("chances 0 0")
        house.run_slots(2)
        told = house.settle(DAY_S)
        rows, alone = house.check()
        assert house.alarms() == []
    cuts = sum(told["cuts"].values())
    print(f"{told['boots']} boots, cuts {told['cuts']}, lost {told['losses']}, {len(rows)} rows, {alone} alone")
    return cuts, sum(told["losses"])


@in_house
def test_r23_r2_with_power_cuts_and_lost_acknowledgements_at_random(make):
    given = os.environ.get("INKAN_OUTAGE_SEED")
    wanted = os.environ.get("INKAN_OUTAGE_ROUNDS")
    if wanted is None and not given:
        print(f"{ROUNDS} rounds; more are for INKAN_OUTAGE_ROUNDS: each takes some seconds of a suite that has minutes")
    rounds = 1 if given else ROUNDS if wanted is None else int(wanted)
    cuts = losses = 0
    for number in itertools.count(1):
        more_cuts, more_losses = _round(make, int(given) if given else secrets.randbelow(2**30))
        cuts += more_cuts
        losses += more_losses
        if number == rounds:
            break
    assert cuts and losses


@in_house
def test_r23_r2_with_a_power_cut_at_every_write_of_a_slots_life(make):
    seed = int(os.environ.get("INKAN_OUTAGE_SEED") or secrets.randbelow(2**30))
    print(f"seed {seed}: INKAN_OUTAGE_SEED={seed} does it again")
    chance = random.Random(seed)
    every = os.environ.get("INKAN_OUTAGE_TORN") == "all"
    if not every:
        print("each write torn in two ways; all of them, INKAN_OUTAGE_TORN=all, take minutes")
    torn = []

    def life(index, which):
        """A half hour, from the server's confirmation of the one before to its own; whether the power went in it."""
        house.tell(f"tear {index} {which}")
        house.run_slots(1)
        house.settle()
        found = house.told["is_torn"]
        house.tell("untorn")
        house.run_slots(2)  # so that there is an end that was read, on either side
        house.settle()
        return found

    def before_a_new_sector():
        house.tell("network 0")
        while house.told["head"] % 31 not in (29, 30):
            house.run_slots(1)
        house.tell("network 1")
        house.settle()

    with make(seed, read_s=900) as house:
        house.run_slots(2)
        house.settle()
        for new_sector in (False, True):
            for index in itertools.count(2 if new_sector else 0):  # the first ones are the clock's, as before
                ways = itertools.count() if every else (0, chance.randrange(1, 9))
                for which in ways:
                    if new_sector:
                        before_a_new_sector()
                    if not life(index, which):
                        break
                    torn.append((new_sector, index))
                    if which + 1 == house.told["ways"] and every:
                        break
                if (new_sector, index) not in torn:
                    break
        house.check()
        assert house.alarms() == []
        told = house.told
    print(told["cuts"])
    print(tally("outage: a slot's life", {"points": len(torn), "second_points": 0}))
    assert len(set(torn)) >= 7 and told["boots"] == 1 + len(torn)
