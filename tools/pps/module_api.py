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
    ModuleRelayRequest,
    NumberedFrame,
    PollAnswer,
    PollRequest,
    ReadingsAnswer,
    ReadingsRequest,
    RelayAnswer,
    RelayClosed,
    RelayNext,
    RelayRequest,
    ReportKeyRequest,
)
from tools.pps.services.taking import Report, SentRecord

FACTORY_PATHS = frozenset(f"/v1/module/{name}" for name in ("hello", "poll", "ack", "audit", "relay"))

_REQUESTS_WAITING = 4
"""Of one conversation of a phone."""


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
phone_router = APIRouter(prefix="/v1", tags=["phone"])


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
    """Wait for a credential, a revocation or a phone's frame, at most `wait_s`."""
    taken = (body.relay.conversation, body.relay.received) if body.relay else None

    def look():
        offer = services.credentials.offer(identity, body.sequence, body.revoked)
        # Never both at once: a module has no room for that.
        relay = services.relay.for_module(identity, taken) if offer.credential is None else None
        answer = PollAnswer(credential=offer.credential, revoked=offer.revoked, relay=_relay_of_poll(relay))
        return answer, offer.news_version, offer.has_news or relay is not None

    module_id = await run_in_threadpool(services.fleet.id_of, identity)
    return await _when_there_is_news(request, services.wakeups, module_id, look, body.wait_s)


def _relay_of_poll(view):
    if view is None:
        return None
    if view.frame is None:
        return RelayClosed(conversation=view.name, closed=True)
    return RelayNext(conversation=view.name, number=view.number, frame=_base64(view.frame))


async def _when_there_is_news(request, wakeups, key, look, wait_s):
    """The answer that `look`, a callable -> (answer, version, whether there is news), has when there is news, or time,
    client or server ends the waiting."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    gone = asyncio.ensure_future(_disconnected(request.receive))
    try:
        with wakeups.watch(key) as watch:
            while True:
                watch.event.clear()
                answer, watch.version, has_news = await run_in_threadpool(look)
                left_s = deadline - loop.time()
                if has_news or left_s <= 0 or gone.done() or wakeups.closing:
                    return answer
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


@module_router.post("/audit", responses=_MODULE_ERRORS | _errors("bad_request", "conflict"))
def audit(body: AuditRequest, services: Services, identity: Identity) -> AuditAnswer:
    """Store audit records, each number once."""
    records = [record.model_dump() for record in body.records]
    return AuditAnswer(through=services.audit.take(identity, records, body.before))


@module_router.post("/report_key", responses=_MODULE_ERRORS | _errors("bad_request", "conflict"))
def report_key(body: ReportKeyRequest, services: Services, identity: Identity) -> AckAnswer:
    """Learn the key by which a connection authenticates what it reports."""
    services.readings.tell_key(identity, bytes.fromhex(body.key))
    return AckAnswer(ok=True)


@module_router.post("/readings", responses=_MODULE_ERRORS | _errors("bad_request", "conflict", "no_report_key"))
def readings(body: ReadingsRequest, services: Services, identity: Identity) -> ReadingsAnswer:
    """Store half-hour values, each once."""
    records = tuple(
        SentRecord(each.number, bytes.fromhex(each.body), bytes.fromhex(each.tag), bytes.fromhex(each.mac))
        for each in body.records
    )
    before = bytes.fromhex(body.before)
    report = Report(body.epoch, body.site, body.contract, body.head, body.oldest, before, records)
    return ReadingsAnswer(epoch=body.epoch, through=services.readings.take(identity, report))


@module_router.post("/relay", responses=_MODULE_ERRORS | _errors("bad_request", "conflict", "too_many"))
def relay_from_module(body: ModuleRelayRequest, services: Services, identity: Identity) -> AckAnswer:
    """Pass a frame on to the phone, or end the conversation."""
    frame = None if body.frame is None else base64.b64decode(body.frame)
    services.relay.from_module(identity, body.conversation, body.number, frame)
    return AckAnswer(ok=True)


@phone_router.post("/relay", responses=_errors("bad_request", "not_found", "conflict", "too_large", "too_many"))
async def relay_from_phone(body: RelayRequest, request: Request, services: Services) -> RelayAnswer:
    """Pass a phone's frames on to the module, and wait for the module's, at most `wait_s`."""
    relay = services.relay
    frames = [(each.number, base64.b64decode(each.frame)) for each in body.frames]
    address = request.client.host if request.client else ""
    view = await run_in_threadpool(
        relay.phone, body.token, body.conversation, body.received, frames, body.close, address
    )
    if view.has_news or body.wait_s == 0:
        return _relay_answer(view)
    if relay.phone_wakeups.count(view.conversation_id) >= _REQUESTS_WAITING:
        raise ServiceError("too_many", "too many requests of this conversation wait", retry_after_s=1)

    def look():
        view_now = relay.look(view.conversation_id, body.received)
        return _relay_answer(view_now), view_now.version, view_now.has_news

    return await _when_there_is_news(request, relay.phone_wakeups, view.conversation_id, look, body.wait_s)


def _relay_answer(view):
    return RelayAnswer(
        frames=[NumberedFrame(number=number, frame=_base64(frame)) for number, frame in view.frames],
        module="online" if view.online else "offline",
        closed=view.closed,
    )


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
