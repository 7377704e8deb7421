"""S17: the application's own generator, with a radio behind it that always gives the same bytes."""

import virtual_time
from phone_rig import PhoneRig, phone_message
from unit_rig import blank_flash, provision, random

from firmware import settings, wire
from firmware.app import App, Random
from firmware.store.store import Store

HEAP = "512wK"  # a phone is in it too, and the whole application's code
TIMEOUT_S = 120
INTERPRETERS = ("micropython",)  # the application's link wants its TLS

CONNECTION = settings.ISSUER_CONNECTION
WRONG = "00000000"


class StuckBoard:
    """Its radio gives the same bytes each time."""

    @staticmethod
    def entropy(size):
        return bytes(size)


class Seeded:
    """As much of an App as seeds its generator."""

    def __init__(self, device):
        self.board = StuckBoard
        self.random = Random()
        self.store = Store(device, random)
        self.store.start()
        App._seed(self)


def test_s17_a_stuck_generator_gives_no_y_and_no_iv_twice():
    device = blank_flash()
    provision(device)
    PhoneRig(device).acquisition.accept(phone_message(1, max_failures=100, max_successes=100), CONNECTION)
    ys, ivs, shares, nonces = [], [], [], []

    async def boot_once(rig, app):
        take = rig.unit._stock.take

        def record(credential):
            prepared = take(credential)
            ys.append(prepared[1])
            return prepared

        rig.unit._stock.take = record
        phone = await rig.linked()
        assert not await phone.share(password=WRONG)
        shares.append(phone.share_v)
        await phone.send(wire.GIVE_UP)
        await phone.refusal()
        app.random.generator.reseed(StuckBoard.entropy(48))
        phone = await rig.unlocked()
        shares.append(phone.share_v)
        await phone.ask(bytes((wire.STATUS,)))
        ends = [phone.module_end]
        link = rig.link()
        await phone.resume(link.end)
        ends.append(link.module_end)
        for _ in range(3):
            await phone.ask(bytes((wire.VIEW, 1)))
        for end in ends:
            collect(end.sent, ivs, nonces)

    boots = 3
    for _ in range(boots):

        async def main():
            app = Seeded(device)
            rig = PhoneRig(device, random=app.random)
            rig.start()
            try:
                await boot_once(rig, app)
            finally:
                rig.power_off()

        virtual_time.run(main())
    assert (len(ys), len(shares), len(ivs), len(nonces)) == (2 * boots, 2 * boots, 5 * boots, boots)
    drawn = [y.to_bytes(32, "big")[:16] for y in ys] + ivs + nonces
    assert len(set(drawn)) == len(drawn)
    assert len(set(shares)) == len(shares)


def collect(sent, ivs, nonces):
    """What is random in the frames that a module has sent."""
    reader = wire.FrameReader()
    for at in range(len(sent)):
        reader.room()[:1][:] = sent[at : at + 1]
        reader.add(1)
        frame = reader.next()
        if frame is not None and frame[0] == wire.SEALED_M:
            ivs.append(bytes(frame[1:17]))
        elif frame is not None and frame[0] == wire.RESUMED:
            nonces.append(bytes(frame[1:17]))
