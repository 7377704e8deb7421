"""Bodies of the readings' ring, taken apart by docs/format.md, "Readings body"."""

import struct

QUANTITIES = ("pv", "battery_in", "battery_out", "ev_in", "ev_out", "bought", "sold")
QUALITIES = ("measured", "estimated", "missing", "reset")
KINDS = {1: "slot", 2: "circuits", 3: "point", 4: "clock"}
SLOT_FLAGS = ("restarted", "clock_stepped", "device_replaced", "with_circuits")
LABEL = b"inkan readings"
SLOT_S = 1800


def unpack(body):
    """A body of 80 bytes as a dict; `kind` is a name of KINDS, or a number that is none of them."""
    kind = KINDS.get(body[0], body[0])
    if kind in ("slot", "point"):
        flags, span, number, contract, quality = struct.unpack_from("<BHIII", body, 1)
        values = {
            "kind": kind,
            "flags": [name for bit, name in enumerate(SLOT_FLAGS) if flags >> bit & 1],
            "contract": contract,
            "quality": {name: _quality(quality >> 4 * at & 15) for at, name in enumerate(QUANTITIES)},
            "energy_wh": dict(zip(QUANTITIES, struct.unpack_from("<7I", body, 16), strict=True)),
            "counter_wh": dict(zip(QUANTITIES, struct.unpack_from("<7I", body, 44), strict=True)),
            "device": struct.unpack_from("<I", body, 72)[0],
            "powered_s": struct.unpack_from("<I", body, 76)[0],
        }
        return values | ({"slot": number, "span": span} if kind == "slot" else {"boot_count": number})
    if kind == "circuits":
        count, span, slot, quality = struct.unpack_from("<BHII", body, 1)
        return {
            "kind": kind,
            "slot": slot,
            "span": span,
            "quality": [_quality(quality >> 2 * at & 3) for at in range(count)],
            "energy_wh": list(struct.unpack_from(f"<{count}H", body, 12)),
            "counter_wh": list(struct.unpack_from(f"<{count}H", body, 44)),
        }
    if kind == "clock":
        boot_count, contract, time, powered_s, step_s = struct.unpack_from("<IIIIi", body, 4)
        return {
            "kind": kind,
            "boot_count": boot_count,
            "contract": contract,
            "time": time,
            "powered_s": powered_s,
            "step_s": step_s,
        }
    return {"kind": kind}


def without_usage(values):
    """What may be printed of a record without personal data."""
    return {name: value for name, value in values.items() if name not in ("energy_wh", "counter_wh", "quality")}


def _quality(code):
    return QUALITIES[code] if code < len(QUALITIES) else code
