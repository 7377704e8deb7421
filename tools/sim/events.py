"""What happened in the house, in order. Never a secret: IDs, passwords, codes and keys do not belong here."""

import collections
import time

_KEPT = 400


class EventLog:
    """Numbered events, newest last. `listeners` get each new one.

    An event is a dict: number (from 1), at (ms since 1970), kind, and the
    kind's own details, all of them JSON.
    """

    def __init__(self, clock=time.time):
        self.events = collections.deque(maxlen=_KEPT)
        self.listeners = []
        self._clock = clock
        self._number = 0

    def add(self, kind, **details):
        self._number += 1
        event = {**details, "number": self._number, "at": int(self._clock() * 1000), "kind": kind}
        self.events.append(event)
        for listener in list(self.listeners):
            listener(event)
        return event
