"""Staging: what is flashed is what the tree holds, compiled, and nothing else."""

import os
import subprocess
import sys

import pytest

from tools.setup import BUILD, ROOT
from tools.setup.stage import StageError, in_sources, rom_of, stage


@pytest.fixture
def a_tree(tmp_path):
    tree = tmp_path / "tree"
    (tree / "firmware" / "store").mkdir(parents=True)
    (tree / "main.py").write_text("from firmware.store import vault\nprint(vault.answer())\n")
    (tree / "firmware" / "__init__.py").touch()
    (tree / "firmware" / "store" / "__init__.py").touch()
    (tree / "firmware" / "store" / "vault.py").write_text("def answer():\n    return 42\n")
    (tree / "build" / "font").mkdir(parents=True)
    (tree / "build" / "font" / "glyphs12.bin").write_bytes(b"font")
    (tree / "tools").mkdir()
    (tree / "tools" / "never.py").touch()
    return tree


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


MOUNT = """
import vfs, sys
with open({!r}, "rb") as file:
    vfs.mount(vfs.VfsRom(file.read()), "/rom")
sys.path += ["/rom", "/rom/lib"]
import main
"""


def run_main(folder):
    """main.py of a staged folder, with the image mounted if there is one."""
    image = rom_of(folder)
    start = MOUNT.format(str(image)) if image.exists() else "import main"
    environment = {**os.environ, "MICROPYPATH": ":.frozen"}
    command = [BUILD / "bin" / "micropython", "-c", start]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_firmware_runs_from_the_rom_image(a_tree, tmp_path):
    out = stage(tmp_path / "out", a_tree)
    assert files_in(out) == ["glyphs12.bin", "main.py"]
    assert rom_of(out) == tmp_path / "out.romfs"
    assert run_main(out).stdout == "42\n"


def test_a_board_without_the_partition_gets_mpy_files(a_tree, tmp_path):
    stage(tmp_path / "out", a_tree)
    out = stage(tmp_path / "out", a_tree, form="mpy")
    assert not rom_of(out).exists()
    assert files_in(out) == [
        "firmware/__init__.mpy",
        "firmware/store/__init__.mpy",
        "firmware/store/vault.mpy",
        "glyphs12.bin",
        "main.py",
    ]
    assert run_main(out).stdout == "42\n"


def test_source_can_be_staged_instead(a_tree, tmp_path):
    out = stage(tmp_path / "out", a_tree, form="source")
    assert "firmware/store/vault.py" in files_in(out)
    assert run_main(out).stdout == "42\n"


def test_an_overlay_stands_in_for_files_of_the_tree(a_tree, tmp_path):
    broken = {"firmware/store/vault.py": "def answer():\n    return 'broken on purpose'\n"}
    out = stage(tmp_path / "out", a_tree, overlay=broken)
    assert run_main(out).stdout == "broken on purpose\n"
    stage(out, a_tree)
    assert run_main(out).stdout == "42\n"


def test_staging_again_writes_nothing_and_removes_what_went(a_tree, tmp_path):
    out = stage(tmp_path / "out", a_tree)
    rom = rom_of(out).stat().st_mtime_ns
    stage(out, a_tree)
    assert rom_of(out).stat().st_mtime_ns == rom
    stage(out, a_tree, form="mpy")
    before = {name: (out / name).stat().st_mtime_ns for name in files_in(out)}
    stage(out, a_tree, form="mpy")
    assert {name: (out / name).stat().st_mtime_ns for name in files_in(out)} == before
    (a_tree / "firmware" / "store" / "vault.py").unlink()
    stage(out, a_tree, form="mpy")
    assert set(before) - set(files_in(out)) == {"firmware/store/vault.mpy"}


def test_every_file_that_does_not_compile_is_named(a_tree, tmp_path):
    overlay = {"firmware/first.py": "def (:", "firmware/second.py": "x = = 1", "firmware/good.py": "x = 1"}
    with pytest.raises(StageError) as caught:
        stage(tmp_path / "out", a_tree, form="mpy", overlay=overlay)
    assert "firmware/first.py" in str(caught.value) and "firmware/second.py" in str(caught.value)
    assert "good" not in str(caught.value)
    assert "firmware/good.mpy" in files_in(tmp_path / "out")


def test_a_folder_with_other_peoples_files_is_left_alone(a_tree, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(StageError, match="name another folder"):
        stage(tmp_path / "mine", a_tree)
    assert files_in(tmp_path / "mine") == ["letter.txt"]


def test_an_error_on_the_module_names_file_and_line(a_tree, tmp_path):
    broken = {"firmware/store/vault.py": "def answer():\n    1 // 0\n"}
    out = stage(tmp_path / "out", a_tree, overlay=broken)
    assert 'File "firmware.store.vault", line 2' in run_main(out).stderr
    stage(out, a_tree, form="mpy", overlay=broken)
    assert 'File "firmware/store/vault.py", line 2' in run_main(out).stderr


def test_a_line_of_what_was_joined_is_found_in_its_source(a_tree, tmp_path):
    overlay = {
        "main.py": "from firmware.app import run\nrun()\n",
        "firmware/app.py": "from firmware.store.vault import answer\n\n\ndef run():\n    answer()\n",
        "firmware/store/vault.py": "def answer():\n    1 // 0\n",
    }
    out = stage(tmp_path / "out", a_tree, overlay=overlay)
    lines = run_main(out).stderr.splitlines()
    places = [in_sources(out, line).strip() for line in lines if "firmware" in line]
    assert places == ['File "firmware/app.py", line 5', 'File "firmware/store/vault.py", line 2']
    command = [sys.executable, "-m", "tools.setup.stage", out, "--trace"]
    done = subprocess.run(command, cwd=ROOT, input="\n".join(lines), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [in_sources(out, line) for line in lines]
    stage(out, a_tree, form="mpy", overlay=overlay)
    assert [in_sources(out, line) for line in lines] == lines


def test_the_tree_itself_compiles(tmp_path):
    out = stage(tmp_path / "out", ROOT)
    assert b"app.mpy" in rom_of(out).read_bytes()
