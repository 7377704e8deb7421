"""Stores that are wrong on purpose. The harness must find each of them out."""

from firmware.store import store
from firmware.store.guard import Guard
from firmware.store.pair import SealedPair
from firmware.store.ring import Ring
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


class FillsGaps(Ring):
    """Puts the next record where the last one was torn."""

    def start(self):
        super().start()
        self._next -= self.broken_after_last


# name: the class, what it stands in for, and the operation that shows it
WRONG = {
    "erases_first": (ErasesFirst, "Vault", "vault_commit"),
    "believes_blank": (BelievesBlank, "Vault", "vault_commit"),
    "keeps_one_sector": (KeepsOneSector, "Guard", "guard_change"),
    "erases_pair_first": (ErasesPairFirst, "SealedPair", "pair_write"),
    "believes_blank_pair": (BelievesBlankPair, "SealedPair", "pair_write"),
    "fills_gaps": (FillsGaps, "Ring", "attempt"),
}


def failure_of(name):
    """What the harness says about a wrong store, or None if it is content."""
    kind, stands_for, operation = WRONG[name]
    right = getattr(store, stands_for)
    setattr(store, stands_for, kind)
    try:
        work = OPERATIONS[operation]()
        explore(work.make_device, work.prepare, work.operation, work.check)
    except PowerFailure as error:
        return str(error)
    finally:
        setattr(store, stands_for, right)
    return None
