"""The API against its own OpenAPI document: requests are generated from its schemas, and spoiled."""

import asyncio
import copy
import json
import re
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

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


def resolved(schema):
    """A schema with its reference followed."""
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def values(schema):
    """Strategy for values of a JSON schema, of the kinds that this API uses."""
    schema = resolved(schema)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([values(each) for each in schema["anyOf"]])
    kind = schema["type"]
    if kind == "null":
        return st.none()
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(schema["minimum"], schema["maximum"])
    if kind == "string":
        text = st.from_regex(schema.get("pattern", "^[ -~]{0,40}$"), fullmatch=True)
        return text.filter(lambda value: len(value) <= schema.get("maxLength", 1000))
    if kind == "array":
        return st.lists(values(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)
    assert kind == "object", schema
    return st.fixed_dictionaries({name: values(each) for name, each in schema["properties"].items()})


def fits(value, schema):
    """Whether a value is one of a JSON schema (of the kinds that this API uses)."""
    schema = resolved(schema)
    if "const" in schema:
        return value == schema["const"] and type(value) is type(schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(fits(value, each) for each in schema["anyOf"])
    kind = schema["type"]
    if kind == "object":
        return (
            isinstance(value, dict)
            and value.keys() == schema["properties"].keys()
            and all(fits(value[name], each) for name, each in schema["properties"].items())
        )
    if kind == "array":
        return isinstance(value, list) and all(fits(each, schema["items"]) for each in value)
    if kind == "integer":
        return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
    if kind == "string":
        long = len(value) > schema.get("maxLength", 1000) if isinstance(value, str) else True
        return not long and re.search(schema.get("pattern", ""), value) is not None
    return isinstance(value, {"null": type(None), "boolean": bool}[kind])


def request_schema(path):
    return DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*path, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*path, index))


def spoil(value, path, replacement):
    """A copy of a JSON value with another value in one place."""
    if not path:
        return replacement
    changed = copy.deepcopy(value)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = replacement
    return changed


@pytest.fixture(scope="module")
def send(tmp_path_factory):
    """Callable (path, body) -> (status, answer): straight into the applications, as the module SERIAL."""
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

    async def post(path, body):
        app = with_certificate if path.startswith("/v1/module/") else public
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="https://pps.example") as client:
            answer = await client.post(path, content=json.dumps(body))
            return answer.status_code, answer.json()

    runner = asyncio.Runner()

    def send(path, body):
        if isinstance(body, dict) and "wait_s" in body:
            most_s = 25 if path == "/v1/relay" else 55
            body["wait_s"] = 0 if type(body["wait_s"]) is int and 0 <= body["wait_s"] <= most_s else body["wait_s"]
        return runner.run(post(path, body))

    send.token = re.search("#relay=([0-9a-f]{32})", text)[1]
    yield send
    runner.close()
    database.close()


def documented(path, status, answer):
    """Whether an answer is one that the document allows."""
    responses = DOCUMENT["paths"][path]["post"]["responses"]
    return str(status) in responses and fits(answer, responses[str(status)]["content"]["application/json"]["schema"])


@pytest.mark.parametrize("path", PATHS)
@_FEW
@given(data=st.data())
def test_r7_what_the_document_allows_gets_a_documented_answer(send, path, data):
    body = data.draw(values(request_schema(path)))
    if "serial" in body:
        body["serial"] = SERIAL
    if "token" in body:
        body["token"] = send.token
    status, answer = send(path, body)
    assert status < 500
    assert documented(path, status, answer), (status, answer)


@pytest.mark.parametrize("path", PATHS)
@_FEW
@given(data=st.data())
def test_r27_what_the_document_forbids_is_a_bad_request(send, path, data):
    schema = request_schema(path)
    body = data.draw(values(schema))
    place = data.draw(st.sampled_from(list(places(body))))
    junk = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=True, allow_infinity=True),
        st.text(max_size=40),
        st.lists(st.integers(), max_size=2),
        st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    )
    spoiled = spoil(body, place, data.draw(junk))
    assume(not fits(spoiled, schema))
    status, answer = send(path, spoiled)
    assert status in (400, 422), (status, answer)
    assert documented(path, status, answer)
    assert answer["error"]["code"] == "bad_request"


def test_s4_answer_to_a_bad_request_repeats_no_value(send):
    secret = "correct horse battery staple"
    body = {"protocol": 1, "sequence": secret, "result": "accepted", "code": None, secret: 1}
    status, answer = send("/v1/module/ack", body)
    assert status == 422 and secret not in json.dumps(answer)


def test_r7_certificate_of_the_tests_is_a_connections(tmp_path):
    ca = DevelopmentCa(tmp_path)
    der = ca.pps.sign_module_request(certificate_request(new_key(), SERIAL), SERIAL)
    reader = IdentityReader(ca.pps.certificate_der, ca.maker.certificate_der)
    assert reader.read(der).kind == "connection"
    assert reader.read(ca.sign_factory_request(certificate_request(new_key(), SERIAL))).kind == "factory_identity"
    assert reader.read(DevelopmentCa(tmp_path / "other").maker.certificate_der) is None
