"""PostgreSQL's server for tests and benchmarks: the installed one, else Debian's package in build/postgres.

Nothing is set up with it and nothing started: whoever needs a server starts one of its own on a folder of its own.
"""

import re
import subprocess
from pathlib import Path

from tools.setup import BUILD, SetupError, debian, say

_INSTALLED = Path("/usr/lib/postgresql")

# By release, since the packages have to fit the machine's own C library. With the libraries that a small system lacks.
_COMMON = ("libpq5", "libxml2", "libsasl2-2", "libgssapi-krb5-2", "libkrb5-3", "libk5crypto3", "libkrb5support0")
_PACKAGES = {
    "bookworm": ("postgresql-15", "libicu72", "libldap-2.5-0", "libssl3", "libkeyutils1", *_COMMON),
    "trixie": ("postgresql-17", "libicu76", "libldap2", "libssl3t64", "libkeyutils1", *_COMMON),
}


def find(build=BUILD):
    """(folder of `initdb` and `postgres`, environment that they need on top), or None. The newest that runs."""
    unpacked = build / "postgres"
    for root, libraries in ((_INSTALLED, ()), (unpacked / "usr/lib/postgresql", unpacked.glob("usr/lib/*-linux-*"))):
        paths = ":".join(map(str, libraries))
        environment = {"LD_LIBRARY_PATH": paths} if paths else {}
        for folder in sorted(root.glob("*/bin"), key=_version, reverse=True):
            if _runs(folder, environment):
                return folder, environment
    return None


def ensure(build=BUILD):
    """Have one that `find` finds. Without any, the tests that want it are skipped and say so."""
    if find(build):
        return
    codename = debian.codename()
    packages = _PACKAGES.get(codename)
    if packages is None:
        say("PostgreSQL is missing, and this is no Debian whose package is known: its tests are skipped")
        return
    say("PostgreSQL comes as Debian's package, about 30 MB with its libraries")
    try:
        debian.fetch(packages, codename, build / "postgres")
    except SetupError as error:
        say(f"the tests on PostgreSQL are skipped: {error}")
        return
    if find(build) is None:
        say("Debian's PostgreSQL does not run here: its tests are skipped")


def _version(folder):
    number = re.match(r"\d+", folder.parent.name)
    return int(number[0]) if number else 0


def _runs(folder, environment):
    try:
        for program in ("postgres", "initdb"):
            subprocess.run(
                [folder / program, "--version"],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
