"""The console's pages about its own users, and what ties people to modules: assignments, a resident's address."""

from fastapi import APIRouter

from tools.pps.console.views import Reader, Submitter
from tools.pps.errors import ServiceError
from tools.pps.middleware import client_address
from tools.pps.services.operators import PASSWORD_LENGTH, new_password

router = APIRouter()


@router.get("/users")
def users(visit: Reader):
    return _users_page(visit)


@router.post("/users")
def add_user(visit: Submitter):
    name, role, password = visit.form.get("name", "").strip(), visit.form.get("role", ""), new_password()
    try:
        visit.services.operators.add(name, password, role, visit.operator.name)
    except ServiceError as error:
        problem = "problem_known_name" if error.code == "conflict" else f"problem_user_{error.field}"
        return _users_page(visit, 422, problem=problem, name=name, role=role)
    return visit.page("password.html", name=name, password=password)


@router.post("/users/role")
def change_role(visit: Submitter):
    return _change(visit, lambda by: visit.services.operators.set_role(_name(visit), visit.form.get("role", ""), by))


@router.post("/users/disable")
def disable_user(visit: Submitter):
    return _change(visit, lambda by: visit.services.operators.disable(_name(visit), by), "disabled")


@router.post("/users/password")
def reset_password(visit: Submitter):
    password = new_password()
    visit.services.operators.set_password(_name(visit), password, visit.operator.name)
    return visit.page("password.html", name=_name(visit), password=password)


def _change(visit, change, notice="role_changed"):
    try:
        change(visit.operator.name)
    except ServiceError as error:
        if error.code != "conflict":
            raise
        return _users_page(visit, 409, problem="problem_last_operator")
    return visit.go("/users", notice)


def _users_page(visit, status=200, problem=None, name="", role="installer"):
    rows = visit.services.operators.all()
    return visit.page("users.html", status, rows=rows, problem=problem, name=name, role=role)


def _name(visit):
    return visit.form.get("name", "")


@router.get("/account")
def account(visit: Reader):
    return _account_page(visit)


@router.post("/account/mail")
def change_mail(visit: Submitter):
    form = visit.form
    alarms = form.get("alarm_mail") == "on" and visit.may("see_fleet")
    try:
        visit.services.operators.set_mail(
            visit.operator.id, form.get("mail", "").strip(), form.get("language", ""), alarms
        )
    except ServiceError:
        return _account_page(visit, 422, "problem_mail")
    return visit.go("/account", "saved")


@router.post("/account/password")
def change_password(visit: Submitter):
    operators, name = visit.services.operators, visit.operator.name
    try:
        known = operators.log_in(name, visit.form.get("current", ""), client_address(visit.request.scope))
    except ServiceError:
        return _account_page(visit, 429, "throttled")
    if known is None:
        return _account_page(visit, 403, "problem_current_password")
    try:
        changed = operators.set_password(name, visit.form.get("new", ""), name)
    except ServiceError:
        return _account_page(visit, 422, "problem_new_password")
    visit.renewed = visit.new_session(changed)  # every other session of this operator has ended
    return visit.go("/account", "password_changed")


def _account_page(visit, status=200, problem=None):
    low, high = PASSWORD_LENGTH
    return visit.page("account.html", status, problem=problem, low=low, high=high)


@router.post("/modules/{serial}/contact")
def change_contact(visit: Submitter, serial: str):
    form = visit.form
    arguments = (form.get("channel", ""), form.get("address", ""), form.get("language", ""))
    try:
        visit.services.contacts.set(serial, *arguments, visit.operator.name)
    except ServiceError as error:
        if error.field != "contact":
            raise
        return visit.page("error.html", 422, title="error_bad_request", detail="problem_recipient", refusal=None)
    return visit.go(f"/modules/{serial}", "saved")


@router.post("/modules/{serial}/assign")
def assign(visit: Submitter, serial: str):
    visit.services.operators.assign(serial, _name(visit), visit.operator.name)
    return visit.go(f"/modules/{serial}", "saved")


@router.post("/modules/{serial}/unassign")
def unassign(visit: Submitter, serial: str):
    visit.services.operators.unassign(serial, _name(visit), visit.operator.name)
    return visit.go(f"/modules/{serial}", "saved")
