"""Cuts the power at every point of an operation. Runs on CPython and on MicroPython.

    summary = explore(make_device, prepare, operation, check, two_deep=False, thin=1)

make_device()             a blank NorFlash (tools/sim/chips/flash.py).
prepare(device)           brings it to the state before the operation; run once, never cut.
operation(device, told)   starts the firmware on the device and does the thing that is to be cut.
check(device, told)       power is back: starts the firmware anew, asserts that the state is exactly
                          the old or the new one, that all seals verify, and does the next operation.

Each of the last three may be a coroutine function. Nothing but the device goes
from one to the next, as nothing but flash outlives a power cut, with one
exception: `told` is a list for what the outside world has learnt by then.
The operation appends to it when it has confirmed something
(`told.append("confirmed")`), so that check can assert that what was confirmed
is there, and that no more was answered than the flash has counted.

A point is one program or erase of the uncut run, times what a cut can do to
it (`NorFlash.torn_kinds`: nothing done, some of the bytes, some of the bits, a
sector that reads differently each time, all done). With two_deep every point
goes on: a second cut at each point of its check, that is of the recovery and
of the next operation, then check once more. check must allow for that: told
then holds also what a check that was cut has appended. thin: of the second
points it takes one in so many, another one after each first point.

Points that leave the same flash behind, with the same told, are checked once:
the state after one operation is that before the next.

`shard=(index, count)` does the points whose number is index modulo count, to
share the work out. Returns {"operations", "points", "second_points", "checks"}.
Raises PowerFailure, an AssertionError, that names the point and chains the error.
"""

import hashlib
import sys

from tools.sim.chips.flash import PowerCut

_SPREAD = 37  # so that with `thin` neighbours do not try the same second points


class PowerFailure(AssertionError):
    """A point after which the firmware was not right. `point` is a text, `cause` the error."""

    def __init__(self, point, cause):
        super().__init__(f"{point}: {type(cause).__name__}: {cause}")
        self.point = point
        self.cause = cause


def explore(make_device, prepare, operation, check, two_deep=False, shard=(0, 1), thin=1):
    """See the module's text."""
    before = make_device()
    _run(prepare, before)
    uncut = before.fork()
    uncut.record()
    told = []
    _checked(operation, uncut, told, "no cut")
    operations = uncut.operations
    uncut.operations = None
    _checked(check, uncut, told, "no cut")
    uncut.discard()
    points = second_points = number = 0
    seen = set()
    seen_first = set()
    for index, done in enumerate(operations):
        for torn in before.torn_kinds(done):
            number += 1
            if number % shard[1] != shard[0]:
                continue
            where = _name(index, done, torn)
            device = before.fork()
            told = []
            _cut(device, index, torn, operation, told, where)
            points += 1
            state = _state(device, told)
            if state not in seen_first:
                seen_first.add(state)
                seen.add(state)
                recovered = device.fork()
                recovered.record()
                _checked(check, recovered, list(told), where)
                recovered.discard()
                if two_deep:
                    second_points += _second(device, recovered.operations, check, told, where, seen, number, thin)
            device.discard()
    before.discard()
    return {
        "operations": len(operations),
        "points": points,
        "second_points": second_points,
        "checks": len(seen),
    }


def tally(name, counts):
    """The line that a test prints about its cuts, and tests/cut_counts.py reads."""
    line = f"power cuts: {name}: {counts['points']} one deep, {counts['second_points']} two deep"
    if "operations" in counts:
        line += f"; {counts['operations']} operations, {counts['checks']} states checked"
    return line


def _second(device, operations, check, told, where, seen, first, thin):
    count = 0
    number = first * _SPREAD
    for index, done in enumerate(operations):
        for torn in device.torn_kinds(done):
            number += 1
            if number % thin:
                continue
            here = where + ", then " + _name(index, done, torn)
            again = device.fork()
            told_again = list(told)
            _cut(again, index, torn, check, told_again, here)
            count += 1
            state = _state(again, told_again)
            if state not in seen:
                seen.add(state)
                _checked(check, again, told_again, here)
            again.discard()
    return count


def _state(device, told):
    return hashlib.sha256(device.state() + repr(told).encode()).digest()[:12]


def _cut(device, index, torn, function, told, where):
    device.cut_at(index, torn)
    failure = AssertionError("this run made fewer operations than the recorded one")
    try:
        _run(function, device, told)
    except PowerCut:
        device.power_on()
        return
    except Exception as error:
        failure = error
    _fail(where, failure)


def _checked(function, device, told, where):
    failure = None
    try:
        _run(function, device, told)
        assert not device.misuses, device.misuses
    except Exception as error:
        failure = error
    if failure:
        _fail(where, failure)


def _run(function, *arguments):
    result = function(*arguments)
    if hasattr(result, "send"):
        import asyncio

        try:
            asyncio.run(result)
        finally:
            if sys.implementation.name == "micropython":
                # A PowerCut leaves its one event loop with the tasks in it.
                asyncio.new_event_loop()


def _fail(where, error):
    if sys.implementation.name == "micropython":
        sys.print_exception(error)  # it has no chained errors
        raise PowerFailure(where, error)
    raise PowerFailure(where, error) from error


def _name(index, operation, torn):
    return f"cut in operation {index} {operation}, torn {torn}"
