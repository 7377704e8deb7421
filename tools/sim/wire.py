"""The house's end of the wire: requests of the interpreter in, calls of the circuit out.

The format is in shims/_opcodes.py. Everything happens in the event loop, in
the order in which the interpreter sent it.
"""

import asyncio
import errno
import socket
import struct

from tools import compat  # noqa: F401  the opcodes are written for MicroPython
from tools.sim.chips.flash import FlashMisuse, PowerCut
from tools.sim.chips.radio import RadioError
from tools.sim.shims import _opcodes as op

_RADIO_ASK = 2


class Wire(asyncio.Protocol):
    """One interpreter's connection to one circuit.

    `control` is what is more than a chip: reset(), watchdog_start(timeout_ms),
    watchdog_feed(), power_cut(), fault(text), and attach(wire) for a new
    connection. After `cut` no request is carried out any more and no reply is
    sent.
    """

    def __init__(self, circuit, control):
        self._circuit = circuit
        self._control = control
        self._transport = None
        self._received = bytearray()
        self._cut = False

    def connection_made(self, transport):
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._control.attach(self):
            self.cut()

    def data_received(self, data):
        self._received += data
        done = 0
        while not self._cut and len(self._received) - done >= op.REQUEST_SIZE:
            operation, unit, value, argument, size = struct.unpack_from(op.REQUEST_FORMAT, self._received, done)
            end = done + op.REQUEST_SIZE + size
            if len(self._received) < end:
                break
            payload = bytes(self._received[done + op.REQUEST_SIZE : end])
            done = end
            self._carry_out(operation, unit, value, argument, payload)
        del self._received[:done]

    def cut(self):
        """The end: whatever is still in the pipe is lost."""
        self._cut = True
        self._transport.abort()

    def _carry_out(self, operation, unit, value, argument, payload):
        try:
            answer = getattr(self, _HANDLERS[operation])(unit, value, argument, payload)
        except PowerCut:
            self.cut()
            self._control.power_cut()
            return
        except FlashMisuse as misuse:
            self._control.fault(f"flash: {misuse}")
            self._reply(op.STATUS_ERROR, errno.EIO)
            return
        except RadioError:
            self._reply(op.STATUS_ERROR, errno.EIO)
            return
        if operation > op.POSTED:
            if isinstance(answer, bytes):
                self._reply(op.STATUS_OK, 0, answer)
            else:
                self._reply(op.STATUS_OK, answer or 0)

    def _reply(self, status, value, payload=b""):
        self._transport.write(struct.pack(op.REPLY_FORMAT, status, 0, value, len(payload)) + payload)

    # Handlers return nothing, the reply's value, or bytes

    def _pin_mode(self, pin, value, argument, payload):
        level = value >> 9 & 1 if value & 0x100 else None
        self._circuit.pin_mode(pin, value & 0x0F, value >> 4 & 0x0F, level)

    def _pin_write(self, pin, level, argument, payload):
        self._circuit.pin_write(pin, level)

    def _pin_read(self, pin, value, argument, payload):
        return self._circuit.pin_read(pin)

    def _spi_open(self, bus, mode, hertz, payload):
        self._circuit.spi_open(bus, mode, hertz, payload[0], payload[1])

    def _spi_write(self, bus, value, argument, payload):
        self._circuit.spi_write(bus, payload)

    def _uart_open(self, unit, pins, hertz, payload):
        bits, parity, stop = payload
        form = hertz, bits, None if parity == op.NO_PARITY else parity, stop
        self._circuit.uart_open(unit, form, pins & 0xFF, pins >> 8)

    def _reset(self, unit, value, argument, payload):
        self.cut()
        self._control.reset()

    def _watchdog_start(self, unit, value, timeout_ms, payload):
        self._control.watchdog_start(timeout_ms)

    def _watchdog_feed(self, unit, value, argument, payload):
        self._control.watchdog_feed()

    def _rtc_set(self, unit, value, argument, payload):
        self._circuit.rtc = struct.unpack("<H6B", payload)

    def _rtc_get(self, unit, value, argument, payload):
        return struct.pack("<H6B", *self._circuit.rtc)

    def _partition_count(self, unit, value, argument, payload):
        return len(self._circuit.partitions)

    def _partition_info(self, partition, value, argument, payload):
        kind, subtype, address, size, label, _ = self._circuit.partitions[partition]
        return struct.pack("<BBII", kind, subtype, address, size) + label.encode()

    def _flash_read(self, partition, value, address, payload):
        buffer = bytearray(int.from_bytes(payload, "little"))
        self._chip(partition).read(address, buffer)
        return bytes(buffer)

    def _flash_program(self, partition, value, address, payload):
        self._chip(partition).program(address, payload)

    def _flash_erase(self, partition, sector, argument, payload):
        self._chip(partition).erase(sector)

    def _chip(self, partition):
        return self._circuit.partitions[partition][5]

    def _reset_cause(self, unit, value, argument, payload):
        return self._circuit.reset_cause

    def _unique_id(self, unit, value, argument, payload):
        return self._circuit.unique_id

    def _radio_active(self, wanted, value, argument, payload):
        if wanted != _RADIO_ASK:
            self._circuit.radio.set_active(bool(wanted))
        return int(self._circuit.radio.active)

    def _radio_connect(self, unit, value, argument, payload):
        ssid_end = 1 + payload[0]
        self._circuit.radio.connect(payload[1:ssid_end].decode(), payload[ssid_end:].decode())

    def _radio_disconnect(self, unit, value, argument, payload):
        self._circuit.radio.disconnect()

    def _radio_status(self, unit, value, argument, payload):
        return self._circuit.radio.status()

    def _radio_connected(self, unit, value, argument, payload):
        return int(self._circuit.radio.is_connected())

    def _radio_tries(self, unit, tries, argument, payload):
        self._circuit.radio.set_tries(tries)


# Operation to the name of its handler.
_HANDLERS = {
    number: f"_{name.lower()}"
    for name, number in vars(op).items()
    if name.isupper() and isinstance(number, int) and hasattr(Wire, f"_{name.lower()}")
}
