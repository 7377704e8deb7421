"""`make bench`: the table, the rows as JSON, and an exit code that tells a missed expectation."""

import json

import pytest

from tools.bench import heap
from tools.bench.__main__ import main, table
from tools.bench.callgrind import CallgrindError

GOOD = {"name": "erases", "value": 2.0, "unit": "erases", "limit": 2, "peer": 1.055, "ok": True}
MISSED = {"name": "heap", "value": 130, "unit": "B", "limit": 128, "peer": None, "ok": False}
FREE = {"name": "read", "value": 5696, "unit": "B", "limit": None, "peer": None, "ok": None}


@pytest.mark.parametrize(("rows", "code"), [([GOOD, FREE], 0), ([GOOD, MISSED], 1)])
def test_exit_code_tells_a_missed_expectation(tmp_path, capsys, rows, code):
    path = tmp_path / "bench.json"
    assert main(["--json", str(path)], {"fake": lambda: rows}) == code
    assert json.loads(path.read_text()) == rows
    printed = capsys.readouterr().out
    assert ("NOT OK" in printed) == bool(code)


def test_every_row_has_its_expectation_beside_it():
    text, missed = table([GOOD, MISSED, FREE])
    lines = text.splitlines()
    assert missed == 1
    assert lines[1].split() == ["erases", "2", "erases", "2", "1.055", "ok"]
    assert lines[2].split() == ["heap", "130", "B", "128", "-", "NOT", "OK"]
    assert lines[3].split() == ["read", "5,696", "B", "-", "-"]


def test_a_part_that_cannot_be_measured_is_a_miss_and_leaves_the_others(tmp_path, capsys):
    def without_valgrind():
        raise CallgrindError("valgrind is missing")

    path = tmp_path / "bench.json"
    assert main(["--json", str(path)], {"counted": without_valgrind, "fake": lambda: [GOOD]}) == 1
    assert [row["ok"] for row in json.loads(path.read_text())] == [False, True]
    printed = capsys.readouterr()
    assert "counted: not measured" in printed.out and "valgrind is missing" in printed.err


def test_unknown_part_is_refused(tmp_path):
    with pytest.raises(SystemExit) as refused:
        main(["nothing", "--json", str(tmp_path / "bench.json")], {"fake": lambda: [GOOD]})
    assert refused.value.code == 2


def test_bytecode_that_runs_in_place_takes_less_heap_than_loaded():
    names = ["firmware.errors", "firmware.app", "firmware.panel.editor"]
    loaded, in_place = heap.imports("mpy", names), heap.imports("rom", names)
    assert set(loaded) == set(names) and set(in_place) == set(names[1:])  # the errors are a part of the application
    assert sum(in_place.values()) < sum(loaded.values())
