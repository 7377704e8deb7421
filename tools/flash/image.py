"""An image of the data partition, taken apart and judged (docs/format.md).

Nothing of the firmware is imported: what this module says about an image is a
second opinion. Values that are secret never appear in what it returns as text.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tools.flash import layout, readings


class ImageError(Exception):
    """The file is no image of the data partition at all."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    grave: the module must refuse to use the unique information. seal: something sealed does not verify, and no power
    cut explains it.
    """

    area: str
    sector: int
    what: str
    grave: bool = True
    seal: bool = False

    def __str__(self):
        return f"{'!!' if self.grave else '--'} {self.area}, sector {self.sector}: {self.what}"


@dataclass
class Slot:
    """One sealed slot. state: blank, valid or broken; body and items only where valid."""

    area: str
    index: int
    first_sector: int
    state: str
    generation: int = 0
    flags: int = 0
    tag: bytes = b""
    settled: bool = False
    items: dict = field(default_factory=dict)


@dataclass
class Record:
    """One valid record of a ring; `values` by the names of tools.flash.layout."""

    number: int
    sector: int
    slot: int
    body: bytes
    tag: bytes
    values: dict = field(default_factory=dict)


def derive(root, label):
    """The 64 bytes that belong to a label: 32 to encrypt, 32 to authenticate (RFC 5869, empty salt)."""
    return HKDF(algorithm=SHA256(), length=64, salt=None, info=label).derive(root)


def _mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def _decrypt(key, iv, ciphertext):
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(ciphertext) + decryptor.finalize()


def _blank(data):
    return data.count(0xFF) == len(data)


def parse_items(body):
    """Items of a body as {id: bytes}. ValueError where they are not well formed."""
    items, at, last = {}, 0, -1
    while at < len(body):
        if at + 3 > len(body):
            raise ValueError("an item is cut off")
        item_id, size = struct.unpack_from("<BH", body, at)
        if item_id <= last or at + 3 + size > len(body):
            raise ValueError("an item is out of order or leaves the body")
        items[item_id] = body[at + 3 : at + 3 + size]
        last, at = item_id, at + 3 + size
    return items


class FlashImage:
    """Everything that an image says. `findings` lists what is wrong, `slots`, `rings`, `guard` what is there."""

    def __init__(self, data):
        if len(data) != layout.IMAGE_SIZE:
            raise ImageError(f"an image has {layout.IMAGE_SIZE} bytes, this has {len(data)}")
        self.data = bytes(data)
        self.findings = []
        self.root = None
        self.provisioned = False
        self.guard = None  # (generation, tag)
        self.slots = {}  # area: [Slot, Slot]
        self.current = {}  # area: Slot or None
        self.rings = {}  # name: [Record]
        self.broken_after_last = {}
        self._read_root()
        if self.root is None:
            return
        self._read_provisioned()
        if not self.provisioned:
            return
        self._read_guard()
        for area in layout.SLOTS:
            self._read_slots(area)
        self._judge_vault()
        for area in ("credential", "factory", "identity", "settings"):
            self._judge_pair(area)
        for name in layout.RINGS:
            self._read_ring(name)
        self._read_readings()

    # What the tools ask

    @property
    def sound(self):
        """Whether the module may use what this image holds."""
        return self.provisioned and not any(finding.grave for finding in self.findings)

    @property
    def seals_hold(self):
        """Whether it is sound and everything else that is sealed verifies too: pairs and the chains of rings."""
        return self.sound and not any(finding.seal for finding in self.findings)

    def field(self, name):
        """A field of the unique information as text, number or bytes; None where it is not set."""
        return self._item("vault", name)

    def credential(self, name, area="credential"):
        """A value of the credential pair (or of "factory"); None where there is none."""
        return self._item(area, name)

    def totals(self, ring="attempts"):
        """Values of a ring's newest record; empty where there is none."""
        records = self.rings.get(ring) or []
        return records[-1].values if records else {}

    def keys(self):
        """Every 64-byte key that the image can give, by name: derived ones and the readings' key."""
        found = {}
        if self.root is not None:
            labels = [label for label, _ in (*layout.SLOTS.values(), *layout.RINGS.values())]
            labels += [layout.GUARD_LABEL, layout.PROVISIONED_LABEL]
            found = {label.decode(): derive(self.root, label) for label in labels}
        readings_key = self.field("readings_key")
        if readings_key:
            found["readings"] = readings_key
        return found

    def sector_state(self, sector):
        """`blank`, `used` or the first finding's text."""
        for finding in self.findings:
            if finding.sector == sector and finding.grave:
                return finding.what
        return "blank" if _blank(self._sector(sector)) else "used"

    # Reading

    def _sector(self, index):
        return self.data[index * layout.SECTOR : (index + 1) * layout.SECTOR]

    def _found(self, area, sector, what, grave=True, seal=False):
        self.findings.append(Finding(area, sector, what, grave, seal))

    def _item(self, area, name):
        slot = self.current.get(area)
        for item_id, (item_name, kind) in layout.ITEMS[area].items():
            if item_name == name and slot is not None and item_id in slot.items:
                value = slot.items[item_id]
                if kind == "text":
                    return value.decode()
                return int.from_bytes(value, "little") if kind in ("u8", "u16", "u32") else value
        return None

    def _read_root(self):
        copies = []
        for sector in (0, 1):
            data = self._sector(sector)
            good = data[:4] == b"IKR1" and hashlib.sha256(data[:36]).digest() == data[36:68]
            copies.append(data[4:36] if good else None)
        rest = any(
            not _blank(self._sector(sector))
            for sector in range(2, layout.SECTORS)
            if sector != layout.AREAS["provisioned"][0]
        )
        if copies[0] and copies[1] and copies[0] != copies[1]:
            self._found("root", 0, "root_mismatch: two good copies that differ")
        elif copies[0] or copies[1]:
            self.root = copies[0] or copies[1]
            if not (copies[0] and copies[1]):
                bad = 0 if copies[0] is None else 1
                self._found("root", bad, "one copy is not good; the other serves", grave=False)
        elif rest:
            self._found("root", 0, "root_missing: no good copy, but there is something to be opened with it")

    def _read_provisioned(self):
        sector = layout.AREAS["provisioned"][0]
        mark = self._sector(sector)[:64]
        key = derive(self.root, layout.PROVISIONED_LABEL)[32:]
        tag = _mac(key, layout.PROVISIONED_LABEL, b"IKP1")[:28]
        self.provisioned = mark[:4] == b"IKP1" and mark[4:32] == tag and _blank(mark[32:])
        if not self.provisioned:
            self._found("provisioned", sector, "not provisioned: no mark that it was finished", grave=False)

    def _read_guard(self):
        key = derive(self.root, layout.GUARD_LABEL)[32:]
        records = []
        first, count = layout.AREAS["guard"]
        for sector in range(first, first + count):
            data = self._sector(sector)
            for at in range(0, layout.SECTOR, 64):
                record = data[at : at + 64]
                if _blank(record):
                    continue
                tag = _mac(key, layout.GUARD_LABEL, record[:40])[:24]
                if record[:4] == b"IKG1" and hmac.compare_digest(tag, record[40:]):
                    records.append((struct.unpack_from("<I", record, 4)[0], record[8:40]))
                else:
                    self._found("guard", sector, f"a record at byte {at} is not valid (torn?)", grave=False)
        if not records:
            self._found("guard", first, "guard_missing: no valid record")
            return
        newest = max(generation for generation, _ in records)
        tags = {tag for generation, tag in records if generation == newest}
        if len(tags) > 1:
            self._found("guard", first, f"guard_mismatch: generation {newest} with two seals")
            return
        self.guard = (newest, tags.pop())

    def _read_slots(self, area):
        label, magic = layout.SLOTS[area]
        first, count = layout.AREAS[area]
        key = derive(self.root, label)
        size = count // 2 * layout.SECTOR
        self.slots[area] = [
            self._read_slot(area, index, first + index * (count // 2), size, label, magic, key) for index in (0, 1)
        ]

    def _read_slot(self, area, index, sector, size, label, magic, key):
        data = self.data[sector * layout.SECTOR : sector * layout.SECTOR + size]
        if _blank(data):
            return Slot(area, index, sector, "blank")
        broken = Slot(area, index, sector, "broken")
        found_magic, version, flags, reserved, generation, length = struct.unpack_from("<4sBBHII", data)
        empty = bool(flags & 2) and area != "vault"
        padded = 0 if empty else (length // 16 + 1) * 16
        if found_magic != magic or version != 1 or reserved or generation == 0 or 80 + padded > size:
            return broken
        if empty and length:
            return broken
        context = label + bytes([index]) + data[:16]
        sealed = data[16 : 32 + padded]
        tag = data[32 + padded : 64 + padded]
        expected = _mac(key[32:], struct.pack("<H", len(context)), context, sealed)
        if not hmac.compare_digest(tag, expected):
            return broken
        items = {}
        if not empty:
            plain = _decrypt(key[:32], sealed[:16], sealed[16:])
            if plain[length:] != bytes([padded - length]) * (padded - length):
                return broken
            try:
                items = parse_items(plain[:length])
            except ValueError as error:
                self._found(area, sector, f"sealed, but {error}")
        settled = not _blank(data[64 + padded : 80 + padded])
        if not _blank(data[80 + padded :]):
            self._found(area, sector, "something behind the seal", grave=False)
        return Slot(area, index, sector, "valid", generation, flags, tag, settled, items)

    def _judge_vault(self):
        slots = self.slots["vault"]
        valid = [slot for slot in slots if slot.state == "valid"]
        sector = layout.AREAS["vault"][0]
        if self.guard is None:
            return
        generation, tag = self.guard
        mine = [slot for slot in valid if slot.generation == generation]
        if not mine:
            if valid:
                self._found("vault", valid[0].first_sector, "vault_rollback: sealed, but of another generation")
            elif any(slot.state == "broken" for slot in slots):
                broken = next(slot for slot in slots if slot.state == "broken")
                self._found("vault", broken.first_sector, "vault_seal: the seal does not hold")
            else:
                self._found("vault", sector, "vault_missing: both slots are blank")
        elif mine[0].tag != tag:
            self._found("vault", mine[0].first_sector, "vault_rollback: another seal than the guard's")
        else:
            self.current["vault"] = mine[0]
            other = slots[1 - mine[0].index]
            if other.state != "blank":
                self._found("vault", other.first_sector, f"the other slot is {other.state}, to be erased", False)
            elif not mine[0].settled:
                self._found("vault", mine[0].first_sector, "not settled yet", grave=False)

    def _judge_pair(self, area):
        slots = self.slots[area]
        valid = [slot for slot in slots if slot.state == "valid"]
        if valid:
            best = max(valid, key=lambda slot: slot.generation)
            self.current[area] = best
            other = slots[1 - best.index]
            if other.state != "blank":
                self._found(area, other.first_sector, f"the other slot is {other.state}, to be erased", False)
        elif any(slot.state == "broken" for slot in slots):
            self._found(area, slots[0].first_sector, f"{area}_seal: no slot's seal holds", area == "identity", True)

    def _read_ring(self, name):
        label, ring_id = layout.RINGS[name]
        records = self._follow_ring(name, derive(self.root, label), ring_id, label)
        if not records:
            self._found(name, layout.AREAS[name][0], f"{name}_missing: no valid record")
        tamper = name == "attempts" and records and records[-1].values["tamper"]
        if tamper:
            what = layout.TAMPER.get(tamper, str(tamper))
            self._found(name, records[-1].sector, f"{what}: latched by the module")

    def _read_readings(self):
        """The ring whose key lies in the vault; without one nothing is to be there."""
        first, count = layout.AREAS["readings"]
        key = self.field("readings_key")
        if key is not None:
            self._follow_ring("readings", key, layout.READINGS_RING_ID, readings.LABEL)
            return
        self.rings["readings"], self.broken_after_last["readings"] = [], 0
        used = [sector for sector in range(first, first + count) if not _blank(self._sector(sector))]
        if used:
            self._found("readings", used[0], f"{len(used)} sectors not blank, and no key to them", grave=False)

    def _follow_ring(self, name, key, ring_id, label):
        records, broken, breaks = read_ring(self.data, layout.AREAS[name], key, ring_id, label)
        for record in records:
            record.values = unpack_body(name, record.body)
        self.rings[name] = records
        self.broken_after_last[name] = broken
        for sector, what in breaks:
            self._found(name, sector, what, grave=False, seal=True)
        if records and broken:
            self._found(name, records[-1].sector, f"{broken} torn after the last record", grave=False)
        return records


def unpack_body(name, body):
    """A ring's 80-byte body as {name: number}; audit bodies get `fields`, a list of field ids."""
    if name == "readings":
        return readings.unpack(body)
    values = {key: struct.unpack_from("<" + kind, body, at)[0] for at, kind, key in layout.BODIES[name]}
    if name == "audit":
        values["fields"] = list(body[21 : 21 + min(body[20], 40)])
    return values


def read_ring(data, area, key, ring_id, label):
    """Follow a ring. Returns (records, torn slots after the last one, [(sector, what is wrong)])."""
    first, count = area
    headers = []
    for position in range(count):
        start = (first + position) * layout.SECTOR
        header = data[start : start + 128]
        tag = _mac(key[32:], label, b"h", header[:44])[:28]
        sequence, number = struct.unpack_from("<II", header, 8)
        genuine = header[:4] == b"IKJ1" and header[4] == ring_id and hmac.compare_digest(tag, header[100:])
        if genuine and (sequence - 1) % count == position:
            headers.append((sequence, position, number, header[16:44]))
    headers.sort()
    records, broken, breaks = [], 0, []
    previous = None
    for sequence, position, number, chain in headers:
        sector = first + position
        if previous is not None and sequence != previous + 1:
            breaks.append((sector, "a sector of the ring is missing before this one"))
        previous = sequence
        if records and (chain != records[-1].tag or number != records[-1].number + 1):
            breaks.append((sector, "the sector does not continue the record before it"))
        tag_before = records[-1].tag if records and chain == records[-1].tag else chain
        for slot in range(1, 32):
            at = sector * layout.SECTOR + slot * 128
            cell = data[at : at + 128]
            if _blank(cell):
                continue
            expected = _mac(key[32:], label, b"r", bytes([ring_id]), cell[:4], tag_before, cell[4:100])[:28]
            if not hmac.compare_digest(expected, cell[100:]):
                broken += 1
                continue
            body = _decrypt(key[:32], cell[4:20], cell[20:100])
            records.append(Record(struct.unpack_from("<I", cell)[0], sector, slot, body, cell[100:]))
            tag_before, broken = cell[100:], 0
    return records, broken, breaks
