"""How far somebody has come with the story that stands beside the device, by evidence alone.

Evidence is the flash as the independent reader sees it, what the server has
on record, and what was done to the house.
"""

from firmware.audit import DOORS, EVENTS
from tools.flash import layout

STEPS = (
    "issue", "arrive", "unlock", "change", "connect", "delete", "phone", "relay", "cut", "flip", "tampered", "recover",
    "old",
)  # fmt: skip

_BY_EVENT = {
    "credential_issued": "issue",
    "credential_accepted": "arrive",
    "power_cut_in_write": "cut",
    "bit_flipped": "flip",
}
_BY_DOOR = {"ble": "phone", "relay": "relay"}
_BY_AUDIT = {"accepted": "arrive", "success": "unlock", "change": "change", "delete": "delete", "wiped": "recover"}


class Story:
    """`done` lists the steps that have been taken, in the story's order."""

    def __init__(self, house):
        self._done = set()
        for event in house.log.events:
            self.saw(event)

    @property
    def done(self):
        return [step for step in STEPS if step in self._done]

    def saw(self, event):
        """An event of the log."""
        if event["kind"] in _BY_EVENT:
            self._done.add(_BY_EVENT[event["kind"]])

    def look(self, image):
        """A FlashImage."""
        for record in image.rings.get("audit", ()):
            name = EVENTS[record.values["event"]] if record.values["event"] < len(EVENTS) else ""
            if name in _BY_AUDIT:
                self._done.add(_BY_AUDIT[name])
            door = DOORS[record.values["door"]] if record.values["door"] < len(DOORS) else ""
            if name == "change" and door in _BY_DOOR:
                self._done.add(_BY_DOOR[door])
        if image.field("private_key"):
            self._done.add("connect")
        reason = layout.TAMPER.get(image.totals().get("tamper"))
        if reason:
            self._done.add("old" if reason == "remote_rollback" else "tampered")
