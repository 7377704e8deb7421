"""The power control device: a Modbus RTU server on a pty that counts what its house does, and can fail in every way.

Its registers are SunSpec's (docs/metering.md). Counters are kept by adding up the power of the house as time goes by;
nothing here uses the house's own integral, so that tests can hold one against the other.
"""

import asyncio

from tools.sim.power.house_model import (
    BATTERY_CHARGED,
    BATTERY_DISCHARGED,
    BOUGHT,
    EV_CHARGED,
    EV_DISCHARGED,
    FIRST_CIRCUIT,
    PV,
    QUANTITIES,
    SOLD,
)

PCS = "pcs"
PANEL_BOARD = "panel_board"

_WMS_IN_WH = 3_600_000  # watt-milliseconds
_HERTZ = 9_600
_REGISTERS = 1_000  # what the map may take

_MARK = [0x5375, 0x6E53]
_END = [0xFFFF, 0]
_NOT_U16 = 0xFFFF
_NOT_I16 = 0x8000  # of a scale factor too
_NOT_U64 = [0xFFFF] * 4
_TYPE_PV, _TYPE_STORAGE, _TYPE_EV = range(3)
_STATE_ON = 1
# Of model 701: what is signed or a scale factor, and the text at the end.
_701_REGISTERS = 155
_701_SIGNED = (*range(10, 15), *range(35, 46), *range(64, 69), *range(87, 92), *range(113, 123))
_701_TEXT = range(123, 155)

# Faults: `fault(NAME, value, times)`.
SILENT = "silent"
BAD_CRC = "bad_crc"
EXCEPTION = "exception"  # value: the code
LATE = "late"  # value: ms
CUT_SHORT = "cut_short"  # value: bytes that are sent
NOISE = "noise"  # value: bytes before each answer


class PowerDevice:
    """One device in one house. All methods belong to one event loop.

    clock: callable, the house's time in Unix seconds, real or fast; never before the house's start. since_s: since when
    it counts, by default now. dc_scale and meter_scale: the scale factors of its counters.
    """

    def __init__(
        self,
        house,
        clock,
        kind=PCS,
        serial="V0001",
        address=1,
        base=40_000,
        dc_scale=0,
        meter_scale=0,
        start_wh=1_000_000,
        since_s=None,
    ):
        self.kind = kind
        self.serial = serial
        self.address = address
        self.requests = 0  # that it understood
        self._house = house
        self._clock = clock
        self._base = base
        self._dc_scale = dc_scale
        self._meter_scale = meter_scale
        self._circuits = house.circuits if kind == PANEL_BOARD else 0
        self._wms = [(start_wh + 12_345 * place) * _WMS_IN_WH for place in range(QUANTITIES + self._circuits)]
        self._counted_ms = self._now_ms() if since_s is None else since_s * 1000
        self._server = None
        self._fault = None  # (name, value), for `_fault_times` requests more
        self._fault_times = 0
        self._present = None  # the fault of the request at hand

    # Its life

    async def start(self, path):
        """Listen at the pty that a module's `power_path` names."""
        # Imported for whoever has a line; Direct has none.
        from pymodbus import FramerType
        from pymodbus.server import ModbusSerialServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        registers = SimData(self._base, count=_REGISTERS, values=0, datatype=DataType.REGISTERS, readonly=True)
        self._server = ModbusSerialServer(
            SimDevice(id=self.address, simdata=[registers], action=self._answer),
            framer=FramerType.RTU,
            ignore_missing_devices=True,
            trace_packet=self._packet,
            trace_pdu=self._pdu,
            port=path,
            baudrate=_HERTZ,
            parity="N",  # a pty takes no other; the module's own setting is what the circuit's Uart shows
            stopbits=1,
            bytesize=8,
        )
        await self._server.serve_forever(background=True)

    async def stop(self):
        """Leave the line; the counters stay as they are, and go on with what the house did meanwhile."""
        if self._server:
            await self._server.shutdown()
            self._server = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *exception):
        await self.stop()

    # What it has counted

    def counter_wh(self, place):
        """Whole Wh of a quantity, or of circuit `place` - QUANTITIES, before any register's width."""
        self._count()
        return self._wms[place] // _WMS_IN_WH

    def counted(self):
        """The counters of all quantities, in Wh, at one moment."""
        self._count()
        return [wms // _WMS_IN_WH for wms in self._wms[:QUANTITIES]]

    # Faults

    def fault(self, name, value=None, times=None):
        """Fail so at the next `times` requests; without, until `heal`."""
        self._fault = name, value
        self._fault_times = times

    def heal(self):
        self._fault = None

    def set_counter(self, place, wh):
        """It shows this now: 0 is a reset, far ahead a jump, close below 2**32 an overflow soon."""
        self._count()
        self._wms[place] = wh * _WMS_IN_WH

    def replace(self, serial, start_wh=0):
        """Another one of its kind takes its place, with counters of its own."""
        self._count()
        self.serial = serial
        self._wms = [start_wh * _WMS_IN_WH] * len(self._wms)

    def take_fault(self):
        """(name, value) of the fault that this request meets, or None; it counts as one."""
        self.requests += 1
        fault = self._fault
        if fault and self._fault_times is not None:
            self._fault_times -= 1
            if self._fault_times <= 0:
                self._fault = None
        return fault

    # Registers, where there is no line

    def registers(self, first, count):
        """Registers as they are now, or None where one of them is not there."""
        image = self._image()
        start = first - self._base
        return image[start : start + count] if 0 <= start <= len(image) - count else None

    # Inside

    def _now_ms(self):
        return int(self._clock() * 1000)

    def _count(self):
        """Add up the power since the last time, step by step; a clock that was set back counts nothing."""
        now_ms = self._now_ms()
        house = self._house
        while self._counted_ms < now_ms:
            at_s = self._counted_ms // 1000
            until_ms = min(now_ms, house.step_end_s(at_s) * 1000)
            for place in range(len(self._wms)):
                number = place if place < QUANTITIES else FIRST_CIRCUIT + place - QUANTITIES
                self._wms[place] += house.power_w(number, at_s) * (until_ms - self._counted_ms)
            self._counted_ms = until_ms

    async def _answer(self, function, start, address, count, registers, values):
        """What pymodbus asks before it answers: bring the registers up to date."""
        if self._present and self._present[0] == LATE:
            await asyncio.sleep(self._present[1] / 1000)
        image = self._image()
        registers[: len(image)] = image
        return None

    def _pdu(self, sending, pdu):
        from pymodbus.pdu import ExceptionResponse

        if not sending:
            self._present = self.take_fault()
        elif self._present and self._present[0] == EXCEPTION:
            refusal = ExceptionResponse(pdu.function_code, self._present[1], device_id=pdu.dev_id)
            refusal.transaction_id = pdu.transaction_id
            return refusal
        return pdu

    def _packet(self, sending, data):
        if not sending or not self._present:
            return data
        name, value = self._present
        if name == SILENT:
            return b""
        if name == BAD_CRC:
            return data[:-1] + bytes((data[-1] ^ 0x01,))
        if name == CUT_SHORT:
            return data[:value]
        return value + data if name == NOISE else data

    # Registers

    def _image(self):
        self._count()
        models = [self._common()]
        if self.kind == PCS:
            models += [_measurement(), self._ports(), self._meter()]
        else:
            models += [self._meter(), self._panel(), self._ports()]
        return [*_MARK, *(register for model in models for register in model), *_END]

    def _common(self):
        title = "Virtual PCS" if self.kind == PCS else "Virtual panel board"
        body = _text("Inkan", 16) + _text(title, 16) + _text("", 8) + _text("1.0", 8) + _text(self.serial, 16)
        return _model(1, [*body, self.address, _NOT_I16])

    def _ports(self):
        """Two strings of panels, the battery, the EV."""
        east = self._register(PV, self._dc_scale) * 3 // 5
        blocks = [
            (_TYPE_PV, "PV1", east, None),
            (_TYPE_PV, "PV2", self._register(PV, self._dc_scale) - east, None),
            (
                _TYPE_STORAGE,
                "Battery",
                self._register(BATTERY_DISCHARGED, self._dc_scale),
                self._register(BATTERY_CHARGED, self._dc_scale),
            ),
            (_TYPE_EV, "EV", self._register(EV_DISCHARGED, self._dc_scale), self._register(EV_CHARGED, self._dc_scale)),
        ]
        head = [0, 0, len(blocks), _NOT_I16, _NOT_I16, *_NOT_U64, *_NOT_U64]
        head += [_NOT_I16, _NOT_I16, _NOT_I16, self._dc_scale & 0xFFFF, _NOT_I16]
        for number, (kind, name, injected, absorbed) in enumerate(blocks, 1):
            head += [kind, number, *_text(name, 8), _NOT_I16, _NOT_U16, _NOT_I16]
            head += [*_u64(injected), *_u64(absorbed), _NOT_I16, _STATE_ON, 0, 0]
        return _model(714, head)

    def _meter(self):
        sold, bought = (self._register(quantity, self._meter_scale) for quantity in (SOLD, BOUGHT))
        # Currents, voltages, powers and their scale factors, which nobody asks for.
        body = [_NOT_I16] * 36 + [*_u32(sold), *[0] * 6, *_u32(bought), *[0] * 6, self._meter_scale & 0xFFFF]
        body += [0] * 16 + [_NOT_I16] + [0] * 32 + [_NOT_I16, 0, 0]
        return _model(202, body)

    def _panel(self):
        body = [self._circuits, self._meter_scale & 0xFFFF]
        for number in range(self._circuits):
            body += _u32(self._register(QUANTITIES + number, self._meter_scale))
        return _model(64_860, body)

    def _register(self, place, scale):
        """A counter in units of ten to the scale factor, rounded down."""
        if scale < 0:
            return self._wms[place] * 10**-scale // _WMS_IN_WH
        return self._wms[place] // (_WMS_IN_WH * 10**scale)


def _measurement():
    """Model 701 of a device that measures nothing of it."""
    body = [_NOT_U16] * _701_REGISTERS
    for place in _701_SIGNED:
        body[place] = _NOT_I16
    for place in _701_TEXT:
        body[place] = 0
    return _model(701, body[2:])


def _model(number, body):
    return [number, len(body), *body]


def _text(text, registers):
    data = text.encode().ljust(2 * registers, b"\0")
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def _u32(value):
    return [value >> 16 & 0xFFFF, value & 0xFFFF]


def _u64(value):
    return _NOT_U64 if value is None else [*_u32(value >> 32), *_u32(value)]
