"""The data partition as a NOR flash device: read, program, erase."""

from micropython import const

from firmware.errors import FlashError

_IOCTL_BLOCK_COUNT = const(4)
_IOCTL_BLOCK_SIZE = const(5)
_IOCTL_BLOCK_ERASE = const(6)


class PartitionFlash:
    """Device protocol over a block device with the extended interface.

    `partition` has readblocks(block, buffer, offset), writeblocks(block,
    buffer, offset) that programs without an erase, and ioctl (MicroPython:
    esp32.Partition, vfs.AbstractBlockDev). Every failure is a FlashError.
    """

    def __init__(self, partition):
        self._partition = partition
        self.sector_size = partition.ioctl(_IOCTL_BLOCK_SIZE, 0)
        self.size = partition.ioctl(_IOCTL_BLOCK_COUNT, 0) * self.sector_size

    def read(self, address, buffer):
        """Fill `buffer` with the bytes from `address` on."""
        self._check(address, buffer)
        try:
            self._partition.readblocks(address // self.sector_size, buffer, address % self.sector_size)
        except OSError:
            raise FlashError("read")

    def program(self, address, buffer):
        """Turn 1 into 0 where `buffer` has zeros; nothing is erased."""
        self._check(address, buffer)
        try:
            # The offset is given even when it is 0: a call without one erases the block first.
            self._partition.writeblocks(address // self.sector_size, buffer, address % self.sector_size)
        except OSError:
            raise FlashError("program")

    def erase(self, sector_index):
        """Set every byte of one sector to 0xFF."""
        if not 0 <= sector_index * self.sector_size < self.size:
            raise FlashError("range")
        try:
            failed = self._partition.ioctl(_IOCTL_BLOCK_ERASE, sector_index)
        except OSError:
            raise FlashError("erase")
        if failed:
            raise FlashError("erase")

    def _check(self, address, buffer):
        if address < 0 or address + len(buffer) > self.size:
            raise FlashError("range")
