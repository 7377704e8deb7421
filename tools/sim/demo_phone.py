"""Operation 2, unattended: the same module over BLE, then through the relay. Evidence is what it is in operation 1.

What the phone is told is checked too, against the flash.
"""

import asyncio
import hashlib
import re

from firmware.errors import LinkError
from tools.flash import layout
from tools.phone.client import PhoneClient, RefusedError
from tools.pps.services.credentials import GROUPS, Scope
from tools.sim.evidence import found_in
from tools.sim.house import SERIAL

NAME = "高橋 一郎"
ADDRESS = "京都府京都市中京区"
RELAY_NAME = "Emma Takahashi"
SITE_NUMBER = "0398765432109876543210"
PV_W = 8800

_FIELD_IDS = {name: number for number, (name, _) in layout.FIELDS.items()}
_CUSTOMER = GROUPS.index("customer") + 1
_BLE, _RELAY = 2, 3  # doors in the flash (docs/format.md)
_KEPT_FOR_KEYPAD = 2  # failures (S5)
_RELAY_LINK = re.compile(r"https://\S+#relay=([0-9a-f]{32})")
_VAULT = range(layout.AREAS["vault"][0], sum(layout.AREAS["vault"]))
_IN_USE = "In use elsewhere"


class PhoneChapters:
    """Mixed into `Demo`, by whose means it works. Begins where operation 1 ends: tampered, the display in English."""

    async def phone(self):
        everything = Scope(see=GROUPS, change=GROUPS, delete=GROUPS, recover=True)
        self._credential = await self._issue(scope=everything, language="en", max_failures=5)
        async with self._house.phones.radio() as radio:
            await self._log_in_by_phone(radio)
            await self._recover_by_phone()
            await self._change_by_phone()
            await self._lose_link(radio)
            await self._delete_by_phone()

    async def _log_in_by_phone(self, radio):
        async with self._step("A phone finds the module over BLE, and what it says of itself", "R18") as step:
            await self._see(step, "Recovery ID is ready")
            found = await radio.scan()
            step.check(f"air: {found.name} advertises", SERIAL.endswith(found.name.removeprefix("Inkan ")))
            self._client = PhoneClient(await radio.connect(found))
            info = await self._client.info()
            image = self._evidence.flash()
            step.check(f"phone: tampered, serial number {SERIAL}", (info.state, info.serial) == ("tampered", SERIAL))
            same = info.salt == image.credential("salt") and info.iterations == image.credential("iterations")
            step.check("phone: salt and iterations are those in the flash", same)
        async with self._step("Wrong password: counted, two tries are kept for the keypad", "R9 R13 S1 S5") as step:
            user_id, password = self._secrets()
            before = self._evidence.flash().totals()
            refused = await self._refused(user_id, password[:-1] + str((int(password[-1]) + 1) % 10))
            totals = self._evidence.flash().totals()
            one_more = totals["attempts_ever"] - before["attempts_ever"] == totals["failures"] == 1
            step.check("flash: 1 attempt more, 1 failure, by BLE", one_more and totals["door"] == _BLE)
            left = self._item("credential", "max_failures") - totals["failures"] - _KEPT_FOR_KEYPAD
            told = (refused.code, refused.failures_left) == ("wrong", left)
            step.check(f"phone: {left} tries left, as in the flash less {_KEPT_FOR_KEYPAD}", told)
        async with self._step("The right one", "R18") as step:
            await self._wait_delay()
            await self._client.unlock(*self._secrets())
            totals = self._evidence.flash().totals()
            step.check("flash: 1 success, by BLE", (totals["successes"], totals["door"]) == (1, _BLE))

    async def _recover_by_phone(self):
        async with self._step("All is wiped, from the phone; the display says that it is in use", "R3 R18 S19") as step:
            before = self._evidence.flash()
            await self._client.wipe()
            image = self._evidence.flash()
            step.check("flash: every seal holds, no field is left", image.seals_hold and not self._fields(image))
            step.check("flash: no tamper is latched", not image.totals()["tamper"])
            step.check("flash: the generation went on", image.guard[0] > before.guard[0])
            await self._until(lambda: not self._evidence.rows("SELECT id FROM alarms WHERE over_at IS NULL"))
            step.check("database: every alarm is over", True)
            await self._see(step, _IN_USE)

    async def _change_by_phone(self):
        async with self._step("Three fields in one request", "R1 R2 R18") as step:
            values = {"customer_name": NAME, "address": ADDRESS, "site_number": SITE_NUMBER}
            before = self._evidence.flash()
            await self._client.status()
            result = await self._client.change({_FIELD_IDS[name]: value for name, value in values.items()})
            image = self._evidence.flash()
            for name, value in values.items():
                step.check(f"flash: {name} is {value}", image.field(name) == value)
            step.check("flash: every seal holds, one generation on", self._is_next(before, image))
            spent = image.totals()["changes"] - before.totals()["changes"]
            step.check("flash: one change was spent on all three", spent == 1)
            step.check("phone: it is told that generation", result.generation == image.guard[0])
            shown = await self._client.view(_CUSTOMER)
            step.check("phone: it sees the name", shown[_FIELD_IDS["customer_name"]] == NAME)

    async def _lose_link(self, radio):
        async with self._step("The link is lost while the module writes: resumed, and done once", "R2 R18 S6") as step:
            before = self._evidence.flash()
            await self._change_and_go_out_of_reach()
            await self._until(lambda: self._evidence.flash().guard[0] > before.guard[0])
            image = self._evidence.flash()
            step.check(f"flash: {PV_W} W is written, the phone out of reach", image.field("pv_capacity_w") == PV_W)
            await self._see(step, _IN_USE)
            self._house.bring_phone_back()
            await self._client.resume(await radio.connect())
            result = await self._client.repeat()
            after = self._evidence.flash()
            step.check("phone: asked once more, it is told that this had been done", result.repeated)
            same = self._is_next(before, after) and after.totals()["changes"] == before.totals()["changes"] + 1
            step.check("flash: one generation on, one change spent", same)
            tried = after.totals()["attempts_ever"] == before.totals()["attempts_ever"]
            step.check("flash: resuming took no attempt", tried)

    async def _delete_by_phone(self):
        async with self._step("Delete the customer, from the phone; then the end", "R5 R16 R18") as step:
            values = {NAME.encode(), ADDRESS.encode()}
            before = self._evidence.flash()
            step.check("flash before: name and address are found with its keys", found_in(before, values) == values)
            await self._client.delete(_CUSTOMER)
            after = self._evidence.flash()
            step.check("flash: every seal holds, the other groups are as they were", self._others_stand(before, after))
            step.check("flash: no trace of them, in clear or under any key that it holds", not found_in(after, values))
            await self._client.end()
            await self._see(step, "Ready now")

    async def _refused(self, user_id, password):
        try:
            await self._client.unlock(user_id, password)
        except RefusedError as error:
            return error
        raise RuntimeError("it was not refused")

    async def _wait_delay(self):
        """Until the module takes an attempt again."""
        async with asyncio.timeout(self._timeout_s):
            while delay_s := (await self._client.info()).delay_s:
                await asyncio.sleep(delay_s / 4)

    async def _change_and_go_out_of_reach(self):
        """The phone is gone from the moment on in which the first byte of the new version is in flash."""
        flash = self._house.flash

        def saw_flash(kind, sector, size):
            if kind == "program" and sector in _VAULT:
                flash.watchers.remove(saw_flash)
                self._house.carry_phone_away()

        flash.watchers.append(saw_flash)
        try:
            await self._client.change({_FIELD_IDS["pv_capacity_w"]: str(PV_W)})
        except LinkError:
            return
        raise RuntimeError("the link was not lost")

    @staticmethod
    def _is_next(before, after):
        """Whether there is one version, sound, and it is the one that follows."""
        states = sorted(slot.state for slot in after.slots["vault"])
        return after.seals_hold and states == ["blank", "valid"] and after.guard[0] == before.guard[0] + 1

    async def relay(self):
        from tools.phone.links.relay import RelayCarrier

        async with self._step("A credential for use from afar: its message holds a link", "R6 R20 S5") as step:
            letters = len(self._house.mailbox.letters)
            self._credential = await self._issue(language="en", relay=True)
            letter = await self._house.mailbox.wait_letter(letters + 1)
            link = _RELAY_LINK.search(letter.text)
            step.check("mailbox: the link is in the message", link)
            await self._until(lambda: self._server_credential()["status"] == "accepted")
            await self._see(step, "Ready", "23 h")
            await self._until(lambda: not self._evidence.in_database(link[1]))
            kept = self._server_credential()["relay_hash"] == hashlib.sha256(bytes.fromhex(link[1])).hexdigest()
            step.check("database: of the token in it only the SHA-256", kept)
        async with self._step("Log-in through the server, phone and module both calling it", "R20 S5") as step:
            authority = await asyncio.to_thread(self._evidence.write_authority)
            carrier = RelayCarrier(link[0], authority)
            self._client = PhoneClient(await carrier.open())
            await self._client.unlock(*self._secrets())
            await self._see(step, _IN_USE)
            totals = self._evidence.flash().totals()
            step.check("flash: a success, through the relay", (totals["successes"], totals["door"]) == (1, _RELAY))
            query = "SELECT ended_at FROM relay_conversations ORDER BY id DESC"
            open_now = self._evidence.row(query) == {"ended_at": None}
            step.check("database: a conversation is open", open_now)
        async with self._step(f"Customer name, from afar: {RELAY_NAME}", "R1 R20 S16") as step:
            before = self._evidence.flash()
            result = await self._client.change({_FIELD_IDS["customer_name"]: RELAY_NAME})
            image = self._evidence.flash()
            step.check(f"flash: customer_name is {RELAY_NAME}", image.field("customer_name") == RELAY_NAME)
            step.check("flash: every seal holds, one generation on", self._is_next(before, image))
            shown = await self._client.view(_CUSTOMER)
            step.check("phone: it sees the same", shown[_FIELD_IDS["customer_name"]] == RELAY_NAME)
            left = image.credential("max_changes") - image.totals()["changes"]
            step.check(f"phone: {left} changes left, as in the flash", result.changes_left == left)
            await self._client.end()
            await carrier.close()
            await self._see(step, "Ready")
            ended = "SELECT detail FROM operator_actions WHERE action = 'relay_ended'"
            await self._until(lambda: self._evidence.row(ended))
            left = self._evidence.rows("SELECT id FROM relay_frames")
            step.check("database: the conversation is over, its frames are erased", not left)
            query = "SELECT event FROM audit_records WHERE event = 'change' AND door = 'relay'"
            await self._until(lambda: self._evidence.row(query))
            step.check("database: the change is on record, through the relay", True)
            leaked = self._evidence.in_database(RELAY_NAME, *self._secrets(), link[1])
            step.check("database: no name, no ID, no password, no token in the file", not leaked)
