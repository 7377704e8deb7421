"""Power cut at every program and erase of everything that writes the store (R2, R9, S9), on MicroPython."""

import json
import subprocess

import pytest

from tests.cut_counts import count_cuts, table
from tests.on_micropython import command, environment
from tests.power.harness import tally
from tests.power.operations import OPERATIONS
from tests.power.wrong import WRONG
from tools.setup import ROOT

_TIMEOUT_S = 240
# 128 KiB are enough. But the harness makes garbage at each of many thousand cuts, and to collect it from a heap of
# that size takes a third of the time.
_HEAP = "4M"

_LARGE = ("vault_commit", "guard_change", "provisioning", "erase_everything")
_SMALL = sorted(set(OPERATIONS) - set(_LARGE))
_GROUPS = 4


def explored(*names):
    """What tests/power/run.py found out, in an interpreter of its own."""
    done = subprocess.run(
        command("tests.power.run", names, heap=_HEAP),
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def report(found):
    for name, counts in found.items():
        print(tally("store: " + name, counts))
        assert counts["points"] and counts["checks"]
        if OPERATIONS[name]().two_deep:
            assert counts["second_points"] > counts["points"]


@pytest.mark.parametrize("name", _LARGE)
def test_r2_s9_a_cut_leaves_the_old_or_the_new_state(name):
    report(explored(name))


@pytest.mark.parametrize("group", range(_GROUPS))
def test_r2_s9_a_cut_leaves_the_old_or_the_new_state_in_the_rest(group):
    report(explored(*_SMALL[group::_GROUPS]))


def test_a_cut_in_a_copy_of_the_chip_leaves_what_a_cut_in_a_run_of_its_own_does():
    names = ("guard_last_place", "ring_forgive")
    found = explored(*names)
    again = explored(*["rerun:" + name for name in names])
    assert [again["rerun:" + name] for name in names] == [found[name] for name in names]


@pytest.mark.parametrize("name", sorted(WRONG))
def test_s9_a_wrong_store_is_found_out(name):
    failure = explored("wrong:" + name)["wrong:" + name]
    print(failure)
    assert failure.startswith("cut in operation ")


def test_cuts_are_counted_out_of_what_tests_print():
    counts = {"operations": 3, "points": 21, "second_points": 40, "checks": 17}
    more = {"points": 2, "second_points": 0}
    printed = ["first\n" + tally("store: a", counts) + "\nlast", "", tally("store: a", more) + "\n" + tally("b", more)]
    assert count_cuts(printed) == {"store: a": [23, 40], "b": [2, 0]}
    assert [line.split() for line in table(count_cuts(printed))[1:]] == [
        ["b", "2", "0"],
        ["store:", "a", "23", "40"],
        ["total", "25", "40"],
    ]
    assert table({}) == []
