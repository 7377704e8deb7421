"""An event loop whose time passes only while nothing can run, on either interpreter: minutes take no time.

`run(coroutine)` runs one in it; `now_ms()` is its time, `advance(ms)` lets some pass at once.
"""

import asyncio
import sys

_MICROPYTHON = sys.implementation.name == "micropython"

_now_ms = 0


def now_ms():
    return _now_ms


def advance(ms):
    global _now_ms
    _now_ms += ms


def run(coroutine):
    """The coroutine's result. RuntimeError if it waits for what never comes."""
    global _now_ms
    _now_ms = 0
    return _run(coroutine)


async def sleep_ms(ms):
    await asyncio.sleep(ms / 1000)


if _MICROPYTHON:
    from asyncio import core
    from time import ticks_add
    from time import ticks_ms as real_ticks_ms

    _AHEAD_MS = 1 << 28  # what is to run at once carries real ticks, and has to be due

    class _Queue:
        """In the place of asyncio's IOQueue: no files, and nobody waits."""

        def __init__(self):
            self.map = {}

        def wait_io_event(self, ms):
            if ms > 0:
                advance(ms)

    def _run(coroutine):
        start = ticks_add(real_ticks_ms(), _AHEAD_MS)
        asyncio.new_event_loop()
        core._io_queue = _Queue()
        core.ticks = lambda: ticks_add(start, _now_ms)
        results = []

        async def main():
            results.append(await coroutine)

        try:
            asyncio.run(main())
        finally:
            core.ticks = real_ticks_ms
            asyncio.new_event_loop()
        if not results:
            raise RuntimeError("it waits for what never comes")
        return results[0]

else:
    import math
    import selectors

    class _Selector(selectors.DefaultSelector):
        def select(self, timeout=None):
            found = super().select(0)
            if not found:
                if timeout is None:
                    raise RuntimeError("it waits for what never comes")
                advance(math.ceil(timeout * 1000 - 1e-6))  # whole milliseconds, as on the module
            return found

    class _Loop(asyncio.SelectorEventLoop):
        def time(self):
            return _now_ms / 1000

    def _run(coroutine):
        loop = _Loop(_Selector())
        try:
            return loop.run_until_complete(coroutine)
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.wait(tasks))
            loop.close()
