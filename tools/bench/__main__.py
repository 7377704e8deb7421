"""`python -m tools.bench`: every figure with its expectation beside it, and build/bench.json.

Exit code 1 when an expectation is missed, 0 when none is.
"""

import argparse
import json
import sys
import time

from tools.bench import crypto, heap, ingest, phone, store, wire
from tools.bench.callgrind import CallgrindError
from tools.setup import BUILD

PARTS = {
    "store": store.rows,
    "crypto": crypto.rows,
    "phone": phone.rows,
    "heap": lambda: heap.rows(_say),
    "wire": wire.rows,
    "ingest": ingest.rows,
}

_NOT_MEASURED = {"value": None, "unit": "", "limit": None, "peer": None, "ok": False}


def _say(text):
    print(f"bench: {text} ...", file=sys.stderr, flush=True)


def shown(value):
    """A figure as it is printed: thousands apart, ratios to three places, `-` for none."""
    if value is None:
        return "-"
    return f"{int(value):,}" if value == int(value) else f"{value:,.3f}"


def table(rows):
    """The rows as text, one a line, and how many miss their expectation."""
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'figure':<{width}}  {'value':>14} {'unit':<12} {'expected':>14} {'peer':>14}"]
    for row in rows:
        verdict = "" if row["ok"] is None else "ok" if row["ok"] else "NOT OK"
        expected = "-" if row["limit"] is None else shown(row["limit"])
        line = f"{row['name']:<{width}}  {shown(row['value']):>14} {row['unit']:<12} {expected:>14}"
        lines.append(f"{line} {shown(row['peer']):>14}  {verdict}".rstrip())
    missed = sum(row["ok"] is False for row in rows)
    lines.append(f"{len(rows)} figures, {missed} of them not as expected")
    return "\n".join(lines), missed


def main(arguments=None, parts=None):
    parts = PARTS if parts is None else parts
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", help=f"only some of {', '.join(parts)}")
    parser.add_argument("--json", default=BUILD / "bench.json", help="where the rows go (%(default)s)")
    options = parser.parse_args(arguments)
    unknown = set(options.part) - set(parts)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    rows = []
    for name in options.part or parts:
        started = time.monotonic()
        _say(name)
        try:
            rows += parts[name]()
        except CallgrindError as error:  # the other parts' figures are worth having
            _say(f"{name}: {error}")
            rows.append(dict(_NOT_MEASURED, name=f"{name}: not measured"))
        _say(f"{name}: {time.monotonic() - started:.0f} s")
    with open(options.json, "w") as file:
        json.dump(rows, file, indent=1)
    text, missed = table(rows)
    print(text)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
