"""Cuts the power at every point of an operation. Runs on CPython and on MicroPython.

    summary = explore(make_device, prepare, operation, check, two_deep=False, thin=1, rerun=False)

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

The run is not made again for each of its points: what flash holds before an
operation, and `told`, are the same whether the power goes in it or not. So a
copy of the chip takes the torn operation, and the run goes on. With `rerun`
each first point has a run of its own in which the power does go: for whoever
goes on after it, as a phone that reads what it was still sent.

Points that leave the same flash behind, with the same told, are checked once:
the state after one operation is that before the next.

`shard=(index, count)` does the points whose number is index modulo count, to
share the work out. Returns {"operations", "points", "second_points", "checks",
"states"}; the last one is a digest of all that was checked.
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


def explore(make_device, prepare, operation, check, two_deep=False, shard=(0, 1), thin=1, rerun=False):
    """See the module's text."""
    before = make_device()
    _run(prepare, before)
    uncut = before.fork()
    first = _Points("", shard[1], shard[0], set())
    told = []
    if rerun:
        uncut.record()
        _checked(operation, uncut, told, "no cut")
        for done in uncut.operations:
            first.each(before, done, lambda index, torn: _cut(before.fork(), index, torn, operation))
        uncut.operations = None
    else:
        first.follow(operation, uncut, told, "no cut")
    _checked(check, uncut, told, "no cut")
    uncut.discard()
    before.discard()
    seen = set(first.seen)
    second_points = 0
    for number, where, device, told in first.found:
        second = _Points(where + ", then ", thin, 0, seen, number * _SPREAD)
        if two_deep:
            second.follow(check, device, told, where)
        else:
            _checked(check, device, told, where)
        device.discard()
        for _, here, again, told_again in second.found:
            _checked(check, again, told_again, here)
            again.discard()
        second_points += second.taken
    return {
        "operations": first.operations,
        "points": first.taken,
        "second_points": second_points,
        "checks": len(seen),
        "states": hashlib.sha256(b"".join(sorted(seen))).digest().hex(),
    }


class _Points:
    """The points of one run: those are taken whose number is `rest` modulo `thin`, and kept that are not in `seen`.

    found: (number, name, chip after the cut with power back on, told by then) of each that is kept.
    """

    def __init__(self, name, thin, rest, seen, number=0):
        self.operations = 0
        self.taken = 0
        self.found = []
        self.seen = seen
        self._name = name
        self._thin = thin
        self._rest = rest
        self._number = number

    def follow(self, function, device, told, where):
        """Make the run, and all points of it in copies of the chip."""

        def before_each(operation, data):
            self.each(device, operation, lambda index, torn: (device.torn_fork(operation, data, torn), list(told)))

        device.before_each = before_each
        _checked(function, device, told, where)
        device.before_each = None

    def each(self, chip, operation, cut):
        """cut(index, torn) at each point of the next operation of a chip: returns the chip then, and what was told."""
        index = self.operations
        self.operations += 1
        for torn in chip.torn_kinds(operation):
            self._number += 1
            if self._number % self._thin != self._rest:
                continue
            self.taken += 1
            device, told = cut(index, torn)
            state = hashlib.sha256(device.state() + repr(told).encode()).digest()[:12]
            if state in self.seen:
                device.discard()
            else:
                self.seen.add(state)
                name = f"{self._name}cut in operation {index} {operation}, torn {torn}"
                self.found.append((self._number, name, device, told))


def tally(name, counts):
    """The line that a test prints about its cuts, and tests/cut_counts.py reads."""
    line = f"power cuts: {name}: {counts['points']} one deep, {counts['second_points']} two deep"
    if "operations" in counts:
        line += f"; {counts['operations']} operations, {counts['checks']} states checked"
    return line


def _cut(device, index, torn, operation):
    """A run in which the power goes: the chip once it is back on, and what was told."""
    told = []
    device.cut_at(index, torn)
    failure = AssertionError("this run made fewer operations than the recorded one")
    try:
        _run(operation, device, told)
    except PowerCut:
        device.power_on()
        return device, told
    except Exception as error:
        failure = error
    _fail(f"to be cut in operation {index}, torn {torn}", failure)


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
