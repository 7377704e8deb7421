"""Debian packages into a folder of ours, without root.

apt runs on a state folder of its own, so the system's package database stays
as it is. The mirror is read from the machine's own apt sources; signature and
hashes are checked by apt against Debian's keyring.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from tools.setup import BUILD, SetupError, say

# Debian's stable, where MicroPython is new enough.
SUITE = "trixie"
APT_FOLDER = Path("/etc/apt")

_KEYRINGS = tuple(Path("/usr/share/keyrings", "debian-archive-keyring" + end) for end in (".pgp", ".gpg"))
_DEBIAN_SUITES = ("oldstable", "stable", "testing", "unstable", "sid")
_NOT_FETCHED = ("cdrom:", "file:", "copy:")
_TIMEOUT_S = 600


class Source(NamedTuple):
    """One entry of apt's sources: binary packages of `suites` at `uri`."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str


def parse_list(text):
    """Entries of a one-line-style sources file, `deb [options] uri suite component...`."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            options = dict(option.partition("=")[::2] for option in (match[1] or "").split())
            signed_by = options.get("signed-by", "")
            found.append(Source(match[2], (match[3],), tuple(match[4].split()), signed_by))
    return found


def parse_deb822(text):
    """Entries of a deb822-style sources file: paragraphs of `Field: value`."""
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {}
        for match in re.finditer(r"^([\w-]+):(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE):
            fields[match[1].lower()] = match[2].strip()
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        suites, components = fields.get("suites", "").split(), fields.get("components", "").split()
        for uri in fields.get("uris", "").split():
            found.append(Source(uri, tuple(suites), tuple(components), fields.get("signed-by", "")))
    return found


def read_sources(apt_folder=APT_FOLDER):
    """Every entry of the machine's apt sources."""
    found = []
    listed = apt_folder / "sources.list"
    parts = sorted((apt_folder / "sources.list.d").glob("*"))
    for path in [listed, *parts]:
        if path.is_file() and path.suffix in (".list", ".sources"):
            parse = parse_deb822 if path.suffix == ".sources" else parse_list
            found += parse(path.read_text(errors="replace"))
    return found


def mirrors(sources, codename):
    """URIs of Debian's own archive among the sources, in their order.

    Debian's is an entry for the release's main suite and component `main`
    that names no key of its own or Debian's. Should a stranger's entry look
    like that, apt still refuses it for want of Debian's signature.
    """
    suites = {codename, *_DEBIAN_SUITES}
    found = []
    for source in sources:
        signed_by_debian = not source.signed_by or "debian-archive" in source.signed_by
        if suites.isdisjoint(source.suites) or "main" not in source.components or not signed_by_debian:
            continue
        if not source.uri.startswith(_NOT_FETCHED) and source.uri not in found:
            found.append(source.uri)
    return found


def codename():
    """The machine's release of Debian, or ""."""
    release = Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    match = re.search(r'^VERSION_CODENAME="?(\w+)', text, re.MULTILINE)
    return match[1] if match else ""


def fetch(packages, suite, into, apt_folder=APT_FOLDER, architecture=None):
    """Download packages of a suite and unpack them over each other in `into`.

    architecture: Debian's name of another one than the machine's own. `into`
    appears whole or not at all. Raises SetupError that says what is missing.
    """
    what = ", ".join(packages)
    keyring = next(filter(Path.exists, _KEYRINGS), None)
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb") and keyring):
        raise SetupError(f"this machine has no Debian apt with its keyring, which would fetch: {what}")
    uris = mirrors(read_sources(apt_folder), codename())
    if not uris:
        raise SetupError(f"{apt_folder} names no mirror of Debian's own archive, which would have: {what}")
    complaints = []
    for uri in uris:
        with tempfile.TemporaryDirectory(dir=_work_folder()) as work:
            work = Path(work)
            try:
                _download(packages, suite, uri, keyring, work, architecture)
            except _AptError as error:
                complaints.append(f"{uri}: {error}")
                continue
            root = work / "root"
            for package in sorted(work.glob("*.deb")):
                _run(["dpkg-deb", "-x", package, root], work)
            if into.exists():
                shutil.rmtree(into)
            into.parent.mkdir(parents=True, exist_ok=True)
            root.rename(into)
            return
    raise SetupError(f"could not fetch Debian's {suite} packages {what}\n  " + "\n  ".join(complaints))


class _AptError(Exception):
    pass


def have(name, find, packages, into, size):
    """Have a program that `find()` finds, from Debian's package in the folder `into` where there is none.

    packages: {codename: names}, since they have to fit the machine's own C library; size: as in "4 MB". Without any in
    the end, the tests that want it are skipped and say so.
    """
    if find():
        return
    suite = codename()
    if suite not in packages:
        say(f"{name} is missing, and this is no Debian whose package is known: its tests are skipped")
        return
    say(f"{name} comes as Debian's package, about {size} with its libraries")
    try:
        fetch(packages[suite], suite, into)
    except SetupError as error:
        say(f"the tests with {name} are skipped: {error}")
        return
    if not find():
        say(f"Debian's {name} does not run here: its tests are skipped")


def runs(command, environment):
    """Whether it ends well, with `environment` and nothing else around it."""
    try:
        subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _work_folder():
    folder = BUILD / "debian"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _download(packages, suite, uri, keyring, work, architecture):
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={keyring}] {uri} {suite} main\n")
    (work / "apt.conf").write_text(
        f'Dir::State "{work}/state";\n'
        f'Dir::State::status "{work}/status";\n'
        f'Dir::Cache "{work}/cache";\n'
        f'Dir::Etc::sourcelist "{work}/sources.list";\n'
        'Dir::Etc::sourceparts "/dev/null";\n'
        # Without this root's apt becomes another user, who may not enter the folder.
        'APT::Sandbox::User "";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "2";\n'
        'Acquire::http::Timeout "30";\n'
        + (f'APT::Architecture "{architecture}";\nAPT::Architectures {{"{architecture}";}};\n' if architecture else "")
    )
    say(f"reading Debian's index of {suite}")
    # A mirror that cannot be reached is only a warning here by default.
    _run(["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update"], work)
    for package in packages:
        say(f"downloading {package}")
        _run(["apt-get", "-q", "download", package], work)


def _run(command, work):
    try:
        done = subprocess.run(
            command,
            cwd=work,
            env={**os.environ, "APT_CONFIG": str(work / "apt.conf"), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _AptError(f"{command[0]} not done after {_TIMEOUT_S} s") from None
    if done.returncode:
        told = [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:", "dpkg-deb:"))]
        raise _AptError("; ".join(told[:3]) or f"{command[0]} ended with {done.returncode}")
