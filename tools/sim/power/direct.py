"""The power control device without a line, for time that passes fast: what firmware/sunspec.py takes for its Modbus."""

from firmware.drivers import DriverError
from tools.sim.power.device import EXCEPTION, LATE, NOISE


class Direct:
    """Reads a PowerDevice's registers at once. Its faults come as the errors that the driver makes of them."""

    def __init__(self, device):
        self._device = device

    async def read(self, address, register, count):
        """As ModbusRtu.read; what is late or behind noise arrives."""
        fault = self._device.take_fault()
        if address != self._device.address:
            raise DriverError("modbus_timeout")
        if fault and fault[0] not in (LATE, NOISE):
            name, value = fault
            raise DriverError("modbus_exception", value) if name == EXCEPTION else DriverError(_CODES[name])
        registers = self._device.registers(register, count)
        if registers is None:
            raise DriverError("modbus_exception", 2)
        return memoryview(b"".join(value.to_bytes(2, "big") for value in registers))


_CODES = {"silent": "modbus_timeout", "bad_crc": "modbus_bad_crc", "cut_short": "modbus_bad_frame"}
