"""The audit trail (R26): who did what to which fields, never a value (S11)."""

import struct

from micropython import const

# The code on flash is the place in this row. `detail` is: of ended the reason (settings.ENDED_...), of tamper
# and finding the code of docs/format.md, of success and failure 1 if it was noted only after a power cut.
EVENTS = (
    "provisioned",
    "success",
    "failure",
    "change",  # noted before it is done, with the generation that it makes
    "delete",  # likewise
    "undone",  # the change or deletion of that generation did not come about
    "purged",  # the usage history that was deleted is erased; likewise
    "accepted",  # a credential came
    "refused",  # one came that was malformed
    "ended",  # the credential is over
    "tamper",
    "finding",  # damage that bars nothing
    "wiped",  # the way back from tamper
    "report_refused",  # readings: 1 they contradict what the server has, 2 they are not this module's to report
)
DOORS = ("none", "keypad", "ble", "relay", "serial")

_HEAD = "<BBBBIIIIB"  # docs/format.md
_FIELDS_AT = const(21)
_FIELDS_MAX = const(40)
_ATTEMPTS_AT = const(64)
_UNIX_TO_2000_S = const(946_684_800)


class AuditTrail:
    """name_of(number) gives the wire's name of a field or group."""

    def __init__(self, ring, clock, attempts, vault, name_of):
        self._ring = ring
        self._clock = clock
        self._attempts = attempts
        self._vault = vault
        self._name_of = name_of

    def start(self):
        """Note what a power cut kept from being noted, or from being done."""
        last = self._ring.last()
        if last is None:
            return
        if self._attempts.attempts > struct.unpack_from("<I", last, _ATTEMPTS_AT)[0]:
            event = "success" if self._attempts.ended_well() else "failure"
            self.record(event, self._attempts.door, detail=1)
        self._note_undone(last)

    def note_undone(self):
        """After a commit that failed: say so if the newest record promised its generation."""
        self._note_undone(self._ring.last())

    def record(self, event, door=0, subject=0, detail=0, fields=(), generation=None):
        """Append a record. event: of EVENTS; subject: group or field id; fields: ids that were touched."""
        body = bytearray(_ATTEMPTS_AT + 4)
        struct.pack_into(
            _HEAD,
            body,
            0,
            EVENTS.index(event),
            door,
            subject,
            detail,
            self._clock.now() or 0,
            self._clock.powered_s(),
            self._attempts.sequence,
            self._vault.generation if generation is None else generation,
            len(fields),
        )
        for index, field_id in enumerate(fields):
            body[_FIELDS_AT + index] = field_id
        struct.pack_into("<I", body, _ATTEMPTS_AT, self._attempts.settled_attempts())
        self._ring.append(body)

    def pending(self, after_number, limit):
        """Yield at most `limit` records behind a number as docs/api.md has them in `audit`.

        In each is a `before` as well, the tag of the record before it, which is said once for all of them.
        """
        for number, body, tag, before in self._ring.chained(after_number + 1):
            if not limit:
                return
            limit -= 1
            event, door, subject, detail, now, powered_s, sequence, generation, count = struct.unpack_from(_HEAD, body)
            fields = body[_FIELDS_AT : _FIELDS_AT + min(count, _FIELDS_MAX)]
            yield {
                "number": number,
                "event": EVENTS[event],
                "door": DOORS[door],
                "subject": self._name_of(subject),
                "detail": detail,
                "fields": [self._name_of(field_id) for field_id in fields],
                "time": now + _UNIX_TO_2000_S if now else None,
                "powered_s": powered_s,
                "sequence": sequence,
                "generation": generation,
                "tag": tag.hex(),
                "before": before.hex(),
            }

    def has(self, event, detail):
        """True if the ring still holds such a record."""
        code = EVENTS.index(event)
        for _, body, _ in self._ring.records():
            if body[0] == code and body[3] == detail:
                return True
        return False

    def _note_undone(self, last):
        generation = struct.unpack_from("<I", last, 16)[0]
        if last[0] in (3, 4) and self._vault.generation and generation > self._vault.generation:
            self.record("undone", last[1], generation=generation)
