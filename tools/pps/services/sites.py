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

NUMBER = re.compile(r"[0-9]{22}")
CONTRACT = re.compile(r"[0-9A-Z-]{1,20}")


class Sites:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def assign(self, serial, number, contract, operator):
        """Give a module its site (22 digits) and contract, and take the former ones from it. A contract may have
        several modules when it is assigned, a site never. ServiceError bad_request, conflict, unknown_module."""
        if not NUMBER.fullmatch(number):
            raise ServiceError("bad_request", "site: 22 digits", field="site")
        if not CONTRACT.fullmatch(contract):
            raise ServiceError("bad_request", "contract: 1 to 20 of 0-9 A-Z -", field="contract")
        now = self._now()
        try:
            with self._database.write() as session:
                module = module_by_serial(session, serial, lock=True)
                _end(session, module, now)
                session.flush()
                site = Site(module_id=module.id, number=number, contract=contract, assigned_by=operator, since_at=now)
                session.add(site)
                note_action(session, now, operator, "assign_site", module)
        except IntegrityError:
            raise ServiceError("conflict", "this site is another module's", field="site") from None

    def release(self, serial, operator):
        """End what a module has, so that it may say anew. ServiceError unknown_module."""
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            if _end(session, module, now):
                note_action(session, now, operator, "release_site", module)


def _end(session, module, now):
    current = session.scalar(select(Site).where(Site.module_id == module.id, Site.until_at.is_(None)))
    if current is not None:
        current.until_at = now
    return current is not None
