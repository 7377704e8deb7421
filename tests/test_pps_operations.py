"""Health and metrics: what they say, and what they do not say."""

import re
import threading

import httpx
import pytest
import pytest_asyncio
from sqlalchemy.exc import OperationalError

from tests.pps_client import Clock, TestModule, client_tls, hello, poll, post, running_server
from tools.pps import operations

SERIAL = "INK-00000001"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pps")
    async with running_server(folder, Clock(), operations_port=0) as server:
        server.register_module(SERIAL, "Yamada house")
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def client(server):
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.operations_port}") as client:
        yield client


async def samples(client):
    """{(name, labels as text): value} of what Prometheus would read."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    found = re.findall(r"^(\w+)(\{.*\})? (\S+)$", answer.text, re.MULTILINE)
    return {(name, labels): float(value) for name, labels, value in found}


async def test_r27_server_is_live_and_ready(client):
    for path in ("/healthz", "/readyz"):
        answer = await client.get(path)
        assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_r27_server_is_live_but_not_ready_without_its_database(server, client, monkeypatch):
    def fail():
        raise OperationalError("a statement", {}, Exception("postgres://user:secret@host"))

    monkeypatch.setattr(server._listeners[3]._server.config.app.state.readiness, "_ask", fail)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "database: error\n")
    assert (await client.get("/healthz")).status_code == 200


async def test_r27_database_that_hangs_is_asked_once(server, client, monkeypatch):
    monkeypatch.setattr(operations, "DATABASE_TIMEOUT_S", 0.05)
    asked, answered = [], threading.Event()

    def hang():
        asked.append(1)
        answered.wait(30)

    monkeypatch.setattr(server._listeners[3]._server.config.app.state.readiness, "_ask", hang)
    for _ in range(3):
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "database: no answer\n")
    assert len(asked) == 1
    answered.set()


async def test_r24_metrics_count_by_route_and_name_nobody(server, client, tmp_path):
    module = TestModule(server, tmp_path, SERIAL)
    await post(module.connection, "hello", hello(SERIAL))
    await post(module.connection, "hello", hello(SERIAL, generation=1))  # rolled back: an alarm
    await post(module.connection, "poll", poll())
    await module.connection.request("TRACE", f"/v1/module/{SERIAL}")
    await module.close()
    context = client_tls(tmp_path, server.ca.pps.certificate_der)
    async with httpx.AsyncClient(verify=context) as public:
        await public.get(f"https://localhost:{server.enrol_port}/request/{SERIAL}")
        await public.get(f"https://localhost:{server.enrol_port}/request/static/console.css")
    async with httpx.AsyncClient() as console:
        await console.get(f"{server.console_url}modules/{SERIAL}")
    server.issue_credential(SERIAL)

    found = await samples(client)
    requests = {labels: value for (name, labels), value in found.items() if name == "inkan_requests_total"}
    assert requests['{listener="module",method="POST",route="/v1/module/hello",status="200"}'] == 2
    assert requests['{listener="module",method="other",route="other",status="404"}'] == 1
    assert requests['{listener="public",method="GET",route="/request/{token}",status="404"}'] == 1
    assert requests['{listener="public",method="GET",route="/request/static",status="200"}'] == 1
    assert requests['{listener="console",method="GET",route="/modules/{serial}",status="303"}'] == 1
    assert found["inkan_request_seconds_count", '{listener="module",route="/v1/module/poll"}'] == 1
    assert found["inkan_open_alarms", ""] == 1
    assert found["inkan_messages", '{status="shown"}'] == 1
    assert found["inkan_open_polls", '{of="module"}'] == 0
    text = (await client.get("/metrics")).text
    for named in (SERIAL, "Yamada", "resident@", "127.0.0.1"):
        assert named not in text


async def test_r24_metrics_go_on_without_the_database(server, client, monkeypatch):
    def fail():
        raise OperationalError("a statement", {}, Exception("gone"))

    monkeypatch.setattr(server.services.outbox, "counts", fail)
    found = await samples(client)
    assert ("inkan_open_alarms", "") not in found and ("inkan_open_polls", '{of="module"}') in found


async def test_r24_metrics_are_on_no_other_listener(server, tmp_path):
    context = client_tls(tmp_path, server.ca.pps.certificate_der)
    async with httpx.AsyncClient(verify=context) as client:
        for address in (f"https://localhost:{server.enrol_port}/", server.console_url):
            for path in ("metrics", "healthz", "readyz"):
                assert (await client.get(address + path)).status_code in (303, 404)
