"""A Bluetooth adapter of this computer, by bleak. Not tried with a real one: see docs/phone.md."""

import asyncio
import contextlib

from firmware import settings
from firmware.errors import LinkError
from tools.phone.links import OPEN_S, SCAN_S, WRITE_MAX_BYTES, WRITE_S, Found, choose, state_of
from tools.phone.links.inbox import Inbox

_COMPANY = 0xFFFF
_HEAD_BYTES = 3  # of a write, out of the MTU


class BleCarrier:
    """module: name or address, None for the only one that is heard. bleak: the package, or what stands in for it."""

    def __init__(self, module=None, bleak=None):
        if bleak is None:
            import bleak  # here, since it looks for the system's Bluetooth
        self._bleak = bleak
        self._module = module
        self._link = None

    async def scan(self):
        return [_found(device, advertisement) for device, advertisement in await self._heard()]

    async def open(self):
        await self.close()  # a system has one connection to a module, and would give it again
        heard = await self._heard()
        found = choose([_found(*pair) for pair in heard], self._module)
        self._module = found.address
        device = next(device for device, _ in heard if device.address == found.address)
        link = self._link = BleLink()
        client = self._bleak.BleakClient(device, link.gone, timeout=OPEN_S)
        try:
            await client.connect()
            await link.begin(client)
        except (self._bleak.BleakError, OSError, TimeoutError) as error:
            link.close()
            raise LinkError("closed") from error
        return link

    async def close(self):
        if self._link:
            self._link.close()
            await self._link.closed()

    async def _heard(self):
        try:
            heard = await self._bleak.BleakScanner.discover(
                timeout=SCAN_S, return_adv=True, service_uuids=[settings.BLE_SERVICE_UUID]
            )
        except (self._bleak.BleakError, OSError) as error:
            raise LinkError("no_adapter") from error
        # Some systems report more than was asked for.
        return [pair for pair in heard.values() if settings.BLE_SERVICE_UUID in pair[1].service_uuids]


class BleLink:
    """A connection and the two streams of the module's service."""

    def __init__(self):
        self._inbox = Inbox()
        self._client = None
        self._ending = None

    async def begin(self, client):
        self._client = client
        await client.start_notify(settings.BLE_FROM_MODULE_UUID, lambda sender, data: self._inbox.put(data))

    async def read_into(self, view):
        return await self._inbox.read_into(view)

    async def write(self, data):
        data = bytes(data)
        step = min(self._client.mtu_size - _HEAD_BYTES, WRITE_MAX_BYTES)
        for at in range(0, len(data), step):
            if self._inbox.over:
                raise LinkError("closed")
            try:
                async with asyncio.timeout(WRITE_S):
                    await self._client.write_gatt_char(settings.BLE_TO_MODULE_UUID, data[at : at + step], response=True)
            except TimeoutError:
                self.close()
                raise LinkError("timeout") from None
            except Exception as error:  # each system's Bluetooth has its own
                self.close()
                raise LinkError("closed") from error

    def close(self):
        self._inbox.end()
        if self._client and not self._ending:
            self._ending = asyncio.ensure_future(self._disconnect())

    async def closed(self):
        """Wait until the connection has been ended, or cannot be."""
        if self._ending:
            await self._ending

    def gone(self, client):
        """The connection is over, whoever ended it."""
        self._inbox.end()

    async def _disconnect(self):
        with contextlib.suppress(Exception):  # it is over in any case, and the module finds out by itself
            async with asyncio.timeout(WRITE_S):
                await self._client.disconnect()


def _found(device, advertisement):
    own = advertisement.manufacturer_data.get(_COMPANY, b"")
    name = advertisement.local_name or device.name or ""
    return Found(device.address, name, state_of(*own) if len(own) == 2 else None)
