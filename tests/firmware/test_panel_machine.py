"""The panel's state machine: every screen is reached by keys, and leads where docs/panel.md says and nowhere else."""

from panel_fakes import Rig
from panel_scenes import CODE, FLOWS, IN

from firmware import unique_info
from firmware.errors import StoreError, TamperError
from firmware.panel import screens, screens_flows, screens_session
from firmware.panel.canvas import Canvas
from firmware.panel.glyphs import GlyphFile
from firmware.panel.machine import EDITOR, Panel

INTERPRETERS = ("micropython",)  # what draws needs framebuf
TIMEOUT_S = 300
# What it has walked, and a collection of the garbage of thousands of panels, which is faster when it is rare.
HEAP = {"test_r14_every_screen_and_every_step_of_the_document_is_reached_and_no_other": "2M"}

IN_SESSION = set(screens_session.SCREENS) | set(screens_flows.SCREENS) | {"enrolling"}
HOME = ("idle", "tampered")


class Walked(Panel):
    """Notes each step from screen to screen, and does not draw."""

    def go(self, name):
        self.trail.add((self.name, name))
        super().go(name)
        assert self.title or self.name != name, name
        assert self.rows or self.name != name, name

    def refresh(self):
        pass


def walked(canvas, steps, options):
    rig = Rig(canvas, panel=Walked, **options)
    rig.panel.trail = steps
    return rig


class Stage:
    """A house to walk in: what is not in order there, keys that lead to where the walk begins, and how far it goes.

    The walk begins in a session where the keys begin with `IN`; elsewhere it does not go into one.
    """

    def __init__(self, start="", depth=99, prepare=None, **options):
        self.inside = start[: len(IN)] == IN
        self.start = start[len(IN) :] if self.inside else start
        self.depth = depth
        self.prepare = prepare
        self.options = options


def one_bad_read(rig):
    rig.session.view_error = TamperError("vault_seal")


def unwritable(rig):
    rig.preferences.error = StoreError()


STAGES = [
    Stage(),
    Stage(IN),
    Stage("O12345678O", 3, answers=("wrong", "wrong")),
    Stage("O12345678O", 3, failures_left=1, answers=("wrong",)),
    Stage("", 4, tamper="vault_seal", failures_left=0),
    Stage("", 5, tamper="vault_seal", recovering=True),
    Stage(IN, 4, tamper="vault_seal", recovering=True),
    Stage(IN, 4, tamper="vault_seal", recovering=True, session_error=StoreError()),
    Stage(IN, 2, tamper="vault_seal", recovering=True, changes_left=0),
    Stage("O12345678O87654321O", 1, hold="check"),
    Stage(IN + "DDDDO", 2, prepare=one_bad_read),
    Stage(IN + "DO", 2, changes_left=0, values={0x21: "stored"}),
    Stage(IN + "O", 4, changes_left=0),
    Stage(IN + "O", 5, values={}),
    Stage(IN + "DO", 4, values={0x21: "stored"}, session_error=StoreError()),
    Stage(IN + "OOOO1O", 3, session_error=StoreError()),
    Stage("*", 2, prepare=unwritable),
]
for _state in ("idle", "busy", "no_time", "locked"):
    STAGES.append(Stage("", 3, state=_state, failures_left=0))
for _code in ("no_credential", "no_time", "busy", "locked", "tampered", "delayed", "flash"):
    STAGES.append(Stage("O12345678O", 3, answers=(_code,)))
_HOST = "DDDDOUUO" + "7R7R7777#5R7" + "O"
STAGES.append(Stage(IN + _HOST + CODE + "OO", 2, hold="enrol"))
STAGES.append(Stage(IN + _HOST + CODE + "OO", 2, enrol_error="dns"))
STAGES.append(Stage(IN + _HOST + CODE + "O", 2, session_error=StoreError()))
# Flows; elsewhere the walk ends where they begin.
STAGES.append(Stage(FLOWS, 2))
STAGES.append(Stage(FLOWS, 2, prepare=one_bad_read))
STAGES.append(Stage(FLOWS + "OO", 1))
STAGES.append(Stage(FLOWS + "OOO", 1))
for _typed in ("", "1B"):
    STAGES.append(Stage(FLOWS + "OO" + _typed, 1, values={0x13: "1"}))
STAGES.append(Stage(FLOWS + "DOO", 1))
STAGES.append(Stage(FLOWS + "DOO7R7R7777#5R7O" + CODE + "OO", 1, enrol_error="dns"))
STAGES.append(Stage(FLOWS + "DDOO", 1))
STAGES.append(Stage(FLOWS + "DDDO", 2, changes_left=0))
STAGES.append(Stage(FLOWS + "DDDOO", 1))

# One step of a walk; in an editor also whole inputs.
MOVES = ("O", "B", "U", "D", "*", "#", ".", "!", "Ox", "t", "c", "T")
INPUTS = ("1", "12345678", "7R7R7777#5R7", CODE, "DDDDDDDDDDDDDDDDDDDDDD")


async def play(rig, move):
    """A move: keys; else what happens around the panel."""
    control = rig.control
    if move == "!":
        if rig.panel.session:
            rig.session.end("idle")
        rig.panel.tick()
    elif move == "Ox":  # the session ends between the key and what it starts
        rig.panel.press("O")
        if rig.panel.session and rig.panel.name == "working":
            rig.session.end("revoked")
    elif move == "t":  # tamper is found, or was cleared
        control.tamper = None if control.tamper else "clock_chain"
        control.state = "tampered" if control.tamper else "waiting"
        rig.wait_ms(1000)
    elif move == "c":  # what was waited for has come
        if not control.tamper:
            control.state = "waiting"
            control.failures_left = 5
        rig.wait_ms(1000)
    elif move == "T":
        rig.wait_ms(61_000)
    else:
        await rig.play(move)
    await rig.settle()


def place(rig):
    """What tells one state from another, as far as it matters for what follows."""
    panel = rig.panel
    written = ""
    if panel.kind == EDITOR:
        editor = panel.editor
        written = (
            not editor.text,
            editor.text == (panel.old or ""),
            editor.text == "pps.jp",
            getattr(editor, "full", None),
        )
    field = getattr(panel, "field", 0)
    kind = unique_info.FIELDS[field][1] if field else None
    if panel.name in ("invalid", "discard"):
        written = panel.input
    flow = (panel.after == "flow" or panel.name == "flow") and (panel.flow, panel.due)
    return panel.name, panel.selected, kind, getattr(panel, "group", 0), written, flow


async def walk(canvas, steps, stage):
    """Every state that keys reach from the stage's start, breadth first."""
    seen = set()
    paths = [()]
    while paths:
        path = paths.pop(0)
        rig = walked(canvas, steps, stage.options)
        if stage.prepare:
            stage.prepare(rig)
        rig.panel.start()
        if stage.inside:
            rig.panel.name = ""
            rig.panel.open(rig.session)
        await rig.play(stage.start)
        for move in path:
            await play(rig, move)
        here = place(rig)
        if here in seen:
            continue
        seen.add(here)
        if rig.panel.name == "flows" and FLOWS[len(IN) :] not in stage.start:
            continue
        if len(path) < stage.depth and (stage.inside or rig.panel.name not in IN_SESSION):
            moves = MOVES + INPUTS if rig.panel.kind == EDITOR else MOVES
            paths += [path + (move,) for move in moves]


def documented():
    """Steps by the table of docs/panel.md."""
    steps = set()
    names = set()
    with open("docs/panel.md") as file:
        lines = file.read().split("## Screens")[1].split("\n## ")[0].split("\n")
    for line in lines:
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 6 or cells[1][:1] != "`":
            continue
        name = cells[1].strip("`")
        names.add(name)
        for target in cells[4].split("`")[1::2]:
            steps.add((name, target))
        if "menu" in names:
            steps.add((name, "ended"))
    return names, steps


def simplified(steps):
    """Home screens as the document names them."""
    out = set()
    for before, after in steps:
        if before and before != after:
            out.add((before, "home" if after in HOME and before not in HOME else after))
    return out


async def test_r14_every_screen_and_every_step_of_the_document_is_reached_and_no_other():
    canvas = Canvas(GlyphFile("build/font/glyphs12.bin").open())
    names, steps = documented()
    assert names == set(screens.SCREENS) | IN_SESSION
    found = set()
    for stage in STAGES:
        await walk(canvas, found, stage)
    found = simplified(found)
    print("not in the document:", sorted(found - steps))
    print("in the document, but not reached:", sorted(steps - found))
    assert found == steps
