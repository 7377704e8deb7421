"""A house's powers, the device that counts them, a module that runs in virtual time, and what the server made of it.

The module is tests/link/outage_module.py: its firmware, on the firmware's interpreter, from device to TLS. The server
is the PPS's own. The time of all three is the module's; it tells it before it asks anybody.
"""

import hashlib
import itertools
import json
import math
import os
import socket
import struct
from pathlib import Path

from sqlalchemy import select

from firmware.drivers import DriverError
from tests.link import micropython
from tests.link.authority import scalar
from tests.pps_client import START, certificate_request, new_key
from tests.test_link_server import files
from tools.pps.models import (
    QUANTITIES,
    Alarm,
    CircuitValues,
    ReadingGap,
    ReadingRecord,
    ReadingsEpoch,
    ReportKey,
    SlotValues,
)
from tools.pps.readings_body import EPOCH_2000, ESTIMATED, MEASURED, RESET, SLOT_S, STARTED
from tools.pps.services.taking import NO_TAG, reading_mac
from tools.sim.power.device import PANEL_BOARD, PowerDevice
from tools.sim.power.direct import Direct
from tools.sim.power.house_model import BOUGHT, FIRST_CIRCUIT, HouseModel

SERIAL = "INK-00000001"
SITE = "0312345678901234567890"
CONTRACT = "PPS-000123"
CIRCUITS = 3
DAY_S = 86_400
TIMEOUT_S = 300
HEAP = "512wK"  # beside the units the chip model, and what a boot leaves behind
BEGIN_S = START // SLOT_S * SLOT_S - 300
"""Unix seconds at which a module begins: five minutes before a half hour."""

_CLOCK_S = 1
"""Server and module tell whole seconds, so that the module's may be wrong by one either way."""
_LATE_S = 0.1
"""From a boundary to the middle of the exchange that reads the counters; interpolated with the reading before."""
_ROUNDED_WS = 2 * 3600
"""A counter is in whole Wh, and so is what is interpolated between two readings, both rounded down: at either end of a
half hour less than 2 Wh are missing, and so less than 2 Wh in their difference, one half hour's or 40 days'."""


class Time:
    """Unix seconds as the module's file tells them: for the device, and (`server`) in whole ones."""

    def __init__(self, path, begin_s=BEGIN_S):
        self.path = path
        self._begin_s = begin_s
        path.write_bytes(bytes(8))
        self._file = os.open(path, os.O_RDONLY)

    def __call__(self):
        return self._begin_s + struct.unpack("<Q", os.pread(self._file, 8, 0))[0] / 1000

    def server(self):
        return int(self())

    def close(self):
        os.close(self._file)


class Powers:
    """What a house's powers come to, added up from nothing but the powers."""

    def __init__(self, model, wrong_s):
        self._model = model
        self._wrong_s = wrong_s
        self._slots = {}

    def slot_ws(self, place, slot):
        """Watt-seconds of a quantity (or FIRST_CIRCUIT and on) in a half hour."""
        if (place, slot) not in self._slots:
            model, begin_s = self._model, EPOCH_2000 + slot * SLOT_S
            step_s = model.step_s
            assert SLOT_S % step_s == begin_s % step_s == 0
            powers = (model.power_w(place, at_s) for at_s in range(begin_s, begin_s + SLOT_S, step_s))
            self._slots[place, slot] = sum(powers) * step_s
        return self._slots[place, slot]

    def edge_ws(self, place, slot):
        """The most that a clock that is wrong by so much puts on the wrong side of a half hour's end."""
        end_s = EPOCH_2000 + (slot + 1) * SLOT_S
        power_w = max(
            self._model.power_w(place, at_s) for at_s in (end_s - self._wrong_s, end_s, end_s + self._wrong_s)
        )
        mean_w = self.slot_ws(place, slot) / SLOT_S
        return power_w * (self._wrong_s + _LATE_S) + mean_w * _LATE_S


class House:
    """One module beside a running server; all of it in the test's thread, but for the server.

    seed: of the house's powers and of the module's mishaps. read_s: how often the device is read, beside each half
    hour's end. drift_ppm: of the module's crystal, for at most drift_days without a server.
    """

    def __init__(self, server, time, folder, *, seed, read_s, drift_ppm=0, drift_days=3, timeout_s=TIMEOUT_S):
        self.server = server
        self.time = time
        model = HouseModel(BEGIN_S - SLOT_S, seed, circuits=CIRCUITS)
        self.powers = Powers(model, _CLOCK_S + math.ceil(abs(drift_ppm) * drift_days * DAY_S / 1e6))
        self.device = PowerDevice(model, time, PANEL_BOARD, since_s=BEGIN_S)
        # What was bought goes over the end of its 32 bits on the way.
        self.device.set_counter(BOUGHT, 2**32 - 20_000)
        self._line = Direct(self.device)
        self.module_id = server.register_module(SERIAL, "a house").id
        key = new_key()
        certificate = server.certify_connection(SERIAL, certificate_request(key, SERIAL))
        self._dead = socket.socket()  # bound, and nobody listens
        self._dead.bind(("127.0.0.1", 0))
        self._options = files(Path(folder), server.ca.pps.certificate_der, certificate, scalar(key)) | {
            "port": server.module_port,
            "dead_port": self._dead.getsockname()[1],
            "site": SITE,
            "contract": CONTRACT,
            "at": str(time.path),
            "start": BEGIN_S,
            "seed": seed,
            "read_ms": read_s * 1000,
            "drift_ppm": drift_ppm,
        }
        self._timeout_s = timeout_s
        self.reports = []  # (time, numbers) of each that the server took
        self.told = {}
        take = server.services.readings.take

        def take_and_note(identity, report):
            self.reports.append((time(), [record.number for record in report.records]))
            return take(identity, report)

        server.services.readings.take = take_and_note

    def __enter__(self):
        self._talk = micropython.Talk("outage_module", self._options, HEAP, self._timeout_s)
        self._talk.__enter__()
        self.told = self._until_done()
        return self

    def __exit__(self, *exception):
        self._talk.__exit__(*exception)
        self._dead.close()

    # The module

    def tell(self, command):
        """Give the module a command; returns what it said when that was done."""
        self._talk.tell(command)
        self.told = self._until_done()
        assert self.told["tamper"] is None and not self.told["misuses"], self.told
        return self.told

    def run_hours(self, hours):
        return self.tell(f"run {self.told['now_ms'] // 1000 + int(hours * 3600)}")

    def run_slots(self, count):
        """Until so many half hours more have ended."""
        now_s = BEGIN_S + self.told["now_ms"] // 1000
        return self.tell(f"run {(now_s // SLOT_S + count) * SLOT_S - BEGIN_S}")

    def settle(self, longest_s=2 * 3600):
        """Until the server has all, with the half hour before now."""
        return self.tell(f"settle {longest_s}")

    def _until_done(self):
        self.lines = []
        while True:
            line = self._talk.read_line()
            if line.startswith("R "):
                self._talk.tell(self._registers(*map(int, line.split()[1:])))
                continue
            if not line.startswith("{"):
                raise AssertionError(line + self._talk.rest() + f" after {self.told}, {self.lines}")
            found = json.loads(line)
            assert "failed" not in found, (found, self.lines)
            if "done" in found:
                return found
            self.lines.append(found)

    def _registers(self, address, register, count):
        reading = self._line.read(address, register, count)
        try:
            reading.send(None)
        except StopIteration as answer:
            return answer.value.hex()
        except DriverError as error:
            return f"- {error.code}"
        raise AssertionError("a device without a line waits for nothing")

    # The server

    def rows(self, model, order):
        with self.server.services.readings._database.read() as session:
            return list(session.scalars(select(model).order_by(order)))

    def alarms(self):
        return [alarm.kind for alarm in self.rows(Alarm, Alarm.id)]

    def check(self):
        """All is there, once, and right; returns the values' rows in order, and how many were right by themselves."""
        self._check_records()
        rows = self.rows(SlotValues, SlotValues.slot)
        self._check_cover(rows)
        read_at = _ends_that_were_read(rows)
        alone = []
        for place, name in enumerate(QUANTITIES):
            energies = [(row.slot, getattr(row, name), row.quality >> 4 * place & 15) for row in rows]
            alone.append(self._check_energy(place, name, energies, read_at))
        circuits = self.rows(CircuitValues, CircuitValues.slot)
        for circuit in range(CIRCUITS):
            energies = [
                (row.slot, struct.unpack_from("<H", row.energies, 2 * circuit)[0], row.quality >> 2 * circuit & 3)
                for row in circuits
            ]
            alone.append(self._check_energy(FIRST_CIRCUIT + circuit, f"circuit {circuit}", energies, read_at))
        return rows, min(alone)

    def _check_records(self):
        """The server has the module's ring, record for record, and what proves it."""
        self.tell("ring")
        (ring,) = self.lines
        records = self.rows(ReadingRecord, ReadingRecord.number)
        (epoch,) = self.rows(ReadingsEpoch, ReadingsEpoch.id)
        (key,) = self.rows(ReportKey, ReportKey.id)
        assert [record.number for record in records] == list(range(1, ring["head"] + 1))
        assert (ring["count"], epoch.through, epoch.points_wait) == (ring["head"], ring["head"], False)
        digest, before = hashlib.sha256(), NO_TAG
        for record in records:
            digest.update(struct.pack("<I", record.number) + record.body + record.tag)
            mac = reading_mac(key.key, bytes.fromhex(epoch.epoch), record.number, before, record.tag, record.body)
            assert record.mac == mac, record.number
            before = record.tag
        assert digest.hexdigest() == ring["digest"]
        assert self.rows(ReadingGap, ReadingGap.id) == []

    @staticmethod
    def _check_cover(rows):
        """Each half hour in one row, from the first on; by now, so that none is missing at the end."""
        covered = [slot for row in rows for slot in range(row.slot - row.span + 1, row.slot + 1)]
        first = (BEGIN_S - EPOCH_2000) // SLOT_S
        assert covered == list(range(first, first + len(covered)))

    def _check_energy(self, place, name, energies, read_at):
        """(slot, Wh, quality) of each row: right by itself between two ends that were read, and in all up to each.

        What was estimated is wrong by as much as the guess, and that is made good by the next end that was read. Of a
        circuit a record has 16 bits, so that after a restart of which nobody knows when it was some may be missing.
        Returns how many were right by themselves.
        """
        powers = self.powers
        sum_wh = sum_ws = alone = 0
        first_ws = edge_ws = None  # of the first end that was read, and of the one before if it was
        before, is_least = None, False
        for slot, energy_wh, quality in energies:
            where = f"{name}, {slot}: {energy_wh} Wh of quality {quality}"
            assert quality in ((MEASURED, ESTIMATED, RESET) if place >= FIRST_CIRCUIT else (MEASURED, ESTIMATED)), where
            was_read = quality == MEASURED and slot in read_at
            end_ws = powers.edge_ws(place, slot) if was_read else None
            if first_ws is not None:
                is_least = is_least or quality == RESET
                passed_ws = sum(powers.slot_ws(place, each) for each in range(before + 1, slot + 1))
                sum_wh += energy_wh
                sum_ws += passed_ws
                if was_read:
                    off_ws = sum_wh * 3600 - sum_ws
                    slack_ws = _ROUNDED_WS + first_ws + end_ws
                    assert off_ws < slack_ws, f"{where}; {sum_wh} in all, not {sum_ws / 3600}"
                    assert is_least or off_ws > -slack_ws, f"{where}; {sum_wh} in all, not {sum_ws / 3600}"
                if was_read and edge_ws is not None:
                    off_ws = energy_wh * 3600 - passed_ws
                    assert abs(off_ws) < _ROUNDED_WS + edge_ws + end_ws, f"{where}, not {passed_ws / 3600}"
                    alone += 1
            elif was_read:
                first_ws = end_ws
            edge_ws, before = end_ws, slot
        assert edge_ws is not None, name
        return alone


def _ends_that_were_read(rows):
    """The slots at whose ends the device was read. Not where the module had just begun: it did not know when to."""
    found = set()
    for row, after in itertools.pairwise([*rows, rows[-1]]):
        if row is not rows[0] and not (row.flags | after.flags) & STARTED:
            found.add(row.slot)
    return found
