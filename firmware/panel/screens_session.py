"""The screens of a session: see, change, delete, enrol, recover (docs/panel.md)."""

from micropython import const

from firmware import settings, unique_info
from firmware.errors import FieldError, InkanError, SessionError
from firmware.panel.canvas import ROW_WIDTH
from firmware.panel.editor import DigitsEditor, TextEditor
from firmware.panel.screens import enrol, link_key, message, no_key

_POSTAL_GROUPS = (3, 4)
_SITE_GROUPS = (2, 4, 4, 4, 4, 4)
_CODE_GROUPS = (4, 4, 4, 4, 4)
_TEXT_MODES = "かカAa1"
_CODE_MODES = "1A"
_HOST_MODES = "a1"
_HOST_SYMBOLS = ".-:"
_HTTPS = "https://"
_HOST_CHARACTERS = const(92)  # of a URL's 100
_CELL = const(6)
_CONTRACT_NUMBER = const(0x14)
_EDITORS = ("edit_text", "edit_digits", "edit_text", "edit_number")  # by kind of field

# The guided flows (docs/lifecycle.md): groups that the scope has to let change, and delete; steps: ids of fields, or
# 16 times the number of a group, for all of it.
FLOWS = (
    ((1,), (1, 2), (0x10, 0x11, 0x12, 0x13, 0x14)),
    ((1, 5), (), (0x50, 0x14)),
    ((1, 3), (), (0x31, 0x12, 0x13)),
    ((4,), (), (0x41, 0x42, 0x43)),
)


# See


def menu(p):
    session = p.session
    p.choices = []
    for group_number in range(settings.GROUP_CUSTOMER, settings.GROUP_CONNECTION + 1):
        for action_name in ("see", "change", "delete"):
            if session.may(action_name, group_number):
                p.choices.append(group_number)
                break
    items = [p.say("g%d" % group_number) for group_number in p.choices]
    if offered(session):
        p.choices.insert(0, 0)
        items.insert(0, p.say("menu.flows"))
        p.selected_of.setdefault("menu", 1)
    p.right = p.say("menu.left", session.changes_left)
    p.list(items)


def offered(session):
    """Numbers of the flows that the scope has everything for."""
    found = []
    for number, flow in enumerate(FLOWS):
        lacking = [group_number for group_number in flow[0] if not session.may("change", group_number)]
        lacking += [group_number for group_number in flow[1] if not session.may("delete", group_number)]
        if not lacking:
            found.append(number)
    return found


def menu_key(p, key):
    if key == "O" and p.choices:
        p.group = p.choices[p.selected]
        if not p.group:
            return "flows"
        p.selected_of.pop("group", None)
        return "usage" if p.group == settings.GROUP_USAGE_HISTORY else "group"
    return leave_or_lock(p, key)


def leave_or_lock(p, key):
    if key == "*":
        p.session.close("lock")
    return "leave" if key == "B" else None


def leave_key(p, key):
    if key == "O":
        p.session.close("done")
    elif key == "B":
        return p.top()


def group(p):
    """The fields, then what can be done to all of them: "enrol", "delete"."""
    session = p.session
    p.after = "menu"
    p.field = 0
    p.title = p.say("g%d" % p.group)
    p.choices = session.fields(p.group)
    values = [value_of(p, number) for number in p.choices]
    items = rows(p, p.choices, values)
    filled = False
    for value in values:
        filled = filled or value != ""
    if p.group == settings.GROUP_CONNECTION and session.may("change", p.group):
        p.choices.append("enrol")
        items.append(p.say("group.enrol"))
    if filled and session.may("delete", p.group):
        p.choices.append("delete")
        items.append(p.say("group.delete"))
    p.list(items)


def rows(p, numbers, values):
    """A row for each field: label, value."""
    labels = [p.say("f%02x" % number) for number in numbers]
    width = max([p.canvas.text_width(label) for label in labels])
    items = []
    for number, label, value in zip(numbers, labels, values):
        pad = " " * ((width - p.canvas.text_width(label)) // _CELL + 1)
        items.append(label + pad + brief(p, number, value))
    return items


def group_key(p, key):
    if key == "B":
        return "menu"
    if key != "O":
        return None
    p.after = "group"
    choice = p.choices[p.selected]
    if choice == "enrol":
        return begin(p, "enrol_host")
    if choice == "delete":
        p.after = "menu"
        return begin(p, "confirm_delete")
    p.field = choice
    return "field"


def field(p):
    p.title = p.say("t%02x" % p.field)
    value = value_of(p, p.field)
    p.text(shown(p, p.field, value))
    p.choices = []
    if p.group != settings.GROUP_CONNECTION:
        if p.session.may("change", p.group):
            p.choices.append("change")
        if value != "" and p.session.may("delete", p.group):
            p.choices.append("delete")
    if p.choices:
        p.hint = p.say("field.do")


def field_key(p, key):
    if key == "B":
        return "group"
    if key == "O" and p.choices:
        p.selected_of.pop("action", None)
        return "action"


def action(p):
    p.title = p.say("t%02x" % p.field)
    p.list([p.say("action." + name) for name in p.choices])


def action_key(p, key):
    if key == "B":
        return "field"
    if key == "O":
        if p.choices[p.selected] == "delete":
            return begin(p, "confirm_delete")
        return begin_change(p)


def usage(p):
    p.after = "menu"
    p.field = 0
    p.title = p.say("g%d" % p.group)
    value = value_of(p, unique_info.READINGS_KEY)
    p.text(p.say("usage.some") if value else p.say("hidden" if value is None else "usage.none"))
    p.choices = ["delete"] if value != "" and p.session.may("delete", p.group) else []
    if p.choices:
        p.hint = p.say("usage.do")


def usage_key(p, key):
    if key == "B":
        return "menu"
    if key == "O" and p.choices:
        return begin(p, "confirm_delete")


def value_of(p, number):
    """The field's text, "" where none is set, None where it may not be seen."""
    return p.session.view(number) if p.session.may("see", number >> 4) else None


def shown(p, number, value):
    """A value as it is read best."""
    if value is None:
        return p.say("hidden")
    if not value:
        return p.say("unset")
    kind = unique_info.FIELDS[number][1]
    if number == unique_info.POSTAL_CODE:
        return "〒%s-%s" % (value[:3], value[3:])
    if number == unique_info.SITE_ID:
        return in_groups(value[:10], _SITE_GROUPS) + "\n" + in_groups(value[10:], _SITE_GROUPS[3:])
    if kind == unique_info.NUMBER:
        return "{:,} {}".format(int(value), unit(number))
    if kind == unique_info.CERTIFICATE:
        return "SHA-256\n" + in_groups(value[value.find(":") + 1 :], (4, 4, 4, 4))
    if kind == unique_info.SECRET:
        return p.say("stored.long")
    return value


def brief(p, number, value):
    """A value as it is read best on one row, its end perhaps cut."""
    kind = unique_info.FIELDS[number][1]
    if not value or kind in (unique_info.TEXT, unique_info.CODE, unique_info.NUMBER):
        return shown(p, number, value)
    if kind == unique_info.SECRET:
        return p.say("stored")
    if kind == unique_info.URL:
        return value[len(_HTTPS) :]
    if kind == unique_info.CERTIFICATE:
        return value[value.find(":") + 1 :]
    return shown(p, number, value).replace("\n", " ")


def in_groups(text, groups):
    parts = []
    start = 0
    for size in groups:
        if start < len(text):
            parts.append(text[start : start + size])
        start += size
    return " ".join(parts)


def unit(number):
    return "Wh" if unique_info.FIELDS[number][0][-3:] == "_wh" else "W"


# Change


def begin(p, name):
    """Begin a change or a deletion: note which version it is meant for. The screen to go to."""
    session = p.session
    if not session.changes_left:
        p.fail(SessionError("used_up"))
        return None
    p.expected = session.generation
    p.host = p.code = ""
    p.editor = None
    p.old = value_of(p, p.field) if p.field else None
    return name


def begin_change(p):
    return begin(p, _EDITORS[unique_info.FIELDS[p.field][1]])


def back(p, name):
    """Where something that was begun is left for: the flow that it is a step of, or a screen."""
    return "flow" if p.after == "flow" else name


def edit_text(p):
    _, kind, _, most = unique_info.FIELDS[p.field]
    p.title = p.say("f%02x" % p.field)
    p.input = p.name
    if p.editor is None:
        if kind == unique_info.CODE:
            p.editor = TextEditor(p.old or "", most, _CODE_MODES, p.ticks_ms, "-")
        else:
            p.editor = TextEditor(p.old or "", most, _TEXT_MODES, p.ticks_ms)
    p.edit()


def edit_digits(p):
    p.title = p.say("t%02x" % p.field)
    p.input = p.name
    if p.editor is None:
        groups = _SITE_GROUPS if p.field == unique_info.SITE_ID else _POSTAL_GROUPS
        p.editor = DigitsEditor(groups, p.old or "")
    p.edit(p.say("edit.digits", p.editor.most))


def edit_number(p):
    _, _, least, most = unique_info.FIELDS[p.field]
    p.title = p.say("t%02x" % p.field)
    p.input = p.name
    if p.editor is None:
        p.editor = DigitsEditor((len(str(most)),), p.old or "", unit=unit(p.field))
    p.edit(p.say("edit.number", least, most))


def edit_key(p, key):
    if key == "B":
        return back(p, "field") if p.editor.text == (p.old or "") else "discard"
    if key != "O":
        return None
    number = p.field
    try:
        value = unique_info.check(number, p.editor.text)
    except FieldError as error:
        p.detail = error.reason
        p.limits = unique_info.FIELDS[number][2:]
        return "invalid"
    if unique_info.FIELDS[number][1] == unique_info.NUMBER:
        p.value = str(int(p.editor.text))
    else:
        p.value = value.decode()
    return back(p, "field") if p.value == p.old else "confirm_change"


def invalid(p):
    p.text(p.say("invalid." + p.detail, *p.limits) or p.say("invalid.other"))


def invalid_key(p, key):
    return p.input if key in "OB" else None


def discard_key(p, key):
    if key == "B":
        return p.input
    if key == "O":
        p.editor = None
        return back(p, "field" if p.field else "group")


def confirm_change(p):
    p.message(shown(p, p.field, p.value), shown(p, p.field, p.old))


def confirm_change_key(p, key):
    if key == "O":
        p.job(write(p, "change"))
        return "working"
    return p.input if key == "B" else None


def confirm_delete(p):
    """What goes, by name: the usage history goes with the contract number (R5), and may be there without one (S20)."""
    session = p.session
    history = p.group == settings.GROUP_CUSTOMER and p.field in (0, _CONTRACT_NUMBER)
    history = history and session.holds(unique_info.READINGS_KEY)
    contract = history and session.holds(_CONTRACT_NUMBER)
    if p.group == settings.GROUP_USAGE_HISTORY:
        p.text(p.say("confirm_delete.usage", unreported(p, "unreported")))
    elif p.field:
        if history:
            p.text(with_history(p, contract))
        else:
            p.message(p.say("t%02x" % p.field))
    else:
        names = []
        for number in session.fields(p.group):
            if value_of(p, number) != "" and not (contract and number == _CONTRACT_NUMBER):
                name = p.say("f%02x" % number)
                longer = "%s %s" % (names[-1], name) if names else ""
                if longer and p.canvas.text_width(longer) <= ROW_WIDTH:
                    names[-1] = longer
                else:
                    names.append(name)
        if history:
            p.text(with_history(p, contract, names))
        else:
            p.text(p.say("confirm_delete.group", "\n".join(names)))


def with_history(p, contract, names=()):
    """What to say of a deletion that takes the usage history with it."""
    names = [unreported(p, "unreported")] + list(names)
    return p.say("confirm_delete.history", p.say("contract_and_history" if contract else "g2"), "\n".join(names))


def unreported(p, key):
    """A text on the half hours that were not reported: how many, that there are none, or that it is not known."""
    number = p.session.unreported()
    if number is None:
        return p.say(key + ".unknown")
    return p.say(key + ".some", number) if number else p.say(key + ".none")


def confirm_delete_key(p, key):
    if key == "O":
        p.job(write(p, "delete"))
        return "working"
    if key == "B":
        if p.field:
            return "action"
        return back(p, "usage" if p.group == settings.GROUP_USAGE_HISTORY else "group")


def result(p):
    what, generation, changes_left = p.done
    p.message(p.say("result." + what), generation, changes_left)


def result_key(p, key):
    return p.after if key in "OB" else None


async def write(p, what, fields=None):
    """Let the session do it, while the screen says so."""
    session = p.session
    await p.sleep_ms(0)
    p.request += 1
    try:
        if what == "change":
            done = session.change(p.request, p.expected, {p.field: p.value})
        elif what == "connection":
            done = session.change_connection(p.request, p.expected, fields)
        elif what == "wipe":
            done = session.wipe()
        else:
            done = session.delete(p.request, p.expected, p.group, [p.field] if p.field else None)
    except InkanError as error:
        p.fail(error)
    else:
        if what == "change":
            p.steps += bytes((p.field,))
        elif what != "wipe" and not p.field:
            p.steps += bytes((p.group << 4,))
        p.forget()
        p.done = (what, done.generation, done.changes_left)
        p.go("result")
    p.refresh()


# Enrol


def enrol_host(p):
    p.input = p.name
    if p.editor is None:
        p.editor = TextEditor(p.host, _HOST_CHARACTERS, _HOST_MODES, p.ticks_ms, _HOST_SYMBOLS)
    p.edit()


def enrol_host_key(p, key):
    if key == "B":
        return "discard" if p.editor.text else back(p, "group")
    if key != "O":
        return None
    try:
        url = unique_info.check(unique_info.CREDENTIAL_URL, _HTTPS + p.editor.text)
    except FieldError:
        p.detail = "host"
        p.limits = ()
        return "invalid"
    p.host = url.decode()[len(_HTTPS) :]
    p.editor = None
    return "enrol_code"


def enrol_code(p):
    p.input = p.name
    if p.editor is None:
        p.editor = DigitsEditor(_CODE_GROUPS, p.code)
    p.edit(p.say("edit.digits", p.editor.most))


def enrol_code_key(p, key):
    if key not in "OB":
        return None
    p.code = p.editor.text
    if key == "O" and not (p.editor.full and luhn_holds(p.code)):
        p.detail = "luhn" if p.editor.full else "too_short"
        p.limits = (p.editor.most, p.editor.most)
        return "invalid"
    p.editor = None
    return "confirm_enrol" if key == "O" else "enrol_host"


def luhn_holds(digits):
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, Annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def confirm_enrol(p):
    number = unique_info.CREDENTIAL_URL
    said = p.say("confirm_enrol.b", p.host, shown(p, number, value_of(p, number)))
    if p.session.holds(_CONTRACT_NUMBER):
        said += "\n" + unreported(p, "confirm_enrol")
    p.text(said)


def confirm_enrol_key(p, key):
    if key == "O":
        p.job(enrol(p))
        return "enrolling"
    return "enrol_code" if key == "B" else None


def enrol_failed(p):
    code = p.detail.code
    p.text(p.say("enrol." + code) or p.say("enrol_failed.b", p.say(link_key(code)), code))


def enrol_failed_key(p, key):
    if key == "O":
        return "enrol_code"
    return back(p, "group") if key == "B" else None


# Recover


def recover_key(p, key):
    if key == "O":
        p.after = "menu"
        p.field = 0
        return begin(p, "confirm_wipe")
    return leave_or_lock(p, key)


def confirm_wipe_key(p, key):
    if key == "O":
        p.job(write(p, "wipe"))
        return "working"
    return "recover" if key == "B" else None


SCREENS = {
    "menu": (menu, menu_key),
    "leave": (message, leave_key),
    "group": (group, group_key),
    "field": (field, field_key),
    "action": (action, action_key),
    "usage": (usage, usage_key),
    "edit_text": (edit_text, edit_key),
    "edit_digits": (edit_digits, edit_key),
    "edit_number": (edit_number, edit_key),
    "invalid": (invalid, invalid_key),
    "discard": (message, discard_key),
    "confirm_change": (confirm_change, confirm_change_key),
    "confirm_delete": (confirm_delete, confirm_delete_key),
    "working": (message, no_key),
    "result": (result, result_key),
    "enrol_host": (enrol_host, enrol_host_key),
    "enrol_code": (enrol_code, enrol_code_key),
    "confirm_enrol": (confirm_enrol, confirm_enrol_key),
    "enrol_failed": (enrol_failed, enrol_failed_key),
    "recover": (message, recover_key),
    "confirm_wipe": (message, confirm_wipe_key),
}
