"""LCD of 128 x 64 dots behind a Sitronix ST7567 on 4-line SPI.

Commands are those of the datasheet's instruction table. The glass is wired as
on most 128 x 64 modules: column n is segment n, and the top row is COM63, so
the COM direction is reversed to have line 0 at the top.
"""

from binascii import crc32

from micropython import const

WIDTH = const(128)
HEIGHT = const(64)

_PAGES = const(8)
_PAGE_BYTES = const(128)
_SUM_MASK = const(0x3FFFFFFF)  # what MicroPython keeps without an object of its own

_DISPLAY_OFF = const(0xAE)
_DISPLAY_ON = const(0xAF)
_ALL_POINTS_OFF = const(0xA4)
_ALL_POINTS_ON = const(0xA5)
_SET_COLUMN_LOW = const(0x00)
_SET_COLUMN_HIGH = const(0x10)
_SET_PAGE = const(0xB0)
_SET_ELECTRONIC_VOLUME = const(0x81)
_POWER_CONTROL = const(0x28)
_RESET = const(0xE2)
_NOP = const(0xE3)

# V0 = 5.0 x (1 - (63 - volume) / 162) x 2.1 V; 34 gives 8.6 V, the middle of what such glass wants at 1/9 bias.
_DEFAULT_VOLUME = const(34)
_MOST_VOLUME = const(63)

# Booster, then regulator, then follower: each loads the one before.
_POWER_STEPS = (0x04, 0x06, 0x07)
_POWER_STEP_MS = const(10)
_RESET_MS = const(1)

_SETTINGS = bytes(
    (
        0x40,  # display start line 0
        0xA0,  # segment direction normal
        0xC8,  # COM direction reverse
        0xA6,  # not inverse
        0xA2,  # bias 1/9 at 1/65 duty
        0xF8,  # booster, two bytes:
        0x00,  # four times
        0x24,  # regulator resistor ratio 5.0
    )
)


class St7567:
    """`show` takes frames of 1,024 bytes, MONO_VLSB as framebuf has it: byte 128 * page + x, bit 0 on top.

    `spi` writes bytes, clocked at up to 20 MHz in mode 0 or 3. `cs`, `dc` (A0)
    and `reset` are output pins.
    """

    def __init__(self, spi, cs, dc, reset, sleep_ms):
        self._spi = spi
        self._cs = cs
        self._dc = dc
        self._reset = reset
        self._sleep_ms = sleep_ms
        self._volume = _DEFAULT_VOLUME
        # A sum of what the controller's RAM holds, page by page; a copy of it would be a kilobyte.
        self._shown = [None] * _PAGES
        self._asleep = False
        self._frame = None
        self._frame_pages = None
        self._address = bytearray(3)
        self._command1 = bytearray(1)
        self._command2 = bytearray(2)

    def start(self):
        """Reset the controller, set it up, blank its RAM (undefined until then) and switch the display on."""
        self._cs.value(1)
        self._reset.value(0)
        self._sleep_ms(_RESET_MS)
        self._reset.value(1)
        self._sleep_ms(_RESET_MS)
        self._cs.value(0)
        self._send(_RESET)
        self._settings()
        for step in _POWER_STEPS:
            self._send(_POWER_CONTROL | step)
            self._sleep_ms(_POWER_STEP_MS)
        blank = bytes(_PAGE_BYTES)
        for page in range(_PAGES):
            self._send_page(page, blank)
            self._shown[page] = _sum_of(blank)
        self._asleep = False
        self._send_sleep()
        self._cs.value(1)

    def show(self, frame):
        """Bring the RAM to `frame`; only pages that differ from what is there are sent."""
        if frame is not self._frame:
            if len(frame) != _PAGES * _PAGE_BYTES:
                raise ValueError("frame")
            self._frame = frame
            self._frame_pages = _pages(frame)
        self._cs.value(0)
        for page in range(_PAGES):
            data = self._frame_pages[page]
            found = _sum_of(data)
            if self._shown[page] != found:
                self._send_page(page, data)
                self._shown[page] = found
        self._cs.value(1)

    def refresh(self):
        """Send every register and page again: mends what a discharge has upset, and is not seen otherwise."""
        self._cs.value(0)
        self._send(_NOP)
        self._settings()
        self._send(_POWER_CONTROL | _POWER_STEPS[-1])
        blank = bytes(_PAGE_BYTES)
        for page in range(_PAGES):
            data = self._frame_pages[page] if self._frame_pages else blank
            self._send_page(page, data)
            self._shown[page] = _sum_of(data)
        self._send_sleep()
        self._cs.value(1)

    def contrast(self, volume):
        """Electronic volume 0 (pale) to 63 (dark)."""
        if not 0 <= volume <= _MOST_VOLUME:
            raise ValueError("volume")
        self._volume = volume
        self._cs.value(0)
        self._send_volume()
        self._cs.value(1)

    def sleep(self, on):
        """Power save mode (display off and all points on), or back; the RAM keeps its frame."""
        self._asleep = on
        self._cs.value(0)
        self._send_sleep()
        self._cs.value(1)

    def _settings(self):
        self._dc.value(0)
        self._spi.write(_SETTINGS)
        self._send_volume()

    def _send(self, command):
        self._command1[0] = command
        self._dc.value(0)
        self._spi.write(self._command1)

    def _send_volume(self):
        self._command2[0] = _SET_ELECTRONIC_VOLUME
        self._command2[1] = self._volume
        self._dc.value(0)
        self._spi.write(self._command2)

    def _send_sleep(self):
        if self._asleep:
            self._send(_DISPLAY_OFF)
            self._send(_ALL_POINTS_ON)
        else:
            self._send(_ALL_POINTS_OFF)
            self._send(_DISPLAY_ON)

    def _send_page(self, page, data):
        self._address[0] = _SET_PAGE | page
        self._address[1] = _SET_COLUMN_HIGH
        self._address[2] = _SET_COLUMN_LOW
        self._dc.value(0)
        self._spi.write(self._address)
        self._dc.value(1)
        self._spi.write(data)


def _sum_of(data):
    return crc32(data) & _SUM_MASK


def _pages(frame):
    # Slices are made once: each is an object on the heap.
    view = memoryview(frame)
    return [view[start : start + _PAGE_BYTES] for start in range(0, _PAGES * _PAGE_BYTES, _PAGE_BYTES)]
