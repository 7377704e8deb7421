"""The guided flows of a session: lists of steps over the screens of screens_session.py (docs/lifecycle.md)."""

from micropython import const

from firmware.panel.screens_session import FLOWS, begin, begin_change, offered, rows, value_of

_CLEAR = const(0x10)
_CONTRACT_NUMBER = const(0x14)


def flows(p):
    p.after = "menu"
    p.choices = offered(p.session)
    p.list([p.say("flow%d" % number) for number in p.choices])


def flows_key(p, key):
    if key == "O":
        p.flow = p.choices[p.selected]
        return "flow"
    return "menu" if key == "B" else None


def flow(p):
    """The steps; the first that is not done is selected."""
    p.after = "menu"
    p.title = p.say("flow%d" % p.flow)
    steps = p.choices = FLOWS[p.flow][2]
    done = [False] * len(steps)
    before = True
    for index, step in enumerate(steps):
        done[index] = before = step in p.steps if is_free(steps) else is_done(p, step, before)
    fields = [step for step in steps if step & 15]
    items = rows(p, fields, [value_of(p, step) for step in fields])
    if not is_free(steps):
        items.insert(0, p.say("f%02x" % steps[0]))
    p.due = done.index(False) if False in done else len(steps)
    p.selected_of["flow"] = p.due % len(steps)
    p.list([("√" if done[index] else "□") + item for index, item in enumerate(items)])
    p.right = "%d/%d" % (sum(done), len(steps)) if False in done else p.say("flow.done")
    if is_free(steps):
        p.hint = p.say("flow.free")


def is_free(steps):
    """Whether each of the steps stands for itself, and may stay as it is."""
    return steps[0] & 15


def is_done(p, step, before):
    """By what the module holds, and what this session has done; `before`: whether the step before is done."""
    if step & 15:
        return before and p.session.holds(step)
    return step in p.steps or not p.session.holds(_CONTRACT_NUMBER)


def flow_key(p, key):
    if key == "B":
        return "flows"
    step = p.choices[p.selected]
    if key == "#" and is_free(p.choices):
        p.steps += bytes((step,))
        return "flow"
    if key != "O":
        return None
    if not is_free(p.choices) and p.selected > p.due:
        return "flow"  # what is due comes first
    p.after = "flow"
    p.group = step >> 4
    p.field = step if step & 15 else 0
    if step == _CONTRACT_NUMBER:
        p.steps += bytes(p.choices[:1])  # what is done while there is none stays done when there is one
    if p.field:
        return begin_change(p)
    return begin(p, "confirm_delete" if step == _CLEAR else "enrol_host")


SCREENS = {
    "flows": (flows, flows_key),
    "flow": (flow, flow_key),
}
