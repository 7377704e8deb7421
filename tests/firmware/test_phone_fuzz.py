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


# What is left behind for each case would be a block of the heap, 32 bytes; what asyncio and the stack still
# point to is a byte or two.


def _frames(seed):
    phone_fuzz.frames(seed, 500)
    before = used()
    phone_fuzz.frames(seed, FRAMES)
    assert used() - before < FRAMES


def test_r27_frames_first():
    _frames(FRAME_SEEDS[0])


def test_r27_frames_second():
    _frames(FRAME_SEEDS[1])


def test_r27_frames_third():
    _frames(FRAME_SEEDS[2])


def test_r27_sealed_frames():
    phone_fuzz.sealed(SEALED_SEED, 100)
    before = used()
    phone_fuzz.sealed(SEALED_SEED, SEALED)
    assert used() - before < SEALED


def _messages(seed):
    async def scenario(rig):
        return await phone_fuzz.messages(rig, seed, MESSAGES)

    seen, grown = run(scenario)
    assert seen == set(wire.ERRORS[1:])
    assert grown < 2 * MESSAGES, grown


def test_r27_messages_first():
    _messages(MESSAGE_SEEDS[0])


def test_r27_messages_second():
    _messages(MESSAGE_SEEDS[1])


def test_r27_messages_third():
    _messages(MESSAGE_SEEDS[2])


def test_r27_links():
    async def scenario(rig):
        await phone_fuzz.links(rig, LINK_SEED, 100)
        before = used(rig)
        await phone_fuzz.links(rig, LINK_SEED, LINKS)
        grown = used(rig) - before
        assert rig.attempts.attempts == 0
        await (await rig.linked()).unlock()
        return grown

    grown = run(scenario)
    assert grown < 8 * LINKS, grown
