"""Services and characteristics."""

import bluetooth

from .core import ble, ensure_active


class Service:
    def __init__(self, uuid):
        self.uuid = uuid
        self.characteristics = []


class Characteristic:
    """One value."""

    def __init__(self, service, uuid, read=False, write=False, write_no_response=False, notify=False):
        service.characteristics.append(self)
        self.uuid = uuid
        self.flags = (
            (bluetooth.FLAG_READ if read else 0)
            | (bluetooth.FLAG_WRITE if write else 0)
            | (bluetooth.FLAG_WRITE_NO_RESPONSE if write_no_response else 0)
            | (bluetooth.FLAG_NOTIFY if notify else 0)
        )
        self._value_handle = None

    def read(self):
        """What the last write left."""
        return ble.gatts_read(self._value_handle)

    def write(self, data, send_update=False):
        """Have this value, and notify those who subscribed."""
        ble.gatts_write(self._value_handle, data, send_update)

    def notify(self, connection, data=None):
        """Send to one peer, whether or not it subscribed."""
        if not self.flags & bluetooth.FLAG_NOTIFY:
            raise ValueError("Not supported")
        ble.gatts_notify(connection._conn_handle, self._value_handle, data)

    def _register(self, value_handle):
        self._value_handle = value_handle


class BufferedCharacteristic(Characteristic):
    """One with room for `max_len` bytes."""

    def __init__(self, *arguments, max_len=20, **options):
        super().__init__(*arguments, **options)
        self._max_len = max_len

    def _register(self, value_handle):
        super()._register(value_handle)
        ble.gatts_set_buffer(value_handle, self._max_len)


def register_services(*services):
    """Have these services and no others."""
    ensure_active()
    packed = tuple((one.uuid, tuple((each.uuid, each.flags) for each in one.characteristics)) for one in services)
    for service, handles in zip(services, ble.gatts_register_services(packed)):
        for characteristic, handle in zip(service.characteristics, handles):
            characteristic._register(handle)
