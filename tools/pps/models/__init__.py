"""The tables, by subject."""

from tools.pps.models.base import Base
from tools.pps.models.credentials import OPEN_STATUSES, USED_UP, Credential, Message
from tools.pps.models.energy import (
    QUANTITIES,
    CircuitValues,
    ReadingGap,
    ReadingRecord,
    ReadingsEpoch,
    ReportKey,
    Site,
    SlotValues,
)
from tools.pps.models.modules import HIGHEST, Alarm, AuditRecord, ConnectionCertificate, EnrolmentCode, Module
from tools.pps.models.operators import LoginFailure, Operator, OperatorAction
from tools.pps.models.relay import RelayConversation, RelayFrame

__all__ = [
    "HIGHEST",
    "OPEN_STATUSES",
    "QUANTITIES",
    "USED_UP",
    "Alarm",
    "AuditRecord",
    "Base",
    "CircuitValues",
    "ConnectionCertificate",
    "Credential",
    "EnrolmentCode",
    "LoginFailure",
    "Message",
    "Module",
    "Operator",
    "OperatorAction",
    "ReadingGap",
    "ReadingRecord",
    "ReadingsEpoch",
    "RelayConversation",
    "RelayFrame",
    "ReportKey",
    "Site",
    "SlotValues",
]
