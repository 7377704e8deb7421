"""Enrolment from the module's side (SA): with the real server, and with everybody who may answer in its place."""

import asyncio
import base64
import contextlib
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from firmware import unique_info
from tests.link import micropython
from tests.link.authority import Authority, der, new_key, write_pem
from tests.link.server import TlsServer, answer, read_request
from tests.pps_client import Clock, running_server
from tools.pps.services.enrolment import Endpoints, answer_mac, code_key, luhn_digit, request_mac

SERIAL = "INK-00000001"
CODE = "1234567890123456789"
CODE += luhn_digit(CODE)
PATIENT = [10_000] * 3


def options(host, code=CODE, limits=PATIENT):
    return {"host": host, "code": code, "serial": SERIAL, "limits": limits}


def enrol(host, code=CODE, limits=PATIENT):
    return micropython.run("enrol_client", options(host, code, limits))[0]


class FakePps:
    """What answers at /v1/enrol, under a certificate of its own, and at the credential URL, under `ca`.

    change(answer, parts): alters the dict that goes out. sign(request): the certificate for a request.
    """

    def __init__(self, folder, code=CODE, iterations=None):
        self._folder = folder
        self._key = code_key(code, SERIAL)
        if iterations:
            salt = b"inkan enrol 1" + SERIAL.encode()
            self._key = hashlib.pbkdf2_hmac("sha256", code.encode(), salt, iterations, 32)
        self.ca = Authority("PPS CA")
        self.requests = []
        self.hellos = []
        self.sign = lambda request: self.ca.module(SERIAL, request.public_key())[0]
        self.change = lambda message: None
        self.change_hello = lambda message: None
        self.url_host = "localhost"
        self.energy_ca = None

    @contextlib.contextmanager
    def running(self, server_ca=None):
        stranger = write_pem(self._folder / "stranger.pem", *Authority("stranger").server())
        own = write_pem(self._folder / "own.pem", *(server_ca or self.ca).server())
        with TlsServer(self._hello, own, self.ca, lingering=True) as modules:
            self._credential_url = f"https://{self.url_host}:{modules.port}"
            with TlsServer(self._enrol, stranger) as enrolment:
                self.host = f"localhost:{enrolment.port}"
                yield self

    def answer_to(self, message):
        """The genuine answer."""
        request_der = base64.b64decode(message["request"])
        certificate = der(self.sign(x509.load_der_x509_csr(request_der)))
        nonce = b"server's nonce 1"
        endpoints = Endpoints(self._credential_url, "https://energy.example", self.energy_ca)
        mac_q = request_mac(self._key, message["serial"], bytes.fromhex(message["nonce"]), request_der)
        mac = answer_mac(self._key, mac_q, nonce, self.ca.der, certificate, endpoints)
        return {
            "nonce": nonce.hex(),
            "ca": base64.b64encode(self.ca.der).decode(),
            "certificate": base64.b64encode(certificate).decode(),
            "credential_url": endpoints.credential_url,
            "energy_url": endpoints.energy_url,
            "energy_ca": base64.b64encode(self.energy_ca).decode() if self.energy_ca else None,
            "mac": mac.hex(),
        }

    def _enrol(self, connection):
        while request := read_request(connection):
            self.requests.append(request)
            message = self.answer_to(request.json)
            changed = self.change(message)
            connection.sendall(changed if isinstance(changed, bytes) else answer(changed or message))

    def _hello(self, connection):
        while request := read_request(connection):
            self.hellos.append(request.json)
            highest = {name: 1 for name in ("generation", "attempts", "attempts_number", "audit_number", "boot_count")}
            message = {
                "nonce": request.json["nonce"],
                "now": 1_790_000_000,
                "audit_through": 0,
                "highest": highest,
            }
            changed = self.change_hello(message)
            connection.sendall(changed if isinstance(changed, bytes) else answer(message))


@pytest.fixture
def pps(tmp_path):
    with FakePps(tmp_path).running() as running:
        yield running


def key_of(fields):
    number = int(fields[str(unique_info.PRIVATE_KEY)], 16)
    return ec.derive_private_key(number, ec.SECP256R1())


def public_bytes(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_sa_a_connection_is_made_and_tried_out(pps):
    result = enrol(pps.host)
    fields = result["fields"]
    certificate = x509.load_der_x509_certificate(bytes.fromhex(fields[str(unique_info.MODULE_CERTIFICATE)]))
    assert public_bytes(certificate.public_key()) == public_bytes(key_of(fields).public_key())
    assert fields[str(unique_info.CA_CERTIFICATE)] == pps.ca.der.hex()
    assert fields[str(unique_info.CREDENTIAL_URL)].startswith("https://localhost:")
    assert fields[str(unique_info.ENERGY_URL)] == "https://energy.example"
    assert str(unique_info.ENERGY_CA_CERTIFICATE) not in fields
    assert len(pps.requests) == len(pps.hellos) == 1
    assert pps.hellos[0]["serial"] == SERIAL
    assert result["progress"] > 100  # other work goes on in between


def test_sa_the_request_says_what_the_api_wants(pps):
    enrol(pps.host)
    message = pps.requests[0].json
    assert message.keys() == {"protocol", "serial", "nonce", "request", "mac"}
    request = x509.load_der_x509_csr(base64.b64decode(message["request"]))
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == f"CN={SERIAL}"
    mac = request_mac(
        code_key(CODE, SERIAL), SERIAL, bytes.fromhex(message["nonce"]), base64.b64decode(message["request"])
    )
    assert message["mac"] == mac.hex()


def test_sa_the_code_is_never_sent(pps):
    enrol(pps.host)
    request = pps.requests[0]
    sent = f"{request.path}{request.headers}".encode() + request.body + base64.b64decode(request.json["request"])
    for form in (CODE, CODE[:-1], CODE[:8], f"{int(CODE):x}"):
        assert form.encode() not in sent
        assert base64.b64encode(form.encode())[:-4] not in sent


def test_sa_nothing_is_the_same_twice(pps):
    first, second = micropython.run("enrol_client", [options(pps.host)] * 2)
    assert first["fields"][str(unique_info.PRIVATE_KEY)] != second["fields"][str(unique_info.PRIVATE_KEY)]
    assert pps.requests[0].json["nonce"] != pps.requests[1].json["nonce"]
    assert pps.hellos[0]["nonce"] != pps.hellos[1]["nonce"]


def test_r25_an_energy_server_may_have_a_ca_of_its_own(tmp_path):
    fake = FakePps(tmp_path)
    fake.energy_ca = Authority("energy").der
    with fake.running():
        fields = enrol(fake.host)["fields"]
    assert fields[str(unique_info.ENERGY_CA_CERTIFICATE)] == fake.energy_ca.hex()


# Somebody in between, who does not know the code


def replaced(name, make):
    def change(message):
        message[name] = make(message[name])

    return change


def without_first(text):
    return text[1:]


OTHER_CA = base64.b64encode(Authority("PPS CA").der).decode()
SWAPS = {
    "ca": replaced("ca", lambda old: OTHER_CA),
    "certificate": replaced("certificate", lambda old: OTHER_CA),
    "credential URL": replaced("credential_url", lambda old: "https://evil.example"),
    "energy URL": replaced("energy_url", lambda old: "https://evil.example"),
    "energy CA": replaced("energy_ca", lambda old: OTHER_CA),
    "nonce": replaced("nonce", lambda old: old[::-1]),
    "MAC": replaced("mac", lambda old: old[::-1]),
    "MAC of zeros": replaced("mac", lambda old: "0" * 64),
}


@pytest.mark.parametrize("what", SWAPS)
def test_sa_a_part_that_was_swapped_is_noticed(pps, what):
    pps.change = SWAPS[what]
    assert enrol(pps.host)["error"] == "bad_answer"
    assert not pps.hellos


def test_sa_bytes_that_move_from_one_part_to_the_next_are_noticed(pps):
    def change(message):
        moved = message["energy_url"]
        message["credential_url"] += moved[:1]
        message["energy_url"] = moved[1:]

    pps.change = change
    assert enrol(pps.host)["error"] == "bad_answer"


def test_sa_the_requests_own_mac_is_no_answer(pps):
    def reflect(message):
        request = pps.requests[-1].json
        message["nonce"] = request["nonce"]
        message["mac"] = request["mac"]

    pps.change = reflect
    assert enrol(pps.host)["error"] == "bad_answer"
    assert not pps.hellos


def test_sa_an_answer_to_an_earlier_request_is_noticed(pps):
    kept = []

    def replay(message):
        kept.append(dict(message))
        message.update(kept[0])

    pps.change = replay
    first, second = micropython.run("enrol_client", [options(pps.host)] * 2)
    assert "fields" in first
    assert second["error"] == "bad_answer"
    assert len(pps.hellos) == 1


def test_sa_a_server_that_knows_another_code_is_noticed(tmp_path):
    with FakePps(tmp_path, "0" * 20).running() as fake:
        assert enrol(fake.host)["error"] == "bad_answer"


# A server that knows the code and does wrong


def test_sa_a_certificate_for_another_key_is_refused(pps):
    pps.sign = lambda request: pps.ca.module(SERIAL, new_key().public_key())[0]
    assert enrol(pps.host)["error"] == "bad_answer"
    assert not pps.hellos


def test_sa_a_certificate_for_a_key_of_another_kind_is_refused(pps):
    pps.sign = lambda request: pps.ca.module(SERIAL, ec.generate_private_key(ec.SECP384R1()).public_key())[0]
    assert enrol(pps.host)["error"] == "bad_answer"


@pytest.mark.parametrize("url", ["http://pps.example", "https://pps.example/x", "https://", "", "https://a b"])
def test_sa_a_url_that_is_none_is_refused(tmp_path, url):
    fake = FakePps(tmp_path)
    with fake.running():
        fake._credential_url = url
        assert enrol(fake.host)["error"] == "bad_answer"


WRONG = (None, 5, 1.5, True, [], {}, "", "x", "0" * 31, "é" * 32, "A" * 2800)


def test_r27_answers_of_the_wrong_shape_are_named(tmp_path):
    """Every field, with every wrong type, and left out. The code is stretched less: these are many."""
    cases = [
        (name, value)
        for name in ("nonce", "ca", "certificate", "credential_url", "energy_url", "energy_ca", "mac")
        for value in (*WRONG, "missing")
        if (name, value) != ("energy_ca", None)
    ]
    left = list(cases)

    def change(message):
        name, value = left.pop(0)
        message[name] = value
        if value == "missing":
            del message[name]

    with FakePps(tmp_path, iterations=100).running() as pps:
        pps.change = change
        given = [options(pps.host) | {"iterations": 100}] * len(cases)
        results = micropython.run("enrol_client", given)
    found = [(case, result) for case, result in zip(cases, results, strict=True) if result.get("error") != "bad_answer"]
    assert not found
    assert not pps.hellos


# A server that enrols and is not there, or does not take its own certificate


def test_s20_sa_not_proved_at_a_server_under_another_ca(tmp_path):
    fake = FakePps(tmp_path)
    with fake.running(server_ca=Authority("PPS CA")):
        result = enrol(fake.host)
    assert (result["error"], result["detail"]) == ("not_proved", "tls_ca")
    assert not fake.hellos


def test_s20_sa_not_proved_when_the_certificate_is_of_another_ca(pps):
    pps.sign = lambda request: Authority("PPS CA").module(SERIAL, request.public_key())[0]
    result = enrol(pps.host)
    assert (result["error"], result["detail"]) == ("not_proved", "tls_client")


def test_s20_sa_not_proved_with_another_nonce(pps):
    pps.change_hello = replaced("nonce", lambda old: old[::-1])
    result = enrol(pps.host)
    assert (result["error"], result["detail"]) == ("not_proved", "bad_answer")


def test_s20_sa_not_proved_to_a_server_that_refuses(pps):
    pps.change_hello = lambda message: answer({"error": {"code": "forbidden", "message": "m"}}, "403 Forbidden")
    result = enrol(pps.host)
    assert (result["error"], result["detail"]) == ("not_proved", "status")


def test_s20_sa_not_proved_where_nobody_is(tmp_path):
    fake = FakePps(tmp_path)
    fake.url_host = "nowhere.invalid"
    with fake.running():
        result = enrol(fake.host)
    assert (result["error"], result["detail"]) == ("not_proved", "dns")


# Refusals and typing errors


@pytest.mark.parametrize(
    ("status", "code", "error", "detail"),
    [
        ("403 Forbidden", "code_refused", "code_refused", None),
        ("429 Too Many", "too_many", "status", "too_many"),
        ("422 Unprocessable", "bad_request", "status", "bad_request"),
    ],
)
def test_sa_a_refusal_is_told(pps, status, code, error, detail):
    pps.change = lambda message: answer({"error": {"code": code, "message": "m"}}, status)
    result = enrol(pps.host)
    assert (result["error"], result["detail"]) == (error, detail)


def test_sa_what_was_mistyped_is_found_before_anything_is_sent(pps):
    codes = [CODE[:-1], CODE + "0", "", " " + CODE[1:], CODE[:-1] + "x", CODE[:-1] + "４"]
    # Each digit wrong by each amount, and neighbours that changed places (the test misses 09 and 90).
    for place in range(20):
        codes += [CODE[:place] + str((int(CODE[place]) + more) % 10) + CODE[place + 1 :] for more in range(1, 10)]
    for place in range(19):
        pair = CODE[place : place + 2]
        if pair not in ("09", "90"):
            codes.append(CODE[:place] + pair[::-1] + CODE[place + 2 :])
    hosts = ["", " ", "a b", "localhost:", "localhost:0", "localhost:65536", "localhost:x", "https://localhost", "-a"]
    results = micropython.run(
        "enrol_client", [options(pps.host, code) for code in codes] + [options(host) for host in hosts]
    )
    assert {result["error"] for result in results[: len(codes)]} == {"code_form"}
    assert {result["error"] for result in results[len(codes) :]} == {"host_form"}
    assert {result["progress"] for result in results} == {0}
    assert not pps.requests


def test_s20_r27_a_server_that_hangs_is_left(tmp_path):
    stranger = write_pem(tmp_path / "stranger.pem", *Authority("stranger").server())
    with TlsServer(lambda connection: server.closing.wait(), stranger) as server:
        assert enrol(f"localhost:{server.port}", limits=[10_000, 150, 10_000])["error"] == "timeout"


# The real server


@pytest.mark.asyncio
async def test_sa_the_pps_takes_the_module_once(tmp_path):
    async with running_server(tmp_path, Clock()) as server:
        server.register_module(SERIAL, "a house")
        code = server.offer_enrolment(SERIAL)
        given = [options(server.enrol_host, used) for used in (CODE, code, code)]
        results = await asyncio.to_thread(micropython.run, "enrol_client", given)
    assert [result.get("error") for result in results] == ["code_refused", None, "code_refused"]
    assert results[1]["fields"][str(unique_info.CREDENTIAL_URL)] == server.credential_url
