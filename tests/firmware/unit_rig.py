"""The units on a flash chip model, wired as the app does it, with a clock that tests move."""

import hashlib
import sys

from firmware import acquisition, settings, unique_info
from firmware.acquisition import Acquisition, factory_items
from firmware.attempts import Attempts
from firmware.audit import AuditTrail
from firmware.clock import Clock
from firmware.control import Control
from firmware.crypto.kdf import pbkdf2_sha256
from firmware.crypto.spake2plus import expand_w, password_input, w0_bytes
from firmware.detection import Detection
from firmware.session import Sessions
from firmware.store import layout
from firmware.store.store import Store
from tools.sim.chips.flash import NorFlash

SERIAL = "INK-00000001"
ID = "12345678"
PASSWORD = "87654321"
SALT = bytes(range(16))
# The base point stands in for L: a point of the curve, not the identity.
L = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
ROOT = bytes(range(100, 132))
ALL = ["customer", "usage_history", "site", "capacity", "connection"]
NOW_S = settings.BUILD_TIME_S + 10_000_000

if sys.implementation.name == "cpython":
    from firmware.link import phone, phone_stock

    # No RAM to save here. To make modules anew for each credential or session, and to collect the garbage of all that
    # pytest holds, would be most of these tests' time.
    acquisition.forget = phone_stock.forget = phone.forget = lambda *names: None

_TICKS_PERIOD = 1 << 30  # as on the MCU
_drawn = [0, b"rig"]
_w0 = {}


def random(size):
    """Bytes that never come twice in one run, unless a seed does."""
    out = b""
    while len(out) < size:
        _drawn[0] += 1
        out += hashlib.sha256(b"%s %d" % (_drawn[1], _drawn[0])).digest()
    return out[:size]


def draw_from(seed):
    """From now on what is drawn follows from a seed (bytes)."""
    _drawn[:] = 0, seed


def w0_of(user_id, password, iterations=1000):
    key = (user_id, password, iterations)
    if key not in _w0:
        given = password_input(password.encode(), user_id.encode(), SERIAL.encode())
        _w0[key] = w0_bytes(expand_w(pbkdf2_sha256(given, SALT, iterations))[0])
    return _w0[key]


def message(sequence=1, scope=None, **changed):
    """A credential as `poll` delivers it."""
    fields = {
        "sequence": sequence,
        "w0": w0_of(ID, PASSWORD).hex(),
        "l": L.hex(),
        "salt": SALT.hex(),
        "iterations": 1000,
        "password_digits": 8,
        "lifetime_s": 86_400,
        "max_successes": 3,
        "max_failures": 5,
        "max_changes": 20,
        "scope": {"see": ALL, "change": ALL, "delete": ALL, "recover": False},
    }
    fields["scope"].update(scope or {})
    fields.update(changed)
    return fields


def blank_flash():
    return NorFlash(layout.SECTOR_COUNT * layout.SECTOR_SIZE)


def provision(device, factory=False, factory_lifetime_s=None, factory_failures=5):
    """An empty module; with factory, one with a factory credential for ID and PASSWORD."""

    def fill(store):
        if factory:
            store.factory.write(
                factory_items(w0_of(ID, PASSWORD), L, SALT, 1000, factory_lifetime_s, factory_failures, 20, 8)
            )

    Store(device, random).create(ROOT, fill)


class Rig:
    """A module that has started. `pass_s` moves its time; a new Rig on the same device is a reboot."""

    def __init__(self, device, now=NOW_S):
        self.device = device
        self.ms = 0
        self.store = store = Store(device, random)
        store.start()
        self.attempts = Attempts(store.attempts)
        self.attempts.start()
        self.clock = Clock(store.clock, self.ticks_ms, ticks_diff)
        self.clock.start()
        self.audit = AuditTrail(store.audit, self.clock, self.attempts, store.vault, unique_info.name_of)
        self.audit.start()
        self.detection = Detection(store.vault, self.attempts, self.audit)
        self.detection.start(store.tamper, store.findings)
        self.acquisition = Acquisition(store.credential, store.factory, self.attempts, self.clock, self.audit)
        self.acquisition.start()
        self.sessions = Sessions(
            self.detection,
            store.vault,
            unique_info,
            self.attempts,
            self.acquisition,
            self.audit,
            self.clock,
            random,
            store.readings,
            store.wipe_vault,
        )
        self.sessions.start()
        self.control = Control(
            self.acquisition,
            self.attempts,
            self.detection,
            self.clock,
            self.audit,
            self.sessions,
            SERIAL,
            self.sleep_ms,
        )
        if now is not None:
            self.clock.set_from_server(now)

    def ticks_ms(self):
        # Starts shortly before the counter wraps.
        return (_TICKS_PERIOD - 5_000 + self.ms) % _TICKS_PERIOD

    async def sleep_ms(self, ms):
        self.ms += ms

    def pass_s(self, seconds):
        """Let time pass as the app does: a tick every few seconds (here: every minute)."""
        end = self.ms + seconds * 1000
        while self.ms < end:
            self.ms = min(self.ms + 60_000, end)
            self.clock.tick()
            self.control.tick()

    def wait_out_delay(self):
        self.ms += self.control.delay_ms()

    def open(self, door=settings.DOOR_KEYPAD):
        """A session, by a proof that holds."""
        self.wait_out_delay()
        return self.control.begin(door).success()

    def fail(self, door=settings.DOOR_KEYPAD):
        """A failed attempt; returns its error."""
        self.wait_out_delay()
        return self.control.begin(door).failure()

    def hello_state(self):
        """`state` of hello (docs/api.md), without energy."""
        return {
            "generation": self.store.vault.generation,
            "boot_count": self.clock.boot_count,
            "powered_s": self.clock.powered_s(),
            "attempts": self.attempts.attempts,
            "attempts_number": self.store.attempts.head_number,
            "audit_number": self.store.audit.head_number,
            "tamper": self.detection.tamper,
            "credential": self.acquisition.state(),
        }

    def events(self):
        return [record["event"] for record in self.audit.pending(0, 1000)]


def ticks_diff(end, start):
    half = _TICKS_PERIOD // 2
    return (end - start + half) % _TICKS_PERIOD - half


def module(factory=False, now=NOW_S, **options):
    """A provisioned module that has started."""
    device = blank_flash()
    provision(device, factory, **options)
    return Rig(device, now)


def get(device, field_id):
    """A field's stored bytes, read by a store of its own."""
    store = Store(device, random)
    store.start()
    return unique_info.UniqueInfo(store.vault.read()).get(field_id)
