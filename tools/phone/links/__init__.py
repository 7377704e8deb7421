"""Ways from a computer to a module, one file each.

A carrier:
    await scan()    [Found] of what is heard now; only BLE and the house's radio can
    await open()    a link as tools/phone/client.py takes it, a new one each time, of which the one before is closed by
                    then. LinkError, `code` of CODES
    await close()   gives back what it holds, after the links
"""

from typing import NamedTuple

from firmware import wire
from firmware.errors import LinkError

SCAN_S = 5
OPEN_S = 20
WRITE_S = 10
WRITE_MAX_BYTES = 180  # of one write over BLE, as docs/phone.md says

# Codes of LinkError, in words
CODES = {
    "closed": "the link has ended",
    "timeout": "the module does not answer",
    "not_found": "no such module is heard: is it switched on and near, and is its name right?",
    "several": "more than one module is heard: name the one that is meant",
    "no_adapter": "this computer has no Bluetooth that can be used: is it there, and switched on?",
    "no_house": "the house does not answer: is `make run` running, and is this its address?",
    "no_server": "the server does not answer, or its certificate is not trusted (see --ca)",
    "no_conversation": "the server takes this link no more: it has been replaced, or its credential is over",
    "module_offline": "the module has not called its server for a while: is it on, and does it have a network?",
    "bad_link": "this is not the link of a message: https://host/phone/#relay= and 32 letters and digits",
    "bad_ca": "the file of --ca cannot be read, or holds no certificate in PEM form",
    "no_port": "the serial port cannot be opened: is the cable in, may you use it, does nobody else?",
}

LASTING = ("no_conversation",)  # of these: another try is of no use


class Found(NamedTuple):
    """A module that is heard. state: one of wire.STATES, or None where it speaks another version of the protocol."""

    address: str
    name: str
    state: str | None


def choose(found, wanted):
    """The module of a list that has the name (or the end of it) or the address; where None is wanted, the only one."""
    if wanted:
        found = [
            one for one in found if wanted.lower() in (one.address.lower(), one.name.lower(), one.name[-8:].lower())
        ]
    if not found:
        raise LinkError("not_found")
    if len(found) > 1:
        raise LinkError("several")
    return found[0]


def state_of(protocol, state):
    """The name of a state that is advertised, or None."""
    return wire.STATES[state] if protocol == wire.PROTOCOL and state < len(wire.STATES) else None
