"""Readings without flash, and a server that checks a report by the letter of docs/api.md."""

import hashlib
import struct

from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.kdf import hkdf

SITE = "0100000000000000000001"
CONTRACT = "PPS-000123"
OTHER = "OTHER-7"
KEY = bytes(range(1, 33))


class Info:
    """Stands in for unique_info.UniqueInfo."""

    def __init__(self, values):
        self._values = values

    def get(self, field_id):
        return self._values.get(field_id)


def info(site=SITE, contract=CONTRACT, key=KEY):
    values = {0x31: site and site.encode(), 0x14: contract and contract.encode(), 0x55: key}
    return Info({field_id: value for field_id, value in values.items() if value})


def tag_of(contract):
    return struct.unpack("<I", hashlib.sha256(contract.encode()).digest()[:4])[0]


def slot_body(slot, contract=CONTRACT, kind=1):
    """80 bytes of docs/format.md, with an energy that tells the slots apart."""
    body = bytearray(80)
    struct.pack_into("<BBHII", body, 0, kind, 0, 1, slot, tag_of(contract))
    struct.pack_into("<7I", body, 16, *[slot * 10 + index for index in range(7)])
    return bytes(body)


class FakeReadings:
    """What Reporter wants of Readings; `rows` may be taken away."""

    def __init__(self):
        self.contract = CONTRACT
        self._histories = 0
        self.delete()

    def delete(self):
        self._histories += 1
        self.epoch = hashlib.sha256(b"%d" % self._histories).digest()[:8]
        self.head_number = 0
        self._head_tag = bytes(28)
        self.rows = []

    def close(self):
        self.epoch = None
        self.head_number = 0
        self.rows = []

    @property
    def contract_tag(self):
        return tag_of(self.contract)

    @property
    def newest_slot(self):
        slots = [struct.unpack_from("<I", row[1], 4)[0] for row in self.rows if row[1][0] == 1]
        return slots[-1] if slots else None

    def add(self, count, contract=CONTRACT):
        for _ in range(count):
            self._append(slot_body(471_000 + self.head_number, contract))

    def add_circuits(self):
        """Of the slot before; at a contract's place stand qualities."""
        self._append(struct.pack("<BBHII", 2, 1, 1, 471_000, 0) + bytes(68))

    def _append(self, body):
        self.head_number += 1
        before = self._head_tag
        self._head_tag = hmac_sha256(self.epoch, before, body)[:28]
        self.rows.append((self.head_number, body, self._head_tag, before))

    def chained(self, from_number):
        for row in self.rows:
            if row[0] >= from_number:
                yield row


class FakeServer:
    """Takes what docs/api.md allows and asserts that nothing else comes."""

    def __init__(self):
        self.through = 0
        self.stored = {}  # number -> record
        self.passed = set()
        self.oldest = []  # of each request
        self.repeated = 0
        self._contracts = {}

    def take(self, message):
        key = hkdf(KEY, b"inkan report", 32)
        epoch = bytes.fromhex(message["epoch"])
        before = bytes.fromhex(message["before"])
        number = None
        self.oldest.append(message["oldest"])
        assert len(message["records"]) <= 16
        if message["oldest"] is not None:
            self.passed.update(range(self.through + 1, message["oldest"]))
        for record in message["records"]:
            assert number is None or record["number"] == number + 1
            number = record["number"]
            body, tag = bytes.fromhex(record["body"]), bytes.fromhex(record["tag"])
            assert body[0] == 2 or struct.unpack_from("<I", body, 8)[0] == tag_of(message["contract"])
            if number - 1 in self.stored:
                assert self.stored[number - 1]["tag"] == before.hex()
            said = (b"inkan reading", epoch, struct.pack("<I", number), before, tag, body)
            assert record["mac"] == hmac_sha256(key, *said)[:16].hex()
            if number in self.stored:
                assert self.stored[number] == record
                self.repeated += 1
            self.stored[number] = record
            self._contracts[number] = message["contract"]
            before = tag
        self._count()
        return {"epoch": message["epoch"], "through": self.through}

    def _count(self):
        while self.through + 1 in self.stored or self.through + 1 in self.passed:
            self.through += 1

    def numbers(self):
        return sorted(self.stored)

    def contract_of(self, number):
        return self._contracts[number]

    def forget(self, above):
        """A backup is restored."""
        self.stored = {number: record for number, record in self.stored.items() if number <= above}
        self.through = above
