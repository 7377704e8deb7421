"""Advertising, and the connections that come of it."""

import asyncio

from micropython import const

from .core import ble, ensure_active, register_irq_handler

_CONNECTED = const(1)
_DISCONNECTED = const(2)

_newest = None
_arrived = None


class DeviceConnection:
    """One connection."""

    by_handle = {}

    def __init__(self, handle):
        self._conn_handle = handle
        self._ended = asyncio.ThreadSafeFlag()
        self._task = None

    def is_connected(self):
        return self._conn_handle is not None

    async def clean_up(self):
        await self._ended.wait()
        del DeviceConnection.by_handle[self._conn_handle]
        self._conn_handle = None


async def advertise(interval_us, adv_data=None, resp_data=None, connectable=True):
    """Advertise until a central connects; returns the DeviceConnection, or None where it is cancelled."""
    global _arrived, _newest
    ensure_active()
    _arrived = _arrived or asyncio.ThreadSafeFlag()
    ble.gap_advertise(interval_us, adv_data=adv_data, resp_data=resp_data, connectable=connectable)
    try:
        await _arrived.wait()
    except asyncio.CancelledError:
        ble.gap_advertise(None)
        return None
    connection, _newest = _newest, None
    connection._task = asyncio.create_task(connection.clean_up())
    return connection


def _on_event(event, data):
    global _newest
    if event == _CONNECTED:
        _newest = DeviceConnection(data[0])
        DeviceConnection.by_handle[data[0]] = _newest
        _arrived.set()
    elif event == _DISCONNECTED:
        connection = DeviceConnection.by_handle.get(data[0])
        if connection:
            connection._ended.set()


register_irq_handler(_on_event, None)
