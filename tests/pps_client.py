"""What the tests of the PPS's server share: a clock, a running server, a module that talks to it."""

import asyncio
import base64
import contextlib
import datetime
import hmac
import ssl
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tools.pps.server import PpsServer
from tools.pps.services.enrolment import Endpoints, answer_mac, code_key, request_mac
from tools.pps.settings import Settings

START = 1_790_000_000


class Clock:
    """A clock that the test moves."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


@contextlib.asynccontextmanager
async def running_server(folder, clock, **settings):
    """A PpsServer on free ports."""
    server = PpsServer(Settings(Path(folder), **settings), clock=clock)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def certificate_request(key, serial):
    """A certificate request, DER."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    built = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return built.public_bytes(serialization.Encoding.DER)


def client_tls(folder, ca_der, key=None, certificate_der=None):
    """A client's TLS context that trusts one CA and, with a key, shows a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=ca_der)
    if key is not None:
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        pem += ssl.DER_cert_to_PEM_cert(certificate_der).encode()
        path = Path(folder) / f"client-{x509.load_der_x509_certificate(certificate_der).serial_number:x}.pem"
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context


def state(**changed):
    """`state` of a hello, with some of it changed."""
    base = {
        "generation": 7,
        "boot_count": 3,
        "powered_s": 86400,
        "attempts": 12,
        "attempts_number": 40,
        "audit_number": 33,
        "tamper": None,
        "credential": None,
    }
    return base | changed


def hello(serial, **changed):
    """Body of a hello."""
    return {
        "protocol": 1,
        "serial": serial,
        "nonce": "00112233445566778899aabbccddeeff",
        "firmware": "0.1.0",
        "state": state(**changed),
    }


def poll(sequence=0, revoked=0, wait_s=0):
    """Body of a poll."""
    return {"protocol": 1, "sequence": sequence, "revoked": revoked, "wait_s": wait_s}


def ack(sequence, result="accepted", code=None):
    """Body of an acknowledgement."""
    return {"protocol": 1, "sequence": sequence, "result": result, "code": code}


def record(number, tag=None, **changed):
    """An audit record."""
    base = {
        "number": number,
        "event": "success",
        "door": "keypad",
        "subject": "",
        "detail": 0,
        "fields": ["customer_name"],
        "time": START,
        "powered_s": 86000,
        "sequence": 6,
        "generation": 7,
        "tag": tag or f"{number:056x}",
    }
    return base | changed


def records(*numbers, **changed):
    """Body of an audit request."""
    return {"protocol": 1, "records": [record(number, **changed) for number in numbers]}


class TestModule:
    """A module with both identities, at a running server. Each identity is an httpx.AsyncClient."""

    __test__ = False

    def __init__(self, server, folder, serial):
        self.serial = serial
        self._server = server
        self._folder = folder
        self._clients = []
        self.connection_der, self.connection = self._make(server.certify_connection, serial)
        self.factory_der, self.factory_identity = self._make(server.ca.sign_factory_request)

    def _make(self, sign, *arguments):
        key = new_key()
        certificate_der = sign(*arguments, certificate_request(key, self.serial))
        return certificate_der, self.client(key, certificate_der)

    def client(self, key=None, certificate_der=None):
        """An httpx.AsyncClient with a certificate, or without one."""
        context = client_tls(self._folder, self._server.ca.pps.certificate_der, key, certificate_der)
        client = httpx.AsyncClient(base_url=f"https://localhost:{self._server.module_port}", verify=context, timeout=60)
        self._clients.append(client)
        return client

    async def close(self):
        for client in self._clients:
            await client.aclose()


async def post(client, name, body, status=200):
    """POST to /v1/module/NAME; returns the answer's JSON after checking its status, and its shape if it is an error."""
    answer = await client.post(f"/v1/module/{name}", json=body)
    content = answer.json()
    assert answer.status_code == status, (answer.status_code, content)
    if status >= 400:
        assert content.keys() == {"error"} and content["error"].keys() == {"code", "message"}
        return content["error"]["code"]
    return content


class EnrollingModule:
    """The module's end of an enrolment."""

    def __init__(self, server, serial):
        self._server = server
        self.serial = serial
        self.key = new_key()
        self.request_der = certificate_request(self.key, serial)
        self.nonce = b"module's nonce 1"

    def body(self, code, **changed):
        """Body of /v1/enrol."""
        mac = request_mac(code_key(code, self.serial), self.serial, self.nonce, self.request_der)
        base = {
            "protocol": 1,
            "serial": self.serial,
            "nonce": self.nonce.hex(),
            "request": base64.b64encode(self.request_der).decode(),
            "mac": mac.hex(),
        }
        return base | changed

    async def enrol(self, body):
        """Send a body, as a module would: without knowing the server's CA."""
        async with httpx.AsyncClient(verify=False) as client:
            return await client.post(f"https://localhost:{self._server.enrol_port}/v1/enrol", json=body)

    def answer_is_genuine(self, code, answer):
        """Whether the answer was made by somebody who knows the code, for this request."""
        key = code_key(code, self.serial)
        energy_ca = answer["energy_ca"]
        mac = answer_mac(
            key,
            request_mac(key, self.serial, self.nonce, self.request_der),
            bytes.fromhex(answer["nonce"]),
            base64.b64decode(answer["ca"]),
            base64.b64decode(answer["certificate"]),
            Endpoints(
                answer["credential_url"],
                answer["energy_url"],
                base64.b64decode(energy_ca) if energy_ca else None,
            ),
        )
        return hmac.compare_digest(mac.hex(), answer["mac"])


class Browser:
    """A blocking httpx client that talks straight to an ASGI application and keeps its cookies."""

    def __init__(self, app, base_url="http://console.example"):
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)
        self.cookies = self._client.cookies
        self.headers = self._client.headers

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path, **options):
        return self._runner.run(self._client.get(path, **options))

    def post(self, path, **options):
        return self._runner.run(self._client.post(path, **options))


def days_ago(count):
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=count)
