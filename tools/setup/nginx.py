"""nginx, the proxy that tests put before the server: the installed one, else Debian's package in build/nginx.

Nothing is set up with it and nothing started: whoever needs one starts it with a configuration of its own.
"""

import shutil

from tools.setup import BUILD, debian

# With the libraries that a small system lacks.
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
    """Have one that `find` finds, or say why not."""
    debian.have("nginx", lambda: find(build), _PACKAGES, build / "nginx", "4 MB")


def _runs(program, environment):
    return debian.runs([program, "-e", "stderr", "-v"], environment)
