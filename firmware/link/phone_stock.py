"""Prepared values of SPAKE2+ in stock (S3): one set for the credential that can be judged, in RAM alone."""

import asyncio

from firmware import settings
from firmware.modules import forget


class Stock:
    """`fill` makes a set in slices, `take` gives it away; with its credential it is gone.

    A set is what `Prepared.take` gives, and holds none of the arithmetic: `rest` gives back the RAM of that.
    """

    def __init__(self, acquisition, random, sleep_ms):
        self._random = random
        self._sleep_ms = sleep_ms
        self._credential = None
        self._prepared = None
        self._loaded = False  # the arithmetic is in RAM
        self._filled = asyncio.Event()
        acquisition.listeners.append(self._look_at_credential)

    def holds(self, credential):
        """True if there is a set for it."""
        return self._prepared is not None and self._credential is credential

    async def fill(self, credential):
        """Make a set unless there is one; other work goes on between its multiplications."""
        if self.holds(credential):
            return
        self._let_go()
        from firmware.crypto.spake2plus_verifier import Prepared

        self._loaded = True
        prepared = Prepared(credential.w0, credential.l, self._random)
        while not prepared.step():
            await self._sleep_ms(0)
            if credential.w0 is None:  # it has ended meanwhile
                self.drop()
                return
        self._credential = credential
        self._prepared = prepared.take()
        self._filled.set()

    async def wait(self):
        """Until there is another set than what may be here; asyncio.TimeoutError after 10 s."""
        self._let_go()
        await asyncio.wait_for(self._filled.wait(), settings.PHONE_PREPARED_S)

    def take(self, credential):
        """The set, which serves once, or None where there is none for this credential."""
        prepared = self._prepared if self.holds(credential) else None
        self._let_go()
        return prepared

    def use(self):
        """The arithmetic is about to be loaded by somebody else, who leaves it to `rest` and `drop`."""
        self._loaded = True

    def drop(self):
        """Forget the set, and give back the RAM of the arithmetic."""
        self._let_go()
        self.rest()

    def rest(self):
        """Give back the RAM of the arithmetic; the set stays."""
        if self._loaded:
            self._loaded = False
            forget("firmware.crypto.spake2plus_verifier", "firmware.crypto.p256_base", "firmware.crypto.p256")

    def _let_go(self):
        self._credential = self._prepared = None
        self._filled.clear()

    def _look_at_credential(self):
        if self._credential and self._credential.w0 is None:
            self._let_go()
