"""Chromium, which only the system's package manager can bring, and Valgrind, which Debian's package brings as well."""

import os
import shlex
import shutil
import subprocess

from tools.setup import BUILD, SetupError, debian, say, write_if_changed
from tools.setup.chromium import JAPANESE_FONT, PACKAGE, find_chromium

_JAPANESE_PACKAGE = "fonts-ipaexfont-gothic"


def ensure_chromium():
    """Install it as root, or say how; its absence stops nothing."""
    if find_chromium():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {PACKAGE} with apt-get, as root; this can take minutes")
        if _apt("update") and _apt("install", "-y", "--no-install-recommends", PACKAGE):
            return
    say(f"Chromium is missing: the tests of the web pages are skipped. As root: apt-get install {PACKAGE}")


def ensure_japanese_font():
    """A Japanese font for pictures, Debian's IPAex Gothic where the machine has none; a lack stops nothing."""
    if JAPANESE_FONT.is_dir() or _has_japanese_font():
        return
    say("a Japanese font for the pictures comes as Debian's package, about 4 MB")
    try:
        debian.fetch([_JAPANESE_PACKAGE], debian.SUITE, JAPANESE_FONT)
    except SetupError as error:
        say(f"pictures of Japanese pages will have empty boxes: {error}")


def _has_japanese_font():
    lister = shutil.which("fc-list")
    return bool(lister and subprocess.run([lister, ":lang=ja"], capture_output=True, check=False).stdout)


def ensure_valgrind(build=BUILD):
    """Make bin/valgrind in the build folder count the interpreter's instructions: the one on PATH, else Debian's.

    Older ones do not know every instruction of 32-bit programs. Without any nothing is counted, which stops nothing.
    """
    wrapper, root = build / "bin" / "valgrind", build / "valgrind"
    if wrapper.exists() and _counts(wrapper, build):
        return
    found = shutil.which("valgrind")
    if found and _counts(found, build):
        script = f'#!/bin/sh\nexec {shlex.quote(found)} "$@"\n'
    else:
        try:
            say("Valgrind comes as Debian's package, about 15 MB")
            debian.fetch(["valgrind"], debian.SUITE, root)
        except SetupError as error:
            say(f"instructions are not counted: {error}")
            return
        script = (
            "#!/bin/sh\nroot=${0%/*}/../valgrind\n"
            'VALGRIND_LIB="$root/usr/libexec/valgrind" exec "$root/usr/bin/valgrind" "$@"\n'
        )
    write_if_changed(wrapper, script.encode())
    wrapper.chmod(0o755)
    if not _counts(wrapper, build):
        wrapper.unlink()
        say("Valgrind does not run here: instructions are not counted")


def _counts(valgrind, build):
    """Whether it gets an interpreter through; where it does not, the interpreter dies of a signal."""
    command = [valgrind, "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null"]
    command += [build / "bin" / "micropython", "-c", "print(1 + 1)"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    return done.returncode == 0


def _apt(*arguments):
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "-q", *arguments]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False).returncode == 0
