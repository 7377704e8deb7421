"""How many power cuts a run of the tests made, out of the lines that `harness.tally` made."""

import re

_TALLY = re.compile(r"^power cuts: (.+): (\d+) one deep, (\d+) two deep", re.MULTILINE)


def count_cuts(texts):
    """{operation: [one deep, two deep]} of what tests printed; what was shared out to several tests is added up."""
    counts = {}
    for text in texts:
        for name, one_deep, two_deep in _TALLY.findall(text):
            count = counts.setdefault(name, [0, 0])
            count[0] += int(one_deep)
            count[1] += int(two_deep)
    return counts


def table(counts):
    """Lines of text: one for each operation, then the total; none where nothing was cut."""
    if not counts:
        return []
    rows = [(name, *counts[name]) for name in sorted(counts)]
    rows.append(("total", *map(sum, zip(*counts.values(), strict=True))))
    width = max(len(row[0]) for row in rows)
    heading = f"{'operation':<{width}}  one deep  two deep"
    return [heading, *(f"{name:<{width}}  {one_deep:>8}  {two_deep:>8}" for name, one_deep, two_deep in rows)]
