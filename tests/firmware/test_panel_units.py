"""R13 to R17, S19: the panel on the real units, by keys alone, down to what is in flash."""

import asyncio
from hashlib import sha256

from panel_scenes import FLOWS, IN
from unit_rig import ID, PASSWORD, get, message, module, w0_of

from firmware import settings
from firmware.panel.canvas import Canvas
from firmware.panel.glyphs import GlyphFile
from firmware.panel.machine import Panel
from firmware.preferences import Preferences

INTERPRETERS = ("micropython",)  # what draws needs framebuf
TIMEOUT_S = 180
HEAP = {"test_r16_revocation_replacement_and_tamper_end_the_session_at_once": "256wK"}  # three houses

WRONG = "O12345678O87654322O"
CANVAS = Canvas(GlyphFile("build/font/glyphs12.bin").open())


class House:
    """A module of unit_rig.py with a panel. Time moves when it is told to, and while a delay is waited out."""

    def __init__(self, scope=None, **changed):
        self.rig = rig = module()
        rig.acquisition.accept(message(1, scope, **changed), settings.ISSUER_CONNECTION)
        self.pictures = []  # their SHA-256, in the order of their coming
        preferences = Preferences(rig.store.settings)
        preferences.start()
        rig.control._sleep_ms = self.wait
        self.panel = Panel(
            lambda buffer: self.pictures.append(sha256(buffer).digest()),
            None,
            rig.control,
            rig.acquisition,
            preferences,
            None,
            rig.clock,
            CANVAS,
            lambda: "online",
            self.wait,
            lambda: rig.ms,
            "INK-00000001",
        )
        self.panel.start()

    async def wait(self, time_ms):
        if time_ms:
            self.rig.ms += time_ms
            self.panel.tick()
        await asyncio.sleep(0)

    async def press(self, keys):
        for key in keys:
            self.panel.press(key)
            while self.panel.name in ("wait", "working"):
                await asyncio.sleep(0)
        return self.panel.name

    def pass_s(self, seconds):
        """Seconds pass, with the app's tick and the panel's."""
        for _ in range(seconds):
            self.rig.pass_s(1)
            self.panel.tick()


async def test_r14_r15_operation_1_by_keys_alone():
    house = House()
    device = house.rig.device
    assert await house.press(IN) == "menu"
    assert await house.press("OOOO" + "7R" + "*9" + "OO") == "result"  # ま, ラ
    assert get(device, 0x11) == "まラ".encode()
    assert await house.press("O" + "B" + "DDOOOO" + "0312345678901234567890" + "OO") == "result"
    assert get(device, 0x31) == b"0312345678901234567890"
    assert await house.press("O" + "B" + "DOOOO" + "5500" + "OO") == "result"
    assert get(device, 0x41) == (5500).to_bytes(4, "little")
    assert house.panel.rows == ["変更しました", "版数 4", "変更はあと17回"]
    assert await house.press("O" + "B" + "UUUOOO" + "DO" + "O") == "result"
    assert get(device, 0x11) is None
    assert await house.press("OB" + "BO") == "idle"
    assert house.rig.events()[-6:] == ["accepted", "success", "change", "change", "change", "delete"]


async def test_r5_r15_a_flow_by_keys_alone_goes_on_in_the_next_session():
    scope = {"see": [], "change": ["customer"], "delete": ["customer", "usage_history"]}  # as the server issues it
    house = House(scope)
    device = house.rig.device
    session = house.rig.control
    assert await house.press(FLOWS + "O") == "flow"
    assert house.panel.rows[0] == "√お客さま情報の削除"  # there is nothing yet
    for keys in ("O1OOO", "O6008001OOO", "O2OOO", "O5OOO"):
        assert get(device, 0x21) is None  # nothing is measured for anybody yet
        assert await house.press(keys) == "flow"
    assert house.panel.right == "完了"
    assert (get(device, 0x14), get(device, 0x12)) == (b"5", b"6008001")
    key = get(device, 0x21)
    assert len(key) == 64
    await house.press("BB*")
    assert await house.press("O" + FLOWS + "O") == "flow"
    assert (house.panel.right, house.panel.selected) == ("0/5", 0)
    session.session.close("lock")
    house.panel.tick()
    assert await house.press("O" + FLOWS + "OO") == "confirm_delete"
    assert house.panel.rows[:2] == ["契約番号と使用履歴", "未報告の値も消えます"]
    assert await house.press("OO") == "flow"
    assert [get(device, field) for field in (0x11, 0x12, 0x13, 0x14, 0x21)] == [None] * 5
    assert house.panel.rows[0][:1] == "√" and house.panel.selected == 1
    assert house.rig.events()[-2:] == ["delete", "purged"]


async def test_r13_s2_wrong_id_and_wrong_password_look_the_same():
    seen = []
    for user_id, password in (("12345679", PASSWORD), (ID, "87654322"), ("12345679", "87654322")):
        house = House(w0=w0_of(user_id, password).hex())
        assert await house.press(IN) == "failed"
        assert house.panel.rows[-1] == "あと4回入力できます"
        seen.append(house.pictures)
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0]) > 20


async def test_r13_each_failure_takes_longer_and_the_last_locks():
    house = House()
    delays = []
    for left in (4, 3, 2, 1):
        before_ms = house.rig.ms
        assert await house.press(WRONG) == "failed"
        delays.append(house.rig.ms - before_ms)
        assert house.panel.rows[-1] == "あと%d回入力できます" % left
        await house.press("B")
    assert await house.press(WRONG) == "locked"
    assert delays == [0, 1000, 2000, 4000]
    assert await house.press("O") == "idle"
    assert house.panel.rows[2] == "ロック中"
    assert await house.press("O") == "locked"


async def test_r16_idle_ends_the_session_and_keys_put_that_off():
    house = House()
    await house.press(IN)
    house.pass_s(settings.SESSION_IDLE_MS // 1000 - 1)
    assert await house.press("D") == "menu"
    house.pass_s(settings.SESSION_IDLE_MS // 1000 - 1)
    assert house.panel.name == "menu"
    house.pass_s(1)
    assert house.panel.name == "ended"
    assert house.panel.rows[0] == "操作がないため"
    house.pass_s(10)
    assert house.panel.name == "idle"


async def test_r16_revocation_replacement_and_tamper_end_the_session_at_once():
    for happen, first in (
        (lambda rig: rig.acquisition.revoke(settings.ISSUER_CONNECTION, 1), "PPSが取り消したため"),
        (lambda rig: rig.acquisition.accept(message(2), settings.ISSUER_CONNECTION), "新しいIDが届いたため"),
        (lambda rig: rig.detection.latch("vault_seal"), "異常を検出したため"),
    ):
        house = House()
        await house.press(IN + "O")
        happen(house.rig)
        house.panel.tick()
        assert house.panel.name == "ended"
        assert house.panel.rows[0] == first
    house.pass_s(11)
    assert house.panel.name == "tampered"
    assert await house.press("O") == "tampered"


async def test_r8_expiry_ends_the_session():
    house = House(lifetime_s=60)
    await house.press(IN)
    house.pass_s(59)
    assert house.panel.name == "menu"
    house.pass_s(1)
    assert house.panel.name == "ended"
    assert house.panel.rows[0] == "期限が切れたため"
    house.pass_s(10)
    assert house.panel.rows[2] == "認証情報なし"


async def test_s19_recovery_by_keys():
    house = House({"recover": True})
    await house.press(IN + "OOOO" + "1OO" + "OB" + "BO")
    assert get(house.rig.device, 0x11) == "あ".encode()
    house.rig.detection.latch("vault_seal")
    house.pass_s(1)
    assert house.panel.name == "tampered"
    assert await house.press(IN) == "recover"
    assert await house.press("OO") == "result"
    assert get(house.rig.device, 0x11) is None
    assert await house.press("O") == "menu"
    assert await house.press("OOOO2OO") == "result"
    assert get(house.rig.device, 0x11) == "か".encode()


async def test_r17_the_language_outlives_a_restart():
    house = House()
    assert await house.press("*DO") == "idle"
    preferences = Preferences(house.rig.store.settings)
    preferences.start()
    assert preferences.language == 1
    assert house.panel.title == "Inkan module"
