"""Every screen with the shortest and the longest that it can show, and how keys lead there.

`micropython -m panel_scenes LANGUAGE` prints a line for each: SCREEN-LANGUAGE-VARIANT, whether anything was cut off
on the way there, frame in hex. LANGUAGE is ja, en or both, for what is shown in both at once.
"""

import asyncio

from panel_fakes import LONG, SHORT, Rig

from firmware.panel.canvas import Canvas
from firmware.panel.glyphs import GlyphFile
from firmware.panel.notice import show_unprovisioned

LANGUAGES = ("ja", "en")
FEW = {"values": SHORT}
MANY = {
    "values": LONG,
    "serial": "INK-0123456789-ABCDEFGHIJKLMNOPQ",
    "failures_left": 100,
    "seconds_left": 364 * 86_400,
    "changes_left": 1000,
    "generation": 4_294_967_000,
    "digits": 16,
    "link": "tls_ca",
    "unreported": 99_999,
}
NOTHING = {"values": {}}

ID = "12345678"
IN = "O" + ID + "O87654321O"
FLOWS = IN + "UO"
IN_LONG = "O" + ID + "O8765432187654321O"
# Presses that lead from the menu to a field, and on.
NAME = "OO"
POSTAL = "ODO"
ADDRESS = "ODDO"
CONTRACT = "ODDDO"
SITE = "DDOO"
PV = "DDDOO"
BATTERY = "DDDODO"
CONNECTION = "DDDDO"
CODE = "12345678901234567894"

SCENES = []


def scene(screen, variant, options, actions):
    SCENES.append((screen, variant, options, actions))


def both(screen, actions, few=FEW, many=MANY, many_actions=None):
    scene(screen, "short", few, actions)
    scene(screen, "long", many, actions if many_actions is None else many_actions)


def changed(options, **more):
    options = dict(options)
    options.update(more)
    return options


def build():
    both("idle", "")
    for state in ("idle", "busy", "no_time", "locked"):
        options = {"state": state, "failures_left": 0}
        if state == "no_time":
            options.update({"now_s": None, "link": None})
        if state == "busy":
            options["link"] = "connect"
        scene("idle", state, options, "")
    scene("idle", "no_limit", {"seconds_left": None, "failures_left": 100, "link": "status"}, "")
    scene("idle", "minutes", {"seconds_left": 3_599, "failures_left": 100}, "")
    tamper = {"tamper": "vault_seal", "failures_left": 0}
    both("tampered", "", tamper, changed(MANY, tamper="vault_rollback", failures_left=0))
    scene("tampered", "recover", changed(tamper, failures_left=5), "")
    both("info", "#", FEW, changed(MANY, tamper="vault_rollback"))
    for variant, actions in (("middle", "DDDDD"), ("more", "DDDDDDDD"), ("end", "D" * 20)):
        scene("info", variant, changed(MANY, tamper="vault_rollback"), "#" + actions)
    both("language", "*")
    for state in ("idle", "no_time", "locked", "busy"):
        both("no_credential" if state == "idle" else state, "O", {"state": state}, changed(MANY, state=state))
    both("id", "O", many_actions="O" + ID)
    both("password", "O" + ID + "O", many_actions="O" + ID + "O8765432187654321")
    scene("password", "masked", FEW, "O" + ID + "O8765.")
    both("wait", IN + ".", changed(FEW, hold="check"), changed(MANY, hold="check", delay_ms=60_000), IN_LONG)
    both("failed", IN, {"answers": ("wrong",)}, changed(MANY, answers=("wrong",), failures_left=101), IN_LONG)
    both("ended", IN + "!", many_actions=IN_LONG + "*")
    both("error", IN, {"answers": ("flash",)}, changed(MANY, changes_left=0), IN_LONG + NAME + "OO")
    both("menu", IN, many_actions=IN_LONG + "UU")
    scene("menu", "no_flows", {"change": (), "delete": (2,)}, IN)
    scene("menu", "first", FEW, IN + "U")
    both("flows", FLOWS, {"change": (4,)}, MANY, IN_LONG + "UOUU")
    both("flow", FLOWS + "O", {"change": (4,)}, MANY, IN_LONG + "UOO")
    scene("flow", "end", MANY, IN_LONG + "UOO" + "U")
    scene("flow", "pps", MANY, IN_LONG + "UODO")
    scene("flow", "moved", MANY, IN_LONG + "UODDO" + "#")
    scene("flow", "equipment", MANY, IN_LONG + "UODDDO" + "##")
    scene("flow", "done", FEW, FLOWS + "DDDO" + "###")
    scene("flow", "hidden", {"see": ()}, FLOWS + "DDO")
    both("leave", IN + "B", many_actions=IN_LONG + "B")
    both("group", IN + "O", NOTHING, MANY, IN_LONG + "O")
    scene("group", "connection", MANY, IN_LONG + CONNECTION)
    scene("group", "end", MANY, IN_LONG + CONNECTION + "U")
    scene("group", "capacity", MANY, IN_LONG + "DDDO")
    scene("group", "hidden", {"see": (), "delete": ()}, IN + "O")
    both("field", IN + NAME, NOTHING, MANY, IN_LONG + ADDRESS)
    scene("field", "end", MANY, IN_LONG + ADDRESS + "D" * 7)
    scene("field", "site", MANY, IN_LONG + SITE)
    scene("field", "postal", FEW, IN + POSTAL)
    scene("field", "number", MANY, IN_LONG + BATTERY)
    scene("field", "certificate", MANY, IN_LONG + CONNECTION + "DDO")
    scene("field", "key", MANY, IN_LONG + CONNECTION + "DDDDO")
    scene("field", "url", MANY, IN_LONG + CONNECTION + "O")
    both("action", IN + NAME + "O", NOTHING, MANY, IN_LONG + ADDRESS + "OD")
    both("usage", IN + "DO", NOTHING, MANY, IN_LONG + "DO")
    both("edit_text", IN + NAME + "OO", NOTHING, MANY, IN_LONG + ADDRESS + "OO")
    scene("edit_text", "turning", NOTHING, IN + NAME + "OO" + "7R1113R3#2R2#")
    scene("edit_text", "katakana", NOTHING, IN + NAME + "OO*" + "4#R0" + "6#")
    scene("edit_text", "latin", FEW, IN + ADDRESS + "OO***222")
    scene("edit_text", "code", MANY, IN_LONG + CONTRACT + "OOLLLL*")
    both("edit_digits", IN + POSTAL + "OO", NOTHING, MANY, IN_LONG + SITE + "OOLLLLLL")
    scene("edit_digits", "part", NOTHING, IN + SITE + "OO" + "03001234567890")
    both("edit_number", IN + PV + "OO", NOTHING, MANY, IN_LONG + BATTERY + "OO")
    both("invalid", IN + NAME + "OOO", NOTHING, MANY, IN_LONG + BATTERY + "OODDDDDDD0O")
    both("discard", IN + NAME + "OO1B", NOTHING, MANY, IN_LONG + ADDRESS + "OODB")
    both("confirm_change", IN + NAME + "OO1O", NOTHING, MANY, IN_LONG + ADDRESS + "OODO")
    scene("confirm_change", "site", MANY, IN_LONG + SITE + "OOLL55O")
    scene("confirm_change", "number", {"values": {0x41: "4950"}}, IN + PV + "OODD99O")
    both("confirm_delete", IN + NAME + "ODO", FEW, MANY, IN_LONG + "OUO")
    scene("confirm_delete", "end", MANY, IN_LONG + "OUO" + "DDD")
    scene("confirm_delete", "usage", MANY, IN_LONG + "DOO")
    scene("confirm_delete", "unknown", changed(MANY, unreported=None), IN_LONG + "OUO")
    scene("confirm_delete", "contract", changed(MANY, unreported=48), IN_LONG + CONTRACT + "ODO")
    scene("confirm_delete", "reported", changed(MANY, unreported=0), IN_LONG + CONTRACT + "ODO")
    scene("confirm_delete", "left", {"values": {0x11: "1", 0x21: "stored"}}, FLOWS + "OUUO")
    scene("confirm_delete", "connection", MANY, IN_LONG + CONNECTION + "UO")
    both("working", IN + NAME + "OO1OO,", NOTHING, MANY, IN_LONG + ADDRESS + "OODOO,")
    both("result", IN + NAME + "OO1OO", NOTHING, MANY, IN_LONG + CONNECTION + "UOO")
    to_host = CONNECTION + "UUO"
    both("enrol_host", IN + CONNECTION + "UO", NOTHING, MANY, IN_LONG + to_host + "*" + "1" * 92)
    to_code = "7R7R7777#5R7O"  # pps.jp
    both("enrol_code", IN + CONNECTION + "UO" + to_code, NOTHING, MANY, IN_LONG + to_host + to_code + CODE)
    both(
        "confirm_enrol",
        IN + CONNECTION + "UO" + to_code + CODE + "O",
        NOTHING,
        MANY,
        IN_LONG + to_host + "*" + "1" * 61 + "*#" + "2R" * 30 + "O" + CODE + "O",
    )
    for variant, unreported in (("some", 48), ("none", 0), ("unknown", None)):
        options = changed(FEW, unreported=unreported)
        scene("confirm_enrol", variant, options, IN + CONNECTION + "UUO" + to_code + CODE + "O" + "DDDDDD")
    scene("confirm_enrol", "first", changed(FEW, unreported=48), IN + CONNECTION + "UUO" + to_code + CODE + "O")
    last = IN + CONNECTION + "UO" + to_code + CODE + "OO"
    last_long = IN_LONG + to_host + to_code + CODE + "OO"
    both("enrolling", last + ".", changed(NOTHING, hold="enrol"), changed(MANY, hold="enrol"), last_long + ".")
    both(
        "enrol_failed",
        last,
        changed(NOTHING, enrol_error="dns"),
        changed(MANY, enrol_error="code_refused"),
        last_long,
    )
    recovering = {"tamper": "vault_seal", "recovering": True}
    both("recover", IN, recovering, changed(MANY, tamper="vault_rollback", recovering=True), IN_LONG)
    both("confirm_wipe", IN + "O", recovering, changed(MANY, tamper="vault_rollback", recovering=True), IN_LONG + "O")


async def render(language):
    build()
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())
    for screen, variant, options, actions in SCENES:
        rig = Rig(canvas, language, **options)
        rig.panel.start()
        await rig.play(actions)
        assert rig.panel.name == screen, (screen, variant, rig.panel.name)
        print("%s-%s-%s" % (screen, LANGUAGES[language], variant), int(rig.cut_off), rig.frame.hex())


def render_notices():
    """What a module says that has no panel yet, in both languages at once."""
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())
    for tamper in (None, "root_mismatch"):
        show_unprovisioned(canvas, tamper)
        print("notice-both-%s" % (tamper or "unprovisioned"), int(canvas.overflowed), canvas.buffer.hex())


def main(language):
    if language in LANGUAGES:
        asyncio.run(render(LANGUAGES.index(language)))
    else:
        render_notices()
