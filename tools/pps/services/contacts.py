"""Addresses that messages go to, and the one that is registered for a module (for the self-service page)."""

import re

from sqlalchemy import update

from tools.pps.errors import ServiceError
from tools.pps.models import AccessLink
from tools.pps.services.common import module_by_serial, note_action

EMAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+")
PHONE = re.compile(r"\+?[0-9]{8,15}")

_FORMS = {"email": EMAIL, "sms": PHONE}


def clean_address(channel, typed):
    """What was typed as an address of a channel, or None where it is none. A number's signs of order are dropped."""
    typed = typed.strip()
    if channel == "sms":
        typed = re.sub(r"[\s().-]", "", typed)
    form = _FORMS.get(channel)
    fits = form is not None and len(typed) <= 254 and typed.isprintable() and form.fullmatch(typed)
    return typed if fits else None


class Contacts:
    def __init__(self, database, now):
        self._database = database
        self._now = now

    def set(self, serial, channel, address, language, operator):
        """Register where a module's resident is reached; address "" takes it away. Open links end (see SelfService).

        ServiceError bad_request, unknown_module.
        """
        cleaned = clean_address(channel, address) if address.strip() else ""
        if cleaned is None or language not in ("ja", "en"):
            raise ServiceError("bad_request", "address: one that fits the channel, and a language", field="contact")
        now = self._now()
        with self._database.write() as session:
            module = module_by_serial(session, serial, lock=True)
            if not cleaned:
                remove_contact(session, module, operator, now)
                return
            module.contact_channel = channel
            module.contact_address = cleaned
            module.contact_language = language
            _end_links(session, module, now)
            note_action(session, now, operator, "contact", module)


def remove_contact(session, module, operator, now):
    """Take a module's registered address away, within a transaction that holds the module's lock."""
    module.contact_channel = module.contact_address = module.contact_language = None
    _end_links(session, module, now)
    note_action(session, now, operator, "contact_removed", module)


def _end_links(session, module, now):
    session.execute(
        update(AccessLink).where(AccessLink.module_id == module.id, AccessLink.used_at.is_(None)).values(expires_at=now)
    )
