"""For which generation site and contract a module may report (R23).

Without an assignment a module has what it first says, unless that is another module's. What an operator assigns is all
that it may say from then on.
"""

import re

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from tools.pps.errors import ServiceError
from tools.pps.models import Site
from tools.pps.services.common import module_by_serial, note_action
from tools.pps.services.plans import open_procedure_of, planned_elsewhere

NUMBER = re.compile(r"[0-9]{22}")
CONTRACT = re.compile(r"[0-9A-Z-]{1,20}")


class Sites:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def assign(self, serial, number, contract, operator):
        """Give a module its site (22 digits) and contract, and take the former ones from it. A contract may have
        several modules when it is assigned, a site never. ServiceError bad_request, unknown_module, conflict: the site
        is another module's or planned for one, or a procedure is open that plans for this module or releases it."""
        if not NUMBER.fullmatch(number):
            raise ServiceError("bad_request", "site: 22 digits", field="site")
        if not CONTRACT.fullmatch(contract):
            raise ServiceError("bad_request", "contract: 1 to 20 of 0-9 A-Z -", field="contract")
        now = self._now()
        try:
            with self._database.write() as session:
                module = module_by_serial(session, serial, lock=True)
                _need_no_plan(session, module)
                if planned_elsewhere(session, module.id, number):
                    raise ServiceError("conflict", "this site is planned for another module", field="site")
                end_site(session, module, now)
                session.flush()
                site = Site(module_id=module.id, number=number, contract=contract, assigned_by=operator, since_at=now)
                session.add(site)
                note_action(session, now, operator, "assign_site", module)
        except IntegrityError:
            raise ServiceError("conflict", "this site is another module's", field="site") from None

    def release(self, serial, operator):
        """End what a module has, so that it may say anew. ServiceError unknown_module, conflict."""
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            _need_no_plan(session, module)
            if end_site(session, module, now):
                note_action(session, now, operator, "release_site", module)


def _need_no_plan(session, module):
    procedure = open_procedure_of(session, module.id)
    if procedure is not None and procedure.kind != "equipment":
        raise ServiceError("conflict", "a procedure is open for this module", field="procedure")


def end_site(session, module, now):
    """End what a module has; the caller holds its lock. Returns whether there was anything."""
    current = session.scalar(select(Site).where(Site.module_id == module.id, Site.until_at.is_(None)))
    if current is not None:
        current.until_at = now
    return current is not None
