"""The house's end of a UART's wire: a first byte that names the unit, one in answer, then what the line brings."""

import asyncio
import socket

_HELD_BYTES = 4096  # what may be on its way to the firmware, beyond what the sockets hold; the rest is lost


class UartWire(asyncio.Protocol):
    """One interpreter's end of one UART.

    `control.attach_uart(wire)` says whether a connection is expected, `control.uart_of(unit)` gives the chip or None.
    """

    def __init__(self, control):
        self._control = control
        self._transport = None
        self._named = False
        self._chip = None

    def connection_made(self, transport):
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._control.attach_uart(self):
            self.cut()

    def data_received(self, data):
        if not self._named:
            self._named = True
            self._transport.write(data[:1])
            self._chip = self._control.uart_of(data[0])
            if self._chip:
                self._chip.connect(self._receive)
            data = data[1:]
        if self._chip:  # else nothing is on its pins
            self._chip.send(data)

    def cut(self):
        """The end: whatever is still in the pipe is lost."""
        self._transport.abort()

    def _receive(self, data):
        room = _HELD_BYTES - self._transport.get_write_buffer_size()
        if room < len(data):
            self._chip.lost += len(data) - max(room, 0)
        if room > 0:
            self._transport.write(data[:room])
