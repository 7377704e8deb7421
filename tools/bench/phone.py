"""Figures of a whole operation 2 over BLE: what goes to and fro between a phone and the real firmware."""

import asyncio
import tempfile
from pathlib import Path
from types import SimpleNamespace

from firmware import settings
from tools.flash.image import FlashImage
from tools.phone.client import PhoneClient
from tools.pps.services.credentials import GROUPS, Scope
from tools.sim.house import HEAP, SERIAL, House

_MTU = 247
_ROUND_TRIPS_LIMIT = 12
_INTERVAL_MS = 30
_INTERVALS_OF_A_ROUND_TRIP = 2
_TIMEOUT_S = 30
_LOOK_EVERY_S = 0.05
# Customer name, address and site number; a customer is deleted.
_CHANGES = {0x11: "高橋 一郎", 0x13: "京都府京都市中京区烏丸通御池下ル虎屋町", 0x31: "0398765432109876543210"}


def rows():
    """Rows {name, value, unit, limit, peer, ok}: connect, unlock, change three fields, delete a group, end.

    Counted from the end of discovery: the subscription, with the search for its descriptor, and all that follows. A
    round trip is an ATT request with its answer; bytes are those of ATT, heads and answers included.
    Time = interval x (2 x round trips + notifications) + share V's 400 ms. That is: a request goes in one connection
    event, its answer in the next, and what the module has to say after it takes one more for each notification. The
    module's work beyond those 400 ms is not in it, nor is that of the phone.
    """
    traffic = asyncio.run(operation_2(HEAP))
    intervals = _INTERVALS_OF_A_ROUND_TRIP * traffic.round_trips + traffic.notifications
    return [
        _row("ATT round trips after discovery", traffic.round_trips, "round trips", _ROUND_TRIPS_LIMIT),
        _row("notifications", traffic.notifications, "packets"),
        _row("from the phone", traffic.bytes_sent, "B"),
        _row("from the module", traffic.bytes_received, "B"),
        _row(
            f"time at an interval of {_INTERVAL_MS} ms, calculated",
            _INTERVAL_MS * intervals + settings.PHONE_SHARE_MS,
            "ms",
        ),
    ]


async def operation_2(heap):
    """What went over the link of one operation 2, or None where a task of the module fell over for want of memory.

    HouseError, LinkError, PhoneError, ModuleStopped, TimeoutError.
    """
    with tempfile.TemporaryDirectory(prefix="inkan-bench-") as folder:
        async with House(Path(folder, "house"), heap=heap) as house:
            await house.start(fresh=True)
            async with asyncio.timeout(_TIMEOUT_S), house.phones.radio() as radio:
                credential = await _issued(house)
                link = await radio.connect(mtu=_MTU, subscribe=False)
                before = SimpleNamespace(**vars(link.traffic))
                await link.listen()
                client = PhoneClient(link)
                await client.unlock(credential.id, credential.password)
                await client.change(_CHANGES)
                await client.delete(settings.GROUP_CUSTOMER)
                await client.end()
            if any("MemoryError" in line for line in house.module.output):
                return None
            names = ("round_trips", "notifications", "bytes_sent", "bytes_received")
            return SimpleNamespace(**{name: getattr(link.traffic, name) - getattr(before, name) for name in names})


async def _issued(house):
    """A credential for everything, once the module has it."""
    scope = Scope(see=GROUPS, change=GROUPS, delete=GROUPS, recover=False)
    credential = await asyncio.to_thread(house.server.issue_credential, SERIAL, scope=scope)
    while FlashImage(house.flash.image()).credential("sequence") != credential.sequence:
        await asyncio.sleep(_LOOK_EVERY_S)
    return credential


def _row(name, value, unit, limit=None):
    ok = None if limit is None else value <= limit
    name = f"operation 2 at MTU {_MTU}: {name}"
    return {"name": name, "value": value, "unit": unit, "limit": limit, "peer": None, "ok": ok}
