"""What a procedure is, what it lets a module report for, and how it is closed (docs/lifecycle.md, "At the console").

Whoever closes a procedure holds the locks of its module and of its row, in this order: a report, an operator and the
deadline may come at once, and one of them closes it.
"""

from dataclasses import dataclass

from sqlalchemy import or_, select

from tools.pps.models import Credential, Module, Procedure, ProcedureCredential
from tools.pps.services.common import note_action
from tools.pps.services.contacts import remove_contact
from tools.pps.services.credentials import Scope

SERVER = "server"
"""Under this name the operators' audit trail has what ends by itself."""


@dataclass(frozen=True)
class Kind:
    """A procedure's kind: the scope that its flow at the module needs, and no more; what is planned (site, contract);
    whether it takes an enrolment code; whether an operator says that it is done; what a role has to allow to open it.
    """

    scope: Scope
    plans: tuple = ()
    enrols: bool = False
    by_hand: bool = False
    actions: tuple = ("issue", "assign_site")


_NEW_PPS = Scope(change=("customer", "connection"))

KINDS = {
    "new_resident": Kind(Scope(change=("customer",), delete=("customer", "usage_history")), ("contract",)),
    "joins": Kind(_NEW_PPS, ("site", "contract"), enrols=True, actions=("issue", "enrol", "assign_site")),
    "leaves": Kind(_NEW_PPS, by_hand=True),
    "moved": Kind(Scope(change=("customer", "site")), ("site",)),
    "equipment": Kind(Scope(change=("capacity",)), actions=("issue",)),
}

_FIELDS = {
    "customer": {"customer_name", "postal_code", "address", "contract_number"},
    "site": {"site_id"},
    "capacity": {"pv_capacity_w", "battery_capacity_wh", "ev_capacity_wh"},
}


def touches(record, event, group):
    """Whether a record of a module's audit trail is a change or deletion of one of the group's fields."""
    return record.event == event and (record.subject == group or not _FIELDS[group].isdisjoint(record.fields))


def open_procedure_of(session, module_id, *, lock=False):
    """The module's open Procedure or None. lock: the caller holds the module's."""
    query = select(Procedure).where(Procedure.module_id == module_id, Procedure.status == "open")
    return session.scalar(query.with_for_update().execution_options(populate_existing=True) if lock else query)


def plan_for_report(session, module_id, now):
    """(Procedure, Module), both locked, of a module whose report names what it has not; None, None without one whose
    deadline is still to come."""
    if open_procedure_of(session, module_id) is None:
        return None, None
    module = session.scalar(select(Module).where(Module.id == module_id).with_for_update())
    procedure = open_procedure_of(session, module_id, lock=True)
    return (procedure, module) if procedure is not None and now < procedure.deadline_at else (None, None)


def is_planned(procedure, site, contract, report):
    """Whether a report says what is planned. site, contract: what the module has now, None = nothing yet: then what
    the procedure does not plan may be anything that is not another module's."""
    if not KINDS[procedure.kind].plans:
        return False
    wanted = (procedure.site or site or report.site, procedure.contract or contract or report.contract)
    return wanted == (report.site, report.contract)


def planned_elsewhere(session, module_id, site, contract=None):
    """The sites of open procedures of other modules that plan this site, or this contract."""
    wanted = Procedure.site == site
    if contract is not None:
        wanted = or_(wanted, Procedure.contract == contract)
    query = select(Procedure.site).where(Procedure.status == "open", Procedure.module_id != module_id, wanted)
    return list(session.scalars(query))


def note(session, procedure, module, what, operator, now):
    """Have the operators' audit trail say what was done with a procedure."""
    note_action(session, now, operator, f"procedure_{what}", module, procedure=procedure.kind)


def close(session, procedure, module, status, operator, now):
    """It is over; status: done, called_off or undone."""
    procedure.status = status
    procedure.closed_at = now
    procedure.closed_by = operator
    note(session, procedure, module, status, operator, now)


def finish(session, procedure, module, operator, now):
    """It is done."""
    close(session, procedure, module, "done", operator, now)
    if procedure.kind == "new_resident" and module.contact_address is not None:
        remove_contact(session, module, operator, now)  # it was the former resident's (S5)


def take_audit(session, module, records, now):
    """The module's audit trail has grown by `records` (of AuditRecord): a change that a procedure waits for ends it."""
    procedure = open_procedure_of(session, module.id)
    if procedure is None or procedure.kind != "equipment" or now >= procedure.deadline_at:
        return
    procedure = open_procedure_of(session, module.id, lock=True)
    numbers = accepted_sequences(session, procedure)
    for record in records:
        if is_under(record, procedure, numbers) and touches(record, "change", "capacity"):
            finish(session, procedure, module, SERVER, now)
            return


def accepted_sequences(session, procedure):
    """Numbers of the procedure's credentials that the module has had."""
    query = select(Credential.sequence).join(ProcedureCredential, ProcedureCredential.credential_id == Credential.id)
    had = ProcedureCredential.procedure_id == procedure.id, Credential.offered_at.is_not(None)
    return set(session.scalars(query.where(*had)))


def is_under(record, procedure, sequences):
    """Whether a record was noted under one of the procedure's credentials. A module that comes from another PPS brings
    records with that one's numbers: those are older."""
    return record.sequence in sequences and (record.time is None or record.time >= procedure.opened_at)
