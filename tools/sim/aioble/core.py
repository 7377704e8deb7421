"""The radio, and its events on their way to those who know what to do with them."""

import bluetooth

ble = bluetooth.BLE()
_handlers = []


def config(*names, **settings):
    """BLE.config, with the radio on."""
    ensure_active()
    return ble.config(*names, **settings)


def ensure_active():
    if not ble.active():
        ble.active(True)


def register_irq_handler(handler, shutdown):
    """`handler` gets (event, data) of every event until one returns something; there is no shutdown here."""
    _handlers.append(handler)


def ble_irq(event, data):
    for handler in _handlers:
        answer = handler(event, data)
        if answer is not None:
            return answer
    return None


ble.irq(ble_irq)
