"""R5, R15, S20: guided flows by keys alone on what is flashed, in the microcontroller's heap, judged by the flash."""

import asyncio

import pytest

from tools.font.reader import find
from tools.pps.services.credentials import Scope
from tools.sim import typing
from tools.sim.entered import enter
from tools.sim.evidence import Evidence, found_in, key_fits
from tools.sim.house import SERIAL, House, area_of

pytestmark = pytest.mark.asyncio

TIMEOUT_S = 60  # the machine may be busy
FORMER = {0x11: b"Former Resident", 0x12: b"1112222", 0x13: b"Former Address 9-8-7", 0x14: b"FORMER-14"}
# The contract number was entered under another CA than the connection's.
ANOTHER_PPS = {0x02: bytes(8), 0x31: b"0312345678901234567890"}
NAME = "すずき"
# What a credential of the procedures new_pps and new_resident together allows; nothing is to be seen.
SCOPE = Scope(change=("customer", "connection"), delete=("customer", "usage_history"))


class Person:
    """Whoever stands at the module: presses keys, and goes on when a text stands there."""

    def __init__(self, house):
        self._module = house.module

    async def see(self, *texts):
        for text in texts:
            await self._module.wait_text(text, TIMEOUT_S)

    def sees(self, text):
        return find(self._module.frame(), text) is not None

    async def press(self, keys, *texts):
        await self._module.type(keys)
        await self.see(*texts)

    async def log_in(self, credential):
        await self.see("受付中")
        await self.press("O", "IDを入力")
        await self.press(credential.id + "O", "パスワード")
        await self.press(credential.password + "O", "変更メニュー", "→手順で進める")

    async def enter(self, keys, *texts):
        """The step that is due: input, its confirmation, its result; back in the flow."""
        await self.press("O" + keys + "O", "変更しますか")
        await self.press("O", "変更しました")
        await self.press("O", *texts)


def customer(image):
    return [image.field(name) for name in ("customer_name", "postal_code", "address", "contract_number")]


async def test_r15_s20_new_pps_and_new_resident_by_keys_and_on_after_a_cut(tmp_path):
    async with House(tmp_path, heap="128wK") as house:
        await house.start(fresh=True, power=False)
        enter(house, {**FORMER, **ANOTHER_PPS})
        await house.power_on()
        evidence, person = Evidence(house), Person(house)
        before = evidence.flash()
        issued = await asyncio.to_thread(house.server.issue_credential, SERIAL, scope=SCOPE)
        await person.log_in(issued)

        # Another PPS: the contract number goes with the connection, in one commit, and is entered anew.
        await person.press("UO", "手順の案内", "入居者の交代", "PPSの変更")
        await person.press("DO", "□新しい接続先の登録", "0/2")
        code = await asyncio.to_thread(house.server.offer_enrolment, SERIAL)
        await person.press("O" + typing.host(house.server.enrol_host.replace("localhost", "127.0.0.1")) + "O")
        await person.press(code + "O", "登録しますか")
        await person.press("DD", "別のPPSなら契約番号は")
        assert evidence.flash().field("private_key") == before.field("private_key")
        await person.press("O", "登録しました")
        image = evidence.flash()
        assert image.seals_hold and key_fits(image.field("private_key"), image.field("module_certificate"))
        assert image.field("private_key") != before.field("private_key")
        assert customer(image) == [*customer(before)[:3], None]
        await person.press("O", "√新しい接続先の登録", "1/2")
        await person.enter("77", "完了")
        assert evidence.flash().field("contract_number") == "77"

        # Another resident: nothing of the former one is left, then the power goes while the next step is written.
        await person.press("B" + "U" + "O", "□お客さま情報の削除", "0/5")
        await person.press("O", "契約番号と使用履歴")
        async with asyncio.timeout(TIMEOUT_S):
            while person.sees("未報告の値も"):  # only until the server was asked what it has
                await person.press("BO", "契約番号と使用履歴")
        await person.press("O", "削除しました")
        image = evidence.flash()
        assert image.seals_hold and customer(image) == [None] * 4 and image.field("readings_key") is None
        assert not found_in(image, set(FORMER.values()))
        await person.press("O", "√お客さま情報の削除", "1/5")
        await person.press("O" + typing.kana(NAME) + "O", "変更しますか")
        vault = [sector for sector in range(house.flash.size // house.flash.sector_size) if area_of(sector) == "vault"]
        house.flash.cut_in("program", vault, ("bytes", 40, 0x0F))
        pressing = asyncio.ensure_future(house.module.press("O"))
        await house.module.wait_power_loss(TIMEOUT_S)
        await asyncio.gather(pressing, return_exceptions=True)

        # It goes on where it was.
        await house.power_on()
        await person.log_in(issued)
        assert evidence.flash().seals_hold and customer(evidence.flash()) == [None] * 4
        await person.press("UO" + "O", "√お客さま情報の削除", "□氏名", "1/5")
        await person.enter(typing.kana(NAME), "2/5")
        await person.enter("6008001", "3/5")
        await person.enter("****" + "6008", "4/5")
        assert evidence.flash().field("readings_key") is None  # nothing is measured for anybody yet
        await person.enter("88", "完了")
        image = evidence.flash()
        assert image.seals_hold and customer(image) == [NAME, "6008001", "6008", "88"]
        assert len(image.field("readings_key")) == 64
        await person.press("BB*", "操作終了")
        assert not [line for line in house.module.output if "failed" in line or "MemoryError" in line]
