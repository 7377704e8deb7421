"""The store's figures are within their limits. Counts only: durations are for `make bench` to show."""

from tools.bench import store
from tools.bench.store import rows


def test_a_commit_and_a_half_hour_stay_within_their_limits(monkeypatch):
    monkeypatch.setattr(store, "_PROCESSES", 1)
    counted = [row for row in rows() if row["unit"] != "times"]
    assert len(counted) == 8
    for row in counted:
        print(row)
        assert row["ok"], row
    # A record and its share of a sector's header, far below what a file system takes for it.
    programmed, erases = counted[-2:]
    assert programmed["value"] == round(128 * 32 / 31, 3) < programmed["limit"] == 153.6
    assert erases["value"] == round(1 / 31, 3) < erases["limit"]
    assert programmed["peer"] > 5 * programmed["value"] and erases["peer"] > 5 * erases["value"]
