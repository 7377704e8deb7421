"""Set-up without a network: what it reads, what it chooses, what it says when something is missing."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tools.setup import BUILD, ROOT, SetupError, chromium, debian, interpreter, programs, write_if_changed
from tools.setup.debian import Source

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # the usual one
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/stranger.asc] https://stranger.example/debian bookworm main
  deb [ signed-by=/usr/share/keyrings/debian-archive-keyring.gpg ] http://second.example/debian bookworm main
"""

DEB822 = """\
# written by the installer
Types: deb deb-src
# an older mirror: http://old.example
URIs: http://mirror.example/debian http://second.example/debian
Suites: bookworm bookworm-updates
Components: main
 non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""


def test_one_line_sources_are_read():
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert debian.parse_list(ONE_LINE) == [
        Source("http://mirror.example/debian", ("bookworm",), ("main", "contrib"), ""),
        Source("https://stranger.example/debian", ("bookworm",), ("main",), "/etc/apt/keyrings/stranger.asc"),
        Source("http://second.example/debian", ("bookworm",), ("main",), keyring),
    ]


def test_deb822_sources_are_read():
    found = debian.parse_deb822(DEB822)
    assert [source.uri for source in found] == [
        "http://mirror.example/debian",
        "http://second.example/debian",
        "http://mirror.example/debian-security",
    ]
    assert found[0].suites == ("bookworm", "bookworm-updates")
    assert found[0].components == ("main", "non-free-firmware")
    assert found[0].signed_by == "/usr/share/keyrings/debian-archive-keyring.gpg"


def test_sources_are_read_from_every_file_that_apt_reads(tmp_path):
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (parts / "b.list").write_text("deb http://b.example/debian bookworm main\n")
    (parts / "c.sources").write_text(
        "Types: deb\nURIs: http://c.example/debian\nSuites: sid\nComponents: main\n"
    )
    (parts / "d.list.disabled").write_text("deb http://d.example/debian bookworm main\n")
    found = [source.uri for source in debian.read_sources(tmp_path)]
    assert found == ["http://a.example/debian", "http://b.example/debian", "http://c.example/debian"]


def test_only_debians_own_archive_is_a_mirror():
    sources = [
        Source("http://mirror.example/debian-security", ("bookworm-security",), ("main",), ""),
        Source("https://stranger.example/linux/debian", ("bookworm",), ("stable",), ""),
        Source("https://signed.example/debian", ("bookworm",), ("main",), "/etc/apt/keyrings/stranger.asc"),
        Source("cdrom:[Debian 12]/", ("bookworm",), ("main",), ""),
        Source("http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main",), ""),
        Source("http://mirror.example/debian", ("stable",), ("main",), ""),
    ]
    assert debian.mirrors(sources, "bookworm") == ["http://mirror.example/debian"]
    assert debian.mirrors(sources[:4], "bookworm") == []


def an_apt_folder(tmp_path, uri="http://mirror.example/debian"):
    folder = tmp_path / "etc-apt"
    folder.mkdir()
    (folder / "sources.list").write_text(f"deb {uri} stable main\n")
    return folder


@pytest.fixture
def fake_tools(tmp_path, monkeypatch):
    """Callable (name, shell script): puts a stand-in first on PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def add(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return add


@pytest.fixture
def a_keyring(tmp_path, monkeypatch):
    (tmp_path / "keyring.gpg").touch()
    monkeypatch.setattr(debian, "_KEYRINGS", (tmp_path / "keyring.gpg",))


def test_without_a_network_the_message_names_what_could_not_be_fetched(tmp_path, fake_tools, a_keyring):
    fake_tools("apt-get", "echo 'E: Failed to fetch the index'; exit 100")
    fake_tools("dpkg-deb", "exit 0")
    into = tmp_path / "into"
    with pytest.raises(SetupError) as caught:
        debian.fetch(["libfirst", "libsecond"], "trixie", into, an_apt_folder(tmp_path))
    told = str(caught.value)
    assert "libfirst, libsecond" in told and "trixie" in told
    assert "http://mirror.example/debian: E: Failed to fetch the index" in told
    assert not into.exists()


def test_a_second_mirror_is_tried_when_the_first_fails(tmp_path, fake_tools, a_keyring):
    fake_tools("dpkg-deb", 'mkdir -p "$3/usr"; touch "$3/usr/file"')
    folder = an_apt_folder(tmp_path)
    with open(folder / "sources.list", "a") as listed:
        listed.write("deb http://second.example/debian stable main\n")
    fake_tools("apt-get", "grep -q second.example sources.list || exit 100; touch one.deb")
    debian.fetch(["one"], "trixie", tmp_path / "into", folder)
    assert (tmp_path / "into" / "usr" / "file").exists()


def test_a_machine_without_a_debian_mirror_is_told_so(tmp_path, fake_tools, a_keyring):
    fake_tools("apt-get", "exit 0")
    fake_tools("dpkg-deb", "exit 0")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="no mirror of Debian's own archive, which would have: one"):
        debian.fetch(["one"], "trixie", tmp_path / "into", tmp_path / "empty")


def test_a_machine_without_apt_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError, match="no Debian apt"):
        debian.fetch(["one"], "trixie", tmp_path / "into", an_apt_folder(tmp_path))


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("1.25 6 32\n", None),
        ("1.26 6 32\n", None),
        ("2.0 7 32\n", None),
        ("1.24 6 32\n", "is 1.24, 1.25 or newer is needed"),
        ("1.25 6 32\nlacks tls\nlacks vfs\n", "is built without tls, vfs"),
        ("", "does not answer as MicroPython does"),
        ("Python 3.11", "does not answer as MicroPython does"),
    ],
)
def test_an_interpreter_is_judged_by_what_it_answers(answer, fault):
    assert interpreter.Found(answer).fault == fault


def test_the_interpreter_that_was_set_up_is_good():
    found = interpreter.probe([BUILD / "bin" / "micropython"])
    assert found.fault is None
    assert found.mpy_version == 6
    assert found.word_bits in (32, 64)


def answering(text):
    return "cat <<'END'\n" + text + "\nEND"


def test_a_named_interpreter_is_used_or_refused_never_replaced(tmp_path, fake_tools, monkeypatch):
    good = fake_tools("mp-good", answering("1.26 6 32"))
    old = fake_tools("mp-old", answering("1.20 6 32"))
    wrapper = tmp_path / "build" / "bin" / "micropython"
    monkeypatch.setenv("MICROPYTHON", str(good))
    interpreter.ensure(tmp_path / "build")
    assert subprocess.check_output([wrapper], text=True) == "1.26 6 32\n"
    monkeypatch.setenv("MICROPYTHON", str(old))
    with pytest.raises(SetupError, match=r"MICROPYTHON=.*mp-old is 1\.20, 1\.25 or newer"):
        interpreter.ensure(tmp_path / "build")
    monkeypatch.setenv("MICROPYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(SetupError, match="not an executable file"):
        interpreter.ensure(tmp_path / "build")


def test_an_interpreter_on_path_is_used_when_it_is_new_enough(tmp_path, fake_tools, monkeypatch):
    monkeypatch.delenv("MICROPYTHON", raising=False)
    fetched = []

    def fetch(packages, suite, into, architecture):
        fetched.append(packages)
        raise SetupError("could not fetch " + packages[0])

    monkeypatch.setattr(debian, "fetch", fetch)
    fake_tools("micropython", answering("1.25 6 32"))
    interpreter.ensure(tmp_path / "build")
    assert "tools/micropython" in (tmp_path / "build" / "bin" / "micropython").read_text()
    assert fetched == []
    fake_tools("micropython", answering("1.19 6 32"))
    with pytest.raises(SetupError) as caught:
        interpreter.ensure(tmp_path / "build")
    assert fetched and "could not fetch micropython" in str(caught.value)
    assert "MICROPYTHON=/path/to/micropython" in str(caught.value)


ARCHIVE = {"i386": "1.25 6 32", "armhf": "1.25 6 32", None: "1.25 6 64"}


@pytest.fixture
def an_archive(tmp_path, monkeypatch):
    """Callable (machine, answers): Debian's archive as that machine sees it; returns the list of what was fetched.

    answers maps an architecture to what its interpreter answers; one that is not in it cannot be fetched.
    """
    monkeypatch.delenv("MICROPYTHON", raising=False)
    monkeypatch.setattr(interpreter, "_on_path", lambda wrapper: None)
    fetched = []

    def open_for(machine, answers):
        def fetch(packages, suite, into, architecture):
            fetched.append(architecture)
            if architecture not in answers:
                raise SetupError("could not fetch " + packages[0])
            shutil.rmtree(into, ignore_errors=True)
            libraries = into / "usr" / "lib" / str(architecture)
            libraries.mkdir(parents=True)
            (libraries / "libc.so.6").touch()
            loader = libraries / "ld-linux.so.2"
            loader.write_text(f"#!/bin/sh\n{answering(answers[architecture])}\n")
            loader.chmod(0o755)

        monkeypatch.setattr(interpreter.platform, "machine", lambda: machine)
        monkeypatch.setattr(debian, "fetch", fetch)
        fetched.clear()
        return fetched

    return open_for


def set_up_in(build):
    """Set up in a build folder; what its interpreter answers."""
    interpreter.ensure(build)
    return subprocess.check_output([build / "bin" / "micropython"], text=True).strip()


@pytest.mark.parametrize(
    ("machine", "architecture"), [("x86_64", "i386"), ("aarch64", "armhf"), ("armv7l", None), ("riscv64", None)]
)
def test_debians_build_with_the_microcontrollers_words_is_fetched_once(tmp_path, an_archive, machine, architecture):
    fetched = an_archive(machine, ARCHIVE)
    for _ in range(2):
        assert set_up_in(tmp_path) == ARCHIVE[architecture]
    assert fetched == [architecture]


@pytest.mark.parametrize("narrow", ["", "1.24 6 32", "1.25 6 32\nlacks tls", None])
def test_the_machines_own_build_stands_in_where_the_narrow_one_will_not_do(tmp_path, an_archive, capsys, narrow):
    answers = {None: "1.25 6 64"} if narrow is None else {None: "1.25 6 64", "i386": narrow}
    fetched = an_archive("x86_64", answers)
    assert set_up_in(tmp_path) == "1.25 6 64"
    told = capsys.readouterr().out
    assert "MicroPython for i386" in told and "the machine's own architecture has to do" in told
    assert "Its words have 64 bits, the microcontroller's 32" in told
    assert set_up_in(tmp_path) == "1.25 6 64"
    assert capsys.readouterr().out == ""
    assert fetched == ["i386", None]


def an_older_build(build):
    """What set-up left behind when it took the machine's own architecture without a choice."""
    own = build / "micropython" / "usr" / "lib" / "x86_64-linux-gnu"
    own.mkdir(parents=True)
    (own / "libc.so.6").touch()
    (own / "ld-linux-x86-64.so.2").write_text(f"#!/bin/sh\n{answering('1.25 6 64')}\n")
    (own / "ld-linux-x86-64.so.2").chmod(0o755)


def test_an_older_build_folder_gets_the_microcontrollers_words(tmp_path, an_archive):
    an_older_build(tmp_path)
    fetched = an_archive("x86_64", ARCHIVE)
    assert set_up_in(tmp_path) == "1.25 6 32"
    assert fetched == ["i386"]


def test_an_older_build_folder_stays_in_use_without_a_network(tmp_path, an_archive, capsys):
    an_older_build(tmp_path)
    an_archive("x86_64", {})
    assert set_up_in(tmp_path) == "1.25 6 64"
    assert "could not fetch micropython" in capsys.readouterr().out
    an_archive("x86_64", ARCHIVE)
    assert set_up_in(tmp_path) == "1.25 6 32"


def test_the_compiler_has_to_write_what_the_interpreter_reads(fake_tools):
    reads_6 = fake_tools("micropython", answering("1.25 6 32"))
    interpreter.check_compiler(fake_tools("mpy-6", answering("mpy-cross emitting mpy v6.3")), reads_6)
    with pytest.raises(SetupError, match=r"another \.mpy format"):
        interpreter.check_compiler(fake_tools("mpy-7", answering("mpy-cross emitting mpy v7.0")), reads_6)
    with pytest.raises(SetupError, match="no answer"):
        interpreter.check_compiler(fake_tools("mpy-none", "exit 1"), reads_6)


@pytest.fixture
def debians_valgrind(monkeypatch):
    """Callable (script or None): what Debian's package is, if it can be had; returns the list of what was fetched."""
    fetched = []

    def bring(script):
        def fetch(packages, suite, into):
            fetched.extend(packages)
            if script is None:
                raise SetupError("could not fetch " + packages[0])
            program = into / "usr" / "bin" / "valgrind"
            program.parent.mkdir(parents=True)
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)

        monkeypatch.setattr(debian, "fetch", fetch)
        return fetched

    return bring


def test_valgrind_is_the_one_on_path_where_it_gets_the_interpreter_through(tmp_path, fake_tools, debians_valgrind):
    fetched = debians_valgrind(None)
    fake_tools("valgrind", "echo on path")
    for _ in range(2):
        programs.ensure_valgrind(tmp_path / "build")
    assert subprocess.check_output([tmp_path / "build" / "bin" / "valgrind"], text=True) == "on path\n"
    assert fetched == []


def test_valgrind_that_cannot_run_the_interpreter_gives_way_to_debians(tmp_path, fake_tools, debians_valgrind):
    fetched = debians_valgrind('echo "fetched, $VALGRIND_LIB"')
    fake_tools("valgrind", "exit 132")
    for _ in range(2):
        programs.ensure_valgrind(tmp_path / "build")
    printed = subprocess.check_output([tmp_path / "build" / "bin" / "valgrind"], text=True)
    assert printed.startswith("fetched, ") and printed.endswith("/valgrind/usr/libexec/valgrind\n")
    assert fetched == ["valgrind"]


@pytest.mark.parametrize(("debians", "told"), [(None, "could not fetch valgrind"), ("exit 132", "does not run here")])
def test_without_a_valgrind_that_counts_the_rest_goes_on(
    tmp_path, fake_tools, debians_valgrind, capsys, debians, told
):
    debians_valgrind(debians)
    fake_tools("valgrind", "exit 132")
    programs.ensure_valgrind(tmp_path / "build")
    assert told in capsys.readouterr().out
    assert not (tmp_path / "build" / "bin" / "valgrind").exists()


def test_chromium_is_the_lighter_one_where_both_are(fake_tools, monkeypatch):
    monkeypatch.delenv("CHROME", raising=False)
    full = fake_tools("chromium", "exit 0")
    monkeypatch.setenv("PATH", str(full.parent))
    assert chromium.find_chromium() == full
    shell = fake_tools(chromium.PACKAGE, "exit 0")
    assert chromium.find_chromium() == shell


def test_chromium_is_the_named_one_or_none(fake_tools, monkeypatch, tmp_path):
    monkeypatch.setenv("CHROME", str(fake_tools("my-browser", "exit 0")))
    assert chromium.find_chromium() == tmp_path / "tools" / "my-browser"
    monkeypatch.setenv("CHROME", str(tmp_path / "nowhere"))
    assert chromium.find_chromium() is None


def test_requirements_pin_every_package_to_one_version():
    pinned = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        match = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
        assert match, line
        pinned[match[1].lower().replace("_", "-")] = match[2]
    for line in (ROOT / "requirements.in").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.match(r"[\w-]+", line)[0].lower() in pinned
    assert f"setuptools=={pinned['setuptools']}" in (ROOT / "pyproject.toml").read_text()


def test_an_unknown_part_is_answered_with_the_known_ones():
    done = subprocess.run(
        [sys.executable, "-m", "tools.setup", "everything"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "python|interpreter|fonts|chromium|valgrind" in done.stderr


def test_a_file_is_written_only_when_it_differs(tmp_path):
    path = tmp_path / "folder" / "file"
    assert write_if_changed(path, b"one")
    assert not write_if_changed(path, b"one")
    assert write_if_changed(path, b"two")
    assert path.read_bytes() == b"two" and list(path.parent.iterdir()) == [path]
