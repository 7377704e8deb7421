"""The console's pages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tools.pps.console import display
from tools.pps.console.display import day_start
from tools.pps.console.forms import ACTIONS, LIMITS, TASKS, UNIT_S, blank_issue_form, fill_in_contact, read_issue_form
from tools.pps.console.session import ConsoleSession, new_form_token, token_matches
from tools.pps.console.text import LANGUAGES, choose_language, keys, lookup
from tools.pps.errors import ServiceError
from tools.pps.middleware import client_address
from tools.pps.services.access import ROLES, may, require
from tools.pps.services.credentials import GROUPS, ISSUES_A_DAY
from tools.pps.services.plans import KINDS

PAGE_SIZE = 50
_LANGUAGE_COOKIE = "inkan_language"
_YEAR_S = 365 * 24 * 3600
SEARCH_LENGTH = 4
"""Signs that somebody who does not see the whole fleet has to know of a module."""
_NOTICES = (
    "registered",
    "revoked",
    "withdrawn",
    "forgotten",
    "acknowledged",
    "repeated",
    "role_changed",
    "disabled",
    "saved",
    "password_changed",
    "procedure_open",
    "procedure_over",
    "called_off",
    "finished",
)

# Who may ask for a page: its function's name and an action of services/access.py. Of pages that are not here, those
# that only show something are for those who see the fleet; those that change something are for nobody.
_ACTIONS = {
    "start": "look",
    "modules": "look",
    "module": "look",
    "log_out": "look",
    "account": "look",
    "change_mail": "look",
    "change_password": "look",
    "issue_page": "issue",
    "issue": "issue",
    "offer_enrolment": "enrol",
    "withdraw_enrolment": "enrol",
    "register": "register",
    "revoke": "revoke",
    "forget": "forget",
    "acknowledge_alarm": "acknowledge",
    "change_contact": "contact",
    "assign": "assign",
    "unassign": "assign",
    "outbox": "see_outbox",
    "audit": "see_audit",
    "alarm_list": "see_fleet",
    "energy_fleet": "see_fleet",
    "energy_site": "see_energy",
    "energy_export": "see_energy",
    "procedure_list": "see_fleet",
    "procedure_form": "issue",
    "open_procedure": "issue",
    "procedure": "look",
    "procedure_credential_form": "issue",
    "issue_for_procedure": "issue",
    "call_off_procedure": "revoke",
    "finish_procedure": "assign_site",
    "assign_site": "assign_site",
    "release_site": "assign_site",
    "users": "manage_users",
    "add_user": "manage_users",
    "change_role": "manage_users",
    "disable_user": "manage_users",
    "reset_password": "manage_users",
}

router = APIRouter()

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent.with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(
    LANGUAGES=LANGUAGES,
    GROUPS=GROUPS,
    ACTIONS=ACTIONS,
    LIMITS=LIMITS,
    TASKS=TASKS,
    ROLES=ROLES,
    UNITS=list(UNIT_S),
    CREDENTIAL_CHIPS=display.CREDENTIAL_CHIPS,
    EVENT_CHIPS=display.EVENT_CHIPS,
    MESSAGE_CHIPS=display.MESSAGE_CHIPS,
    CODE_CHIPS=display.CODE_CHIPS,
    PROCEDURE_CHIPS=display.PROCEDURE_CHIPS,
    KINDS=KINDS,
    known=lambda key: key in keys(),
    time=display.local_time,
    zone_name=display.zone_name,
    alarm_detail=display.alarm_detail,
    record_detail=display.record_detail,
    module_state=display.module_state,
)


class SignInNeeded(Exception):
    """Nobody is signed in: the browser is sent to the log-in page."""


@dataclass
class Visit:
    """One request of a browser: its language, its session, its operator (None before log-in) and its form, if any."""

    request: Request
    services: object
    language: str
    session: ConsoleSession | None
    operator: object = None
    form: dict | None = None
    renewed: ConsoleSession | None = None
    """The session as it goes on, where the browser's cookie is to say so."""

    @property
    def text(self):
        return lookup(self.language)

    def new_session(self, operator=None):
        """A session that begins now, of an operator or of nobody yet."""
        now = self.services.now()
        if operator is None:
            return ConsoleSession(new_form_token(), now, now)
        return ConsoleSession(new_form_token(), now, now, operator.id, operator.session_epoch)

    def may(self, action):
        """Whether the operator's role allows an action. The pages show what is allowed; `_signed_in` sees to it."""
        return self.operator is not None and may(self.operator.role, action)

    def page(self, template, status=200, **values):
        """A rendered page."""
        notice = self.request.query_params.get("notice")
        content = _templates.get_template(template).render(
            t=self.text,
            language=self.language,
            operator=self.operator,
            may=self.may,
            form_token=self.session.form_token if self.session else "",
            here=self.request.url.path + ("?" + self.request.url.query if self.request.url.query else ""),
            now=self.services.now(),
            open_alarms=self.services.fleet.open_alarm_count() if self.may("see_fleet") else 0,
            notice=notice if notice in _NOTICES else None,
            ago=lambda seconds: display.rough_duration(seconds, self.language),
            lasting=lambda seconds: display.exact_duration(seconds, self.language),
            **values,
        )
        return self._renew(HTMLResponse(content, status))

    def go(self, path, notice=None):
        """A redirect after something was done."""
        if notice:
            path += ("&" if "?" in path else "?") + f"notice={notice}"
        return self._renew(RedirectResponse(path, 303))

    def _renew(self, response):
        if self.renewed is not None:
            self.request.app.state.cookie.write(response, self.renewed)
        return response


def visit_of(request, operator=None, form=None):
    """A Visit, signed in or not."""
    language = request.cookies.get(_LANGUAGE_COOKIE)
    if language not in LANGUAGES:
        language = choose_language(request.headers.get("accept-language", ""))
    session = request.app.state.cookie.read(request)
    return Visit(request, request.app.state.services, language, session, operator, form)


async def _posted(request: Request):
    async with request.form(max_files=0, max_fields=100) as form:
        # No column holds a sign NUL, and nobody types one.
        return {name: value.replace("\0", "") for name, value in form.items() if isinstance(value, str)}


def known_visit_of(request):
    """A Visit with its operator, where somebody is signed in."""
    visit = visit_of(request)
    if visit.session is not None and visit.session.operator_id is not None:
        visit.operator = visit.services.operators.of_session(visit.session.operator_id, visit.session.epoch)
    return visit


def _signed_in(request: Request):
    visit = known_visit_of(request)
    if visit.operator is None:
        raise SignInNeeded
    action = _ACTIONS.get(request.scope["endpoint"].__name__)
    require(visit.operator, action or ("see_fleet" if request.method == "GET" else "unknown"))
    if "x-inkan-live" not in request.headers:  # a page that follows the fleet by itself is nobody at work
        visit.renewed = request.app.state.cookie.renewal(visit.session)
    return visit


def _submitted(visit: Annotated[Visit, Depends(_signed_in)], form: Annotated[dict, Depends(_posted)]):
    if not token_matches(visit.session, form):
        raise ServiceError("forbidden", "stale_form")
    visit.form = form
    return visit


Reader = Annotated[Visit, Depends(_signed_in)]
Submitter = Annotated[Visit, Depends(_submitted)]
Posted = Annotated[dict, Depends(_posted)]


def local_path(path):
    """`path` where it is one of this site, else "/": a link from elsewhere leads nowhere else."""
    printable = path.isascii() and path.isprintable() and "\\" not in path
    return path if printable and path.startswith("/") and not path.startswith("//") else "/"


@router.get("/")
def start(visit: Reader):
    return visit.go("/modules")


@router.get("/language/{language}")
def set_language(language: str, request: Request, next: str = "/"):
    response = RedirectResponse(local_path(next), 303)
    if language in LANGUAGES:
        secure = request.app.state.behind_https
        response.set_cookie(_LANGUAGE_COOKIE, language, max_age=_YEAR_S, samesite="lax", httponly=True, secure=secure)
    return response


@router.get("/login")
def log_in_page(request: Request, next: str = "/"):
    visit = visit_of(request)
    visit.session = visit.new_session()
    response = visit.page("login.html", next=local_path(next), name="", problem=None)
    request.app.state.cookie.write(response, visit.session)
    return response


@router.post("/login")
def log_in(request: Request, form: Posted):
    visit = visit_of(request, form=form)
    if not token_matches(visit.session, form):
        raise ServiceError("forbidden", "stale_form")
    name, next_path = form.get("name", ""), local_path(form.get("next", "/"))
    try:
        operator = visit.services.operators.log_in(name, form.get("password", ""), client_address(request.scope))
    except ServiceError as error:
        response = visit.page("login.html", 429, next=next_path, name=name, problem="throttled")
        response.headers["retry-after"] = str(error.retry_after_s)
        return response
    if operator is None:
        return visit.page("login.html", 403, next=next_path, name=name, problem="wrong_login")
    response = visit.go(next_path)
    request.app.state.cookie.write(response, visit.new_session(operator))
    return response


@router.post("/logout")
def log_out(visit: Submitter):
    visit.services.operators.log_out(visit.operator.id)
    visit.renewed = None
    response = visit.go("/login")
    visit.request.app.state.cookie.clear(response)
    return response


@router.get("/modules")
def modules(visit: Reader, search: str = "", page: int = 1):
    return _modules_page(visit, search=search[:80], page=page)


@router.post("/modules")
def register(visit: Submitter):
    serial, name = visit.form.get("serial", "").strip(), visit.form.get("name", "")
    try:
        visit.services.fleet.register(serial, name, visit.operator.name)
    except ServiceError as error:
        problem = "known" if error.code == "conflict" else error.field
        return _modules_page(visit, 422, problem=f"problem_{problem}", serial=serial, name=name)
    return visit.go(f"/modules/{serial}", "registered")


def _modules_page(visit, status=200, search="", page=1, problem=None, serial="", name=""):
    page = page_number(page)
    listed = None if visit.may("see_fleet") else visit.operator.id
    if listed is not None and len(search.strip()) >= SEARCH_LENGTH:
        listed, page = None, 1  # whoever can name a module finds it, but does not leaf through the fleet
        rows, total = visit.services.fleet.modules(search.strip(), 0, PAGE_SIZE)
        total = len(rows)
    else:
        rows, total = visit.services.fleet.modules(search, (page - 1) * PAGE_SIZE, PAGE_SIZE, assigned_to=listed)
    return visit.page(
        "modules.html",
        status,
        rows=rows,
        search=search,
        pages=page_links("/modules", page, total, search=search),
        problem=problem,
        serial=serial,
        name=name,
    )


@router.get("/modules/{serial}")
def module(visit: Reader, serial: str):
    services = visit.services
    found = services.fleet.module(serial)
    credentials = services.credentials.of_module(found.id)
    records, total = services.audit.records(found.id, limit=20)
    return visit.page(
        "module.html",
        module=found,
        credentials=credentials,
        relay_open=services.relay.is_open(found.id),
        code=services.enrolment.newest_code(found.id),
        alarms=services.fleet.alarms(found.id),
        records=records,
        record_total=total,
        procedures=services.procedures.of_module(found.id),
        assigned=services.operators.assigned_to(found.id) if visit.may("assign") else [],
    )


@router.get("/modules/{serial}/issue")
def issue_page(visit: Reader, serial: str, task: str = "resident"):
    if task not in TASKS:
        raise ServiceError("not_found", "no such task")
    form = blank_issue_form(task, visit.language)
    if form.recover:
        require(visit.operator, "recover")
    if visit.may("contact"):
        fill_in_contact(form, visit.services.fleet.module(serial))
    return _issue_page(visit, serial, form)


@router.post("/modules/{serial}/issue")
def issue(visit: Submitter, serial: str):
    task = visit.form.get("task")
    order, form = read_issue_form(visit.form, task if task in TASKS else "resident", visit.text)
    if order is None:
        return _issue_page(visit, serial, form, 422)
    if order.scope.recover:
        require(visit.operator, "recover")
    try:
        issued = visit.services.credentials.issue(serial, order, visit.operator.name)
    except ServiceError as error:
        if error.code == "too_many":
            form.problems["too_many"] = visit.text("problem_too_many", count=ISSUES_A_DAY)
            response = _issue_page(visit, serial, form, error.status)
            response.headers["retry-after"] = str(error.retry_after_s)
            return response
        if error.code != "conflict":
            raise
        return visit.go(f"/modules/{serial}", "repeated")
    found = visit.services.fleet.module(serial)
    return visit.page("issued.html", module=found, issued=issued, order=order)


def _issue_page(visit, serial, form, status=200):
    found = visit.services.fleet.module(serial)
    newest = visit.services.credentials.of_module(found.id, limit=1)
    return visit.page(
        "issue.html",
        status,
        module=found,
        form=form,
        former=newest[0] if newest and newest[0].status == "accepted" else None,
        once=new_form_token(),
    )


@router.post("/modules/{serial}/revoke")
def revoke(visit: Submitter, serial: str):
    visit.services.credentials.revoke(serial, visit.operator.name)
    return visit.go(f"/modules/{serial}", "revoked")


@router.post("/modules/{serial}/enrolment")
def offer_enrolment(visit: Submitter, serial: str):
    code = visit.services.enrolment.offer(serial, visit.operator.name)
    found = visit.services.fleet.module(serial)
    newest = visit.services.enrolment.newest_code(found.id)
    host = visit.request.app.state.enrol_host
    return visit.page("code.html", module=found, code=code, expires_at=newest.expires_at, host=host)


@router.post("/modules/{serial}/enrolment/withdraw")
def withdraw_enrolment(visit: Submitter, serial: str):
    visit.services.enrolment.withdraw(serial, visit.operator.name)
    return visit.go(f"/modules/{serial}", "withdrawn")


@router.post("/modules/{serial}/forget")
def forget(visit: Submitter, serial: str):
    visit.services.fleet.forget_highest(serial, visit.operator.name)
    return visit.go(f"/modules/{serial}", "forgotten")


@router.post("/modules/{serial}/alarms/{alarm_id}/acknowledge")
def acknowledge_alarm(visit: Submitter, serial: str, alarm_id: int):
    visit.services.fleet.acknowledge_alarm(serial, alarm_id, visit.operator.name)
    return visit.go(local_path(visit.form.get("next") or f"/modules/{serial}"), "acknowledged")


@router.get("/outbox")
def outbox(visit: Reader, page: int = 1):
    page = page_number(page)
    rows, total = visit.services.outbox.messages((page - 1) * PAGE_SIZE, PAGE_SIZE)
    return visit.page("outbox.html", rows=rows, pages=page_links("/outbox", page, total))


@router.get("/audit")
def audit(
    visit: Reader,
    view: str = "modules",
    module: str = "",
    event: str = "",
    door: str = "",
    by: str = "",
    action: str = "",
    since: str = "",
    until: str = "",
    page: int = 1,
):
    chosen = {"module": module.strip()[:32], "since": since, "until": until}
    view = view if view == "operators" else "modules"
    chosen |= {"by": by.strip()[:80], "action": action} if view == "operators" else {"event": event, "door": door}
    page = page_number(page)
    found = visit.services.fleet.module(chosen["module"]) if chosen["module"] else None
    wanted = {"module_id": found.id if found else None}
    problem = None
    try:
        wanted |= {"since": day_start(since), "until": day_start(until, following=True)}
    except ValueError:
        problem = "problem_date"
    if view == "operators":
        read, names = visit.services.audit.actions, {"operator": chosen["by"], "action": action}
    else:
        read, names = visit.services.audit.records, {"event": event, "door": door}
    wanted |= {name: value or None for name, value in names.items()}
    rows, total = ([], 0) if problem else read(offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE, **wanted)
    return visit.page(
        "audit.html",
        422 if problem else 200,
        view=view,
        module=found,
        chosen=chosen,
        problem=problem,
        rows=rows,
        pages=page_links("/audit", page, total, view=view, **chosen),
        names=lambda prefix: [key.removeprefix(prefix) for key in keys() if key.startswith(prefix)],
    )


def page_number(page):
    """The page that an address asks for, within bounds."""
    return min(max(page, 1), 1_000_000)


def page_links(path, page, total, **query):
    """What the page links need: first, last, total, previous and next addresses or None."""
    query = {name: value for name, value in query.items() if value}

    def address(number):
        return f"{path}?{urlencode({**query, 'page': number})}"

    last = min(page * PAGE_SIZE, total)
    return {
        "first": min((page - 1) * PAGE_SIZE + 1, total),
        "last": last,
        "total": total,
        "previous": address(page - 1) if page > 1 else None,
        "next": address(page + 1) if last < total else None,
    }
