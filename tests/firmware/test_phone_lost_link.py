"""R18, S6, S1: the link is lost with every piece of operation 2, in both directions, and the phone goes on.

A piece is what one write over BLE carries at the least MTU.
"""

import sys

from phone_rig import Gone, Refused, change, delete, ended_of, result_of, run
from unit_rig import get
from virtual_time import sleep_ms

from firmware import settings, wire
from firmware.errors import LinkError

HEAP = "256wK"  # a phone is in it too, with its own points and frames
TIMEOUT_S = 120

PIECE = 20
MICROPYTHON = sys.implementation.name == "micropython"

FIELDS = (0x11, b"Emma"), (0x12, b"1234567"), (0x41, b"5500")
STATUS = bytes((wire.STATUS,))
VIEW = bytes((wire.VIEW, 1))
END = bytes((wire.END,))


class Losses:
    """Loses a link with the pieces whose turns are in `at`, counted over both directions from the first one on.

    arrives: the piece itself still arrives.
    """

    def __init__(self, at, arrives):
        self.count = 0
        self.lost = 0
        self._at = at
        self._arrives = arrives

    def watch(self, phone):
        for end in (phone.end, phone.module_end):
            end.gate = lambda data, end=end: self._gate(end, data)
        return phone

    def _gate(self, end, data):
        for start in range(0, len(data), PIECE):
            self.count += 1
            if self.count in self._at:
                self.lost += 1
                end.other.put(data[: start + PIECE if self._arrives else start])
                return None
        return data


async def unlocked(rig, losses):
    """A phone with a session, however often it has to log in. Returns it and how often it did."""
    tries = 0
    while True:
        phone = losses.watch(await rig.linked())
        tries += 1
        try:
            await phone.unlock()
            return phone, tries
        except Refused as error:
            # It had not noticed yet that the phone is gone, or it keeps the session that the phone knows nothing of.
            assert error.code in ("busy", "delayed"), error.code
            phone.end.close()
            await sleep_ms(settings.PHONE_NO_LINK_MS)
            tries -= 1
        except (Gone, LinkError):
            if phone.keys:  # it has proved itself, so there may be a session
                resumed = await resume(rig, phone, losses)
                if resumed:
                    return phone, tries


async def resume(rig, phone, losses):
    """Whether the session goes on over another link."""
    while True:
        link = losses.watch(rig.link())
        try:
            await phone.resume(link.end)
            await phone.ask(STATUS)
            return True
        except Refused as error:
            assert error.code == "no_session", error.code
            return False
        except (Gone, LinkError):
            await sleep_ms(1000)


async def ask(rig, phone, losses, text):
    while True:
        try:
            return await phone.ask(text)
        except (Gone, LinkError):
            if not await resume(rig, phone, losses):
                return None


async def operation_2(rig, losses):
    phone, tries = await unlocked(rig, losses)
    results = [
        result_of(await ask(rig, phone, losses, change(1, 1, *FIELDS))),
        result_of(await ask(rig, phone, losses, delete(2, 2, settings.GROUP_CUSTOMER))),
    ]
    assert (await ask(rig, phone, losses, VIEW))[0] == wire.VIEW_IS
    ended = await ask(rig, phone, losses, END)
    assert ended is None or ended_of(ended) == "done"
    assert [result[:2] for result in results] == [(2, 19), (3, 18)]
    return results, tries


def lost(at, arrives):
    """Operation 2 with these losses; returns (pieces, losses, answers that were repeated, log-ins)."""

    async def scenario(rig):
        losses = Losses(at, arrives)
        results, tries = await operation_2(rig, losses)
        await sleep_ms(1000)
        attempts = rig.attempts
        assert attempts.changes == 2
        assert [get(rig.device, field_id) is None for field_id, _ in FIELDS] == [True, True, False]
        assert attempts.successes <= tries and attempts.failures + attempts.successes == attempts.attempts <= tries
        assert rig.control.session is None
        return losses.count, losses.lost, sum([result[2] for result in results]), tries

    return run(scenario, max_failures=20, max_successes=9)


def test_s6_nothing_is_done_twice_whichever_piece_the_link_is_lost_with():
    pieces, losses, repeated, tries = lost((), False)
    assert (losses, repeated, tries) == (0, 0, 1)
    assert pieces > 40
    step = 9 if MICROPYTHON else 1
    repeats = []
    for arrives in (False, True):
        for first in range(1 + step // 2 * arrives, pieces + 1, step):
            _, losses, repeated, _ = lost((first,), arrives)
            assert losses == 1
            repeats.append(repeated)
    print("links lost:", len(repeats), "of", 2 * pieces, "answers repeated:", sum(repeats))
    assert MICROPYTHON or sum(repeats) > 4  # it was done, and the answer was lost


def test_s6_nothing_is_done_twice_if_resuming_is_interrupted_too():
    pieces = lost((), False)[0]
    step = 41 if MICROPYTHON else 5
    for first in range(1, pieces + 1, step):
        for then in (1, 4, 7):
            for arrives in (False, True):
                lost((first, first + then), arrives)
