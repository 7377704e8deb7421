"""Set-up of the console's charts without a network: done once, again where the lock file changed, never a must."""

import json

import pytest

from tools.setup import SetupError, console
from tools.setup.console import ROOT


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What npm is asked for; it installs a package of two files. build/ and the sources are elsewhere."""
    sources, build = tmp_path / "web", tmp_path / "build"
    sources.mkdir()
    build.mkdir()
    for name in ("package.json", "package-lock.json"):
        (sources / name).write_text("{}")
    calls = []

    def npm(node, folder, *arguments):
        calls.append(arguments[0])
        package = folder / "node_modules" / "chart.js"
        (package / "dist").mkdir(parents=True, exist_ok=True)
        (package / "dist" / "chart.umd.min.js").write_text(f"chart {len(calls)}")
        (package / "LICENSE.md").write_text("MIT")

    monkeypatch.setattr(console, "BUILD", build)
    monkeypatch.setattr(console, "OUT", build / "console")
    monkeypatch.setattr(console, "WORKPLACE", build / "console-source")
    monkeypatch.setattr(console, "_PACKAGE", build / "console-source" / "node_modules" / "chart.js")
    monkeypatch.setattr(console, "_SOURCES", sources)
    monkeypatch.setattr(console.phone, "find_node", lambda: "node")
    monkeypatch.setattr(console.phone, "npm", npm)
    return calls


def test_charts_are_installed_once_and_again_when_the_lock_file_changes(calls):
    assert console.ensure() and console.ensure()
    assert calls == ["ci"]
    assert (console.OUT / "chart.js").read_text() == "chart 1"
    assert (console.OUT / "chart.js.LICENSE.md").is_file()
    (console._SOURCES / "package-lock.json").write_text("{ }")
    assert console.ensure()
    assert (console.OUT / "chart.js").read_text() == "chart 2"


def test_without_a_network_the_set_up_goes_on_without_charts(calls, monkeypatch, capsys):
    def fail(*arguments):
        raise SetupError("npm could not install")

    monkeypatch.setattr(console.phone, "npm", fail)
    assert not console.ensure()
    assert not console.OUT.exists()
    assert "tables without charts" in capsys.readouterr().out


def test_every_package_is_pinned_by_its_hash():
    lock = json.loads((ROOT / "tools" / "pps" / "web" / "package-lock.json").read_text())
    named = json.loads((ROOT / "tools" / "pps" / "web" / "package.json").read_text())["dependencies"]
    for name, version in named.items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    packages = [entry for path, entry in lock["packages"].items() if path]
    assert all(entry["integrity"].startswith("sha512-") and entry["license"] == "MIT" for entry in packages)
