"""A chip that wears out, refuses, or loses power in the middle: what the journal says, and that it goes on."""

import contextlib

import pytest

from cell_controller.core import events as ev
from cell_controller.micropython.flash_journal import FlashJournal
from cell_controller.micropython.flash_records import SECTOR
from cell_controller.micropython.flash_writer import RETRY_MS
from hil.nor_flash import NorFlash, PowerCut
from tests.micropython.flash_script import EPOCH, OTHER_EPOCH, open_journal, settle

MARK = ev.record(1, 5, ev.MARK, 0, 1, 3)
LONG = bytes(range(256)) * 5


@pytest.fixture
def chip() -> NorFlash:
    return NorFlash(16)


@pytest.fixture
def journal(chip: NorFlash) -> FlashJournal:
    return open_journal(chip, EPOCH)


def fill(journal: FlashJournal, count: int) -> None:
    """So many records, a page each, without an erase."""
    for _ in range(count):
        journal.append(bytes(200))
        while journal.work(0, False):
            pass


class Flaky(NorFlash):
    """`refuses`: so many programs and erases from now on end with an error."""

    refuses = 0

    def _begin(self) -> bool:
        if self.refuses:
            self.refuses -= 1
            raise OSError(5, "EIO")
        return super()._begin()


def test_a_page_that_does_not_keep_what_is_written_is_passed_over(
    chip: NorFlash, journal: FlashJournal
) -> None:
    fill(journal, 3)
    chip.fails = 2
    journal.append(LONG)
    journal.append(b"abc")
    settle(journal)
    assert (journal.state, journal.durable_seq, chip.fails) == (0, 5, 0)
    again = open_journal(chip)
    assert (again.opened, again.epoch) == ("", EPOCH)
    assert [row[2] for row in again.replay(4)] == [LONG, b"abc"]


def test_a_first_page_that_fails_costs_an_erase(chip: NorFlash, journal: FlashJournal) -> None:
    while journal.free_bytes() % SECTOR:
        fill(journal, 1)
    last = journal.last_seq
    chip.fails = 1
    journal.append(LONG)
    while journal.work(0, False):
        pass
    assert journal.state == 1
    settle(journal)
    assert (journal.state, journal.durable_seq) == (0, last + 1)
    assert open_journal(chip).last_seq == last + 1


def test_a_worn_chip_is_said_and_tried_again_with_patience() -> None:
    chip = Flaky(16)
    journal = open_journal(chip, EPOCH)
    fill(journal, 1)
    pages = sum(chip.programs)
    journal.append(MARK)
    chip.refuses = 10**6
    for _ in range(3):
        assert journal.work(0, False)
    assert journal.state == 1
    assert "the flash cannot be written" in journal.error
    assert not journal.work(RETRY_MS - 1, False)
    assert journal.work(RETRY_MS, False)
    assert not journal.work(RETRY_MS + 1, False)
    chip.refuses = 0
    assert journal.work(2 * RETRY_MS, False)
    assert (journal.state, journal.durable_seq) == (0, 2)
    assert sum(chip.programs) == pages + 1, "a refused page is still blank and is used"


def test_a_sector_that_cannot_be_erased_is_said() -> None:
    chip = Flaky(16)
    journal = open_journal(chip, EPOCH)
    while journal.state == 0:
        fill(journal, 1)
    while journal.durable_seq == journal.last_seq:
        fill(journal, 1)
    chip.refuses = 10**6
    tick = 0
    for _ in range(10):
        tick += RETRY_MS
        journal.work(tick, True)
    assert (journal.state, "cannot be erased" in journal.error) == (1, True), journal.error


def test_a_cut_ends_a_slice_and_nothing_else(chip: NorFlash, journal: FlashJournal) -> None:
    journal.append(MARK)
    chip.cut_at(1, "before")
    with pytest.raises(PowerCut):
        journal.work(0, False)
    with contextlib.suppress(PowerCut):
        journal.work(0, False)
    assert journal.durable_seq == 0
    chip.power_up()
    assert open_journal(chip, OTHER_EPOCH).epoch == OTHER_EPOCH
