"""PostgreSQL's server for tests and benchmarks: the installed one, else Debian's package in build/postgres.

Nothing is set up with it and nothing started: whoever needs a server starts one of its own on a folder of its own.
"""

import re
from pathlib import Path

from tools.setup import BUILD, debian

_INSTALLED = Path("/usr/lib/postgresql")

# With the libraries that a small system lacks.
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
    """Have one that `find` finds, or say why not."""
    debian.have("PostgreSQL", lambda: find(build), _PACKAGES, build / "postgres", "30 MB")


def _version(folder):
    number = re.match(r"\d+", folder.parent.name)
    return int(number[0]) if number else 0


def _runs(folder, environment):
    return all(debian.runs([folder / program, "--version"], environment) for program in ("postgres", "initdb"))
