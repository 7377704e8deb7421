"""R8, R13 to R17: what the panel does with keys and time.

The units are stand-ins here; test_panel_units.py has the real ones.
"""

import asyncio
import gc
import sys

from panel_fakes import ALL, LONG, NOON_S, SHORT, Rig
from panel_scenes import CODE, FLOWS, ID, IN

from firmware import settings
from firmware.errors import LinkError, SessionError, StoreError
from firmware.panel.canvas import Canvas
from firmware.panel.glyphs import GlyphFile
from firmware.panel.screens import date_text
from firmware.panel.screens_session import luhn_holds
from tests.dual import raises

INTERPRETERS = ("micropython",)  # what draws needs framebuf

HOST = "DDDDOUUO" + "7R7R7777#5R7" + "O"  # from the menu to the enrolment code


async def rig_at(keys="", **options):
    rig = Rig(Canvas(GlyphFile("build/font/glyphs12.bin").open()), **options)
    rig.panel.start()
    await rig.play(keys)
    return rig


# Authentication


async def test_r14_id_and_password_go_to_the_control_unit_as_typed():
    rig = await rig_at("O12D3456789O8765432D21O")
    assert rig.control.asked == [(settings.DOOR_KEYPAD, "13456789", "87654321")]
    assert rig.panel.name == "menu"
    assert rig.panel.session is rig.session


async def test_r14_longer_passwords_are_asked_for_in_full():
    rig = await rig_at("O" + ID + "O" + "1" * 11 + "O", digits=12)
    assert rig.panel.name == "password"
    await rig.play("1O")
    assert rig.control.asked[0][2] == "1" * 12
    rig = await rig_at("O" + ID + "O" + "1" * 10 + "O", digits=10)
    assert rig.control.asked[0][2] == "1" * 10


async def test_r14_ok_waits_for_all_digits_and_back_keeps_the_id():
    rig = await rig_at("O1234567O")
    assert rig.panel.name == "id"
    await rig.play("8O87B")
    assert rig.panel.name == "id"
    assert rig.panel.editor.text == ID
    await rig.play("B")
    assert rig.panel.name == "idle"
    assert rig.control.asked == []


async def test_r14_nothing_typed_is_kept():
    rig = await rig_at(IN, answers=("wrong",))
    panel = rig.panel
    assert panel.name == "failed"
    assert (panel.user_id, panel.editor) == ("", None)
    await rig.play("O")
    assert panel.editor.text == ""
    await rig.play(ID + "O8765")
    rig.wait_ms(settings.PANEL_ENTRY_MS - 250)
    assert panel.name == "password"
    rig.wait_ms(250)
    assert panel.name == "idle"
    assert (panel.user_id, panel.editor) == ("", None)


async def test_r13_keys_do_nothing_while_it_is_checked():
    rig = await rig_at(IN, hold="check")
    for key in "OBUDLR*#0":
        rig.panel.press(key)
    assert rig.panel.name == "wait"
    rig.control.let_on = True
    await rig.settle()
    assert rig.panel.name == "menu"
    assert len(rig.control.asked) == 1


async def test_r13_the_growing_delay_counts_down_before_the_check():
    rig = await rig_at("O" + ID + "O87654321O,", delay_ms=4000)
    seen = []
    for left_ms in (4000, 2999, 1000, 1, 0):
        rig.control.delay_ms = left_ms
        rig.wait_ms(1000)
        seen.append(rig.panel.rows[0])
    assert seen == [
        "確認まで あと4秒",
        "確認まで あと3秒",
        "確認まで あと1秒",
        "確認まで あと1秒",
        "確認しています",
    ]


async def test_r13_the_last_failure_leads_to_the_locked_screen():
    rig = await rig_at(IN, answers=("wrong",), failures_left=1)
    assert rig.panel.name == "locked"
    rig = await rig_at(IN, answers=("wrong",), failures_left=2)
    assert rig.panel.name == "failed"
    assert "1" in "".join(rig.panel.rows)


async def test_r14_a_password_never_stands_on_the_screen_in_full():
    rig = await rig_at("O" + ID + "O")
    drawn = []
    text = rig.panel.canvas.text

    def noted(row, x, string, inverse=False):
        drawn.append(string)
        return text(row, x, string, inverse)

    rig.panel.canvas.text = noted
    for key in "87654321":
        drawn.clear()
        rig.panel.press(key)
        assert [x for x in drawn if len(x) == 1 and x.isdigit()] == [key]
    drawn.clear()
    rig.wait_ms(1000)
    assert drawn and not [x for x in drawn if x.isdigit()]


# Home


async def test_r14_home_follows_the_units():
    rig = await rig_at("", state="idle", failures_left=0, now_s=None, link=None)
    frames = rig.frames
    assert rig.panel.rows == ("INK-00000001", "通信 未接続", "認証情報なし")
    rig.link = "online"
    rig.time.now_s = NOON_S
    rig.control.state = "waiting"
    rig.control.failures_left = 5
    rig.wait_ms(1000)
    assert rig.panel.rows == ("INK-00000001", "通信 正常", "受付中 残23時間 5回")
    assert rig.frames == frames + 1
    rig.control.tamper, rig.control.state = "vault_seal", "tampered"
    rig.wait_ms(1000)
    assert rig.panel.name == "tampered"
    rig.control.tamper, rig.control.state = None, "waiting"
    rig.wait_ms(1000)
    assert rig.panel.name == "idle"


async def test_r14_remaining_time_is_told_in_its_largest_units():
    rig = await rig_at("")
    for seconds, text in (
        (None, "期限なし"),
        (365 * 86_400, "残365日"),
        (2 * 86_400, "残2日"),
        (2 * 86_400 - 1, "残47時間"),
        (3_600, "残1時間"),
        (3_599, "残59分"),
        (59, "残0分"),
    ):
        rig.control.seconds_left = seconds
        rig.wait_ms(1000)
        assert rig.panel.rows[2] == "受付中 %s 5回" % text


async def test_r14_the_date_is_that_of_the_place():
    rig = await rig_at("")
    for seconds, text in (
        (0, "2000-01-01 9:00"),
        (54_000 - 1, "2000-01-01 23:59"),
        (54_000, "2000-01-02 0:00"),
        (59 * 86_400 - 32_400, "2000-02-29 0:00"),
        (60 * 86_400 - 32_400, "2000-03-01 0:00"),
        (366 * 86_400 - 32_401, "2000-12-31 23:59"),
        (366 * 86_400 - 32_400, "2001-01-01 0:00"),
        (NOON_S, "2026-12-01 12:00"),
        (10_958 * 86_400 - 32_400, "2030-01-01 0:00"),
    ):
        rig.time.now_s = seconds - rig.time.ms // 1000
        rig.panel.look()
        assert date_text(rig.panel) == text
    rig.time.now_s = None
    rig.panel.look()
    assert date_text(rig.panel) == "未取得"


async def test_r14_a_message_goes_when_what_it_waits_for_has_come():
    for state, name in (("idle", "no_credential"), ("no_time", "no_time"), ("locked", "locked"), ("busy", "busy")):
        rig = await rig_at("O", state=state, failures_left=0)
        rig.wait_ms(3000)
        assert rig.panel.name == name
        rig.control.state = "waiting"
        rig.wait_ms(1000)
        assert rig.panel.name == "idle"


async def test_r27_nothing_is_drawn_or_kept_while_nothing_changes():
    rig = await rig_at("")
    for _ in range(8):
        rig.wait_ms(1000)
    frames = rig.frames
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    for _ in range(40):
        rig.time.ms = 20_000  # the look of a second, without the stand-ins' own time
        rig.panel._polled_at = 0
        rig.panel.tick()
    used = gc.mem_alloc() - before
    gc.enable()
    assert rig.frames == frames
    # The status tuple is what a look costs.
    assert used <= 40 * 192, used


async def test_r27_flash_that_fails_leaves_the_status_on_the_screen():
    rig = await rig_at("")

    def failing(door=None):
        raise StoreError()

    rig.control.status = failing
    rig.wait_ms(2000)
    assert rig.panel.name == "idle"


# Languages


async def test_r17_the_language_is_chosen_kept_and_the_other_one_not_in_memory():
    rig = await rig_at("*DO")
    assert rig.panel.name == "idle"
    assert rig.preferences.saved == [1]
    assert rig.panel.title == "Inkan module"
    await rig.play("*")
    assert rig.panel.selected == 1
    await rig.play("UB")
    assert rig.panel.title == "Inkan module"
    await rig.play("*UO")
    assert rig.preferences.saved == [1, 0]
    assert rig.panel.title == "情報モジュール"
    assert not [name for name in sys.modules if "strings_" in name]
    rig = await rig_at("", language=1)
    assert rig.panel.title == "Inkan module"


async def test_r17_a_language_that_cannot_be_saved_is_shown_all_the_same():
    rig = await rig_at("*")
    rig.preferences.error = StoreError()
    await rig.play("DO")
    assert rig.panel.name == "error"
    await rig.play("O")
    assert (rig.panel.name, rig.panel.title) == ("idle", "Inkan module")


# Sessions


async def test_r16_every_key_touches_the_session_and_nothing_else_does():
    rig = await rig_at(IN)
    before = rig.session.touched
    await rig.play("DUDOBUB")
    assert rig.session.touched == before + 7
    rig.wait_ms(5000)
    assert rig.session.touched == before + 7


async def test_r16_a_session_that_is_over_is_not_touched_again():
    rig = await rig_at(IN + "O")
    rig.session.ended = "idle"  # nobody has told the panel yet
    before = rig.session.touched
    await rig.play("O")
    assert rig.panel.name == "ended"
    assert rig.session.touched == before


async def test_r16_the_screen_says_why_and_then_goes_home():
    for reason, text in (
        ("idle", "操作がないため"),
        ("lock", "ロックしたため"),
        ("expired", "期限が切れたため"),
        ("revoked", "PPSが取り消したため"),
        ("replaced", "新しいIDが届いたため"),
        ("tampered", "異常を検出したため"),
    ):
        rig = await rig_at(IN + "OOO")
        rig.session.end(reason)
        rig.wait_ms(250)
        assert rig.panel.name == "ended"
        assert rig.panel.rows[0] == text
        assert rig.panel.session is None
        rig.wait_ms(settings.PANEL_ENDED_MS - 250)
        assert rig.panel.name == "ended"
        rig.wait_ms(250)
        assert rig.panel.name == "idle"


async def test_r16_star_locks_and_who_ends_goes_home_at_once():
    rig = await rig_at(IN + "*")
    assert rig.session.ended == "lock"
    assert rig.panel.name == "ended"
    rig = await rig_at(IN + "BO")
    assert rig.session.ended == "done"
    assert rig.panel.name == "idle"


async def test_r16_what_was_read_and_typed_is_forgotten():
    rig = await rig_at(IN + "OOOO1O")
    panel = rig.panel
    assert (panel.old, panel.value) == ("林", "林あ")
    rig.session.end("idle")
    rig.wait_ms(250)
    assert (panel.old, panel.value, panel.editor, panel.host, panel.code) == (None, None, None, "", "")


async def test_r11_only_what_the_scope_allows_is_offered():
    rig = await rig_at(IN, see=(3,), change=(3, 5), delete=(1,))
    panel = rig.panel
    assert panel.choices == [1, 3, 5]
    await rig.play("O")  # delete only
    assert panel.rows[0] == "氏名     非表示"
    assert panel.choices[4:] == ["delete"]
    await rig.play("O")
    assert panel.choices == ["delete"]
    await rig.play("BBDO")  # see and change
    assert panel.choices == [0x31]
    await rig.play("O")
    assert panel.choices == ["change"]
    await rig.play("BBDO")  # connection, change only
    assert panel.choices == [0x51, 0x52, 0x53, 0x54, 0x55, 0x56, "enrol"]
    await rig.play("O")
    assert panel.choices == []
    await rig.play("O")
    assert panel.name == "field"


async def test_r11_what_may_not_be_seen_is_not_in_its_editor():
    rig = await rig_at(IN + "OOOO", see=())
    assert rig.panel.editor.text == ""
    await rig.play("1O")
    assert rig.panel.rows == ["新:あ", "旧:非表示"]
    await rig.play("O")
    assert rig.session.values[0x11] == "あ"


async def test_r4_a_key_is_never_shown():
    rig = await rig_at(IN + "DDDDO", values=LONG)
    panel = rig.panel
    keys = [row for row in panel.rows if row[:3] == "秘密鍵"]
    assert keys == ["秘密鍵   保存済み"]
    await rig.play("DDDDO")
    assert panel.rows == ["保存済み", "(表示できません)"]


async def test_r15_a_change_is_shown_confirmed_and_asked_for_once():
    rig = await rig_at(IN + "OOOO1O")
    assert rig.panel.rows == ["新:林あ", "旧:林"]
    assert rig.session.asked == []
    await rig.play("O")
    assert rig.session.asked == [("change", 1, 7, {0x11: "林あ"})]
    assert rig.panel.name == "result"
    assert rig.panel.rows == ["変更しました", "版数 8", "変更はあと19回"]
    await rig.play("O")
    assert rig.panel.name == "group"
    assert rig.panel.rows[0] == "氏名     林あ"
    await rig.play("DOOO2")
    assert rig.panel.editor.text == "1000001"  # all seven are there: the key went nowhere
    await rig.play("L2OO")
    assert rig.session.asked[1] == ("change", 2, 8, {0x12: "1000002"})


async def test_r15_every_field_can_be_changed():
    for keys, field, value in (
        ("OOOO" + "1", 0x11, "林あ"),
        ("ODOOO" + "DDDDDDD9876543", 0x12, "9876543"),
        ("ODDOOO" + "****5", 0x13, "津5"),
        ("ODDDOOO" + "*2", 0x14, "7A"),
        ("DDOOOO" + "LL99", 0x31, "0100000000000000000099"),
        ("DDDOOOO" + "234", 0x41, "1234"),
        ("DDDODOOO" + "0", 0x42, "10"),
        ("DDDODDOOO" + "D5000000", 0x43, "5000000"),
    ):
        rig = await rig_at(IN + keys + "OO")
        assert rig.session.asked == [("change", 1, 7, {field: value})], (keys, rig.panel.name)
        assert rig.panel.name == "result"


async def test_r15_an_unset_field_can_be_set():
    rig = await rig_at(IN + "DDDOOO", values={})
    await rig.play("O" + "5500OO")
    assert rig.session.asked == [("change", 1, 7, {0x41: "5500"})]


async def test_r1_bad_input_is_told_and_can_be_corrected():
    for keys, rows in (
        ("OOOODO", ["入力がありません", "消すには「削除」を", "選んでください"]),
        ("ODOOODO", ["桁が足りません", "7桁すべて", "入力してください"]),
        ("DDOOOOLLLLLLLLLLLLLLLLLLLLLL99O", ["先頭2桁は01〜10です", "番号を", "確認してください"]),
        ("DDDOOOOD0O", ["1から", "999,999までの", "数を入力してください"]),
        ("DDDOOOODO", ["入力がありません", "消すには「削除」を", "選んでください"]),
    ):
        rig = await rig_at(IN + keys)
        assert rig.panel.name == "invalid", keys
        assert rig.panel.rows == rows
        written = rig.panel.editor.text
        await rig.play("O")
        assert rig.panel.editor.text == written
        assert rig.session.asked == []


async def test_r15_input_is_thrown_away_only_when_told_so():
    rig = await rig_at(IN + "OOOO1BB")
    assert rig.panel.name == "edit_text"
    assert rig.panel.editor.text == "林あ"
    await rig.play("BO")
    assert rig.panel.name == "field"
    assert rig.panel.rows == ["林"]
    await rig.play("OOB")
    assert rig.panel.name == "field"  # nothing was typed
    await rig.play("OOO")
    assert rig.panel.name == "field"  # and the same value is no change
    assert rig.session.asked == []


async def test_r15_delete_names_what_goes_and_deletes_that():
    rig = await rig_at(IN + "OOODO")
    assert rig.panel.rows == ["お客さまの氏名を", "削除します", "元に戻せません"]
    await rig.play("O")
    assert rig.session.asked == [("delete", 1, 7, (1, [0x11]))]
    await rig.play("OUO")  # the group's last entry
    assert rig.panel.rows == ["削除すると戻せません", "郵便番号 住所", "契約番号"]
    await rig.play("O")
    assert rig.session.asked[1] == ("delete", 2, 8, (1, None))
    await rig.play("O")
    assert rig.panel.name == "menu"
    rig = await rig_at(IN + "DOO", values={0x21: "stored"})
    assert rig.panel.rows == ["使用履歴をすべて削除", "未報告の値も消えます", "元に戻せません"]
    await rig.play("O")
    assert rig.session.asked == [("delete", 1, 7, (2, None))]


async def test_r15_what_is_not_there_is_not_offered_for_deletion():
    rig = await rig_at(IN + "O", values={})
    assert "delete" not in rig.panel.choices
    await rig.play("O")
    assert rig.panel.choices == ["change"]
    await rig.play("BBDOO")
    assert rig.panel.name == "usage"


async def test_r8_without_changes_left_nothing_is_typed_in_vain():
    for keys in ("OOOO", "OOODO", "OUO", "DOO", "DDDDOUUO"):
        rig = await rig_at(IN + keys, changes_left=0, values=LONG)
        assert rig.panel.name == "error", keys
        assert rig.panel.rows[0] == "変更回数の上限です"
        await rig.play("O")
        assert rig.panel.name in ("group", "menu")


async def test_s6_a_change_is_meant_for_the_version_that_was_seen():
    rig = await rig_at(IN + "OOOO1O")
    rig.session.generation = 9
    await rig.play("O")
    assert rig.session.asked == [("change", 1, 7, {0x11: "林あ"})]
    assert rig.panel.name == "error"
    assert rig.panel.rows[0] == "内容が変わりました"
    await rig.play("O")
    assert rig.panel.name == "group"
    await rig.play("OOO1OO")
    assert rig.session.asked[1] == ("change", 2, 9, {0x11: "林あ"})


async def test_r15_each_error_says_what_to_do():
    for error, first in (
        (SessionError("not_allowed"), "このIDでは"),
        (SessionError("used_up"), "変更回数の上限です"),
        (StoreError(), "保存できませんでした"),
        (LinkError("weird"), "エラーが起きました"),
    ):
        rig = await rig_at(IN + "OOOO1OO", session_error=error)
        assert rig.panel.name == "error"
        assert rig.panel.rows[0] == first
        assert len(rig.panel.rows) == 3
    assert rig.panel.rows[2] == "(weird)"


# Enrolment


async def test_r15_a_connection_is_typed_as_host_and_code():
    rig = await rig_at(IN + HOST + CODE + "O")
    assert rig.panel.rows[:2] == ["新:pps.jp", "旧:https://a.jp"]
    assert rig.enrol.asked == []
    await rig.play("O")
    assert rig.enrol.asked == [("pps.jp", CODE)]
    assert rig.session.asked == [("connection", 1, 7, {0x51: "https://pps.jp"})]
    assert rig.panel.rows[0] == "登録しました"
    assert (rig.panel.host, rig.panel.code) == ("", "")


async def test_sa_one_mistyped_digit_of_the_code_is_found_before_anything_is_sent():
    assert luhn_holds(CODE)
    for place in range(20):
        for digit in "0123456789":
            typed = CODE[:place] + digit + CODE[place + 1 :]
            assert luhn_holds(typed) == (typed == CODE)
    for typed, told in ((CODE[:19] + "5", "コードが違います"), (CODE[:19], "桁が足りません")):
        rig = await rig_at(IN + HOST + typed + "O")
        assert rig.panel.name == "invalid"
        assert rig.panel.rows[0] == told
        await rig.play("O")
        assert rig.panel.name == "enrol_code"
        assert rig.panel.editor.text == typed
        assert rig.enrol.asked == []


async def test_r15_host_and_code_are_there_again_after_a_failure():
    rig = await rig_at(IN + HOST + CODE + "OO", enrol_error="code_refused")
    assert rig.panel.name == "enrol_failed"
    assert rig.panel.rows == ["コードが無効です", "PPSに確認してください", "接続先は元のままです"]
    assert rig.session.asked == []
    await rig.play("O")
    assert rig.panel.editor.text == CODE
    await rig.play("B")
    assert rig.panel.editor.text == "pps.jp"


async def test_r16_a_session_that_ends_while_enrolling_changes_nothing():
    rig = await rig_at(IN + HOST + CODE + "OO", hold="enrol")
    assert rig.panel.name == "enrolling"
    rig.session.end("expired")
    rig.wait_ms(250)
    assert rig.panel.name == "ended"
    rig.enrol.let_on = True
    for _ in range(20):
        await asyncio.sleep(0)
    assert rig.panel.name == "ended"
    assert rig.session.asked == []


# Flows (docs/lifecycle.md)

FULL = dict(SHORT)
FULL[0x21] = "stored"


def marks(rig):
    return "".join([row[:1] for row in rig.panel.rows])


async def test_r11_only_flows_that_the_scope_has_everything_for_are_offered():
    for change, delete, flows in (
        (ALL, ALL, [0, 1, 2, 3]),
        ((1,), (1, 2), [0]),
        ((1,), (1,), []),
        ((1, 5), (), [1]),
        ((5,), ALL, []),
        ((1, 3), (), [2]),
        ((3,), ALL, []),
        ((4,), (), [3]),
    ):
        rig = await rig_at(IN, change=change, delete=delete)
        assert (rig.panel.choices[0] == 0) == bool(flows), change
        assert rig.panel.choices[rig.panel.selected] in (1, 3, 4, 5)  # keys lead where they lead without flows
        if flows:
            await rig.play("UO")
            assert rig.panel.choices == flows


async def test_r15_a_new_resident_step_by_step():
    rig = await rig_at(FLOWS + "O", values=FULL, unreported=48)
    assert rig.panel.rows[0] == "□お客さま情報の削除"
    assert (marks(rig), rig.panel.right) == ("□□□□□", "0/5")
    await rig.play("DDO")
    assert (rig.panel.name, rig.panel.selected) == ("flow", 0)  # not before what is due
    await rig.play("O")
    assert rig.panel.rows == ["契約番号と使用履歴", "未報告30分値 48件", "氏名 郵便番号 住所", "元に戻せません"]
    await rig.play("B")
    assert (rig.panel.name, rig.session.asked) == ("flow", [])
    await rig.play("OOO")
    assert rig.session.asked == [("delete", 1, 7, (1, None))]
    assert (rig.panel.name, marks(rig), rig.panel.selected) == ("flow", "√□□□□", 1)
    await rig.play("O1B")
    assert rig.panel.name == "discard"
    await rig.play("O")
    assert rig.panel.name == "flow"
    await rig.play("O1OOO")
    assert rig.session.asked[1] == ("change", 2, 8, {0x11: "あ"})
    assert (marks(rig), rig.panel.selected) == ("√√□□□", 2)
    await rig.play("O6008001OOO" + "O1OOO" + "O5OOO")
    assert [asked[3] for asked in rig.session.asked[2:]] == [{0x12: "6008001"}, {0x13: "あ"}, {0x14: "5"}]
    assert (marks(rig), rig.panel.right) == ("√√√√√", "完了")
    await rig.play("DO")  # to correct what is done
    assert (rig.panel.name, rig.panel.editor.text) == ("edit_text", "あ")
    await rig.play("OBB")
    assert rig.panel.name == "menu"


async def test_r15_a_flow_goes_on_where_another_session_left_it():
    for values, seen in (
        (SHORT, "□□□□□"),
        ({}, "√□□□□"),
        ({0x11: "林"}, "√√□□□"),
        ({0x11: "林", 0x13: "津"}, "√√□□□"),  # each after the one before it
        ({0x11: "林", 0x12: "6008001", 0x13: "津"}, "√√√√□"),
    ):
        for see in (ALL, ()):  # whoever may change need not see
            rig = await rig_at(FLOWS + "O", values=values, see=see)
            assert marks(rig) == seen, values
    for values, seen in (({0x14: "7"}, "□□"), ({}, "√□")):
        rig = await rig_at(FLOWS + "DO", values=values)
        assert marks(rig) == seen


async def test_r5_a_former_resident_without_an_address_is_cleared_first():
    for former in ({0x14: "7"}, {0x11: "林", 0x14: "7"}, {0x11: "林", 0x12: "6008001", 0x14: "7"}):
        rig = await rig_at(FLOWS + "O", values=former)
        assert (marks(rig), rig.panel.selected) == ("□□□□□", 0), former
        await rig.play("OOO")
        assert rig.session.asked == [("delete", 1, 7, (1, None))]
        assert (marks(rig), rig.panel.selected) == ("√□□□□", 1)


async def test_r5_who_looked_at_a_flow_has_cleared_nothing():
    rig = await rig_at(FLOWS + "O", values={0x11: "林"})  # there is no contract number just now
    assert marks(rig) == "√√□□□"
    await rig.play("BDOO5OOO")  # it comes with a new PPS
    assert marks(rig) == "√√"
    await rig.play("BUO")
    assert marks(rig) == "□□□□□"


async def test_s20_a_new_pps_step_by_step():
    rig = await rig_at(FLOWS + "DO" + "O" + "7R7R7777#5R7O" + CODE + "O", values=FULL, unreported=3)
    assert rig.panel.rows[2:] == ["別のPPSなら契約番号は", "消え、未報告の30分値", "3件は報告されません"]
    await rig.play("OO")
    assert rig.session.asked == [("connection", 1, 7, {0x51: "https://pps.jp"})]
    assert (rig.panel.name, marks(rig)) == ("flow", "√□")
    await rig.play("O5OOO")
    assert (marks(rig), rig.panel.right) == ("√√", "完了")
    rig = await rig_at(FLOWS + "DO" + "UO" + "7R7R7777#5R7O" + CODE + "O", values={})
    assert rig.panel.rows == ["新:pps.jp", "旧:未登録"]


async def test_r15_steps_that_do_not_apply_stay_as_they_are():
    rig = await rig_at(FLOWS + "DDDO" + "#", values=SHORT)
    assert (marks(rig), rig.panel.selected) == ("√□□", 1)
    await rig.play("DO0OOO")  # in any order
    assert rig.session.asked == [("change", 1, 7, {0x43: "10"})]
    assert (marks(rig), rig.panel.selected) == ("√□√", 1)
    await rig.play("#")
    assert (rig.panel.right, len(rig.session.asked)) == ("完了", 1)
    await rig.play("BUO")
    assert (rig.panel.name, marks(rig)) == ("flow", "□□□")  # another flow
    rig.session.end("idle")
    rig.wait_ms(250)
    await rig.play("O")
    rig.session.ended = None
    rig.panel.open(rig.session)
    await rig.play("UODDDO")
    assert marks(rig) == "□□□"  # and another session knows nothing of it
    rig = await rig_at(FLOWS + "O#", values=SHORT)
    assert marks(rig) == "□□□□□"  # a deletion cannot be passed over


async def test_r8_a_step_without_changes_left_leads_back_to_its_flow():
    rig = await rig_at(FLOWS + "OO", changes_left=0)
    assert rig.panel.rows[0] == "変更回数の上限です"
    await rig.play("O")
    assert rig.panel.name == "flow"


async def test_r5_a_deletion_says_that_the_usage_history_goes():
    for values, keys, unreported, rows in (
        (FULL, "OUO", None, ["契約番号と使用履歴", "未報告の値も消えます", "氏名 郵便番号 住所", "元に戻せません"]),
        (FULL, "ODDDOODO", 0, ["契約番号と使用履歴", "値はすべて報告済み", "元に戻せません"]),
        (FULL, "ODDDOODO", 5, ["契約番号と使用履歴", "未報告30分値 5件", "元に戻せません"]),
        (FULL, "OOODO", 5, ["お客さまの氏名を", "削除します", "元に戻せません"]),
        (FULL, "DOO", 5, ["使用履歴をすべて削除", "未報告30分値 5件", "元に戻せません"]),
        (SHORT, "ODDDOODO", 5, ["契約番号を", "削除します", "元に戻せません"]),
        ({0x11: "林", 0x21: "stored"}, "OUO", None, ["使用履歴", "未報告の値も消えます", "氏名", "元に戻せません"]),
    ):
        rig = await rig_at(IN + keys, values=values, unreported=unreported)
        assert (rig.panel.name, rig.panel.rows) == ("confirm_delete", rows), keys
    assert not rig.session.asked


async def test_r27_the_screens_of_flows_are_gone_with_the_session():
    rig = await rig_at(FLOWS + "O")
    assert "firmware.panel.screens_flows" in sys.modules
    rig.session.end("idle")
    rig.wait_ms(250)
    assert not [name for name in sys.modules if "screens_flows" in name or "screens_session" in name]


# Recovery


async def test_s19_recovery_wipes_and_leads_to_the_menu():
    rig = await rig_at(IN, tamper="vault_seal", recovering=True)
    assert rig.panel.name == "recover"
    await rig.play("OB")
    assert rig.session.asked == []
    await rig.play("OO")
    assert rig.session.asked == [("wipe", 0, 7, None)]
    assert rig.panel.rows[0] == "すべて消去しました"
    await rig.play("O")
    assert rig.panel.name == "menu"


# The task


async def test_r27_run_takes_keys_and_time_until_it_is_cancelled():
    rig = await rig_at("")
    task = asyncio.create_task(rig.panel.run())
    rig.keys += list("O" + ID)
    for _ in range(60):
        await asyncio.sleep(0)
    assert rig.panel.editor.text == ID
    assert rig.panel.name == "id"
    task.cancel()
    with raises(asyncio.CancelledError):
        await task
    rig.keys.append("O")
    for _ in range(10):
        await asyncio.sleep(0)
    assert rig.keys == ["O"]


async def test_r27_a_failing_part_ends_run_and_its_session_and_it_can_start_again():
    rig = await rig_at("")

    async def broken():
        raise OSError(5)

    next_key = rig.panel._next_key
    rig.keys += list(IN)
    task = asyncio.create_task(rig.panel.run())
    for _ in range(200):
        await asyncio.sleep(0)
    assert rig.panel.name == "menu"
    rig.panel._next_key = broken
    rig.keys.append("D")
    with raises(OSError):
        await task
    assert rig.session.ended == "lock"
    rig.panel._next_key = next_key
    task = asyncio.create_task(rig.panel.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert rig.panel.name == "idle"
    task.cancel()


async def test_r17_no_language_is_missing_a_group_of_fields():
    for language in (0, 1):
        rig = await rig_at("", language=language)
        for group in ALL:
            assert rig.panel.say("g%d" % group)
        for field in LONG:
            if field != 0x21:
                assert rig.panel.say("f%02x" % field) and rig.panel.say("t%02x" % field)
    assert set(SHORT) <= set(LONG)
