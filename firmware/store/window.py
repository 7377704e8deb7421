"""A bounded view of a device: whoever holds it reaches its own sectors and no others."""

from micropython import const

from firmware.errors import FlashError

SCRATCH_SIZE = const(1024)

_BLANK_SIZE = const(128)
_BLANK = b"\xff" * _BLANK_SIZE


def is_blank(view):
    """True if all bytes of a memoryview are 0xFF."""
    size = len(view)
    at = 0
    while size - at >= _BLANK_SIZE:
        if view[at : at + _BLANK_SIZE] != _BLANK:
            return False
        at += _BLANK_SIZE
    return view[at:] == _BLANK[: size - at]


class Window:
    """Sectors first_sector .. first_sector + sector_count - 1 of a device; addresses start at 0.

    scratch is a bytearray of SCRATCH_SIZE that all windows of a device may
    share: nobody keeps anything in it from one call to the next.
    """

    def __init__(self, device, first_sector, sector_count, scratch=None):
        self.device = device
        self.sector_size = device.sector_size
        self.sector_count = sector_count
        self.size = sector_count * device.sector_size
        self.scratch = bytearray(SCRATCH_SIZE) if scratch is None else scratch
        self._first_sector = first_sector
        self._base = first_sector * device.sector_size

    def part(self, first_sector, sector_count):
        """A window on some of these sectors."""
        self._check(first_sector * self.sector_size, sector_count * self.sector_size)
        return Window(self.device, self._first_sector + first_sector, sector_count, self.scratch)

    def read(self, address, buffer):
        self._check(address, len(buffer))
        self.device.read(self._base + address, buffer)

    def program(self, address, buffer):
        self._check(address, len(buffer))
        self.device.program(self._base + address, buffer)

    def erase(self, sector):
        self._check(sector * self.sector_size, self.sector_size)
        self.device.erase(self._first_sector + sector)

    def is_blank(self, sector):
        """True if a whole sector reads 0xFF. After a cut that does not prove that it is erased."""
        view = memoryview(self.scratch)
        address = sector * self.sector_size
        for at in range(address, address + self.sector_size, len(view)):
            self.read(at, view)
            if not is_blank(view):
                return False
        return True

    def all_blank(self):
        for sector in range(self.sector_count):
            if not self.is_blank(sector):
                return False
        return True

    def erase_if_not_blank(self, sector):
        if not self.is_blank(sector):
            self.erase(sector)

    def erase_not_blank(self):
        """Erase every sector that does not read blank."""
        for sector in range(self.sector_count):
            self.erase_if_not_blank(sector)

    def erase_and_check(self, sector):
        """Erase a sector, whatever it reads. `FlashError` if it is not blank then."""
        self.erase(sector)
        if not self.is_blank(sector):
            raise FlashError()

    def _check(self, address, size):
        if address < 0 or address + size > self.size:
            raise FlashError()
