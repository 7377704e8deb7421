"""Onlookers: the house hears of flash operations and of what changes at the server. They change nothing."""

import asyncio
import contextlib
import random

from sqlalchemy.exc import OperationalError

from tools.sim.chips.flash import NorFlash

_LOOK_EVERY_S = 0.5
_COUNTERS = ("successes", "failures", "changes")


class WatchedFlash(NorFlash):
    """A NorFlash whose `watchers` are called (kind, sector, size) after each operation, one that was cut included.

    kind: "program", "erase", "flip" or "load"; size in bytes, 0 where it says nothing.
    """

    def __init__(self, size, path=None):
        self.watchers = []
        self._trap = None
        super().__init__(size, path)

    def cut_in(self, kind=None, sectors=None, torn=None):
        """Cut the power within the next program or erase, or the next of a kind, in some sectors (a range).

        torn as `cut_at` takes it; None: by chance.
        """
        self._trap = (kind, sectors, torn)

    def power_on(self):
        self._trap = None
        super().power_on()

    def program(self, address, data):
        sector = address // self.sector_size
        self._prepare(("program", address, len(data)), sector)
        try:
            super().program(address, data)
        finally:
            self._tell("program", sector, len(data))

    def erase(self, sector_index):
        is_blank = self.sector(sector_index).count(0xFF) == self.sector_size
        self._prepare(("erase", sector_index, is_blank), sector_index)
        try:
            super().erase(sector_index)
        finally:
            self._tell("erase", sector_index, 0)

    def flip_bit(self, address, bit):
        super().flip_bit(address, bit)
        self._tell("flip", address // self.sector_size, 0)

    def load_sector(self, index, data):
        super().load_sector(index, data)
        self._tell("load", index, 0)

    def _prepare(self, operation, sector):
        if self._trap is None:
            return
        kind, sectors, torn = self._trap
        if kind in (None, operation[0]) and (sectors is None or sector in sectors):
            self._trap = None
            self.cut_at(0, torn or random.choice(self.torn_kinds(operation)))

    def _tell(self, kind, sector, size):
        for watcher in list(self.watchers):
            watcher(kind, sector, size)


class ServerWatch:
    """Looks at what the server has on record for one module, and says what is new.

    say(kind, **details) gets: credential_issued, credential_offered, credential_accepted, credential_refused,
    credential_replaced, credential_revoked, credential_ended (all with `sequence`), credential_used (with the
    counters), alarm, alarm_over (with `alarm`, `detail`), audit (with `event`, `record`, `door`), enrolment (with
    `status`), hello (with `identity`), relay_begun and relay_ended (with `why`), both with `sequence`.
    """

    def __init__(self, services, serial, say):
        self._services = services
        self._serial = serial
        self._say = say
        self._credentials = {}
        self._alarms = {}
        self._audit_through = None
        self._enrolment = None
        self._hello_at = None
        self._action = 0  # the newest that was looked at
        self._task = None

    async def start(self):
        """Take what is there as known, then look for ever."""
        await self.look(quiet=True)
        self._task = asyncio.create_task(self._run())

    async def stop(self):
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def look(self, quiet=False):
        """Look once."""
        module, credentials, alarms, code, records, actions = await asyncio.to_thread(self._fetch)
        say = (lambda kind, **details: None) if quiet else self._say
        if module.last_hello_at != self._hello_at:
            self._hello_at = module.last_hello_at
            say("hello", identity=module.last_identity)
        for credential in reversed(credentials):
            self._compare_credential(credential, say)
        for alarm in alarms:
            self._compare_alarm(alarm, say)
        status = (code.id, code.status) if code else None
        if status != self._enrolment:
            self._enrolment = status
            if code:
                say("enrolment", status=code.status)
        for record in reversed(records):
            place = (record.epoch, record.number)
            if self._audit_through is None or place > self._audit_through:
                say("audit", event=record.event, record=record.number, door=record.door)
        if records:
            self._audit_through = (records[0].epoch, records[0].number)
        for action in reversed(actions):
            if action.id > self._action:
                self._action = action.id
                self._tell_of_relay(action, say)

    async def _run(self):
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            with contextlib.suppress(OperationalError):  # the database is busy: next time
                await self.look()

    def _fetch(self):
        services = self._services
        module = services.fleet.module(self._serial)
        records, _ = services.audit.records(module.id)
        return (
            module,
            services.credentials.of_module(module.id),
            services.fleet.alarms(module.id),
            services.enrolment.newest_code(module.id),
            [record for record, _ in records],
            [action for action, _ in services.audit.actions()[0]],
        )

    @staticmethod
    def _tell_of_relay(action, say):
        if action.action == "relay_begun":
            say("relay_begun", sequence=action.detail["sequence"])
        elif action.action == "relay_ended":
            say("relay_ended", sequence=action.detail["sequence"], why=action.detail["reason"])

    def _compare_credential(self, credential, say):
        known = self._credentials.get(credential.id)
        counters = {name: getattr(credential, name) for name in _COUNTERS}
        now = (credential.status, counters)
        if now == known:
            return
        self._credentials[credential.id] = now
        if known is None:
            say("credential_issued", sequence=credential.sequence, channel=credential.channel)
            if credential.status != "waiting":
                say(f"credential_{credential.status}", sequence=credential.sequence)
        else:
            if counters != known[1]:
                say("credential_used", sequence=credential.sequence, **counters)
            if credential.status != known[0]:
                details = {"why": credential.ended} if credential.status == "ended" else {}
                say(f"credential_{credential.status}", sequence=credential.sequence, **details)

    def _compare_alarm(self, alarm, say):
        is_over = alarm.over_at is not None
        known = self._alarms.get(alarm.id)
        self._alarms[alarm.id] = is_over
        if known is None:
            say("alarm", alarm=alarm.kind, detail=alarm.detail)
        elif is_over and not known:
            say("alarm_over", alarm=alarm.kind)
