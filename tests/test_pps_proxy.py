"""The server behind a proxy that ends mutual TLS: real nginx with the configuration of deploy/, and forged headers."""

import asyncio
import contextlib
import os
import re
import socket
import ssl
import subprocess
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text as sql

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
    running_server,
)
from tools.pps.__main__ import main
from tools.pps.app import module_app
from tools.pps.ca import CertificateAuthority, DevelopmentCa
from tools.pps.identity import IdentityReader
from tools.pps.proxy import BehindProxy
from tools.pps.server import PpsServer
from tools.pps.settings import ProxySettings, Settings
from tools.setup import nginx

CONFIGURATION = Path(__file__).resolve().parents[1] / "deploy" / "nginx.conf"
PLACES = {"credential_url": "https://localhost:8443", "enrol_host": "localhost:8444"}
SERIAL = "INK-00000001"
_MAIN = """{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/inkan.conf;
}}
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@contextlib.contextmanager
def running_nginx(folder, sockets, certificates):
    """nginx before a server's sockets; yields {"MODULE" | "PUBLIC" | "CONSOLE": port}. The ports listen before it runs,
    and it takes them over: a connection waits until it is there."""
    program, environment = nginx.find() or pytest.skip("nginx is neither installed nor to be had from Debian")
    with contextlib.ExitStack() as stack:
        bound = {
            name: stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for name in ("MODULE", "PUBLIC", "CONSOLE")
        }
        values = {"CERTIFICATES": str(certificates), "PUBLIC_CERTIFICATE": str(certificates / "public.pem")}
        for name, each in bound.items():
            values[f"{name}_PORT"] = f"127.0.0.1:{each.getsockname()[1]}"
            values[f"{name}_UPSTREAM"] = f"unix:{sockets}/{name.lower()}.sock"
        filled = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], CONFIGURATION.read_text())
        (folder / "inkan.conf").write_text(filled)
        (folder / "main.conf").write_text(_MAIN.format(folder=folder, user="user root;" if os.geteuid() == 0 else ""))
        descriptors = [each.fileno() for each in bound.values()]
        running = subprocess.Popen(
            [program, "-p", folder, "-e", folder / "error.log", "-c", folder / "main.conf"],
            env={**environment, "NGINX": "".join(f"{number};" for number in descriptors)},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
        )
        try:
            yield {name: each.getsockname()[1] for name, each in bound.items()}
        finally:
            running.terminate()
            running.wait(30)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    """A server behind nginx; `module_port`, `enrol_port` and `console_port` are nginx's."""
    folder = tmp_path_factory.mktemp("pps")
    sockets = tmp_path_factory.mktemp("s")
    certificates = folder / "certificates"
    assert main(["proxy-files", "--data", str(folder), "--host-name", "localhost", "--out", str(certificates)]) == 0
    (certificates / "public.pem").write_bytes((certificates / "server.pem").read_bytes())
    assert (certificates / "server.pem").stat().st_mode & 0o077 == 0
    async with running_server(folder, Clock(), proxy=ProxySettings(sockets=sockets), **PLACES) as server:
        with running_nginx(tmp_path_factory.mktemp("nginx"), sockets, certificates) as ports:
            server.module_port, server.enrol_port, server.console_port = ports.values()
            yield server
    assert list(sockets.iterdir()) == []


@pytest_asyncio.fixture(loop_scope="module")
async def module(server, request, tmp_path):
    serial = f"PROXY-{abs(hash(request.node.name)) % 10**8}"
    server.register_module(serial, "a house")
    module = TestModule(server, tmp_path, serial)
    yield module
    await module.close()


def escaped(certificate_der):
    """A certificate as nginx writes it into a header."""
    return quote(ssl.DER_cert_to_PEM_cert(certificate_der), safe="")


async def test_r7_module_says_hello_and_polls_through_the_proxy(server, module):
    for client in (module.connection, module.factory_identity):
        assert (await post(client, "hello", hello(module.serial)))["nonce"] == "00112233445566778899aabbccddeeff"
    module_id = server.services.fleet.module(module.serial).id
    waiting = asyncio.create_task(post(module.connection, "poll", poll(wait_s=25)))
    async with asyncio.timeout(20):
        while not server.services.wakeups.count(module_id):
            await asyncio.sleep(0.01)
        server.issue_credential(module.serial)
        assert (await waiting)["credential"]["sequence"] == 1


async def test_r27_poll_whose_module_left_ends_behind_the_proxy_too(server, module):
    module_id = server.services.fleet.module(module.serial).id
    waiting = asyncio.create_task(post(module.connection, "poll", poll(wait_s=25)))
    async with asyncio.timeout(20):
        while not server.services.wakeups.count(module_id):
            await asyncio.sleep(0.01)
        waiting.cancel()
        while server.services.wakeups.count(module_id):
            await asyncio.sleep(0.01)


async def test_r7_proxy_wants_a_certificate_of_a_known_ca(server, module, tmp_path):
    key = new_key()
    stranger = CertificateAuthority.create("PPS CA")
    forged = stranger.sign_module_request(certificate_request(key, module.serial), module.serial)
    own = module.connection_der
    for client in (module.client(), module.client(key, forged)):
        # Neither the one without nor the one of a strange CA gets anything by saying who it is.
        answer = await client.post(
            "/v1/module/hello", json=hello(module.serial), headers={"x-client-cert": escaped(own)}
        )
        assert answer.status_code == 400 and "nonce" not in answer.text


async def test_s18_header_that_a_module_sends_itself_is_replaced(server, module, tmp_path):
    server.register_module(module.serial + "-B", "another house")
    other = TestModule(server, tmp_path, module.serial + "-B")
    headers = {"x-client-cert": escaped(other.connection_der), "x-real-ip": "192.0.2.7"}
    answer = await module.connection.post("/v1/module/hello", json=hello(other.serial), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    answer = await module.connection.post("/v1/module/hello", json=hello(module.serial), headers=headers)
    assert answer.status_code == 200
    await other.close()


async def test_r6_console_and_public_pages_come_through_the_proxy(server, tmp_path):
    server.add_operator("an operator", "correct horse battery")
    context = client_tls(tmp_path, server.ca.pps.certificate_der)
    async with httpx.AsyncClient(verify=context, headers={"x-real-ip": "192.0.2.7"}) as client:
        console = f"https://localhost:{server.console_port}"
        page = await client.get(console + "/login")
        assert (
            page.headers["set-cookie"].startswith("__Host-") and "max-age" in page.headers["strict-transport-security"]
        )
        token = re.search(r'name="form_token" value="([^"]+)"', page.text)[1]
        form = {"form_token": token, "name": "an operator", "password": "wrong"}
        assert (await client.post(console + "/login", data=form)).status_code == 403
        with server._database.read() as session:  # whose address counts is the proxy's to say
            assert session.scalars(sql("SELECT address FROM login_failures")).all() == ["127.0.0.1"]
        form["password"] = "correct horse battery"
        assert (await client.post(console + "/login", data=form)).status_code == 303
        public = f"https://localhost:{server.enrol_port}"
        assert (await client.get(public + "/request")).status_code == 404
        assert (await client.post(public + "/v1/enrol", json={})).json()["error"]["code"] == "bad_request"


async def test_r27_server_takes_over_the_sockets_of_a_dead_one_but_not_of_a_live_one(tmp_path):
    (tmp_path / "s").mkdir()
    settings = {"proxy": ProxySettings(sockets=tmp_path / "s"), **PLACES}
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s" / "module.sock"))
    async with running_server(tmp_path / "pps", Clock(), **settings):
        with pytest.raises(OSError, match=r"module\.sock"):
            await PpsServer(Settings(tmp_path / "other", **settings)).start()


async def test_r7_proxy_without_public_names_is_refused(tmp_path):
    with pytest.raises(ValueError, match="behind a proxy"):
        await PpsServer(Settings(tmp_path, proxy=ProxySettings(sockets=tmp_path))).start()


# The header alone, straight at the application


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return DevelopmentCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def ask(ca, tmp_path):
    """Callable (headers, address of who asks) -> status of an answer to an address that no module has."""
    reader = IdentityReader(ca.pps.certificate_der, ca.maker.certificate_der)
    app = BehindProxy(module_app(None, reader), ProxySettings.parse("10.0.0.0/8, 2001:db8::1"))

    async def ask(headers, address):
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://pps") as client:
            return (await client.get("/v1/module/nothing", headers=headers)).status_code

    return ask


def certificate(ca, authority="pps", **times):
    key = new_key()
    return getattr(ca, authority).sign_module_request(certificate_request(key, SERIAL), SERIAL, **times)


async def test_s18_header_counts_from_the_proxy_alone(ca, ask):
    good = [("x-client-cert", escaped(certificate(ca)))]
    for trusted in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        assert await ask(good, trusted) == 404, trusted
    for other in ("192.0.2.1", "127.0.0.1", "::1", "2001:db8::2", "not an address", ""):
        assert await ask(good, other) == 403, other
    assert await ask([("x-real-ip", "10.1.2.3"), ("x-forwarded-for", "10.1.2.3"), *good], "192.0.2.1") == 403


async def test_s18_proxys_word_is_checked_where_it_can_be(ca, ask):
    good = escaped(certificate(ca))
    stranger = CertificateAuthority.create("PPS CA")
    key = new_key()
    server_pem = ca.pps.make_server_certificate([SERIAL])
    server = re.search(rb"-----BEGIN CERT.*", server_pem, re.DOTALL)[0].decode()
    for name, headers in {
        "none": [],
        "empty": [("x-client-cert", "")],
        "two": [("x-client-cert", good)] * 2,
        "two in one": [("x-client-cert", good + good)],
        "cut off": [("x-client-cert", good[:-40])],
        "not escaped": [("x-client-cert", "garbage%zz")],
        "endless": [("x-client-cert", good + "%0A" * 20000)],
        "another header": [("x_client_cert", good)],
        "expired": [("x-client-cert", escaped(certificate(ca, valid_from=days_ago(9), valid_until=days_ago(1))))],
        "not yet": [("x-client-cert", escaped(certificate(ca, valid_from=days_ago(-1), valid_until=days_ago(-9))))],
        "stranger": [
            ("x-client-cert", escaped(stranger.sign_module_request(certificate_request(key, SERIAL), SERIAL)))
        ],
        "server": [("x-client-cert", quote(server, safe=""))],
        "an authority": [("x-client-cert", escaped(ca.pps.certificate_der))],
    }.items():
        assert await ask(headers, "10.0.0.1") == 401, name
    assert await ask([("x-client-cert", escaped(certificate(ca, "maker")))], "10.0.0.1") == 403  # S18: no such path


@pytest.mark.parametrize("text", ["", "unix:relative", "10.0.0.1/8", "everywhere", "10.0.0.1,"])
async def test_r7_proxy_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError):
        ProxySettings.parse(text)


async def test_s18_configuration_strips_the_header_wherever_it_does_not_set_it():
    blocks = re.findall(r"location [^{]*\{(.*?)\}", CONFIGURATION.read_text(), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        (value,) = re.findall(r"proxy_set_header X-Client-Cert (\S+);", block)
        assert value == ("$ssl_client_escaped_cert" if "inkan_module" in block else '""')
        assert "proxy_set_header X-Real-IP $remote_addr;" in block
