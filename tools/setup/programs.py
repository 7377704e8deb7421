"""Programs that only the system's package manager can bring: Chromium, Valgrind."""

import os
import shutil
import subprocess

from tools.setup import say
from tools.setup.chromium import find_chromium


def ensure_chromium():
    _ensure("chromium", find_chromium(), "the tests of the web pages are skipped")


def ensure_valgrind():
    _ensure("valgrind", shutil.which("valgrind"), "instructions are not counted")


def _ensure(package, found, without):
    """Install a package as root, or say how; its absence stops nothing."""
    if found:
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {package} with apt-get, as root; this can take minutes")
        if _apt("update") and _apt("install", "-y", "--no-install-recommends", package):
            return
    say(f"{package} is missing: {without}. As root: apt-get install {package}")


def _apt(*arguments):
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-q", *arguments]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode == 0
