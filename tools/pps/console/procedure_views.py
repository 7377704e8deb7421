"""The console's pages about procedures (docs/lifecycle.md, "At the console"): open one, see how far it is, end it."""

from fastapi import APIRouter

from tools.pps.console.forms import blank_procedure_form, fill_in_contact, read_procedure_form
from tools.pps.console.session import new_form_token
from tools.pps.console.views import PAGE_SIZE, Reader, Submitter, page_links, page_number
from tools.pps.errors import ServiceError
from tools.pps.services.access import require
from tools.pps.services.credentials import ISSUES_A_DAY
from tools.pps.services.plans import KINDS
from tools.pps.services.procedures import DAYS

router = APIRouter()


@router.get("/procedures")
def procedure_list(visit: Reader, past: str = "", page: int = 1):
    page = page_number(page)
    rows, total = visit.services.procedures.listed(bool(past), (page - 1) * PAGE_SIZE, PAGE_SIZE)
    pages = page_links("/procedures", page, total, past="1" if past else "")
    return visit.page("procedures.html", rows=rows, past=bool(past), pages=pages)


@router.get("/modules/{serial}/procedures/new")
def procedure_form(visit: Reader, serial: str, kind: str = ""):
    found = visit.services.fleet.module(serial)
    if not kind:
        kind = next(name for name in KINDS if _may_open(visit, name))
    _require_kind(visit, kind)
    return _form_page(visit, found, _blank_form(visit, found, kind))


@router.post("/modules/{serial}/procedures")
def open_procedure(visit: Submitter, serial: str):
    procedures, found = visit.services.procedures, visit.services.fleet.module(serial)
    kind = visit.form.get("kind", "")
    _require_kind(visit, kind)
    order, plan, form = read_procedure_form(visit.form, kind, visit.text)
    if order is None:
        return _form_page(visit, found, form, 422)
    try:
        opened = procedures.open(serial, kind, order, visit.operator.name, **plan)
    except ServiceError as error:
        if error.field == "procedure":
            newest = procedures.of_module(found.id, limit=1)
            return visit.go(f"/modules/{serial}/procedures/{newest[0].id}", "procedure_open")
        return _refused(visit, found, form, error)
    return _issued_page(visit, found, opened.procedure, order, opened.issued, opened.code, new=True)


@router.get("/modules/{serial}/procedures/{procedure_id}")
def procedure(visit: Reader, serial: str, procedure_id: int):
    return visit.page("procedure.html", view=visit.services.procedures.look(serial, procedure_id))


@router.get("/modules/{serial}/procedures/{procedure_id}/credential")
def procedure_credential_form(visit: Reader, serial: str, procedure_id: int):
    view = visit.services.procedures.look(serial, procedure_id)
    _require_kind(visit, view.procedure.kind)
    form = _blank_form(visit, view.module, view.procedure.kind)
    return _form_page(visit, view.module, form, procedure=view.procedure)


@router.post("/modules/{serial}/procedures/{procedure_id}/credential")
def issue_for_procedure(visit: Submitter, serial: str, procedure_id: int):
    procedures = visit.services.procedures
    view = procedures.look(serial, procedure_id)
    kind = view.procedure.kind
    _require_kind(visit, kind)
    order, _, form = read_procedure_form(visit.form, kind, visit.text, planning=False)
    if order is None:
        return _form_page(visit, view.module, form, 422, procedure=view.procedure)
    try:
        issued = procedures.issue_again(serial, procedure_id, order, visit.operator.name)
    except ServiceError as error:
        if error.field == "procedure":
            return visit.go(f"/modules/{serial}/procedures/{procedure_id}", "procedure_over")
        return _refused(visit, view.module, form, error, view.procedure)
    return _issued_page(visit, view.module, view.procedure, order, issued, new=False)


@router.post("/modules/{serial}/procedures/{procedure_id}/call_off")
def call_off_procedure(visit: Submitter, serial: str, procedure_id: int):
    return _ended(visit, serial, procedure_id, visit.services.procedures.call_off, "called_off")


@router.post("/modules/{serial}/procedures/{procedure_id}/finish")
def finish_procedure(visit: Submitter, serial: str, procedure_id: int):
    return _ended(visit, serial, procedure_id, visit.services.procedures.finish, "finished")


def _ended(visit, serial, procedure_id, end, notice):
    try:
        end(serial, procedure_id, visit.operator.name)
    except ServiceError as error:
        if error.field != "procedure":
            raise
        notice = "procedure_over"
    return visit.go(f"/modules/{serial}/procedures/{procedure_id}", notice)


def _blank_form(visit, module, kind):
    form = blank_procedure_form(kind, visit.language)
    if visit.may("contact") and kind != "new_resident":  # there, what is registered is the former resident's
        fill_in_contact(form, module)
    return form


def _may_open(visit, kind):
    return all(visit.may(action) for action in KINDS[kind].actions)


def _require_kind(visit, kind):
    if kind not in KINDS:
        raise ServiceError("not_found", "no such procedure")
    for action in KINDS[kind].actions:
        require(visit.operator, action)


def _refused(visit, module, form, error, procedure=None):
    """The form again, with what is wrong, where it can be put right there."""
    status, words = error.status, {}
    if error.code == "too_many":
        form.problems["too_many"] = visit.text("problem_too_many", count=ISSUES_A_DAY)
        words["retry-after"] = str(error.retry_after_s)
    elif error.code == "conflict" and error.field == "site":
        form.problems["site"] = visit.text("problem_site_taken")
    elif error.field in ("same_site", "same_contract"):
        form.problems[error.field.removeprefix("same_")] = visit.text("problem_same")
    elif error.code == "conflict":
        return visit.go(f"/modules/{module.serial}", "repeated")
    else:
        raise error
    response = _form_page(visit, module, form, status, procedure=procedure)
    response.headers.update(words)
    return response


def _form_page(visit, module, form, status=200, procedure=None):
    """The form that opens a procedure; with one, the form for another credential of it."""
    return visit.page(
        "procedure_form.html",
        status,
        module=module,
        form=form,
        procedure=procedure,
        kinds=[kind for kind in KINDS if _may_open(visit, kind)],
        days=DAYS,
        once=new_form_token(),
    )


def _issued_page(visit, module, procedure, order, issued, code=None, *, new):
    host = visit.request.app.state.enrol_host
    newest = visit.services.enrolment.newest_code(module.id) if code else None
    return visit.page(
        "procedure_issued.html",
        module=module,
        procedure=procedure,
        new=new,
        order=order,
        issued=issued,
        code=code,
        code_expires_at=newest.expires_at if newest else None,
        host=host,
    )
