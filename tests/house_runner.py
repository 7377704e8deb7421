"""A virtual house with its page on an event loop in a thread of its own, for tests that block."""

import asyncio
import threading

from tools.sim.house import House
from tools.sim.page.server import Page

_TIMEOUT_S = 60  # the machine may be busy


class RunningHouse:
    """`house` and `page` are started on entry; `call` runs a coroutine or function in their loop.

    overlay: as Module takes it.
    """

    def __init__(self, folder, overlay=None):
        self.house = House(folder, overlay)
        self.page = Page(self.house)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        try:
            self.call(self._start())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)
        self._loop.close()

    def call(self, work):
        """The result of a coroutine, or of a function that is called in the house's thread."""
        return asyncio.run_coroutine_threadsafe(self._do(work), self._loop).result(2 * _TIMEOUT_S)

    def wait_text(self, text):
        """Wait until the text stands on the module's display."""
        return self.call(self.house.module.wait_text(text, _TIMEOUT_S))

    async def _do(self, work):
        return await work if asyncio.iscoroutine(work) else work()

    async def _start(self):
        await self.house.start(fresh=True)
        await self.page.start()

    async def _stop(self):
        await self.page.stop()
        await self.house.stop()
