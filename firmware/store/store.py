"""All of the module's flash, opened in the right order (docs/format.md)."""

from micropython import const

from firmware.errors import StoreError, TamperError
from firmware.store import layout
from firmware.store.guard import Guard
from firmware.store.pair import SealedPair
from firmware.store.ring import Ring
from firmware.store.root import ProvisioningMark, RootSecret, keys
from firmware.store.vault import Vault
from firmware.store.window import Window

_READS = const(3)  # that must agree before a ring counts as lost
_FIRST_RECORD = bytes(1)

_PAIRS = (
    ("credential", layout.CREDENTIAL, b"inkan credential", b"IKC1"),
    ("factory", layout.FACTORY, b"inkan factory credential", b"IKF1"),
    ("identity", layout.IDENTITY, b"inkan identity", b"IKI1"),
    ("settings", layout.SETTINGS, b"inkan settings", b"IKS1"),
)
_RINGS = (
    ("attempts", layout.ATTEMPTS, b"inkan attempts", layout.ATTEMPTS_RING_ID),
    ("clock", layout.CLOCK, b"inkan clock", layout.CLOCK_RING_ID),
    ("audit", layout.AUDIT, b"inkan audit", layout.AUDIT_RING_ID),
)


class Store:
    """Opens what is on a device, or provisions it.

    random(n) gives n bytes; it is called for writes that somebody asked for,
    never by `start`. After `start`:

    provisioned   False: nothing below is there, `create` is what can be done.
    tamper        None, or the first finding that bars the unique information:
                  root_missing, root_mismatch (nothing below is there, only
                  `erase_everything` helps), vault_..., guard_..., identity_seal,
                  attempts_missing, clock_missing, audit_missing.
    findings      tuple of all of these and of what is only to be reported:
                  settings_seal, attempts_chain, clock_chain, audit_chain.
    random_seed   64 secret bytes for the random generator's personalization (S17).
    vault, guard; credential, factory, identity, settings (SealedPair);
    attempts, clock, audit (Ring); readings (Window). They are usable whatever
    `tamper` says, but for the vault, which raises TamperError.
    A credential pair with `broken` set was found so and is erased by now.
    """

    def __init__(self, device, random):
        self._random = random
        self._all = Window(device, 0, layout.SECTOR_COUNT)
        self._root = RootSecret(self._window(layout.ROOT), self._rest_is_blank)
        self._mark = ProvisioningMark(self._window(layout.PROVISIONED))
        self._close()

    def _close(self):
        self.provisioned = False
        self.tamper = None
        self.findings = ()
        self.guard = self.vault = None
        self.credential = self.factory = self.identity = self.settings = None
        self.attempts = self.clock = self.audit = self.readings = None
        self.random_seed = None

    def is_blank(self):
        """True if there is nothing at all on the device."""
        return self._all.all_blank()

    def start(self):
        """Open everything and finish what a power cut left undone. Raises nothing but FlashError."""
        self._start()

    def create(self, secret, fill=None):
        """Provision a device that is not: the 32-byte root secret, an empty vault of generation 1, the rings.

        fill(store) may write identity, factory credential and settings; it is
        part of the whole, so that a cut leaves a device that is not provisioned.
        `StoreError` on a device that is provisioned or tampered with.
        """
        something = self._start()
        if self.provisioned or self.tamper:
            raise StoreError()
        self._erase(blank=not something)
        self._root.create(secret)
        self._open(secret)
        self.vault.create()
        for name, _, _, _ in _RINGS:
            getattr(self, name).append(_FIRST_RECORD)
        if fill:
            fill(self)
        self._mark.write(secret)
        self.provisioned = True

    def erase_everything(self):
        """Leave a device that holds nothing. A cut leaves one that is not provisioned."""
        try:
            blank = self._root.load() is None
        except TamperError:
            blank = False
        self._close()
        self._erase(blank)

    def wipe_vault(self, above=0):
        """The way back from tamper with vault, guard or rings: an empty vault, with purge pending.

        Its generation is higher than all that were seen and than `above`, the
        server's memory. Whoever calls it next erases the readings
        (`readings.erase_not_blank()`) and commits without the purge flag.
        """
        self.vault.wipe(above)
        for name, _, _, _ in _RINGS:
            getattr(self, name).forgive()
        self.findings = tuple([what for what in self.findings if what == "identity_seal"])
        self.tamper = self.findings[0] if self.findings else None

    def _start(self):
        """Returns False if the device is blank but for the mark."""
        self._close()
        try:
            secret = self._root.load()
        except TamperError as error:
            # Once erasing everything has begun, a missing root secret is meant.
            if not self._mark.is_void():
                self._found(error.what)
            return True
        if not secret:
            return False
        if self._mark.is_valid(secret):
            self._start_provisioned(secret)
        return True

    def _start_provisioned(self, secret):
        self.provisioned = True
        self._root.repair(secret)
        self._open(secret)
        try:
            self.vault.start()
        except TamperError as error:
            self._found(error.what)
        for name, _, _, _ in _PAIRS:
            pair = getattr(self, name)
            pair.start()
            if pair.broken:
                self._pair_broken(name, pair)
        for name, _, _, _ in _RINGS:
            ring = getattr(self, name)
            for _ in range(_READS):
                ring.start()
                if not ring.empty:
                    break
            else:
                ring.begin_anew()
            if ring.losses:
                self._found(name + "_missing")
            elif ring.chain_breaks:
                self._found(name + "_chain", bars=False)

    def _erase(self, blank):
        if blank:
            # Nothing but the mark can be there, and its own erase may have been cut.
            self._all.erase(layout.PROVISIONED[0])
        if not self._mark.is_void():
            self._mark.make_void()
        for sector in range(layout.SECTOR_COUNT):
            if sector != layout.PROVISIONED[0]:
                self._all.erase(sector)
        self._all.erase(layout.PROVISIONED[0])

    def _open(self, secret):
        random = self._random
        self.random_seed = keys(secret, b"inkan random")
        self.guard = Guard(self._window(layout.GUARD), keys(secret, b"inkan guard"))
        self.vault = Vault(self._window(layout.VAULT), self.guard, keys(secret, b"inkan vault"), random)
        for name, area, label, magic in _PAIRS:
            setattr(self, name, SealedPair(self._window(area), keys(secret, label), label, magic, random))
        for name, area, label, ring_id in _RINGS:
            setattr(self, name, Ring(self._window(area), keys(secret, label), ring_id, label, random))
        self.readings = self._window(layout.READINGS)

    def _pair_broken(self, name, pair):
        if name == "identity":
            self._found("identity_seal")
            return
        if name == "settings":
            self._found("settings_seal", bars=False)
        pair.erase()
        pair.broken = True

    def _found(self, what, bars=True):
        self.findings += (what,)
        if bars and not self.tamper:
            self.tamper = what

    def _window(self, area):
        return self._all.part(area[0], area[1])

    def _rest_is_blank(self):
        for sector in range(2, layout.SECTOR_COUNT):
            if sector != layout.PROVISIONED[0] and not self._all.is_blank(sector):
                return False
        return True
