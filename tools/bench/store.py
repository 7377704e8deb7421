"""Figures of the store: a commit of 1 KiB and a half hour that is kept, beside littlefs 2 on the same flash."""

import json
import os
import subprocess
from pathlib import Path

from tools.setup import BUILD, ROOT

_SCRIPT = Path(__file__).with_name("store_on_module.py")
_PROCESSES = 5
_TIMEOUT_S = 60
_READS_LIMIT = 10
_HEAP_LIMIT_BYTES = 2048
_PROGRAMMED_FACTOR = 1.15
# One sector written and one retired, and one of the guard for each 64 records.
_ERASES_LIMIT = 2 + 1 / 64
_SLOT_SECTORS = 4
_RECORD_SIZE = 128
_RECORD_FACTOR = 1.2
_SECTOR_SIZE = 4096


def rows():
    """Rows {name, value, unit, limit, peer, ok}. The peer is littlefs 2 on the same flash."""
    return _commit_rows() + _half_hour_rows()


def _commit_rows():
    """Beside write and rename."""
    runs = [_measure("commits") for _ in range(_PROCESSES)]
    vault, littlefs = runs[0]["vault"], runs[0]["littlefs"]
    snapshot = 32 + vault["body"] + 16 - vault["body"] % 16 + 32
    table = [
        ("programmed", "bytes_programmed", "B", round(_PROGRAMMED_FACTOR * snapshot)),
        ("erases", "erases", "erases", _ERASES_LIMIT),
        ("reads", "reads", "reads", _READS_LIMIT),
        ("read", "bytes_read", "B", None),
        ("heap, garbage included", "heap", "B", _HEAP_LIMIT_BYTES),
    ]
    found = [
        _row(f"commit of 1 KiB: {name}, peer: littlefs", vault[key], unit, limit, littlefs[key])
        for name, key, unit, limit in table
    ]
    found.append(
        _row(
            "first commit after a start: erases (all of the free slot)",
            vault["first_erases"],
            "erases",
            _SLOT_SECTORS + 1,
            None,
        )
    )
    # Ratios within one process; of several processes the one that was disturbed least.
    found.append(
        _row(
            "commit of 1 KiB, sealed: duration relative to littlefs, unsealed",
            min(run["vault"]["us"] / run["littlefs"]["us"] for run in runs),
            "times",
            1,
            1,
        )
    )
    found.append(
        _row(
            "commit of 1 KiB, sealed: duration relative to two bare slots without recovery",
            min(run["vault"]["us"] / run["bare"]["us"] for run in runs),
            "times",
            None,
            1,
        )
    )
    return found


def _half_hour_rows():
    """Beside an append, once the flash is full: of both the oldest goes. Both limits are 1.2 records' flash."""
    found = _measure("half_hours")
    readings, littlefs = found["readings"], found["littlefs"]
    return [
        _row(
            f"half hour kept: {name}, peer: littlefs, append",
            readings[key],
            unit,
            _RECORD_FACTOR * _RECORD_SIZE / size,
            littlefs[key],
        )
        for name, key, unit, size in (
            ("programmed", "bytes_programmed", "B", 1),
            ("erases", "erases", "erases", _SECTOR_SIZE),
        )
    ]


def _row(name, value, unit, limit, peer):
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "limit": limit if limit is None else round(limit, 3),
        "peer": peer if peer is None else round(peer, 3),
        "ok": limit is None or value <= limit,
    }


def _measure(what):
    done = subprocess.run(
        [str(BUILD / "bin" / "micropython"), "-X", "heapsize=2M", str(_SCRIPT), what],
        cwd=ROOT,
        env=dict(os.environ, MICROPYPATH=f"{ROOT}:.frozen"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return json.loads(done.stdout)
