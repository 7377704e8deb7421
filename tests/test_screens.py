"""R14 to R17: every screen, in both languages, with the shortest and the longest that it can show, as a picture.

The pictures come from the panel's own code on MicroPython (tests/firmware/panel_scenes.py). `make golden` accepts them
as they are; `python -m tools.sim.contact_sheet` puts them on one page to look at.
"""

import re
import string
import subprocess
from functools import cache

import pytest
from PIL import Image

from firmware.panel import strings_en, strings_ja
from tests.on_micropython import command, environment
from tools.font import reader, source
from tools.setup import ROOT
from tools.sim.contact_sheet import CHOSEN, contact_sheet

GOLDEN = ROOT / "tests" / "golden"
LANGUAGES = ("ja", "en")


def printed_by(script, language):
    """Lines that a script of tests/firmware prints on MicroPython."""
    done = subprocess.run(
        command(script, language),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout.splitlines()


@cache
def frames_of(language):
    """{name: (cut off, frame)} of one language's screens."""
    lines = [line.split(" ") for line in printed_by("panel_scenes", language)]
    names = [name for name, _, _ in lines]
    assert len(names) == len(set(names)), "two scenes of one name"
    return {name: (cut == "1", bytes.fromhex(frame)) for name, cut, frame in lines}


def documented_screens():
    table = (ROOT / "docs" / "panel.md").read_text(encoding="utf-8").split("## Screens")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.fixture(scope="module", params=[*LANGUAGES, "both"])
def shown(request):
    return request.param, frames_of(request.param)


def test_r17_every_screen_looks_as_it_was_accepted(shown, golden, request):
    language, frames = shown
    differences = []
    for name, (_, frame) in frames.items():
        try:
            golden(name, reader.to_image(frame, lcd_colours=False))
        except pytest.fail.Exception as difference:
            differences.append(str(difference))
    assert not differences, "\n".join(differences)
    stored = {path.stem: path for path in GOLDEN.glob(f"*-{language}-*.png")}
    if request.config.getoption("--update-golden"):
        for name in stored.keys() - frames.keys():
            stored[name].unlink()
    else:
        assert stored.keys() == frames.keys()


def test_r17_nothing_is_cut_off_on_any_screen_or_on_the_way_to_it(shown):
    _, frames = shown
    assert [name for name, (cut_off, _) in frames.items() if cut_off] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_r17_nothing_is_cut_off_whatever_code_reason_or_limit_there_is_to_show(language):
    *cut, total = printed_by("panel_sweep", language)
    assert cut == []
    assert int(total.split()[0]) > 300


def test_r17_every_screen_is_there_with_its_shortest_and_its_longest(shown):
    language, frames = shown
    if language == "both":
        assert len(frames) == 2
        return
    wanted = {f"{screen}-{language}-{variant}" for screen in documented_screens() for variant in ("short", "long")}
    assert wanted - frames.keys() == set()
    assert {name.split("-")[0] for name in frames} == documented_screens()


def test_r17_no_character_is_missing_in_the_font(shown):
    for name, (_, frame) in shown[1].items():
        assert reader.NOT_IN_FONT not in "".join(reader.read_rows(frame)), name


def test_r14_the_pictures_say_what_they_should():
    frames = {name: frame for language in LANGUAGES for name, (_, frame) in frames_of(language).items()}
    for name, row, text in (
        ("idle-ja-short", 3, "受付中 残23時間 5回"),
        ("idle-en-no_time", 3, "No trusted time"),
        ("password-ja-long", 2, "**** **** **** ***1"),
        ("field-ja-site", 1, "10 9876 5432"),
        ("field-ja-site", 2, "1098 7654 3210"),
        ("field-en-certificate", 2, "0123 4567 89ab cdef"),
        ("confirm_change-ja-number", 1, "新:4,999 W"),
    ):
        assert reader.matches(frames[name], row, text), name
    for name, frame in frames.items():  # R4
        assert reader.find(frame, "8765432") is None or "password" not in name, name


def entries(module):
    lines = module.TABLE.strip("\n").split("\n")
    table = dict(line.split(" ", 1) for line in lines)
    assert len(table) == len(lines), "a key twice"
    return table


def test_r17_both_languages_have_the_same_texts_with_the_same_gaps():
    japanese, english = entries(strings_ja), entries(strings_en)
    assert japanese.keys() == english.keys()

    def gaps(text):
        return [(name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None]

    for key in japanese:
        assert gaps(japanese[key]) == gaps(english[key]), key
        assert japanese[key].strip() == japanese[key] and english[key].strip() == english[key], key


def test_r17_every_character_of_the_texts_and_of_the_keys_is_in_the_font():
    glyphs = source.load(reader.font_folder())
    editor = (ROOT / "firmware" / "panel" / "editor.py").read_text(encoding="utf-8")
    written = strings_ja.TABLE + strings_en.TABLE + "".join(re.findall(r'"([^"\n]*)"', editor))
    assert {x for x in written if x != "\n" and ord(x) not in glyphs} == set()


@pytest.mark.parametrize("name", CHOSEN)
def test_the_documents_show_the_screens_as_they_are(name):
    with Image.open(GOLDEN / f"{name}.png") as golden_picture:
        expected = reader.to_image(golden_picture, 4)
    with Image.open(ROOT / "docs" / "screens" / f"{name}.png") as shown_picture:
        found = shown_picture.convert("RGB")
    assert found.size == expected.size, "run `python -m tools.sim.contact_sheet --documents`"
    assert found.tobytes() == expected.tobytes(), "run `python -m tools.sim.contact_sheet --documents`"


def test_a_contact_sheet_shows_every_picture_it_is_given():
    lit = Image.new("1", (reader.WIDTH, reader.HEIGHT), 1)
    one, six = contact_sheet({"a": lit}), contact_sheet({str(number): lit for number in range(6)})
    dots = reader.to_image(lit, 3).getpixel((200, 100))
    lit_of_one, lit_of_six = (
        {colour: count for count, colour in sheet.getcolors(1 << 20)}[dots] for sheet in (one, six)
    )
    assert lit_of_six == 6 * lit_of_one == 6 * 9 * reader.WIDTH * reader.HEIGHT
