"""Operation 1 by hand, as README tells it: clicks and typing in Chromium, nothing read but what is on screen.

The display is read from the canvas's pixels, ID and password from the technician's phone, host and code from the
console. Screenshots go to build/screenshots/.
"""

import io
import re
import time
from types import SimpleNamespace

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.house_runner import RunningHouse
from tools.font.reader import HEIGHT, ROW_TOPS, WIDTH, find, frame_columns, read_rows
from tools.setup import BUILD, ROOT
from tools.sim import typing

PICTURES = BUILD / "screenshots"
TIMEOUT_S = 30
SITE_NUMBER = ("01 1234 5678", "9012 3456 7890")  # as the display has it
PV_W = ("5500", "6600")
DARK = 130  # of 255: between the ink of the display and its ground
BLURRED_DOTS = 40  # of 8,192

# The display, the console and the story in words, and what is typed for a name.
ENGLISH = SimpleNamespace(
    idle="Inkan module", online="Network: OK",
    ready="Ready 23 h", factory="Ready now", chosen="Ready 1 h", tries="4 tries",
    ask_id="Enter ID (8 digits)", ask_password="Password (8 digits)", wrong="Log-in failed", left="Tries left: 3",
    menu="Change menu", customer="Customer", site="Generation site", capacity="Capacity", connection="Connection",
    name="Name", site_number="Site no.", pv="PV", change="Change", delete="Delete", change_it="Change it?",
    changed="Changed", delete_it="Delete it?", deleted="Deleted", unset="not set", all_of_it="Delete all of it",
    enrol="Enrol connection", code="Enrolment code", connect="Connect to it?", connected="Connected",
    over="Session over", revoked="The PPS revoked the ID", found="Tampering was found", locked="Locked",
    tampered="Tampering", altered="Information altered", recovery_ready="Recovery ID is ready", recovery="Recovery",
    wipe="Wipe it?", wiped="All is wiped", old="Old records put back", other_idle="情報モジュール",
    typed=((("**2*66R66", "Ann"), ("****0555", "Ann L"), ("*33R33R", "Ann Lee")), (("**22*666R", "Bo"),)),
    issue="Issue a credential", everything="Everything", do_issue="Issue", revoke="Revoke", offer="Offer a code",
    recover="Recovery after tamper", alarm_tamper="Tampering detected", alarm_rollback="State stepped back",
    audit="Audit trail", acknowledge="Acknowledge", password="Password", generation="Generation",
    image_taken="Image taken", generation_number=r"generation (\d+)",
)  # fmt: skip
JAPANESE = SimpleNamespace(
    idle="情報モジュール", online="通信 正常",
    ready="受付中 残23時間", factory="受付中 期限なし", chosen="受付中 残1時間", tries="4回",
    ask_id="IDを入力(8桁)", ask_password="パスワード(8桁)", wrong="認証できません", left="あと3回入力できます",
    menu="変更メニュー", customer="お客さま情報", site="発電場所", capacity="設備の容量", connection="接続先",
    name="氏名", site_number="識別番号", pv="太陽光", change="変更する", delete="削除する", change_it="変更しますか",
    changed="変更しました", delete_it="削除しますか", deleted="削除しました", unset="未登録", all_of_it="まとめて削除",
    enrol="接続先を登録", code="登録コード", connect="登録しますか", connected="登録しました",
    over="操作終了", revoked="PPSが取り消したため", found="異常を検出したため", locked="ロックしたため",
    tampered="異常検出", altered="固有情報の改ざん", recovery_ready="復旧用IDを受付中", recovery="復旧",
    wipe="消去しますか", wiped="すべて消去しました", old="古い記録への差し替え", other_idle="Inkan module",
    typed=(((typing.kana("やまだ") + "R", "やまだ"),), ((typing.kana("すずき") + "R", "すずき"),)),
    issue="認証情報を発行", everything="すべて", do_issue="発行する", revoke="失効させる", offer="登録コードを発行",
    recover="改ざんからの復旧", alarm_tamper="改ざんを検知しました", alarm_rollback="状態が巻き戻されました",
    audit="監査記録", acknowledge="確認済みにする", password="パスワード", generation="世代",
    image_taken="イメージを取りました", generation_number=r"第(\d+)世代",
)  # fmt: skip
WORDS = {"en": ENGLISH, "ja": JAPANESE}
# How long a letter can turn is a promise to quick fingers, and no busy machine's: here a key ends it, and nothing else.
EDITOR = "firmware/panel/editor.py"
TURNS = "_TURN_MS = const(1500)"
LATIN = {"2": "abc", "3": "def", "4": "ghi", "5": "jkl", "6": "mno", "7": "pqrs", "8": "tuv", "9": "wxyz"}
KEYBOARD = {"O": "Enter", "B": "Backspace", "U": "ArrowUp", "D": "ArrowDown", "L": "ArrowLeft", "R": "ArrowRight"}

# The canvas's dots as text (a character a byte), once they are other than those noted; null when that takes too long.
NOTE_FRAME = "() => { window.noted = house.lcdFrame(); return String.fromCharCode(...window.noted); }"
NEXT_FRAME = """(timeout_ms) => new Promise((resolve) => {
  const canvas = document.querySelector("#lcd");
  const end = (frame) => {
    canvas.removeEventListener("drawn", look);
    clearTimeout(timer);
    resolve(frame);
  };
  const look = () => {
    const frame = house.lcdFrame();
    if (frame.some((byte, at) => byte !== window.noted[at])) {
      window.noted = frame;
      end(String.fromCharCode(...frame));
    }
  };
  const timer = setTimeout(end, timeout_ms, null);
  canvas.addEventListener("drawn", look);
  look();
})"""
# In the page, which may be scrolled.
PLACE_OF_DISPLAY = """() => {
  const place = document.querySelector("#lcd").getBoundingClientRect();
  return [place.left + scrollX, place.top + scrollY, place.width, place.height];
}"""


class Person:
    """Somebody before the house's page, with the console in another tab. `frame`: the display as it was seen last."""

    def __init__(self, context, url, language):
        self.words = WORDS[language]
        self.language = language
        self.house = context.new_page()
        self.console = None
        self.frame = None
        self._pictures = 0
        self.house.goto(url)

    # The display and its keys

    def look(self):
        """See the display as it is."""
        self.frame = self.house.evaluate(NOTE_FRAME).encode("latin-1")

    def look_again(self):
        """Wait until it shows anything else than when it was seen last."""
        frame = self.house.evaluate(NEXT_FRAME, TIMEOUT_S * 1000)
        assert frame is not None, "the display does not change:\n" + self.rows()
        self.frame = frame.encode("latin-1")

    def rows(self):
        """What was seen last, as text."""
        return "\n".join(read_rows(self.frame))

    def see(self, *texts):
        """Wait until the display shows all of the texts."""
        end = time.monotonic() + TIMEOUT_S
        self.look()
        while not all(find(self.frame, text) for text in texts):
            assert time.monotonic() < end, f"not {texts}, but:\n{self.rows()}"
            self.look_again()

    def press(self, keys):
        """Click keys, each after the display has answered the one before."""
        for key in keys:
            self.look()
            self.house.click(f"[data-key='{key}']")
            self.look_again()

    def type(self, keys):
        """Type on the computer's own keyboard, without a look at the display; the module keeps up with a dozen keys."""
        assert len(keys) <= 12
        for key in keys:
            self.house.keyboard.press(KEYBOARD.get(key, key))

    def spell(self, parts):
        """Type a text: keys, and what of it is on the display once they are taken, part by part."""
        for keys, text in parts:
            self.type(keys)
            self.see(text)

    def choose(self, text, arrow="D"):
        """Go down a list, or up, to the row that begins with the text, and press OK."""
        while not self.selected():  # the screen before is still there
            self.look_again()
        for _ in range(12):
            before = self.selected()
            if before.lstrip("→").startswith(text):
                self.press("O")
                return
            self.press(arrow)
            while self.selected() in ("", before):
                self.look_again()
        raise AssertionError(f"no {text} in this list:\n{self.rows()}")

    def selected(self):
        """The inverse row of a list."""
        columns = frame_columns(self.frame)
        for row in range(1, 4):
            if sum((column >> ROW_TOPS[row] & 0xFFF).bit_count() for column in columns) > WIDTH * 6:
                return read_rows(self.frame)[row]
        return ""

    def row(self, text):
        """What stands behind a text on the display."""
        return next(row.partition(text)[2].strip() for row in read_rows(self.frame) if text in row)

    # The page

    def at_house(self):
        self.house.bring_to_front()

    def do(self, selector):
        self.house.click(selector)

    def ticked(self, *steps):
        """Wait until these steps of the story have their tick."""
        for step in steps:
            self.house.wait_for_selector(f"#story li.done:nth-child({step})")

    def letter(self, number):
        """ID and password from the phone, once that many messages have come."""
        expect(self.house.locator("#letters li")).to_have_count(number)
        text = self.house.inner_text("#letters li:first-child")
        return re.search(r"ID: (\d{8})", text)[1], re.search(self.words.password + r": (\d{8})", text)[1]

    def picture(self, name, page=None):
        """A screenshot of all of a page; of the house's page, its display must be legible."""
        page = page or self.house
        PICTURES.mkdir(parents=True, exist_ok=True)
        self._pictures += 1
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the window"
        path = PICTURES / f"story-{self.language}-{self._pictures:02d}-{name}.png"
        if page is not self.house:
            page.screenshot(path=path, full_page=True)
            return
        before = None
        while before != self.frame:  # it may have changed meanwhile
            self.look()
            before = self.frame
            data = page.screenshot(path=path, full_page=True)
            self.look()
        shown, meant = frame_columns(self._display_in(data)), frame_columns(self.frame)
        assert sum((one ^ other).bit_count() for one, other in zip(shown, meant, strict=True)) < BLURRED_DOTS

    def _display_in(self, screenshot):
        """The display from a screenshot of the whole page, dot by dot."""
        left, top, width, height = self.house.evaluate(PLACE_OF_DISPLAY)
        with Image.open(io.BytesIO(screenshot)) as image:
            grey = image.convert("L").resize(
                (WIDTH, HEIGHT), Image.Resampling.BOX, (left, top, left + width, top + height)
            )
        return grey.point(lambda brightness: 255 * (brightness < DARK))

    # The console

    def open_console(self):
        """From the house's page, with the login that it shows."""
        with self.house.context.expect_page() as opened:
            self.house.click("#link-console")
        self.console = opened.value
        self.console.fill("#name", self.house.inner_text("#operator-name"))
        self.console.fill("#password", self.house.inner_text("#operator-password"))
        self.console.press("#password", "Enter")
        expect(self.console.locator("#head")).to_be_visible()

    def at_console(self):
        self.console.bring_to_front()

    def issue(self, task, **limits):
        """Issue a credential for a task, with other limits than those proposed."""
        self.at_console()
        self.console.click("a.button.primary[href*='/issue']")
        if task:
            self.console.click(f"nav.tabs a:text-is('{task}')")
        for name, value in limits.items():
            self.console.fill(f"#{name}", value)
        self.console.fill("#recipient", "technician@example.com")

    def send(self):
        self.console.click("#issue-form button.primary")
        self.console.click("main a.button.primary")  # back to the module

    # What takes several keys

    def log_in(self, user_id, password):
        self.type("O")
        self.see(self.words.ask_id)
        self.type(user_id)
        self.see(" ".join((user_id[:4], user_id[4:])))
        self.press("O")
        self.see(self.words.ask_password)
        self.type(password)
        self.press("O")

    def open_editor(self, group, field):
        """From the menu."""
        for text in (group, field):
            self.choose(text)
        self.press("O")
        self.choose(self.words.change)

    def confirm(self, question, answer):
        self.see(question)
        self.press("O")
        self.see(answer)

    def back_to_menu(self):
        """From the result of a change."""
        self.press("OB")
        self.see(self.words.menu)


@pytest.fixture(params=["en", "ja"])
def person(request, browser, tmp_path):
    """A new house and somebody before it; whatever the browser complains about fails the test."""
    editor = (ROOT / EDITOR).read_text()
    assert TURNS in editor
    overlay = {EDITOR: editor.replace(TURNS, "_TURN_MS = const(600_000)")}
    with RunningHouse(tmp_path / "house", overlay) as running:
        context = browser.new_context(
            locale=request.param, viewport={"width": 1440, "height": 900}, reduced_motion="reduce"
        )
        complaints = []
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        yield Person(context, running.page.url, request.param)
        context.close()
        assert complaints == []


def test_r29_the_story_of_readme_by_hand(person):
    """README, "The story, by hand"."""
    begin(person)
    issue_and_revoke(person)
    secrets = issue(person)
    read_and_type(person, secrets)
    change(person)
    enrol(person)
    delete(person)
    cut_the_power(person, secrets)
    switch_language(person)
    generation = flip_a_bit(person, secrets)
    recover(person)
    play_an_old_image_back(person, generation)
    person.at_house()
    steps = person.house.locator("#story li")
    left = [number for number in range(steps.count()) if "done" not in steps.nth(number).get_attribute("class")]
    assert left == [6, 7]  # those by phone, tests/test_house_phone.py


def begin(person):
    """The display in one's own language."""
    words = person.words
    if person.language == "en":
        person.see(words.other_idle)
        person.type("*DO")
    person.see(words.idle, words.online)


def issue_and_revoke(person):
    """A credential for little, that is taken back."""
    words = person.words
    person.open_console()
    person.issue(None)
    person.send()
    person.at_house()
    person.letter(1)
    person.see(words.ready)
    person.ticked(1, 2)
    person.at_console()
    person.console.click(f"summary:text-is('{words.revoke}')")
    person.console.click(f"button.danger:text-is('{words.revoke}')")
    person.console.wait_for_selector(".revocation .chip.good")
    person.at_house()
    person.see(words.factory)


def issue(person):
    """Step 1 and 2: a credential for everything, with limits of one's own; ID and password from the phone."""
    person.issue(person.words.everything, max_successes="4", max_failures="4", max_changes="12", lifetime="2")
    person.picture("issue", person.console)
    person.send()
    person.at_house()
    secrets = person.letter(2)
    person.see(person.words.chosen, person.words.tries)
    person.picture("issued")
    return secrets


def read_and_type(person, secrets):
    """Step 3: wrong once, then right."""
    words = person.words
    user_id, password = secrets
    wrong = password[:-1] + str((int(password[-1]) + 1) % 10)
    person.log_in(user_id, wrong)
    person.see(words.wrong, words.left)
    person.press("B")
    person.see(words.idle)
    person.log_in(user_id, password)
    person.see(words.menu)
    person.ticked(3)


def change(person):
    """Step 4: a text, a number, the site number."""
    words = person.words
    name = words.typed[0][-1][1]
    person.open_editor(words.customer, words.name)
    person.spell(words.typed[0])
    person.picture("typing")
    person.press("O")
    person.confirm(words.change_it, words.changed)
    person.ticked(4)
    person.press("O")
    person.see(name)
    person.press("B")
    person.open_editor(words.capacity, words.pv)
    person.type(PV_W[0] + "O")
    person.confirm(words.change_it, words.changed)
    person.back_to_menu()
    person.open_editor(words.site, words.site_number)
    for row in SITE_NUMBER:
        person.type(row.replace(" ", ""))
        person.see(row)
    person.press("O")
    person.confirm(words.change_it, words.changed)
    person.back_to_menu()


def enrol(person):
    """Step 4: a connection, by host and code."""
    words = person.words
    person.at_console()
    person.console.click(f"button:text-is('{words.offer}')")
    person.picture("code", person.console)
    host = person.console.inner_text("#enrol-host")
    groups = person.console.locator("#enrol-code span").all_inner_texts()
    person.console.click("main a.button.primary")
    person.at_house()
    person.choose(words.connection)
    person.choose(words.enrol, "U")
    person.spell(host_parts(host))
    person.press("O")
    person.see(words.code)
    for row in (" ".join(groups[:3]), " ".join(groups[3:])):
        person.type(row.replace(" ", ""))
        person.see(row)
    person.press("O")
    person.confirm(words.connect, words.connected)
    person.ticked(5)
    person.back_to_menu()


def host_parts(host):
    """What `spell` takes for a host, from small letters on: `*` leads to digits and back, `#` to . - :"""
    parts, keys, mode = [], "", "a"
    for at, character in enumerate(host):
        wanted = "1" if character.isdigit() else "a" if character.isalpha() else mode
        keys += "*" * (wanted != mode)
        mode = wanted
        if character.isalpha():
            key, letters = next((key, letters) for key, letters in LATIN.items() if character in letters)
            keys += "R" * keys.endswith(key) + key * (letters.index(character) + 1)
        else:
            keys += character if character.isdigit() else "#" * (".-:".index(character) + 1)
        if len(keys) > 6 or at == len(host) - 1:
            parts.append((keys, host[: at + 1]))
            keys = "R" * character.isalpha()
    return parts


def delete(person):
    """Step 5: a field, then a group."""
    words = person.words
    person.choose(words.site)
    person.choose(words.site_number)
    person.press("O")
    person.choose(words.delete)
    person.confirm(words.delete_it, words.deleted)
    person.ticked(6)
    person.press("O")
    person.see(words.site_number, words.unset)
    person.press("B")
    person.choose(words.customer)
    person.choose(words.all_of_it, "U")
    person.confirm(words.delete_it, words.deleted)
    person.press("O")
    person.see(words.menu)


def cut_the_power(person, secrets):
    """Step 6: in the middle of a write."""
    words = person.words
    person.open_editor(words.capacity, words.pv)
    person.type("D" * len(PV_W[0]) + PV_W[1] + "O")
    person.see(words.change_it)
    person.do("#do-cut")
    person.house.wait_for_selector("#do-cut.armed")
    person.do("[data-key='O']")
    person.house.wait_for_selector("#breaker[aria-pressed='false']")
    person.ticked(9)
    person.do("#do-power")
    person.see(words.idle, words.chosen)
    person.log_in(*secrets)
    person.see(words.menu)
    person.choose(words.capacity)
    person.see(words.pv)
    assert person.row(words.pv) in [f"{int(value):,} W" for value in PV_W]
    person.picture("old-or-new")
    person.press("B")
    person.press("*")
    person.see(words.over, words.locked)
    person.press("O")
    person.see(words.idle)


def switch_language(person):
    """The display in the other language, and back."""
    there, back = ("U", "D") if person.language == "en" else ("D", "U")
    person.press("*" + there + "O")
    person.see(person.words.other_idle)
    person.press("*" + back + "O")
    person.see(person.words.idle)


def flip_a_bit(person, secrets):
    """Step 7: found at the next read; at the display, and as an alarm. Returns an earlier image's generation."""
    words = person.words
    person.log_in(*secrets)
    person.see(words.menu)
    person.do("[data-do='take_image']")
    expect(person.house.locator("#do-play-back")).to_be_enabled()
    taken = person.house.locator("#log li.hard", has_text=words.image_taken).inner_text()
    person.do("#do-flip")
    person.ticked(10)
    person.press("O")
    person.see(words.over, words.found)
    person.press("O")
    person.see(words.tampered, words.altered)
    person.ticked(11)
    person.picture("tampered")
    person.at_console()
    expect(person.console.locator(".alarm", has_text=words.alarm_tamper)).to_be_visible()
    person.picture("alarm", person.console)
    return int(re.search(words.generation_number, taken)[1])


def recover(person):
    """Step 7: wipe, enter anew."""
    words = person.words
    person.issue(None)
    assert person.console.inner_text("nav.tabs a[aria-current]") == words.recover
    person.picture("issue-recover", person.console)
    person.send()
    person.at_house()
    secrets = person.letter(3)
    person.see(words.recovery_ready)
    person.log_in(*secrets)
    person.see(words.recovery)
    person.press("O")
    person.confirm(words.wipe, words.wiped)
    person.ticked(12)
    person.press("O")
    person.see(words.menu)
    person.open_editor(words.customer, words.name)
    person.spell(words.typed[1])
    person.press("O")
    person.confirm(words.change_it, words.changed)
    person.picture("recovered")
    person.back_to_menu()
    person.press("*")
    person.see(words.over, words.locked)
    person.press("O")
    person.see(words.idle)
    person.at_console()
    person.console.click(f".alarm button:text-is('{words.acknowledge}')")
    person.console.wait_for_selector("#past-alarms")


def play_an_old_image_back(person, generation):
    """Step 8: found, because the server knows of a later one than that of the image."""
    words = person.words
    person.console.wait_for_function(
        "([name, old]) => [...document.querySelectorAll('#state dt')].some((term) => "
        "term.textContent === name && Number(term.nextElementSibling.textContent) > old)",
        arg=[words.generation, generation],
    )
    person.at_house()
    person.do("#do-play-back")
    person.see(words.tampered, words.old)
    person.ticked(13)
    person.picture("old-image")
    person.at_console()
    expect(person.console.locator(".alarm", has_text=words.alarm_rollback)).to_be_visible()
    person.picture("rollback", person.console)
    person.console.click(f"nav a:text-is('{words.audit}')")
    person.picture("audit", person.console)
