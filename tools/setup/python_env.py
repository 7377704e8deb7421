"""build/venv: Python's packages, exactly those of requirements.txt."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys

from tools.setup import BUILD, ROOT, SetupError, debian, say

MINIMUM_VERSION = (3, 11)

_VENV = BUILD / "venv"
_PYTHON = _VENV / "bin" / "python"
_STAMP = _VENV / "inkan-stamp"
# pip of Debian's own, for a Python that was packaged without it.
_PIP_PACKAGE = "python3-pip-whl"
_SAY_EVERY = 15  # packages


def ensure():
    """Make build/venv hold the pinned packages; returns whether it changed. Raises SetupError."""
    stamp = _wanted()
    if _PYTHON.exists() and _STAMP.exists() and _STAMP.read_text() == stamp:
        return False
    if sys.version_info < MINIMUM_VERSION:
        raise SetupError("Python {}.{} or newer is needed: make PYTHON=/path/to/it".format(*MINIMUM_VERSION))
    made_here = _STAMP.exists() and _STAMP.read_text().splitlines()[:1] == stamp.splitlines()[:1]
    if not (made_here and _PYTHON.exists()):
        say("making build/venv")
        _create()
    count = len([line for line in _requirements().splitlines() if "==" in line])
    say(f"installing {count} Python packages (requirements.txt)")
    _pip("-r", ROOT / "requirements.txt", count=count)
    say("installing Inkan's own commands")
    _pip("--no-deps", "--no-build-isolation", "--no-index", "--editable", ROOT)
    _STAMP.write_text(stamp)
    return True


def _requirements():
    return (ROOT / "requirements.txt").read_text()


def _wanted():
    """First line: where and with what the environment was made; second: what is in it."""
    contents = _requirements().encode() + (ROOT / "pyproject.toml").read_bytes()
    return f"{_VENV} {sys.version_info[:2]}\n{hashlib.sha256(contents).hexdigest()}\n"


def _create():
    if _VENV.exists():
        shutil.rmtree(_VENV)
    bundled_pip = importlib.util.find_spec("ensurepip") is not None
    command = [sys.executable, "-m", "venv", _VENV] + ([] if bundled_pip else ["--without-pip"])
    if subprocess.run(command, check=False).returncode:
        raise SetupError("python3 -m venv failed: apt-get install python3-venv (as root), then try again")
    if not bundled_pip:
        _add_pip()


def _add_pip():
    say("this Python has no pip of its own (Debian's python3-venv is not installed); fetching Debian's")
    folder = BUILD / "pip"
    try:
        debian.fetch([_PIP_PACKAGE], debian.SUITE, folder)
    except SetupError as error:
        raise SetupError(
            f"{error}\nNeeded: pip. As root: apt-get install python3-venv, then try again."
        ) from None
    wheel = next(folder.glob("usr/share/python-wheels/pip-*.whl"))
    command = [_PYTHON, wheel / "pip", "install", "--quiet", "--no-index", wheel]
    if subprocess.run(command, check=False).returncode:
        raise SetupError("pip could not be installed into build/venv")


def _pip(*arguments, count=0):
    """Run pip's install; with a count, say every few packages how far it is."""
    command = [_PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-color", "install", *arguments]
    # setuptools warns about every editable install in a flat tree.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    pip = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    said = []
    got = 0
    for line in pip.stdout:
        said.append(line)
        if line.startswith("Collecting "):
            got += 1
            if count and got % _SAY_EVERY == 0:
                say(f"  {got} of {count}")
        elif count and line.startswith("Installing collected"):
            say("  unpacking them")
    if pip.wait():
        print("".join(said), end="", file=sys.stderr)
        raise SetupError(
            "pip could not install what requirements.txt names (its complaint is above). "
            "Without a network: point pip at a folder of wheels, PIP_FIND_LINKS=/folder PIP_NO_INDEX=1."
        )
