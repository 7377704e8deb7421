"""Half-hour values from the counters of the power control device (R22; docs/metering.md)."""

import struct

from micropython import const

from firmware import settings
from firmware.errors import InkanError, StoreError

_QUANTITIES = const(7)

# Kinds of record, flags and qualities: docs/format.md, "Readings body"
_SLOT = const(1)
_CIRCUITS = const(2)
_POINT = const(3)
_CLOCK = const(4)
_RESTARTED = const(1)
_STEPPED = const(2)
_REPLACED = const(4)
_WITH_CIRCUITS = const(8)
_ESTIMATED = const(1)
_MISSING = const(2)
_RESET = const(3)
_ENERGY_END = const(1 << 32)  # a record has so much of a counter
_CIRCUIT_END = const(1 << 16)

_SLOT_S = const(1800)
_SLOT_MS = const(1_800_000)
_GAP_SLOTS = const(8)  # a longer gap becomes one record
_SPAN_MAX = const(65_535)


class Meter:
    """device: its `await read()` raises an `InkanError`; then identity, counters, wraps, circuits, circuits_wrap.

    Times are uptime in ms, a boundary before this boot is a negative one. Each of the seven quantities, and behind
    them each branch circuit, has a place in the lists below.
    """

    def __init__(self, device, clock, readings, sleep_ms):
        self._device = device
        self._clock = clock
        self._readings = readings
        self._sleep_ms = sleep_ms
        self._epoch = None  # of the usage history that is written to, and the contract
        self._contract = 0
        self._changed_in = -1  # the slot in which that changed last
        self._identity = 0
        self._counters = [None] * _QUANTITIES  # of the last reading, or of the newest record
        self._total = [0] * _QUANTITIES  # Wh in the present slot, up to _from_ms
        self._fresh = [0] * _QUANTITIES  # Wh from there to _to_ms
        self._quality = bytearray(_QUANTITIES)  # of _total
        self._marks = bytearray(_QUANTITIES)  # _RESET where _fresh is not all there was
        self._restored = False  # the counters are a record's, so without their upper bits
        self._from_ms = None  # None: at _base_s
        self._to_ms = 0
        self._base_s = None  # trusted UTC of the newest record, None where nobody knows
        self._circuits_s = 0  # that of the newest one of circuits
        self._points = False  # there are some since the newest slot
        self._point_ms = 0  # when the last one was, or would have been
        self._slot = 0  # the one that is filled; never one that was cut
        self._end_ms = None  # of that, None while the clock is unknown
        self._offset_s = None  # trusted UTC at uptime 0
        self._flags = 0
        self._started = True  # and nothing was written in this boot

    @property
    def state(self):
        """ok, silent, none or unknown_map."""
        return self._device.state

    async def run(self):
        """Task: read every 10 s, and at each half hour."""
        clock = self._clock
        while True:
            started_ms = clock.uptime_ms()
            await self.step()
            now_ms = clock.uptime_ms()
            due_ms = started_ms + settings.METER_READ_MS
            if self._end_ms is not None and now_ms < self._end_ms < due_ms:
                due_ms = self._end_ms
            await self._sleep_ms(max(due_ms - now_ms, 0))

    async def step(self):
        """Read once, and write what is due. A device that does not answer, or flash that fails, is tried again."""
        started_ms = self._clock.uptime_ms()
        try:
            await self._device.read()
        except InkanError:
            return
        try:
            self._take(started_ms + (self._clock.uptime_ms() - started_ms) // 2)
        except StoreError:
            pass  # nothing is lost: what is not written stays in the sums

    def _take(self, now_ms):
        readings = self._readings
        epoch = readings.epoch
        if epoch is None:
            return  # no contract, or tamper: nothing is kept
        if epoch != self._epoch:
            self._begin(now_ms)
            self._epoch = epoch
        offset_s = self._offset()
        if self._restored and offset_s is None and now_ms < _SLOT_MS:
            return  # with the time it can be told better what may have passed
        self._difference(now_ms, offset_s)
        if offset_s is None:
            if now_ms - self._point_ms >= _SLOT_MS:
                self._write_point()
        else:
            if self._offset_s is None:
                self._learn(offset_s)
            stepped = abs(offset_s - self._offset_s) > settings.METER_STEP_S
            if not stepped and offset_s != self._offset_s:
                self._set_offset(offset_s)
            self._cut_all()
            if stepped:
                self._step(offset_s)
        if self._started:
            self._started = False
            self._flags |= _RESTARTED
        if readings.contract_tag != self._contract:
            self._change_contract(readings.contract_tag)

    # Where it goes on

    def _begin(self, now_ms):
        """Go on from the newest record of a usage history, or with this reading where there is none."""
        last = circuits = None
        self._points = False
        for body in self._readings.tail():
            kind, number = body[0], struct.unpack_from("<I", body, 4)[0]
            if kind == _SLOT:
                last = body
                self._points = False
                self._slot = number + 1
                self._base_s = self._slot * _SLOT_S
            elif kind == _POINT:
                last = body
                self._points = True
            elif kind == _CIRCUITS:
                circuits = body
                self._circuits_s = (number + 1) * _SLOT_S
            elif kind == _CLOCK:
                now_s, _, step_s = struct.unpack_from("<IIi", body, 12)
                self._points = False
                if step_s >= 0:
                    self._base_s = now_s
                    self._slot = max(self._slot, now_s // _SLOT_S)
        self._flags = 0
        self._to_ms = self._point_ms = now_ms
        self._from_ms = now_ms
        self._restored = last is not None
        if last:
            self._from_ms = self._offset_s = self._end_ms = None
            self._point_ms = 0
            self._contract, quality = struct.unpack_from("<II", last, 8)
            self._identity = struct.unpack_from("<I", last, 72)[0]
            counters = list(struct.unpack_from("<7I", last, 44))
            for index in range(_QUANTITIES):
                if quality >> 4 * index & 15 == _MISSING:
                    counters[index] = None
            if circuits:
                counters += struct.unpack_from("<%dH" % circuits[1], circuits, 44)
        else:
            self._started = False
            self._contract = self._readings.contract_tag
            self._identity = self._device.identity
            counters = list(self._device.counters) + list(self._device.circuits)
        self._counters = counters
        size = len(counters)
        self._total = [0] * size
        self._fresh = [0] * size
        self._marks = bytearray(size)
        self._quality = bytearray(size)
        if not last:
            self._all_estimated()
            if self._offset_s is not None:
                self._slot = max(self._slot, self._slot_at(now_ms))
                self._set_offset(self._offset_s)

    def _all_estimated(self):
        """What is counted from now on is a part of its slot."""
        for index in range(len(self._quality)):
            self._quality[index] = max(self._quality[index], _ESTIMATED)

    # From two readings to a difference

    def _difference(self, now_ms, offset_s):
        device = self._device
        most_s = circuit_s = (now_ms - self._to_ms) // 1000
        if self._restored:
            most_s = circuit_s = settings.METER_UNTIMED_S
            if offset_s is not None:
                now_s = offset_s + now_ms // 1000
                circuit_s = max(now_s - self._circuits_s, 0)
                if not self._points:
                    most_s = max(now_s - self._base_s, 0)
        most_wh = settings.METER_MOST_W * (most_s + 1) // 3600 + settings.METER_MOST_MORE_WH
        circuit_wh = settings.METER_CIRCUIT_MOST_W * (circuit_s + 1) // 3600 + settings.METER_MOST_MORE_WH
        replaced = device.identity and self._identity and device.identity != self._identity
        if device.identity:
            self._identity = device.identity
        if replaced:
            self._flags |= _REPLACED
        if len(device.circuits) != len(self._counters) - _QUANTITIES:
            self._resize(len(device.circuits))
        counters = self._counters
        for index in range(len(counters)):
            if index < _QUANTITIES:
                self._count(index, device.counters[index], device.wraps[index], _ENERGY_END, most_wh, replaced)
            else:
                now_wh = device.circuits[index - _QUANTITIES]
                if self._restored and circuit_wh >= _CIRCUIT_END:
                    self._marks[index] = _RESET
                self._count(index, now_wh, device.circuits_wrap, _CIRCUIT_END, circuit_wh, replaced)
        self._restored = False
        self._to_ms = now_ms

    def _count(self, index, now_wh, wrap_wh, record_end, most_wh, replaced):
        """Add to _fresh what a counter has gone on. record_end: a record has its counter modulo that."""
        before_wh = self._counters[index]
        self._counters[index] = now_wh
        if before_wh is None and now_wh is None:
            return
        if before_wh is None or now_wh is None or replaced:
            self._marks[index] = _RESET
            return
        if self._restored and not 0 < wrap_wh <= record_end and (wrap_wh or now_wh >= record_end):
            wrap_wh = record_end
        forward_wh = now_wh - before_wh
        if wrap_wh and (forward_wh < 0 or self._restored):
            forward_wh %= wrap_wh
        if not 0 <= forward_wh <= most_wh:
            self._marks[index] = _RESET
            forward_wh = now_wh if now_wh < before_wh and now_wh <= most_wh else 0
        self._fresh[index] += forward_wh

    def _resize(self, circuits):
        """Another number of branch circuits: they begin anew."""
        self._counters = self._counters[:_QUANTITIES] + list(self._device.circuits)
        self._total = self._total[:_QUANTITIES] + [0] * circuits
        self._fresh = self._fresh[:_QUANTITIES] + [0] * circuits
        self._marks = self._marks[:_QUANTITIES] + bytearray(circuits)
        self._quality = self._quality[:_QUANTITIES] + bytearray(bytes((_RESET,)) * circuits)

    # Time

    def _offset(self):
        """Trusted UTC seconds at uptime 0, None while the clock is unknown."""
        clock = self._clock
        while True:
            uptime_s = clock.uptime_ms() // 1000
            now_s = clock.now()
            if clock.uptime_ms() // 1000 == uptime_s:
                return None if now_s is None else now_s - uptime_s

    def _set_offset(self, offset_s):
        self._offset_s = offset_s
        self._end_ms = ((self._slot + 1) * _SLOT_S - offset_s) * 1000

    def _slot_at(self, at_ms):
        return (self._offset_s + at_ms // 1000) // _SLOT_S

    def _learn(self, offset_s):
        """The clock became known."""
        slot = (offset_s + self._to_ms // 1000) // _SLOT_S
        if self._points:
            self._write_point()
            self._write_clock(offset_s, 0)
            self._points = False
            self._all_estimated()
        elif self._from_ms is None:
            self._from_ms = (self._base_s - offset_s) * 1000
            slot = 0  # that of the record goes on
        else:
            slot = (offset_s + self._from_ms // 1000) // _SLOT_S
        self._slot = max(self._slot, slot)
        self._set_offset(offset_s)

    def _step(self, offset_s):
        """The clock was stepped, just now or a little before."""
        self._flags |= _STEPPED
        slot = (offset_s + self._to_ms // 1000) // _SLOT_S
        if slot > self._slot:
            self._write_slot(self._to_ms, 1)
            self._slot = slot
        self._write_clock(offset_s, offset_s - self._offset_s)
        self._flags |= _STEPPED
        self._set_offset(offset_s)

    def _change_contract(self, contract):
        """What was measured belongs to the contract of before."""
        if self._offset_s is None:
            self._write_point()
        else:
            slot = self._slot
            self._all_estimated()
            self._write_slot(self._to_ms, 1)
            if slot != self._changed_in:
                self._slot = slot  # the rest of it is the new one's
            self._changed_in = slot
            self._set_offset(self._offset_s)
        self._all_estimated()
        self._contract = contract

    # Cutting

    def _cut_all(self):
        """Write every slot that is over; what is left belongs to the present one."""
        while self._to_ms >= self._end_ms:
            span = (self._to_ms - self._end_ms) // _SLOT_MS + 1
            span = min(span, _SPAN_MAX) if span > _GAP_SLOTS else 1
            self._write_slot(self._end_ms + (span - 1) * _SLOT_MS, span)
            self._set_offset(self._offset_s)
        for index in range(len(self._total)):
            self._total[index] += self._fresh[index]
            self._fresh[index] = 0
            self._quality[index] = max(self._quality[index], self._marks[index])
            self._marks[index] = 0
        self._from_ms = self._to_ms

    def _write_slot(self, end_ms, span):
        """Write the present slot, or that and those behind it, up to a time between _from_ms and _to_ms."""
        length_ms = max(self._to_ms - self._from_ms, 1)
        done_ms = min(max(end_ms - self._from_ms, 0), length_ms)
        far = length_ms > 2 * settings.METER_READ_MS
        values = [self._value(index, done_ms, length_ms, far) for index in range(len(self._total))]
        slot = self._slot + span - 1
        circuits = len(values) > _QUANTITIES
        clock = self._clock
        powered_s = clock.powered_s() - (clock.uptime_ms() - max(end_ms, 0)) // 1000
        flags = self._flags | (_WITH_CIRCUITS if circuits else 0)
        self._readings.append_slot(self._contract, slot, span, flags, values[:_QUANTITIES], self._identity, powered_s)
        self._slot = slot + 1
        self._flags = 0
        self._from_ms += done_ms
        for index, value in enumerate(values):
            part_wh = value[1] - self._total[index]
            again = far and self._fresh[index] > 0
            self._fresh[index] -= part_wh
            if index < _QUANTITIES:
                self._total[index] = 0
                self._quality[index] = _ESTIMATED if again else 0
            else:
                # Should its record fail, the next one has it.
                self._total[index] += part_wh
                self._quality[index] = max(self._quality[index], _ESTIMATED)
        if circuits:
            self._readings.append_circuits(slot, span, values[_QUANTITIES:])
            for index in range(_QUANTITIES, len(values)):
                self._total[index] = 0
                self._quality[index] = _ESTIMATED if far and self._fresh[index] > 0 else 0

    def _value(self, index, done_ms, length_ms, far):
        """(quality, energy in Wh, counter in Wh) of the slot that ends at a part of the way from _from_ms to _to_ms."""
        quality = max(self._quality[index], self._marks[index])
        fresh_wh = self._fresh[index]
        if far and fresh_wh:
            quality = max(quality, _ESTIMATED)
        part_wh = fresh_wh * done_ms // length_ms
        counter_wh = self._counters[index]
        if counter_wh is None:
            return (quality if quality == _RESET else _MISSING), self._total[index] + part_wh, 0
        counter_wh -= fresh_wh - part_wh
        if counter_wh < 0:
            wraps = self._device.wraps
            counter_wh += wraps[index] if index < _QUANTITIES else self._device.circuits_wrap
        return quality, self._total[index] + part_wh, counter_wh

    def _write_point(self):
        """All that was measured up to the last reading, at a moment that nobody knows yet."""
        values = [self._value(index, 1, 1, False) for index in range(_QUANTITIES)]
        flags = self._flags & _REPLACED | (_RESTARTED if self._started else 0)
        clock = self._clock
        self._readings.append_point(self._contract, clock.boot_count, flags, values, self._identity, clock.powered_s())
        self._started = False
        self._points = True
        self._flags = 0
        self._base_s = None
        self._from_ms = self._point_ms = self._to_ms
        for index in range(len(self._total)):
            if index < _QUANTITIES:
                self._total[index] = self._quality[index] = 0
            else:
                self._total[index] += self._fresh[index]
                self._quality[index] = max(self._quality[index], self._marks[index], _ESTIMATED)
            self._fresh[index] = self._marks[index] = 0

    def _write_clock(self, offset_s, step_s):
        clock = self._clock
        now_s = offset_s + clock.uptime_ms() // 1000
        self._readings.append_clock(self._contract, clock.boot_count, now_s, clock.powered_s(), step_s)
