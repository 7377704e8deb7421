"""Explores operations and prints a line of JSON.

Names are those of `operations.OPERATIONS`, or `wrong:NAME` of `wrong.WRONG`.
"""

import json

from tests.power.harness import explore
from tests.power.operations import OPERATIONS
from tests.power.wrong import failure_of


def main(shard, shards, names):
    found = {}
    for name in names:
        if name.startswith("wrong:"):
            found[name] = failure_of(name[6:])
        else:
            work = OPERATIONS[name]()
            parts = work.make_device, work.prepare, work.operation, work.check, work.two_deep
            found[name] = explore(*parts, shard=(shard, shards))
    print(json.dumps(found))
