"""MicroPython: enrolments, a line of JSON for each.

Options: host, code, serial, limits, iterations (where not the API's), or a list of such.
"""

import asyncio
import json
import os

from firmware import settings
from firmware.link.enrol import EnrolmentError, enrol
from firmware.link.http import Limits, new_buffer

STATE = {
    "generation": 1,
    "boot_count": 1,
    "powered_s": 60,
    "attempts": 0,
    "attempts_number": 1,
    "audit_number": 1,
    "tamper": None,
    "credential": None,
}


async def borrow_buffer():
    return new_buffer()


async def one(options):
    progress = 0

    def count(done, whole):
        # Nothing that stays: what stays among the stretching's garbage tears the heap to pieces.
        nonlocal progress
        progress += 1

    settings.ENROL_ITERATIONS = options.get("iterations", settings.ENROL_ITERATIONS)
    try:
        fields = await enrol(
            options["host"],
            options["code"],
            options["serial"],
            lambda: STATE,
            os.urandom,
            "1.2.3",
            borrow_buffer,
            count,
            limits=Limits(*options["limits"]),
        )
    except EnrolmentError as error:
        return {"error": error.code, "detail": error.detail, "progress": progress}
    found = {str(number): value if isinstance(value, str) else value.hex() for number, value in fields.items()}
    return {"fields": found, "progress": progress}


async def work():
    options = json.loads(os.getenv("OPTIONS"))
    for each in options if isinstance(options, list) else [options]:
        print(json.dumps(await one(each)))


def main():
    asyncio.run(work())
