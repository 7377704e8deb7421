"""The paths of docs/api.md. What they mean is in the services."""

import asyncio
import base64
import binascii
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from tools.pps.errors import STATUS, ServiceError
from tools.pps.schema import (
    AckAnswer,
    AckRequest,
    AuditAnswer,
    AuditRequest,
    EnrolAnswer,
    EnrolRequest,
    ErrorAnswer,
    HelloAnswer,
    HelloRequest,
    PollAnswer,
    PollRequest,
)

FACTORY_PATHS = frozenset(f"/v1/module/{name}" for name in ("hello", "poll", "ack", "audit"))


def _errors(*codes):
    """Response documentation for error codes, grouped by status."""
    by_status = {}
    for code in (*codes, "internal", "unavailable"):
        by_status.setdefault(STATUS[code], []).append(code)
    by_status[400] = ["bad_request"]
    return {
        status: {"model": ErrorAnswer, "description": ", ".join(named)} for status, named in sorted(by_status.items())
    }


_MODULE_ERRORS = _errors("bad_request", "unauthenticated", "forbidden", "unknown_module", "too_large")

module_router = APIRouter(prefix="/v1/module", tags=["module"])
enrol_router = APIRouter(prefix="/v1", tags=["enrolment"])


def _services(request: Request):
    return request.app.state.services


def _identity(request: Request):
    return request.scope["state"]["identity"]


Services = Annotated[object, Depends(_services)]
Identity = Annotated[object, Depends(_identity)]


@module_router.post("/hello", responses=_MODULE_ERRORS)
def hello(body: HelloRequest, services: Services, identity: Identity) -> HelloAnswer:
    """Take the module's state, answer the time and the highest state ever seen."""
    if body.serial != identity.serial:
        raise ServiceError("forbidden", "the serial number is not the certificate's")
    highest, audit_through, now = services.fleet.hello(identity, body.firmware, body.state.model_dump())
    return HelloAnswer(nonce=body.nonce, now=now, audit_through=audit_through, highest=highest)


@module_router.post("/poll", responses=_MODULE_ERRORS)
async def poll(body: PollRequest, request: Request, services: Services, identity: Identity) -> PollAnswer:
    """Wait for a credential or a revocation, at most `wait_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + body.wait_s
    module_id = await run_in_threadpool(services.fleet.id_of, identity)
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        with services.wakeups.watch(module_id) as watch:
            while True:
                watch.event.clear()
                offer = await run_in_threadpool(services.credentials.offer, identity, body.sequence, body.revoked)
                watch.version = offer.news_version
                left_s = deadline - loop.time()
                if offer.has_news or left_s <= 0 or gone.done() or services.wakeups.closing:
                    return PollAnswer(credential=offer.credential, revoked=offer.revoked)
                news = asyncio.ensure_future(watch.event.wait())
                try:
                    await asyncio.wait((news, gone), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    news.cancel()
    finally:
        gone.cancel()


async def _disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


@module_router.post("/ack", responses=_MODULE_ERRORS | _errors("bad_request", "conflict"))
def acknowledge(body: AckRequest, services: Services, identity: Identity) -> AckAnswer:
    """The module has a credential, or refuses it."""
    services.credentials.acknowledge(identity, body.sequence, body.result, body.code)
    return AckAnswer(ok=True)


@module_router.post("/audit", responses=_MODULE_ERRORS)
def audit(body: AuditRequest, services: Services, identity: Identity) -> AuditAnswer:
    """Store audit records, each number once."""
    records = [record.model_dump() for record in body.records]
    return AuditAnswer(through=services.audit.take(identity, records))


@enrol_router.post("/enrol", responses=_errors("bad_request", "code_refused", "too_large"))
def enrol(body: EnrolRequest, services: Services) -> EnrolAnswer:
    """Certify a module's key, proven by the enrolment code."""
    try:
        request_der = base64.b64decode(body.request, validate=True)
    except binascii.Error:
        raise ServiceError("bad_request", "request: base64") from None
    enrolled = services.enrolment.enrol(body.serial, bytes.fromhex(body.nonce), request_der, bytes.fromhex(body.mac))
    energy_ca = enrolled.endpoints.energy_ca_der
    return EnrolAnswer(
        nonce=enrolled.nonce.hex(),
        ca=_base64(enrolled.ca_der),
        certificate=_base64(enrolled.certificate_der),
        credential_url=enrolled.endpoints.credential_url,
        energy_url=enrolled.endpoints.energy_url,
        energy_ca=None if energy_ca is None else _base64(energy_ca),
        mac=enrolled.mac.hex(),
    )


def _base64(data):
    return base64.b64encode(data).decode()
