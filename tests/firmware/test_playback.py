"""S9, S10: an older copy of any set of flash areas is put back, while the server has a memory."""

from link_rig import LinkRig
from unit_rig import Rig, blank_flash, message, provision

from firmware import settings
from firmware.errors import AuthError
from firmware.store import layout
from firmware.unique_info import UniqueInfo
from tests.dual import raises

INTERPRETERS = ("micropython",)  # as the link does
HEAP = {"test_s9_s10_whatever_is_put_back_is_found_out_or_wins_nothing": "256wK"}  # several lives of one chip

CONNECTION = settings.ISSUER_CONNECTION
NAME = 0x11
FAILURES = 3  # that the newest credential allows; two are spent

# What changes in a life, but for settings, which count nothing. Root secret and identity are as they were made.
AREAS = {
    "guard": layout.GUARD,
    "vault": layout.VAULT,
    "credential": layout.CREDENTIAL,
    "factory": layout.FACTORY,
    "attempts": layout.ATTEMPTS,
    "clock": layout.CLOCK,
    "audit": layout.AUDIT,
}


def sectors_of(areas):
    return [sector for area in areas for sector in range(AREAS[area][0], sum(AREAS[area]))]


def a_life():
    """(device as it is now, an older copy of it). Then the factory credential was unused and guesses were many."""
    device = blank_flash()
    provision(device, factory=True)
    rig = Rig(device)
    rig.acquisition.accept(message(1, max_failures=100), CONNECTION)
    rig.open().change(1, 1, {NAME: "older"})
    older = device.fork()
    rig.acquisition.revoke(CONNECTION, 1)  # ends the session
    rig = Rig(device)
    rig.open().close("done")  # the factory credential's only success
    rig.acquisition.accept(message(2, max_failures=FAILURES, max_successes=100), CONNECTION)
    for name in ("a", "b", "now"):
        rig = Rig(device)
        session = rig.open()
        session.change(1, session.generation, {NAME: name})
        session.close("done")
    rig.fail()
    rig.fail()
    return device, older


def put_back(device, older, areas):
    device = device.fork()
    for sector in sectors_of(areas):
        device.load_sector(sector, older.sector(sector))
    return device


class Module:
    """A module that has started and said hello to a server that has seen as much as `remembered` before."""

    def __init__(self, device, remembered):
        self.rig = Rig(device, now=None)
        self.link = LinkRig(self.rig, rolled_back=lambda: self.rig.detection.latch("remote_rollback"))
        self.link.server.hello = self._hello
        self._remembered = remembered

    def _hello(self, asked):
        answer = self.link.server.good_hello(asked)
        for name, value in self._remembered.items():
            answer["highest"][name] = max(value, answer["highest"][name])
        self.highest = answer["highest"]
        return answer

    async def say_hello(self):
        self.local = self.rig.detection.tamper
        await self.link.until_asked("poll")
        await self.link.stop()
        return self.rig.detection.tamper

    def won(self):
        """What the one who put something back has got by it."""
        rig = self.rig
        credential = rig.acquisition.current()
        found = []
        if UniqueInfo(rig.detection.read()).get(NAME) != b"now":
            found.append("older information")
        if credential and (credential.sequence, credential.failures_left(settings.DOOR_KEYPAD)) != (2, 1):
            found.append("guesses")
        if not rig.attempts.factory_ended or rig.acquisition.highest(CONNECTION) != 2:
            found.append("another credential")
        return found


def subsets(names):
    for number in range(1 << len(names)):
        yield tuple([name for bit, name in enumerate(names) if number >> bit & 1])


async def test_s9_s10_whatever_is_put_back_is_found_out_or_wins_nothing():
    device, older = a_life()
    changed = {sector for sector in range(layout.SECTOR_COUNT) if device.sector(sector) != older.sector(sector)}
    assert changed <= set(sectors_of(AREAS))  # so all areas put back are all of flash
    asked = Module(device.fork(), {})
    assert await asked.say_hello() is None and asked.won() == []
    silent = []
    local = 0
    for areas in subsets(tuple(AREAS)):
        module = Module(put_back(device, older, areas), asked.highest)
        if await module.say_hello() is None:
            assert module.won() == [], areas
            silent.append(set(areas))
        else:
            with raises(AuthError) as caught:
                module.rig.open()
            assert caught.value.code == "tampered", areas
            local += module.local is not None
    every = 1 << len(AREAS)
    print(
        "%d sets put back: %d seen by the module, %d by the server alone" % (every, local, every - local - len(silent))
    )
    # For the totals know which credentials are over.
    for areas in subsets(("credential", "factory")):
        silent.remove(set(areas))
    assert silent == []


async def test_s10_without_the_servers_memory_all_of_flash_put_back_goes_unseen():
    """What the test above rests on: locally there is nothing to see, and the guesses are there again."""
    device, older = a_life()
    module = Module(put_back(device, older, tuple(AREAS)), {})
    assert await module.say_hello() is None
    assert module.won() == ["older information", "guesses", "another credential"]
