"""The server's command line."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "tools.pps"]


def run(*arguments):
    return subprocess.run([*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_r6_operator_made_by_command_may_log_in_to_the_served_console(tmp_path):
    folder = str(tmp_path / "pps")
    made = run("operator", "add", "--data", folder, "an operator", "--random")
    assert made.returncode == 0, made.stderr
    again = run("operator", "add", "--data", folder, "an operator", "--random")
    assert again.returncode == 1 and "of this name" in again.stderr and "Traceback" not in again.stderr

    ports = ["--module-port", "0", "--enrol-port", "0", "--console-port", "0"]
    served = subprocess.Popen(
        [*COMMAND, "serve", "--data", folder, *ports],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        addresses = dict(served.stdout.readline().split() for _ in range(3))
        with httpx.Client(base_url=addresses["console"], follow_redirects=True) as client:
            page = client.get("login")
            token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]
            form = {"form_token": token, "name": "an operator", "password": made.stdout.strip(), "next": "/"}
            answer = client.post("login", data=form)
        assert answer.url.path == "/modules"
    finally:
        served.send_signal(signal.SIGTERM)
        _, complaints = served.communicate(timeout=60)
    assert (served.returncode, complaints) == (0, "")
    assert (tmp_path / "pps").stat().st_mode & 0o077 == 0


def test_r6_roles_are_given_and_listed_by_command(tmp_path):
    folder = ["--data", str(tmp_path / "pps")]
    assert run("operator", "add", *folder, "one", "--random").returncode == 0
    assert run("operator", "add", *folder, "two", "--random", "--role", "installer").returncode == 0
    last = run("operator", "role", *folder, "one", "--role", "read_only")
    assert last.returncode == 1 and "the last operator" in last.stderr and "Traceback" not in last.stderr
    assert "invalid choice" in run("operator", "role", *folder, "two", "--role", "king").stderr
    assert run("operator", "role", *folder, "two", "--role", "operator").returncode == 0
    assert run("operator", "disable", *folder, "one").returncode == 0
    assert run("operator", "list", *folder).stdout.splitlines() == ["operator\ttwo", "operator\tone\t(disabled)"]


def test_r6_port_that_is_taken_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        failed = run("serve", "--data", str(tmp_path / "pps"), "--module-port", port)
    assert failed.returncode == 1
    assert port in failed.stderr and "Traceback" not in failed.stderr
