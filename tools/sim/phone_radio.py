"""A phone's BLE radio, on Bumble: finds modules in the air, connects, and gives links as tools/phone wants them."""

import asyncio
import contextlib
import struct
from typing import NamedTuple

from bumble import att, core, hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Device, DeviceConfiguration, Peer
from bumble.host import Host

from firmware import settings
from firmware.errors import LinkError
from tools.sim.air import Radio

DEFAULT_TIMEOUT_S = 10
_FIND_TIMEOUT_S = 40  # a module whose buffers a deaf phone has filled is away for 10 s, and the machine may be busy
MTU = 517

_COMPANY = 0xFFFF


class Found(NamedTuple):
    """What a module advertises."""

    address: hci.Address
    name: str
    protocol: int
    state: int
    connectable: bool
    raw: bytes  # advertising data and scan response, one behind the other


class PhoneRadio:
    """One phone, from start() to stop(); also an async context manager. TimeoutError where nothing comes in time.

    REFUSED is what else it and its links raise, where the module, or Bumble, turns something down.
    """

    REFUSED = core.BaseError

    def __init__(self, air, name="phone"):
        self._air = air
        self._name = name
        self._radio = self._device = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exception):
        self.stop()

    async def start(self):
        self._radio = Radio(self._name, self._air)
        configuration = DeviceConfiguration(name=self._name, address=hci.Address.generate_static_address())
        self._device = Device(config=configuration, host=Host(self._radio, self._radio))
        await self._device.power_on()

    def stop(self):
        """Switched off, without a word to anybody."""
        self._air.remove(self._radio)

    async def scan(self, wanted=None, timeout_s=_FIND_TIMEOUT_S):
        """The first module heard that is `wanted`, a callable with a Found; any where it is None."""
        heard = asyncio.get_running_loop().create_future()

        def look(advertisement):
            found = _found(advertisement)
            if found and (wanted is None or wanted(found)) and not heard.done():
                heard.set_result(found)

        self._device.on(Device.EVENT_ADVERTISEMENT, look)
        try:
            # Shielded: Bumble takes no other command after one whose answer nobody waited for.
            await asyncio.shield(asyncio.ensure_future(self._device.start_scanning()))
            async with asyncio.timeout(timeout_s):
                return await heard
        finally:
            self._device.remove_listener(Device.EVENT_ADVERTISEMENT, look)
            await self._device.stop_scanning()

    async def connect(self, found=None, mtu=MTU, subscribe=True, timeout_s=_FIND_TIMEOUT_S):
        """A BleLink to a module; to the first that takes connections where none is named."""
        found = found or await self.scan(lambda one: one.connectable, timeout_s)
        try:
            link = BleLink(await self._device.connect(found.address, timeout=timeout_s))
        except core.TimeoutError as error:
            raise TimeoutError(f"{found.name} takes no connection") from error
        try:
            await link.prepare(mtu, subscribe)
        except BaseException:
            link.close()
            raise
        return link

    def vanish(self):
        """Out of reach in this moment. Both ends notice a little later."""
        self._air.lose(self._radio)

    def come_back(self):
        self._air.find_again(self._radio)

    def take_nothing(self):
        """From now on no data is taken from the air, though the link stands."""
        self._air.hold(self._radio)

    def take_again(self):
        self._air.release(self._radio)


class BleLink:
    """A link over BLE as tools/phone wants it, also for what else can be done with a module's service.

    read_into(buffer) -> how many bytes came, 0 when the link is over; write(data); close(). LinkError: "closed",
    "timeout". `infos` are the values of *info* that were notified. `notifications` counts those of the stream,
    `traffic` everything.
    Characteristics are named by their UUIDs, those of firmware/settings.py.
    """

    def __init__(self, connection):
        self._connection = connection
        self._peer = Peer(connection)
        self._characteristics = {}
        self._received = bytearray()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._task = None
        self.reason = None  # why it ended, Bluetooth's number
        self.infos = asyncio.Queue()
        self.notifications = 0
        self.traffic = Traffic(self._peer.gatt_client)
        connection.on(connection.EVENT_DISCONNECTION, self._gone)

    @property
    def mtu(self):
        return self._connection.att_mtu

    async def prepare(self, mtu, subscribe):
        """What a phone does first. mtu: None to stay with the least, 23."""
        if mtu is not None:
            await self._asked(self._peer.request_mtu(mtu))
        services = await self._asked(self._peer.discover_service(UUID(settings.BLE_SERVICE_UUID)))
        if not services:
            raise LinkError("closed")
        await self._asked(services[0].discover_characteristics())
        for uuid in (settings.BLE_INFO_UUID, settings.BLE_TO_MODULE_UUID, settings.BLE_FROM_MODULE_UUID):
            self._characteristics[uuid] = services[0].get_characteristics_by_uuid(UUID(uuid))[0]
        if subscribe:
            await self.subscribe(settings.BLE_INFO_UUID, self.infos.put_nowait)
            await self.listen()

    async def listen(self):
        """Subscribe to the stream from the module; for a link that was made without."""
        await self.subscribe(settings.BLE_FROM_MODULE_UUID, self._notified)

    async def subscribe(self, uuid, take):
        """take(value) is called for each notification."""
        await self._asked(self._peer.subscribe(self._characteristics[uuid], take))

    async def read(self, uuid):
        return bytes(await self._asked(self._characteristics[uuid].read_value()))

    async def read_info(self):
        return await self.read(settings.BLE_INFO_UUID)

    async def read_into(self, buffer):
        while not self._received and not self._ended.is_set():
            self._changed.clear()
            await self._changed.wait()
        count = min(len(self._received), len(buffer))
        buffer[:count] = self._received[:count]
        del self._received[:count]
        return count

    async def write(self, data, with_response=True):
        """Write to the stream, in pieces that fit the MTU."""
        step = min(self.mtu - 3, settings.BLE_VALUE_BYTES)
        data = bytes(data)
        for at in range(0, len(data), step):
            await self._write(data[at : at + step], with_response)

    async def write_long(self, data):
        """As a browser writes more than fits the MTU: in parts that the module's stack puts together."""
        await self._write(bytes(data), True)

    async def _write(self, value, with_response):
        await self._asked(self._characteristics[settings.BLE_TO_MODULE_UUID].write_value(value, with_response))

    def close(self):
        if self._task is None and not self._ended.is_set():
            self._task = asyncio.ensure_future(self._disconnect())

    async def ended(self, timeout_s=DEFAULT_TIMEOUT_S):
        """Wait until the link is over; returns why, as Bluetooth numbers it."""
        async with asyncio.timeout(timeout_s):
            await self._ended.wait()
        return self.reason

    async def _asked(self, awaitable):
        """Await it, or raise LinkError as soon as the link is over: Bumble only cancels, and not always."""
        asked = asyncio.ensure_future(awaitable)
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((asked, ended), timeout=DEFAULT_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and not asked.cancelled() and not self._ended.is_set():
                return asked.result()
            raise LinkError("closed" if self._ended.is_set() else "timeout")
        finally:
            for task in (asked, ended):
                task.cancel()
            await asyncio.gather(asked, ended, return_exceptions=True)

    async def _disconnect(self):
        # The radio may be switched off, or the module faster, while this is under way.
        with contextlib.suppress(core.BaseError, core.CommandTimeoutError, hci.HCI_Error):
            await self._connection.disconnect()

    def _notified(self, value):
        self.notifications += 1
        self._received += value
        self._changed.set()

    def _gone(self, reason):
        self.reason = reason
        self._ended.set()
        self._changed.set()


class Traffic:
    """What went over a connection: ATT requests that were answered, notifications, and bytes of ATT each way.

    `listeners` are called after each answer and each notification.
    """

    def __init__(self, client):
        self.round_trips = self.notifications = self.bytes_sent = self.bytes_received = 0
        self.listeners = []
        self._send, self._take = client.send_gatt_pdu, client.on_gatt_pdu
        client.send_gatt_pdu, client.on_gatt_pdu = self._sent, self._took

    def _sent(self, pdu):
        self.bytes_sent += len(pdu)
        self._send(pdu)

    def _took(self, pdu):
        self.bytes_received += len(bytes(pdu))
        if pdu.op_code in att.ATT_RESPONSES:
            self.round_trips += 1
        else:
            self.notifications += 1
        self._take(pdu)
        for listener in list(self.listeners):
            listener()


def _found(advertisement):
    """A module's advertising, taken apart, or None where it is somebody else's."""
    data = advertisement.data
    services = data.get(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or []
    own = data.get(AdvertisingData.MANUFACTURER_SPECIFIC_DATA)
    if UUID(settings.BLE_SERVICE_UUID) not in services or not own or own[0] != _COMPANY or len(own[1]) != 2:
        return None
    protocol, state = struct.unpack("BB", own[1])
    name = data.get(AdvertisingData.COMPLETE_LOCAL_NAME) or ""
    return Found(advertisement.address, name, protocol, state, advertisement.is_connectable, bytes(data))
