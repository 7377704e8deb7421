"""Hardware drivers. Each is handed its pins, bus or partition by the board file."""

from firmware.errors import InkanError


class DriverError(InkanError):
    """The hardware cannot do this now. `code` says why: partition, radio_off, wifi_radio, ble_radio, modbus_timeout,
    modbus_bad_crc, modbus_bad_frame, modbus_exception. `detail`: the number that the hardware gave for it, or 0.
    """

    code = "driver"

    def __init__(self, code, detail=0):
        super().__init__(code)
        self.code = code
        self.detail = detail
