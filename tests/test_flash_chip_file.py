"""The chip model's contents in a file."""

from tools.sim.chips.flash import SECTOR_SIZE, NorFlash


def test_contents_in_a_file_outlive_the_chip(tmp_path):
    path = tmp_path / "flash.bin"
    chip = NorFlash(4 * SECTOR_SIZE, str(path))
    assert path.read_bytes() == b"\xff" * (4 * SECTOR_SIZE)
    chip.program(4094, b"abcd")
    chip.program(9000, b"x")
    chip.erase(2)
    chip.close()
    again = NorFlash(4 * SECTOR_SIZE, str(path))
    assert again.image() == path.read_bytes() == chip.image()
    assert again.sector(0)[-2:] == b"ab" and again.sector(1)[:2] == b"cd"
    again.close()
