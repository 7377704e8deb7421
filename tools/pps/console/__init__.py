"""The operators' console: pages made on the server, which work without JavaScript."""

from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from tools.pps.console import energy_views, procedure_views, staff_views, views
from tools.pps.console.session import SessionCookie
from tools.pps.errors import ServiceError
from tools.pps.middleware import AddedHeaders, BodyLimit, ErrorBoundary
from tools.pps.services.access import Forbidden

_STATIC = Path(__file__).parent.with_name("static")
CHARTS = Path(__file__).resolve().parents[3] / "build" / "console"
"""Where the set-up puts Chart.js."""

_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]


def build_console(services, key, enrol_host, *, behind_https=False, charts=CHARTS):
    """The console's application. key: secret of its cookies; enrol_host: what a user types to enrol.

    charts: folder with chart.js; where there is none the energy pages have tables alone.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.services = services
    app.state.cookie = SessionCookie(key, behind_https, services.now)
    app.state.behind_https = behind_https
    app.state.enrol_host = enrol_host
    app.state.charts = (charts / "chart.js").is_file()
    app.include_router(views.router)
    app.include_router(energy_views.router)
    if app.state.charts:
        app.mount("/static/charts", StaticFiles(directory=charts), name="charts")
    app.include_router(staff_views.router)
    app.include_router(procedure_views.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.add_exception_handler(views.SignInNeeded, _sign_in)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _not_found)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(OperationalError, _internal)
    # What no column could hold, a sign NUL or a number of 20 digits, is nowhere to be found.
    app.add_exception_handler(DataError, _not_found)
    app.add_exception_handler(OverflowError, _not_found)
    app.add_exception_handler(Exception, _internal)
    return AddedHeaders(ErrorBoundary(BodyLimit(app)), _safe_headers)


def _safe_headers(path):
    """What keeps other sites, and caches, out of an answer."""
    return [*_HEADERS, (b"cache-control", b"no-cache" if path.startswith("/static/") else b"no-store")]


async def _sign_in(request, error):
    if request.method != "GET":
        return RedirectResponse("/login", 303)
    here = request.url.path + ("?" + request.url.query if request.url.query else "")
    return RedirectResponse("/login" + ("" if here == "/" else "?next=" + quote(here)), 303)


def _error_page(request, status, title, detail=None, visit=None, refusal=None):
    visit = visit or views.visit_of(request)
    return visit.page("error.html", status, title=title, detail=detail, refusal=refusal)


def _service_error(request, error):
    visit = views.known_visit_of(request)
    if isinstance(error, Forbidden):
        return _error_page(request, error.status, "error_forbidden", visit=visit, refusal=error)
    if error.code == "forbidden":
        return _error_page(request, error.status, "error_forbidden", "stale_form", visit)
    if error.status == 404:
        return _error_page(request, 404, "error_not_found", visit=visit)
    return _error_page(request, error.status, "error_bad_request", visit=visit)


def _not_found(request, error):
    return _error_page(request, 404, "error_not_found")


def _http_error(request, error):
    key = "error_not_found" if error.status_code == 404 else "error_bad_request"
    return _error_page(request, error.status_code, key)


def _internal(request, error):
    return _error_page(request, 500, "error_internal")
