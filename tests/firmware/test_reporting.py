"""Which readings are reported, in what order, with which proofs, against a server that checks by docs/api.md."""

import hashlib
import json
import struct

from readings_fake import CONTRACT, KEY, OTHER, SITE, FakeReadings, FakeServer, info

from firmware import unique_info
from firmware.errors import TamperError
from firmware.reporting import Reporter
from tests.dual import raises


class Detection:
    tamper = None


class Rig:
    """A reporter, the readings that it follows and a server; `exchange` is what a link does."""

    def __init__(self, readings=None, **fields):
        self.readings = readings or FakeReadings()
        self.detection = Detection()
        self.info = info(**fields)
        self.reads = 0
        self.rollbacks = 0
        self.server = FakeServer()
        self.restart()

    def restart(self):
        self.reporter = Reporter(self.readings, self.detection, self._read, self._rolled_back)

    def _read(self):
        self.reads += 1
        if self.detection.tamper:
            raise TamperError(self.detection.tamper)
        return self.info

    def _rolled_back(self):
        self.rollbacks += 1

    def exchange(self, most=16):
        """One request; its message. None where another look was all."""
        pieces = self.reporter.request(most)
        if pieces is None:
            return None
        message = json.loads(b"".join(pieces))
        answer = self.server.take(message)
        assert self.reporter.told(answer["epoch"], answer["through"])
        return message

    def drain(self, most=16):
        """Numbers of each request until nothing is left to say."""
        sent = []
        for _ in range(2000):
            if not self.reporter.has_word:
                return sent
            message = self.exchange(most)
            if message:
                sent.append([record["number"] for record in message["records"]])
        raise AssertionError("never done: %r" % sent)


def test_r23_it_asks_first_and_then_sends_each_once():
    rig = Rig()
    rig.readings.add(3)
    assert rig.reporter.state == "waiting"
    assert rig.drain() == [[], [1, 2, 3]]
    assert (rig.reporter.state, rig.reporter.waiting) == ("ok", 0)
    rig.readings.add(2)
    assert rig.drain() == [[4, 5]]
    rig.restart()
    assert rig.drain() == [[]]
    assert rig.server.numbers() == [1, 2, 3, 4, 5]


def test_r23_what_a_request_says_and_proves():
    rig = Rig()
    rig.readings.add(2)
    rig.readings.add_circuits()
    asked = rig.exchange()
    assert asked == {
        "protocol": 1,
        "epoch": rig.readings.epoch.hex(),
        "site": SITE,
        "contract": CONTRACT,
        "head": 3,
        "oldest": None,
        "before": "00" * 28,
        "records": [],
    }
    rig.reporter.told(asked["epoch"], 1)
    message = rig.exchange()
    number, body, tag, before = rig.readings.rows[1]
    assert (message["oldest"], message["before"]) == (2, before.hex())
    # The MAC once more, by the letter of docs/api.md.
    said = b"inkan reading" + rig.readings.epoch + struct.pack("<I", number) + before + tag + body
    assert message["records"][0] == {
        "number": 2,
        "body": body.hex(),
        "tag": tag.hex(),
        "mac": _hmac(rig.reporter.key(), said)[:16].hex(),
    }
    assert rig.reporter.key() == _hmac(_hmac(bytes(32), KEY), b"inkan report\x01")


def _hmac(key, data):
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + data).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()


def test_r23_a_lost_answer_brings_the_same_again():
    rig = Rig()
    rig.readings.add(5)
    rig.exchange()
    lost = json.loads(b"".join(rig.reporter.request(16)))
    rig.server.take(lost)
    assert rig.exchange() == lost
    assert rig.server.repeated == 5
    assert not rig.reporter.has_word


def test_r23_after_an_outage_the_newest_come_first():
    rig = Rig()
    rig.readings.add(50)
    rig.exchange()
    first = rig.exchange()
    assert [record["number"] for record in first["records"]] == list(range(35, 51))
    assert first["oldest"] == 1
    rig.exchange()
    rig.readings.add(1)
    sent = rig.drain()
    assert sent == [[51], list(range(17, 33)), [33, 34] + list(range(35, 49))]
    assert rig.server.numbers() == list(range(1, 52))


def test_s20_another_contracts_records_are_not_sent():
    rig = Rig()
    readings = rig.readings
    readings.add(2)
    readings.add(1, OTHER)
    readings.add_circuits()
    readings.add(70, OTHER)
    readings.add(1)
    readings.add_circuits()
    readings.add(2, OTHER)
    assert rig.drain() == [[], [75, 76], [1, 2], [75, 76], []]
    assert rig.server.oldest == [None, 1, 1, 75, 79]
    assert rig.server.through == 78
    # The new contract's come to light with it, and only those that the server has not passed over.
    readings.contract = OTHER
    rig.info = info(contract=OTHER)
    rig.reporter.changed()
    assert rig.drain() == []
    readings.add(1, OTHER)
    readings.add(1)
    assert rig.drain() == [[79], []]
    assert {rig.server.contract_of(number) for number in rig.server.numbers()} == {CONTRACT, OTHER}


def test_s20_a_house_that_changes_its_pps_shows_the_new_one_nothing_of_the_old():
    rig = Rig()
    rig.readings.add(40)
    rig.drain()
    rig.readings.contract = OTHER
    rig.info = info(contract=OTHER)
    rig.readings.add(3, OTHER)
    rig.server = FakeServer()
    rig.restart()
    assert rig.drain() == [[], [41, 42, 43]]
    assert rig.server.numbers() == [41, 42, 43]


def test_r23_what_fell_out_of_the_ring_is_passed_over():
    rig = Rig()
    rig.readings.add(100)
    del rig.readings.rows[:40]
    sent = rig.drain()
    assert rig.server.numbers() == list(range(41, 101))
    assert rig.server.oldest[1] == 41
    assert sum(len(numbers) for numbers in sent) <= 60 + 16


def test_r23_a_record_that_does_not_verify_ends_a_request():
    rig = Rig()
    rig.readings.add(6)
    del rig.readings.rows[3]
    assert rig.drain() == [[], [1, 2, 3], [5, 6]]


def test_s19_a_tampered_module_reports_nothing():
    rig = Rig()
    rig.readings.add(3)
    rig.detection.tamper = "vault_seal"
    assert (rig.reporter.state, rig.reporter.has_word) == ("tampered", False)
    for ask in (lambda: rig.reporter.request(16), rig.reporter.key):
        with raises(TamperError):
            ask()


def test_r23_without_site_or_contract_nothing_is_reported():
    for fields, state in (({"site": None}, "no_site"), ({"contract": None}, "no_contract")):
        rig = Rig(**fields)
        rig.readings.add(1)
        assert (rig.reporter.state, rig.reporter.has_word) == (state, False)
        rig.info = info()
        assert rig.reporter.state == state  # until it is told
        rig.reporter.changed()
        assert rig.drain() == [[], [1]]


def test_s10_a_server_that_has_more_shows_a_playback():
    rig = Rig()
    rig.readings.add(5)
    asked = rig.exchange()
    assert rig.reporter.told(asked["epoch"], 5)
    assert rig.rollbacks == 0
    assert rig.reporter.told(asked["epoch"], 6)
    assert rig.rollbacks == 1


def test_r5_after_a_deletion_another_history_is_reported_from_its_beginning():
    rig = Rig()
    rig.readings.add(9)
    rig.drain()
    late = rig.readings.epoch.hex()
    rig.readings.delete()
    assert rig.reporter.told(late, 9)  # an answer to what was asked before
    assert rig.rollbacks == 0
    rig.server = FakeServer()
    rig.readings.add(2)
    assert rig.drain() == [[], [1, 2]]
    rig.readings.close()
    assert (rig.reporter.has_word, rig.reporter.waiting) == (False, 0)


def test_r23_a_server_that_lost_what_it_had_gets_it_again():
    rig = Rig()
    rig.readings.add(10)
    rig.drain()
    rig.server.forget(above=4)
    rig.readings.add(1)
    rig.reporter.ask_anew()
    assert rig.drain() == [[], [5, 6, 7, 8, 9, 10, 11]]
    assert rig.server.numbers() == list(range(1, 12))


def test_r27_answers_that_cannot_be_are_not_believed():
    rig = Rig()
    rig.readings.add(3)
    asked = rig.exchange()
    b"".join(rig.reporter.request(16))
    assert not rig.reporter.told("00" * 8, 3)
    b"".join(rig.reporter.request(16))
    assert not rig.reporter.told(asked["epoch"], 2)
    assert rig.drain() == [[], [1, 2, 3]]


def test_s18_there_is_no_report_key_without_a_connection():
    rig = Rig(key=None)
    assert not rig.reporter.key()
    assert unique_info.PRIVATE_KEY == 0x55


def test_r5_the_half_hours_that_a_deletion_would_lose_are_counted():
    rig = Rig()
    count = rig.reporter.unreported
    assert count() == 0  # nothing was measured yet
    rig.readings.add(3)
    assert count() is None  # the server was not asked
    rig.exchange()
    assert count() == 3
    rig.drain()
    assert count() == 0
    rig.readings.add(2)
    rig.readings.add_circuits()
    assert count() == 2
    rig.exchange()
    rig.readings.add_circuits()
    assert (count(), rig.reporter.waiting) == (0, 1)  # what waits is no half hour
    rig.drain()
    rig.readings.add(1)
    body = rig.readings.rows[-1][1]
    assert count() == 1
    rig.readings.rows[-1] = (rig.readings.head_number, body[:2] + b"\x09\x00" + body[4:], b"", b"")
    assert count() == 9  # one record for nine of them, after a night without power
    rig.readings.close()
    assert count() is None


def test_r5_a_number_that_would_be_wrong_is_not_told():
    rig = Rig()
    rig.readings.add(50)
    rig.exchange()
    assert rig.reporter.unreported() == 50
    rig.exchange()  # the newest ones, before their turn
    assert rig.reporter.unreported() is None
    rig.drain()
    assert rig.reporter.unreported() == 0
    rig.readings.add(70, OTHER)
    assert rig.reporter.unreported() is None  # not found at a glance
    rig.readings.add(4)
    assert rig.drain()
    assert rig.reporter.unreported() == 0
    rig.readings.add(2, OTHER)
    rig.readings.add(4)
    assert rig.reporter.unreported() == 4
