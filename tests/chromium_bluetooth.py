"""Chromium's emulated Bluetooth: what a page asks of it by Web Bluetooth is done by a phone's radio in a house's air.

The emulation is the DevTools protocol's domain BluetoothEmulation. It has one peripheral, the module. It cannot send
notifications: those reach the page by a script in it. That a page has ended a connection it does not tell, and it takes
the next one for the same; it forgets the services with a connection that the other end has ended, and then refuses an
answer of theirs. So what the page asks and that a connection has ended go through one queue: the module takes the last
write of a session and hangs up, and the emulation has to be told in that order.
"""

import asyncio
import base64
import contextlib

from bumble import core

from firmware import settings
from firmware.errors import LinkError

# Chromium offers Web Bluetooth on Linux only when told to.
ARGUMENTS = ("--enable-features=WebBluetooth",)

# What subscribes is noted, to be given its notifications.
SCRIPT = """{
  const listening = new Map();
  const start = BluetoothRemoteGATTCharacteristic.prototype.startNotifications;
  BluetoothRemoteGATTCharacteristic.prototype.startNotifications = async function () {
    await start.call(this);
    listening.set(this.uuid, this);
    return this;
  };
  window.notifyAs = (uuid, text) => {
    const characteristic = listening.get(uuid);
    const value = new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    Object.defineProperty(characteristic, "value", { configurable: true, value });
    characteristic.dispatchEvent(new Event("characteristicvaluechanged", { bubbles: true }));
  };
}"""

_ADDRESS = "09:09:09:09:09:09"
_PROPERTIES = {
    settings.BLE_INFO_UUID: ("read", "notify"),
    settings.BLE_TO_MODULE_UUID: ("write", "writeWithoutResponse"),
    settings.BLE_FROM_MODULE_UUID: ("notify",),
}
_ALL_PROPERTIES = ("read", "write", "writeWithoutResponse", "notify", "indicate")
_CLIENT_CONFIGURATION = "00002902-0000-1000-8000-00805f9b34fb"
_ENDED = "ended"  # in the queue of what the page asks
_FAILED = 0x0E  # ATT: unlikely error
_NO_CONNECTION = 0x3E  # HCI: failed to be established


class EmulatedBluetooth:
    """As an async context manager. page: Playwright's, before it is opened; radio: a PhoneRadio.

    `operations` lists what the page asked for, `prompts` counts what it let the user choose from.
    """

    def __init__(self, page, radio):
        self.operations = []
        self.prompts = 0
        self.link = None
        self._page = page
        self._radio = radio
        self._browser = self._target = None  # sessions of the DevTools protocol
        self._asked = asyncio.Queue()
        self._notifications = asyncio.Queue()
        self._uuids = {}  # by the emulation's id
        self._tasks = []
        self._answered = set()

    async def __aenter__(self):
        self._browser = await self._page.context.browser.new_browser_cdp_session()
        self._target = await self._page.context.new_cdp_session(self._page)
        await self._page.add_init_script(SCRIPT)
        for name in ("gattOperationReceived", "characteristicOperationReceived"):
            self._browser.on(f"BluetoothEmulation.{name}", self._asked.put_nowait)
        self._target.on("DeviceAccess.deviceRequestPrompted", self._prompted)
        await self._emulate("enable", state="powered-on", leSupported=True)
        await self._target.send("DeviceAccess.enable")
        await self._emulate(
            "simulatePreconnectedPeripheral",
            address=_ADDRESS,
            name="Inkan",
            manufacturerData=[],
            knownServiceUuids=[settings.BLE_SERVICE_UUID],
        )
        self._tasks = [asyncio.create_task(work()) for work in (self._answer, self._notify)]
        return self

    async def __aexit__(self, *exception):
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await self._emulate("disable")
        failed = [result for result in results if isinstance(result, Exception)]
        if failed and exception[0] is None:
            raise failed[0]
        for result in failed:  # what the page waited for in vain
            exception[1].add_note(f"the emulated Bluetooth ended: {result!r}")

    def _emulate(self, command, **parameters):
        return self._browser.send(f"BluetoothEmulation.{command}", parameters)

    def _prompted(self, prompt):
        """The user takes the module. The same prompt is told more than once."""
        if prompt["devices"] and prompt["id"] not in self._answered:
            self._answered.add(prompt["id"])
            self.prompts += 1
            chosen = {"id": prompt["id"], "deviceId": prompt["devices"][0]["id"]}
            self._tasks.append(asyncio.ensure_future(self._target.send("DeviceAccess.selectPrompt", chosen)))

    async def _answer(self):
        """One operation after the other, as over the air."""
        while True:
            asked = await self._asked.get()
            if asked["type"] == _ENDED:
                await self._tell_end(asked["link"])
                continue
            self.operations.append(asked["type"])
            if "address" in asked:
                code = await self._connect() if asked["type"] == "connection" else await self._discover()
                await self._emulate("simulateGATTOperationResponse", address=_ADDRESS, type=asked["type"], code=code)
            else:
                await self._operate(asked)

    async def _connect(self):
        if self.link is not None:  # the page has ended that connection
            self.link.close()
        try:
            self.link = await self._radio.connect(subscribe=False)
        except (TimeoutError, LinkError, core.BaseError):
            return _NO_CONNECTION
        self._tasks.append(asyncio.create_task(self._follow(self.link)))
        return 0

    async def _discover(self):
        if self._uuids:
            return 0
        added = await self._emulate("addService", address=_ADDRESS, serviceUuid=settings.BLE_SERVICE_UUID)
        service = added["serviceId"]
        for uuid, has in _PROPERTIES.items():
            properties = {name: name in has for name in _ALL_PROPERTIES}
            added = await self._emulate(
                "addCharacteristic", serviceId=service, characteristicUuid=uuid, properties=properties
            )
            self._uuids[added["characteristicId"]] = uuid
            if "notify" in has:
                await self._emulate(
                    "addDescriptor", characteristicId=added["characteristicId"], descriptorUuid=_CLIENT_CONFIGURATION
                )
        return 0

    async def _operate(self, asked):
        if asked["characteristicId"] not in self._uuids:
            return  # of a connection that has ended since: the page knows, and the emulation takes no answer
        uuid, kind = self._uuids[asked["characteristicId"]], asked["type"]
        code, more = 0, {}
        try:
            if kind == "read":
                more["data"] = base64.b64encode(await self.link.read(uuid)).decode()
            elif kind == "write":
                assert uuid == settings.BLE_TO_MODULE_UUID
                with_response = asked["writeType"] != "write-without-response"
                await self.link.write(base64.b64decode(asked["data"]), with_response)
                if not with_response:
                    return  # nobody waits
            elif kind.startswith("subscribe"):
                await self.link.subscribe(uuid, lambda value: self._notifications.put_nowait((uuid, value)))
        except (LinkError, core.BaseError):
            code = _FAILED
        await self._emulate(
            "simulateCharacteristicOperationResponse",
            characteristicId=asked["characteristicId"],
            type=kind,
            code=code,
            **more,
        )

    async def _notify(self):
        while True:
            uuid, value = await self._notifications.get()
            await self._page.evaluate(
                "([uuid, text]) => notifyAs(uuid, text)", [uuid, base64.b64encode(value).decode()]
            )

    async def _follow(self, link):
        await link.ended(None)
        self._asked.put_nowait({"type": _ENDED, "link": link})

    async def _tell_end(self, link):
        if link is self.link:
            self.link = None
            self._uuids.clear()  # the emulation forgets them with the connection
            await self._emulate("simulateGATTDisconnection", address=_ADDRESS)
