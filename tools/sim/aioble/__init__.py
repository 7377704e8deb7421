"""Stands in for micropython-lib's aioble where that cannot be had: what firmware/drivers/gatt.py uses, no more.

Names and behaviour are aioble's, so that either can be taken (tools/setup/mip.py says which is); the code is not.
"""

from .core import config
from .peripheral import advertise
from .server import BufferedCharacteristic, Characteristic, Service, register_services

__all__ = (
    "BufferedCharacteristic",
    "Characteristic",
    "Service",
    "advertise",
    "config",
    "register_services",
)
