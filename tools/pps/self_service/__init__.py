"""The residents' page, under /request of the public listener: asks for a serial number, opens the link that was sent.

It keeps no session and sets no cookie: the link is the secret. Only a button issues, never the opening of a link, which
mail programs do by themselves.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tools.pps.console.forms import ACTIONS
from tools.pps.console.text import LANGUAGES, choose_language
from tools.pps.errors import ServiceError
from tools.pps.messages import duration
from tools.pps.metrics import ROUTE
from tools.pps.middleware import client_address
from tools.pps.self_service.text import lookup
from tools.pps.services.credentials import GROUPS

PATH = "/request"

_FOLDER = Path(__file__).parent.parent
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"x-robots-tag", b"noindex"),
]

_templates = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(LANGUAGES=LANGUAGES, GROUPS=GROUPS, ACTIONS=ACTIONS, PATH=PATH, form_token="")


def self_service_headers(path):
    """Headers for an answer by its path, or None where it is none of these pages."""
    if path != PATH and not path.startswith(PATH + "/"):
        return None
    kept = b"no-cache" if path.startswith(PATH + "/static/") else b"no-store"
    return [*_HEADERS, (b"cache-control", kept)]


def self_service_routes(service):
    """Routes for a SelfService."""

    def offered(handler):
        async def endpoint(request):
            request.scope[ROUTE] = PATH + ("/{token}" if request.path_params else "")
            form = {}
            if request.method == "POST":
                async with request.form(max_files=0, max_fields=10) as posted:
                    form = {name: value for name, value in posted.items() if isinstance(value, str)}
            if not service.is_offered:
                return _page(request, form, "request_note.html", 404, title="closed", lead="closed_lead")
            return await run_in_threadpool(handler, request, form)

        return endpoint

    @offered
    def ask(request, form):
        if request.method != "POST":
            return _page(request, form, "request.html", problem=None, serial="")
        serial = form.get("serial", "")
        try:
            service.ask(serial[:200], client_address(request.scope))
        except ServiceError as error:
            problem = "too_many" if error.code == "too_many" else "problem_serial"
            return _page(request, form, "request.html", error.status, error, problem=problem, serial=serial[:200])
        return _page(request, form, "request_note.html", title="asked", lead="asked_lead")

    @offered
    def open_link(request, form):
        token = request.path_params["token"]
        try:
            if request.method == "POST":
                service.issue(token)
                return _page(request, form, "request_note.html", title="issued", lead="issued_lead")
            opened = service.look(token)
        except ServiceError as error:
            gone = error.code == "not_found"
            title, lead = ("gone", "gone_lead") if gone else ("too_many_title", "too_many_today")
            return _page(request, form, "request_note.html", error.status, error, title=title, lead=lead)
        return _page(request, form, "request_link.html", module=opened.module, order=opened.order, token=token)

    def with_slash(request):
        return RedirectResponse(PATH, 308)

    return [
        Mount(PATH + "/static", StaticFiles(directory=_FOLDER / "static")),
        Route(PATH, ask, methods=["GET", "POST"]),
        Route(PATH + "/", with_slash),
        Route(PATH + "/{token}", open_link, methods=["GET", "POST"]),
    ]


def _page(request, form, template, status=200, error=None, **values):
    language = form.get("lang") or request.query_params.get("lang")
    if language not in LANGUAGES:
        language = choose_language(request.headers.get("accept-language", ""))
    content = _templates.get_template(template).render(
        t=lookup(language),
        language=language,
        path=request.url.path,
        lasting=lambda seconds: duration(seconds, language),
        **values,
    )
    headers = {"retry-after": str(error.retry_after_s)} if error is not None and error.retry_after_s else None
    return HTMLResponse(content, status, headers)
