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
from tools.pps.models.operators import AlarmNotice, LoginFailure, ModuleAssignment, Operator, OperatorAction
from tools.pps.models.procedures import Procedure, ProcedureCredential
from tools.pps.models.relay import RelayConversation, RelayFrame
from tools.pps.models.self_service import AccessLink, LinkRequest

__all__ = [
    "HIGHEST",
    "OPEN_STATUSES",
    "QUANTITIES",
    "USED_UP",
    "AccessLink",
    "Alarm",
    "AlarmNotice",
    "AuditRecord",
    "Base",
    "CircuitValues",
    "ConnectionCertificate",
    "Credential",
    "EnrolmentCode",
    "LinkRequest",
    "LoginFailure",
    "Message",
    "Module",
    "ModuleAssignment",
    "Operator",
    "OperatorAction",
    "Procedure",
    "ProcedureCredential",
    "ReadingGap",
    "ReadingRecord",
    "ReadingsEpoch",
    "RelayConversation",
    "RelayFrame",
    "ReportKey",
    "Site",
    "SlotValues",
]
