"""Boots of a module with its phone unit in which the power may go."""

import sys

import virtual_time
from phone_rig import PhoneRig
from unit_rig import draw_from

from firmware.crypto import p256
from tools.sim.chips.flash import PowerCut

MICROPYTHON = sys.implementation.name == "micropython"


_KNOWN_PRODUCTS = 500
_plain = {name: getattr(p256, name) for name in ("multiply", "multiply_base", "multiply_sum")}
_known = {}


def _remembering(name):
    def product(*factors):
        key = name, factors
        if key not in _known:
            if len(_known) >= _KNOWN_PRODUCTS:
                _known.clear()
            _known[key] = _plain[name](*factors)
        return _known[key]

    return product


def on(device, scenario):
    """Run `async scenario(rig)` on a module that starts now. PowerCut, whichever of its tasks the power went in.

    Each boot of a module draws bytes of its own, and the same ones when it is made again: so the products of points,
    most of such a run's time, are computed once.
    """

    async def main():
        draw_from(device.state())
        rig = PhoneRig(device)
        draw_from(b"boot %d" % rig.clock.boot_count)
        rig.start()
        try:
            await scenario(rig)
        finally:
            rig.power_off()

    try:
        _run(main())
    except Exception:  # what a phone, and a module without power, make of it
        if device.powered:
            raise
    if not device.powered:
        raise PowerCut()


def _run(coroutine):
    for name in _plain:
        setattr(p256, name, _remembering(name))
    try:
        return virtual_time.run(coroutine)
    finally:
        for name, product in _plain.items():
            setattr(p256, name, product)


def boot(device, scenario, cut=None, variant=0):
    """Run it on a module that starts now; with `cut` the power goes in that operation, if there are so many."""
    if cut is not None:
        uncut = device.fork()
        uncut.record()
        on(uncut, scenario)
        if cut < len(uncut.operations):
            kinds = device.torn_kinds(uncut.operations[cut])
            device.cut_at(cut, kinds[variant % len(kinds)])
        uncut.discard()
    try:
        on(device, scenario)
    except PowerCut:
        pass
    device.power_on()


def operations_of(device, scenario):
    """Numbers of the operations of flash in a boot: all of them on CPython, a few on MicroPython."""
    device = device.fork()
    device.record()
    on(device, scenario)
    return range(0, len(device.operations), 7 if MICROPYTHON else 1)
