"""Devices and stores to begin a test with. Runs on CPython and on MicroPython."""

import hashlib

from firmware.codec import decode_items
from firmware.store import layout
from firmware.store.store import Store
from tools.sim.chips.flash import NorFlash

ROOT_SECRET = bytes(range(32))


def make_device():
    """A blank chip of the data partition's size."""
    return NorFlash(layout.SECTOR_COUNT * layout.SECTOR_SIZE)


class CountingRandom:
    """random(n) that never repeats and is the same in every run with the same seed."""

    def __init__(self, seed=b""):
        self._seed = seed
        self.calls = 0
        self.barred = False

    def __call__(self, size):
        assert not self.barred, "random bytes were asked for at the start"
        self.calls += 1
        out = b""
        while len(out) < size:
            out += hashlib.sha256(b"%s %d %d" % (self._seed, self.calls, len(out))).digest()
        return out[:size]


def new_store(device, seed=b""):
    """A Store that is not started."""
    return Store(device, CountingRandom(seed))


def provisioned():
    """A device with an empty vault of generation 1, and an identity."""
    device = make_device()
    new_store(device, b"provisioning").create(ROOT_SECRET, _identity)
    return device


def _identity(store):
    store.identity.write([(1, b"INK-0001"), (6, bytes(32))])


def started(device, seed=b""):
    """A Store on the device after `start`, which may not ask for random bytes."""
    random = CountingRandom(seed)
    random.barred = True
    store = Store(device, random)
    store.start()
    random.barred = False
    return store


def items_of(body):
    """A body as a list of (id, bytes)."""
    return [(item_id, bytes(value)) for item_id, value in decode_items(body)]
