"""The journal on flash keeps the promises of the journal, in slices, and says when the cell must stand still."""

from collections.abc import Callable
from typing import Any

import pytest

from cell_controller.core import events as ev
from cell_controller.core.orders import Book
from cell_controller.cpython.memory_journal import MemoryJournal
from cell_controller.errors import JournalError
from cell_controller.micropython.flash_journal import MAX_QUEUED, FlashJournal
from cell_controller.micropython.flash_records import MAX_RECORD, PAGES, SECTOR
from cell_controller.micropython.flash_writer import CHUNK_MS, LAZY_MS, MARKS_MS, RESERVE
from hil.nor_flash import NorFlash
from tests.micropython.flash_script import (
    EPOCH,
    feed,
    open_journal,
    recorded,
    records_of,
    settle,
)

MARK = ev.record(1, 5, ev.MARK, 0, 1, 3)
STATE = ev.record(1, 5, ev.STATE, 6, 4, 0)


@pytest.fixture
def chip() -> NorFlash:
    return NorFlash(16)


@pytest.fixture
def journal(chip: NorFlash) -> FlashJournal:
    return open_journal(chip, EPOCH)


def numbered(number: int) -> bytes:
    """Records of many sizes, some longer than a page, some than a sector."""
    sizes = (0, 3, 20, 255, 256, 40, 1300, 31, 9_000 if number % 40 == 7 else 5)
    return bytes([number & 0xFF]) * sizes[number % len(sizes)]


def fill(journal: FlashJournal, count: int, size: int = 200) -> None:
    """So many records, a page each, without an erase."""
    for _ in range(count):
        journal.append(bytes(size))
        while journal.work(0, False):
            pass


# --- the promises of every journal ---


def test_a_new_area_is_an_empty_journal(journal: FlashJournal) -> None:
    assert (journal.epoch, journal.opened, journal.state, journal.error) == (EPOCH, "", 0, "")
    assert (journal.last_seq, journal.durable_seq, journal.snapshot_seq) == (0, 0, 0)
    assert list(journal.replay()) == []
    assert journal.last_snapshot() is None
    assert journal.delivered("mqtt") == 0
    assert not journal.work(0, False)


def test_what_was_appended_is_read_back_after_a_start(chip: NorFlash, journal: FlashJournal) -> None:
    for number in range(1, 60):
        assert journal.append(numbered(number)) == number
        if number % 5 == 0:
            settle(journal)
    settle(journal)
    rows = [(seq, 1_700_000_000_000, numbered(seq)) for seq in range(1, 60)]
    assert list(journal.replay()) == rows
    again = open_journal(chip)
    assert (again.epoch, again.opened, again.last_seq) == (EPOCH, "", 59)
    assert list(again.replay()) == rows
    assert list(again.replay(17)) == rows[16:]
    assert list(again.replay(60)) == []


def test_the_wall_clock_may_be_unknown(chip: NorFlash) -> None:
    journal = FlashJournal(chip, lambda: 0, lambda: EPOCH)
    journal.append(b"before the network")
    settle(journal)
    assert list(open_journal(chip).replay()) == [(1, 0, b"before the network")]


def test_it_does_what_the_journal_in_memory_does(chip: NorFlash) -> None:
    """One script of calls, the same answers."""
    answers = []
    stores: list[tuple[Any, Callable[[], None]]] = []
    memory = MemoryJournal(epoch=EPOCH, keep_rows=1)
    stores.append((memory, lambda: None))
    flash = open_journal(chip, EPOCH)
    stores.append((flash, lambda: settle(flash)))
    for store, rest in stores:
        said: list[object] = []
        for number in range(1, 30):
            said.append(store.append(numbered(number)))
            rest()
            said.append((store.last_seq, store.durable_seq, store.snapshot_seq, store.state))
            if number % 10 == 0:
                store.set_delivered("mqtt", number - 5)
                store.snapshot(b"state %d" % number)
                rest()
                said.append((store.last_snapshot(), store.delivered("mqtt"), store.delivered("other")))
        with pytest.raises(ValueError, match="snapshot up to record 99") as told:
            store.snapshot(b"", 99)
        said.append(str(told.value))
        with pytest.raises(ValueError, match="cannot be delivered") as told:
            store.set_delivered("mqtt", 99)
        said.append(str(told.value))
        said.append([row[2] for row in store.replay(21)])
        said.append(store.close())
        with pytest.raises(JournalError):
            store.append(b"")
        answers.append(said)
    assert answers[0] == answers[1]


def test_close_writes_what_waits_and_erases_nothing(chip: NorFlash, journal: FlashJournal) -> None:
    for number in range(1, 30):
        journal.append(numbered(number))
    assert journal.close()
    assert not journal.work(10**6, True)
    assert open_journal(chip).last_seq == 29
    assert chip.erases == [0] * 16


def test_a_full_queue_is_said_and_loses_nothing(chip: NorFlash, journal: FlashJournal) -> None:
    for _ in range(MAX_QUEUED):
        journal.append(MARK)
    with pytest.raises(JournalError, match="64 records wait to be written"):
        journal.append(MARK)
    with pytest.raises(JournalError, match="at most 16384"):
        journal.append(bytes(MAX_RECORD + 1))
    assert journal.last_seq == MAX_QUEUED
    settle(journal)
    assert open_journal(chip).last_seq == MAX_QUEUED


def test_an_area_that_is_too_small_is_refused() -> None:
    with pytest.raises(JournalError, match="an area of 7 sectors; give it at least 8"):
        open_journal(NorFlash(7))


# --- slices and batches ---


def test_a_slice_is_one_page_or_one_sector(chip: NorFlash, journal: FlashJournal) -> None:
    counts = []
    real = (chip.writeblocks, chip.ioctl)

    def writeblocks(block: int, buf: Any, off: int | None = None) -> None:
        counts.append("page" * (len(buf) // 256))
        real[0](block, buf, off)

    def ioctl(op: int, arg: int = 0) -> int:
        if op == 6:
            counts.append("sector")
        return real[1](op, arg)

    chip.writeblocks, chip.ioctl = writeblocks, ioctl  # type: ignore[method-assign]
    for number in range(1, 1_000):
        journal.append(numbered(number % 9))
        if number % 40 == 0:
            journal.snapshot(b"state")
            journal.prune(number)
        busy = True
        while busy:
            before = len(counts)
            busy = journal.work(0, number % 7 == 0)
            assert len(counts) - before == (1 if busy else 0)
    assert set(counts) == {"page", "sector"}


def test_records_that_wait_together_share_a_page(chip: NorFlash, journal: FlashJournal) -> None:
    fill(journal, 1, 20)
    for _ in range(5):
        journal.append(MARK)
    assert journal.durable_seq == 1
    assert journal.work(0, False)
    assert (journal.durable_seq, sum(chip.programs)) == (6, 2)
    assert not journal.work(0, False)


def test_what_somebody_waits_for_is_written_at_the_next_slice(journal: FlashJournal) -> None:
    journal.append(STATE)
    assert not journal.work(0, False)
    journal.append(MARK)
    assert journal.work(0, False)
    assert journal.durable_seq == 2


def test_what_nobody_waits_for_waits_a_moment(journal: FlashJournal) -> None:
    journal.append(STATE)
    assert not journal.work((1 << 29) - 50, False)
    assert not journal.work(LAZY_MS - 51, False), "across the wrap of the tick"
    assert journal.work(LAZY_MS - 50, False)
    assert journal.durable_seq == 1


def test_a_mark_rides_along_and_waits_at_most_a_minute(chip: NorFlash, journal: FlashJournal) -> None:
    fill(journal, 3)
    journal.set_delivered("mqtt", 2)
    assert not journal.work(0, False)
    journal.append(MARK)
    journal.work(10, False)
    assert (open_journal(chip).delivered("mqtt"), journal.durable_seq) == (2, 4)
    journal.set_delivered("mqtt", 4)
    assert not journal.work(100, False)
    assert not journal.work(100 + MARKS_MS - 1, False)
    assert journal.work(100 + MARKS_MS, False)
    assert open_journal(chip).delivered("mqtt") == 4
    assert not journal.work(100 + 2 * MARKS_MS, False)


def test_a_snapshot_takes_the_rest_of_pages_before_it_takes_its_own(
    chip: NorFlash, journal: FlashJournal
) -> None:
    journal.append(MARK)
    journal.work(0, False)
    journal.snapshot(bytes(range(256)) * 3)
    assert not journal.work(0, False)
    assert not journal.work(CHUNK_MS - 1, False)
    pages = 0
    while not journal.snapshot_seq:
        journal.append(MARK)
        assert journal.work(0, False)
        pages += 1
    assert (pages, sum(chip.programs)) == (5, 6)
    assert open_journal(chip).last_snapshot() == (1, bytes(range(256)) * 3)
    journal.snapshot(b"another", 5)
    assert not journal.work(0, False)
    assert journal.work(CHUNK_MS, False)
    assert open_journal(chip).last_snapshot() == (5, b"another")


def test_a_snapshot_comes_after_its_record(chip: NorFlash, journal: FlashJournal) -> None:
    journal.append(bytes(600))
    journal.snapshot(b"state 1")
    journal.append(bytes(600))
    while not journal.durable_seq:
        assert journal.snapshot_seq == 0
        journal.work(0, False)
    settle(journal)
    assert open_journal(chip).last_snapshot() == (1, b"state 1")


def test_the_old_snapshot_is_there_until_the_new_one_is_whole(chip: NorFlash, journal: FlashJournal) -> None:
    fill(journal, 2)
    journal.snapshot(b"old")
    settle(journal)
    journal.append(MARK)
    journal.snapshot(b"new" * 1_000)
    seen = set()
    while journal.work(CHUNK_MS, True) or journal.work(2 * CHUNK_MS, True):
        found = open_journal(chip).last_snapshot()
        assert found in ((2, b"old"), (3, b"new" * 1_000))
        seen.add(found)
    assert len(seen) == 2


def test_an_empty_snapshot_and_one_of_a_quarter_of_the_area_are_taken(
    chip: NorFlash, journal: FlashJournal
) -> None:
    journal.append(MARK)
    for body in (b"", bytes(4 * SECTOR), b"last"):
        journal.snapshot(body)
        settle(journal)
        assert open_journal(chip).last_snapshot() == (1, body)
    with pytest.raises(JournalError, match="a snapshot of 16385 bytes; at most 16384"):
        journal.snapshot(bytes(4 * SECTOR + 1))


# --- erasing, holding, dropping ---


def test_nothing_is_erased_while_the_cell_may_move(chip: NorFlash, journal: FlashJournal) -> None:
    while journal.state == 0:
        fill(journal, 1)
        if journal.snapshot_wanted:
            journal.snapshot(b"state")
            journal.prune(journal.last_seq + 1)
    assert chip.erases == [0] * 16
    assert "the cell must stand still for" in journal.error
    assert "ms" in journal.error


def test_the_state_comes_back_by_itself_once_the_cell_stands_still(
    chip: NorFlash, journal: FlashJournal
) -> None:
    while journal.state == 0:
        fill(journal, 1)
        if journal.snapshot_wanted:
            journal.snapshot(b"state")
            journal.prune(journal.last_seq + 1)
    before = journal.durable_seq
    fill(journal, RESERVE * PAGES)
    assert journal.durable_seq > before + PAGES, "the reserve takes what the hold has to say"
    waits = journal.last_seq
    slices = 0
    while journal.state:
        assert journal.work(0, True)
        slices += 1
    assert slices < 40
    settle(journal)
    assert (journal.durable_seq, journal.error) == (waits, "")
    assert open_journal(chip).last_seq == waits


def test_without_a_snapshot_nothing_is_erased_and_the_reason_is_said(
    chip: NorFlash, journal: FlashJournal
) -> None:
    while journal.state == 0:
        fill(journal, 1)
    assert "must stand still for 45 ms" in journal.error, "the last blank sector is not trusted"
    settle(journal)
    fill(journal, PAGES)
    assert "full since the last snapshot" in journal.error
    assert journal.snapshot_wanted
    waits = journal.append(MARK)
    settle(journal)
    assert journal.state == 1
    journal.snapshot(b"state")
    settle(journal)
    assert (journal.state, journal.durable_seq) == (0, waits)
    assert list(open_journal(chip).replay(waits)) == [(waits, 1_700_000_000_000, MARK)]


def test_undelivered_records_stay_until_their_room_is_needed_and_then_are_counted(
    chip: NorFlash, journal: FlashJournal
) -> None:
    fill(journal, 20)
    journal.set_delivered("mqtt", 10)
    for _ in range(40):
        fill(journal, 1)
        journal.snapshot(b"state")
        journal.prune(journal.last_seq + 1)
        settle(journal)
    assert (journal.lost_records, chip.erases) == (0, [0] * 15 + [1]), "there was room"
    assert next(iter(journal.replay()))[0] == 1
    for _ in range(300):
        fill(journal, 1)
        journal.snapshot(b"state")
        journal.prune(journal.last_seq + 1)
        settle(journal)
    first = next(iter(journal.replay()))[0]
    assert journal.lost_records == first - 1 - 10 > 0
    again = open_journal(chip)
    assert (again.lost_records, again.opened, again.delivered("mqtt")) == (journal.lost_records, "", 10)
    assert [seq for seq, _, _ in again.replay(11)] == list(range(first, again.last_seq + 1))
    again.set_delivered("mqtt", again.last_seq)
    settle(again)
    assert open_journal(chip).lost_records == journal.lost_records


def test_a_cell_without_a_link_loses_nothing(chip: NorFlash, journal: FlashJournal) -> None:
    for _ in range(600):
        fill(journal, 1)
        if journal.snapshot_wanted:
            journal.snapshot(b"state")
            journal.prune(journal.last_seq)
        settle(journal)
    assert min(chip.erases) >= 1
    assert (journal.lost_records, open_journal(chip).lost_records) == (0, 0)


def test_a_link_that_was_never_there_is_known_by_its_name(journal: FlashJournal) -> None:
    journal.set_delivered("mqtt", 0)
    for _ in range(600):
        fill(journal, 1)
        if journal.snapshot_wanted:
            journal.snapshot(b"state")
        settle(journal)
    assert journal.lost_records > 0


def test_reading_goes_on_where_something_is_left_when_sectors_are_erased_under_it(
    journal: FlashJournal,
) -> None:
    fill(journal, 70)
    reader = journal.replay()
    assert [next(reader)[0] for _ in range(3)] == [1, 2, 3]
    end = journal.durable_seq
    journal.snapshot(b"state")
    journal.prune(end + 1)
    settle(journal)
    left = [seq for seq, _, _ in reader]
    assert left == sorted(left)
    assert left[-1] == end
    assert left[0] > 3


def test_erases_are_the_same_on_all_sectors(chip: NorFlash, journal: FlashJournal) -> None:
    for start in range(30):
        journal = open_journal(chip, EPOCH)
        for number in range(200):
            fill(journal, 1)
            if number % 20 == 0:
                settle(journal)
            if journal.snapshot_wanted:
                journal.snapshot(b"state %d" % start)
                journal.prune(journal.last_seq)
    assert min(chip.erases) > 20
    assert max(chip.erases) - min(chip.erases) <= 2 + 1, chip.erases


def test_a_recorded_run_is_there_to_the_last_byte() -> None:
    chip = NorFlash(32)
    scans = recorded(6, 2)
    feed(open_journal(chip, EPOCH), scans, Book(), acknowledge=False)
    assert [record for _, _, record in open_journal(chip).replay()] == records_of(scans)
