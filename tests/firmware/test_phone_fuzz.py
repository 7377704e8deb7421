"""R27: a hundred thousand frames and messages that nobody meant, with fixed seeds. `make fuzz` goes on with others."""

import phone_fuzz
from phone_fuzz import used
from phone_rig import run

from firmware import wire

INTERPRETERS = ("micropython",)
HEAP = "4M"  # to collect the garbage of a hundred thousand cases in less takes a third of the time
TIMEOUT_S = 240

FRAME_SEEDS = (0x1D872B41, 0x2545F491, 0x9E3779B9)
SEALED_SEED = 0x6C078965
MESSAGE_SEEDS = (0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F)
LINK_SEED = 0x165667B1

FRAMES = 24_000
SEALED = 10_000
MESSAGES = 6_000
LINKS = 1_000


# The same few cases come before and after, so that what is still pointed to is the same: then the difference is 0, but
# for a block or two of the heap that the stack happens to name. It does not grow with the number of cases.
WARM_SEED = 1
STRAY_BYTES = 64
RIG_BYTES = 768  # sectors that the rig's chip has come to know, and tables that have grown once


def _frames(seed):
    phone_fuzz.frames(WARM_SEED, 500)
    before = used()
    phone_fuzz.frames(seed, FRAMES)
    phone_fuzz.frames(WARM_SEED, 500)
    assert used() - before <= STRAY_BYTES


def test_r27_frames_first():
    _frames(FRAME_SEEDS[0])


def test_r27_frames_second():
    _frames(FRAME_SEEDS[1])


def test_r27_frames_third():
    _frames(FRAME_SEEDS[2])


def test_r27_sealed_frames():
    phone_fuzz.sealed(WARM_SEED, 100)
    before = used()
    phone_fuzz.sealed(SEALED_SEED, SEALED)
    phone_fuzz.sealed(WARM_SEED, 100)
    assert used() - before <= STRAY_BYTES


def _messages(seed):
    async def scenario(rig):
        seen = await phone_fuzz.messages(rig, seed, MESSAGES // 2)
        await phone_fuzz.messages(rig, WARM_SEED, 300)
        before = used()
        seen |= await phone_fuzz.messages(rig, seed + 1, MESSAGES // 2)
        await phone_fuzz.messages(rig, WARM_SEED, 300)
        return seen, used() - before

    seen, grown = run(scenario)
    assert seen == set(wire.ERRORS[1:])
    assert grown <= RIG_BYTES, grown


def test_r27_messages_first():
    _messages(MESSAGE_SEEDS[0])


def test_r27_messages_second():
    _messages(MESSAGE_SEEDS[1])


def test_r27_messages_third():
    _messages(MESSAGE_SEEDS[2])


def test_r27_links():
    async def scenario(rig):
        await phone_fuzz.links(rig, WARM_SEED, 100)
        before = used()
        await phone_fuzz.links(rig, LINK_SEED, LINKS)
        await phone_fuzz.links(rig, WARM_SEED, 100)
        grown = used() - before
        assert rig.attempts.attempts == 0
        await (await rig.linked()).unlock()
        return grown

    grown = run(scenario)
    assert grown <= RIG_BYTES, grown
