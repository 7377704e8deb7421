"""Who may do what. Every surface asks `require`, so that a rule is written down once.

A role is a set of actions. What no role lists nobody may do: a new action is refused until it is put here.
"""

from tools.pps.errors import ServiceError

OPERATOR = "operator"
INSTALLER = "installer"
READ_ONLY = "read_only"

_LOOK = {"look"}
_READ = {"look", "see_fleet", "see_energy", "see_outbox", "see_audit"}
_INSTALL = {"issue", "enrol"}
_OPERATE = {
    "register",
    "recover",
    "revoke",
    "forget",
    "acknowledge",
    "contact",
    "assign",
    "assign_site",
    "see_messages",
    "manage_users",
}

ACTIONS = {
    READ_ONLY: frozenset(_READ),
    INSTALLER: frozenset(_LOOK | _INSTALL),
    OPERATOR: frozenset(_READ | _INSTALL | _OPERATE),
}
"""Actions by role. `look`: a module's page; `see_fleet`: the list of all of them; `see_energy`: what a house
used and when, which tells how people live; `see_messages`: the text of a message
that waits for somebody to pass it on, with the password in it; `recover`: a credential that lets a module be wiped."""

ROLES = tuple(reversed(ACTIONS))


class Forbidden(ServiceError):
    """A role does not allow `action`."""

    def __init__(self, action, role):
        super().__init__("forbidden", f"the role {role} may not: {action}")
        self.action = action
        self.role = role


def may(role, action):
    """Whether a role allows an action. An unknown role allows none."""
    return action in ACTIONS.get(role, ())


def require(operator, action):
    """Raise Forbidden unless the operator's role allows the action."""
    if not may(operator.role, action):
        raise Forbidden(action, operator.role)
