"""Every operation of the store that writes flash, ready for `harness.explore`.

`OPERATIONS` maps a name to a function that makes an object with `prepare`,
`operation`, `check` and `two_deep`. Runs on CPython and on MicroPython.
"""

from firmware.store import layout
from tests.power.kit import ROOT_SECRET, items_of, make_device, new_store, started

# What a check appends to `told` when it begins its own next operation, and once that is confirmed.
GOING_ON = "going on"
NEXT = "next"
CONFIRMED = "confirmed"

_RECORDS_A_SECTOR = 31
_STARTS = 8  # by then all weak bytes read wrong, unless they were programmed again

_OTHER_SECRET = bytes(range(64, 96))


def blank(device, area):
    """True if an area is erased below whatever a read might show."""
    return all(device.is_erased(area[0] + sector) for sector in range(area[1]))


def halves(area):
    half = area[1] // 2
    return (area[0], half), (area[0] + half, half)


def allowed(told, version, next_version):
    """Old or new, new once that was told, and what the check wrote once that was told."""
    if version == next_version:
        return True
    assert NEXT not in told, "what was confirmed after the cut is gone"
    return version == 1 or (version == 0 and CONFIRMED not in told)


class _Operation:
    two_deep = False

    make_device = staticmethod(make_device)
    started = staticmethod(started)

    def prepare(self, device):
        new_store(device, b"provisioning").create(ROOT_SECRET, self.fill)
        self.before(started(device, b"before"))

    def fill(self, store):
        """Part of provisioning."""

    def before(self, store):
        """What was done in earlier runs."""

    def operation(self, device, told):
        self.change(self.started(device, b"operation"))
        told.append(CONFIRMED)

    def healthy(self, device):
        store = self.started(device, b"check")
        assert store.provisioned and store.findings == (), store.findings
        return store


class VaultCommit(_Operation):
    """Snapshots of versions 0 (before), 1 (cut), 2 (next); sizes in bytes of each."""

    def __init__(self, sizes, purge=False, commits_before=1, two_deep=False):
        self.sizes = sizes
        self.purge = purge
        self.commits_before = commits_before
        self.two_deep = two_deep

    def items(self, version):
        return [(0x11, bytes([version])), (0x13, bytes(self.sizes[version]))]

    def before(self, store):
        for _ in range(self.commits_before):
            store.vault.commit(self.items(0))

    def change(self, store):
        store.vault.commit(self.items(1), purge=self.purge)

    def operation(self, device, told):
        super().operation(device, told)
        self.other_slot_is_gone(device)

    def check(self, device, told):
        for _ in range(1 if self.two_deep else _STARTS):
            vault = self.version_fits(device, told)
        told.append(GOING_ON)
        vault.commit(self.items(2))
        self.other_slot_is_gone(device)
        told.append(NEXT)
        self.version_fits(device, told)

    def version_fits(self, device, told):
        vault = self.healthy(device).vault
        items = items_of(vault.read())
        version = items[0][1][0]
        assert items == self.items(version)
        assert allowed(told, version, 2), version
        assert vault.purge_pending == (self.purge and version == 1)
        if version and GOING_ON not in told:
            self.other_slot_is_gone(device)
        return vault

    @staticmethod
    def other_slot_is_gone(device):
        first, second = halves(layout.VAULT)
        assert blank(device, first) != blank(device, second)


class VaultPurge(_Operation):
    """Usage history deleted: purge flag, readings erased, flag off. A cut resumes there."""

    def before(self, store):
        store.vault.commit([(0x21, bytes(64))])
        for sector in range(3):
            store.readings.program(sector * layout.SECTOR_SIZE, b"value")

    def change(self, store):
        store.vault.commit([], purge=True)
        self.resume(store)

    def resume(self, store):
        if store.vault.purge_pending:
            store.readings.erase_not_blank()
            store.vault.commit([(0x21, b"n" * 64)])

    def check(self, device, told):
        store = self.healthy(device)
        deleted = store.vault.purge_pending
        self.resume(store)
        body = items_of(store.vault.read())
        if body == [(0x21, bytes(64))]:
            assert not deleted and CONFIRMED not in told and not blank(device, layout.READINGS)
        else:
            assert body == [(0x21, b"n" * 64)] and store.readings.all_blank()
        self.change(store)
        assert store.readings.all_blank()


class PairWrite(_Operation):
    """Contents 0 (or none), 1 (or none: erased), 2."""

    def __init__(self, name, sizes, two_deep=False):
        self.name = name
        self.sizes = sizes
        self.two_deep = two_deep

    def contents(self, version):
        size = self.sizes[version]
        return None if size is None else [(1, bytes([version])), (2, bytes(size))]

    def fill(self, store):
        if self.sizes[0] is not None:
            getattr(store, self.name).write(self.contents(0))

    def change(self, store):
        pair = getattr(store, self.name)
        if self.sizes[1] is None:
            pair.erase()
        else:
            pair.write(self.contents(1))

    def operation(self, device, told):
        super().operation(device, told)
        self.other_slot_is_gone(device)

    def check(self, device, told):
        for _ in range(1 if self.two_deep else _STARTS):
            pair = self.version_fits(device, told)
        told.append(GOING_ON)
        pair.write(self.contents(2))
        self.other_slot_is_gone(device)
        told.append(NEXT)
        self.version_fits(device, told)

    def version_fits(self, device, told):
        pair = getattr(self.healthy(device), self.name)
        body = pair.read()
        items = None if body is None else items_of(body)
        fitting = [version for version in range(3) if items == self.contents(version)]
        assert fitting and any([allowed(told, version, 2) for version in fitting]), items
        if fitting == [1] and GOING_ON not in told:
            self.other_slot_is_gone(device)
        return pair

    def other_slot_is_gone(self, device):
        area = {
            "credential": layout.CREDENTIAL,
            "identity": layout.IDENTITY,
            "settings": layout.SETTINGS,
        }[self.name]
        first, second = halves(area)
        assert blank(device, first) != blank(device, second)


class BrokenPair(_Operation):
    """A credential pair that was tampered with is erased at the start."""

    def fill(self, store):
        store.credential.write(b"secret")

    def prepare(self, device):
        super().prepare(device)
        self.damage(device)

    @staticmethod
    def damage(device):
        for sector in range(layout.CREDENTIAL[0], sum(layout.CREDENTIAL)):
            if not blank(device, (sector, 1)):
                device.flip_bit(sector * layout.SECTOR_SIZE + 33, 0)

    def change(self, store):
        assert store.credential.broken and store.credential.read() is None

    def check(self, device, told):
        store = self.healthy(device)
        assert store.credential.read() is None or (NEXT in told and store.credential.read() == b"next")
        store.credential.write(b"next")
        told.append(NEXT)
        assert self.healthy(device).credential.read() == b"next"


class RingAppend(_Operation):
    """Records 1 .. before + 1; the next one is cut. Bodies tell their number."""

    def __init__(self, name, before, two_deep=False):
        self.name = name
        self.sectors = {"attempts": layout.ATTEMPTS, "clock": layout.CLOCK, "audit": layout.AUDIT}[name][1]
        self.records_before = before
        self.two_deep = two_deep

    def before(self, store):
        ring = getattr(store, self.name)
        for number in range(ring.head_number + 1, self.records_before + 1):
            ring.append(self.body(number))

    @staticmethod
    def body(number):
        return b"" if number == 1 else b"record %d" % number

    def operation(self, device, told):
        ring = getattr(self.started(device, b"operation"), self.name)
        told.append(ring.append(self.body(self.records_before + 1)))

    def check(self, device, told):
        ring = self.numbers_fit(device, told)
        told.append(ring.append(self.body(ring.head_number + 1)))
        self.numbers_fit(device, told)

    def numbers_fit(self, device, told):
        ring = getattr(self.healthy(device), self.name)
        number = ring.head_number
        # What was told is there; each cut can leave one more that nobody was told of.
        least = max(told, default=self.records_before)
        assert least <= number <= self.records_before + 2 + self.two_deep, number
        assert bytes(ring.last()).rstrip(b"\0") == self.body(number)
        assert ring.broken_after_last <= 1 + self.two_deep
        found = []
        for record_number, body, _ in ring.records():
            assert body.rstrip(b"\0") == self.body(record_number)
            found.append(record_number)
        # The oldest sector's erase may have been cut.
        first = max(1, self.records_before + 1 - _RECORDS_A_SECTOR * (self.sectors - 1))
        assert found[-(number - first + 1) :] == list(range(first, number + 1))
        return ring


class RingForgive(_Operation):
    """An attempts ring that was lost begins anew; the way back makes it whole again."""

    def prepare(self, device):
        super().prepare(device)
        for sector in range(layout.ATTEMPTS[1]):
            device.load_sector(layout.ATTEMPTS[0] + sector, b"")
        started(device).attempts.append(b"first")

    def change(self, store):
        assert store.tamper == "attempts_missing"
        store.attempts.forgive()

    def check(self, device, told):
        store = started(device, b"check")
        assert store.tamper in (None, "attempts_missing")
        assert not (store.tamper and (CONFIRMED in told or NEXT in told))
        assert bytes(store.attempts.last()).rstrip(b"\0") in (b"first", b"second")
        store.attempts.forgive()
        told.append(NEXT)
        store.attempts.append(b"second")
        assert bytes(self.healthy(device).attempts.last()).rstrip(b"\0") == b"second"


class LostRing(_Operation):
    """The first record on an attempts ring that was lost: the loss is told until it is forgiven."""

    def prepare(self, device):
        super().prepare(device)
        for sector in range(layout.ATTEMPTS[1]):
            device.load_sector(layout.ATTEMPTS[0] + sector, b"")

    def change(self, store):
        store.attempts.append(b"first")

    def check(self, device, told):
        store = started(device, b"check")
        assert store.tamper == "attempts_missing"
        assert CONFIRMED not in told or not store.attempts.empty
        store.attempts.append(b"second")
        store = started(device)
        assert store.tamper == "attempts_missing"
        assert bytes(store.attempts.last()).rstrip(b"\0") == b"second"


class RootRepair(_Operation):
    """One bad copy of the root secret is written anew at the start."""

    def __init__(self, copy):
        self.copy = copy

    def prepare(self, device):
        super().prepare(device)
        self.damage(device)

    def damage(self, device):
        device.flip_bit((layout.ROOT[0] + self.copy) * layout.SECTOR_SIZE + 9, 3)

    def change(self, store):
        assert store.provisioned

    def check(self, device, told):
        self.healthy(device)
        assert device.sector(0)[:68] == device.sector(1)[:68]
        device.flip_bit((layout.ROOT[0] + 1 - self.copy) * layout.SECTOR_SIZE + 40, 0)
        self.healthy(device)
        assert device.sector(0)[:68] == device.sector(1)[:68]


_WIPED_GENERATION = 4


class WipeVault(_Operation):
    """The way back from a vault that was tampered with by `damage(device)`."""

    def __init__(self, damage, above=0):
        self.damage = damage
        self.above = above

    def fill(self, store):
        store.credential.write(b"credential")

    def before(self, store):
        while store.vault.generation < _WIPED_GENERATION:
            store.vault.commit([(0x11, b"before")])

    def prepare(self, device):
        super().prepare(device)
        self.damage(device)

    def change(self, store):
        assert store.tamper
        store.wipe_vault(self.above)
        assert store.tamper is None and store.vault.purge_pending

    def operation(self, device, told):
        super().operation(device, told)
        VaultCommit.other_slot_is_gone(device)

    def check(self, device, told):
        store = started(device, b"check")
        assert store.credential.read() == b"credential" and store.attempts.last()
        if store.tamper:
            assert CONFIRMED not in told and NEXT not in told, store.tamper
            store.wipe_vault(self.above)
        assert store.vault.generation > max(_WIPED_GENERATION, self.above)
        VaultCommit.other_slot_is_gone(device)
        told.append(NEXT)
        assert items_of(store.vault.read()) in ([], [(0x11, b"next")])
        store.vault.commit([(0x11, b"next")])
        assert items_of(self.healthy(device).vault.read()) == [(0x11, b"next")]


def flip_vault_bit(device):
    for sector in range(layout.VAULT[0], sum(layout.VAULT)):
        if not blank(device, (sector, 1)):
            device.flip_bit(sector * layout.SECTOR_SIZE + 40, 2)


def swap_vault_slots(device):
    first, second = halves(layout.VAULT)
    for offset in range(first[1]):
        here, there = device.sector(first[0] + offset), device.sector(second[0] + offset)
        device.load_sector(first[0] + offset, there)
        device.load_sector(second[0] + offset, here)


def play_back_vault(device):
    older = {sector: device.sector(sector) for sector in range(layout.VAULT[0], sum(layout.VAULT))}
    started(device, b"played back").vault.commit([(0x11, b"newer")])
    for sector, data in older.items():
        device.load_sector(sector, data)


def erase_guard(device):
    for sector in range(layout.GUARD[0], sum(layout.GUARD)):
        device.load_sector(sector, b"")


class Create(_Operation):
    """Provisioning of a device that is blank, or was begun or erased by a cut."""

    def prepare(self, device):
        """It stays blank."""

    def fill(self, store):
        store.identity.write([(1, b"INK-0001")])
        store.factory.write(b"factory credential")

    def create(self, device, secret):
        store = new_store(device, b"create")
        store.create(secret, self.fill)

    def operation(self, device, told):
        self.create(device, ROOT_SECRET)
        told.append(CONFIRMED)

    def check(self, device, told):
        store = started(device, b"check")
        assert store.tamper is None
        if not store.provisioned:
            assert CONFIRMED not in told
            self.create(device, _OTHER_SECRET)
        self.complete(device)

    def complete(self, device):
        store = self.healthy(device)
        assert store.vault.generation == 1 and store.vault.read() == b""
        assert items_of(store.identity.read()) == [(1, b"INK-0001")]
        assert store.factory.read() == b"factory credential"
        assert store.credential.read() is None and store.settings.read() is None
        assert [ring.head_number for ring in (store.attempts, store.clock, store.audit)] == [1, 1, 1]
        store.vault.commit([(0x11, b"next")])
        assert self.healthy(device).vault.generation == 2


class EraseEverything(Create):
    """A device in use is emptied; the next operation is to provision it anew."""

    def prepare(self, device):
        self.create(device, ROOT_SECRET)
        store = started(device)
        store.vault.commit([(0x11, b"old")])
        for number in range(40):
            store.attempts.append(b"%d" % number)

    def operation(self, device, told):
        new_store(device).erase_everything()
        assert all([device.sector(index) == b"\xff" * layout.SECTOR_SIZE for index in range(layout.SECTOR_COUNT)])
        told.append("erased")

    def check(self, device, told):
        store = started(device, b"check")
        assert store.tamper is None, store.tamper
        if store.provisioned and store.vault.generation != 1:
            assert not told and items_of(store.vault.read()) == [(0x11, b"old")]
            assert store.attempts.head_number == 41
            new_store(device).erase_everything()
            store = started(device)
            assert store.is_blank()
        assert not store.provisioned
        self.create(device, _OTHER_SECRET)
        self.complete(device)


_GUARD_RECORDS = 64

OPERATIONS = {
    "provisioning": Create,
    "erase_everything": EraseEverything,
    "vault_commit": lambda: VaultCommit((60, 900, 100), two_deep=True),
    "vault_commit_many_starts": lambda: VaultCommit((60, 900, 100)),
    "vault_commit_long": lambda: VaultCommit((5000, 9000, 5)),
    "vault_commit_shorter": lambda: VaultCommit((9000, 5, 5000)),
    "vault_commit_purge": lambda: VaultCommit((60, 20, 100), purge=True),
    "vault_purge": VaultPurge,
    "guard_change": lambda: VaultCommit((10, 20, 30), commits_before=_GUARD_RECORDS - 1, two_deep=True),
    "guard_change_many_starts": lambda: VaultCommit((10, 20, 30), commits_before=_GUARD_RECORDS - 1),
    "guard_last_place": lambda: VaultCommit((10, 20, 30), commits_before=_GUARD_RECORDS - 2),
    "pair_first_write": lambda: PairWrite("credential", (None, 200, 30)),
    "pair_write": lambda: PairWrite("credential", (200, 210, 30), two_deep=True),
    "pair_write_many_starts": lambda: PairWrite("credential", (200, 210, 30)),
    "pair_erase_many_starts": lambda: PairWrite("credential", (200, None, 30)),
    "pair_write_long": lambda: PairWrite("identity", (4500, 5000, 30)),
    "pair_erase": lambda: PairWrite("credential", (200, None, 30), two_deep=True),
    "settings_write": lambda: PairWrite("settings", (30, 40, 50)),
    "pair_broken": BrokenPair,
    "attempt": lambda: RingAppend("attempts", 12, two_deep=True),
    "attempt_change_sector": lambda: RingAppend("attempts", 31 * 4, two_deep=True),
    "attempt_second_sector": lambda: RingAppend("attempts", 31),
    "clock_change_sector": lambda: RingAppend("clock", 31 * 9),
    "audit": lambda: RingAppend("audit", 5),
    "audit_change_sector": lambda: RingAppend("audit", 31 * 17),
    "ring_lost": LostRing,
    "ring_forgive": RingForgive,
    "root_repair_first": lambda: RootRepair(0),
    "root_repair_second": lambda: RootRepair(1),
    "wipe_vault_seal": lambda: WipeVault(flip_vault_bit),
    "wipe_vault_swapped": lambda: WipeVault(swap_vault_slots),
    "wipe_vault_played_back": lambda: WipeVault(play_back_vault),
    "wipe_guard": lambda: WipeVault(erase_guard),
    "wipe_above": lambda: WipeVault(erase_guard, above=77),
}
