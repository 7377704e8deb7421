"""Boots of a module with its phone unit in which the power may go."""

import sys

import virtual_time
from phone_rig import PhoneRig

from tools.sim.chips.flash import PowerCut

MICROPYTHON = sys.implementation.name == "micropython"


def on(device, scenario):
    """Run `async scenario(rig)` on a module that starts now. PowerCut, whichever of its tasks the power went in."""

    async def main():
        rig = PhoneRig(device)
        rig.start()
        try:
            await scenario(rig)
        finally:
            rig.power_off()

    try:
        virtual_time.run(main())
    except Exception:  # what a phone, and a module without power, make of it
        if device.powered:
            raise
    if not device.powered:
        raise PowerCut()


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
