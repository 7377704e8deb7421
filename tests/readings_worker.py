"""One of several workers that get the same reports: `python -m tests.readings_worker URL SERIAL SEED STOPS_AT NOW`.

Gives the requests that stand on its standard input, one JSON a line, to the services, in an order of its own. With
STOPS_AT above 0 it stops for good within the transaction of that many of its stores, and says so.
"""

import json
import random
import signal
import sys

from tools.pps.db import Database
from tools.pps.identity import CONNECTION, ModuleIdentity
from tools.pps.services import build_services
from tools.pps.services.taking import Report, SentRecord
from tools.pps.services.writes import Writes


def report_of(request):
    """The Report of a request's body."""
    records = tuple(
        SentRecord(each["number"], *(bytes.fromhex(each[name]) for name in ("body", "tag", "mac")))
        for each in request["records"]
    )
    values = (request[name] for name in ("epoch", "site", "contract", "head", "oldest"))
    return Report(*values, bytes.fromhex(request["before"]), records)


def identity_of(serial, number=1):
    """As tests.readings_api gives it."""
    return ModuleIdentity(serial, CONNECTION, f"{serial}{number}".encode().hex().ljust(64, "0"))


def main(url, serial, seed, stops_at, now):
    database = Database(url)
    services = build_services(database, None, None, clock=lambda: int(now) + int(seed))
    requests = [json.loads(line) for line in sys.stdin]
    random.Random(int(seed)).shuffle(requests)
    left = int(stops_at)

    def flush(writes, really=Writes.flush):
        nonlocal left
        really(writes)
        left -= 1
        if left == 0:
            print("stopped", flush=True)
            signal.pause()

    Writes.flush = flush
    if left <= 0:
        print("ready", flush=True)
    for request in requests:
        services.readings.take(identity_of(serial), report_of(request))
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
