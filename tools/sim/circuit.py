"""The virtual boards: which chip hangs on which pin, as on each board's schematic.

The tables of pins are written a second time here, on purpose: the firmware's
own are tested against them.
"""

from tools.sim.chips.keys import KeyMatrix
from tools.sim.chips.lcd import Lcd
from tools.sim.chips.radio import Radio
from tools.sim.chips.uart import Uart

_MODE_INPUT = 1
_MODE_OUTPUT = 3
_MODE_OPEN_DRAIN = 7
_PULL_UP = 2

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3

PARTITION_TYPE_DATA = 1
_PARTITION_SUBTYPE = 0x40  # the first that is free for own use
_PARTITION_ADDRESS = 0x310000


class Pin:
    """One pin of the microcontroller as the outside has it."""

    def __init__(self):
        self.release()

    def release(self):
        """High impedance, as in reset."""
        self.mode = _MODE_INPUT
        self.pulled_up = False
        self.latch = 0

    @property
    def drives(self):
        """0 or 1, or None when it drives nothing."""
        if self.mode == _MODE_OUTPUT:
            return self.latch
        if self.mode == _MODE_OPEN_DRAIN and not self.latch:
            return 0
        return None


class Esp32S3Chip:
    """What every board has: ESP32-S3, NOR flash with the data partition, Wi-Fi, BLE, a transceiver to the power device.

    `power_line` is that transceiver, `uart` the bridge of a serial line or None.
    """

    POWER_TX = 1
    POWER_RX = 2
    POWER_FORM = (9_600, 8, 0, 1)  # what the device at the line's other end is set to; 0 is even parity

    lcd = None
    keys = None
    uart = None

    def __init__(self, flash, access_points, unique_id=b"\x02\x00\x00\x00\x00\x01"):
        self.flash = flash
        self.power_line = Uart(self.POWER_FORM)
        self.radio = Radio(access_points)
        self.ble = None  # there once the firmware switched it on, see Module.ble
        self.unique_id = unique_id
        self.reset_cause = PWRON_RESET
        self.rtc = (2000, 1, 1, 5, 0, 0, 0)
        # (type, subtype, address, size, label, chip); the application's own partitions play no part here.
        self.partitions = [(PARTITION_TYPE_DATA, _PARTITION_SUBTYPE, _PARTITION_ADDRESS, flash.size, "inkan", flash)]
        self._pins = {}
        self._buses = {}
        self._units = {}  # UART of the chip to what is on its pins

    def power(self, on):
        """Power to everything but the flash, which its owner switches."""
        self.reset(PWRON_RESET)
        self.rtc = (2000, 1, 1, 5, 0, 0, 0)

    def reset(self, cause):
        """The microcontroller alone starts anew; what is around it stays as it is, the pins let go."""
        self.reset_cause = cause
        for number, pin in self._pins.items():
            pin.release()
            self._follow(number)
        self._buses.clear()
        self._units.clear()
        for uart in self.uarts:
            uart.reset()
        self.radio.power_off()
        if self.ble:
            self.ble.power_off()

    def pin_mode(self, number, mode, pull, level):
        """level is None where none was given."""
        pin = self._pin(number)
        pin.mode = mode
        pin.pulled_up = pull == _PULL_UP
        if level is not None:
            pin.latch = level
        self._follow(number)

    def pin_write(self, number, level):
        self._pin(number).latch = level
        self._follow(number)

    def pin_read(self, number):
        pin = self._pin(number)
        driven = pin.drives
        return driven if driven is not None else int(pin.pulled_up)

    def spi_open(self, bus, mode, hertz, sck, mosi):
        self._buses[bus] = (sck, mosi)

    def spi_write(self, bus, data):
        """Nothing listens."""

    @property
    def uarts(self):
        """Every Uart on the board."""
        return [uart for uart in (self.uart, self.power_line) if uart]

    def uart_open(self, unit, form, tx, rx):
        """form: (bits per second, data bits, parity as MicroPython has it, stop bits)."""
        self._units.pop(unit, None)
        uart = self._uart_on(tx, rx)
        if uart:
            self._units[unit] = uart
            uart.form = form

    def uart_of(self, unit):
        """The Uart that a unit of the chip leads to, or None."""
        return self._units.get(unit)

    def _uart_on(self, tx, rx):
        """The Uart on two pins, or None."""
        return self.power_line if (tx, rx) == (self.POWER_TX, self.POWER_RX) else None

    def _pin(self, number):
        if number not in self._pins:
            self._pins[number] = Pin()
        return self._pins[number]

    def _follow(self, number):
        """Let what is on the pin see its level."""


class Esp32S3Circuit(Esp32S3Chip):
    """With an ST7567 on SPI and a 5 x 4 key matrix."""

    LCD_SCK = 12
    LCD_MOSI = 11
    LCD_CS = 10
    LCD_DC = 9
    LCD_RESET = 14
    KEY_ROWS = (4, 5, 6, 7, 15)
    KEY_COLUMNS = (16, 17, 18, 8)
    KEY_CAPS = ("123U", "456D", "789L", "*0#R", "OB  ")

    def __init__(self, flash, access_points, **options):
        super().__init__(flash, access_points, **options)
        self.lcd = Lcd()
        self.keys = KeyMatrix("".join(self.KEY_CAPS), len(self.KEY_ROWS), len(self.KEY_COLUMNS))

    def power(self, on):
        super().power(on)
        self.lcd.power(on)

    def pin_read(self, number):
        if number in self.KEY_COLUMNS:
            # Without its pull-up a column floats; low is what shows that soonest.
            return self.keys.column_level(self.KEY_COLUMNS.index(number)) if self._pin(number).pulled_up else 0
        return super().pin_read(number)

    def spi_open(self, bus, mode, hertz, sck, mosi):
        super().spi_open(bus, mode, hertz, sck, mosi)
        if (sck, mosi) == (self.LCD_SCK, self.LCD_MOSI):
            self.lcd.clock(mode, hertz)

    def spi_write(self, bus, data):
        if self._buses.get(bus) == (self.LCD_SCK, self.LCD_MOSI):
            self.lcd.receive(data)

    def _follow(self, number):
        """The display's inputs have pull-ups on the board."""
        driven = self._pins[number].drives
        if number in self.KEY_ROWS:
            self.keys.drive(self.KEY_ROWS.index(number), driven)
            return
        level = 1 if driven is None else driven
        if number == self.LCD_CS:
            self.lcd.select_pin(level)
        elif number == self.LCD_DC:
            self.lcd.a0_pin(level)
        elif number == self.LCD_RESET:
            self.lcd.reset_pin(level)


class Esp32S3BareCircuit(Esp32S3Chip):
    """With a bridge from UART to USB, whose other end is a pty."""

    SERIAL_TX = 17
    SERIAL_RX = 18

    def __init__(self, flash, access_points, **options):
        super().__init__(flash, access_points, **options)
        self.uart = Uart()

    def _uart_on(self, tx, rx):
        return self.uart if (tx, rx) == (self.SERIAL_TX, self.SERIAL_RX) else super()._uart_on(tx, rx)


# By the module in firmware/boards.
CIRCUITS = {"esp32_s3": Esp32S3Circuit, "esp32_s3_bare": Esp32S3BareCircuit}
