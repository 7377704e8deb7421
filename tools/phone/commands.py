"""The commands of `inkan-phone`: each gives (what a program is told, the lines for a person)."""

from firmware import unique_info
from tools.phone.faults import UsageError
from tools.phone.links import Found

COMMANDS = ("scan", "info", "status", "view", "set", "delete", "enrol", "wipe", "script")

_FIELD_IDS = {field[0]: field_id for field_id, field in unique_info.FIELDS.items()}
_STATES = {
    "idle": "no credential",
    "waiting": "a credential is waiting",
    "busy": "somebody is at work",
    "locked": "locked",
    "tampered": "tampered",
    "no_time": "does not know the time",
    None: "speaks another version of the protocol",
}
_MANY = 255  # "that many or more"
_SETTABLE = (unique_info.TEXT, unique_info.DIGITS, unique_info.CODE, unique_info.NUMBER)


class Commands:
    """secrets: user_id(), password(), code(). sure: no questions. out: say, progress, confirm of tools/phone/cli.py."""

    def __init__(self, carrier, session, secrets, sure, out):
        self._carrier = carrier
        self._session = session
        self._secrets = secrets
        self._sure = sure
        self._out = out

    async def carry_out(self, options):
        """options: `command`, and its own. UsageError, and all that a Session raises."""
        return await getattr(self, f"_{options.command}")(options)

    async def _scan(self, options):
        if not hasattr(self._carrier, "scan"):
            raise UsageError("this way leads to one module: there is nothing to scan")
        if self._session.open:
            raise UsageError("the radio is in use by the session: scan first")
        found = sorted(await self._carrier.scan(), key=lambda one: one.name)
        lines = [f"{one.name:24} {one.address:20} {_STATES[one.state]}" for one in found]
        return {"modules": [Found._asdict(one) for one in found]}, lines or ["no module is heard"]

    async def _info(self, options):
        if self._session.open:
            raise UsageError("info is for before the login: say status")
        info = await self._session.info()
        attempts = "none" if not info.failures_left else f"{info.failures_left}{'+' * (info.failures_left == _MANY)}"
        answer = {
            "serial": info.serial,
            "state": info.state,
            "panel_board": info.panel_board,
            "has_panel": info.has_panel,
            "recovers": info.recovers,
            "failures_left": info.failures_left,
            "delay_s": info.delay_s,
            "password_digits": info.password_digits,
            "seconds_left": info.seconds_left,
        }
        return answer, [
            f"serial number  {info.serial}  (not proved)",
            f"state          {_STATES[info.state]}",
            f"attempts left  {attempts}" + (f", the next in {info.delay_s} s" if info.delay_s else ""),
            f"time left      {_time(info.seconds_left)}",
        ]

    async def _status(self, options):
        return _told_status(await self._status_now())

    async def _view(self, options):
        status = await self._status_now()
        groups = [unique_info.GROUPS.index(options.group)] if options.group else sorted(status.see)
        seen = {}
        for group in groups:
            values = await self._session.view(group)
            seen[unique_info.GROUPS[group]] = {unique_info.name_of(field_id): values[field_id] for field_id in values}
        lines = []
        for name, values in seen.items():
            lines += [f"{name}:"] + [f"  {field:24} {value or '-'}" for field, value in values.items()]
        return {"groups": seen}, lines or ["the credential allows nothing to be seen"]

    async def _set(self, options):
        values = {}
        for given in options.values:
            name, equals, value = given.partition("=")
            if not equals:
                raise UsageError(f"{name}: a value is set by FIELD=VALUE")
            field_id = _field_id(name)
            if unique_info.FIELDS[field_id][1] not in _SETTABLE:
                raise UsageError(f"{name} is not set like this: a connection comes by `enrol`")
            if field_id in values:
                raise UsageError(f"{name} is given twice")
            unique_info.check(field_id, value)
            values[field_id] = value
        await self._logged_in()
        return _told_result(await self._session.change(values))

    async def _delete(self, options):
        group = unique_info.GROUPS.index(options.group)
        fields = sorted({_field_id(name) for name in options.fields})
        for field_id in fields:
            if unique_info.group_of(field_id) != group:
                raise UsageError(f"{unique_info.name_of(field_id)} is no field of {options.group}")
        await self._logged_in()
        if not fields:
            self._need_sure(f"Delete everything of {options.group}?")
        return _told_result(await self._session.delete(group, fields))

    async def _enrol(self, options):
        code = "".join(self._secrets.code().split())
        if not (len(code) == 20 and code.isascii() and code.isdigit()):
            raise UsageError("the one-time code has 20 digits")
        await self._logged_in()
        return _told_result(await self._session.enrol(options.host, code, self._out.progress))

    async def _wipe(self, options):
        status = await self._status_now()
        if not status.may_wipe:
            raise UsageError("there is nothing to wipe: the module is not tampered with, or the credential may not")
        self._need_sure("Delete all of the unique information?")
        return _told_result(await self._session.wipe())

    async def _logged_in(self):
        """`Status` of the login, None where that is over: a change is for the generation that the user has seen."""
        if self._session.open:
            return None
        return await self._session.unlock(self._secrets.user_id(), self._secrets.password())

    async def _status_now(self):
        return await self._logged_in() or await self._session.status()

    def _need_sure(self, question):
        if not self._sure and not self._out.confirm(question):
            raise UsageError("nothing was done")


def _field_id(name):
    if name not in _FIELD_IDS:
        raise UsageError(f"{name} is no field; there are: {', '.join(_FIELD_IDS)}")
    return _FIELD_IDS[name]


def _told_status(status):
    groups = {
        what: [unique_info.GROUPS[group] for group in sorted(getattr(status, what)) if group < len(unique_info.GROUPS)]
        for what in ("see", "change", "delete")
    }
    answer = {
        "generation": status.generation,
        "changes_left": status.changes_left,
        "seconds_left": status.seconds_left,
        "idle_s": status.idle_s,
        "may_wipe": status.may_wipe,
        **groups,
    }
    return answer, [
        f"generation     {status.generation}",
        f"changes left   {status.changes_left}",
        f"time left      {_time(status.seconds_left)}",
        *(f"may {what:10} {', '.join(names) or 'nothing'}" for what, names in groups.items()),
        *(["tampered: `wipe` leads back"] if status.may_wipe else []),
    ]


def _told_result(result):
    lines = [f"done; generation {result.generation}, changes left {result.changes_left}"]
    return result._asdict(), lines


def _time(seconds):
    if seconds is None:
        return "no limit"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min {seconds % 60} s"
