"""R22: the map of the power control device, found and read in an image of its registers."""

import hashlib

from firmware.errors import InkanError, LinkError
from firmware.sunspec import Device
from tests.dual import raises

PV, STORAGE, EV, DC_DC = 0, 1, 2, 6
MISSING = 0xFFFFFFFFFFFFFFFF


class LineError(InkanError):
    def __init__(self, code, detail=0):
        super().__init__(code)
        self.code = code
        self.detail = detail


class Registers:
    """What answers: models from `base` on. `requests` has (register, count); `broken` is raised by each."""

    def __init__(self, *models, base=40_000):
        self.base = base
        self.requests = []
        self.broken = None
        self.set(*models)

    def set(self, *models):
        self.image = bytearray(b"SunS" + b"".join(models) + b"\xff\xff\x00\x00")

    def put(self, register, data):
        """Overwrite from a register of the map on, counted from its base."""
        self.image[2 * register : 2 * register + len(data)] = data

    async def read(self, address, register, count):
        assert address == 1 and 1 <= count <= 125 and 0 <= register <= 65_536 - count
        self.requests.append((register, count))
        if self.broken:
            raise self.broken
        start = 2 * (register - self.base)
        if start < 0 or start + 2 * count > len(self.image):
            raise LineError("modbus_exception", 2)
        return memoryview(self.image)[start : start + 2 * count]


def number(value, size=2):
    return value.to_bytes(size, "big")


def model(identity, body):
    return number(identity) + number(len(body) // 2) + body


def name(text, size=32):
    return text.encode() + bytes(size - len(text))


def common(maker="Maker", kind="PCS-1", serial="A0001"):
    return model(1, name(maker) + name(kind) + name("", 16) + name("2.0", 16) + name(serial) + bytes(4))


def scale(exponent):
    return number(exponent & 0xFFFF)


def port(kind, injected=MISSING, absorbed=MISSING):
    return number(kind) + bytes(24) + number(injected, 8) + number(absorbed, 8) + bytes(8)


def ports(*blocks, exponent=0, count=None):
    head = bytes(4) + number(len(blocks) if count is None else count) + bytes(4) + bytes(b"\xff" * 16) + bytes(6)
    return model(714, head + scale(exponent) + bytes(2) + b"".join(blocks))


def meter(bought, sold, exponent=0, identity=202):
    return model(
        identity, bytes(72) + number(sold, 4) + bytes(12) + number(bought, 4) + bytes(12) + scale(exponent) + bytes(104)
    )


def panel(*circuits, exponent=0):
    return model(64_860, number(len(circuits)) + scale(exponent) + b"".join(number(value, 4) for value in circuits))


def identity_of(maker="Maker", kind="PCS-1", serial="A0001"):
    digest = hashlib.sha256(b"\0".join(text.encode() for text in (maker, kind, serial)) + b"\0").digest()
    return int.from_bytes(digest[:4], "little")


OTHER = model(701, bytes(2 * 153))
HOUSE = (
    common(),
    OTHER,
    ports(port(PV, 1000, 5), port(STORAGE, 300, 400), port(EV, 70, 90), port(PV, 234)),
    meter(5_000_000, 1_234),
)


async def fails(device):
    with raises(InkanError) as caught:
        await device.read()
    return caught.value.code


async def test_r22_every_quantity_from_its_place():
    line = Registers(*HOUSE)
    device = Device(line)
    assert (device.state, device.identity) == ("none", 0)
    await device.read()
    assert device.counters == [1234, 400, 300, 90, 70, 5_000_000, 1_234]
    assert device.wraps == [0, 0, 0, 0, 0, 1 << 32, 1 << 32]
    assert (device.state, device.identity, device.circuits) == ("ok", identity_of(), [])
    line.requests.clear()
    await device.read()
    assert len(line.requests) == 3, "the map is known: one for the device, the ports and the meter each"


async def test_r22_scale_factors_and_full_widths():
    line = Registers(
        common(),
        ports(port(PV, 9_876_543_210_987_654_321), port(PV, 9), exponent=-1),
        meter(0xFFFFFFFF, 0, exponent=-2),
        panel(7, 0xFFFFFFFE, exponent=2),
    )
    device = Device(line)
    await device.read()
    assert device.counters == [987_654_321_098_765_433, None, None, None, None, 42_949_672, 0]
    assert device.wraps[5:] == [42_949_672, 42_949_672]
    assert device.circuits == [700, 429_496_729_400] and device.circuits_wrap == 429_496_729_600
    line.set(common(), ports(port(PV, 5), port(EV, 1, 2), exponent=3), meter(7, 8, exponent=-0x8000))
    await device.read()
    assert device.counters == [5_000, None, None, 2_000, 1_000, None, None], "without a scale nobody knows what it is"
    assert device.circuits == []
    line.set(common(), ports(port(PV, 5), exponent=11), meter(7, 8, exponent=-11))
    await device.read()
    assert device.counters == [None] * 7, "no device has such a scale"


async def test_r22_the_map_is_found_at_each_base_and_in_any_order():
    for base in (40_000, 0, 50_000):
        for meter_model in (201, 202, 203, 204):
            line = Registers(
                common(),
                panel(1, 2, 3),
                meter(10, 20, identity=meter_model),
                OTHER,
                ports(port(STORAGE, 5, 6)),
                base=base,
            )
            device = Device(line)
            await device.read()
            assert device.counters == [None, 6, 5, None, None, 10, 20]
            assert device.circuits == [1, 2, 3]


async def test_r22_the_first_model_of_a_kind_counts_and_other_ports_do_not():
    blocks = [port(DC_DC, 1_000_000, 1_000_000)] + [port(PV, 1 << place) for place in range(15)]
    line = Registers(common(), ports(*blocks, port(PV, 1 << 40)), meter(1, 2), meter(3, 4), ports(port(PV, 9)))
    device = Device(line)
    await device.read()
    assert device.counters == [(1 << 15) - 1, None, None, None, None, 1, 2], "sixteen ports are the most"
    assert max(count for _, count in line.requests) == 125
    line.set(common(), ports(*blocks[:7], count=3), model(202, bytes(20)), meter(1, 2))
    device = Device(line)
    await device.read()
    assert device.counters[0] == 3, "only the ports that the device says it has"
    assert device.counters[5:] == [1, 2], "and no meter that is too short for one"


async def test_r22_a_part_that_is_missing_is_no_reset():
    line = Registers(*HOUSE)
    device = Device(line)
    await device.read()
    line.set(common(), OTHER, ports(port(PV, 1001), port(STORAGE, 301), port(EV, 71, 91), port(PV)), HOUSE[3])
    await device.read()
    assert device.counters[:5] == [None, None, 301, 91, 71]
    line.set(*HOUSE)
    await device.read()
    assert device.counters[:5] == [1234, 400, 300, 90, 70]
    line.set(common(serial="B"), OTHER, ports(port(PV, 7), port(STORAGE), port(EV), port(PV)), HOUSE[3])
    await device.read()
    assert device.counters[:5] == [7, None, None, None, None], "of another device nothing was there before"
    assert device.identity == identity_of(serial="B")


async def test_r22_another_device_or_another_map_is_noticed_by_the_next_reading():
    line = Registers(*HOUSE)
    device = Device(line)
    await device.read()
    for models in (
        (common(serial="A0002"),) + HOUSE[1:],
        (common(serial="A0002"), HOUSE[3], HOUSE[2]),
        (common(), HOUSE[2], HOUSE[3]),
        (common(maker="M" * 32, kind="", serial="S" * 32), OTHER, OTHER, HOUSE[3], HOUSE[2]),
    ):
        line.set(*models)
        await device.read()
        assert device.counters == [1234, 400, 300, 90, 70, 5_000_000, 1_234] and device.state == "ok"
    assert device.identity == identity_of("M" * 32, "", "S" * 32)
    # The same device with other firmware: something else lies in the place of the ports, then of the meter.
    line.set(common(), OTHER, OTHER, HOUSE[2], HOUSE[3])
    await device.read()
    for models in (HOUSE[:2] + (OTHER,) + HOUSE[2:], HOUSE[:3] + (OTHER,) + HOUSE[3:], HOUSE):
        line.set(*models)
        await device.read()
        assert device.counters == [1234, 400, 300, 90, 70, 5_000_000, 1_234]
    line.base = 0
    await device.read()
    assert device.state == "ok"
    line.set(common(), OTHER)
    assert await fails(device) == "unknown_map" and device.state == "unknown_map"
    line.set(*HOUSE)
    await device.read()
    assert device.state == "ok"


async def test_r22_the_line_s_errors_come_through_and_nothing_is_made_of_them():
    line = Registers(*HOUSE)
    device = Device(line)
    line.broken = LineError("modbus_timeout")
    assert await fails(device) == "modbus_timeout" and device.state == "none"
    assert len(line.requests) == 1, "who does not answer is not asked for the other places"
    line.broken = None
    await device.read()
    for broken in ("modbus_timeout", "modbus_bad_crc", "modbus_bad_frame"):
        line.broken = LineError(broken)
        assert await fails(device) == broken and device.state == "silent"
        line.broken = None
        line.requests.clear()
        await device.read()
        assert device.state == "ok" and len(line.requests) > 3, "the map is looked for again after silence"
    line.broken = LineError("modbus_exception", 6)
    assert await fails(device) == "modbus_exception" and device.state == "silent", "it is busy"
    line.broken = LineError("modbus_exception", 2)
    assert await fails(device) == "unknown_map" and device.state == "unknown_map"
    line.broken = None
    await device.read()
    assert device.state == "ok"


async def test_r22_what_is_no_map_ends_in_time():
    for image in (
        b"SunS",
        b"SunS" + bytes(400),
        b"SunS" + number(1) + number(0xFFFF),
        b"SunS" + common() + number(714) + number(5) + bytes(10) + b"\xff\xff\x00\x00",
        b"SunS" + common() + model(202, bytes(20)) + b"\xff\xff\x00\x00",
        b"Else" + common() + HOUSE[2] + b"\xff\xff\x00\x00",
        b"",
    ):
        line = Registers()
        line.image = bytearray(image)
        device = Device(line)
        with raises(LinkError) as caught:
            await device.read()
        assert (caught.value.code, device.state) == ("unknown_map", "unknown_map"), image
        assert len(line.requests) < 64
    # Without an end, and with a panel that says more circuits than it has.
    line = Registers(common(), model(64_860, number(16) + scale(0) + number(9, 4)))
    line.image = line.image[:-4]
    device = Device(line)
    await device.read()
    assert device.circuits == [9]
