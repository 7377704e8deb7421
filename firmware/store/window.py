"""A bounded view of a device: whoever holds it reaches its own sectors and no others."""

from micropython import const

from firmware.errors import FlashError

SCRATCH_SIZE = const(1024)
HALF_SIZE = const(512)
SLOT_HEAD_SIZE = const(32)  # header and IV of a sealed slot

_QUARTER_SIZE = const(256)
_RECORD_SIZE = const(128)  # of a ring
_BLANK = b"\xff" * _QUARTER_SIZE


class Scratch:
    """A device, and buffers that all windows of it share, cut once: a slice costs heap each time.

    Nobody keeps anything in them from one call to the next. `back` is for
    reading back what is in a half of `view`.
    """

    def __init__(self, device):
        self.device = device
        self.view = memoryview(bytearray(SCRATCH_SIZE))
        self.halves = _cut(self.view, HALF_SIZE)
        self.quarters = _cut(self.view, _QUARTER_SIZE)
        self.back = memoryview(bytearray(HALF_SIZE))
        self.record = memoryview(bytearray(_RECORD_SIZE))
        self.behind_head = self.view[SLOT_HEAD_SIZE:]
        self.writer = None  # the SlotWriter that fills `view`, once there is one


def _cut(view, size):
    return tuple([view[at : at + size] for at in range(0, len(view), size)])


class Window:
    """Sectors first_sector .. first_sector + sector_count - 1 of a device; addresses start at 0."""

    def __init__(self, device, first_sector, sector_count, scratch=None):
        # There are many windows: four attributes are half the heap of five.
        self.scratch = scratch or Scratch(device)
        self.sector_size = device.sector_size
        self.sector_count = sector_count
        self._first_sector = first_sector

    @property
    def size(self):
        return self.sector_count * self.sector_size

    def part(self, first_sector, sector_count):
        """A window on some of these sectors."""
        self._check(first_sector * self.sector_size, sector_count * self.sector_size)
        return Window(self.scratch.device, self._first_sector + first_sector, sector_count, self.scratch)

    def read(self, address, buffer):
        self._check(address, len(buffer))
        self.scratch.device.read(self._first_sector * self.sector_size + address, buffer)

    def program(self, address, buffer):
        self._check(address, len(buffer))
        self.scratch.device.program(self._first_sector * self.sector_size + address, buffer)

    def erase(self, sector):
        self._check(sector * self.sector_size, self.sector_size)
        self.scratch.device.erase(self._first_sector + sector)

    def is_blank(self, sector):
        """True if a whole sector reads 0xFF. After a cut that does not prove that it is erased."""
        scratch = self.scratch
        address = sector * self.sector_size
        for at in range(address, address + self.sector_size, SCRATCH_SIZE):
            self.read(at, scratch.view)
            for quarter in scratch.quarters:
                if quarter != _BLANK:
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
        if address < 0 or address + size > self.sector_count * self.sector_size:
            raise FlashError()
