"""Reports by way of a server link: whose turn it is, what is told before, and when it is left alone."""

import asyncio

from link_rig import Endpoint, LinkRig, Refusal
from readings_fake import KEY, FakeReadings, FakeServer, info

from firmware import settings
from firmware.crypto.hmac import hmac_sha256
from firmware.crypto.kdf import hkdf
from firmware.errors import LinkError
from firmware.link.endpoint import CREDENTIAL, ENERGY
from firmware.link.report import Report
from firmware.reporting import Reporter
from tests.dual import raises

INTERPRETERS = ("micropython",)
# Server and readings are in the heap beside the link.
HEAP = "256wK"

REPORT_KEY = hkdf(KEY, b"inkan report", 32)
KEEP_ALIVE_MS = 75_000  # tools/pps/server.py
EMPTY_POLL = {"credential": None, "revoked": 0}


class ReportRig(LinkRig):
    """A link whose server takes readings; `names` are those of the requests, in their order."""

    def __init__(self, role=CREDENTIAL, records=0):
        self.readings = FakeReadings()
        self.readings.add(records)
        self.info = info()
        self.taken = FakeServer()
        self.detection = None
        super().__init__(role=role, reporter=Reporter(self.readings, self, lambda: self.info, self._rolled_back))
        self.reporter = self.link._reporter
        self.server.readings = self.taken.take
        self.server.poll = lambda message: None if message["wait_s"] else EMPTY_POLL

    @property
    def tamper(self):
        return self.rig.detection.tamper

    def add(self, count=1):
        self.readings.add(count)
        self.reporter.changed()

    def names(self):
        return [name for _, name, _ in self.server.requests]

    async def until_waits(self):
        """Until a poll waits, at which there is nothing else to be done."""
        await self.until(lambda: self.server.has_open_request)


class EnergyRig(ReportRig):
    """A link to an energy server of its own, which closes what is idle."""

    def __init__(self, records=1):
        self._asked = self._idle_ms = 0
        super().__init__(role=ENERGY, records=records)

    @property
    def waited_ms(self):
        return sum(self.pauses_ms)

    async def sleep_ms(self, ms):
        if len(self.server.requests) > self._asked:
            self._asked = len(self.server.requests)
            self._idle_ms = 0
        self._idle_ms += ms
        if self._idle_ms >= KEEP_ALIVE_MS:
            self.link._client.close()
        await super().sleep_ms(ms)

    async def until_waited(self, ms):
        """Until so many milliseconds have passed since the start."""
        await self.until(lambda: self.waited_ms >= ms)


async def test_r23_key_then_question_then_records_and_polls_in_between():
    rig = ReportRig(records=20)
    await rig.until_waits()
    assert rig.server.messages("report_key") == [{"protocol": 1, "key": REPORT_KEY.hex()}]
    names = [name for name in rig.names() if name != "audit"]
    assert names == ["hello", "poll", "report_key", "poll", "readings", "poll", "readings", "poll", "readings", "poll"]
    assert rig.taken.numbers() == list(range(1, 21))
    assert [len(message["records"]) for message in rig.server.messages("readings")] == [0, 16, 16]
    assert rig.server.connections == 1


async def test_r23_a_record_waits_for_the_polls_end():
    rig = ReportRig()
    await rig.until_waits()
    asked = len(rig.names())
    rig.add()
    for _ in range(50):
        await asyncio.sleep_ms(0)
    assert len(rig.names()) == asked
    rig.server.push(EMPTY_POLL)
    await rig.until(lambda: rig.taken.numbers() == [1])
    assert rig.server.connections == 1
    assert len(rig.server.messages("report_key")) == 1


async def test_r25_an_energy_server_of_its_own_gets_the_reports_and_no_polls():
    rig = ReportRig(role=ENERGY, records=20)
    await rig.until(lambda: len(rig.taken.numbers()) == 20)
    assert set(rig.names()) == {"hello", "report_key", "readings"}
    assert max(len(message["records"]) for message in rig.server.messages("readings")) == 7  # its buffer is small
    waited_ms = sum(rig.pauses_ms)
    rig.add()
    await rig.until(lambda: len(rig.taken.numbers()) == 21)
    assert sum(rig.pauses_ms) - waited_ms <= settings.REPORT_LOOK_MS


async def test_r25_an_energy_server_that_there_is_nothing_to_report_to_hears_nothing_for_an_hour():
    rig = EnergyRig()
    await rig.until_asked("readings", 2)
    told = len(rig.names())
    await rig.until_asked("hello", 2)
    assert rig.waited_ms == 3_600_000
    await rig.until_asked("hello", 3)
    assert rig.waited_ms == 2 * 3_600_000
    assert rig.names()[told:] == ["hello", "hello"]
    assert rig.server.connections == 3


async def test_r25_a_half_hours_hello_question_and_report_share_a_connection():
    rig = EnergyRig()
    for half_hour in range(1, 4):
        await rig.until_waited(half_hour * 1_800_000)
        told = len(rig.names())
        rig.add()
        await rig.until(lambda half_hour=half_hour: len(rig.taken.numbers()) == half_hour + 1)
        assert rig.names()[told:] == ["hello", "readings", "readings"]
        assert [len(message["records"]) for message in rig.server.messages("readings")[-2:]] == [0, 1]
        assert rig.server.connections == half_hour + 1
        assert rig.waited_ms <= half_hour * 1_800_000 + settings.REPORT_LOOK_MS
    # What comes within ten minutes of a hello needs none.
    told = len(rig.names())
    await rig.until_waited(3 * 1_800_000 + 300_000)
    rig.add()
    await rig.until(lambda: len(rig.taken.numbers()) == 5)
    assert rig.names()[told:] == ["readings"]


async def test_r25_an_energy_server_hears_of_a_new_state_at_once():
    rig = EnergyRig()
    await rig.until_waited(900_000)
    rig.hold = asyncio.Event()
    pauses = len(rig.pauses_ms)
    await rig.until(lambda: len(rig.pauses_ms) == pauses + 1)
    rig.rig.detection.latch("vault_seal")
    rig.link.state_changed()
    await rig.until_asked("hello", 2)
    assert len(rig.pauses_ms) == pauses + 1  # the one that it broke off
    assert rig.server.messages("hello")[1]["state"]["tamper"] == "vault_seal"


async def test_r25_what_an_energy_server_refused_is_tried_again_with_the_hours_hello():
    rig = EnergyRig()
    rig.server.readings = lambda message: Refusal(403, "forbidden")
    await rig.until_asked("hello", 2)
    assert rig.waited_ms == 3_600_000
    rig.server.readings = rig.taken.take
    await rig.until(lambda: rig.taken.numbers() == [1])
    assert rig.waited_ms == 3_600_000
    assert rig.server.connections == 2


async def test_s18_the_factory_identity_reports_nothing():
    rig = ReportRig(records=3)
    rig.endpoints = [Endpoint("maker.example", settings.ISSUER_FACTORY_IDENTITY)]
    await rig.until_waits()
    assert not {"report_key", "readings"} & set(rig.names())
    # And again with a connection: the key is told to that.
    rig.endpoints = [Endpoint()]
    rig.link.connection_changed()
    await rig.until(lambda: rig.taken.numbers() == [1, 2, 3])
    assert len(rig.server.messages("report_key")) == 1


async def test_s19_a_tamper_ends_reports():
    rig = ReportRig(records=1)
    await rig.until_waits()
    rig.rig.detection.latch("vault_seal")
    rig.add()
    rig.link.state_changed()
    await rig.until_asked("hello", 2)
    await rig.until_waits()
    assert rig.taken.numbers() == [1]


async def test_s10_a_through_above_the_head_is_told_of():
    rig = ReportRig(records=1)
    rig.server.readings = lambda message: {"epoch": message["epoch"], "through": 2}
    await rig.until(lambda: rig.rollbacks)


async def test_r23_what_is_refused_is_noted_once_and_keeps_no_credential_away():
    for code, detail in (("conflict", 1), ("forbidden", 2)):
        rig = ReportRig(records=1)
        rig.server.readings = lambda message, code=code: Refusal(409, code)
        await rig.until_waits()
        assert rig.link.online
        for times in (2, 3):
            rig.rig.ms += 600_000
            rig.server.push(EMPTY_POLL)
            await rig.until_waits()
            assert len(rig.server.messages("readings")) == times
        noted = [record for record in rig.rig.audit.pending(0, 100) if record["event"] == "report_refused"]
        assert [record["detail"] for record in noted] == [detail]
        rig.server.readings = rig.taken.take
        rig.rig.ms += 600_000
        rig.server.push(EMPTY_POLL)
        await rig.until(lambda rig=rig: rig.taken.numbers() == [1])
        await rig.stop()


async def test_r23_a_server_that_forgot_the_key_is_told_it_and_asked_again():
    rig = ReportRig(records=1)
    answers = [Refusal(409, "no_report_key")]
    rig.server.readings = lambda message: answers.pop() if answers else rig.taken.take(message)
    await rig.until(lambda: rig.taken.numbers() == [1])
    assert len(rig.server.messages("report_key")) == 2
    # One that says nothing else is left alone.
    await rig.until_waits()
    rig.add()
    rig.server.readings = lambda message: Refusal(409, "no_report_key")
    asked = len(rig.server.messages("readings"))
    rig.server.push(EMPTY_POLL)
    await rig.until_waits()
    assert len(rig.server.messages("readings")) == asked + 2


async def test_r23_errors_put_reports_off_and_credentials_go_first():
    def broken(message):
        raise LinkError("closed")

    for answer in (broken, lambda message: Refusal(500, "internal"), lambda message: {"epoch": 1}):
        rig = ReportRig(records=1)
        rig.server.readings = answer
        for failures in range(1, 6):
            await rig.until(lambda rig=rig: not rig.link.online)
            await rig.until_waits()
            assert rig.server.requests[-1][1] == "poll", failures
            rig.rig.ms += 500_000
            rig.server.readings = answer if failures < 5 else rig.taken.take
            rig.server.push(EMPTY_POLL)
        await rig.until(lambda rig=rig: rig.taken.numbers() == [1])
        await rig.stop()


async def test_r23_the_pause_after_an_error_doubles_and_no_two_houses_have_the_same():
    class Client:
        async def call(self, path, pieces):
            raise LinkError("closed")

    rig = ReportRig(records=1)
    for drawn in (0, 0x8000, 0xFFFF):
        report = Report(
            rig.reporter, rig.rig.audit, rig.rig.clock, lambda size, drawn=drawn: drawn.to_bytes(size, "big")
        )
        for failures in range(12):
            assert report.is_due
            with raises(LinkError):
                await report.step(Client(), 4096)
            longest_ms = min(1_000 << failures, settings.LINK_RETRY_MAX_MS)
            pause_ms = longest_ms - longest_ms * drawn // 0x20000
            rig.rig.ms += pause_ms - 1
            assert not report.is_due
            rig.rig.ms += 1


async def test_r23_a_server_without_reports_is_asked_once_a_hello():
    rig = ReportRig(records=1)
    rig.server.report_key = lambda message: Refusal(404, "not_found")
    await rig.until_waits()
    rig.server.push(EMPTY_POLL)
    await rig.until_waits()
    assert len(rig.server.messages("report_key")) == 1
    assert rig.link.online
    assert not [record for record in rig.rig.audit.pending(0, 100) if record["event"] == "report_refused"]


async def test_r26_the_trail_is_chained_for_the_server_once_it_has_the_key():
    rig = ReportRig()
    rig.server.hello = lambda message: dict(rig.server.good_hello(message), audit_through=0)
    for _ in range(10):
        rig.rig.audit.record("refused")
    await rig.until_waits()
    rig.rig.audit.record("ended")
    rig.rig.audit.record("refused")
    rig.server.push(EMPTY_POLL)
    newest = rig.rig.store.audit.head_number
    await rig.until(lambda: rig.server.messages("audit")[-1]["records"][-1]["number"] == newest)
    batches = rig.server.messages("audit")
    assert "before" not in batches[0] and "mac" not in batches[0]["records"][0]
    proved = 0
    last = {}
    for batch in batches:
        before = batch.get("before")
        assert before is None or not last or before == last["tag"]
        for record in batch["records"]:
            assert "before" not in record and ("mac" in record) == (before is not None)
            if before is not None:
                parts = record["number"].to_bytes(4, "little"), bytes.fromhex(before), bytes.fromhex(record["tag"])
                assert record["mac"] == hmac_sha256(REPORT_KEY, b"inkan audit", *parts)[:16].hex()
                before = record["tag"]
                proved += 1
            last = record
    assert proved >= 2
