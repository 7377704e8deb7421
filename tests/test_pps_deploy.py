"""The files in deploy/ against the code: no container engine runs here, but what they name can be checked."""

import re
import subprocess
import sys
from pathlib import Path

from tools.pps.__main__ import _parser

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"


def service(name):
    """The part of compose.yaml about a service."""
    return re.search(rf"^  {name}:\n(.*?)(?=^  \S|^\S|\Z)", (DEPLOY / "compose.yaml").read_text(), re.M | re.S)[1]


def filled(text):
    return re.sub(r"\$\{\w+:[?-][^}]*\}", "pps.example", text)


def test_r29_compose_gives_nginx_everything_that_its_configuration_asks_for():
    wanted = set(re.findall(r"\$\{(\w+)\}", (DEPLOY / "nginx.conf").read_text().replace("${...}", "")))
    assert wanted == set(re.findall(r"^      ([A-Z_]+): ", service("proxy"), re.M))


def test_r29_compose_starts_the_server_with_options_that_there_are():
    arguments = [filled(each) for each in re.findall(r"^      - (\S+)$", service("server"), re.M)]
    chosen = _parser().parse_args(arguments)
    assert str(chosen.behind_proxy.sockets) == "/run/inkan" and chosen.operations_port == 9100
    line = re.search(r"command: \[(.*)\]", service("certificates"))[1]
    chosen = _parser().parse_args(filled(line).replace('"', "").split(", "))
    assert chosen.host_name == ["pps.example"]


def test_r29_compose_publishes_the_proxy_alone_and_the_console_to_no_network():
    for name in ("database", "certificates", "server"):
        assert "ports:" not in service(name)
    ports = re.findall(r'^      - "([\d.:]+)"$', service("proxy"), re.M)
    assert ports == ["8443:8443", "443:443", "127.0.0.1:8080:8080"]


def test_r29_container_holds_all_that_the_server_imports(tmp_path):
    """The server's modules import with nothing but what the Containerfile copies."""
    copied = re.findall(r"^COPY (tools/.*) \S+$", (DEPLOY / "Containerfile").read_text(), re.M)
    for each in " ".join(copied).split():
        target = tmp_path / each
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(ROOT / each)
    done = subprocess.run(
        [sys.executable, "-c", "import tools.pps.__main__, tools.pps.server, sys; print(tools.pps.server.__file__)"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and done.stdout.startswith(str(tmp_path)), done.stderr


def test_r29_container_installs_packages_that_are_pinned():
    pinned = {
        line.partition("==")[0].lower().replace("_", "-") for line in (ROOT / "requirements.txt").read_text().split()
    }
    listed = re.sub(r"#.*", "", (DEPLOY / "requirements.in").read_text()).split()
    assert listed and {name.partition("[")[0] for name in listed} <= pinned
