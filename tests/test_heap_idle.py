"""R27: what the idle module has in use on the microcontroller's 32-bit words; what is left is for the work."""

import asyncio

import pytest

from tools.bench import heap
from tools.setup.interpreter import WORD_BITS, probe
from tools.sim.module import MICROPYTHON

# Of 131,072; 4,500 of them are the table of names, which grows by that much at 620. Enrolment takes the most beside it,
# and gives back the screens that it does not need (firmware/panel/screens.py): it goes through in 124 KiB.
_MOST_BYTES = 109_000


def test_r27_the_idle_module_leaves_room_for_the_work():
    if probe([MICROPYTHON]).word_bits != WORD_BITS:
        pytest.skip("the interpreter's words are wider than the microcontroller's")
    in_use = asyncio.run(heap.idle())
    print(in_use)
    assert in_use <= _MOST_BYTES
