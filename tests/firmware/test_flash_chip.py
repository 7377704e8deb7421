"""The NOR flash chip model, on both interpreters."""

from tests.dual import raises
from tools.sim.chips.flash import SECTOR_SIZE, FlashMisuse, NorFlash, PowerCut


def _chip():
    return NorFlash(4 * SECTOR_SIZE)


def _read(chip, address, size):
    buffer = bytearray(size)
    chip.read(address, buffer)
    return bytes(buffer)


def test_a_program_only_clears_bits_and_an_erase_sets_a_sector():
    chip = _chip()
    assert _read(chip, 4090, 12) == b"\xff" * 12
    chip.program(4090, b"across here!")
    assert _read(chip, 4090, 12) == b"across here!"
    chip.program(4090, bytes(2))
    assert _read(chip, 4088, 5) == b"\xff\xff\0\0r"
    chip.erase(1)
    assert _read(chip, 4092, 8) == b"ross\xff\xff\xff\xff"
    assert (chip.programs, chip.bytes_programmed, chip.erases, chip.reads, chip.bytes_read) == (2, 14, 1, 4, 37)


def test_a_one_over_a_zero_is_a_misuse():
    chip = _chip()
    chip.program(0, b"\x0f")
    with raises(FlashMisuse):
        chip.program(0, b"\x1e")
    assert len(chip.misuses) == 1
    lenient = NorFlash(SECTOR_SIZE, strict=False)
    lenient.program(0, b"\x0f")
    lenient.program(0, b"\x1e")
    assert _read(lenient, 0, 1) == b"\x0e" and len(lenient.misuses) == 1


def test_addresses_off_the_chip_are_a_misuse():
    chip = _chip()
    for call in (
        lambda: chip.read(4 * SECTOR_SIZE - 1, bytearray(2)),
        lambda: chip.program(-1, b"a"),
        lambda: chip.erase(4),
    ):
        with raises(FlashMisuse):
            call()


def test_a_cut_tears_the_operation_that_was_named_and_nothing_works_until_power_is_back():
    chip = _chip()
    chip.program(0, b"old")
    chip.cut_at(1, ("bytes", 2, 0x0F))
    chip.program(100, b"first")
    with raises(PowerCut):
        chip.program(200, b"\x00\x00\x00\x00")
    for call in (lambda: chip.read(0, bytearray(1)), lambda: chip.erase(0), lambda: chip.program(300, b"x")):
        with raises(PowerCut):
            call()
    chip.power_on()
    assert _read(chip, 100, 5) == b"first"
    assert _read(chip, 200, 5) == b"\x00\x00\xf0\xff\xff"
    chip.program(300, b"x")


def test_before_is_nothing_and_after_is_all():
    for torn, expected in (("before", b"\xff\xff"), ("after", b"ab"), (("weak", 0, 0x00), b"\xff\xff")):
        chip = _chip()
        chip.cut_at(0, torn)
        with raises(PowerCut):
            chip.program(0, b"ab")
        chip.power_on()
        assert _read(chip, 0, 2) == expected


def test_a_power_cut_passes_handlers_of_ordinary_errors():
    chip = _chip()
    chip.cut_at(0, "before")
    with raises(PowerCut):
        try:
            chip.erase(0)
        except Exception:
            raise AssertionError("was swallowed")


def test_a_torn_erase_can_leave_a_part_or_a_sector_that_reads_differently():
    for torn in (("head", 16), ("tail", 16)):
        chip = _chip()
        chip.program(0, bytes(SECTOR_SIZE))
        chip.cut_at(0, torn)
        with raises(PowerCut):
            chip.erase(0)
        chip.power_on()
        erased = 0 if torn[0] == "head" else SECTOR_SIZE - 16
        assert _read(chip, erased, 16) == b"\xff" * 16
        assert _read(chip, 16, 64) == bytes(64)
    for torn in ("noisy", "random", "flicker", "hiding"):
        chip = _chip()
        chip.program(0, bytes(SECTOR_SIZE))
        chip.cut_at(0, torn)
        with raises(PowerCut):
            chip.erase(0)
        chip.power_on()
        twin = chip.fork()
        reads = [_read(chip, 0, 64) for _ in range(24)]
        assert len(set(reads)) > 1, torn
        assert reads == [_read(twin, 0, 64) for _ in range(24)]
        with raises(FlashMisuse):
            chip.program(0, b"a")
        chip.erase(0)
        assert _read(chip, 0, 64) == b"\xff" * 64
        chip.program(0, b"a")


def test_weak_bytes_read_right_for_a_while_until_they_are_programmed_again():
    for again in (False, True):
        chip = _chip()
        chip.program(90, b"beside")
        chip.cut_at(0, "shaky")
        with raises(PowerCut):
            chip.program(100, b"abcdefgh" * 4)
        chip.power_on()
        state = chip.state()
        reads = [_read(chip, 100, 32) for _ in range(2)]
        assert reads == [b"abcdefgh" * 4] * 2 and chip.state() != state
        if again:
            chip.program(100, reads[0])
        reads = {_read(chip, 96, 40) for _ in range(20)}
        assert (len(reads) == 1) == again
        assert _read(chip, 90, 6) == b"beside"
        chip.erase(0)
        assert _read(chip, 100, 32) == b"\xff" * 32


def test_every_kind_of_tear_can_be_mounted():
    chip = _chip()
    chip.record()
    forks = []
    chip.before_each = lambda operation, data: forks.append(
        [chip.torn_fork(operation, data, torn) for torn in chip.torn_kinds(operation)]
    )
    chip.program(0, bytes(1000))
    chip.erase(0)
    chip.erase(1)
    assert chip.operations == [("program", 0, 1000), ("erase", 0, False), ("erase", 1, True)]
    for index, operation in enumerate(chip.operations):
        kinds = chip.torn_kinds(operation)
        assert kinds[0] == "before" and kinds[-1] == "after" and len(set(kinds)) == len(kinds)
        for torn, fork in zip(kinds, forks[index]):
            other = _chip()
            other.cut_at(index, torn)
            with raises(PowerCut):
                other.program(0, bytes(1000))
                other.erase(0)
                other.erase(1)
            assert fork.powered and fork.state() == other.state()


def test_images_forks_and_states():
    chip = _chip()
    chip.program(5000, b"abc")
    image = chip.image()
    assert len(image) == chip.size and image[5000:5003] == b"abc"
    other = _chip()
    other.load(image)
    assert other.image() == image and other.state() == chip.state() == chip.fork().state()
    other.flip_bit(5000, 1)
    assert _read(other, 5000, 1) == b"c" and other.state() != chip.state()
    other.flip_bit(5000, 1)
    assert other.state() == chip.state()
    other.load_sector(1, b"")
    assert other.image() == b"\xff" * other.size
    assert other.sector(1) == b"\xff" * SECTOR_SIZE
