"""How values are shown: times, durations, states, an audit record's names."""

import datetime
import re
from typing import get_args

from markupsafe import Markup

from tools.flash import layout
from tools.pps.messages import duration
from tools.pps.schema import EndReason

ONLINE_S = 90

FIRST_DATE, LAST_DATE = datetime.date(2000, 1, 2), datetime.date(2199, 12, 31)
_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

_END_REASONS = get_args(EndReason)  # in the order of their codes, from 1

_SHORT_UNITS = ((86400, "日", "d"), (3600, "時間", "h"), (60, "分", "min"), (1, "秒", "s"))


def local_time(seconds):
    """A UTC time in the server's time zone, as a <time> element."""
    utc = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    shown = utc.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return Markup('<time datetime="{}">{}</time>').format(utc.strftime("%Y-%m-%dT%H:%M:%SZ"), shown)


def typed_date(text):
    """The date of YYYY-MM-DD; ValueError for what is none, or lies outside of FIRST_DATE to LAST_DATE."""
    if not _DATE.fullmatch(text):
        raise ValueError("YYYY-MM-DD")
    found = datetime.date.fromisoformat(text)
    if not FIRST_DATE <= found <= LAST_DATE:
        raise ValueError("out of range")
    return found


def typed_month(text):
    """The first day of YYYY-MM; ValueError likewise."""
    first = typed_date(text + ("-02" if text == "2000-01" else "-01"))
    return first.replace(day=1)


def day_start(text, following=False):
    """UTC seconds at which a typed date, or the one following it, begins in the server's zone; None for no text."""
    if not text:
        return None
    date = typed_date(text) + datetime.timedelta(days=following)
    return int(datetime.datetime.combine(date, datetime.time()).astimezone().timestamp())


def zone_name():
    """The server's time zone: "JST (UTC+09:00)"."""
    now = datetime.datetime.now().astimezone()
    offset = now.strftime("%z")
    return f"{now.tzname()} (UTC{offset[:3]}:{offset[3:]})"


def rough_duration(seconds, language):
    """A duration in its largest unit, rounded down: 95 -> "1 min"."""
    for size, japanese, english in _SHORT_UNITS:
        if seconds >= size or size == 1:
            count = max(seconds, 0) // size
            return f"{count}{japanese}" if language == "ja" else f"{count} {english}"
    raise AssertionError


def exact_duration(seconds, language):
    """A lifetime as the user's message says it."""
    return duration(seconds, language)


def module_state(module, alarms, now):
    """(key of text, kind of chip) for a module in a list."""
    if module.last_seen_at is None:
        return "not_seen", "quiet"
    if (module.state or {}).get("tamper"):
        return "tampered", "bad"
    if now - module.last_seen_at <= ONLINE_S:
        return "online", "good"
    return "offline", "warn"


CREDENTIAL_CHIPS = {
    "waiting": "wait",
    "offered": "wait",
    "accepted": "good",
    "refused": "bad",
    "replaced": "quiet",
    "revoked": "bad",
    "ended": "quiet",
}
EVENT_CHIPS = {
    "success": "good",
    "accepted": "good",
    "failure": "warn",
    "refused": "bad",
    "tamper": "bad",
    "finding": "warn",
    "wiped": "warn",
    "report_refused": "warn",
    "change": "edit",
    "delete": "edit",
}
MESSAGE_CHIPS = {"shown": "wait", "queued": "wait", "sent": "good", "failed": "bad", "dropped": "quiet"}
PROCEDURE_CHIPS = {"open": "wait", "done": "good", "called_off": "quiet", "undone": "warn"}
CODE_CHIPS = {"open": "wait", "used": "good", "expired": "quiet", "refused": "bad", "withdrawn": "quiet"}


def alarm_detail(alarm):
    """An alarm's particulars in a few signs, the same in every language."""
    detail = alarm.detail
    if alarm.kind == "rollback":
        return ", ".join(f"{name} {before} → {after}" for name, (before, after) in sorted(detail.items()))
    if alarm.kind in ("audit_gap", "readings_gap"):
        return f"#{detail['first']}–#{detail['last']}"
    if alarm.kind in ("audit_conflict", "readings_conflict"):
        return f"#{detail['number']}"
    if alarm.kind == "credential_refused":
        return f"#{detail['sequence']} {detail['code']}"
    if alarm.kind == "readings_rollback":
        return f"#{detail['highest']} → #{detail['head']}"
    return ", ".join(str(value) for _, value in sorted(detail.items()))


def record_detail(record):
    """Key of the words for an audit record's detail; None where the number is all that is known."""
    if record.event == "ended" and 0 < record.detail <= len(_END_REASONS):
        return "ended_" + _END_REASONS[record.detail - 1]
    if record.event == "tamper" and record.detail in layout.TAMPER:
        return "reason_" + layout.TAMPER[record.detail]
    if record.event in ("success", "failure") and record.detail == 1:
        return "noted_after_cut"
    return None
