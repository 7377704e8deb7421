"""MicroPython's `bluetooth` as on the ESP32, over a wire of its own: a peripheral with a GATT server, no security.

The values of the attributes lie here, on the heap, as MicroPython has them; everything else is at the other end.
On the chip the handler is called by the radio's own thread, here between two steps of the event loop.
"""

import asyncio
import errno
import select
import struct
import sys
from asyncio import core
from binascii import hexlify, unhexlify

import _opcodes
import _wire

FLAG_READ = 0x0002
FLAG_WRITE_NO_RESPONSE = 0x0004
FLAG_WRITE = 0x0008
FLAG_NOTIFY = 0x0010
FLAG_INDICATE = 0x0020

_IRQ_CENTRAL_CONNECT = 1
_IRQ_CENTRAL_DISCONNECT = 2
_IRQ_GATTS_WRITE = 3
_IRQ_GATTS_READ_REQUEST = 4
_IRQ_GATTS_INDICATE_DONE = 20
_IRQ_MTU_EXCHANGED = 21

_VALUE_BYTES = 20  # what a value may have before anybody asks for more
_ADVERTISING_BYTES = 31
_POISON = 0xDD  # what a handler finds that keeps data beyond its return


class UUID:
    """Iterates over its bytes, least significant first; so does bytes() of it, as on the chip."""

    def __init__(self, value):
        if isinstance(value, int):
            if not 0 <= value <= 0xFFFF:
                raise ValueError("invalid UUID")
            self._bytes = struct.pack("<H", value)
        elif isinstance(value, str):
            digits = value.replace("-", "")
            if len(digits) != 32:
                raise ValueError("invalid UUID")
            self._bytes = bytes(reversed(unhexlify(digits)))
        else:
            self._bytes = bytes(value)
            if len(self._bytes) not in (2, 4, 16):
                raise ValueError("invalid UUID")

    def __repr__(self):
        digits = hexlify(bytes(reversed(self._bytes))).decode()
        if len(digits) != 32:
            return "UUID(0x" + digits + ")"
        return "UUID('" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])) + "')"

    def __eq__(self, other):
        return isinstance(other, UUID) and self._bytes == other._bytes

    def __hash__(self):
        return hash(self._bytes)

    def __len__(self):
        return len(self._bytes)

    def __iter__(self):
        return iter(self._bytes)


class _Value:
    """The value of one attribute."""

    def __init__(self):
        self._buffer = bytearray(_VALUE_BYTES)
        self._size = 0
        self._append = False

    def set_buffer(self, size, append):
        self._buffer = bytearray(size)
        self._size = 0
        self._append = append

    def receive(self, data):
        """What a peer wrote. Where there is no room it is cut, without a word."""
        start = self._size if self._append else 0
        self._size = min(len(self._buffer), start + len(data))
        self._buffer[start : self._size] = data[: self._size - start]

    def write(self, data):
        if len(data) > len(self._buffer):
            self._buffer = bytearray(len(data))
        self._size = len(data)
        self._buffer[: self._size] = data

    def read(self):
        data = bytes(memoryview(self._buffer)[: self._size])
        if self._append:
            self._size = 0
        return data

    def peek(self):
        return memoryview(self._buffer)[: self._size]


class BLE:
    """The one radio: BLE() gives the same object each time."""

    _only = None

    def __new__(cls):
        if cls._only is None:
            made = cls._only = super().__new__(cls)
            made._handler = None
            made._on = False
            made._stream = None
            made._tasks = ()
            made._values = {}
            made._events = []
            made._arrived = None
            made._name = b"MPY ESP32"
            made._mtu = 256
            made._reply = bytearray(_opcodes.REPLY_SIZE)
        return cls._only

    def active(self, on=None):
        if on and not self._on:
            if self._stream is None:
                self._stream = _wire.connect("INKAN_RADIO")
                self._arrived = asyncio.Event()
                self._tasks = (asyncio.create_task(self._listen()), asyncio.create_task(self._dispatch()))
            self._on = True
            try:
                self._ask(_opcodes.BLE_ACTIVE, 1, self._mtu, 0, self._name)
            except OSError:
                self._on = False
                raise
        elif on is not None and not on and self._on:
            self._ask(_opcodes.BLE_ACTIVE)
            self._on = False
            self._values.clear()
            self._events.clear()
        return self._on

    def config(self, *names, **settings):
        if names:
            if settings or len(names) != 1:
                raise TypeError("one name, or values")
            if names[0] == "mac":
                kind_and_address = self._ask(_opcodes.BLE_MAC)
                return kind_and_address[0], kind_and_address[1:]
            if names[0] == "gap_name":
                return self._name
            if names[0] == "mtu":
                return self._mtu
            raise ValueError("unknown config param")
        for name, value in settings.items():
            if name == "gap_name":
                self._name = value.encode() if isinstance(value, str) else bytes(value)
            elif name == "mtu":
                self._mtu = value
            elif name != "rxbuf":  # nothing is buffered where events are delivered at once
                raise ValueError("unknown config param")
        if self._on:
            self._ask(_opcodes.BLE_CONFIG, 0, self._mtu, 0, self._name)

    def irq(self, handler):
        self._handler = handler

    def gap_advertise(self, interval_us, adv_data=None, *, resp_data=None, connectable=True):
        if interval_us is None:
            self._ask(_opcodes.BLE_ADVERTISE)
            return
        advertising, response = bytes(adv_data or b""), bytes(resp_data or b"")
        if max(len(advertising), len(response)) > _ADVERTISING_BYTES:
            raise OSError(errno.EINVAL)
        data = bytes((len(advertising),)) + advertising + response
        self._ask(_opcodes.BLE_ADVERTISE, 1 if connectable else 2, 0, interval_us, data)

    def gap_disconnect(self, conn_handle):
        return bool(self._ask(_opcodes.BLE_DISCONNECT, 0, conn_handle))

    def gatts_register_services(self, services):
        # counts and sizes u8, flags u16: services (uuid, characteristics (uuid, flags, descriptors (uuid, flags)))
        data = bytearray((len(services),))
        for uuid, characteristics in services:
            _put_uuid(data, uuid)
            data.append(len(characteristics))
            for characteristic in characteristics:
                descriptors = characteristic[2] if len(characteristic) > 2 else ()
                _put_attribute(data, characteristic)
                data.append(len(descriptors))
                for descriptor in descriptors:
                    _put_attribute(data, descriptor)
        packed = self._ask(_opcodes.BLE_REGISTER, 0, 0, 0, data)
        numbers = iter(struct.unpack("<%dH" % (len(packed) // 2), packed))
        self._values.clear()
        handles = []
        for _, characteristics in services:
            own = []
            for characteristic in characteristics:
                for _ in range(1 + len(characteristic[2] if len(characteristic) > 2 else ())):
                    own.append(next(numbers))
                    self._values[own[-1]] = _Value()
            handles.append(tuple(own))
        return tuple(handles)

    def gatts_read(self, value_handle):
        return self._value(value_handle).read()

    def gatts_write(self, value_handle, data, send_update=False):
        self._value(value_handle).write(data)
        if send_update:
            self._ask(_opcodes.BLE_UPDATE, 0, 0, value_handle, data)

    def gatts_set_buffer(self, value_handle, length, append=False):
        self._value(value_handle).set_buffer(length, append)

    def gatts_notify(self, conn_handle, value_handle, data=None):
        self._tell(_opcodes.BLE_NOTIFY, conn_handle, value_handle, data)

    def gatts_indicate(self, conn_handle, value_handle, data=None):
        self._tell(_opcodes.BLE_INDICATE, conn_handle, value_handle, data)

    def _tell(self, operation, connection, handle, data):
        if data is None:
            data = self._value(handle).peek()
        self._ask(operation, 0, connection, handle, data)

    def _value(self, handle):
        if not self._on:
            raise OSError(errno.ENODEV)
        if handle not in self._values:
            raise OSError(errno.EINVAL)
        return self._values[handle]

    # The wire

    def _post(self, operation, unit=0, value=0, argument=0, payload=b""):
        head = struct.pack(_opcodes.REQUEST_FORMAT, operation, unit, value, argument, len(payload))
        self._stream.write(head)
        if len(payload):
            self._stream.write(payload)

    def _ask(self, operation, unit=0, value=0, argument=0, payload=b""):
        """The reply's payload, or its value where it has none. Events that come before it are kept for later."""
        if not self._on:
            raise OSError(errno.ENODEV)
        self._post(operation, unit, value, argument, payload)
        while True:
            status, answer, data = self._receive()
            if status == _opcodes.STATUS_ERROR:
                raise OSError(answer)
            if status == _opcodes.STATUS_OK:
                return data or answer

    def _receive(self):
        """(status, value, payload) of what comes next; of an event only the status."""
        _wire.receive(self._stream, self._reply)
        status, event, value, size = struct.unpack(_opcodes.REPLY_FORMAT, self._reply)
        data = bytearray(size)
        _wire.receive(self._stream, data)
        if status == _opcodes.STATUS_EVENT:
            self._events.append((event, value, data))
            self._arrived.set()
        return status, value, data

    async def _listen(self):
        poller = select.poll()
        poller.register(self._stream, select.POLLIN)
        while True:
            yield core._io_queue.queue_read(self._stream)
            # A request may have read what was there, between the loop's look and this line. And what came while
            # the loop was busy is told without a turn of the loop between, as the chip does.
            while poller.poll(0):
                self._receive()

    async def _dispatch(self):
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._events:
                self._deliver(*self._events.pop(0))

    def _deliver(self, event, connection, data):
        if event in (_IRQ_CENTRAL_CONNECT, _IRQ_CENTRAL_DISCONNECT):
            self._fire(event, (connection, data[0], memoryview(data)[1:]))
            for at in range(len(data)):
                data[at] = _POISON
        elif event == _IRQ_GATTS_WRITE:
            handle = struct.unpack_from("<H", data)[0]
            if handle in self._values:
                self._values[handle].receive(memoryview(data)[2:])
                self._fire(event, (connection, handle))
            self._post(_opcodes.BLE_ANSWER)
        elif event == _IRQ_GATTS_READ_REQUEST:
            handle = struct.unpack_from("<H", data)[0]
            status, value = 0, b""
            if handle in self._values:
                status = self._fire(event, (connection, handle)) or 0
                value = self._values[handle].peek()
            self._post(_opcodes.BLE_ANSWER, 0, status, 0, value)
        elif event == _IRQ_GATTS_INDICATE_DONE:
            handle, status = struct.unpack("<HH", data)
            self._fire(event, (connection, handle, status))
        elif event == _IRQ_MTU_EXCHANGED:
            self._fire(event, (connection, struct.unpack("<H", data)[0]))

    def _fire(self, event, data):
        if self._handler is None:
            return None
        try:
            return self._handler(event, data)
        except Exception as error:
            sys.print_exception(error)  # as MicroPython does it: the next event comes all the same
        return None


def _put_uuid(data, uuid):
    data.append(len(uuid))
    data.extend(bytes(uuid))


def _put_attribute(data, attribute):
    _put_uuid(data, attribute[0])
    data.extend(struct.pack("<H", attribute[1] & 0xFFFF))
