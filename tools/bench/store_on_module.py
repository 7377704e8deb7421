"""Runs on MicroPython: the vault and littlefs 2 side by side, each on flash of its own. Prints a line of JSON.

The flash is memory behind functions that take no heap, so that what is counted
is the store's and the file system's own.
"""

import gc
import json
import time

import micropython
import vfs

from firmware.store import layout
from firmware.store.store import Store
from firmware.store.window import Window

_CHANGE_SIZE = 1024
_ROUNDS = 64
_BLOCKS = 64  # of littlefs


@micropython.viper
def _copy(to: ptr8, to_at: int, source: ptr8, source_at: int, count: int):  # noqa: F821
    at = 0
    while at < count:
        to[to_at + at] = source[source_at + at]
        at += 1


@micropython.viper
def _blank(to: ptr8, to_at: int, count: int):  # noqa: F821
    at = 0
    while at < count:
        to[to_at + at] = 0xFF
        at += 1


class MemoryFlash:
    """The device protocol over memory, with counters."""

    def __init__(self, sectors):
        self.sector_size = layout.SECTOR_SIZE
        self.size = sectors * self.sector_size
        self._memory = bytearray(self.size)
        _blank(self._memory, 0, self.size)
        self.clear()

    def clear(self):
        self.reads = self.bytes_read = self.programs = self.bytes_programmed = self.erases = 0

    def read(self, address, buffer):
        self.reads += 1
        self.bytes_read += len(buffer)
        _copy(buffer, 0, self._memory, address, len(buffer))

    def program(self, address, buffer):
        self.programs += 1
        self.bytes_programmed += len(buffer)
        _copy(self._memory, address, buffer, 0, len(buffer))

    def erase(self, sector):
        self.erases += 1
        _blank(self._memory, sector * self.sector_size, self.sector_size)


class BlockDevice:
    """The same flash as littlefs wants it (MicroPython's extended block protocol)."""

    def __init__(self, flash):
        self._flash = flash

    def readblocks(self, block, buffer, offset=0):
        self._flash.read(block * 4096 + offset, buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._flash.program(block * 4096 + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return _BLOCKS
        if operation == 5:
            return 4096
        if operation == 6:
            self._flash.erase(argument)
        return 0


def heap_of(work):
    """Bytes of heap that a call takes, garbage included."""
    gc.collect()
    gc.disable()
    before = gc.mem_alloc()
    work()
    taken = gc.mem_alloc() - before
    gc.enable()
    return taken


def measure(flash, work):
    """Means of _ROUNDS calls; of the duration the median, in us."""
    work()
    heap = max([heap_of(work) for _ in range(4)])
    flash.clear()
    durations_us = []
    for _ in range(_ROUNDS):
        start = time.ticks_us()
        work()
        durations_us.append(time.ticks_diff(time.ticks_us(), start))
    durations_us.sort()
    return {
        "bytes_programmed": flash.bytes_programmed / _ROUNDS,
        "erases": flash.erases / _ROUNDS,
        "reads": flash.reads / _ROUNDS,
        "bytes_read": flash.bytes_read / _ROUNDS,
        "heap": heap,
        "us": durations_us[_ROUNDS // 2],
    }


def vault_figures(items):
    flash = MemoryFlash(layout.SECTOR_COUNT)
    iv = bytes(range(16))

    def fixed_random(size):
        return iv  # a generator's own cost is not the store's

    store = Store(flash, fixed_random)
    store.create(bytes(range(32)))
    store.start()
    vault = store.vault
    flash.clear()
    vault.commit(items)
    first_erases = flash.erases
    figures = measure(flash, lambda: vault.commit(items))
    figures["first_erases"] = first_erases
    figures["body"] = len(vault.read())
    return figures


def littlefs_figures(content):
    flash = MemoryFlash(_BLOCKS)
    device = BlockDevice(flash)
    vfs.VfsLfs2.mkfs(device)
    system = vfs.VfsLfs2(device)

    def replace():
        file = system.open("new", "wb")
        file.write(content)
        file.close()
        system.rename("new", "info")

    return measure(flash, replace)


def bare_figures(content):
    """Two slots without seal, recovery or read-back: the least that a replacement can take."""
    flash = MemoryFlash(8)
    window = Window(flash, 0, 8)
    slot = [0]

    def replace():
        target = 4 - slot[0]
        window.erase(target)
        window.program(target * 4096, content)
        window.erase(slot[0])
        slot[0] = target

    return measure(flash, replace)


def main():
    values = [(0x11, bytes(120)), (0x13, bytes(300)), (0x51, bytes(100))]
    used = sum([3 + len(value) for _, value in values])
    values.append((0x53, bytes(_CHANGE_SIZE - used - 3)))
    content = bytes(_CHANGE_SIZE)
    found = {
        "vault": vault_figures(values),
        "littlefs": littlefs_figures(content),
        "bare": bare_figures(content),
    }
    print(json.dumps(found))


main()
