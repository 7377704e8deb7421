"""The screens before a session: status, authentication, messages (docs/panel.md)."""

from micropython import const

from firmware import settings
from firmware.errors import AuthError, InkanError

_ID_DIGITS = (4, 4)
_GROUP = const(4)
_SERIAL_CHARACTERS = const(21)  # on one row
_DAY_S = const(86_400)
_HOUR_S = const(3_600)


def idle(p):
    """Serial number, network and credential at a glance; a long serial number takes the network's row."""
    at_home(p)
    serial = p.serial
    if len(serial) <= _SERIAL_CHARACTERS:
        p.rows = (serial, link_text(p), state_text(p))
    else:
        p.rows = (serial[:_SERIAL_CHARACTERS], serial[_SERIAL_CHARACTERS:], state_text(p))
    p.inverse_row = 2 if p.status.state == "waiting" else -1


def at_home(p):
    """What both home screens have in the title."""
    p.home_ms = 0
    p.right = clock_text(p)
    p.bars = p.link == "online"


def idle_key(p, key):
    if key == "O":
        p.look()
        state = p.status.state
        return {"waiting": "id", "idle": "no_credential"}.get(state, state)
    return {"#": "info", "*": "language"}.get(key)


def home_tick(p):
    if p.look():
        first = p.first
        name = p.home()
        same = name == p.name
        p.go(name)
        if same:
            p.first = first


def tampered(p):
    at_home(p)
    code = p.status.tamper
    can_recover = p.status.failures_left > 0
    p.text(p.say("tampered.ready" if can_recover else "tampered.b", tamper_text(p, code)))
    if can_recover:
        p.hint = p.say("tampered.ok")


def tampered_key(p, key):
    if key == "O" and p.status.failures_left > 0:
        return "id"
    return {"#": "info", "*": "language"}.get(key)


def info(p):
    status = p.status
    lines = [p.say("info.serial"), p.serial, p.say("info.link"), link_text(p)]
    if p.link != "online":
        lines.append(p.say("info.check"))
        if p.link:
            lines.append("(%s)" % p.link)
    lines += [p.say("info.time"), date_text(p), p.say("info.credential"), state_text(p)]
    lines += [p.say("info.version"), settings.FIRMWARE_VERSION]
    if status.tamper:
        lines += [p.say("info.tamper"), status.tamper]
    p.text("\n".join(lines))


def back_key(p, key):
    """Back and OK lead home."""
    if key in "BO":
        p.go_home()


def language(p):
    p.list(("日本語", "English"))
    p.selected = p.language


def language_key(p, key):
    if key == "O":
        chosen = p.selected
        p.set_language(chosen)
        p.preferences.save(language=chosen)
    elif key != "B":
        return
    p.go_home()


def message(p):
    """A screen that is nothing but text."""
    p.message()


def gone(state):
    """What a message that waits for something does each second: home once `state` is over."""

    def tick(p):
        p.look()
        if p.status.state != state:
            p.go_home()

    return tick


def user_id(p):
    p.look()
    if p.editor is None:
        from firmware.panel.editor import DigitsEditor

        p.editor = DigitsEditor(_ID_DIGITS, p.user_id)
    p.edit(p.say("id.note"), p.say("id.left", p.status.failures_left))


def user_id_key(p, key):
    if key == "B":
        p.go_home()
    elif key == "O" and p.editor.full:
        p.user_id = p.editor.text
        p.editor = None
        return "password"


def password(p):
    from firmware.panel.editor import DigitsEditor

    credential = p.acquisition.current()
    digits = credential.password_digits if credential else settings.CREDENTIAL_DIGITS_MIN
    groups = (_GROUP,) * (digits // _GROUP)
    if digits % _GROUP:
        groups += (digits % _GROUP,)
    p.editor = DigitsEditor(groups, "", p.ticks_ms, True)
    p.edit(p.say("password.note", digits), p.say("id.left", p.status.failures_left))


def password_key(p, key):
    if key == "B":
        p.editor = None
        return "id"
    if key == "O" and p.editor.full:
        return "wait"


def wait(p):
    p.home_ms = 0
    p.progress("", p.say("wait.below"))
    typed = p.editor.text
    who = p.user_id
    p.forget()
    p.delay_ms = p.status.delay_ms
    wait_tick(p)
    p.job(_authenticate(p, who, typed))


def wait_tick(p):
    """Count the delay down; what comes after it is the check itself."""
    p.look()
    left_ms = p.status.delay_ms
    if left_ms:
        above = p.say("wait.delay", (left_ms + 999) // 1000)
        p.show_progress(p.delay_ms - left_ms, p.delay_ms)
    else:
        above = p.say("wait.above")
    p.note(above)


def no_key(p, key):
    """The user has to wait."""


async def _authenticate(p, who, typed):
    try:
        session = await p.control.authenticate(settings.DOOR_KEYPAD, who, typed, p.show_progress)
    except AuthError as error:
        p.look()
        name = error.code
        if name == "wrong":
            name = "failed" if error.failures_left else "locked"
        if name not in SCREENS:
            p.fail(error)
        else:
            p.go(name)
    except InkanError as error:
        p.fail(error)
    else:
        p.open(session)
    p.refresh()


def failed(p):
    p.message(p.status.failures_left)


def failed_key(p, key):
    if key == "O":
        return "id"
    if key == "B":
        p.go_home()


def ended(p):
    p.home_ms = settings.PANEL_ENDED_MS
    p.message(p.say("ended." + p.detail))


def ended_key(p, key):
    p.go_home()


def error(p):
    """Why something was not done, and what to do; `detail` is the error."""
    code = p.detail.code
    p.text(p.say("error." + code) or "%s\n(%s)" % (p.say("error.other"), code))


def error_key(p, key):
    if key not in "OB":
        return None
    if p.session is None:
        p.go_home()
        return None
    # Before recovery is done there is no menu.
    return p.after if p.top() == "menu" else p.top()


# What the screens say


def state_text(p):
    """The credential in one row."""
    status = p.status
    if status.state == "waiting" or status.state == "tampered" and status.failures_left:
        seconds = status.seconds_left
        if seconds is None:
            left = p.say("left.none")
        elif seconds >= 2 * _DAY_S:
            left = p.say("left.days", seconds // _DAY_S)
        elif seconds >= _HOUR_S:
            left = p.say("left.hours", seconds // _HOUR_S)
        else:
            left = p.say("left.minutes", seconds // 60)
        return p.say("state.waiting", left, status.failures_left)
    return p.say("state." + status.state)


def link_text(p):
    return p.say("link.text", p.say(link_key(p.link)))


def link_key(code):
    """Key of the text for what link_status() gives, or an error's code."""
    if code is None:
        return "link.none"
    if code[:3] == "tls":
        return "link.tls"
    if code[:4] == "bad_" or code == "too_large":
        return "link.bad"
    if code in ("online", "dns", "connect", "timeout", "closed", "status"):
        return "link." + code
    return "link.other"


def tamper_text(p, code):
    return p.say("tamper." + code) or p.say("tamper." + code.split("_")[0]) or p.say("tamper.other")


def clock_text(p):
    if p.minute is None:
        return "--:--"
    minute = p.minute + settings.LOCAL_TIME_S // 60
    return "%d:%02d" % (minute // 60 % 24, minute % 60)


def date_text(p):
    """Local date and time."""
    if p.minute is None:
        return p.say("info.no_time")
    days = (p.minute + settings.LOCAL_TIME_S // 60) // (_DAY_S // 60)
    year = 2000
    while days >= 365 + (year % 4 == 0):  # right until 2099
        days -= 365 + (year % 4 == 0)
        year += 1
    month = 1
    for length in (31, 28 + (year % 4 == 0), 31, 30, 31, 30, 31, 31, 30, 31, 30):
        if days < length:
            break
        days -= length
        month += 1
    return "%d-%02d-%02d %s" % (year, month, days + 1, clock_text(p))


# Name: what shows it, what takes its keys and, where it follows the units, what looks each second.
def enrolling(p):
    p.progress(p.say("enrolling.above"), p.say("wait.below"))


async def enrol(p):
    """Enrol, without what is in memory for the session's other screens: nothing else takes as much as this."""
    p.editor = None
    p.forget_session_screens()
    try:
        fields = await p.enrol(p.host, p.code, p.show_progress)
    except InkanError as error:
        p.detail = error
        p.go("enrol_failed")
        p.refresh()
        return
    p.go("working")
    p.refresh()
    from firmware.panel.screens_session import write

    await write(p, "connection", fields)


SCREENS = {
    "idle": (idle, idle_key, home_tick),
    "tampered": (tampered, tampered_key, home_tick),
    "info": (info, back_key),
    "language": (language, language_key),
    "no_credential": (message, back_key, gone("idle")),
    "no_time": (message, back_key, gone("no_time")),
    "locked": (message, back_key, gone("locked")),
    "busy": (message, back_key, gone("busy")),
    "id": (user_id, user_id_key),
    "password": (password, password_key),
    "wait": (wait, no_key, wait_tick),
    "failed": (failed, failed_key),
    "ended": (ended, ended_key),
    "enrolling": (enrolling, no_key),
    "error": (error, error_key),
}
