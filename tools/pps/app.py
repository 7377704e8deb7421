"""The three applications: modules (mutual TLS), the public one (TLS: enrolment, phones), console (operators)."""

import asyncio
import contextlib
import re

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from tools.pps.console import build_console
from tools.pps.errors import ServiceError
from tools.pps.middleware import AddedHeaders, BodyLimit, ErrorBoundary, ModuleIdentityGate
from tools.pps.module_api import FACTORY_PATHS, enrol_router, module_router, phone_router
from tools.pps.phone_page import page_headers, phone_routes
from tools.pps.self_service import self_service_headers, self_service_routes
from tools.pps.wakeups import recheck

VERSION = "1"
_SWEEP_EVERY_S = 30
_PARTITIONS_EVERY_S = 6 * 3600
_RESTART_S = 5

_NAME = re.compile(r"[a-z0-9_]{1,32}")
_HTTP_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 415: "bad_request"}


def module_app(services, identity_reader):
    """The application behind the listener with mutual TLS."""

    app = _api(
        services,
        lambda: recheck(services.wakeups, services.credentials.news_versions),
        lambda: _keep_partitions(services.readings),
        lambda: _undo_overdue(services.procedures),
    )
    app.include_router(module_router)
    return ErrorBoundary(ModuleIdentityGate(BodyLimit(app), identity_reader, FACTORY_PATHS))


def public_app(services, phone_page):
    """The application behind the listener without client certificates. phone_page: folder of the phone's page."""
    relay = services.relay
    app = _api(services, lambda: recheck(relay.phone_wakeups, relay.versions), lambda: _sweep(relay))
    app.include_router(enrol_router)
    app.include_router(phone_router)
    app.router.routes += phone_routes(phone_page)
    app.router.routes += self_service_routes(services.self_service)
    return AddedHeaders(ErrorBoundary(BodyLimit(app)), _public_headers)


def console_app(services, key, enrol_host, *, behind_https=False):
    """The operators' application. key: secret of its session cookies; enrol_host: what a user types to enrol."""
    return build_console(services, key, enrol_host, behind_https=behind_https)


def openapi():
    """The module API as an OpenAPI document (a dict)."""
    app = _api(None)
    app.include_router(module_router)
    app.include_router(enrol_router)
    app.include_router(phone_router)
    document = app.openapi()
    document["components"]["securitySchemes"] = {
        "module": {"type": "mutualTLS", "description": "connection; the factory identity too where docs/api.md says so"}
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            operation["security"] = [{"module": []}] if path.startswith("/v1/module/") else []
    return document


async def _keep_partitions(readings):
    """Have the energy tables' next months ready and their oldest gone, for ever."""
    while True:
        await asyncio.to_thread(readings.keep_partitions)
        await asyncio.sleep(_PARTITIONS_EVERY_S)


async def _undo_overdue(procedures):
    """Undo the procedures whose deadline has passed, for ever."""
    while True:
        await asyncio.to_thread(procedures.undo_overdue)
        await asyncio.sleep(_SWEEP_EVERY_S)


def _public_headers(path):
    return self_service_headers(path) or page_headers(path)


async def _sweep(relay):
    """Keep the relay's tables small, for ever."""
    while True:
        await asyncio.sleep(_SWEEP_EVERY_S)
        await asyncio.to_thread(relay.sweep)


def _api(services, *background):
    """An application without paths; background: coroutine functions that run as long as it does."""

    async def keep_running(work):
        while True:
            try:
                await work()
            except OperationalError:  # a database that does not answer now may do so later
                await asyncio.sleep(_RESTART_S)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        tasks = [asyncio.create_task(keep_running(work)) for work in background]
        yield
        for task in tasks:
            task.cancel()

    app = FastAPI(
        title="Inkan module API",
        version=VERSION,
        description="Between information module and PPS server. docs/api.md says what it means.",
        license_info={"name": "MIT"},
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        separate_input_output_schemas=False,
    )
    app.state.services = services
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(Exception, _internal)
    return app


async def _service_error(request, error):
    headers = {"retry-after": str(error.retry_after_s)} if error.retry_after_s is not None else None
    return JSONResponse(error.body(), error.status, headers)


async def _invalid(request, error):
    # Where and what kind, never the value: it may be a secret.
    first = error.errors()[0]
    parts = [str(part) for part in first["loc"] if _NAME.fullmatch(str(part)) and part != "body"]
    return JSONResponse(ServiceError("bad_request", f"{'.'.join(parts) or 'body'}: {first['type']}").body(), 422)


async def _http_error(request, error):
    code = _HTTP_CODES.get(error.status_code, "bad_request")
    body = ServiceError(code, code.replace("_", " ")).body()
    return JSONResponse(body, error.status_code, error.headers)


async def _unavailable(request, error):
    refusal = ServiceError("unavailable", "the database does not answer", retry_after_s=5)
    return await _service_error(request, refusal)


async def _internal(request, error):
    # ErrorBoundary, which sees the error next, writes the log.
    return await _service_error(request, ServiceError("internal", "the server failed"))
