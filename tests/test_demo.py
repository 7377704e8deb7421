"""The demo is told the truth: it passes, and does not with the seal, the judgement or the erase broken on purpose."""

import json
import subprocess
import sys

import pytest

from tools.setup import ROOT
from tools.sim.narrator import DemoFailed, Narrator, box

# What is broken: file, what stands there, what stands there instead, chapters that show it, step that fails.
BROKEN = {
    "seal": (
        "firmware/store/slot.py",
        "if not verifier.matches(tag) or tag != self.tag:",
        "if False:",
        "factory,credential,authenticate,change,cut_while_writing,language,tamper",
        # A torn new version may be taken for a whole one, before any bit is flipped.
        ("The power goes while a new version is written", "One bit of the sealed information flips"),
    ),
    "judgement": (
        "firmware/control.py",
        'if constant_time_equal(w0_bytes(w0), credential.w0 or b""):',
        "if True:",
        "factory,credential,authenticate",
        "A wrong password",
    ),
    "erase": (
        "firmware/store/vault.py",
        "        old.erase_used()\n",
        "",
        "factory,credential,authenticate,change",
        "Customer name",
    ),
}


def run_demo(folder, *options):
    """(exit code, printed lines, steps of the JSON file)."""
    path = folder / "demo.json"
    command = [sys.executable, "-m", "tools.sim", "demo", "--folder", folder / "house", "--json", path, *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    steps = json.loads(path.read_text()) if path.exists() else []
    return done.returncode, done.stdout + done.stderr, steps


def test_r29_demo_passes(tmp_path):
    code, printed, steps = run_demo(tmp_path)
    assert code == 0, printed
    assert len(steps) == 19
    assert all(set(step) == {"step", "requirement", "ok"} for step in steps)
    assert all(step["ok"] is True for step in steps)
    claimed = {number for step in steps for number in step["requirement"].split()}
    assert claimed >= {f"R{number}" for number in (*range(1, 11), *range(13, 18), 26)}
    assert "やまだ" in printed and "Tampering" in printed


@pytest.mark.parametrize("what", BROKEN)
def test_r29_demo_fails_when_broken(tmp_path, what):
    name, good, bad, chapters, step = BROKEN[what]
    text = (ROOT / name).read_text()
    assert text.count(good) == 1
    path = tmp_path / "overlay" / name
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(good, bad))
    code, printed, steps = run_demo(
        tmp_path, "--overlay", tmp_path / "overlay", "--chapters", chapters, "--timeout", "8"
    )
    assert code == 1, printed
    assert [told["ok"] for told in steps] == [True] * (len(steps) - 1) + [False], printed
    assert steps[-1]["step"].startswith(step), printed


async def tell(path, *checks, write=lambda line: None):
    narrator = Narrator(path, write=write)
    for title, ok in checks:
        async with narrator.step(title, "R29") as step:
            if ok is not None:
                step.check("found", ok)


@pytest.mark.asyncio
async def test_step_without_evidence_is_not_ok(tmp_path):
    with pytest.raises(DemoFailed):
        await tell(tmp_path / "demo.json", ("nothing found out", None))
    assert json.loads((tmp_path / "demo.json").read_text())[0]["ok"] is False


@pytest.mark.asyncio
async def test_step_that_ends_in_an_error_is_told_and_not_ok(tmp_path):
    path = tmp_path / "demo.json"
    lines = []
    narrator = Narrator(path, write=lines.append)
    with pytest.raises(DemoFailed):
        async with narrator.step("waits", "R29") as step:
            step.check("found", True)
            raise TimeoutError("it did not show")
    assert any("it did not show" in line for line in lines)
    assert json.loads(path.read_text()) == [{"step": "waits", "requirement": "R29", "ok": False}]


def test_box_is_as_wide_in_every_line():
    lines = box(["情報モジュール▒▒▒▒13:18", "", "abc"])
    assert lines[1].startswith("│ 情報モジュール 13:18")
    assert len(lines) == 5
    assert len(lines[2]) == len(lines[3]) == len(lines[0])
