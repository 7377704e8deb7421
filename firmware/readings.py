"""The journal of half-hour values (R22, S12): records of the readings' ring (docs/format.md, "Readings body").

The ring's key lies in the vault. Whatever changes there, `changed` is told, and the next use looks again.
"""

import struct

from micropython import const

from firmware.crypto.hmac import hmac_sha256
from firmware.errors import InkanError
from firmware.store.layout import READINGS_RING_ID
from firmware.store.ring import BODY_SIZE, Ring

SLOT = const(1)  # kinds of record
CIRCUITS = const(2)
POINT = const(3)
CLOCK = const(4)

QUANTITIES = const(7)
CIRCUITS_MAX = const(16)

_LABEL = b"inkan readings"
_READINGS_KEY = const(0x21)  # items of the vault
_CONTRACT_NUMBER = const(0x14)
_EPOCH_SIZE = const(8)
_CHAIN_BROKEN = const(16)  # readings_chain in docs/format.md
_U32_MAX = const(0xFFFFFFFF)
_U16_MAX = const(0xFFFF)
_RESET = const(3)

# Places in a body
_QUALITY_AT = const(12)
_ENERGY_AT = const(16)
_COUNTER_AT = const(44)
_DEVICE_AT = const(72)
_POWERED_AT = const(76)
_TAIL_RECORDS = const(32)


class Readings:
    """window is that of the readings' sectors; read_info is `Sessions.read`.

    listeners are called when a record was appended, or the ring became another one.
    """

    def __init__(self, window, random, read_info, audit):
        self._window = window
        self._random = random
        self._read_info = read_info
        self._audit = audit
        self._stale = True
        self._key = None
        self._ring = None
        self._epoch = None
        self._contract = 0
        self._newest_slot = None
        self._noted = False  # that the chain is broken
        self._body = bytearray(BODY_SIZE)
        self.listeners = []

    def changed(self):
        """Listener: the unique information, or whether it may be used, is not what it was."""
        self._stale = True

    @property
    def ready(self):
        """True while there is something to append to: a key, a contract number, and no tamper (S19)."""
        if self._stale:
            try:
                self._open()
            except InkanError:
                self._close()  # and looked at again with the next use
        return self._ring is not None

    @property
    def epoch(self):
        """8 bytes that name this usage history, None while nothing is kept."""
        return self._epoch if self.ready else None

    @property
    def contract_tag(self):
        """What stands in a record for the contract number, 0 while nothing is kept."""
        return self._contract if self.ready else 0

    @property
    def head_number(self):
        return self._ring.head_number if self.ready else 0

    @property
    def newest_slot(self):
        """Number of the newest slot that was cut, or None."""
        if self.ready and self._newest_slot is None:
            for body in self.tail():
                if body[0] == SLOT:
                    self._newest_slot = struct.unpack_from("<I", body, 4)[0]
        return self._newest_slot

    def records(self, from_number=1):
        """Yield (number, body, tag) from a number on; what does not verify is passed over."""
        for number, body, tag, _ in self.chained(from_number):
            yield number, body, tag

    def chained(self, from_number=1):
        """As `records`, and with each the tag of the record before it."""
        if self.ready:
            for record in self._ring.chained(from_number):
                yield record

    def tail(self):
        """Yield the bodies of the newest records, some tens of them."""
        for _, body, _, _ in self.chained(max(self.head_number - _TAIL_RECORDS + 1, 1)):
            yield body

    # Appending; `StoreError` where flash does not take it

    def append_slot(self, contract, slot, span, flags, values, device, powered_s):
        """values: 7 of (quality, energy_wh, counter_wh). Energy and counter of a quantity that is missing are 0."""
        self._begin(SLOT, flags, span, slot, contract)
        self._append_values(values, device, powered_s)
        self._newest_slot = slot

    def append_point(self, contract, boot_count, flags, values, device, powered_s):
        """As `append_slot`, but at a moment that nobody knows yet."""
        self._begin(POINT, flags, 0, boot_count, contract)
        self._append_values(values, device, powered_s)

    def append_circuits(self, slot, span, values):
        """The branch circuits of the slot that was appended last: at most 16 of (quality, energy_wh, counter_wh)."""
        self._begin(CIRCUITS, len(values), span, slot, 0)
        body = self._body
        qualities = 0
        for index, (quality, energy_wh, counter_wh) in enumerate(values):
            if energy_wh > _U16_MAX:
                quality, energy_wh = _RESET, _U16_MAX
            qualities |= quality << 2 * index
            struct.pack_into("<H", body, 12 + 2 * index, energy_wh)
            struct.pack_into("<H", body, 44 + 2 * index, counter_wh & _U16_MAX)
        struct.pack_into("<I", body, 8, qualities)
        self._append()

    def append_clock(self, contract, boot_count, now_s, powered_s, step_s):
        """The clock became known (step_s 0) or was stepped."""
        self._begin(CLOCK, 0, 0, boot_count, contract)
        struct.pack_into("<IIi", self._body, 12, now_s, powered_s, step_s)
        self._append()

    def _begin(self, kind, second, third, number, contract):
        body = self._body
        for index in range(BODY_SIZE):
            body[index] = 0
        struct.pack_into("<BBHII", body, 0, kind, second, third, number, contract)

    def _append_values(self, values, device, powered_s):
        body = self._body
        qualities = 0
        for index, (quality, energy_wh, counter_wh) in enumerate(values):
            qualities |= quality << 4 * index
            struct.pack_into("<I", body, _ENERGY_AT + 4 * index, min(energy_wh, _U32_MAX))
            struct.pack_into("<I", body, _COUNTER_AT + 4 * index, counter_wh & _U32_MAX)
        struct.pack_into("<I", body, _QUALITY_AT, qualities)
        struct.pack_into("<II", body, _DEVICE_AT, device, powered_s)
        self._append()

    def _append(self):
        self._ring.append(self._body)
        self._note_breaks()
        self._notify()

    # The ring

    def _open(self):
        info = self._read_info()
        key = info.get(_READINGS_KEY)
        contract = info.get(_CONTRACT_NUMBER)
        info = None  # kilobytes, and the ring's start wants some
        if not key or not contract:
            self._close()
        else:
            if key != self._key:
                self._close()
                ring = Ring(self._window, key, READINGS_RING_ID, _LABEL, self._random)
                ring.start(recent=True)
                self._ring = ring
                self._key = key
                self._epoch = hmac_sha256(key[32:], b"inkan epoch")[:_EPOCH_SIZE]
            tag = hmac_sha256(key[32:], b"inkan contract", contract)
            self._contract = int.from_bytes(tag[:4], "little") or 1
            self._note_breaks()
        self._stale = False
        self._notify()

    def _close(self):
        self._ring = self._key = self._epoch = self._newest_slot = None
        self._contract = 0
        self._noted = False

    def _note_breaks(self):
        """A broken chain goes to the audit trail, once."""
        if self._ring.chain_breaks and not self._noted:
            self._noted = True
            if not self._audit.has("finding", _CHAIN_BROKEN):
                self._audit.record("finding", detail=_CHAIN_BROKEN)

    def _notify(self):
        for listener in self.listeners:
            listener()
