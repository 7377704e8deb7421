"""The story unattended. Operation 1: from the factory to tampering. Operation 2 (demo_phone.py): back, by phone.

Whether a step is `ok` is worked out from the flash (tools/flash), the server's
database and the display's dots; nothing that the firmware says of itself counts.
"""

import asyncio
import json
import time

from tools.flash import layout
from tools.flash.image import FlashImage
from tools.font.reader import find
from tools.pps.services.credentials import GROUPS, Scope
from tools.sim import typing
from tools.sim.demo_phone import PhoneChapters
from tools.sim.evidence import Evidence, found_in, key_fits
from tools.sim.house import SERIAL, area_of
from tools.sim.narrator import DemoFailed

TIMEOUT_S = 20  # how long a step waits for anything
_LOOK_EVERY_S = 0.02

NAME = "やまだ"
NEW_NAME = "すずき"
POSTAL_CODE = "6008001"
SITE_NUMBER = "0312345678901234567890"
PV_W = (5500, 6600, 7700)

# What asks for ID and password.
_JAPANESE = ("IDを入力(8桁)", "パスワード(8桁)")
_ENGLISH = ("Enter ID (8 digits)", "Password (8 digits)")
# A byte of the vault's IV that turns over one bit of the session id in the body: everything parses as
# before, so nothing but the seal can find it (docs/format.md).
_IV_BYTE = 16 + 3 + 4
_VAULT = range(layout.AREAS["vault"][0], sum(layout.AREAS["vault"]))
_TAMPER_CODES = {name: code for code, name in layout.TAMPER.items()}
_OPEN_ALARM = "SELECT * FROM alarms WHERE kind = ? AND over_at IS NULL ORDER BY id DESC"


# Each begins where the one before it ends: in the change menu, or at the status screen.
CHAPTERS = (
    "factory",
    "credential",
    "authenticate",
    "change",
    "enrol",
    "delete",
    "cut_while_writing",
    "language",
    "cut_while_erasing",
    "report",
    "tamper",
    "recover",
    "play_back",
    "phone",
    "relay",
)


class Demo(PhoneChapters):
    """A run on a house that is started and new."""

    def __init__(self, house, narrator, timeout_s=TIMEOUT_S):
        self._house = house
        self._module = house.module
        self._step = narrator.step
        self._timeout_s = timeout_s
        self._evidence = Evidence(house)
        self._image = None
        self._credential = None
        self._client = None  # the phone's

    async def run(self, chapters=CHAPTERS):
        """Run to the end, or to the first step that fails. Returns whether all were ok."""
        try:
            for chapter in CHAPTERS:
                if chapter in chapters:
                    await getattr(self, chapter)()
        except DemoFailed:
            return False
        return True

    # The chapters

    async def factory(self):
        async with self._step("A module comes from the factory: own key, own label, empty vault", "R10 R28") as step:
            await self._see(step, "情報モジュール", "通信 正常")
            image = self._evidence.flash()
            step.check("flash: provisioned, every seal holds", image.seals_hold)
            step.check(f"flash: serial number {SERIAL}", self._identity(image, "serial") == SERIAL)
            certified = key_fits(self._identity(image, "private_key"), self._identity(image, "certificate"))
            step.check("flash: the factory certificate is for the module's own key", certified)
            step.check("flash: the vault holds no field", not self._fields(image))

    async def credential(self):
        async with self._step("The operator issues a one-time credential; it goes to the technician", "R6 S4") as step:
            began = time.monotonic()
            letters = len(self._house.mailbox.letters)
            await self._until(self._evidence.is_polled)
            delivery = self._evidence.follow_delivery()
            # As the console does it: five authentications instead of three, for the story's sake.
            self._credential = await self._issue(max_successes=5)
            letter = await self._house.mailbox.wait_letter(letters + 1)
            secrets = (self._credential.id, self._credential.password)
            step.check("mailbox: the message holds ID and password", all(secret in letter.text for secret in secrets))
            sequence = self._credential.sequence
        async with self._step("The module pulls what it needs to judge, and acknowledges", "R7 R8 S4") as step:
            await self._until(lambda: self._evidence.flash().credential("sequence") == sequence)
            arrived_s = time.monotonic() - began
            await self._see(step, "受付中 残23時間 5回")
            await self._until(lambda: self._server_credential()["status"] == "accepted")
            row = self._server_credential()
            came = f"flash: credential {sequence} came with the poll that waited, {arrived_s:.1f} s after the order"
            step.check(came, delivery.arrived and delivery.polls == 0)
            gone = row["w0"] is None and row["l"] is None and row["salt"] is None
            step.check("database: acknowledged, the verifier erased", gone)
            await self._until(lambda: not self._evidence.in_database(*secrets))
            step.check("database: neither ID nor password is in the file", True)

    async def authenticate(self):
        title = "A wrong password: counted in flash before it is judged, told on a failure screen"
        async with self._step(title, "R9 R13 R14 S1") as step:
            password = self._credential.password
            wrong = password[:-1] + str((int(password[-1]) + 1) % 10)
            image, _ = await asyncio.gather(
                self._flash_while("確認しています", "認証できません"),
                self._authenticate(step, self._credential.id, wrong, _JAPANESE),
            )
            counted = self._counts(image.totals()) == (1, 1, 0)
            step.check("flash, while the display said that it is being checked: 1 attempt, 1 failure", counted)
            await self._see(step, "認証できません", "あと4回入力できます")
            totals = self._evidence.flash().totals()
            step.check("flash: 1 attempt, 1 failure, no success", self._counts(totals) == (1, 1, 0))
            await self._press("B")
        async with self._step("The right one: the change screen", "R14") as step:
            await self._authenticate(step, *self._secrets(), _JAPANESE)
            await self._see(step, "変更メニュー", "お客さま情報")
            totals = self._evidence.flash().totals()
            step.check("flash: 2 attempts, the failure stays, 1 success", self._counts(totals) == (2, 1, 1))

    async def change(self):
        async with self._step(f"Customer name, typed as on a telephone: {NAME}", "R1 R2 R15") as step:
            await self._press("OOOO" + typing.kana(NAME))
            await self._see(step, NAME)
            await self._press("O")
            await self._see(step, "変更しますか", f"新:{NAME}")
            await self._confirm_change(step, "変更しました", {"customer_name": NAME})
            await self._press("O")
        async with self._step("Postal code", "R1 R15") as step:
            await self._press("DOOO" + POSTAL_CODE + "O")
            await self._confirm_change(step, "変更しました", {"customer_name": NAME, "postal_code": POSTAL_CODE})
            await self._press("O")
            await self._see(step, NAME, "〒600-8001")
        async with self._step("Site number: 21 digits are refused, 22 are taken", "R1 R15") as step:
            await self._press("BDDOOOO" + SITE_NUMBER[:-1] + "O")
            await self._see(step, "入力の誤り", "桁が足りません")
            step.check("flash: no site number yet", self._evidence.flash().field("site_number") is None)
            await self._press("O" + SITE_NUMBER[-1] + "O")
            await self._confirm_change(step, "変更しました", {"site_number": SITE_NUMBER})
        async with self._step(f"PV capacity: {PV_W[0]} W", "R1 R15") as step:
            await self._press("OBDOOOO" + str(PV_W[0]) + "O")
            await self._confirm_change(step, "変更しました", {"pv_capacity_w": PV_W[0]})
            await self._press("OB")

    async def enrol(self):
        async with self._step("A connection by host and one-time code, its key made on the module", "R15 SA") as step:
            code = await asyncio.to_thread(self._house.server.offer_enrolment, SERIAL)
            port = self._house.server.enrol_host.rpartition(":")[2]
            await self._press("DOUO" + typing.host(f"127.0.0.1:{port}") + "O")
            await self._see(step, "登録コード")
            await self._press(code + "O")
            await self._see(step, "登録しますか")
            await self._press("O")
            await self._see(step, "登録しました")
            image = self._evidence.flash()
            private_key = image.field("private_key")
            step.check("flash: the certificate is for the key that lies beside it", self._has_connection(image))
            step.check("flash: every seal holds", image.seals_hold)
            step.check("database: the key is nowhere in the file", not self._evidence.in_database(private_key))
            used = self._evidence.row("SELECT status, key FROM enrolment_codes ORDER BY id DESC")
            step.check("database: the code is used, its key erased", (used["status"], used["key"]) == ("used", None))
            query = "SELECT last_identity FROM modules"
            await self._until(lambda: self._evidence.row(query)["last_identity"] == "connection")
            step.check("database: the module calls as its connection now", True)
            await self._press("OB")

    async def delete(self):
        async with self._step("Delete the customer: gone from all of the flash", "R5 R15") as step:
            values = {NAME.encode(), POSTAL_CODE.encode()}
            before = self._evidence.flash()
            step.check("flash before: name and postal code are found with its keys", found_in(before, values) == values)
            await self._press("DDOU")
            await self._see(step, "まとめて削除")
            await self._press("O")
            await self._see(step, "削除しますか")
            await self._press("O")
            await self._see(step, "削除しました")
            after = self._evidence.flash()
            step.check("flash: every seal holds, the other groups are as they were", self._others_stand(before, after))
            step.check("flash: no trace of them, in clear or under any key that it holds", not found_in(after, values))
            await self._press("O")

    async def cut_while_writing(self):
        async with self._step("The power goes while a new version is written", "R2 R9") as step:
            old = await self._change_pv(PV_W[1])
            await self._see(step, "変更しますか")
            self._house.flash.cut_in("program", _VAULT, ("bytes", 40, 0x0F))
            await self._lose_power_by("O")
            image = await self._start_again(step, "情報モジュール", "受付中")
            step.check(f"flash: exactly the old version, {old} W", image.field("pv_capacity_w") == old)
            step.check("flash: every seal holds", image.seals_hold)
            totals = image.totals()
            step.check("flash: the cut gave back no attempt and no change", self._counts(totals) == (2, 1, 1))

    async def language(self):
        async with self._step("The display speaks English", "R17") as step:
            await self._press("*DO")
            await self._see(step, "Inkan module", "Network: OK")
            step.check("flash: English is set", self._item("settings", "language") == 1)

    async def cut_while_erasing(self):
        new = PV_W[2]
        async with self._step("The power goes while the old version is erased", "R2 R5") as step:
            await self._authenticate(step, *self._secrets(), _ENGLISH)
            await self._see(step, "Change menu")
            await self._change_pv(new)
            await self._see(step, "Change it?")
            sector = self._evidence.flash().current["vault"].first_sector
            self._house.flash.cut_in("erase", range(sector, sector + 1), "flicker")
            await self._lose_power_by("O")
            image = await self._start_again(step, "Inkan module", "Ready")
            step.check(f"flash: exactly the new version, {new} W", image.field("pv_capacity_w") == new)
            states = {slot.state for slot in image.slots["vault"]}
            gone = image.seals_hold and "blank" in states
            step.check("flash: every seal holds, the half-erased version is gone", gone)

    async def report(self):
        async with self._step("The server has learned who did what to which field; no value", "R4 R26 S11") as step:
            query = "SELECT event, door, fields FROM audit_records WHERE event IN ('change', 'delete')"
            await self._until(lambda: len(self._evidence.rows(query)) >= 8)
            rows = self._evidence.rows(query)
            touched = [name for row in rows for name in json.loads(row["fields"])]
            doors = {row["door"] for row in rows}
            step.check("database: every change and deletion is on record there, from the keypad", doors == {"keypad"})
            named = {"customer_name", "pv_capacity_w", "private_key"} <= set(touched)
            step.check("database: they name the fields", named)
            leaked = self._evidence.in_database(NAME, POSTAL_CODE, SITE_NUMBER)
            step.check("database: no name, no postal code, no site number in the file", not leaked)

    async def tamper(self):
        async with self._step("One bit of the sealed information flips: found when it is read", "R3 R26 S19") as step:
            await self._authenticate(step, *self._secrets(), _ENGLISH)
            await self._see(step, "Change menu")
            self._image = self._house.take_image()
            sector, at, bit = self._house.flip_bit("vault", at=_IV_BYTE)
            place = f"bit {bit} of byte {at} in sector {sector} ({area_of(sector)})"
            step.check(f"flash: {place} flipped, and the seal is broken", not self._evidence.flash().sound)
            await self._press("O")
            await self._see(step, "Session over", "Tampering was found")
            await self._press("O")
            await self._see(step, "Tampering", "Information altered")
            latched = self._evidence.flash().totals()["tamper"]
            step.check("flash: tamper is latched, no reboot releases it", latched == _TAMPER_CODES["vault_seal"])
            await self._until(lambda: self._evidence.row(_OPEN_ALARM, "tamper"))
            detail = self._evidence.row(_OPEN_ALARM, "tamper")["detail"]
            step.check("database: an alarm for the operator, vault_seal", "vault_seal" in detail)
            query = "SELECT * FROM audit_records WHERE event = 'tamper'"
            await self._until(lambda: self._evidence.row(query))
            step.check("database: it is in the audit trail", True)

    async def recover(self):
        title = "A credential that may recover, by the factory identity: all is wiped"
        async with self._step(title, "R3 S18 S19") as step:
            everything = Scope(see=GROUPS, change=GROUPS, delete=GROUPS, recover=True)
            self._credential = await self._issue(scope=everything, language="en")
            await self._see(step, "Recovery ID is ready")
            await self._authenticate(step, *self._secrets(), _ENGLISH)
            await self._see(step, "Recovery")
            await self._press("O")
            await self._see(step, "Wipe it?")
            await self._press("O")
            await self._see(step, "All is wiped")
            image = self._evidence.flash()
            step.check("flash: every seal holds, no field is left", image.seals_hold and not self._fields(image))
            step.check("flash: the generation went on", image.guard[0] > self._generation_of(self._image))
        async with self._step(f"Entered anew: {NEW_NAME}", "R15 R16 S19") as step:
            await self._press("O")
            await self._see(step, "Change menu")
            await self._press("OOOO" + typing.kana(NEW_NAME) + "O")
            await self._see(step, "Change it?")
            await self._confirm_change(step, "Changed", {"customer_name": NEW_NAME})
            await self._press("OB*")
            await self._see(step, "Session over", "Locked")
            await self._press("O")
            await self._until(lambda: not self._evidence.row(_OPEN_ALARM, "tamper"))
            step.check("database: the alarm is over", True)

    async def play_back(self):
        async with self._step("An old image of all the flash is played back: the server remembers", "R3 S10") as step:
            await self._until(lambda: self._highest_generation() > self._generation_of(self._image))
            await self._house.play_back()
            step.check("flash: an older version, and every seal of it holds", self._evidence.flash().seals_hold)
            await self._see(step, "Tampering", "Old records put back")
            latched = self._evidence.flash().totals()["tamper"]
            step.check("flash: tamper is latched", latched == _TAMPER_CODES["remote_rollback"])
            await self._until(lambda: self._evidence.row(_OPEN_ALARM, "rollback"))
            step.check("database: an alarm for the operator, rollback", True)

    # What the technician and the operator do

    async def _press(self, keys):
        await self._module.type(keys)

    async def _authenticate(self, step, user_id, password, prompts):
        await self._press("O")
        await self._see(step, prompts[0], show=False)
        await self._press(user_id + "O")
        await self._see(step, prompts[1], show=False)
        await self._press(password + "O")

    async def _change_pv(self, new):
        """From the menu's first row up to the question; returns what there was (number, or None)."""
        old = self._evidence.flash().field("pv_capacity_w")
        await self._press("DDDOOOO" + "D" * len(str(old or "")) + str(new) + "O")
        return old

    async def _confirm_change(self, step, done, fields):
        await self._press("O")
        await self._see(step, done)
        image = self._evidence.flash()
        for name, value in fields.items():
            step.check(f"flash: {name} is {value}", image.field(name) == value)
        only_one = sorted(slot.state for slot in image.slots["vault"]) == ["blank", "valid"]
        step.check("flash: every seal holds, the version before is erased", image.seals_hold and only_one)

    async def _issue(self, **order):
        return await asyncio.to_thread(
            self._house.server.issue_credential, SERIAL, recipient="technician@example.com", **order
        )

    async def _lose_power_by(self, key):
        pressing = asyncio.ensure_future(self._module.press(key))
        await self._module.wait_power_loss()
        await asyncio.gather(pressing, return_exceptions=True)

    async def _start_again(self, step, *texts):
        await self._house.power_on()
        await self._see(step, *texts)
        return self._evidence.flash()

    # What is seen

    async def _see(self, step, *texts, show=True):
        """Wait for a screen that has all of the texts, dot by dot."""
        for text in texts:
            frame = await self._module.wait_text(text, self._timeout_s)
        if show:
            step.look(frame)
            step.check("display: " + ", ".join(texts), True)

    async def _flash_while(self, text, end):
        """The flash as it was when the display showed a text for the last time before it showed another one."""
        data = None

        def look(frame):
            nonlocal data
            if find(frame, text):
                data = self._house.flash.image()
            return find(frame, end) is not None

        await self._module.wait_frame(look, self._timeout_s)
        return FlashImage(data or b"")

    async def _until(self, condition):
        async with asyncio.timeout(self._timeout_s):
            while not condition():
                await asyncio.sleep(_LOOK_EVERY_S)

    def _secrets(self):
        return self._credential.id, self._credential.password

    def _server_credential(self):
        return self._evidence.row("SELECT * FROM credentials WHERE sequence = ?", self._credential.sequence)

    def _highest_generation(self):
        return json.loads(self._evidence.row("SELECT highest FROM modules")["highest"]).get("generation", 0)

    def _item(self, area, name):
        return self._evidence.flash().credential(name, area)

    @staticmethod
    def _identity(image, name):
        return image.credential(name, "identity")

    @staticmethod
    def _fields(image):
        names = [name for name, _ in layout.FIELDS.values() if name not in ("last_request", "readings_key")]
        return {name: image.field(name) for name in names if image.field(name) is not None}

    @staticmethod
    def _counts(totals):
        return totals["attempts_ever"], totals["failures"], totals["successes"]

    def _has_connection(self, image):
        return image.field("ca_certificate") and key_fits(
            image.field("private_key"), image.field("module_certificate")
        )

    def _others_stand(self, before, after):
        customer = ("customer_name", "postal_code", "address", "contract_number")
        kept = {name: value for name, value in self._fields(before).items() if name not in customer}
        return after.sound and self._fields(after) == kept

    @staticmethod
    def _generation_of(data):
        return FlashImage(data).guard[0]
