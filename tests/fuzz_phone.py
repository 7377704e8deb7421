"""Open-ended fuzzing of what a phone can send, on MicroPython: `make fuzz`, until Ctrl-C or a finding.

Each round prints its seed first; `python -m tests.fuzz_phone SEED` does that round again.
"""

import secrets
import subprocess
import sys

from tests.on_micropython import command, environment, stage_tests
from tools.setup import ROOT

_ROUND_TIMEOUT_S = 600
_HEAP = "4M"


def one_round(seed):
    """Exit status of a round."""
    done = subprocess.run(
        command("phone_fuzz", seed, heap=_HEAP),
        cwd=ROOT,
        env=environment(),
        timeout=_ROUND_TIMEOUT_S,
        check=False,
    )
    return done.returncode


def main(arguments):
    fault = stage_tests()
    if fault:
        print(fault)  # what is needed may be there all the same
    if arguments:
        return one_round(int(arguments[0], 0))
    status = 0
    while not status:
        seed = secrets.randbelow(0xFFFFFFFF) + 1
        print(f"seed {seed:#010x}", flush=True)
        status = one_round(seed)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(0)
