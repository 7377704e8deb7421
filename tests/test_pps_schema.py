"""The API against its own OpenAPI document: Schemathesis makes requests of its schemas, and such as they forbid."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.core import NOT_SET

from tests.pps_client import Clock, certificate_request, new_key, state
from tools.pps.__main__ import openapi_text
from tools.pps.app import module_app, public_app
from tools.pps.ca import DevelopmentCa
from tools.pps.db import Database
from tools.pps.identity import CERTIFICATE_EXTENSION, IdentityReader
from tools.pps.services import build_services
from tools.pps.services.credentials import CredentialOrder
from tools.pps.services.enrolment import Endpoints

ROOT = Path(__file__).resolve().parents[1]
SERIAL = "INK-00000001"
DOCUMENT = json.loads((ROOT / "docs" / "openapi.json").read_text())
PATHS = sorted(DOCUMENT["paths"])
OPERATIONS = {found.ok().path: found.ok() for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()}
BY_MEANING = {"/v1/enrol", "/v1/module/ack", "/v1/module/audit", "/v1/module/readings", "/v1/relay"}
"""Of these more is wanted than a schema can say: what is in base64, or how fields go together."""
DOCUMENTED = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]

_FEW = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_r7_openapi_document_is_current():
    assert (ROOT / "docs" / "openapi.json").read_text() == openapi_text(), "run `python -m tools.pps openapi`"


def test_r7_every_path_documents_its_errors():
    for path in PATHS:
        responses = DOCUMENT["paths"][path]["post"]["responses"]
        assert {"200", "400", "413", "422", "500", "503"} <= responses.keys()
        for status, response in responses.items():
            reference = response["content"]["application/json"]["schema"]["$ref"]
            assert reference.endswith("/ErrorAnswer") == (status != "200")


@pytest.fixture(scope="module")
def send(tmp_path_factory):
    """Callable (path, body) -> httpx.Response: straight into the applications, as the module SERIAL."""
    folder = tmp_path_factory.mktemp("pps")
    database = Database(f"sqlite:///{folder}/pps.sqlite3")
    database.migrate()
    ca = DevelopmentCa(folder / "ca")
    endpoints = Endpoints("https://pps.example", "https://pps.example")
    services = build_services(database, ca.pps, endpoints, phone_url="https://pps.example/phone/", clock=Clock())
    services.fleet.register(SERIAL, "a house", "an operator")
    certificate = ca.pps.sign_module_request(certificate_request(new_key(), SERIAL), SERIAL)
    reader = IdentityReader(ca.pps.certificate_der, ca.maker.certificate_der)
    module, public = module_app(services, reader), public_app(services, folder)
    order = CredentialOrder(channel="email", recipient="resident@example.com", relay=True)
    text = services.credentials.issue(SERIAL, order, "an operator").text
    services.fleet.hello(reader.read(certificate), "0.1.0", state())  # it is online

    async def with_certificate(scope, receive, send):
        scope["extensions"] = {CERTIFICATE_EXTENSION: certificate}
        await module(scope, receive, send)

    async def post(path, content):
        app = with_certificate if path.startswith("/v1/module/") else public
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="https://pps.example") as client:
            return await client.post(path, content=content, headers={"Content-Type": "application/json"})

    runner = asyncio.Runner()

    def send(path, body):
        if isinstance(body, dict) and type(body.get("wait_s")) is int:
            most_s = 25 if path == "/v1/relay" else 55
            body["wait_s"] = 0 if 0 <= body["wait_s"] <= most_s else body["wait_s"]
        body = b"" if body is NOT_SET else body
        return runner.run(post(path, body if isinstance(body, bytes) else json.dumps(body)))

    send.token = re.search("#relay=([0-9a-f]{32})", text)[1]
    yield send
    runner.close()
    database.close()


@pytest.mark.parametrize("path", PATHS)
@_FEW
@given(data=st.data())
def test_r7_what_the_document_allows_gets_a_documented_answer(send, path, data):
    case = data.draw(OPERATIONS[path].as_strategy())
    body = whole(case.body)
    if "serial" in body:
        body["serial"] = SERIAL
    if "token" in body:
        body["token"] = send.token
    answer = send(path, body)
    case.validate_response(answer, checks=DOCUMENTED)
    assert answer.status_code not in (400, 422) or path in BY_MEANING, answer.text


def whole(value):
    """With 5 in the place of 5.0, which a JSON schema takes for an integer and nobody writes here."""
    if isinstance(value, dict):
        return {name: whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("path", PATHS)
@_FEW
@given(data=st.data())
def test_r27_what_the_document_forbids_is_a_bad_request(send, path, data):
    case = data.draw(OPERATIONS[path].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    answer = send(path, case.body)
    assert answer.status_code in (400, 413, 422), answer.text
    case.validate_response(answer, checks=DOCUMENTED)
    assert answer.json()["error"]["code"] in ("bad_request", "too_large")
