"""nginx, the proxy that tests put before the server: the installed one, else Debian's package in build/nginx.

Nothing is set up with it and nothing started: whoever needs one starts it with a configuration of its own.
"""

import shutil
import subprocess

from tools.setup import BUILD, SetupError, debian, say

# By release, since the packages have to fit the machine's own C library. With the libraries that a small system lacks.
_PACKAGES = {
    "bookworm": ("nginx", "libpcre2-8-0", "libssl3", "libcrypt1", "zlib1g"),
    "trixie": ("nginx", "libpcre2-8-0", "libssl3t64", "libcrypt1", "zlib1g"),
}


def find(build=BUILD):
    """(path of the program, environment that it needs on top), or None."""
    installed = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    unpacked = build / "nginx"
    libraries = ":".join(map(str, unpacked.glob("usr/lib/*-linux-*")))
    for program, environment in ((installed, {}), (unpacked / "usr/sbin/nginx", {"LD_LIBRARY_PATH": libraries})):
        if program is not None and _runs(program, environment):
            return program, environment
    return None


def ensure(build=BUILD):
    """Have one that `find` finds. Without any, the tests that want it are skipped and say so."""
    if find(build):
        return
    codename = debian.codename()
    packages = _PACKAGES.get(codename)
    if packages is None:
        say("nginx is missing, and this is no Debian whose package is known: its tests are skipped")
        return
    say("nginx comes as Debian's package, about 4 MB with its libraries")
    try:
        debian.fetch(packages, codename, build / "nginx")
    except SetupError as error:
        say(f"the tests with nginx are skipped: {error}")
        return
    if find(build) is None:
        say("Debian's nginx does not run here: its tests are skipped")


def _runs(program, environment):
    try:
        subprocess.run(
            [program, "-e", "stderr", "-v"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return True
