"""The house's end of the BLE radio's wire: requests of the interpreter in, what the air brings out.

The format is in shims/_opcodes.py. Requests are carried out one after the other; events are sent as they come,
also while a request is being carried out.
"""

import asyncio
import collections
import contextlib
import errno
import socket
import struct

from tools import compat  # noqa: F401  the opcodes are written for MicroPython
from tools.sim.shims import _opcodes as op

_WRITE = 3  # MicroPython's events that the firmware has to answer
_READ = 4


class BleWire(asyncio.Protocol):
    """One interpreter's connection to its radio.

    `control.ble()` is awaited for the radio when it is switched on; `control.attach_ble(wire)` says whether a
    connection is expected.
    """

    def __init__(self, control):
        self._control = control
        self._transport = None
        self._received = bytearray()
        self._requests = asyncio.Queue()
        self._answers = collections.deque()  # futures, in the order of the events that they are to
        self._chip = None
        self._cut = False
        self._worker = None

    def connection_made(self, transport):
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._control.attach_ble(self):
            self.cut()
            return
        self._worker = asyncio.ensure_future(self._work())

    def connection_lost(self, error):
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
            if operation == op.BLE_ANSWER:
                answer = self._answers.popleft()
                if not answer.done():  # the peer has not left meanwhile
                    answer.set_result((value, payload))
            else:
                self._requests.put_nowait((operation, unit, value, argument, payload))
        del self._received[:done]

    def cut(self):
        """The end: the radio is off, whatever is still in the pipe is lost."""
        if self._cut:
            return
        self._cut = True
        self._transport.abort()
        if self._worker:
            self._worker.cancel()
        if self._chip:
            self._chip.power_off()
        while self._answers:
            self._answers.popleft().cancel()

    def event(self, number, connection, payload):
        """Tell the firmware; of what it has to answer returns a future of (status, value)."""
        answer = asyncio.get_running_loop().create_future() if number in (_WRITE, _READ) else None
        if self._cut:
            if answer:
                answer.cancel()
            return answer
        if answer:
            self._answers.append(answer)
        self._send(op.STATUS_EVENT, number, connection, payload)
        return answer

    async def _work(self):
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                operation, unit, value, argument, payload = await self._requests.get()
                try:
                    answer = await getattr(self, _HANDLERS[operation])(unit, value, argument, payload)
                except OSError as error:
                    self._send(op.STATUS_ERROR, 0, error.errno or errno.EIO)
                except Exception as error:
                    self._control.fault(f"ble: {error!r}")
                    self._send(op.STATUS_ERROR, 0, errno.EIO)
                else:
                    if isinstance(answer, bytes):
                        self._send(op.STATUS_OK, 0, 0, answer)
                    else:
                        self._send(op.STATUS_OK, 0, answer or 0)

    def _send(self, status, event, value, payload=b""):
        self._transport.write(struct.pack(op.REPLY_FORMAT, status, event, value, len(payload)) + payload)

    # Handlers return nothing, the reply's value, or bytes

    async def _ble_active(self, on, mtu, argument, name):
        if self._chip:
            self._chip.power_off()
            self._chip = None
        if on:
            chip = await self._control.ble()
            chip.on_event = self.event
            await chip.power_on(mtu, name.decode())
            self._chip = chip

    async def _ble_config(self, unit, mtu, argument, name):
        self._chip.configure(mtu, name.decode())

    async def _ble_mac(self, unit, value, argument, payload):
        return self._chip.address

    async def _ble_advertise(self, how, value, interval_us, payload):
        if not how:
            await self._chip.stop_advertising()
            return
        end = 1 + payload[0]
        await self._chip.advertise(interval_us, payload[1:end], payload[end:], how == 1)

    async def _ble_register(self, unit, value, argument, payload):
        handles = self._chip.register(_Reader(payload).services())
        return struct.pack(f"<{len(handles)}H", *handles)

    async def _ble_notify(self, unit, connection, attribute, payload):
        self._chip.notify(connection, attribute, payload)

    async def _ble_update(self, unit, value, attribute, payload):
        self._chip.update(attribute, payload)

    async def _ble_indicate(self, unit, connection, attribute, payload):
        self._chip.indicate(connection, attribute, payload)

    async def _ble_disconnect(self, unit, connection, argument, payload):
        return int(self._chip.disconnect(connection))


class _Reader:
    """Services as shims/bluetooth.py packs them."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def services(self):
        return [(self._uuid(), [self._characteristic() for _ in self._count()]) for _ in self._count()]

    def _characteristic(self):
        return self._uuid(), self._flags(), [(self._uuid(), self._flags()) for _ in self._count()]

    def _uuid(self):
        return self._take(self._take(1)[0])

    def _flags(self):
        return int.from_bytes(self._take(2), "little")

    def _count(self):
        return range(self._take(1)[0])

    def _take(self, size):
        self._at += size
        return self._data[self._at - size : self._at]


# Operation to the name of its handler.
_HANDLERS = {
    number: f"_{name.lower()}"
    for name, number in vars(op).items()
    if name.isupper() and isinstance(number, int) and hasattr(BleWire, f"_{name.lower()}")
}
