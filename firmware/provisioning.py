"""Provisioning (R10, R28, S14): what a module learns before it leaves the factory, over its console.

One JSON object a line, one answer a line. Nothing is kept but in RAM until `finish`, and nothing is put in
a file (S11). Only a module that is not provisioned, or whose root secret is gone, listens at all.

    {"op": "state"}                         -> {"provisioned": false, "tamper": null}
    {"op": "request", "serial": "INK-1"}    -> {"request": base64 of the certificate request, DER}
    {"op": "finish", ...}                   -> {"ok": true}, and the module restarts
    anything else                           -> {"error": code}
"""

import json
from binascii import a2b_base64, b2a_base64

from micropython import const

from firmware import settings
from firmware.crypto import p256, x509
from firmware.crypto.drbg import HmacDrbg
from firmware.errors import CredentialError, FieldError, FlashError, ProvisioningError, StoreError

_SERIAL_MAX = const(32)
_DER_MAX = const(2048)
_TEXT_MAX = const(64)
_ROOT_SIZE = const(32)
_SCALAR_SIZE = const(40)  # 64 bits more than the order, so that the remainder has no bias that matters
_SEED_SIZE = const(48)
_STUCK_READS = const(4)


class Provisioner:
    """store: a started Store; entropy(size): the radio is on. seed(drbg) makes the store's random bytes work."""

    def __init__(self, store, entropy, seed, identity, preferences, acquisition, unique_info):
        self._store = store
        self._entropy = entropy
        self._seed = seed
        self._identity = identity
        self._preferences = preferences
        self._acquisition = acquisition
        self._unique_info = unique_info
        self._drbg = None
        self._serial = None
        self._scalar = None
        self.finished = False

    def answer(self, line):
        """The answer (str) to a line (str or bytes) from the console."""
        try:
            try:
                message = json.loads(line)
            except ValueError:
                raise ProvisioningError("bad_json")
            operation = message.get("op") if isinstance(message, dict) else None
            if operation == "state":
                result = {"provisioned": self._store.provisioned, "tamper": self._store.tamper}
            elif operation == "request":
                result = {"request": self._request(message)}
            elif operation == "finish":
                self._finish(message)
                result = {"ok": True}
            else:
                raise ProvisioningError("unknown_op")
        except ProvisioningError as error:
            result = {"error": error.args[0]}
        except CredentialError as error:
            result = {"error": error.args[0]}
        except FieldError:
            result = {"error": "bad_url"}
        except FlashError:
            result = {"error": "flash"}
        except StoreError:
            result = {"error": "provisioned"}
        return json.dumps(result)

    def _request(self, message):
        self._serial = _serial(message.get("serial"))
        self._start_generator()
        order = p256.N
        self._scalar = int.from_bytes(self._drbg.generate(_SCALAR_SIZE), "big") % (order - 1) + 1
        return _base64(x509.certificate_request(self._scalar, self._serial))

    def _finish(self, message):
        if self._scalar is None:
            raise ProvisioningError("no_request")
        items = self._identity.encode(
            self._serial,
            _integer(message, "host_kind", self._identity.HOST_PCS, self._identity.HOST_PANEL_BOARD),
            self._url(message),
            _der(message, "ca"),
            _der(message, "certificate"),
            self._scalar.to_bytes(32, "big"),
        )
        language = _integer(message, "language", self._preferences.JAPANESE, self._preferences.ENGLISH)
        ssid = _text(message, "ssid")
        passphrase = _text(message, "passphrase")
        ntp_host = _text(message, "ntp_host")
        factory = message.get("factory")
        factory_items = None if factory is None else self._factory(factory)

        def fill(store):
            store.identity.write(items)
            if factory_items is not None:
                store.factory.write(factory_items)
            self._preferences.Preferences(store.settings).save(language, ssid, passphrase, ntp_host)

        if self._store.tamper:
            if message.get("erase") is not True:
                raise ProvisioningError("erase_needed")
            self._store.erase_everything()
        self._store.create(self._drbg.generate(_ROOT_SIZE), fill)
        self._scalar = None
        self.finished = True

    def _factory(self, factory):
        if not isinstance(factory, dict):
            raise ProvisioningError("bad_factory")
        try:
            secrets = [bytes.fromhex(factory[name]) for name in ("w0", "l", "salt")]
            return self._acquisition.factory_items(
                *secrets,
                factory["iterations"],
                factory["lifetime_s"],
                factory["max_failures"],
                factory["max_changes"],
                factory["password_digits"],
            )
        except (KeyError, TypeError, ValueError):
            raise ProvisioningError("bad_factory")

    def _url(self, message):
        url = message.get("url")
        if not isinstance(url, str):
            raise ProvisioningError("bad_url")
        return self._unique_info.check(self._unique_info.CREDENTIAL_URL, url).decode()

    def _start_generator(self):
        """Seed once. A source that gives the same twice is stuck: no key is made from it (S17)."""
        if self._drbg is not None:
            return
        reads = {self._entropy(_SEED_SIZE) for _ in range(_STUCK_READS)}
        if len(reads) < _STUCK_READS:
            raise ProvisioningError("stuck_random")
        reads = list(reads)
        self._drbg = HmacDrbg(reads[0] + reads[1], reads[2], reads[3] + self._serial.encode())
        self._seed(self._drbg)


async def serve(console, provisioner):
    """Answer lines until provisioning is finished. console: read_line(most) coroutine, write_line(text)."""
    while not provisioner.finished:
        line = await console.read_line(settings.PROVISIONING_LINE_MAX)
        console.write_line('{"error": "too_long"}' if line is None else provisioner.answer(line))


def _base64(data):
    return b2a_base64(data).decode().strip()


def _serial(value):
    if not isinstance(value, str) or not 0 < len(value) <= _SERIAL_MAX:
        raise ProvisioningError("bad_serial")
    for character in value:
        if not ("A" <= character <= "Z" or "a" <= character <= "z" or "0" <= character <= "9" or character == "-"):
            raise ProvisioningError("bad_serial")
    return value


def _integer(message, name, least, most):
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ProvisioningError("bad_" + name)
    return value


def _text(message, name):
    value = message.get(name)
    if not isinstance(value, str) or len(value.encode()) > _TEXT_MAX:
        raise ProvisioningError("bad_" + name)
    return value


def _der(message, name):
    value = message.get(name)
    try:
        data = a2b_base64(value)
    except (TypeError, ValueError):
        raise ProvisioningError("bad_" + name)
    if not 4 <= len(data) <= _DER_MAX or data[0] != 0x30:
        raise ProvisioningError("bad_" + name)
    return data
