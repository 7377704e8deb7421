"""Runs on MicroPython: vault, readings and littlefs 2 side by side, each on flash of its own. Prints a line of JSON;
its argument says of what: commits or half_hours.

The flash is memory behind functions that take no heap, so that what is counted
is the store's and the file system's own.
"""

import gc
import json
import sys
import time

import micropython
import vfs

from firmware.readings import Readings
from firmware.store import layout
from firmware.store.store import Store
from firmware.store.window import Window

_CHANGE_SIZE = 1024
_ROUNDS = 64
_BLOCKS = 64  # of littlefs
_RING_SECTORS = 16
_RECORD_SIZE = 128
_SECTOR_RECORDS = 31
_SLOTS = 48 * _SECTOR_RECORDS  # 31 days, and three times round the ring
_KEPT_FILES = 15  # as many records as the ring keeps at the least


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


class NoAudit:
    """The readings write to it when their chain is broken."""

    def has(self, event, detail):
        return False

    def record(self, event, detail):
        raise RuntimeError(event)


def kept(flash, keep):
    """Means of half hours that are kept, in flash that was full before."""
    for _ in range(_RING_SECTORS * _SECTOR_RECORDS):
        keep()
    flash.clear()
    for _ in range(_SLOTS):
        keep()
    return {"bytes_programmed": flash.bytes_programmed / _SLOTS, "erases": flash.erases / _SLOTS}


def readings_figures():
    flash = MemoryFlash(_RING_SECTORS)
    iv = bytes(range(16))
    info = {0x14: b"PPS-000123", 0x21: bytes(range(64))}
    readings = Readings(Window(flash, 0, _RING_SECTORS), lambda size: iv, lambda: info, NoAudit())
    values = [(0, 500 + quantity, 100_000 + quantity) for quantity in range(7)]
    slot = [400_000]

    def keep():
        slot[0] += 1
        readings.append_slot(readings.contract_tag, slot[0], 1, 0, values, 77, slot[0])

    figures = kept(flash, keep)
    figures["numbers"] = readings.head_number  # each is one record
    return figures


def littlefs_append_figures():
    """Records of the same size at the end of a file; a new one for each 31, and the oldest goes."""
    flash = MemoryFlash(_BLOCKS)
    device = BlockDevice(flash)
    vfs.VfsLfs2.mkfs(device)
    system = vfs.VfsLfs2(device)
    record = bytes(_RECORD_SIZE)
    number = [0]

    def keep():
        name, place = divmod(number[0], _SECTOR_RECORDS)
        number[0] += 1
        if not place and name >= _KEPT_FILES:
            system.remove(str(name - _KEPT_FILES))
        file = system.open(str(name), "ab")
        file.write(record)
        file.close()

    return kept(flash, keep)


def commits():
    values = [(0x11, bytes(120)), (0x13, bytes(300)), (0x51, bytes(100))]
    used = sum([3 + len(value) for _, value in values])
    values.append((0x53, bytes(_CHANGE_SIZE - used - 3)))
    content = bytes(_CHANGE_SIZE)
    return {
        "vault": vault_figures(values),
        "littlefs": littlefs_figures(content),
        "bare": bare_figures(content),
    }


def half_hours():
    return {"readings": readings_figures(), "littlefs": littlefs_append_figures()}


print(json.dumps({"commits": commits, "half_hours": half_hours}[sys.argv[1]]()))
