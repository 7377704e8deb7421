"""Who gets in by mutual TLS, and what a listener does with traffic that is none of the protocol."""

import asyncio
import json
import socket
import ssl

import httpx
import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError

from tests.pps_client import (
    Clock,
    TestModule,
    certificate_request,
    client_tls,
    days_ago,
    hello,
    new_key,
    poll,
    post,
    records,
    running_server,
)
from tools.pps import middleware, tls_protocol
from tools.pps.ca import CertificateAuthority, DevelopmentCa

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSED = (httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, httpx.WriteError)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    async with running_server(tmp_path_factory.mktemp("pps"), Clock()) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def module(server, request, tmp_path):
    serial = f"TLS-{abs(hash(request.node.name)) % 10**8}"
    server.register_module(serial, "a house")
    module = TestModule(server, tmp_path, serial)
    yield module
    await module.close()


async def test_r7_connection_and_factory_identity_get_in(module):
    for client in (module.connection, module.factory_identity):
        answer = await post(client, "hello", hello(module.serial))
        assert answer["nonce"] == "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_r7_no_client_certificate_no_answer(server, module, tmp_path, version):
    context = client_tls(tmp_path, server.ca.pps.certificate_der)
    context.maximum_version = version
    async with httpx.AsyncClient(verify=context) as client:
        with pytest.raises(REFUSED):
            await client.post(f"https://localhost:{server.module_port}/v1/module/hello", json=hello(module.serial))


async def test_r7_certificate_of_an_unknown_ca_is_refused(module):
    key = new_key()
    stranger = CertificateAuthority.create("PPS CA")
    certificate = stranger.sign_module_request(certificate_request(key, module.serial), module.serial)
    with pytest.raises(REFUSED):
        await post(module.client(key, certificate), "hello", hello(module.serial))


@pytest.mark.parametrize("days", [(30, 2), (-2, -30)], ids=["expired", "not yet valid"])
@pytest.mark.parametrize("authority", ["pps", "maker"])
async def test_r7_certificate_out_of_its_time_is_refused(server, module, authority, days):
    key = new_key()
    certificate = getattr(server.ca, authority).sign_module_request(
        certificate_request(key, module.serial),
        module.serial,
        valid_from=days_ago(days[0]),
        valid_until=days_ago(days[1]),
    )
    with pytest.raises(REFUSED):
        await post(module.client(key, certificate), "hello", hello(module.serial))


async def test_r7_servers_certificate_does_not_serve_as_a_modules(server, module, tmp_path):
    context = client_tls(tmp_path, server.ca.pps.certificate_der)
    context.load_cert_chain(server.ca.write_server_certificate([module.serial]))
    async with httpx.AsyncClient(verify=context) as client:
        with pytest.raises(REFUSED):
            await client.post(f"https://localhost:{server.module_port}/v1/module/hello", json=hello(module.serial))


async def test_r7_serial_number_of_another_module_is_forbidden(server, module, tmp_path):
    server.register_module(module.serial + "-B", "another house")
    assert await post(module.connection, "hello", hello(module.serial + "-B"), 403) == "forbidden"
    assert await post(module.factory_identity, "hello", hello(module.serial + "-B"), 403) == "forbidden"


async def test_r7_module_sees_only_its_own_credential(server, module, tmp_path):
    server.register_module(module.serial + "-B", "another house")
    other = TestModule(server, tmp_path, module.serial + "-B")
    server.issue_credential(module.serial)
    assert (await post(other.connection, "poll", poll()))["credential"] is None
    assert (await post(module.connection, "poll", poll()))["credential"]["sequence"] == 1
    await other.close()


async def test_r7_module_that_is_not_registered_is_told_so(server, tmp_path):
    key = new_key()
    certificate = server.ca.sign_factory_request(certificate_request(key, "NOBODY"))
    context = client_tls(tmp_path, server.ca.pps.certificate_der, key, certificate)
    async with httpx.AsyncClient(verify=context, base_url=f"https://localhost:{server.module_port}") as client:
        assert await post(client, "hello", hello("NOBODY"), 404) == "unknown_module"
        assert await post(client, "poll", poll(), 404) == "unknown_module"
        assert await post(client, "audit", records(1), 404) == "unknown_module"


async def test_s18_factory_identity_reaches_nothing_else(module):
    for path in ("/v1/module/energy", "/v1/enrol", "/", "/v1/module/hello/"):
        for method in ("GET", "POST"):
            answer = await module.factory_identity.request(method, path, json={})
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden"), path


async def test_r7_module_checks_the_server_by_pinned_ca(server, module, tmp_path):
    context = client_tls(tmp_path, server.ca.maker.certificate_der)
    async with httpx.AsyncClient(verify=context) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"https://localhost:{server.module_port}/")


async def test_r7_development_ca_is_made_for_one_folder(tmp_path):
    one, two = DevelopmentCa(tmp_path / "one"), DevelopmentCa(tmp_path / "two")
    ders = {ca.certificate_der for pair in (one, two) for ca in (pair.maker, pair.pps)}
    assert len(ders) == 4
    assert DevelopmentCa(tmp_path / "one").pps.certificate_der == one.pps.certificate_der
    for key in (tmp_path / "one").glob("*.key"):
        assert key.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/module/nothing", b"{}", 404, "not_found"),
        ("GET", "/v1/module/hello", b"", 405, "method_not_allowed"),
        ("POST", "/v1/module/hello", b"not json", 422, "bad_request"),
        ("POST", "/v1/module/hello", b"[" * 9000, 400, "bad_request"),
        ("POST", "/v1/module/hello", b"\xff\xfe", 422, "bad_request"),
        ("POST", "/v1/module/hello", b'{"\x80": 1}', 400, "bad_request"),
        ("POST", "/v1/module/hello", b"", 422, "bad_request"),
        ("POST", "/v1/module/hello", b"null", 422, "bad_request"),
        ("POST", "/v1/module/hello", b'{"\\ud800": 1}', 422, "bad_request"),
        ("POST", "/v1/module/hello", b" " * (16 * 1024 + 1), 413, "too_large"),
    ],
)
async def test_r27_every_error_is_typed(module, method, path, body, status, code):
    answer = await module.connection.request(method, path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_r27_chunked_body_over_the_limit_is_refused(module):
    async def chunks():
        for _ in range(17):
            yield b" " * 1024

    answer = await module.connection.post("/v1/module/hello", content=chunks())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


async def test_r27_what_is_not_http_gets_a_typed_error(server, module):
    context = module.connection._transport._pool._ssl_context
    reader, writer = await asyncio.open_connection("localhost", server.module_port, ssl=context)
    writer.write(b"\x00\x01 garbage\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 400")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["error"]["code"] == "bad_request"


async def test_r27_failure_inside_shows_no_trace(server, module, monkeypatch, caplog):
    secret = "hunter2 of the database"

    def fail(*arguments):
        raise RuntimeError(secret)

    monkeypatch.setattr(server.services.fleet, "hello", fail)
    answer = await module.connection.post("/v1/module/hello", json=hello(module.serial))
    assert answer.status_code == 500
    assert answer.json() == {"error": {"code": "internal", "message": "the server failed"}}
    assert "RuntimeError" in caplog.text
    assert secret not in caplog.text and "Traceback" not in caplog.text


async def test_r27_database_that_does_not_answer_is_told_as_unavailable(server, module, monkeypatch):
    def fail(*arguments):
        raise OperationalError("a statement", {}, Exception("database is locked"))

    monkeypatch.setattr(server.services.fleet, "hello", fail)
    answer = await module.connection.post("/v1/module/hello", json=hello(module.serial))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def test_r27_connection_is_kept_between_requests(server, module):
    context = module.connection._transport._pool._ssl_context
    reader, writer = await asyncio.open_connection("localhost", server.module_port, ssl=context)
    body = json.dumps(poll()).encode()
    head = b"POST /v1/module/poll HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    for _ in range(3):
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert len(answer) < 2048
        length = next(int(line.split(b":")[1]) for line in answer.split(b"\r\n") if b"content-length" in line)
        assert json.loads(await reader.readexactly(length)) == {"credential": None, "revoked": 0, "relay": None}
    writer.close()


async def test_r27_an_answers_body_does_not_wait_for_its_head_to_be_confirmed(server, module, monkeypatch):
    made = tls_protocol.TlsProtocol.connection_made
    at_once = []

    def look(protocol, transport):
        accepted = transport.get_extra_info("socket")
        at_once.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(protocol, transport)

    monkeypatch.setattr(tls_protocol.TlsProtocol, "connection_made", look)
    await post(module.connection, "hello", hello(module.serial))
    assert at_once == [1]


async def test_r27_client_that_never_finishes_its_head_is_cut_off(server, module, monkeypatch):
    monkeypatch.setattr(tls_protocol, "HEAD_TIMEOUT_S", 0.2)
    context = module.connection._transport._pool._ssl_context
    for start in (b"", b"POST /v1/module/poll HTTP/1.1\r\nhost: "):
        reader, writer = await asyncio.open_connection("localhost", server.module_port, ssl=context)
        writer.write(start)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_r27_client_that_never_finishes_its_body_is_told_so(server, module, monkeypatch):
    monkeypatch.setattr(middleware, "BODY_TIMEOUT_S", 0.2)
    context = module.connection._transport._pool._ssl_context
    reader, writer = await asyncio.open_connection("localhost", server.module_port, ssl=context)
    writer.write(b"POST /v1/module/poll HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
    answer = await asyncio.wait_for(reader.read(), 10)
    assert answer.startswith(b"HTTP/1.1 400") and b'"bad_request"' in answer
    writer.close()
