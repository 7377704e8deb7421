"""Provisioning from the desk's side: the same lines to a real console or a virtual one (firmware/provisioning.py)."""

import asyncio
import base64
import json
import secrets
from dataclasses import dataclass, field

from tools.pps.services.credentials import derive_verifier

HOST_KINDS = {"pcs": 1, "panel_board": 2}
LANGUAGES = {"ja": 0, "en": 1}
FACTORY_ITERATIONS = 10_000
FACTORY_MAX_FAILURES = 5
FACTORY_MAX_CHANGES = 20
PASSWORD_DIGITS = 8

# What the module refuses, in words. The codes are those of firmware/provisioning.py.
REASONS = {
    "provisioned": "the module is provisioned already; only the loss of its root secret opens this way again",
    "erase_needed": "the module holds what it cannot open any more: repeat with --erase to delete it all",
    "stuck_random": "the module's random generator gives the same bytes again and again: do not use this unit",
    "flash": "the module's flash does not hold what is written to it: do not use this unit",
    "bad_url": "the maker's URL must be https://host[:port], at most 100 characters",
    "bad_serial": "a serial number is 1 to 32 of A-Z a-z 0-9 -",
    "bad_ssid": "the network's name has more than 64 bytes",
    "bad_passphrase": "the network's passphrase has more than 64 bytes",
    "bad_ntp_host": "the NTP host has more than 64 bytes",
}


class ProvisionError(Exception):
    """The module said no, or nothing. `code` is the module's."""

    def __init__(self, code):
        super().__init__(REASONS.get(code, f"the module answered: {code}"))
        self.code = code


@dataclass(frozen=True)
class Order:
    """What one unit gets. server_ca_der: the CA that signs the maker's server."""

    serial: str
    url: str
    server_ca_der: bytes
    host_kind: str = "pcs"
    language: str = "ja"
    ssid: str = ""
    passphrase: str = field(default="", repr=False)
    ntp_host: str = ""
    factory_credential: bool = True
    erase: bool = False


@dataclass(frozen=True)
class Label:
    """What is printed on the unit's label, once. ID and password of the factory credential are nowhere else."""

    serial: str
    id: str | None
    password: str | None = field(repr=False)


def _digits(count):
    return "".join(secrets.choice("0123456789") for _ in range(count))


async def provision(ask, order, sign):
    """Provision a module over `ask`, and return its Label.

    ask(dict) -> dict: coroutine function, one line to the console and the answer to it.
    sign(request_der) -> certificate_der: the maker's CA. Raises ProvisionError, ValueError (of `sign`).
    """

    async def asked(message):
        answer = await ask(message)
        if "error" in answer:
            raise ProvisionError(answer["error"])
        return answer

    answer = await asked({"op": "request", "serial": order.serial})
    certificate = sign(base64.b64decode(answer["request"]))
    label, factory = Label(order.serial, None, None), None
    if order.factory_credential:
        label, factory = _factory_credential(order.serial)
    await asked(
        {
            "op": "finish",
            "host_kind": HOST_KINDS[order.host_kind],
            "language": LANGUAGES[order.language],
            "url": order.url,
            "ca": base64.b64encode(order.server_ca_der).decode(),
            "certificate": base64.b64encode(certificate).decode(),
            "ssid": order.ssid,
            "passphrase": order.passphrase,
            "ntp_host": order.ntp_host,
            "factory": factory,
            "erase": order.erase,
        }
    )
    return label


def _factory_credential(serial):
    label = Label(serial, _digits(PASSWORD_DIGITS), _digits(PASSWORD_DIGITS))
    salt = secrets.token_bytes(16)
    w0, point = derive_verifier(label.id, label.password, serial, salt, FACTORY_ITERATIONS)
    return label, {
        "w0": w0.hex(),
        "l": point.hex(),
        "salt": salt.hex(),
        "iterations": FACTORY_ITERATIONS,
        "lifetime_s": None,
        "max_failures": FACTORY_MAX_FAILURES,
        "max_changes": FACTORY_MAX_CHANGES,
        "password_digits": PASSWORD_DIGITS,
    }


class VirtualConsole:
    """The console of a tools.sim module. Use as `ask` of `provision`."""

    TIMEOUT_S = 30

    def __init__(self, module):
        self._module = module

    async def ask(self, message):
        answers = asyncio.Queue()

        def heard(line):
            if line.startswith("{"):
                answers.put_nowait(line)

        self._module.on_output.append(heard)
        try:
            self._module.write_console(json.dumps(message))
            return json.loads(await asyncio.wait_for(answers.get(), self.TIMEOUT_S))
        finally:
            self._module.on_output.remove(heard)
