"""R27: what the idle module has in use on the microcontroller's 32-bit words; what is left is for the work."""

import asyncio

import pytest

from tools.bench import heap
from tools.setup.interpreter import narrow

_MOST_BYTES = 86_000  # of 131,072


def test_r27_the_idle_module_leaves_room_for_the_work():
    interpreter = narrow()
    if interpreter is None:
        pytest.skip("no interpreter with 32-bit words is here: python3 -m tools.setup interpreter32")
    in_use = asyncio.run(heap.idle(interpreter))
    print(in_use)
    assert in_use <= _MOST_BYTES
