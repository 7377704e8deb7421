"""A module that reports half-hour values, from docs/format.md and docs/api.md alone: bodies, tags, MACs, requests."""

import hashlib
import hmac
import struct

EPOCH_2000 = 946_684_800
MISSING = 2
ZEROS = bytes(28)


def slot_of(unix_s):
    return (unix_s - EPOCH_2000) // 1800


def slot_time(slot):
    """When a slot begins, Unix seconds."""
    return EPOCH_2000 + slot * 1800


def energies_of(slot):
    """Seven values that differ by slot and quantity, so that one in the wrong place shows."""
    return [slot * 7 % 1009 + 10 * quantity for quantity in range(7)]


def _quality(energies, quality):
    if isinstance(quality, int):
        quality = [MISSING if energy is None else quality for energy in energies]
    return sum(each << 4 * index for index, each in enumerate(quality))


def slot_body(slot, energies=None, *, contract=77, span=1, flags=0, quality=0, powered_s=0):
    """Kind 1. energies: Wh, None where missing; quality: one for all, or a list."""
    energies = energies_of(slot) if energies is None else energies
    known = [energy or 0 for energy in energies]
    return struct.pack(
        "<BBHIII14III", 1, flags, span, slot, contract, _quality(energies, quality), *known, *[0] * 7, 1, powered_s
    )


def circuits_body(slot, energies, *, span=1):
    """Kind 2."""
    filled = [*energies, *[0] * (16 - len(energies))]
    return struct.pack("<BBHII32HI", 2, len(energies), span, slot, 0, *filled, *[0] * 16, 0)


def point_body(boot, powered_s, energies, *, contract=77, quality=0):
    """Kind 3."""
    known, quality = [energy or 0 for energy in energies], _quality(energies, quality)
    return struct.pack("<BBHIII14III", 3, 0, 0, boot, contract, quality, *known, *[0] * 7, 1, powered_s)


def clock_body(boot, unix_s, powered_s, *, contract=77, step_s=0):
    """Kind 4."""
    head = struct.pack("<B3xIIIIi", 4, boot, contract, unix_s - EPOCH_2000, powered_s, step_s)
    return head + bytes(56)


class Sender:
    """A readings ring, and the requests that a module makes of it."""

    def __init__(self, seed=b"a module", *, site="0100000000000000000001", contract="PPS-000123"):
        self.report_key = hashlib.sha256(seed + b"report").digest()
        self.site = site
        self.contract = contract
        self.new_history(seed)

    def new_history(self, seed):
        """A new readings key, and with it a new epoch."""
        self._key = hashlib.sha256(seed).digest()
        self.epoch = hmac.digest(self._key, b"inkan epoch", "sha256")[:8].hex()
        self.bodies, self.tags = [], [ZEROS]

    @property
    def head(self):
        return len(self.bodies)

    def append(self, *bodies):
        for body in bodies:
            message = b"inkan readingsr" + struct.pack("<BI", 4, self.head + 1) + self.tags[-1] + body
            self.tags.append(hmac.digest(self._key, message, "sha256")[:28])
            self.bodies.append(body)

    def append_slots(self, first, count, **options):
        self.append(*(slot_body(slot, **options) for slot in range(first, first + count)))

    def copy(self):
        """The ring as it is now, to be played back later."""
        other = object.__new__(Sender)
        other.__dict__ = self.__dict__ | {"bodies": list(self.bodies), "tags": list(self.tags)}
        return other

    def mac(self, number):
        start = b"inkan reading" + bytes.fromhex(self.epoch) + struct.pack("<I", number)
        message = start + self.tags[number - 1] + self.tags[number] + self.bodies[number - 1]
        return hmac.digest(self.report_key, message, "sha256")[:16]

    def request(self, first=1, last=0, *, oldest=None):
        """Body of a report of the records from first to last; none: the question that comes after a start."""
        numbers = range(first, last + 1)
        return {
            "protocol": 1,
            "epoch": self.epoch,
            "site": self.site,
            "contract": self.contract,
            "head": self.head,
            "oldest": oldest,
            "before": (self.tags[first - 1] if numbers else ZEROS).hex(),
            "records": [
                {
                    "number": number,
                    "body": self.bodies[number - 1].hex(),
                    "tag": self.tags[number].hex(),
                    "mac": self.mac(number).hex(),
                }
                for number in numbers
            ],
        }

    def key_request(self):
        return {"protocol": 1, "key": self.report_key.hex()}

    def next_request(self, through, *, newest_first=False, skipped=0):
        """What a module sends that was answered `through`; skipped: records up to this number are gone."""
        oldest = max(through, skipped) + 1
        first = max(oldest, self.head - 15) if newest_first else oldest
        return self.request(first, min(first + 15, self.head), oldest=oldest)
