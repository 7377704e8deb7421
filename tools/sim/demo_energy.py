"""A fast day of energy, unattended: measured, kept through an outage and a power cut, reported, drawn by the server.

Whether a step is `ok` is worked out from the server's database, the flash and the house model's powers, of which the
module has seen nothing but its device's counters.
"""

import asyncio
import contextlib
import datetime
import time

from tools.flash import layout
from tools.phone.client import PhoneClient
from tools.pps.models import QUANTITIES
from tools.pps.readings_body import EPOCH_2000, SLOT_S
from tools.pps.services.credentials import CredentialOrder, Scope
from tools.setup import BUILD
from tools.setup.chromium import CHROMIUM_ARGUMENTS, find_chromium
from tools.sim.entered import CONTRACT, SITE_NUMBER
from tools.sim.evidence import Evidence
from tools.sim.fast import FastTime
from tools.sim.house import OPERATOR, SERIAL, House
from tools.sim.narrator import DemoFailed
from tools.sim.power.device import PCS
from tools.sim.power.house_model import FIRST_CIRCUIT

SCALE = 720
PV_W = 5500
PICTURE = BUILD / "demo-energy.png"

_SITE = {"number": SITE_NUMBER, "contract": CONTRACT}
_FIELD_IDS = {name: number for number, (name, _) in layout.FIELDS.items()}
_ZONE = datetime.timezone(datetime.timedelta(hours=9))
_LEAD_S = 3 * 3600  # from the start of the fast time to the day, whose first slot is to be a whole one
_OUTAGE_H = (10, 14)
_CUT_H = 17
_START_SLOTS = 3  # a start takes seconds, which are much of a half hour here
_LOOK_EVERY_S = 0.1
_TIMEOUT_S = 60
# A reading takes some 50 ms of real time, in which the fast clock goes on; a slot's ends are wrong by so much at most.
_EXCHANGE_S = 0.15
_MOST_W = 10_000
_VIEW = {"width": 1100, "height": 900}


class EnergyDay:
    """Of a house of its own in `folder`. host, and options heap and micropython: as House takes them."""

    def __init__(self, folder, narrator, scale=SCALE, hours=24, picture=PICTURE, host=PCS, **options):
        self._folder = folder
        self._step = narrator.step
        self._scale = scale
        self._hours = hours
        self._picture = picture
        self._options = {"host": host, **options}
        self._first_slot = 0

    async def run(self):
        """Whether all steps were ok."""
        try:
            async with House(self._folder, **self._options) as house:
                await house.start(fresh=True)
                await self._contract(house)
            today = datetime.datetime.fromtimestamp(time.time(), _ZONE).date()
            begins = datetime.datetime(today.year, today.month, today.day, tzinfo=_ZONE) + datetime.timedelta(days=1)
            self._first_slot = (int(begins.timestamp()) - EPOCH_2000) // SLOT_S
            fast = FastTime(self._scale, begins.timestamp() - _LEAD_S)
            async with House(self._folder, clock=fast, overlay=fast.overlay(), **self._options) as house:
                await house.start()
                await self._day(house, fast)
                fast.stop()  # or the operator's session would be over at once
                await self._chart(house, begins.date())
        except DemoFailed:
            return False
        return True

    async def _contract(self, house):
        """Everything that a report needs, entered by phone."""
        evidence = Evidence(house)
        async with self._step("The installer enters site and capacity by phone", "R1 R11 R18") as step:
            values = {"site_number": SITE_NUMBER, "pv_capacity_w": str(PV_W)}
            order = Scope(change=("site", "capacity"))
            issued = await asyncio.to_thread(
                house.server.issue_credential, SERIAL, recipient="installer@example.com", scope=order
            )
            async with self._session(house, issued) as client:
                await client.change({_FIELD_IDS[name]: value for name, value in values.items()})
            for name, value in values.items():
                step.check(f"flash: {name} is {value}", str(evidence.flash().field(name)) == value)
        async with self._step("The operator plans a contract; the resident follows the flow", "R1 R18 SA S20") as step:
            opened = await asyncio.to_thread(
                house.server.services.procedures.open,
                SERIAL,
                "joins",
                CredentialOrder(channel="email", recipient="resident@example.com"),
                OPERATOR,
                site=SITE_NUMBER,
                contract=CONTRACT,
            )
            port = house.server.enrol_host.rpartition(":")[2]
            async with self._session(house, opened.issued) as client:
                await client.enrol(f"127.0.0.1:{port}", opened.code)
                await client.change({_FIELD_IDS["contract_number"]: CONTRACT})
            query = "SELECT last_identity FROM modules"
            await _until(lambda: evidence.row(query)["last_identity"] == "connection")
            image = evidence.flash()
            step.check(f"flash: contract_number is {CONTRACT}", image.field("contract_number") == CONTRACT)
            step.check("flash: a readings key was made with the contract", len(image.field("readings_key")) == 64)
            step.check("database: the module calls as its connection", True)
            step.check("database: the procedure waits for the first report", self._procedure(evidence) == "open")

    @contextlib.asynccontextmanager
    async def _session(self, house, issued):
        """A phone that has unlocked the module with a credential, once that has it."""
        evidence = Evidence(house)
        await _until(lambda: evidence.flash().credential("sequence") == issued.sequence)
        async with house.phones.radio() as radio:
            client = PhoneClient(await radio.connect(await radio.scan()))
            await client.info()
            await client.unlock(issued.id, issued.password)
            await client.status()
            yield client
            await client.end()

    @staticmethod
    def _procedure(evidence):
        return evidence.row("SELECT status FROM procedures")["status"]

    async def _day(self, house, fast):
        evidence = Evidence(house)
        off_h, on_h = (hour * self._hours / 24 for hour in _OUTAGE_H)
        cut_h = _CUT_H * self._hours / 24
        async with self._step(f"A day begins, {self._scale} times as fast: half hours arrive", "R22 R23") as step:
            await self._until_slot(evidence, fast, self._slot_of(off_h) - 2)
            rows = self._rows(evidence)
            step.check(f"database: {len(rows)} half hours, each once, none left out", self._whole(rows))
            step.check("database: the values are what the house's powers come to", self._fits(house, rows))
            step.check("database: with the first report the procedure was done", self._procedure(evidence) == "done")
        async with self._step("The network is gone for some hours: the module counts on", "R23 R27") as step:
            await self._until_time(fast, off_h)
            house.unplug()
            reported = max(row["slot"] for row in self._rows(evidence))
            kept = self._records(evidence)
            await self._until_time(fast, on_h)
            step.check("database: nothing came meanwhile", max(r["slot"] for r in self._rows(evidence)) <= reported + 1)
            more = self._records(evidence) - kept
            step.check(f"flash: {more} records more", more >= (self._slot_of(on_h) - self._slot_of(off_h)) - 1)
            step.check("flash: every seal holds", evidence.flash().seals_hold)
        async with self._step("It is back: what was kept arrives, and so does the present", "R23") as step:
            house.plug()
            await self._until_slot(evidence, fast, self._slot_of(on_h))
            rows = self._rows(evidence)
            step.check(f"database: {len(rows)} half hours, each once, none left out", self._whole(rows))
            step.check("database: the values are what the house's powers come to", self._fits(house, rows))
        async with self._step("The power is cut and restored in the middle of a half hour", "R2 R22") as step:
            await self._until_time(fast, cut_h + 0.2)
            await house.restart()
            slot = self._slot_of(cut_h)
            await self._until_slot(evidence, fast, slot + _START_SLOTS)
            rows = [row for row in self._rows(evidence) if slot <= row["slot"] <= slot + _START_SLOTS]
            step.check("database: a half hour says that the module started", any(row["flags"] & 1 for row in rows))
            step.check("database: the values are what the house's powers come to", self._sums_fit(house, rows))
            step.check("database: each half hour once, none left out", self._whole(self._rows(evidence)))
        async with self._step("The day is over: the server has all of it", "R23 R24") as step:
            await self._until_slot(evidence, fast, self._last_slot())
            rows = self._rows(evidence)
            step.check(f"database: {len(rows)} half hours, each once, none left out", self._whole(rows))
            step.check("database: the day's sums are what the house's powers come to", self._sums_fit(house, rows))
            if house.power_model.circuits:
                told = f"database: so are those of {house.power_model.circuits} branch circuits"
                step.check(told, self._circuits_fit(house, evidence))
            alarms = evidence.rows("SELECT kind FROM alarms")
            step.check("database: no alarm", not alarms)
            site = evidence.row("SELECT number, contract FROM sites WHERE until_at IS NULL")
            step.check("database: reported for that site and contract", site == _SITE)

    async def _chart(self, house, date):
        chromium = find_chromium()
        if chromium is None:
            print("    no Chromium here, so no picture of the server's chart: apt-get install chromium-headless-shell")
            return
        from playwright.async_api import async_playwright

        from tools.sim.console_pictures import sign_in

        async with self._step("The server's chart of the day, as an operator sees it", "R24") as step:
            async with async_playwright() as playwright:
                browser = await playwright.chromium.launch(
                    executable_path=str(chromium), headless=True, args=list(CHROMIUM_ARGUMENTS)
                )
                view = await browser.new_page(viewport=_VIEW, locale="en")
                await sign_in(view, house.server, OPERATOR, house.operator_password)
                await view.goto(f"{house.server.console_url}modules/{SERIAL}/energy?day={date.isoformat()}")
                await view.wait_for_selector("canvas")
                drawn = await view.evaluate("() => !!Chart.getChart(document.querySelector('canvas'))")
                self._picture.parent.mkdir(parents=True, exist_ok=True)
                await view.screenshot(path=self._picture, full_page=True)
                await browser.close()
            step.check(f"page: the chart is drawn; {self._picture}", drawn)

    # What is seen

    def _slot_of(self, hour):
        return self._first_slot + int(hour * 3600 // SLOT_S)

    def _last_slot(self):
        return self._slot_of(self._hours) - 1

    async def _until_slot(self, evidence, fast, slot):
        """Until the server has a slot, and everything before it."""
        ends = (slot + 1) * SLOT_S + EPOCH_2000
        await asyncio.sleep(fast.real_s(ends))
        await _until(lambda: self._whole(rows := self._rows(evidence)) and rows and rows[-1]["slot"] >= slot)

    async def _until_time(self, fast, hour):
        await asyncio.sleep(fast.real_s(self._first_slot * SLOT_S + EPOCH_2000 + hour * 3600))

    def _rows(self, evidence):
        return evidence.rows(
            "SELECT * FROM slot_values WHERE slot BETWEEN ? AND ? ORDER BY slot", self._first_slot, self._last_slot()
        )

    def _whole(self, rows):
        return [row["slot"] for row in rows] == list(range(self._first_slot, self._first_slot + len(rows))) and all(
            row["span"] == 1 for row in rows
        )

    def _fits(self, house, rows):
        return all(self._sums_fit(house, [row]) for row in rows)

    def _sums_fit(self, house, rows):
        return self._off_wh(house, rows) <= self._tolerance_wh()

    def _tolerance_wh(self):
        """What can flow while one reading is under way."""
        return 2 + 2 * _EXCHANGE_S * self._scale * _MOST_W / 3600

    def _off_wh(self, house, rows):
        """By how much the worst quantity's sum over half hours in a row is off the integral of its power."""
        begin_s = rows[0]["slot"] * SLOT_S + EPOCH_2000
        end_s = (rows[-1]["slot"] + 1) * SLOT_S + EPOCH_2000
        return max(
            abs(sum(row[name] for row in rows) - house.power_model.energy_wh(place, begin_s, end_s))
            for place, name in enumerate(QUANTITIES)
        )

    def _circuits_fit(self, house, evidence):
        """Whether each branch circuit's sum is its power's integral, and each half hour's values are there once."""
        rows = evidence.rows(
            "SELECT slot, span, energies FROM circuit_values WHERE slot BETWEEN ? AND ? ORDER BY slot",
            self._first_slot,
            self._last_slot(),
        )
        begin_s = self._first_slot * SLOT_S + EPOCH_2000
        end_s = (self._last_slot() + 1) * SLOT_S + EPOCH_2000
        model = house.power_model
        for place in range(model.circuits):
            sum_wh = sum(int.from_bytes(row["energies"][2 * place : 2 * place + 2], "little") for row in rows)
            if abs(sum_wh - model.energy_wh(FIRST_CIRCUIT + place, begin_s, end_s)) > self._tolerance_wh():
                return False
        return self._whole(rows)

    @staticmethod
    def _records(evidence):
        """How many records the flash's readings ring has seen."""
        return evidence.flash().rings["readings"][-1].number


async def _until(holds, timeout_s=_TIMEOUT_S):
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(_LOOK_EVERY_S)
