"""The BLE radio and its stack, on Bumble: what NimBLE and the radio are to MicroPython on the ESP32.

Bumble is large: nothing but the house's end of the radio's wire imports this, once the firmware switches BLE on.
"""

import asyncio
import contextlib
import errno
import struct

from bumble import att, hci
from bumble.core import UUID
from bumble.device import AdvertisingType, Device, DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Descriptor, Service
from bumble.host import Host
from bumble.transport import open_transport

from tools.sim.air import Air, Radio

# MicroPython's numbers of events
CONNECTED = 1
DISCONNECTED = 2
WRITE = 3
READ = 4
INDICATE_DONE = 20
MTU = 21

# Packets for the air that all connections together may have waiting, as NimBLE's pool of buffers on the ESP32.
PACKETS_WAITING = 36

_RESET_S = 2
_READABLE = 0x02
_WRITABLE = 0x0C


class _Value(CharacteristicValue):
    """Of an attribute whose value the firmware has. `ask` is awaited with (event, connection, attribute, value)."""

    def __init__(self, ask):
        super().__init__(self._get, self._put)
        self.attribute = None  # set once there is one
        self._ask = ask

    async def _get(self, connection):
        return await self._ask(READ, connection, self.attribute.handle, b"")

    async def _put(self, connection, value):
        await self._ask(WRITE, connection, self.attribute.handle, bytes(value))


class Ble:
    """One radio, in an `Air` or behind a Bumble transport ("usb:0" and so on), where real phones find it.

    `on_event` is called (number, connection's handle, payload); for WRITE and READ it returns a future of
    (status, value), the firmware's answer. `listeners` are called with the number of phones that are connected, when
    it is another.
    """

    def __init__(self, air, unique_id):
        self._air = air
        self._address = hci.Address(bytes(reversed(unique_id[:5])) + bytes((unique_id[5] | 0xC0,)))
        self.on_event = None
        self.listeners = []
        self._device = self._radio = self._transport = None
        self._connections = {}  # the firmware's handle -> Bumble's connection
        self._own = (0, 0)  # attributes and services of Bumble's own
        self._tasks = set()
        self._closing = None  # a task

    async def power_on(self, mtu, name):
        """As active(True)."""
        if isinstance(self._air, Air):
            self._radio = Radio("module", self._air)
            host = Host(self._radio, self._radio)
        else:
            await self.closed()
            self._transport = await open_transport(self._air)
            host = Host(self._transport.source, self._transport.sink)
        configuration = DeviceConfiguration(name=name, address=self._address)
        self._device = Device(config=configuration, host=host)
        self._device.on(self._device.EVENT_CONNECTION, self._connected)
        self.configure(mtu, name)
        await self._device.power_on()
        server = self._device.gatt_server
        self._own = len(server.attributes), len(server.services)

    def power_off(self):
        """Also what a reset or a power cut does to it: nobody is told, peers find out by themselves."""
        if self._connections:
            self._connections.clear()
            self._count()
        if self._radio:
            self._air.remove(self._radio)
        if self._transport:
            self._closing = self._start(_reset_and_close(self._device, self._transport))
        self._device = self._radio = self._transport = None

    async def closed(self):
        """Wait until a real radio has been let go after power_off."""
        if self._closing:
            await self._closing

    def configure(self, mtu, name):
        server = self._device.gatt_server
        server.max_mtu = mtu
        self._device.name = name
        server.services[0].characteristics[0].value = name.encode()

    @property
    def address(self):
        """(type, 6 bytes) as MicroPython says it: 1 is random, the most significant byte first."""
        return _address(self._address)

    async def advertise(self, interval_us, data, response, connectable):
        """Begin, or go on with something else."""
        kinds = AdvertisingType
        await self._device.start_advertising(
            advertising_type=kinds.UNDIRECTED_CONNECTABLE_SCANNABLE if connectable else kinds.UNDIRECTED_SCANNABLE,
            advertising_data=data,
            scan_response_data=response,
            advertising_interval_min=interval_us / 1000,
            advertising_interval_max=interval_us / 1000,
        )

    async def stop_advertising(self):
        await self._device.stop_advertising()

    def register(self, services):
        """Have these services and no others; returns handles, of each characteristic and then its descriptors.

        services: [(UUID, [(UUID, flags, [(UUID, flags)])])], UUIDs as bytes, flags as MicroPython's.
        """
        server = self._device.gatt_server
        attributes, count = self._own
        del server.attributes[attributes:], server.services[count:]
        server.attributes_by_handle.clear()
        order = []
        for service, characteristics in services:
            made = []
            for uuid, flags, below in characteristics:
                descriptors = [
                    self._owned(Descriptor(UUID.from_bytes(one), _permissions(its_flags), _Value(self._ask)))
                    for one, its_flags in below
                ]
                properties = Characteristic.Properties(flags & 0xFF)
                made.append(
                    self._owned(
                        Characteristic(
                            UUID.from_bytes(uuid), properties, _permissions(flags), _Value(self._ask), descriptors
                        )
                    )
                )
                order += [made[-1], *descriptors]
            server.add_service(Service(UUID.from_bytes(service), made))
        return [attribute.handle for attribute in order]

    @staticmethod
    def _owned(attribute):
        attribute.value.attribute = attribute
        return attribute

    def notify(self, handle, attribute, value):
        """Send to one peer, whether or not it subscribed. OSError: ENOTCONN; ENOMEM where too much waits already."""
        connection = self._connection(handle)
        if self.packets_waiting() >= PACKETS_WAITING:
            raise OSError(errno.ENOMEM, "too much waits")
        self._send_notification(connection, attribute, value)

    def packets_waiting(self):
        """What all connections have waiting for the air."""
        return self._device.host.le_acl_packet_queue.pending

    def update(self, attribute, value):
        """Send to every peer that subscribed."""
        server = self._device.gatt_server
        for connection in self._connections.values():
            subscribed = server.subscribers.get(connection, {}).get(attribute)
            if subscribed and subscribed[0] & 1:
                self._send_notification(connection, attribute, value)

    def _send_notification(self, connection, attribute, value):
        cut = value[: connection.att_mtu - 3]
        message = att.ATT_Handle_Value_Notification(attribute_handle=attribute, attribute_value=cut)
        self._device.gatt_server.send_gatt_pdu(connection, bytes(message))

    def indicate(self, handle, attribute, value):
        """Send to one peer; INDICATE_DONE tells what became of it."""
        self._start(self._indicate(handle, self._connection(handle), attribute, value))

    async def _indicate(self, handle, connection, attribute, value):
        server = self._device.gatt_server
        status = 0
        try:
            await server.indicate_subscriber(connection, server.get_attribute(attribute), value, force=True)
        except (TimeoutError, asyncio.CancelledError):
            status = errno.ETIMEDOUT
        self._tell(INDICATE_DONE, handle, struct.pack("<HH", attribute, status))

    def disconnect(self, handle):
        """Begin to end a connection; whether there is one. DISCONNECTED tells when it has ended."""
        connection = self._connections.get(handle)
        if connection is not None:
            self._start(self._disconnect(connection))
        return connection is not None

    async def _disconnect(self, connection):
        with contextlib.suppress(hci.HCI_Error):  # it may have ended already
            await connection.disconnect()

    def _connection(self, handle):
        if handle not in self._connections:
            raise OSError(errno.ENOTCONN, "no such connection")
        return self._connections[handle]

    # What peers do

    def _connected(self, connection):
        # From 0 and the lowest that is free, as NimBLE's controllers number them.
        handle = next(number for number in range(len(self._connections) + 1) if number not in self._connections)
        self._connections[handle] = connection
        self._count()
        address = _address(connection.peer_address)

        def gone(reason):
            if self._connections.get(handle) is connection:
                del self._connections[handle]
                self._count()
                self._tell(DISCONNECTED, handle, address)

        def mtu_changed():
            self._tell(MTU, handle, struct.pack("<H", connection.att_mtu))

        connection.on(connection.EVENT_DISCONNECTION, gone)
        connection.on(connection.EVENT_CONNECTION_ATT_MTU_UPDATE, mtu_changed)
        self._tell(CONNECTED, handle, address)

    async def _ask(self, event, connection, attribute, value):
        handle = next((number for number, one in self._connections.items() if one is connection), None)
        if handle is None:
            raise att.ATT_Error(att.ATT_UNLIKELY_ERROR_ERROR, attribute)
        status, answer = await self._tell(event, handle, struct.pack("<H", attribute) + value)
        if status:
            raise att.ATT_Error(status, attribute)
        return answer

    def _count(self):
        for listener in list(self.listeners):
            listener(len(self._connections))

    def _tell(self, event, handle, payload):
        return self.on_event(event, handle, payload)

    def _start(self, coroutine):
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _reset_and_close(device, transport):
    """A real radio keeps its power: a reset makes it forget its connections and fall silent."""
    try:
        async with asyncio.timeout(_RESET_S):
            await device.host.send_sync_command(hci.HCI_Reset_Command())
    except (TimeoutError, hci.HCI_Error):
        pass  # it has been unplugged
    finally:
        await transport.close()


def _address(address):
    return bytes((int(address.is_random),)) + bytes(reversed(bytes(address)))


def _permissions(flags):
    allowed = att.Attribute.Permissions
    readable = allowed.READABLE if flags & _READABLE else allowed(0)
    return readable | (allowed.WRITEABLE if flags & _WRITABLE else allowed(0))
