"""MicroPython's `esp32.Partition` over the wire."""

import struct

import _opcodes
import _wire

_BLOCK_SIZE = 4096
_ANY = 0xFF


class Partition:
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, label, _row=None):
        if _row is None:
            _row = _by_label(label)
        self._index, self._info = _row

    @staticmethod
    def find(type=TYPE_APP, subtype=_ANY, label=None, block_size=_BLOCK_SIZE):
        if block_size != _BLOCK_SIZE:
            raise ValueError("block_size")
        found = []
        for row in _table():
            info = row[1]
            if info[0] == type and subtype in (_ANY, info[1]) and label in (None, info[4]):
                found.append(Partition(info[4], row))
        return found

    def info(self):
        return self._info + (False,)

    def readblocks(self, block, buffer, offset=0):
        size = struct.pack("<I", len(buffer))
        _wire.ask(_opcodes.FLASH_READ, self._index, 0, block * _BLOCK_SIZE + offset, size, buffer)

    def writeblocks(self, block, buffer, offset=None):
        if offset is None:
            for done in range(len(buffer) // _BLOCK_SIZE):
                _wire.ask(_opcodes.FLASH_ERASE, self._index, block + done)
            offset = 0
        _wire.ask(_opcodes.FLASH_PROGRAM, self._index, 0, block * _BLOCK_SIZE + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._info[3] // _BLOCK_SIZE
        if operation == 5:
            return _BLOCK_SIZE
        if operation == 6:
            _wire.ask(_opcodes.FLASH_ERASE, self._index, argument)
        return 0


def _table():
    table = []
    for index in range(_wire.ask(_opcodes.PARTITION_COUNT)):
        info = _wire.ask_bytes(_opcodes.PARTITION_INFO, index)
        table.append((index, struct.unpack_from("<BBII", info, 0) + (info[10:].decode(),)))
    return table


def _by_label(label):
    for row in _table():
        if row[1][4] == label:
            return row
    raise OSError(2)
