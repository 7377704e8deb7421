"""Stores that are wrong on purpose. The harness must find each of them out."""

from firmware.store import pair, store, vault
from firmware.store.guard import Guard
from firmware.store.pair import SealedPair
from firmware.store.ring import Ring
from firmware.store.slot import Slot
from firmware.store.vault import Vault
from tests.power.harness import PowerFailure, explore
from tests.power.operations import OPERATIONS


class ErasesFirst(Vault):
    """Makes room before the new snapshot is there."""

    def commit(self, body, purge=False):
        self._current.erase_used()
        super().commit(body, purge)


class BelievesBlank(Vault):
    """Takes a retired slot that reads blank for erased."""

    def _finish(self, old):
        self._guard.append(self._current.generation, self._current.tag)
        old.erase_not_blank()
        self._current.settle()


class KeepsOneSector(Guard):
    """Erases the guard's full sector before the new record is anywhere."""

    def _change_sector(self):
        self._window.erase(self._sector)
        super()._change_sector()


class ErasesPairFirst(SealedPair):
    """Makes room before the new contents are there."""

    def write(self, body):
        if self._current:
            self._current.erase_used()
        super().write(body)


class BelievesBlankPair(SealedPair):
    """Takes a retired slot that reads blank for erased."""

    def _settle(self, other):
        other.erase_not_blank()


class TrustsWeakBits(Slot):
    """Goes on with a snapshot whose last program may have been cut, as it is."""

    def make_firm(self):
        return True


class TrustsWeakGuard(Vault):
    """Goes on with a guard record whose program may have been cut, as it is."""

    def _finish(self, old):
        if self._guard.generation != self._current.generation:
            self._guard.append(self._current.generation, self._current.tag)
        old.erase_all()
        self._current.settle()


class TrustsWeakRecord(Ring):
    """Chains the next record to one whose program may have been cut."""

    def _make_firm(self):
        return True


class FillsGaps(Ring):
    """Puts the next record where the last one was torn."""

    def start(self):
        super().start()
        self._next -= self.broken_after_last


# name: the class, the module and the name that it stands in for, and the operation that shows it
WRONG = {
    "erases_first": (ErasesFirst, store, "Vault", "vault_commit"),
    "believes_blank": (BelievesBlank, store, "Vault", "vault_commit"),
    "keeps_one_sector": (KeepsOneSector, store, "Guard", "guard_change"),
    "erases_pair_first": (ErasesPairFirst, store, "SealedPair", "pair_write"),
    "believes_blank_pair": (BelievesBlankPair, store, "SealedPair", "pair_write"),
    "trusts_weak_bits": (TrustsWeakBits, vault, "Slot", "vault_commit_many_starts"),
    "trusts_weak_bits_of_pair": (TrustsWeakBits, pair, "Slot", "pair_write_many_starts"),
    "trusts_weak_guard": (TrustsWeakGuard, store, "Vault", "vault_commit_many_starts"),
    "trusts_weak_record": (TrustsWeakRecord, store, "Ring", "attempt"),
    "fills_gaps": (FillsGaps, store, "Ring", "attempt"),
}


def failure_of(name):
    """What the harness says about a wrong store, or None if it is content."""
    kind, module, stands_for, operation = WRONG[name]
    right = getattr(module, stands_for)
    setattr(module, stands_for, kind)
    try:
        work = OPERATIONS[operation]()
        explore(work.make_device, work.prepare, work.operation, work.check)
    except PowerFailure as error:
        return str(error)
    finally:
        setattr(module, stands_for, right)
    return None
