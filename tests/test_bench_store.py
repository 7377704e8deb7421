"""The store's figures are within their limits. Counts only: durations are for `make bench` to show."""

from tools.bench.store import rows


def test_a_commit_of_1_kib_stays_within_its_limits():
    counted = [row for row in rows() if row["unit"] != "times"]
    assert len(counted) == 6
    for row in counted:
        print(row)
        assert row["ok"], row
