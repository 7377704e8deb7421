"""What a technician would have entered, in the vault without anybody entering it: for runs that begin after that."""

import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from firmware.store.store import Store
from tools.sim.house import SERIAL

CONTRACT = "PPS-000123"
SITE_NUMBER = "0312345678901234567890"
_CONTRACT = {0x14: CONTRACT.encode(), 0x31: SITE_NUMBER.encode()}


def enter(house, fields=_CONTRACT, energy_url=None):
    """Have the firmware's own store commit a connection to the house's server, a readings' key and `fields`.

    fields: {id: bytes} of docs/format.md, contract and site where nothing else is said. energy_url: of a server for
    energy apart. The house has started and its module's power is off.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERIAL)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    items = {
        **fields,
        0x21: os.urandom(64),
        0x51: house.server.credential_url.encode(),
        0x52: (energy_url or house.server.credential_url).encode(),
        0x53: house.server.ca.pps.certificate_der,
        0x54: house.server.certify_connection(SERIAL, request.public_bytes(serialization.Encoding.DER)),
        0x55: key.private_numbers().private_value.to_bytes(32, "big"),
    }
    house.flash.power_on()
    store = Store(house.flash, os.urandom)
    store.start()
    store.vault.commit(sorted(items.items()))
    house.flash.powered = False
