"""Who waits for news of which module, or of which of the relay's conversations.

A poll waits on an event of this process. News that another replica wrote is found by comparing versions in the database
once a second, in one query for all that wait: the modules' news_version. A phone waits for its conversation in the same
way; read conversation for module, then.
"""

import asyncio
import contextlib
import threading

RECHECK_S = 1.0


class Watch:
    """One poll that waits. `version` is the news_version that it has already seen, None before it has looked."""

    def __init__(self, loop):
        self.event = asyncio.Event()
        self.version = None
        self._loop = loop

    def wake(self):
        """May be called from any thread."""
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self.event.set)


class Wakeups:
    def __init__(self):
        self._watches = {}
        self._lock = threading.Lock()
        self._closing = False

    @property
    def closing(self):
        """The server stops: waiting polls are to answer what they have."""
        return self._closing

    @contextlib.contextmanager
    def watch(self, module_id):
        """Register a Watch for news of a module, from the running loop."""
        watch = Watch(asyncio.get_running_loop())
        with self._lock:
            self._watches.setdefault(module_id, set()).add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                waiting = self._watches[module_id]
                waiting.discard(watch)
                if not waiting:
                    del self._watches[module_id]

    def waiting(self):
        """Ids of the modules that somebody has looked for in vain, and waits for."""
        with self._lock:
            return [
                module_id
                for module_id, watches in self._watches.items()
                if any(watch.version is not None for watch in watches)
            ]

    def count(self, module_id):
        """How many wait for news of a module."""
        with self._lock:
            return len(self._watches.get(module_id, ()))

    def total(self):
        """How many wait for news of anything."""
        with self._lock:
            return sum(map(len, self._watches.values()))

    def notify(self, module_id):
        """There may be news of this module."""
        with self._lock:
            watches = list(self._watches.get(module_id, ()))
        for watch in watches:
            watch.wake()

    def compare(self, versions):
        """Wake whoever has seen an older news_version than the database's; versions: {module id: news_version}."""
        with self._lock:
            behind = [
                watch
                for module_id, version in versions.items()
                for watch in self._watches.get(module_id, ())
                if watch.version != version
            ]
        for watch in behind:
            watch.wake()

    def close(self):
        """Let every waiting poll answer now."""
        with self._lock:
            self._closing = True
            watches = [watch for waiting in self._watches.values() for watch in waiting]
        for watch in watches:
            watch.wake()


async def recheck(wakeups, news_versions):
    """Find news of other replicas, for ever. news_versions: callable (module ids) -> {id: news_version}."""
    while True:
        await asyncio.sleep(RECHECK_S)
        waiting = wakeups.waiting()
        if waiting:
            wakeups.compare(await asyncio.to_thread(news_versions, waiting))
