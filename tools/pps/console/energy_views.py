"""The console's pages about half-hour values (R24): the fleet's state, a site's day and month, CSV; and all alarms."""

import datetime
import itertools
import re

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from tools.pps.console import energy_csv
from tools.pps.console.display import FIRST_DATE, LAST_DATE, typed_date, typed_month
from tools.pps.console.energy_display import (
    circuits_of,
    day_rows,
    day_totals,
    look_reasons,
    month_rows,
    month_totals,
    with_missing,
    zone_words,
)
from tools.pps.console.views import PAGE_SIZE, Reader, Submitter, page_links, page_number
from tools.pps.errors import ServiceError
from tools.pps.models import QUANTITIES
from tools.pps.readings_body import slot_of, slot_start
from tools.pps.services.energy import SLOTS_A_DAY

EXPORT_DAYS = 366
ENERGY_ALARMS = ("readings_gap", "readings_conflict", "readings_foreign", "readings_rollback", "report_key")
SECURITY_ALARMS = ("tamper", "rollback", "audit_gap", "audit_conflict", "credential_refused")
_ABOUT = {"all": None, "energy": ENERGY_ALARMS, "security": SECURITY_ALARMS}
_DAY = datetime.timedelta(days=1)

router = APIRouter()


@router.get("/energy")
def energy_fleet(visit: Reader, show: str = "", page: int = 1):
    page, show = page_number(page), "look" if show == "look" else ""
    rows, total = visit.services.energy.fleet(
        needs_look=show == "look", offset=(page - 1) * PAGE_SIZE, limit=PAGE_SIZE
    )
    now = visit.services.now()
    return visit.page(
        "energy.html",
        rows=[(module, status, look_reasons(status, now)) for module, status in rows],
        show=show,
        pages=page_links("/energy", page, total, show=show),
        **_zone(visit),
    )


@router.get("/modules/{serial}/energy")
def energy_site(visit: Reader, serial: str, day: str = "", month: str = ""):
    return _month_page(visit, serial, month) if month else _day_page(visit, serial, day)


def _day_page(visit, serial, day, status=200, problem=None, export=None, typed=None):
    energy, module = visit.services.energy, visit.services.fleet.module(serial)
    date = energy.today()
    if day:
        try:
            date = typed_date(day)
        except ValueError:
            status, problem = 422, "problem_date"
    rows = day_rows(energy.day(module.id, date), energy.zone, visit.services.now())
    return _site_page(
        visit,
        "energy_day.html",
        status,
        module,
        problem=problem,
        rows=rows,
        totals=day_totals(rows),
        circuits=circuits_of(energy.circuits(module.id, date), energy.zone),
        date=date,
        previous=_if_allowed(date - _DAY),
        following=_if_allowed(date + _DAY),
        export=export or (date.replace(day=1), date),
        typed=typed,
    )


def _month_page(visit, serial, typed):
    energy, module = visit.services.energy, visit.services.fleet.module(serial)
    status, problem = 200, None
    try:
        first = typed_month(typed)
    except ValueError:
        first, status, problem = energy.today().replace(day=1), 422, "problem_date"
    following = (first + 31 * _DAY).replace(day=1)
    month = energy.month(module.id, first.year, first.month)
    return _site_page(
        visit,
        "energy_month.html",
        status,
        module,
        problem=problem,
        rows=month_rows(month),
        across=month.spans,
        totals=month_totals(month),
        date=first,
        previous=_if_allowed(first - _DAY),
        following=_if_allowed(following),
        export=(first, following - _DAY),
        typed=None,
    )


def _site_page(visit, template, status, module, **values):
    energy = visit.services.energy
    sites = energy.sites(module.id)
    return visit.page(
        template,
        status,
        module=module,
        site=sites[0] if sites and sites[0].until_at is None else None,
        reporting=energy.status(module.id),
        today=energy.today(),
        charts=visit.request.app.state.charts,
        quantities=QUANTITIES,
        first_date=FIRST_DATE,
        last_date=LAST_DATE,
        export_days=EXPORT_DAYS,
        **_zone(visit),
        **values,
    )


def _zone(visit):
    """What the energy pages need to say times in the zone by which days are cut."""
    zone = visit.services.energy.zone
    return {
        "zone": zone_words(zone, visit.text),
        "slot_time": lambda slot: datetime.datetime.fromtimestamp(slot_start(slot), zone).strftime("%Y-%m-%d %H:%M"),
        "moment": lambda unix_s: datetime.datetime.fromtimestamp(unix_s, zone).strftime("%Y-%m-%d %H:%M"),
    }


@router.get("/modules/{serial}/energy.csv")
def energy_export(visit: Reader, serial: str, since: str = "", until: str = ""):
    energy, module = visit.services.energy, visit.services.fleet.module(serial)
    try:
        dates = typed_date(since), typed_date(until)
    except ValueError:
        return _day_page(visit, serial, "", 422, "problem_date")
    first, last = dates
    if not 0 <= (last - first).days < EXPORT_DAYS:
        return _day_page(visit, serial, "", 422, "problem_range", export=dates)
    visit.services.fleet.note_export(serial, str(first), str(last), visit.operator.name)
    rows = _all_half_hours(energy, module.id, first, last, visit.services.now())
    pieces = energy_csv.encode(rows, module.serial, energy.zone)
    headers = {"content-disposition": f'attachment; filename="{module.serial}_{first}_{last}.csv"'}
    return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)


def _all_half_hours(energy, module_id, first, last, now):
    """From one date to another: what is there, what is missing, and the total of several that reaches over the end."""
    first_slot = energy.first_slot(first)
    last_day = energy.day(module_id, last)
    end_slot = last_day.first_slot + SLOTS_A_DAY
    over = [span for span in last_day.spans if span.slot >= end_slot]
    rows = itertools.chain(energy.csv_rows(module_id, first_slot, end_slot), over)
    return with_missing(rows, first_slot, end_slot, slot_of(now) - 1)


@router.post("/modules/{serial}/site")
def assign_site(visit: Submitter, serial: str):
    number = re.sub(r"[\s-]", "", visit.form.get("number", ""))
    contract = visit.form.get("contract", "").strip()
    try:
        visit.services.sites.assign(serial, number, contract, visit.operator.name)
    except ServiceError as error:
        if error.field is None:
            raise
        problem = f"problem_{error.field}"
        if error.code == "conflict" and error.field == "site":
            problem = "problem_site_taken"
        return _day_page(visit, serial, "", error.status, problem, typed={"number": number, "contract": contract})
    return visit.go(f"/modules/{serial}/energy", "saved")


@router.post("/modules/{serial}/site/release")
def release_site(visit: Submitter, serial: str):
    try:
        visit.services.sites.release(serial, visit.operator.name)
    except ServiceError as error:
        if error.field is None:
            raise
        return _day_page(visit, serial, "", error.status, f"problem_{error.field}")
    return visit.go(f"/modules/{serial}/energy", "saved")


@router.get("/alarms")
def alarm_list(visit: Reader, about: str = "all", past: str = "", page: int = 1):
    about = about if about in _ABOUT else "all"
    page = page_number(page)
    rows, total = visit.services.fleet.all_alarms(_ABOUT[about], bool(past), (page - 1) * PAGE_SIZE, PAGE_SIZE)
    pages = page_links("/alarms", page, total, about=about, past="1" if past else "")
    return visit.page("energy_alarms.html", rows=rows, about=about, past=bool(past), pages=pages)


def _if_allowed(date):
    return date if FIRST_DATE <= date <= LAST_DATE else None
