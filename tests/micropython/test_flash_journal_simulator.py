"""The simulated NOR flash catches what a chip would spoil, and cuts where it is told to."""

import pytest

from hil.nor_flash import HOW, PAGE, SECTOR, NorError, NorFlash, PowerCut
from tests.runtimes.runtimes import ROOT, Runtime, missing


@pytest.fixture
def chip() -> NorFlash:
    return NorFlash(4)


def page(fill: int) -> bytes:
    return bytes([fill]) * PAGE


def read(chip: NorFlash, block: int, off: int = 0, size: int = PAGE) -> bytes:
    found = bytearray(size)
    chip.readblocks(block, found, off)
    return bytes(found)


def test_it_is_a_block_device(chip: NorFlash) -> None:
    assert (chip.ioctl(4), chip.ioctl(5)) == (4, SECTOR)
    assert read(chip, 3, 0, SECTOR) == b"\xff" * SECTOR
    chip.writeblocks(3, page(0x0F) + page(0x33), 2 * PAGE)
    assert read(chip, 3, PAGE, 4 * PAGE) == page(0xFF) + page(0x0F) + page(0x33) + page(0xFF)
    assert chip.ioctl(6, 3) == 0
    assert read(chip, 3, 0, SECTOR) == b"\xff" * SECTOR
    assert (chip.programs, chip.erases, chip.operations) == ([0, 0, 0, 2], [0, 0, 0, 1], 3)
    assert bytes(NorFlash(1, page(7) * 16).data) == page(7) * 16


def test_a_program_that_would_set_a_bit_is_caught(chip: NorFlash) -> None:
    chip.writeblocks(0, page(0x0F), 0)
    chip.writeblocks(0, page(0x0E), 0)
    with pytest.raises(
        NorError, match="sector 0, byte 7: programming 15 over 14 would set bits; erase first"
    ):
        chip.writeblocks(0, page(0x0E)[:7] + page(0x0F)[7:], 0)
    assert read(chip, 0) == page(0x0E)


@pytest.mark.parametrize(
    ("size", "off"), [(PAGE, 1), (PAGE, 128), (PAGE - 1, 0), (PAGE + 1, 0), (0, 0), (1, 0), (300, 256)]
)
def test_a_program_of_anything_but_whole_pages_is_caught(chip: NorFlash, size: int, off: int) -> None:
    with pytest.raises(NorError, match="no whole pages of 256"):
        chip.writeblocks(0, bytes(size), off)
    assert chip.operations == 0


@pytest.mark.parametrize(("block", "off"), [(4, 0), (-1, 0), (3, SECTOR), (0, -PAGE)])
def test_what_is_outside_is_caught(chip: NorFlash, block: int, off: int) -> None:
    with pytest.raises(NorError, match="outside of 4 sectors"):
        chip.writeblocks(block, page(0), off)
    with pytest.raises(NorError, match="outside of 4 sectors"):
        chip.readblocks(block, bytearray(PAGE), off)


def test_the_form_that_erases_first_is_caught(chip: NorFlash) -> None:
    with pytest.raises(NorError, match="would erase"):
        chip.writeblocks(0, bytes(SECTOR))
    with pytest.raises(NorError, match="outside"):
        chip.ioctl(6, 4)


def test_a_cut_program_leaves_the_page_as_it_was_or_half_or_garbage(chip: NorFlash) -> None:
    found = {}
    for at, how in enumerate(HOW):
        chip.cut_at(2, how)
        chip.writeblocks(1, page(0x55), at * PAGE)
        with pytest.raises(PowerCut):
            chip.writeblocks(0, page(0x0F), at * PAGE)
        with pytest.raises(PowerCut, match="no power"):
            chip.readblocks(0, bytearray(PAGE), 0)
        with pytest.raises(PowerCut, match="no power"):
            chip.ioctl(6, 0)
        chip.power_up()
        found[how] = read(chip, 0, at * PAGE)
    assert found["before"] == page(0xFF)
    assert found["half"] == page(0x0F)[:128] + page(0xFF)[128:]
    assert len(set(found["garbage"])) > 50


def test_a_cut_erase_leaves_the_sector_as_it_was_or_half_or_garbage(chip: NorFlash) -> None:
    found = {}
    for how in HOW:
        chip.ioctl(6, 0)
        chip.writeblocks(0, page(0) * 16, 0)
        chip.cut_at(1, how)
        with pytest.raises(PowerCut):
            chip.ioctl(6, 0)
        chip.power_up()
        found[how] = read(chip, 0, 0, SECTOR)
    assert found["before"] == bytes(SECTOR)
    assert found["half"] == b"\xff" * 2048 + bytes(2048)
    assert len(set(found["garbage"])) == 256


def test_garbage_only_clears_bits_in_a_program_and_is_the_same_for_a_seed() -> None:
    found = []
    for _ in range(2):
        chip = NorFlash(1, seed=9)
        chip.writeblocks(0, page(0x0F), 0)
        chip.cut_at(1, "garbage")
        with pytest.raises(PowerCut):
            chip.writeblocks(0, page(0x01), 0)
        chip.power_up()
        found.append(read(chip, 0))
    assert found[0] == found[1]
    assert all(value & 0xF0 == 0 for value in found[0])


def test_a_worn_page_keeps_a_bit(chip: NorFlash) -> None:
    chip.fails = 1
    chip.writeblocks(0, page(0), 0)
    assert read(chip, 0) == b"\xff" + page(0)[1:]
    chip.writeblocks(0, page(0), 0)
    assert read(chip, 0) == page(0)


@pytest.mark.parametrize(("operation", "how"), [(0, "half"), (-1, "half"), (1, "later"), (1, "")])
def test_a_cut_that_cannot_be_is_refused(chip: NorFlash, operation: int, how: str) -> None:
    with pytest.raises(NorError, match=r"cut at operation 1\.\."):
        chip.cut_at(operation, how)


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(NorError, match="an image of 5 bytes for 4 sectors"):
        NorFlash(4, b"12345")


def test_the_simulator_runs_on_micropython() -> None:
    if missing("unix"):
        pytest.skip(missing("unix"))
    path = ROOT / "tests" / "micropython" / "portable" / "nor_flash_table.py"
    assert Runtime("unix").run(path) == Runtime("cpython").run(path)
