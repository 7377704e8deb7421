"""Hardware drivers. Each is handed its pins, bus or partition by the board file."""

from firmware.errors import InkanError


class DriverError(InkanError):
    """The hardware cannot do this now. `code` says why: partition, radio_off, wifi_radio, ble_radio."""

    code = "driver"

    def __init__(self, code):
        super().__init__(code)
        self.code = code
