"""BLE: the service that phones speak to (docs/protocol.md), on aioble.

A characteristic has one value for all phones, and aioble tells of a write some time after it. Two phones at one
time would find their bytes mixed. So events come here first: the bytes of a write are filed by connection within
the event, and the stack takes no other write before that has returned. On the chip events come in the radio's own
thread, between any two steps of the rest: what they share with it is one number each that only one side changes.
"""

import asyncio
import errno
from time import ticks_add, ticks_diff

from micropython import const

from firmware import settings
from firmware.drivers import DriverError
from firmware.errors import LinkError

_CONNECTED = const(1)
_DISCONNECTED = const(2)
_WRITTEN = const(3)
_MTU_CHANGED = const(21)

_LEAST_MTU = const(23)
_NOTIFICATION_HEAD = const(3)
_NAME = "Inkan "
_NAME_SERIAL = const(8)  # characters of the serial number


class GattLink:
    """One phone's connection, as firmware/link/peer.py wants a link."""

    door = settings.DOOR_BLE

    def __init__(self, server, handle, place):
        self.handle = handle
        self.place = place  # of the server's
        self._ring = server.rings[place]
        self.connection = None  # aioble's, once it has one
        self.gone = False  # the connection has ended
        self.mtu = _LEAST_MTU
        self._server = server
        self._closed = False
        self._filled = 0  # bytes that came, and bytes that were read, both modulo twice the ring's size
        self._taken = 0
        self._changed = asyncio.ThreadSafeFlag()

    async def read_into(self, buffer):
        """Bytes as they come; how many, 0 when it is over."""
        while not self._closed:
            count = self._take(buffer)
            if count or self.gone:
                return count
            await self._changed.wait()
        return 0

    async def write(self, view):
        """Notify all of it, in pieces as the MTU has them. LinkError: closed; timeout where the phone takes none."""
        view = memoryview(view)
        server = self._server
        deadline = ticks_add(server.ticks_ms(), settings.BLE_WRITE_MS)
        start = 0
        while start < len(view):
            if self._closed or self.gone:
                raise LinkError("closed")
            end = min(start + self.mtu - _NOTIFICATION_HEAD, len(view))
            try:
                server.notify(self, view[start:end])
                start = end
                await asyncio.sleep_ms(0)
            except OSError as error:
                if error.errno == errno.ENOTCONN:
                    self.close()
                elif ticks_diff(deadline, server.ticks_ms()) <= 0:
                    self.close()
                    raise LinkError("timeout")
                else:  # the stack's buffers are full
                    await asyncio.sleep_ms(settings.BLE_RETRY_MS)

    def close(self):
        """End the connection."""
        if not self._closed:
            self._closed = True
            if not self.gone:
                self._server.disconnect(self.handle)
            self._changed.set()

    # The server's side

    def receive(self, data):
        """In the event: take what was written. A stream with a gap is worth nothing, so without room it ends."""
        size = len(self._ring)
        count = len(data)
        if count > size - self._waiting():
            self.close()
            return
        at = self._filled % size
        first = min(count, size - at)
        data = memoryview(data)
        self._ring[at : at + first][:] = data[:first]
        self._ring[: count - first][:] = data[first:]
        self._filled = (self._filled + count) % (2 * size)
        self._changed.set()

    def end(self):
        """In the event: the connection has ended."""
        self.gone = True
        self._changed.set()

    async def ended(self):
        """Wait for the connection's end, for as long as it may take."""
        try:
            while not self.gone:
                await asyncio.wait_for_ms(self._changed.wait(), settings.BLE_END_MS)
        except asyncio.TimeoutError:
            pass

    def _waiting(self):
        return (self._filled - self._taken) % (2 * len(self._ring))

    def _take(self, buffer):
        size = len(self._ring)
        count = min(self._waiting(), len(buffer))
        at = self._taken % size
        first = min(count, size - at)
        buffer = memoryview(buffer)
        buffer[:first][:] = self._ring[at : at + first]
        buffer[first:count][:] = self._ring[: count - first]
        self._taken = (self._taken + count) % (2 * size)
        return count


class GattServer:
    """The module's service, advertised always.

    `serve` is awaited with the GattLink of each phone that connects; a link is closed when it returns. `run` has
    to be a task. Say with `set_info` what there is to see before that. DriverError("ble_radio").
    """

    def __init__(self, serial, serve, ticks_ms):
        import aioble
        from aioble.core import ble_irq
        from bluetooth import BLE, UUID

        self.ticks_ms = ticks_ms
        self._serve = serve
        self._ble = BLE()
        self._pass_on = ble_irq
        self._places = [None] * settings.BLE_LINKS  # links; never longer or shorter, since events look at it any time
        self._newcomer = None  # connected, and run() has not taken care of it yet
        self._room = asyncio.Event()
        self.rings = [memoryview(bytearray(settings.BLE_BUFFER_BYTES)) for _ in self._places]
        self._value = b""
        self._shown = -1  # the state that is being advertised
        self._started = False  # before that aioble does not know what to do with a connection
        name = _NAME + serial[-_NAME_SERIAL:]
        service_uuid = UUID(settings.BLE_SERVICE_UUID)
        self._response = bytes((len(name) + 1, 0x09)) + name.encode()
        # Flags: general discovery, no classic Bluetooth. A 128-bit service. Manufacturer's, of no company.
        self._advertisement = bytearray(b"\x02\x01\x06\x11\x07" + bytes(service_uuid) + b"\x05\xff\xff\xff\0\0")
        try:
            aioble.config(gap_name=name, mtu=settings.BLE_MTU)
            service = aioble.Service(service_uuid)
            self._info = aioble.Characteristic(service, UUID(settings.BLE_INFO_UUID), read=True, notify=True)
            # The only one that can be written. What it holds is what the last write brought.
            self._to_module = aioble.BufferedCharacteristic(
                service,
                UUID(settings.BLE_TO_MODULE_UUID),
                write=True,
                write_no_response=True,
                max_len=settings.BLE_VALUE_BYTES,
            )
            self._from_module = aioble.Characteristic(service, UUID(settings.BLE_FROM_MODULE_UUID), notify=True)
            aioble.register_services(service)
        except OSError:
            raise DriverError("ble_radio")
        self._ble.irq(self._event)

    def set_info(self, info, state):
        """What *info* says now, which begins with the protocol version; and the state in it."""
        if info != self._value:
            self._value = bytes(info)
            self._info.write(self._value, send_update=True)
        self._advertisement[-2] = info[0]
        self._advertisement[-1] = state
        if self._shown != state:
            self._advertise()

    async def run(self):
        """Advertise for ever, also while phones are connected."""
        from aioble import advertise

        while True:
            try:
                if None not in self._places:
                    self._room.clear()
                    self._advertise()
                    await self._room.wait()
                    continue
                self._shown = self._advertisement[-1]
                self._started = True
                connection = await advertise(
                    settings.BLE_ADVERTISE_US, adv_data=self._advertisement, resp_data=self._response
                )
                if connection is None:  # how aioble ends when it is cancelled
                    raise asyncio.CancelledError
                self._newcomer.connection = connection
                asyncio.create_task(self._attend(self._newcomer))
                self._newcomer = None
            except (OSError, MemoryError):
                self._turn_away()
                await asyncio.sleep_ms(settings.BLE_RADIO_RETRY_MS)

    async def _attend(self, link):
        try:
            await self._serve(link)
        except Exception as error:
            print("link failed:", type(error).__name__, getattr(error, "code", ""))
        link.close()
        await link.ended()
        self._places[link.place] = None
        self._room.set()

    def _advertise(self):
        """Begin anew with the present data, for connections only where there is room for one."""
        if self._newcomer or not self._started:
            return  # run() is about to do it
        self._shown = self._advertisement[-1]
        try:
            self._ble.gap_advertise(
                settings.BLE_ADVERTISE_US,
                adv_data=self._advertisement,
                resp_data=self._response,
                connectable=None in self._places,
            )
        except (OSError, MemoryError):
            self._shown = -1  # so that the next set_info tries again, and the next end of a connection

    def notify(self, link, view):
        self._from_module.notify(link.connection, view)

    def disconnect(self, handle):
        try:
            self._ble.gap_disconnect(handle)
        except OSError:
            pass  # it ends by itself, see GattLink.ended

    # Events

    def _event(self, event, data):
        if event == _WRITTEN:
            self._written(data[0])
            return None
        if event == _CONNECTED:
            return self._connected(data)
        result = self._pass_on(event, data)
        if event == _DISCONNECTED:
            link = self._find(data[0])
            if link:
                link.end()
            elif self._shown < 0:
                self._advertise()
        elif event == _MTU_CHANGED:
            link = self._find(data[0])
            if link:
                link.mtu = data[1]
        return result

    def _connected(self, data):
        """A connection is served or ended, and where it is ended there is advertising again, which it had stopped."""
        handle = data[0]
        try:
            if self._welcome(handle):
                return self._pass_on(_CONNECTED, data)
        except MemoryError:
            if self._newcomer and self._newcomer.handle == handle:  # aioble does not know it
                self._turn_away()
        self.disconnect(handle)
        self._advertise()
        return None

    def _turn_away(self):
        """Forget the newcomer, if there is one, and end its connection."""
        link = self._newcomer
        if link:
            self._newcomer = self._places[link.place] = None
            link.close()

    def _welcome(self, handle):
        """Whether a new connection has a link now.

        aioble cleans up after a connection when the event loop comes around, by its handle: a new connection
        that has the same one by then would be taken for it.
        """
        free = -1
        for place in range(len(self._places)):
            link = self._places[place]
            if link is None:
                free = place
            elif link is self._newcomer or (link.handle == handle and link.gone and link.connection.is_connected()):
                break
        else:
            if free >= 0:
                self._newcomer = self._places[free] = GattLink(self, handle, free)
                return True
        return False

    def _written(self, handle):
        link = self._find(handle)
        if link:
            try:
                link.receive(self._to_module.read())
            except MemoryError:
                link.close()

    def _find(self, handle):
        for link in self._places:
            if link and link.handle == handle and not link.gone:
                return link
        return None
