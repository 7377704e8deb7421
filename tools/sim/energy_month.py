"""A fleet's month of half-hour values, put straight into a server's database: for pictures and for trying the console.

`python -m tools.sim.energy_month FOLDER` fills the database of a server with that data folder (SQLite), which is made
where there is none; then `python -m tools.pps` on the same folder shows it.
"""

import argparse
import datetime
import random
import sys
import time
from pathlib import Path

from sqlalchemy import insert

from tools.pps.db import Database
from tools.pps.models import QUANTITIES, Alarm, CircuitValues, Module, ReadingsEpoch, Site, SlotValues
from tools.pps.readings_body import CLOCK_STEPPED, DEVICE_REPLACED, STARTED, slot_of, slot_start
from tools.pps.settings import Settings
from tools.sim.power.house_model import FIRST_CIRCUIT, HouseModel

DAYS = 31
CIRCUITS = 8
_STEP_S = 300
_ESTIMATED, _MISSING = 1, 2
_DAY_SLOTS = 48
_HOUR_S = 3600

# name, options of the house, what is not as it should be
FLEET = (
    ("山田様邸 PCS 1号機", {"circuits": CIRCUITS}, "showcase"),
    ("佐藤様邸", {}, None),
    ("鈴木様邸", {"ev_wh": 0}, "silent"),
    ("高橋様邸", {"battery_wh": 0, "ev_wh": 0}, None),
    ("田中様邸", {"ev_wh": 0}, "gap"),
    ("伊藤様邸", {}, "tamper"),
    ("渡辺様邸", {"battery_wh": 0}, None),
    ("Harbour House", {"pv_w": 8_000, "ev_wh": 0}, "device_silent"),
    ("Hill House", {"ev_wh": 0}, None),
    ("中村様邸", {}, "never"),
    ("小林様邸", {"pv_w": 3_500}, None),
    ("加藤様邸", {"battery_wh": 0, "ev_wh": 0}, "conflict"),
)


def fill(database, now, fleet=FLEET, days=DAYS):
    """Register the fleet and give it its days, up to `now` (Unix seconds). Returns the serial numbers."""
    serials = []
    for seed, (name, house, trouble) in enumerate(fleet, 1):
        serial = f"INK-{seed:08}"
        with database.write() as session:
            _Filling(session, now, seed, serial, name, house, trouble, days).run()
        serials.append(serial)
    return serials


class _Filling:
    """One module and all that is stored of it."""

    def __init__(self, session, now, seed, serial, name, house, trouble, days):
        self._session = session
        self._now = now
        self._seed = seed
        self._trouble = trouble
        self._first = slot_of(now) - days * _DAY_SLOTS
        self._first += -(self._first + 18) % _DAY_SLOTS  # midnight in Japan
        self._end = slot_of(now)
        self._has = (True, house.get("battery_wh", 1), house.get("battery_wh", 1), house.get("ev_wh", 1))
        self._house = HouseModel(slot_start(self._first), seed, _STEP_S, **house)
        state = {"generation": 3 + seed, "boot_count": 2, "powered_s": days * 86400, "attempts": 4, "tamper": None}
        state["energy"] = {"device": "ok", "report": "ok", "waiting": 0, "newest_slot": self._end - 1}
        self._module = Module(
            serial=serial,
            name=name,
            registered_at=now - (days + 3) * 86400,
            last_seen_at=now - 7 * seed % 60,
            last_hello_at=now - 400,
            last_identity="connection",
            firmware="0.1.0",
            state=state,
            highest={},
        )

    def run(self):
        self._session.add(self._module)
        self._session.flush()
        if self._trouble == "never":
            self._module.last_seen_at = self._module.last_hello_at = None
            self._module.last_identity = self._module.firmware = self._module.state = None
            return
        getattr(self, f"_{self._trouble}", lambda: None)()
        reported_at = slot_start(self._end) + 20 + self._seed
        number = f"03{self._seed:020}"
        site = Site(
            module_id=self._module.id, number=number, contract=f"PPS-{self._seed:06}", since_at=self._now - 31 * 86400
        )
        epoch = ReadingsEpoch(
            module_id=self._module.id,
            epoch=f"{self._seed:016x}",
            newest_slot=self._end - 1,
            begun_at=slot_start(self._first),
            reported_at=min(reported_at, self._now),
        )
        self._session.add_all([site, epoch])
        self._session.flush()
        self._values(site, epoch)

    def _values(self, site, epoch):
        absent, estimated, spans, flags = self._odd_slots()
        rows, circuits, slot = [], [], self._first
        while slot < self._end:
            span = spans.get(slot, 1)
            last = slot + span - 1
            if slot not in absent:
                row = self._row(slot, last, span > 1 or slot in estimated)
                row |= {"site_id": site.id, "epoch_id": epoch.id, "number": len(rows) + 1, "flags": flags.get(slot, 0)}
                rows.append(row)
                if self._house.circuits:
                    circuits.append(self._circuits(slot, last, span, epoch.id, len(rows)))
            slot = last + 1
        self._session.execute(insert(SlotValues), rows)
        if circuits:
            self._session.execute(insert(CircuitValues), circuits)

    def _row(self, slot, last, estimated):
        quality = 0
        row = {"module_id": self._module.id, "slot": last, "contract": 1, "span": last - slot + 1}
        for index, name in enumerate(QUANTITIES):
            there = (self._has[0], self._has[1], self._has[1], self._has[3], self._has[3], True, True)[index]
            row[name] = self._energy(index, slot, last) if there else None
            quality |= ((_ESTIMATED if estimated else 0) if there else _MISSING) << 4 * index
        return row | {"quality": quality}

    def _energy(self, quantity, slot, last):
        return int(self._house.energy_wh(quantity, slot_start(slot), slot_start(last + 1)))

    def _circuits(self, slot, last, span, epoch_id, number):
        energies = [self._energy(FIRST_CIRCUIT + index, slot, last) for index in range(self._house.circuits)]
        packed = b"".join(min(energy, 65_535).to_bytes(2, "little") for energy in energies)
        row = {"module_id": self._module.id, "slot": last, "number": number, "span": span, "quality": 0}
        return row | {"energies": packed, "epoch_id": epoch_id}

    def _odd_slots(self):
        """(slots that are not there, estimated ones, {first slot: span}, {slot: flags})."""
        absent, estimated, spans, flags = set(), set(), {}, {}
        day = self._end - (self._end + 18) % _DAY_SLOTS  # today's midnight in Japan
        if self._trouble == "showcase":
            yesterday = day - _DAY_SLOTS
            absent |= set(range(yesterday + 19, yesterday + 22))
            estimated |= set(range(yesterday + 27, yesterday + 30))
            flags[yesterday + 30] = STARTED
            spans[yesterday + 2] = 10
            absent |= set(range(day - 9 * _DAY_SLOTS + 24, day - 8 * _DAY_SLOTS + 6))
            flags[day - 4 * _DAY_SLOTS + 20] = DEVICE_REPLACED
            flags[day - 3 * _DAY_SLOTS + 4] = CLOCK_STEPPED
        if self._trouble == "gap":
            absent |= set(range(day - 3 * _DAY_SLOTS + 10, day - 3 * _DAY_SLOTS + 37))
        chance = random.Random(self._seed)
        if self._trouble is None and chance.random() < 0.4:
            estimated |= {self._first + chance.randrange(DAYS * _DAY_SLOTS) for _ in range(6)}
        return absent, estimated, spans, flags

    # What is not as it should be

    def _alarm(self, kind, detail, ago_s):
        at = self._now - ago_s
        self._session.add(Alarm(module_id=self._module.id, kind=kind, detail=detail, raised_at=at, last_at=at))

    def _say(self, **energy):
        state = self._module.state
        self._module.state = state | {"energy": state["energy"] | energy}

    def _silent(self):
        self._end -= 19
        self._module.last_seen_at = slot_start(self._end) + 700

    def _tamper(self):
        self._say(report="tampered")
        self._module.state = self._module.state | {"tamper": "vault_seal"}
        self._end -= 2
        self._alarm("tamper", {"reason": "vault_seal"}, 2 * _HOUR_S)

    def _gap(self):
        self._alarm("readings_gap", {"first": 1211, "last": 1237}, 50 * _HOUR_S)

    def _conflict(self):
        self._alarm("readings_conflict", {"number": 1377, "reason": "mac"}, 5 * _HOUR_S)

    def _device_silent(self):
        self._say(device="silent")
        self._end -= 5


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tools.sim.energy_month", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the server's data folder")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(Settings(folder).resolved_database_url())
    try:
        database.migrate()
        serials = fill(database, int(time.time()))
    finally:
        database.close()
    today = datetime.date.today().isoformat()
    print(f"{len(serials)} modules with {DAYS} days up to {today}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
