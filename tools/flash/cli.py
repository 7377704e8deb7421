"""`inkan-flash IMAGE`: print the map of an image, check every seal, say what is wrong where."""

import argparse
import datetime
import json
import sys
from pathlib import Path

from tools.flash import layout, readings
from tools.flash.image import FlashImage, ImageError

_HIDDEN = "(secret)"
EPOCH = datetime.datetime(2000, 1, 1)


def shown(kind, value):
    """An item's value as it may be printed."""
    if kind == "secret":
        return _HIDDEN
    if kind == "text":
        return value.decode("utf-8", "replace")
    if kind in ("u8", "u16", "u32"):
        return int.from_bytes(value, "little")
    if kind == "der":
        return f"DER, {len(value)} B"
    return value.hex()


def describe(image, personal=False):
    """What `--json` prints: a dict without secrets, and without personal data unless asked for."""
    areas = {}
    for area, slots in image.slots.items():
        areas[area] = [
            {
                "slot": slot.index,
                "sector": slot.first_sector,
                "state": slot.state,
                "generation": slot.generation,
                "settled": slot.settled,
                "items": {
                    layout.ITEMS[area].get(item_id, (f"unknown_{item_id}", "secret"))[0]: (
                        shown(layout.ITEMS[area].get(item_id, ("", "secret"))[1], value)
                        if personal or area != "vault"
                        else f"{len(value)} B"
                    )
                    for item_id, value in slot.items.items()
                },
            }
            for slot in slots
        ]
    return {
        "sound": image.sound,
        "seals_hold": image.seals_hold,
        "provisioned": image.provisioned,
        "guard_generation": image.guard[0] if image.guard else None,
        "findings": [{"area": f.area, "sector": f.sector, "what": f.what, "grave": f.grave} for f in image.findings],
        "slots": areas,
        "rings": {
            name: {
                "records": len(records),
                "first": records[0].number if records else None,
                "last": records[-1].number if records else None,
                "torn": image.broken_after_last[name],
                "newest": newest(name, records, personal),
            }
            for name, records in image.rings.items()
        },
    }


def newest(name, records, personal):
    """Values of a ring's newest record, of usage history only what may be shown."""
    if not records:
        return None
    values = records[-1].values
    return readings.without_usage(values) if name == "readings" and not personal else values


def print_readings(image, out):
    """One line for each record of the usage history."""
    for record in image.rings.get("readings", []):
        values = dict(record.values)
        kind = values.pop("kind")
        if kind == "slot":
            end = EPOCH + datetime.timedelta(seconds=(values["slot"] + 1) * readings.SLOT_S)
            start = end - datetime.timedelta(seconds=values["span"] * readings.SLOT_S)
            values = {"from": f"{start:%Y-%m-%d %H:%M}", "to": f"{end:%Y-%m-%d %H:%M} UTC"} | values
        print(f"{record.number:>6}  {kind:<8}", json.dumps(values, ensure_ascii=False), file=out)


def sector_map(image):
    """One character a sector, 48 a row: `.` blank, `#` used, `!` something grave."""
    grave = {finding.sector for finding in image.findings if finding.grave}
    marks = []
    for sector in range(layout.SECTORS):
        state = image.sector_state(sector)
        marks.append("!" if sector in grave else "." if state == "blank" else "#")
    return ["".join(marks[start : start + 48]) for start in range(0, layout.SECTORS, 48)]


def print_report(image, personal, out):
    print("sectors  map (. blank, # used, ! wrong)", file=out)
    for row, line in enumerate(sector_map(image)):
        print(f"{row * 48:>7}  {line}", file=out)
    print(file=out)
    for name, (first, count) in layout.AREAS.items():
        used = sum(image.sector_state(sector) != "blank" for sector in range(first, first + count))
        print(f"{first:>3}..{first + count - 1:<3} {name:<12} {used} of {count} sectors used", file=out)
    if image.guard:
        print(f"\nguard: generation {image.guard[0]}", file=out)
    described = describe(image, personal)
    for area, slots in described["slots"].items():
        for slot in slots:
            text = f"{area} slot {slot['slot']} (sector {slot['sector']}): {slot['state']}"
            if slot["state"] == "valid":
                text += f", generation {slot['generation']}, seal holds"
            print(text, file=out)
            for name, value in slot["items"].items():
                print(f"    {name:<22} {value}", file=out)
    for name, ring in described["rings"].items():
        print(f"ring {name}: {ring['records']} records, {ring['first']}..{ring['last']}", file=out)
    print(file=out)
    for finding in image.findings:
        print(finding, file=out)
    print(f"verdict: {verdict(image)}", file=out)


def verdict(image):
    if image.seals_hold:
        return "sound"
    if image.sound:
        return "usable, but NOT EVERY SEAL HOLDS"
    return "NOT SOUND" if image.provisioned or image.findings else "blank"


def main(arguments=None):
    """Exit code 0 sound and every seal holds, 1 otherwise, 2 no image."""
    parser = argparse.ArgumentParser(prog="inkan-flash", description=__doc__)
    parser.add_argument("image", type=Path, help="dump of the partition `inkan`, 786,432 bytes")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a report")
    parser.add_argument("--personal", action="store_true", help="print personal data too (never keys)")
    parser.add_argument("--readings", action="store_true", help="print every record of the usage history too")
    options = parser.parse_args(arguments)
    try:
        image = FlashImage(options.image.read_bytes())
    except OSError as error:
        print(f"inkan-flash: {options.image}: {error.strerror}", file=sys.stderr)
        return 2
    except ImageError as error:
        print(f"inkan-flash: {options.image}: {error}", file=sys.stderr)
        return 2
    if options.json:
        described = describe(image, options.personal)
        if options.readings:
            records = image.rings.get("readings", [])
            described["readings"] = [{"number": record.number, **record.values} for record in records]
        print(json.dumps(described, ensure_ascii=False, indent=1))
    else:
        print_report(image, options.personal, sys.stdout)
        if options.readings:
            print_readings(image, sys.stdout)
    return 0 if image.seals_hold else 1


if __name__ == "__main__":
    sys.exit(main())
