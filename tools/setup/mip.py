"""aioble, which is no package of Python's index: micropython-lib's own index has it, in the form that `mip` takes.

lib/lock.json pins its version and the SHA-256 of each file that the firmware needs, as micropython-lib's repository
has them; the index adds a line `__version__ = ...`. What does not match is not taken. Where there is no aioble to
be had, tools/sim/aioble stands in for it. AIOBLE=/path names a copy to take instead of either.
"""

import hashlib
import json
import os
import re
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tools.setup import BUILD, ROOT, SetupError, say, write_if_changed

INDEX = "https://micropython.org/pi/v2"
LIB = ROOT / "lib"
STAND_IN = ROOT / "tools" / "sim" / "aioble"

_LOCK = "lock.json"
_STAMP = "aioble-not-had"  # so that not every run tries again
_TRY_AGAIN_S = 86_400
_TIMEOUT_S = 10
_MOST_BYTES = 1_000_000
_VERSION_LINE = re.compile(rb"\n\n__version__ = '[^'\n]*'\n\Z")


class Aioble(NamedTuple):
    """The copy that a run takes: where it is, and a line that says which one it is."""

    folder: Path
    text: str


def ensure(index=INDEX, lib=LIB, build=BUILD):
    """Have lib/aioble as the lock wants it, if the index can be reached. Never stops anything: see `choose`."""
    lock = _read_lock(lib)
    stamp = build / _STAMP
    wanted = f"{index} {json.dumps(lock)}"
    if "AIOBLE" in os.environ or _missing(lib, lock) == []:
        return
    if stamp.exists() and stamp.read_text() == wanted and time.time() - stamp.stat().st_mtime < _TRY_AGAIN_S:
        return
    name = f"{lock['package']} {lock['version']}"
    try:
        files = _download(index, lock)
    except (OSError, ValueError) as error:
        say(f"{name} could not be had from {index} ({error}): a stand-in takes its place")
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted)
        return
    for path, text in files.items():
        write_if_changed(lib / path, text)
    say(f"{name} from {index}, into lib/")


def choose(lib=LIB):
    """The copy to take. SetupError where AIOBLE names a folder without one."""
    named = os.environ.get("AIOBLE")
    lock = _read_lock(lib)
    version = f"{lock['package']} {lock['version']}"
    if named:
        folder = Path(named).absolute()
        folder = folder if (folder / "core.py").is_file() else folder / lock["package"]
        if not (folder / "core.py").is_file():
            raise SetupError(f"AIOBLE={named}: there is no aioble")
        differing = _missing(folder.parent, lock) if folder.name == lock["package"] else [named]
        return Aioble(folder, f"AIOBLE={named}, {'not ' if differing else ''}{version}")
    if not _missing(lib, lock):
        return Aioble(lib / lock["package"], f"{version} of micropython-lib, in lib/")
    return Aioble(STAND_IN, f"a stand-in, tools/sim/aioble: {version} was not to be had")


def files(aioble):
    """What of a copy is flashed: path on the module -> bytes."""
    wanted = {Path(path).name for path in _read_lock(LIB)["sha256"]}
    found = {f"lib/aioble/{path.name}": path.read_bytes() for path in sorted(aioble.folder.glob("*.py"))}
    return found if aioble.folder == STAND_IN else {name: found[name] for name in found if Path(name).name in wanted}


def _read_lock(lib):
    return json.loads((lib / _LOCK).read_text())


def _digest(text):
    return hashlib.sha256(_VERSION_LINE.sub(b"", text)).hexdigest()


def _missing(lib, lock):
    """The files of the lock that are not in `lib` as they should be."""
    return [
        path
        for path, digest in lock["sha256"].items()
        if not (lib / path).is_file() or _digest((lib / path).read_bytes()) != digest
    ]


def _download(index, lock):
    """path -> bytes, each as the lock has it. OSError, ValueError."""
    described = json.loads(_get(f"{index}/package/py/{lock['package']}/{lock['version']}.json"))
    try:
        places = {path: str(short) for path, short in described["hashes"]}
    except (TypeError, KeyError, ValueError):
        raise ValueError("its index is in another form than expected") from None
    files = {}
    for path, digest in lock["sha256"].items():
        short = places.get(path, "")
        if not re.fullmatch("[0-9a-f]{4,64}", short):
            raise ValueError(f"{path} is not in it")
        files[path] = _get(f"{index}/file/{short[:2]}/{short}")
        if _digest(files[path]) != digest:
            raise ValueError(f"{path} is not the one that lib/{_LOCK} pins")
    return files


def _get(url):
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        data = answer.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{url} is too large")
    return data
