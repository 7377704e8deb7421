"""Explores operations and prints a line of JSON.

Names are those of `operations.OPERATIONS`, `rerun:NAME` to make a run for each
first point, or `wrong:NAME` of `wrong.WRONG`.
"""

import json

from tests.power.harness import explore
from tests.power.operations import OPERATIONS
from tests.power.wrong import failure_of


def main(names):
    found = {}
    for name in names:
        if name.startswith("wrong:"):
            found[name] = failure_of(name[6:])
        else:
            rerun = name.startswith("rerun:")
            work = OPERATIONS[name[6:] if rerun else name]()
            parts = work.make_device, work.prepare, work.operation, work.check, work.two_deep
            found[name] = explore(*parts, rerun=rerun)
    print(json.dumps(found))
