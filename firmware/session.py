"""Sessions (R8, R11, R15, R16, S6): what an authenticated user may see, change and delete."""

import hashlib
import struct
from collections import namedtuple

from micropython import const

from firmware import settings
from firmware.errors import FieldError, SessionError, StoreError, TamperError

_LAST_REQUEST = const(0x01)  # vault item: session id (8), request number (u32)
_CONTRACT_SERVER = const(0x02)  # likewise: whose the contract number is, first 8 bytes of SHA-256 of a CA certificate
_CONTRACT_NUMBER = const(0x14)
_READINGS_KEY = const(0x21)
_READINGS_KEY_SIZE = const(64)
_CREDENTIAL_URL = const(0x51)
_CA_CERTIFICATE = const(0x53)
_NEEDED_FOR_CONNECTION = (0x51, 0x53, 0x54, 0x55)  # URL, CA, certificate, key
_ID_SIZE = const(8)
_U32_MAX = const(0xFFFFFFFF)

# generation: of the vault now; changes_left: for this session; repeated: True if it had been done before.
Result = namedtuple("Result", ("generation", "changes_left", "repeated"))


class Sessions:
    """What all sessions share, and the one place that commits to the vault once it is provisioned.

    readings is the Window of the readings ring; wipe_vault() leaves an empty vault, its purge pending. reporter may be
    given later: who knows what was not reported.
    connection_listeners are called when the connection was entered, deleted or wiped, information_listeners after
    whatever may have changed the unique information.
    """

    def __init__(
        self,
        detection,
        vault,
        unique_info,
        attempts,
        acquisition,
        audit,
        clock,
        random,
        readings,
        wipe_vault,
    ):
        self.detection = detection
        self.vault = vault
        self.unique_info = unique_info
        self.attempts = attempts
        self.acquisition = acquisition
        self.audit = audit
        self.clock = clock
        self.random = random
        self._readings = readings
        self.wipe_vault = wipe_vault
        self.reporter = None
        self.connection_listeners = []
        self.information_listeners = []

    def start(self):
        """Finish what a power cut left: a purge, a new server. Needs random bytes."""
        try:
            try:
                self.resume_purge()
            except StoreError:
                pass  # it stays pending, and every use of the information tries it again
            self.use_server(self.read())
        except TamperError:
            pass  # detection has latched it

    def open(self, credential, door):
        """A new session under a credential that was just judged."""
        return Session(self, credential, door, self.random(_ID_SIZE))

    def read(self):
        """The unique information, its seal verified (R3). `TamperError` if it may not be used."""
        return self.unique_info.UniqueInfo(self.detection.read())

    def resume_purge(self):
        """Finish a purge that was broken off. A sector that reads blank may be half erased then: all are erased."""
        if self.vault.purge_pending:
            self.read()  # nothing is touched while tamper is latched
            for sector in range(self._readings.sector_count):
                self._readings.erase(sector)
            self.finish_purge()

    def finish_purge(self):
        """After a commit with the purge flag: erase the readings and commit without it (S12).

        There is a new key then if there is a contract number: without one nothing is kept.
        """
        if not self.vault.purge_pending:
            return
        info = self.read()
        self._readings.erase_not_blank()
        self.audit.record("purged", generation=self.vault.generation + 1)
        self.vault.commit(info.with_changes(self.with_key(info, {})))
        self.notify_information()

    def with_key(self, info, changes):
        """{id: bytes or None}, with a readings' key added where what they lead to has a contract number and no key."""
        for field_id in (_CONTRACT_NUMBER, _READINGS_KEY):
            value = changes[field_id] if field_id in changes else info.get(field_id)
            if (value is None) == (field_id == _CONTRACT_NUMBER):
                return changes
        changes = dict(changes)
        changes[_READINGS_KEY] = self.random(_READINGS_KEY_SIZE)
        return changes

    def notify_connection(self):
        for listener in self.connection_listeners:
            listener()

    def notify_information(self):
        for listener in self.information_listeners:
            listener()

    def use_server(self, info):
        """Tell acquisition whose numbers count."""
        url = info.get(_CREDENTIAL_URL)
        if url:
            self.acquisition.use_server(url)


class Session:
    """One user at one door. `ended` is None while it is open; listeners are called once, when it ends.

    Every method that shows or changes something verifies the seal first and counts as activity.
    """

    def __init__(self, units, credential, door, session_id):
        self._units = units
        self._credential = credential
        self._id = session_id
        self._ended = None
        self._tamper = units.detection.tamper  # with a recover credential, the one that it was opened for
        self._touched_ms = units.clock.uptime_ms()
        self.door = door
        self.listeners = []

    @property
    def ended(self):
        """None, or why it is over: idle, lock, expired, revoked, replaced, tampered, done."""
        if self._ended is None:
            why = self._why_over()
            if why:
                self.close(why)
        return self._ended

    @property
    def changes_left(self):
        return max(self._credential.max_changes - self._units.attempts.changes, 0)

    @property
    def generation(self):
        return self._units.vault.generation

    @property
    def seconds_left(self):
        """Of the credential; None without a lifetime."""
        return self._credential.seconds_left()

    @property
    def idle_ms_left(self):
        """Until it ends for want of activity."""
        return max(self._touched_ms + settings.SESSION_IDLE_MS - self._units.clock.uptime_ms(), 0)

    @property
    def may_recover(self):
        """True if `wipe` is what this session is for."""
        return self._tamper is not None and self._credential.may_recover

    def touch(self):
        """The user is there: idle time starts anew."""
        self._touched_ms = self._units.clock.uptime_ms()

    def close(self, reason):
        """End it; the first reason stays."""
        if self._ended is None:
            self._ended = reason
            for listener in self.listeners:
                listener()

    def may(self, action, group):
        """True if "see", "change" or "delete" is allowed for a group number. Nothing is while tamper is latched."""
        return self._tamper is None and self._credential.may(action, group)

    def fields(self, group):
        """Ids of the group's fields, set or not."""
        return self._units.unique_info.fields_of(group)

    def view(self, field_id):
        """The field's text for a screen, "" where none is set."""
        self._need("see", field_id >> 4)
        return self._read().text(field_id)

    def holds(self, field_id):
        """Whether the field is set: what a deletion would take, and how far a guided flow is. No right is needed."""
        self._need_open()
        return self._read().get(field_id) is not None

    def unreported(self):
        """Half hours that no server has confirmed, None where that is not known."""
        reporter = self._units.reporter
        return reporter and reporter.unreported()

    def prior(self, request_number, expected_generation):
        """The `Result` of a request that was done before (S6), None where it may be done now; else `SessionError`."""
        self._need_open()
        return self._prior(self._read(), request_number, expected_generation)

    def change(self, request_number, expected_generation, changes):
        """Set fields: {field_id: value as `unique_info.check` takes it}. All of them or none."""
        self._need_open()
        for field_id in changes:
            group = field_id >> 4
            if group in (settings.GROUP_USAGE_HISTORY, settings.GROUP_CONNECTION):
                raise SessionError("not_allowed")
            self._need("change", group)
        return self._apply(request_number, expected_generation, "change", self._checked(changes), 0)

    def change_connection(self, request_number, expected_generation, fields):
        """Replace the whole connection; for enrolment, which has tried it out. Values as for `change`.

        The contract number goes if it was entered under another CA: it is another PPS's (S20).
        """
        self._need("change", settings.GROUP_CONNECTION)
        group = self.fields(settings.GROUP_CONNECTION)
        for field_id in fields:
            if field_id not in group:
                raise SessionError("not_allowed")
        for field_id in _NEEDED_FOR_CONNECTION:
            if field_id not in fields:
                raise FieldError(field_id, "empty")
        values = dict.fromkeys(group)
        values.update(self._checked(fields))
        result = self._apply(request_number, expected_generation, "change", values, settings.GROUP_CONNECTION)
        self._units.use_server(self._read())
        self._units.notify_connection()
        return result

    def delete(self, request_number, expected_generation, group, field_ids=None):
        """Delete a whole group, or some fields of it. When it returns they are gone for good (R5).

        Usage history and connection go as a whole only. The usage history goes with the contract number.
        """
        self._need("delete", group)
        whole = self.fields(group)
        if field_ids is None:
            field_ids = whole
        elif group in (settings.GROUP_USAGE_HISTORY, settings.GROUP_CONNECTION):
            raise SessionError("not_allowed")
        for field_id in field_ids:
            if field_id not in whole:
                raise SessionError("not_allowed")
        values = dict.fromkeys(field_ids)
        purge = group == settings.GROUP_USAGE_HISTORY
        if _CONTRACT_NUMBER in values and self._read().get(_READINGS_KEY):
            purge = True
            values[_READINGS_KEY] = None
        result = self._apply(request_number, expected_generation, "delete", values, group, purge)
        if group == settings.GROUP_CONNECTION:
            self._units.notify_connection()
        return result

    def wipe(self):
        """The way back from tamper (S19): everything is deleted and can be entered anew.

        The credential has ended with it; this session goes on within its scope.
        """
        self._need_open()
        if not self.may_recover:
            raise SessionError("not_allowed")
        if not self.changes_left:
            raise SessionError("used_up")
        units = self._units
        units.attempts.count_change(self.door)
        units.wipe_vault()
        units.audit.record("wiped", self.door)
        units.attempts.wiped()
        self._tamper = None
        units.detection.clear()
        units.acquisition.settle_wipe()
        units.notify_information()
        units.finish_purge()
        units.notify_connection()
        return Result(self.generation, self.changes_left, False)

    def _checked(self, changes):
        check = self._units.unique_info.check
        return {field_id: check(field_id, changes[field_id]) for field_id in sorted(changes)}

    def _apply(self, request_number, expected_generation, event, values, subject, purge=False):
        """Commit values ({field_id: bytes or None}) unless this request was answered before (S6)."""
        if not values:
            raise SessionError("not_allowed")
        units = self._units
        info = self._read()
        done = self._prior(info, request_number, expected_generation)
        if done:
            return done
        values[_LAST_REQUEST] = self._id + struct.pack("<I", request_number)
        _bind_contract(info, values)
        items = info.with_changes(values if purge else units.with_key(info, values))
        del values[_LAST_REQUEST]
        values.pop(_CONTRACT_SERVER, None)
        # Counted and in the audit trail before it is done; what a cut leaves undone is noted at the next start.
        units.attempts.count_change(self.door)
        units.audit.record(event, self.door, subject, 0, sorted(values), self.generation + 1)
        try:
            units.vault.commit(items, purge)
        except StoreError:
            units.audit.note_undone()
            raise
        finally:
            units.notify_information()
            units.acquisition.current()  # ends the credential with its last change
        units.finish_purge()
        return Result(self.generation, self.changes_left, False)

    def _prior(self, info, request_number, expected_generation):
        if not 1 <= request_number <= _U32_MAX:
            raise SessionError("not_allowed")
        last = info.get(_LAST_REQUEST)
        if last and last[:_ID_SIZE] == self._id:
            number = struct.unpack_from("<I", last, _ID_SIZE)[0]
            if request_number == number:
                return Result(self.generation, self.changes_left, True)
            if request_number < number:
                raise SessionError("stale")
        if expected_generation != self.generation:
            raise SessionError("stale")
        if not self.changes_left:
            raise SessionError("used_up")
        return None

    def _read(self):
        """The unique information now. An open session is over when it was tampered with."""
        units = self._units
        try:
            units.resume_purge()  # only after flash has failed half way in one
            return units.read()
        except TamperError:
            self._need_open()
            raise

    def _need(self, action, group):
        self._need_open()
        if not self.may(action, group):
            raise SessionError("not_allowed")

    def _need_open(self):
        if self.ended:
            raise SessionError("ended")
        self.touch()

    def _why_over(self):
        units = self._units
        if units.detection.tamper != self._tamper:
            return "tampered"
        if self._credential.stopped:
            return self._credential.stopped
        if self._credential.seconds_left() == 0:
            return "expired"
        if units.clock.uptime_ms() - self._touched_ms >= settings.SESSION_IDLE_MS:
            return "idle"
        return None


def _bind_contract(info, values):
    """Add to what is about to be committed whose the contract number is (S20): the PPS's that the module reports to."""
    if _CONTRACT_NUMBER in values:
        contract = values[_CONTRACT_NUMBER]
        ca = contract and info.get(_CA_CERTIFICATE)
    else:
        contract = info.get(_CONTRACT_NUMBER)
        ca = values.get(_CA_CERTIFICATE)
        if not contract or not ca:
            return  # without a connection it stays whose it was
    server = hashlib.sha256(ca).digest()[:8] if ca else None
    if _CONTRACT_NUMBER not in values and info.get(_CONTRACT_SERVER) not in (None, server):
        values[_CONTRACT_NUMBER] = server = None
    values[_CONTRACT_SERVER] = server
