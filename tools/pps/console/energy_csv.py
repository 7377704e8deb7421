"""Half-hour values as CSV (RFC 4180), for Excel and for programs. docs/console.md describes the columns."""

import csv
import datetime
import io

from tools.pps.models import QUANTITIES

BOM = "\ufeff"
"""Without it Excel takes a file for the machine's code page (Shift JIS in Japan). Python reads it as utf-8-sig."""

COLUMNS = (
    "start_utc",
    "end_utc",
    "start_local",
    "end_local",
    "half_hours",
    *(f"{name}_wh" for name in QUANTITIES),
    *(f"{name}_quality" for name in QUANTITIES),
    "flags",
    "module",
    "site",
    "contract",
)

_ROWS_A_PIECE = 500
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def harmless(text):
    """A text that no spreadsheet takes for a formula: before what it might, an apostrophe."""
    return "'" + text if text.startswith(_FORMULA) else text


def grouped(site):
    """A site's number as 2-4-4-4-4-4 digits: without hyphens a spreadsheet makes a rounded number of it."""
    return "-".join([site[:2], *(site[at : at + 4] for at in range(2, len(site), 4))])


def encode(rows, serial, zone):
    """Pieces of the file, UTF-8. rows: HalfHours in order; zone: of the local times."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    buffer.write(BOM)
    writer.writerow(COLUMNS)
    yield _taken(buffer)
    for count, row in enumerate(rows, 1):
        start, end = (datetime.datetime.fromtimestamp(at, datetime.UTC) for at in (row.start, row.end))
        writer.writerow(
            (
                start.strftime("%Y-%m-%dT%H:%M:%SZ"),
                end.strftime("%Y-%m-%dT%H:%M:%SZ"),
                start.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
                end.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
                row.span,
                *("" if wh is None else wh for wh in row.energies),
                *row.qualities,
                row.flags,
                harmless(serial),
                harmless(grouped(row.site)),
                harmless(row.contract),
            )
        )
        if count % _ROWS_A_PIECE == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer):
    piece = buffer.getvalue().encode()
    buffer.seek(0)
    buffer.truncate()
    return piece
