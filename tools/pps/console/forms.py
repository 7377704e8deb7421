"""What operators type, made into what the services take."""

import re
from dataclasses import dataclass, field

from tools.pps.services.contacts import clean_address
from tools.pps.services.credentials import (
    CHANNEL_DEFAULT,
    GROUPS,
    LIFETIME_S,
    MAX_CHANGES,
    MAX_FAILURES,
    MAX_SUCCESSES,
    PASSWORD_DIGITS,
    CredentialOrder,
    Scope,
)
from tools.pps.services.plans import KINDS
from tools.pps.services.procedures import DAYS, DEFAULT_DAYS
from tools.pps.services.sites import CONTRACT, NUMBER

ACTIONS = ("see", "change", "delete")
UNIT_S = {"minutes": 60, "hours": 3600, "days": 86400}
LIMITS = {
    "max_successes": (MAX_SUCCESSES, 3),
    "max_failures": (MAX_FAILURES, 5),
    "max_changes": (MAX_CHANGES, 20),
    "password_digits": (PASSWORD_DIGITS, 8),
}

PLAN_FORMS = {"site": NUMBER, "contract": CONTRACT}
_DELIVERY = ("channel", "recipient", "language", "lifetime", "lifetime_unit", "relay", "once")

# What each kind of work needs; the operator may change it.
TASKS = {
    "resident": Scope(see=("customer", "site"), change=("customer",), delete=("customer", "usage_history")),
    "equipment": Scope(see=("site", "capacity"), change=("site", "capacity"), delete=("capacity",)),
    "contract": Scope(see=("customer", "connection"), change=("customer", "connection"), delete=("connection",)),
    "recover": Scope(see=GROUPS, change=GROUPS, recover=True),
    "everything": Scope(see=GROUPS, change=GROUPS, delete=GROUPS),
}


@dataclass
class IssueForm:
    """The form as it is shown: `values` as text, `chosen` (action, group) pairs, `problems` {field: text}."""

    task: str
    values: dict
    chosen: set
    recover: bool
    relay: bool = False
    problems: dict = field(default_factory=dict)


def blank_issue_form(task, language):
    """The form for a kind of work, not filled in."""
    scope = TASKS[task]
    values = {name: str(default) for name, (_, default) in LIMITS.items()}
    values |= {"channel": "email", "recipient": "", "language": language, "lifetime": "", "lifetime_unit": "hours"}
    chosen = {(action, group) for action in ACTIONS for group in getattr(scope, action)}
    return IssueForm(task, values, chosen, scope.recover)


def fill_in_contact(form, module):
    """Put the address that is registered for a module into its form."""
    if module.contact_address is not None:
        form.values |= {
            "channel": module.contact_channel,
            "recipient": module.contact_address,
            "language": module.contact_language,
        }


def read_issue_form(posted, task, text):
    """(CredentialOrder or None, IssueForm). text: lookup of the language in which problems are told."""
    names = (*LIMITS, "channel", "recipient", "language", "lifetime", "lifetime_unit")
    values = {name: posted.get(name, "").strip() for name in names}
    chosen = {(action, group) for action in ACTIONS for group in GROUPS if posted.get(f"{action}_{group}") == "on"}
    form = IssueForm(task, values, chosen, posted.get("recover") == "on", posted.get("relay") == "on")
    numbers = {}
    for name, (bounds, _) in LIMITS.items():
        numbers[name] = _whole(values[name], *bounds)
        if numbers[name] is None:
            form.problems[name] = text("problem_number", low=bounds[0], high=bounds[1])
    lifetime_s = CHANNEL_DEFAULT
    if values["lifetime"]:
        unit_s = UNIT_S.get(values["lifetime_unit"], 1)
        low, high = -(-LIFETIME_S[0] // unit_s), LIFETIME_S[1] // unit_s
        lifetime = _whole(values["lifetime"], low, high)
        if lifetime is None:
            form.problems["lifetime"] = text("problem_number", low=low, high=high)
        else:
            lifetime_s = lifetime * unit_s
    recipient = clean_address(values["channel"], values["recipient"])
    if recipient is None or values["language"] not in ("ja", "en"):
        form.problems["recipient"] = text("problem_recipient")
    if not chosen and not form.recover:
        form.problems["scope"] = text("problem_scope")
    if form.problems:
        return None, form
    scope = Scope(
        **{action: tuple(group for group in GROUPS if (action, group) in chosen) for action in ACTIONS},
        recover=form.recover,
    )
    order = CredentialOrder(
        channel=values["channel"],
        recipient=recipient,
        language=values["language"],
        scope=scope,
        lifetime_s=lifetime_s,
        relay=form.relay,
        form_token=posted.get("once", "")[:64] or None,
        **numbers,
    )
    return order, form


def blank_procedure_form(kind, language):
    """The form that opens a procedure of a kind: where its credential goes, until when, what is planned."""
    form = blank_issue_form("everything", language)
    form.task = kind
    form.values |= {"days": str(DEFAULT_DAYS), "site": "", "contract": ""}
    return form


def read_procedure_form(posted, kind, text, *, planning=True):
    """(CredentialOrder or None, {what is planned, days}, IssueForm). The scope is the kind's, whatever was posted.

    planning: without it only the credential is asked for.
    """
    scope = KINDS[kind].scope
    given = {name: posted.get(name, "") for name in _DELIVERY}
    given |= {name: str(default) for name, (_, default) in LIMITS.items()}
    given |= {f"{action}_{group}": "on" for action in ACTIONS for group in getattr(scope, action)}
    order, form = read_issue_form(given, kind, text)
    if not planning:
        return order, {}, form
    days = _whole(posted.get("days", "").strip() or str(DEFAULT_DAYS), *DAYS)
    plan = {"days": days}
    if days is None:
        form.problems["days"] = text("problem_number", low=DAYS[0], high=DAYS[1])
    form.values["days"] = posted.get("days", "").strip()
    for name in ("site", "contract"):
        typed = posted.get(name, "").strip()
        form.values[name] = re.sub(r"[\s-]", "", typed) if name == "site" else typed
        if name in KINDS[kind].plans:
            plan[name] = form.values[name]
            if not PLAN_FORMS[name].fullmatch(plan[name]):
                form.problems[name] = text(f"problem_{name}")
    return (None if form.problems else order), plan, form


def _whole(typed, low, high):
    if not re.fullmatch("[0-9]{1,9}", typed):
        return None
    return int(typed) if low <= int(typed) <= high else None
