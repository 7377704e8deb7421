"""Enrolment (R15, SA): a connection out of a host and a one-time code, before anything is changed on the module.

TLS of the enrolment request proves nothing; request and answer prove themselves by MACs under a key from the code.
To be imported when it is needed, and forgotten afterwards.
"""

import asyncio
import binascii
import gc

from micropython import const

from firmware import settings, unique_info
from firmware.crypto.hmac import constant_time_equal, hmac_sha256
from firmware.crypto.kdf import Pbkdf2
from firmware.errors import FieldError, InkanError, LinkError
from firmware.link import messages
from firmware.link.endpoint import split_url
from firmware.link.http import HttpClient, StatusError
from firmware.link.transport import mutual_context, open_connection, unverified_context
from firmware.modules import forget

_PATH = "/v1/enrol"
_CODE_DIGITS = const(20)
_NONCE_SIZE = const(16)
_MAC_SIZE = const(32)
_DER_MAX = const(2048)
_SEQUENCE = const(0x30)
_VERSION = const(0xA0)
_BEFORE_KEY = const(5)  # serial, algorithm, issuer, validity, subject (RFC 5280, 4.1)

# SubjectPublicKeyInfo (RFC 5480) up to the point: id-ecPublicKey, prime256v1, an uncompressed point
_SPKI_HEAD = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"
_SPKI_SIZE = const(91)  # that and the point


class EnrolmentError(InkanError):
    """The module keeps the connection that it had. `code` says why.

    host_form, code_form: what was typed cannot be one. code_refused: wrong, used or expired, says the server.
    bad_answer: it is not that of a server that knows the code. not_proved: the new server did not answer to the new
    certificate; `detail` is then the link's code. Else a code of `LinkError`; `detail` is the server's with "status".
    """

    code = "enrolment"

    def __init__(self, code, detail=None):
        super().__init__(code)
        self.code = code
        self.detail = detail


async def enrol(
    host,
    code,
    serial,
    state,
    random,
    firmware_version,
    borrow_buffer,
    progress=None,
    sleep_ms=asyncio.sleep_ms,
    limits=None,
    connect=open_connection,
):
    """Returns {field_id: value} for `Session.change_connection`. Raises `EnrolmentError`.

    host: "host[:port]", code: 20 digits, both str. state: callable, the dict `state` of hello.
    random(size): bytes. `await borrow_buffer()`: what http.new_buffer() makes, to be had until this returns.
    progress(done, all): called while the code is stretched.
    """
    first_host, first_port = _parse_host(host)
    _check_code(code)
    key = await _stretch(code, serial, progress, sleep_ms)
    buffer = await borrow_buffer()
    private_key, request = _new_key(serial, random)
    nonce = random(_NONCE_SIZE)
    request_mac = hmac_sha256(key, b"request", _f(serial.encode()), _f(nonce), _f(request))
    message = messages.encode(
        {
            "protocol": settings.LINK_PROTOCOL,
            "serial": serial,
            "nonce": nonce.hex(),
            "request": _base64(request),
            "mac": request_mac.hex(),
        }
    )
    fields = await _ask(first_host, first_port, message, key, request_mac, buffer, limits, connect)
    message = None
    gc.collect()
    room = [bytearray(settings.LINK_CONTEXT_BYTES)]  # of its context, which the proof's needs: nothing else goes there
    at = request.find(_SPKI_HEAD)
    if _public_key_of(fields[unique_info.MODULE_CERTIFICATE]) != request[at : at + _SPKI_SIZE]:
        raise EnrolmentError("bad_answer")
    fields[unique_info.PRIVATE_KEY] = private_key
    await _prove(fields, serial, state(), random, firmware_version, room, buffer, limits, connect)
    return fields


async def _ask(host, port, message, key, request_mac, buffer, limits, connect):
    """The fields of an answer that proves itself.

    A frame keeps what was on its stack, so the client, and its context with it, has to be this one's alone.
    """
    client = HttpClient(host, port, unverified_context(), buffer, limits, connect)
    try:
        return _verified(await client.call(_PATH, (message,)), key, request_mac)
    except StatusError as error:
        if error.server_code == "code_refused":
            raise EnrolmentError("code_refused")
        raise EnrolmentError(error.code, error.server_code)
    except LinkError as error:
        raise EnrolmentError(error.code)
    finally:
        client.end()


def _parse_host(host):
    try:
        url = unique_info.check(unique_info.CREDENTIAL_URL, "https://" + host)
    except FieldError:
        raise EnrolmentError("host_form")
    return split_url(url.decode())


def _check_code(code):
    """20 digits that pass the Luhn test."""
    total = 0
    doubled = _CODE_DIGITS % 2 == 0  # the check digit, which is the last one, is not
    for character in code:
        if not "0" <= character <= "9":
            raise EnrolmentError("code_form")
        value = int(character) << doubled
        total += value - 9 if value > 9 else value
        doubled = not doubled
    if len(code) != _CODE_DIGITS or total % 10:
        raise EnrolmentError("code_form")


def _new_key(serial, random):
    """A private key, 32 bytes, and a certificate request for it, DER."""
    from firmware.crypto.p256 import N
    from firmware.crypto.x509 import certificate_request

    scalar = 0
    while not 0 < scalar < N:
        scalar = int.from_bytes(random(32), "big")
    request = certificate_request(scalar, serial)
    # The arithmetic makes room for what follows.
    del certificate_request
    forget(
        "firmware.crypto.x509",
        "firmware.crypto.ecdsa",
        "firmware.crypto.der",
        "firmware.crypto.p256_base",
        "firmware.crypto.p256",
    )
    return scalar.to_bytes(32, "big"), request


async def _stretch(code, serial, progress, sleep_ms):
    derivation = Pbkdf2(code.encode(), b"inkan enrol 1" + serial.encode(), settings.ENROL_ITERATIONS)
    done = 0
    while not derivation.step(settings.DERIVE_SLICE_ITERATIONS):
        done += settings.DERIVE_SLICE_ITERATIONS
        if progress:
            progress(done, settings.ENROL_ITERATIONS)
        await sleep_ms(0)
    gc.collect()  # what comes next is to lie close to what is there
    return derivation.result()


def _verified(answer, key, request_mac):
    """Field values out of an answer whose MAC is right, else LinkError("bad_answer"). Nothing is believed before."""
    nonce = _from_hex(answer, "nonce", _NONCE_SIZE)
    mac = _from_hex(answer, "mac", _MAC_SIZE)
    ca = _from_base64(answer, "ca")
    certificate = _from_base64(answer, "certificate")
    credential_url = messages.text(answer, "credential_url")
    energy_url = messages.text(answer, "energy_url")
    energy_ca = None
    if answer.get("energy_ca", False) is not None:
        energy_ca = _from_base64(answer, "energy_ca")
    parts = (nonce, ca, certificate, credential_url.encode(), energy_url.encode(), energy_ca or b"")
    expected = hmac_sha256(key, b"answer", request_mac, *[_f(part) for part in parts])
    if not constant_time_equal(mac, expected):
        raise LinkError("bad_answer")
    fields = {
        unique_info.CREDENTIAL_URL: credential_url,
        unique_info.ENERGY_URL: energy_url,
        unique_info.CA_CERTIFICATE: ca,
        unique_info.MODULE_CERTIFICATE: certificate,
    }
    if energy_ca is not None:
        fields[unique_info.ENERGY_CA_CERTIFICATE] = energy_ca
    try:
        for field_id, value in fields.items():
            unique_info.check(field_id, value)
    except FieldError:
        raise LinkError("bad_answer")
    return fields


async def _prove(fields, serial, state, random, firmware_version, room, buffer, limits, connect):
    """Say hello to the new server as whom it has certified; `EnrolmentError("not_proved")`. room: a list to clear."""
    url = unique_info.check(unique_info.CREDENTIAL_URL, fields[unique_info.CREDENTIAL_URL]).decode()
    host, port = split_url(url)
    nonce = random(_NONCE_SIZE).hex()
    client = None
    room.clear()
    try:
        context = mutual_context(
            fields[unique_info.CA_CERTIFICATE],
            fields[unique_info.MODULE_CERTIFICATE],
            fields[unique_info.PRIVATE_KEY],
        )
        client = HttpClient(host, port, context, buffer, limits, connect)
        message = messages.encode_hello(serial, nonce, firmware_version, state)
        messages.HelloAnswer(await client.call(messages.HELLO, (message,)), nonce)
    except LinkError as error:
        raise EnrolmentError("not_proved", error.code)
    finally:
        if client is not None:
            client.end()


def _public_key_of(certificate):
    """SubjectPublicKeyInfo of a certificate, as it stands there; b"" where there is none."""
    try:
        _, at, _ = _element(certificate, 0)
        tag, at, _ = _element(certificate, at)
        if tag != _SEQUENCE:
            return b""
        tag, _, end = _element(certificate, at)
        if tag == _VERSION:
            at = end
        for _ in range(_BEFORE_KEY):
            _, _, at = _element(certificate, at)
        _, _, end = _element(certificate, at)
    except IndexError:
        return b""
    return certificate[at:end]


def _element(data, at):
    """(tag, where its value starts, where it ends) of the DER element at `at`; IndexError past the data."""
    tag = data[at]
    size = data[at + 1]
    at += 2
    if size & 0x80:
        count = size & 0x7F
        size = 0
        while count:
            size = size << 8 | data[at]
            at += 1
            count -= 1
    if at + size > len(data):
        raise IndexError
    return tag, at, at + size


def _f(value):
    return len(value).to_bytes(2, "little") + value


def _base64(data):
    return binascii.b2a_base64(data).decode().strip()


def _from_base64(message, name):
    """Bytes of a field, which is taken out of the message: its room is wanted for the next one."""
    value = messages.text(message, name)
    del message[name]
    if len(value) > (_DER_MAX + 2) // 3 * 4:
        raise LinkError("bad_answer")
    try:
        return binascii.a2b_base64(value)
    except ValueError:
        raise LinkError("bad_answer")
    finally:
        value = None
        gc.collect()


def _from_hex(message, name, size):
    value = messages.text(message, name)
    if len(value) != 2 * size:
        raise LinkError("bad_answer")
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise LinkError("bad_answer")
