"""The technician's phones: each a radio in the module's air, all of them near, or all out of reach."""

import asyncio
import contextlib
import importlib


class Phones:
    """`near`; `listeners` are called without arguments when that is another."""

    def __init__(self, module):
        self.near = True
        self.listeners = []
        self._module = module
        self._radios = set()

    @contextlib.asynccontextmanager
    async def radio(self):
        """A PhoneRadio (tools/sim/phone_radio.py) that is on for as long as it is wanted."""
        # Bumble is imported beside the event loop, and for those only who want it.
        radios = await asyncio.to_thread(importlib.import_module, "tools.sim.phone_radio")
        async with radios.PhoneRadio(self._module.air) as radio:
            self._radios.add(radio)
            try:
                if not self.near:
                    radio.vanish()
                yield radio
            finally:
                self._radios.discard(radio)

    def carry_away(self):
        """Out of the module's reach. Either end of a link notices a little later."""
        self._carry(False)

    def bring_back(self):
        self._carry(True)

    def _carry(self, near):
        if near == self.near:
            return
        self.near = near
        for radio in self._radios:
            if near:
                radio.come_back()
            else:
                radio.vanish()
        for listener in list(self.listeners):
            listener()
