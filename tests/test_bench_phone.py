"""Operation 2 in figures, from a real run: what goes over the link is little enough."""

from tools.bench import phone


def test_operation_2_takes_no_more_round_trips_than_expected():
    rows = {row["name"].partition(": ")[2]: row for row in phone.rows()}
    round_trips = rows["ATT round trips after discovery"]
    assert round_trips["ok"] and 6 <= round_trips["value"] <= round_trips["limit"] == 12
    # An answer to each request: info, share V, status, twice a result, and the end.
    assert rows["notifications"]["value"] >= 6
    calculated = 30 * (2 * round_trips["value"] + rows["notifications"]["value"]) + 400
    assert rows["time at an interval of 30 ms, calculated"]["value"] == calculated
    # At the least the shares and confirmations.
    assert rows["from the phone"]["value"] > 65 + 32
    assert rows["from the module"]["value"] > 97
