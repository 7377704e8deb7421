"""Builds the units on a board, starts their tasks and keeps them running (R27). Never names a board."""

import asyncio
import gc
import time

from micropython import const

from firmware import settings, unique_info
from firmware.acquisition import Acquisition
from firmware.attempts import Attempts
from firmware.audit import AuditTrail
from firmware.clock import Clock
from firmware.control import Control
from firmware.crypto.drbg import HmacDrbg
from firmware.detection import Detection
from firmware.drivers import DriverError
from firmware.errors import InkanError, LinkError, TamperError
from firmware.identity import Identity
from firmware.link.endpoint import CREDENTIAL, ENERGY, endpoints
from firmware.link.phone import PhoneUnit
from firmware.link.relay import Relay
from firmware.link.server_link import ServerLink
from firmware.metering import Meter
from firmware.modules import forget
from firmware.preferences import Preferences
from firmware.readings import Readings
from firmware.reporting import Reporter
from firmware.session import Sessions
from firmware.store.store import Store
from firmware.sunspec import Device

_SEED_SIZE = const(48)
_COLLECT_EVERY_PART = const(32)  # of the heap that was allocated, so that what stays does not end up all over it


class Random:
    """The random bytes of every unit; its generator is set once the radio is on (S17)."""

    def __init__(self):
        self.generator = None

    def __call__(self, size):
        return self.generator.generate(size)


class App:
    """One module. `run` is a coroutine that ends only after provisioning, to be followed by a restart."""

    def __init__(self, board):
        self.board = board
        self.random = Random()
        self.store = Store(board.flash(), self.random)
        self.link = self.energy_link = None
        self.phone = None
        self.panel = None
        self._wifi = board.wifi()
        self._reseed_ms = 0

    async def run(self):
        board = self.board
        self._wifi.start()  # the radio is on from here: random bytes are good
        self.store.start()
        if not self.store.provisioned:
            await self._provision()
            return
        # What stays is laid down without garbage between it: the heap does not move, and holes stay holes.
        gc.collect()
        self._build()
        gc.collect()
        self._build_energy()
        gc.collect()
        self.link = self._build_link(CREDENTIAL, Relay(lambda link: self.phone.serve(link)))
        gc.collect()
        self._build_phone()
        gc.collect()
        tasks = [
            ("network", self._network),
            ("housekeeping", self._housekeeping),
            ("phone", self.phone.run),
            ("meter", self.meter.run),
            ("link", self.link.run),
            ("energy", self._energy_link),
        ]
        tasks += [("carrier", carrier.run) for carrier in self._build_carriers()]
        if board.HAS_PANEL:
            keypad = self._build_panel()
            tasks.append(("keypad", keypad.run))
            tasks.append(("panel", self.panel.run))
        gc.collect()
        gc.threshold((gc.mem_alloc() + gc.mem_free()) // _COLLECT_EVERY_PART)
        await asyncio.gather(*[self._supervise(name, task) for name, task in tasks])

    # Building

    def _build(self):
        """Everything of rank 3, started in the order that docs/architecture.md gives."""
        store = self.store
        self._seed()
        self.preferences = Preferences(store.settings)
        self.preferences.start()
        self.identity = Identity(store.identity)
        tamper = store.tamper
        try:
            self.identity.start()
        except TamperError as error:
            tamper = tamper or error.what
        self.attempts = Attempts(store.attempts)
        self.clock = Clock(store.clock, time.ticks_ms, time.ticks_diff)
        self.audit = AuditTrail(store.audit, self.clock, self.attempts, store.vault, unique_info.name_of)
        self.detection = Detection(store.vault, self.attempts, self.audit)
        self.acquisition = Acquisition(store.credential, store.factory, self.attempts, self.clock, self.audit)
        self.sessions = Sessions(
            self.detection,
            store.vault,
            unique_info,
            self.attempts,
            self.acquisition,
            self.audit,
            self.clock,
            self.random,
            store.readings,
            store.wipe_vault,
        )
        self.attempts.start()
        self.clock.start()
        self.audit.start()
        self.detection.start(tamper, store.findings)
        self.acquisition.start()
        self.sessions.start()
        self.control = Control(
            self.acquisition,
            self.attempts,
            self.detection,
            self.clock,
            self.audit,
            self.sessions,
            self.identity.serial or "",
            asyncio.sleep_ms,
        )

    def _seed(self):
        """Seed the generator from the radio, the root secret and what no two boots share: the clock ring's head."""
        clock = self.store.clock
        nonce = clock.head_number.to_bytes(4, "little") + bytes(clock.head_tag or b"")
        self.random.generator = HmacDrbg(self.board.entropy(_SEED_SIZE), nonce, self.store.random_seed)

    def _build_energy(self):
        """From the power control device to what is reported. Nothing here waits for a device or a server."""
        sessions = self.sessions
        self.readings = readings = Readings(self.store.readings, self.random, sessions.read, self.audit)
        self.reporter = reporter = Reporter(readings, self.detection, sessions.read, self._rolled_back)
        sessions.reporter = reporter
        self.meter = Meter(Device(self.board.power_device()), self.clock, readings, asyncio.sleep_ms)
        readings.listeners.append(reporter.changed)
        for listeners in (sessions.information_listeners, self.detection.listeners):
            listeners.append(readings.changed)
            listeners.append(reporter.changed)

    def _build_link(self, role, relay=None):
        """The link to the server of a role."""
        link = ServerLink(
            role,
            lambda: endpoints(role, self.detection.read, self.identity),
            self.acquisition,
            self.audit,
            self.clock,
            self.state,
            self._rolled_back,
            self.random,
            self.identity.serial or "",
            settings.FIRMWARE_VERSION,
            self._learn_time,
            relay,
            self.reporter,
        )
        self.acquisition.listeners.append(link.state_changed)
        self.detection.listeners.append(link.connection_changed)
        self.detection.listeners.append(link.state_changed)
        self.sessions.connection_listeners.append(link.connection_changed)
        return link

    def _build_phone(self):
        self.phone = PhoneUnit(
            self.control,
            self.acquisition,
            self.clock,
            self.random,
            self.enrol,
            self.identity.serial or "",
            self.identity.host_kind,
            self.board.HAS_PANEL,
            asyncio.sleep_ms,
        )

    def _build_carriers(self):
        """What phones come by, beside the relay. A radio that fails leaves the other doors open."""
        board = self.board
        phone = self.phone
        carriers = []
        if board.HAS_SERIAL_LINK:
            carriers.append(board.serial_link(phone.serve))
        try:
            gatt = board.gatt(self.identity.serial or "", phone.serve)
        except DriverError as error:
            print("no BLE:", error.code)
            return carriers

        def show():
            info = phone.info(settings.DOOR_BLE)
            gatt.set_info(info, info[1])

        show()
        phone.listeners.append(show)
        carriers.append(gatt)
        return carriers

    def _build_panel(self):
        from firmware.panel.resident import Canvas, GlyphFile, Panel

        lcd = self.board.lcd()
        lcd.start()
        keypad = self.board.keypad()
        self.panel = Panel(
            lcd.show,
            keypad.next_key,
            self.control,
            self.acquisition,
            self.preferences,
            self.enrol,
            self.clock,
            Canvas(GlyphFile(settings.FONT_PATH).open()),
            self.link_status,
            asyncio.sleep_ms,
            time.ticks_ms,
            self.identity.serial or "",
        )
        return keypad

    # What the units ask of each other

    def state(self):
        """`state` of hello (docs/api.md)."""
        store = self.store
        return {
            "generation": store.vault.generation,
            "boot_count": self.clock.boot_count,
            "powered_s": self.clock.powered_s(),
            "attempts": self.attempts.attempts,
            "attempts_number": store.attempts.head_number,
            "audit_number": store.audit.head_number,
            "tamper": self.detection.tamper,
            "credential": self.acquisition.state(),
            "energy": {
                "device": self.meter.state,
                "report": self.reporter.state,
                "waiting": self.reporter.waiting,
                "newest_slot": self.readings.newest_slot,
            },
        }

    def link_status(self):
        """None before anything was tried, "online", or the code of what is wrong."""
        link = self.link
        if link.online:
            return "online"
        return link.error

    async def enrol(self, host, code, progress):
        """For panel and phone: the fields of a new connection, tried out."""
        gc.collect()
        from firmware.link.enrol import enrol

        link = self.link
        try:
            return await enrol(
                host,
                code,
                self.identity.serial,
                self.state,
                self.random,
                settings.FIRMWARE_VERSION,
                link.lend_buffer,
                progress,
            )
        finally:
            link.take_back()
            forget("firmware.link.enrol")

    def _rolled_back(self):
        self.detection.latch("remote_rollback")

    async def _learn_time(self):
        from firmware.link.ntp import query

        if not self.preferences.ntp_host:
            return
        now = await query(self.preferences.ntp_host, self.random)
        self.clock.set_from_ntp(now)
        self.board.set_rtc(self.clock.certificate_time())

    # Tasks

    async def _supervise(self, name, task):
        """Run a task for ever; one that fails starts again, later each time, and touches no other."""
        pause_ms = settings.TASK_RESTART_FIRST_MS
        while True:
            started_ms = self.clock.uptime_ms()
            try:
                await task()
            except Exception as error:
                print("task", name, "failed:", type(error).__name__, getattr(error, "code", ""))
            if self.clock.uptime_ms() - started_ms > settings.TASK_RESTART_MAX_MS:
                pause_ms = settings.TASK_RESTART_FIRST_MS
            await asyncio.sleep_ms(pause_ms // 2 + pause_ms * self.random(1)[0] // 512)
            pause_ms = min(pause_ms * 2, settings.TASK_RESTART_MAX_MS)

    async def _network(self):
        """Keep the station joined."""
        pause_ms = settings.WIFI_RETRY_FIRST_MS
        while True:
            if not self._wifi.connected() and self.preferences.ssid:
                try:
                    await self._wifi.connect(self.preferences.ssid, self.preferences.passphrase)
                    pause_ms = settings.WIFI_RETRY_FIRST_MS
                except LinkError:
                    await asyncio.sleep_ms(pause_ms // 2 + pause_ms * self.random(1)[0] // 512)
                    pause_ms = min(pause_ms * 2, settings.WIFI_RETRY_MAX_MS)
            await asyncio.sleep_ms(settings.HOUSEKEEPING_MS)

    async def _energy_link(self):
        """Call an energy server that is one of its own (R25). There is none in most houses, and then no link either."""
        changed = asyncio.Event()
        for listeners in (self.sessions.connection_listeners, self.detection.listeners):
            listeners.append(changed.set)
        while next(endpoints(ENERGY, self.detection.read, self.identity), None) is None:
            changed.clear()
            await changed.wait()
        if self.energy_link is None:
            self.energy_link = self._build_link(ENERGY)
        await self.energy_link.run()

    async def _housekeeping(self):
        """Time-outs of credential and session, the clock's ticks, fresh entropy, the watchdog."""
        watchdog = self.board.watchdog(settings.WATCHDOG_MS)
        while True:
            watchdog.feed()
            self.control.tick()
            self.clock.tick()
            if self.clock.uptime_ms() - self._reseed_ms > settings.RESEED_S * 1000:
                self._reseed_ms = self.clock.uptime_ms()
                self.random.generator.reseed(self.board.entropy(_SEED_SIZE))
            await asyncio.sleep_ms(settings.HOUSEKEEPING_MS)

    async def _provision(self):
        """Not provisioned, or the root secret is gone: say so, and listen to the console."""
        from firmware import acquisition, identity, preferences, unique_info
        from firmware.provisioning import Provisioner, serve

        if self.board.HAS_PANEL:
            from firmware.panel.notice import show_unprovisioned
            from firmware.panel.resident import Canvas, GlyphFile

            lcd = self.board.lcd()
            lcd.start()
            canvas = Canvas(GlyphFile(settings.FONT_PATH).open())
            show_unprovisioned(canvas, self.store.tamper)
            lcd.show(canvas.buffer)

        def seed(generator):
            self.random.generator = generator

        provisioner = Provisioner(self.store, self.board.entropy, seed, identity, preferences, acquisition, unique_info)
        await serve(self.board.console(), provisioner)


def run(board):
    """Run the module on a board; returns after provisioning, to be followed by a restart."""
    try:
        asyncio.run(App(board).run())
    except InkanError as error:
        print("stopped:", error.code)
