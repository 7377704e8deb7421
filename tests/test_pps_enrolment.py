"""Enrolment by a one-time code (SA): what a wrong code, a second use and a man in the middle get."""

import base64
import zlib

import httpx
import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.pps_client import (
    Clock,
    EnrollingModule,
    certificate_request,
    client_tls,
    hello,
    new_key,
    post,
    running_server,
)
from tools.pps.services.enrolment import code_key, luhn_digit, request_mac

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory, clock):
    async with running_server(tmp_path_factory.mktemp("pps"), clock) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def module(server, request):
    serial = f"SA-{zlib.crc32(request.node.name.encode()):08x}"
    server.register_module(serial, "a house")
    return EnrollingModule(server, serial)


def status_of(server, module):
    return server.services.enrolment.newest_code(server.services.fleet.module(module.serial).id).status


async def refused(module, body):
    """Send a body that is to be refused as a wrong code."""
    answer = await module.enrol(body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "code_refused")
    return answer


def other_code(code):
    """A code that passes the Luhn test and is not `code`."""
    digits = str((int(code[0]) + 1) % 10) + code[1:-1]
    return digits + luhn_digit(digits)


async def test_sa_enrolled_module_is_let_in(server, module, tmp_path):
    code = server.offer_enrolment(module.serial)
    answer = (await module.enrol(module.body(code))).json()
    assert module.answer_is_genuine(code, answer)
    certificate_der = base64.b64decode(answer["certificate"])
    certificate = x509.load_der_x509_certificate(certificate_der)
    assert certificate.public_key() == module.key.public_key()
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == module.serial
    assert answer["credential_url"] == answer["energy_url"] == server.credential_url
    assert answer["energy_ca"] is None
    context = client_tls(tmp_path, base64.b64decode(answer["ca"]), module.key, certificate_der)
    async with httpx.AsyncClient(base_url=answer["credential_url"], verify=context) as client:
        await post(client, "hello", hello(module.serial))


async def test_sa_code_has_20_digits_with_a_luhn_digit(server, module):
    codes = {server.offer_enrolment(module.serial) for _ in range(5)}
    assert len(codes) == 5
    for code in codes:
        assert len(code) == 20 and code.isdecimal()
        doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(code))]
        assert sum(value // 10 + value % 10 for value in doubled) % 10 == 0


async def test_sa_code_and_its_key_are_not_in_the_database_once_used(server, module):
    code = server.offer_enrolment(module.serial)
    key = code_key(code, module.serial)
    content = server.database_path.read_bytes()
    assert key in content and code.encode() not in content
    assert (await module.enrol(module.body(code))).status_code == 200
    assert key not in server.database_path.read_bytes()


async def test_sa_code_works_once(server, module):
    code = server.offer_enrolment(module.serial)
    assert (await module.enrol(module.body(code))).status_code == 200
    await refused(module, module.body(code))
    assert status_of(server, module) == "used"


async def test_sa_five_wrong_tries_end_a_code(server, module):
    code = server.offer_enrolment(module.serial)
    for _ in range(4):
        await refused(module, module.body(other_code(code)))
    assert status_of(server, module) == "open"
    await refused(module, module.body(other_code(code)))
    assert status_of(server, module) == "refused"
    await refused(module, module.body(code))


async def test_sa_four_wrong_tries_leave_the_right_one(server, module):
    code = server.offer_enrolment(module.serial)
    for _ in range(4):
        await refused(module, module.body(other_code(code)))
    assert (await module.enrol(module.body(code))).status_code == 200


async def test_sa_code_ends_after_a_day(server, module, clock):
    code = server.offer_enrolment(module.serial)
    clock.advance(24 * 3600)
    assert status_of(server, module) == "expired"
    await refused(module, module.body(code))


async def test_sa_code_holds_for_a_day(server, module, clock):
    code = server.offer_enrolment(module.serial)
    clock.advance(24 * 3600 - 1)
    assert (await module.enrol(module.body(code))).status_code == 200


async def test_sa_newer_code_withdraws_the_one_before(server, module):
    former, newer = (server.offer_enrolment(module.serial) for _ in range(2))
    await refused(module, module.body(former))
    assert (await module.enrol(module.body(newer))).status_code == 200


async def test_sa_withdrawn_code_is_refused(server, module):
    code = server.offer_enrolment(module.serial)
    server.services.enrolment.withdraw(module.serial, "an operator")
    await refused(module, module.body(code))


async def test_sa_unknown_serial_cannot_be_told_from_a_wrong_code(server, module):
    server.offer_enrolment(module.serial)
    wrong = await refused(module, module.body("0" * 20))
    stranger = EnrollingModule(server, "SA-NOBODY")
    unknown = await refused(stranger, stranger.body("0" * 20))
    assert wrong.content == unknown.content


async def test_sa_code_of_another_module_is_refused(server, module):
    server.register_module(module.serial + "-B", "another house")
    code = server.offer_enrolment(module.serial + "-B")
    server.offer_enrolment(module.serial)
    await refused(module, module.body(code))


@pytest.mark.parametrize("part", ["serial", "nonce", "request", "mac"])
async def test_sa_no_part_of_a_request_can_be_exchanged(server, module, part):
    code = server.offer_enrolment(module.serial)
    body = module.body(code)
    server.register_module(module.serial + "-B", "another house")
    server.offer_enrolment(module.serial + "-B")
    attacker = EnrollingModule(server, module.serial)
    exchanged = {
        "serial": module.serial + "-B",
        "nonce": "00" * 16,
        "request": base64.b64encode(attacker.request_der).decode(),
        "mac": "00" * 32,
    }
    await refused(module, body | {part: exchanged[part]})
    assert (await module.enrol(body)).status_code == 200


async def test_sa_no_part_of_an_answer_can_be_exchanged(server, module):
    code = server.offer_enrolment(module.serial)
    answer = (await module.enrol(module.body(code))).json()
    assert module.answer_is_genuine(code, answer)
    exchanged = {
        "nonce": "00" * 16,
        "ca": base64.b64encode(server.ca.maker.certificate_der).decode(),
        "certificate": answer["ca"],
        "credential_url": "https://elsewhere.example",
        "energy_url": "https://elsewhere.example",
        "energy_ca": answer["ca"],
        "mac": "00" * 32,
    }
    assert exchanged.keys() == answer.keys()
    for part, value in exchanged.items():
        assert not module.answer_is_genuine(code, answer | {part: value}), part


async def test_sa_code_never_travels(server, module):
    code = server.offer_enrolment(module.serial)
    body = module.body(code)
    answer = await module.enrol(body)
    assert code not in str(body) and code not in answer.text


def _request_of(key, serial):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def _spoiled(serial):
    request = bytearray(certificate_request(new_key(), serial))
    request[-1] ^= 1
    return bytes(request)


@pytest.mark.parametrize(
    "request_der",
    [
        lambda serial: b"",
        lambda serial: b"no DER at all",
        lambda serial: certificate_request(new_key(), serial + "-B"),
        lambda serial: _request_of(ec.generate_private_key(ec.SECP384R1()), serial),
        lambda serial: _request_of(rsa.generate_private_key(65537, 2048), serial),
        _spoiled,
    ],
    ids=["empty", "garbage", "another serial", "P-384", "RSA", "bad signature"],
)
async def test_sa_certificate_request_that_does_not_fit_is_told_so(server, module, request_der):
    code = server.offer_enrolment(module.serial)
    der = request_der(module.serial)
    mac = request_mac(code_key(code, module.serial), module.serial, module.nonce, der)
    answer = await module.enrol(module.body(code, request=base64.b64encode(der).decode(), mac=mac.hex()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_request")
    assert (await module.enrol(module.body(code))).status_code == 200  # the code is still good


async def test_sa_enrolment_listener_serves_nothing_else(server, module):
    async with httpx.AsyncClient(verify=False, base_url=f"https://localhost:{server.enrol_port}") as client:
        for path in ("/v1/module/hello", "/", "/modules", "/openapi.json"):
            answer = await client.post(path, json={})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
