"""What the server does, apart from how it is asked: each service owns its transactions.

The module API, the console and `PpsServer` call the same services.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tools.pps.energy_settings import EnergySettings
from tools.pps.services.audit import AuditTrail
from tools.pps.services.contacts import Contacts
from tools.pps.services.credentials import Credentials
from tools.pps.services.energy import Energy
from tools.pps.services.enrolment import Enrolment
from tools.pps.services.fleet import Fleet
from tools.pps.services.operators import Operators
from tools.pps.services.outbox import Outbox
from tools.pps.services.procedures import Procedures
from tools.pps.services.readings import Readings
from tools.pps.services.relay import Relay
from tools.pps.services.self_service import SelfService
from tools.pps.services.sites import Sites
from tools.pps.wakeups import Wakeups


@dataclass
class Services:
    """Every service of one process, on one database."""

    now: Callable[[], int]
    """UTC seconds."""
    wakeups: Wakeups
    fleet: Fleet
    credentials: Credentials
    enrolment: Enrolment
    contacts: Contacts
    audit: AuditTrail
    outbox: Outbox
    operators: Operators
    relay: Relay
    readings: Readings
    sites: Sites
    energy: Energy
    self_service: SelfService
    procedures: Procedures


def build_services(
    database,
    authority,
    endpoints,
    *,
    channels=(),
    phone_url=None,
    clock=time.time,
    energy_settings=None,
    self_service=None,
    request_url="",
):
    """The services of one process.

    authority: signs for modules (`sign_connection_request`, `certificate_der`). endpoints: what enrolment tells
    a module (see Endpoints). channels: those of `email`, `sms` that a gateway delivers. phone_url: of the page for
    phones, where there is one. clock: UTC seconds. energy_settings: EnergySettings, None = the environment's.
    self_service: what residents get who ask themselves (Policy), None = nothing; request_url: of the page for that.
    """
    if energy_settings is None:
        energy_settings = EnergySettings.from_environment()

    def now():
        return int(clock())

    wakeups = Wakeups()
    credentials = Credentials(database, now, wakeups, frozenset(channels), phone_url)
    return Services(
        now=now,
        wakeups=wakeups,
        fleet=Fleet(database, now),
        credentials=credentials,
        enrolment=Enrolment(database, now, authority, endpoints),
        contacts=Contacts(database, now),
        audit=AuditTrail(database, now),
        outbox=Outbox(database, now),
        operators=Operators(database, now),
        relay=Relay(database, now, wakeups, Wakeups()),
        readings=Readings(database, now, energy_settings),
        sites=Sites(database, now),
        energy=Energy(database, now, energy_settings),
        self_service=SelfService(database, now, credentials, self_service, request_url, frozenset(channels)),
        procedures=Procedures(database, now, wakeups, credentials),
    )
