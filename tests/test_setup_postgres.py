"""Which PostgreSQL the tests start: the newest that runs, installed before fetched, or none, which stops nothing."""

import pytest

from tools.setup import postgres


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Callable (folder, exit status) that puts a server's programs there; nothing is installed else."""
    monkeypatch.setattr(postgres, "_INSTALLED", tmp_path / "installed")

    def put(folder, status=0):
        folder = tmp_path / folder / "bin"
        folder.mkdir(parents=True)
        for name in ("postgres", "initdb"):
            (folder / name).write_text(f"#!/bin/sh\nexit {status}\n")
            (folder / name).chmod(0o755)
        return folder

    return put


def test_r24_newest_installed_server_that_runs_is_taken(programs, tmp_path):
    programs("build/postgres/usr/lib/postgresql/18")
    programs("installed/9.6")
    wanted = programs("installed/15")
    programs("installed/16", status=127)
    assert postgres.find(tmp_path / "build") == (wanted, {})


def test_r24_fetched_server_comes_with_its_libraries(programs, tmp_path):
    wanted = programs("build/postgres/usr/lib/postgresql/15")
    libraries = tmp_path / "build/postgres/usr/lib/x86_64-linux-gnu"
    libraries.mkdir()
    assert postgres.find(tmp_path / "build") == (wanted, {"LD_LIBRARY_PATH": str(libraries)})


def test_r24_machine_without_any_is_told_so_and_goes_on(programs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(postgres.debian, "codename", lambda: "sid")
    postgres.ensure(tmp_path / "build")
    assert postgres.find(tmp_path / "build") is None
    assert "PostgreSQL is missing" in capsys.readouterr().out
