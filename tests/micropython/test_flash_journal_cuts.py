"""Power cuts at every program and every erase of a recorded run: the order book is right, and the journal goes on."""

import contextlib
import random
from typing import Any

import pytest

from cell_controller.core.orders import Book
from cell_controller.micropython.flash_journal import FlashJournal
from hil.nor_flash import HOW, NorFlash, PowerCut
from tests.micropython.flash_script import (
    EPOCH,
    OTHER_EPOCH,
    feed,
    is_book_after,
    open_journal,
    pictures,
    recorded,
    records_of,
    recovered,
    settle,
)

SECTORS = 8
ORDERS, COUNT = 6, 2
MORE = 8  # records after a cut
DEFAULT_CUTS = 250


class Forked(NorFlash):
    """Before each operation, `fork` gets it: a chip in the same state can be cut in it."""

    fork: Any = None

    def writeblocks(self, block: int, buf: Any, off: int | None = None) -> None:
        if self.fork is not None:
            self.fork("writeblocks", block, bytes(buf), off)
        super().writeblocks(block, buf, off)

    def ioctl(self, op: int, arg: int = 0) -> int:
        if self.fork is not None and op == 6:
            self.fork("ioctl", op, arg)
        return super().ioctl(op, arg)


def check(chip: NorFlash, durable: int, where: str) -> FlashJournal:
    """What a start finds after a cut, with `durable` the last record that was said to be durable."""
    scans = recorded(ORDERS, COUNT)
    journal = open_journal(chip, OTHER_EPOCH if durable else EPOCH)
    assert (journal.opened, journal.epoch) == ("", EPOCH), where
    assert durable <= journal.last_seq <= len(records_of(scans)), where
    assert journal.durable_seq == journal.last_seq
    assert is_book_after(recovered(journal), journal.last_seq, pictures(ORDERS, COUNT)), where
    records = records_of(scans)
    rows = [(seq, record) for seq, _, record in journal.replay()]
    first = rows[0][0] if rows else journal.last_seq + 1
    assert first <= journal.snapshot_seq + 1, where
    assert rows == [(seq, records[seq - 1]) for seq in range(first, journal.last_seq + 1)], where
    return journal


def goes_on(chip: NorFlash, journal: FlashJournal, where: str) -> None:
    """Some more records, some with another cut, are there at the next start."""
    records = records_of(recorded(ORDERS, COUNT))
    for record in records[journal.last_seq : journal.last_seq + MORE]:
        journal.append(record)
    settle(journal)
    assert journal.durable_seq == journal.last_seq, f"{where}: {journal.error}"
    again = check(chip, journal.last_seq, f"{where}, then {MORE} more")
    assert again.last_seq == journal.last_seq


def test_the_book_is_right_after_cuts_all_over_the_run() -> None:
    """Evenly spread over operations and kinds of cut; the soak does all of them."""
    every = cut_operations()
    stride = max(1, every * len(HOW) // DEFAULT_CUTS)
    assert cut_some(stride) >= DEFAULT_CUTS


@pytest.mark.soak
def test_the_book_is_right_after_every_cut() -> None:
    assert cut_some(1) == cut_operations() * len(HOW)


def cut_operations() -> int:
    """How many programs and erases the run has."""
    chip = NorFlash(SECTORS)
    feed(open_journal(chip, EPOCH), recorded(ORDERS, COUNT), Book())
    return chip.operations


def cut_some(stride: int) -> int:
    """Cut at every `stride`-th of (operation, how); returns how many cuts that were."""
    chip = Forked(SECTORS)
    journal = open_journal(chip, EPOCH)
    count = 0
    done = 0

    def fork(method: str, *args: Any) -> None:
        nonlocal count, done
        for how in HOW:
            count += 1
            if count % stride:
                continue
            done += 1
            where = f"operation {(count + 2) // 3} ({method} {args[0]}, {args[-1]}), {how}"
            copy = NorFlash(SECTORS, bytes(chip.data), seed=count)
            copy.cut_at(1, how)
            with pytest.raises(PowerCut):
                getattr(copy, method)(*args)
            copy.power_up()
            goes_on(copy, check(copy, journal.durable_seq, where), where)

    chip.fork = fork
    feed(journal, recorded(ORDERS, COUNT), Book())
    assert journal.last_seq == len(records_of(recorded(ORDERS, COUNT)))
    assert min(chip.erases) >= 2, "the run goes round the ring"
    return done


def run_with_cuts(seed: int, cuts: int) -> None:
    """The whole run with so many cuts at random operations; after each one it goes on from what is there."""
    dice = random.Random(seed)
    scans = recorded(ORDERS, COUNT)
    chip = NorFlash(SECTORS, seed=seed)
    journal = open_journal(chip, EPOCH)
    book = Book()
    for number in range(cuts + 1):
        where = f"seed {seed}, cut {number}"
        if number < cuts:
            chip.cut_at(dice.randint(1, 60), dice.choice(HOW))
        with contextlib.suppress(PowerCut):
            feed(journal, scans, book)
        chip.power_up()
        journal = check(chip, journal.durable_seq, where)
        book = recovered(journal)
    assert journal.last_seq == len(records_of(scans))
    assert journal.lost_records == 0, where


@pytest.mark.parametrize("seed", range(10))
def test_many_cuts_in_one_run(seed: int) -> None:
    run_with_cuts(seed, 12)


@pytest.mark.soak
def test_many_cuts_in_many_runs() -> None:
    for seed in range(100, 400):
        run_with_cuts(seed, 12)


@pytest.mark.soak
@pytest.mark.parametrize("how", HOW)
def test_a_cut_anywhere_and_the_rest_of_the_run(how: str) -> None:
    for operation in range(1, cut_operations() + 1):
        chip = NorFlash(SECTORS, seed=operation)
        journal = open_journal(chip, EPOCH)
        chip.cut_at(operation, how)
        with pytest.raises(PowerCut):
            feed(journal, recorded(ORDERS, COUNT), Book())
        chip.power_up()
        where = f"operation {operation}, {how}"
        journal = check(chip, journal.durable_seq, where)
        feed(journal, recorded(ORDERS, COUNT), recovered(journal))
        check(chip, len(records_of(recorded(ORDERS, COUNT))), where)


def test_a_journal_that_says_durable_too_early_is_found_out() -> None:
    """The checker catches what it is for."""
    chip = NorFlash(SECTORS)
    journal = open_journal(chip, EPOCH)
    feed(journal, recorded(ORDERS, COUNT)[:20], Book())
    with pytest.raises(AssertionError):
        check(chip, journal.durable_seq + 1, "said too early")
    whole = bytes(chip.data)
    place = whole.rindex(records_of(recorded(ORDERS, COUNT))[journal.last_seq - 1][:8])
    spoilt = NorFlash(SECTORS, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(AssertionError):
        check(spoilt, journal.durable_seq, "the last record is spoilt")
    assert open_journal(spoilt).epoch in (EPOCH, OTHER_EPOCH)
