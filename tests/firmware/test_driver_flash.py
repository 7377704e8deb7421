from firmware.drivers.flash import PartitionFlash
from firmware.errors import FlashError
from tests.dual import raises


class Partition:
    """As esp32.Partition: writeblocks without an offset erases first."""

    def __init__(self, blocks=4):
        self.blocks = blocks
        self.calls = []
        self.failing = False

    def _call(self, *call):
        if self.failing:
            raise OSError(5)
        self.calls.append(call)

    def readblocks(self, block, buffer, offset=None):
        self._call("read", block, offset, len(buffer))
        buffer[0] = 0x5A

    def writeblocks(self, block, buffer, offset=None):
        assert offset is not None, "this would have erased"
        self._call("program", block, offset, bytes(buffer))

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return 4096
        self._call("ioctl", operation, argument)
        return 0


def make():
    partition = Partition()
    return partition, PartitionFlash(partition)


def test_geometry_is_the_partitions():
    flash = make()[1]
    assert flash.sector_size == 4096
    assert flash.size == 16384


def test_operations_reach_block_and_offset():
    partition, flash = make()
    buffer = bytearray(3)
    flash.read(4096 * 2 + 7, buffer)
    flash.program(4096, b"abc")
    flash.erase(3)
    assert buffer[0] == 0x5A
    assert partition.calls == [("read", 2, 7, 3), ("program", 1, 0, b"abc"), ("ioctl", 6, 3)]


def test_every_failure_is_a_flash_error():
    partition, flash = make()
    partition.failing = True
    with raises(FlashError):
        flash.read(0, bytearray(1))
    with raises(FlashError):
        flash.program(0, b"x")
    with raises(FlashError):
        flash.erase(0)


def test_erase_that_answers_with_an_error_number_is_a_flash_error():
    partition, flash = make()
    partition.ioctl = lambda operation, argument: -5
    with raises(FlashError):
        flash.erase(0)


def test_nothing_outside_the_partition_is_touched():
    partition, flash = make()
    with raises(FlashError):
        flash.read(16380, bytearray(5))
    with raises(FlashError):
        flash.program(-1, b"x")
    with raises(FlashError):
        flash.erase(4)
    with raises(FlashError):
        flash.erase(-1)
    assert partition.calls == []
