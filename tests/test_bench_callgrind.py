"""The instruction counts that the figures rest on."""

import pytest

from tools.bench.callgrind import VALGRIND, CallgrindError, instructions, instructions_of

pytestmark = pytest.mark.skipif(not VALGRIND.exists(), reason="no Valgrind here that counts the interpreter")

LOOP = "for i in range(%d):\n    pass\n"


def test_start_up_cancels_and_work_adds_up():
    once = instructions_of(LOOP % 2000, "import gc\n")
    twice = instructions_of(LOOP % 4000, "import gc\n")
    assert 1.9 < twice / once < 2.1
    assert abs(instructions_of("", "import gc\n")) < 1000


def test_the_firmware_is_on_the_path():
    assert instructions("from firmware.crypto import hmac\n") > 0


def test_a_script_that_fails_is_no_figure():
    with pytest.raises(CallgrindError, match="NameError"):
        instructions("nonsense\n")
