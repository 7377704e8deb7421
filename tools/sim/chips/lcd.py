"""Sitronix ST7567 with 128 x 64 glass: bus levels and bytes in, what the eye sees out.

Written from the datasheet (instruction table, display data RAM map, reset
circuit, V0 formula), not from the driver. Read access is left out: the
controller's serial interface has none.
"""

import asyncio

COLUMNS = 132
LINES = 64
PAGES = 9  # page 8 is the icon line, one bit high
WIDTH = 128
HEIGHT = 64

_BLANK = bytes(WIDTH * HEIGHT // 8)
_SOLID = b"\xff" * len(_BLANK)
_ALL_POWER = 0x07

# Between these the glass has contrast; below, nothing is dark, above, everything.
_PALE_VOLTS = 7.0
_DARK_VOLTS = 10.0

_HIGHEST_HERTZ = 20_000_000


class Lcd:
    """Controller and glass. Glass as on most modules: segment n is column n, COM63 is the top row.

    `faults` lists what a datasheet does not allow. `listeners` are called
    without arguments whenever the picture may have changed: when the chip is
    deselected after a write, at a reset, and when the power comes or goes.
    """

    def __init__(self):
        self.faults = []
        self.listeners = []
        self.commands = 0  # bytes received as commands
        self.data_bytes = 0  # and as display data
        self.frame_number = 0
        self._selected = False
        self._data = False
        self._changed = False
        self.powered = False
        self._in_reset = False
        self._bus_ok = False
        self._ram = [bytearray(COLUMNS) for _ in range(PAGES)]
        self._registers()

    # The pins

    def power(self, on):
        """RAM and registers are undefined after power on, as the datasheet has it."""
        self.powered = on
        if on:
            # Alternating dots, so that a driver which leaves the RAM as it is gets seen.
            self._ram = [bytearray((0xAA, 0x55) * (COLUMNS // 2)) for _ in range(PAGES)]
            self._bus_ok = False
            self._selected = False
            self._registers()
            self._start_line = 21
            self._com_reverse = self._segment_reverse = False
        self._new_frame()

    def reset_pin(self, level):
        """RSTB: everything but the RAM is set back while it is low."""
        self._in_reset = not level
        if self._in_reset:
            self._registers()
            self._new_frame()

    def select_pin(self, level):
        """CSB, active low. Rising ends a frame."""
        self._selected = not level
        if level and self._changed:
            self._new_frame()

    def a0_pin(self, level):
        """A0: high for display data, low for commands."""
        self._data = bool(level)

    def clock(self, mode, hertz):
        """How the bus is clocked: SPI mode 0..3, and the rate."""
        self._bus_ok = mode in (0, 3) and hertz <= _HIGHEST_HERTZ
        if not self._bus_ok:
            self.faults.append(f"clocked in SPI mode {mode} at {hertz} Hz")

    def receive(self, data):
        """Bytes on SDA."""
        if not (self.powered and self._selected) or self._in_reset:
            return
        if not self._bus_ok:
            self.faults.append("bytes on a bus that is not set up")
        elif self._data:
            self._write(data)
        else:
            for byte in data:
                self._command(byte)

    # What is seen

    @property
    def v0_volts(self):
        """The glass's drive voltage."""
        if self._power != _ALL_POWER:
            return 0.0
        return (3.0 + self._ratio / 2) * (1 - (63 - self._volume) / 162) * 2.1

    def pixels(self):
        """The picture as the eye has it: 1,024 bytes, MONO_VLSB (byte 128 * page + x, bit 0 on top)."""
        volts = self.v0_volts
        if not (self.powered and self._on) or self._in_reset or volts < _PALE_VOLTS:
            return _BLANK
        if self._all_points or volts > _DARK_VOLTS:
            return _SOLID
        columns = []
        for segment in range(WIDTH):
            column = COLUMNS - 1 - segment if self._segment_reverse else segment
            dots = int.from_bytes(bytes(page[column] for page in self._ram[:8]), "little")
            # COM k shows line start + k, or counted from the other end when reversed; COM63 is on top.
            dots = (dots >> self._start_line | dots << (LINES - self._start_line)) & (1 << LINES) - 1
            if not self._com_reverse:
                dots = int(f"{dots:064b}"[::-1], 2)
            columns.append(dots.to_bytes(8, "little"))
        picture = bytes(column[page] for page in range(8) for column in columns)
        if self._inverse:
            picture = bytes(byte ^ 0xFF for byte in picture)
        return picture

    async def wait_frame(self, predicate, timeout_s=60):
        """Wait until predicate(pixels) holds; returns those pixels. TimeoutError if it does not come."""
        arrived = asyncio.Event()
        self.listeners.append(arrived.set)
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    arrived.clear()
                    pixels = self.pixels()
                    if predicate(pixels):
                        return pixels
                    await arrived.wait()
        finally:
            self.listeners.remove(arrived.set)

    # Inside

    def _registers(self):
        """Values after RSTB (datasheet, reset circuit)."""
        self._on = False
        self._all_points = False
        self._inverse = False
        self._segment_reverse = False
        self._com_reverse = False
        self._bias_7 = False
        self._start_line = 0
        self._page = 0
        self._column = 0
        self._power = 0
        self._booster = 0
        self._ratio = 4
        self._volume = 32
        self._expects = None  # the register that the next byte is for
        self._saved_column = None  # in read-modify-write
        self._changed = False

    def _soft_reset(self):
        """The RESET instruction leaves display on/off, direction of segments and power as they are."""
        self._start_line = 0
        self._page = 0
        self._column = 0
        self._com_reverse = False
        self._ratio = 4
        self._volume = 32
        self._saved_column = None

    def _new_frame(self):
        self._changed = False
        self.frame_number += 1
        for listener in list(self.listeners):
            listener()

    def _write(self, data):
        self.data_bytes += len(data)
        self._changed = True
        if self._page >= PAGES or self._column >= COLUMNS:
            self.faults.append(f"data for page {self._page}, column {self._column}")
            return
        row = self._ram[self._page]
        for byte in data:
            # The counter stops at the last column and does not go on to the next page.
            row[self._column] = byte
            if self._column < COLUMNS - 1:
                self._column += 1

    def _command(self, byte):
        self.commands += 1
        self._changed = True
        if self._expects is not None:
            name, mask = self._expects
            self._expects = None
            if byte & ~mask:
                self.faults.append(f"0x{byte:02X} for {name[1:]}")
            setattr(self, name, byte & mask)
        elif byte < 0x10:
            self._column = self._column & 0xF0 | byte
        elif byte < 0x20:
            self._column = self._column & 0x0F | (byte & 0x0F) << 4
        elif byte < 0x28:
            self._ratio = byte & 0x07
        elif byte < 0x30:
            self._power = byte & 0x07
        elif 0x40 <= byte < 0x80:
            self._start_line = byte & 0x3F
        elif 0xB0 <= byte < 0xC0:
            self._page = byte & 0x0F
        elif 0xC0 <= byte < 0xD0:
            self._com_reverse = bool(byte & 0x08)
        elif byte & 0xFE in self._SWITCHES:
            setattr(self, self._SWITCHES[byte & 0xFE], bool(byte & 1))
        elif byte == 0x81:
            self._expects = ("_volume", 0x3F)
        elif byte == 0xF8:
            self._expects = ("_booster", 0x01)
        elif byte == 0xE0:
            self._saved_column = self._column
        elif byte == 0xEE and self._saved_column is not None:
            self._column = self._saved_column
            self._saved_column = None
        elif byte == 0xE2:
            self._soft_reset()
        elif byte != 0xE3:
            self.faults.append(f"command 0x{byte:02X}")

    _SWITCHES = {  # noqa: RUF012
        0xA0: "_segment_reverse",
        0xA2: "_bias_7",
        0xA4: "_all_points",
        0xA6: "_inverse",
        0xAE: "_on",
    }
