"""aioble from micropython-lib's index, or what stands in for it: what is pinned is taken, and nothing else."""

import ast
import contextlib
import hashlib
import http.server
import json
import threading

import pytest

from tools.setup import ROOT, SetupError, mip
from tools.setup.stage import StageError, stage

SOURCES = {
    "aioble/__init__.py": b"from .core import config\n",
    "aioble/core.py": b"def config():\n    return 1\n",
}
TAG = b"\n\n__version__ = '0.4.0'\n"


def digest(text):
    return hashlib.sha256(text).hexdigest()


@pytest.fixture
def lib(tmp_path, monkeypatch):
    """A lib/ with nothing but its lock."""
    monkeypatch.delenv("AIOBLE", raising=False)
    folder = tmp_path / "lib"
    folder.mkdir()
    lock = {"package": "aioble", "version": "1.2.3", "sha256": {path: digest(text) for path, text in SOURCES.items()}}
    (folder / "lock.json").write_text(json.dumps(lock))
    return folder


@contextlib.contextmanager
def index(files, described=None):
    """An index as mip takes it, with these files and one more; yields its address and what was asked for."""
    served = {f"/file/{digest(text)[:2]}/{digest(text)[:8]}": text for text in files.values()}
    if described is None:
        described = {"v": 1, "hashes": [[path, digest(text)[:8]] for path, text in files.items()], "version": "1.2.3"}
    served["/package/py/aioble/1.2.3.json"] = json.dumps(described).encode()
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path in served else 404)
            self.end_headers()
            self.wfile.write(served.get(self.path, b""))

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


TAGGED = {path: text + TAG for path, text in SOURCES.items()}
OTHERS = {"aioble/central.py": b"def scan(): pass\n" + TAG}


def test_pinned_files_are_taken_and_no_others(lib, tmp_path, capsys):
    with index({**TAGGED, **OTHERS}) as (address, asked):
        mip.ensure(address, lib, tmp_path)
        assert {path: (lib / path).read_bytes() for path in SOURCES} == TAGGED
        assert not (lib / "aioble" / "central.py").exists()
        assert mip.choose(lib) == (lib / "aioble", "aioble 1.2.3 of micropython-lib, in lib/")
        count = len(asked)
        mip.ensure(address, lib, tmp_path)
        assert len(asked) == count == 3, "what is there is not fetched again"
    assert "aioble 1.2.3 from http" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("files", "described", "why"),
    [
        ({**TAGGED, "aioble/core.py": b"import evil\n" + TAG}, None, "core.py is not the one"),
        ({"aioble/core.py": TAGGED["aioble/core.py"]}, None, "__init__.py is not in it"),
        (TAGGED, {"hashes": [["aioble/core.py", "../../x"], ["aioble/__init__.py", "../../x"]]}, "is not in it"),
        (TAGGED, {"hashes": 7}, "another form"),
        (TAGGED, [], "another form"),
        (TAGGED, {"hashes": [[path, "00000000"] for path in SOURCES]}, "404"),
    ],
)
def test_anything_else_is_not_taken_and_stops_nothing(lib, tmp_path, capsys, files, described, why):
    with index(files, described) as (address, asked):
        mip.ensure(address, lib, tmp_path)
        said = capsys.readouterr().out
        assert why in said and "a stand-in takes its place" in said
        assert not (lib / "aioble").exists()
        chosen = mip.choose(lib)
        assert chosen.folder == mip.STAND_IN and "stand-in" in chosen.text and "1.2.3" in chosen.text
        count = len(asked)
        mip.ensure(address, lib, tmp_path)
        assert len(asked) == count and not capsys.readouterr().out, "it does not try on every run"


def test_a_file_that_was_changed_is_not_used(lib, tmp_path):
    with index(TAGGED) as (address, _):
        mip.ensure(address, lib, tmp_path)
        (lib / "aioble" / "core.py").write_text("def config(): return 2\n")
        assert mip.choose(lib).folder == mip.STAND_IN
        mip.ensure(address, lib, tmp_path)
        assert mip.choose(lib).folder == lib / "aioble"


def test_a_named_copy_is_taken_whatever_it_is(lib, tmp_path, monkeypatch):
    copy = tmp_path / "elsewhere" / "aioble"
    copy.mkdir(parents=True)
    for path, text in SOURCES.items():
        (copy / path.split("/")[1]).write_bytes(text)
    (copy / "central.py").write_text("")
    for named in (copy, copy.parent):
        monkeypatch.setenv("AIOBLE", str(named))
        assert mip.choose(lib) == (copy, f"AIOBLE={named}, aioble 1.2.3")
    assert set(mip.files(mip.choose(lib))) == {"lib/aioble/__init__.py", "lib/aioble/core.py"}
    (copy / "core.py").write_text("changed\n")
    assert mip.choose(lib).text == f"AIOBLE={copy.parent}, not aioble 1.2.3"
    monkeypatch.setenv("AIOBLE", str(tmp_path))
    with pytest.raises(SetupError, match="there is no aioble"):
        mip.choose(lib)
    with pytest.raises(StageError, match="there is no aioble"):
        stage(tmp_path / "out")


@pytest.mark.parametrize("form", ["source", "rom"])
def test_what_is_flashed_has_aioble_where_the_module_looks_for_it(tmp_path, form):
    folder = stage(tmp_path / "out", form=form)
    wanted = mip.files(mip.choose())
    assert "lib/aioble/core.py" in wanted
    if form == "source":
        assert {name: (folder / name).read_bytes() for name in wanted} == wanted
    else:
        image = (tmp_path / "out.romfs").read_bytes()
        assert b"aioble" in image and b"gap_advertise" in image


def test_the_stand_in_offers_no_more_than_the_driver_uses():
    used = (ROOT / "firmware" / "drivers" / "gatt.py").read_text()
    tree = ast.parse((mip.STAND_IN / "__init__.py").read_text())
    offered = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert offered and [name for name in offered if name not in used] == []
