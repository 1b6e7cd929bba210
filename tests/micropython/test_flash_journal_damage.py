"""Whatever is on the flash: what is good of it is read, what was found is said, and no number means two things."""

import random
from collections.abc import Callable

import pytest

from cell_controller.core.orders import Book
from cell_controller.micropython.flash_journal import FlashJournal
from cell_controller.micropython.flash_records import PAGE, RECORD, SECTOR, Area, Walker, entry, head_of
from hil.nor_flash import NorFlash
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

SECTORS = 16
ORDERS, COUNT = 6, 2


def made(size: int = 200, records: int = 60, snapshot: int = 0, mark: int = 0) -> NorFlash:
    """A chip with a journal of plain records, each on a page of its own."""
    chip = NorFlash(SECTORS)
    journal = open_journal(chip, EPOCH)
    for number in range(1, records + 1):
        journal.append(bytes([number]) * size)
        while journal.work(0, False):
            pass
        if number == snapshot:
            journal.snapshot(b"state %d" % number)
            settle(journal, still=False)
    if mark:
        journal.set_delivered("mqtt", mark)
        settle(journal, still=False)
    return chip


def place_of(chip: NorFlash, number: int, size: int = 200) -> int:
    """Offset on the chip of a record's body."""
    return bytes(chip.data).index(bytes([number]) * size)


def spoil(chip: NorFlash, place: int, count: int = 1) -> None:
    """Bits turn over where they lie."""
    for at in range(place, place + count):
        chip.data[at] ^= 0x5A


def numbers(journal: FlashJournal) -> list[int]:
    return [seq for seq, _, _ in journal.replay()]


def goes_on(chip: NorFlash, journal: FlashJournal, last: int) -> FlashJournal:
    """The next record gets the next number, and the next start has nothing to say any more."""
    assert journal.append(b"after it") == last + 1
    settle(journal)
    again = open_journal(chip, "0" * 16)
    assert (again.opened, again.epoch, again.last_seq) == ("", journal.epoch, last + 1)
    assert list(again.replay())[-1][2] == b"after it"
    return again


def test_an_area_full_of_garbage_is_said_and_begun_anew() -> None:
    dice = random.Random(5)
    chip = NorFlash(SECTORS, dice.randbytes(SECTORS * SECTOR))
    journal = open_journal(chip)
    assert journal.opened == (
        "the journal's area holds no journal (16 sectors with something else): the history starts anew"
    )
    assert (journal.epoch, journal.last_seq, journal.state) == (OTHER_EPOCH, 0, 1)
    settle(journal)
    goes_on(chip, journal, 0)


def test_a_file_system_in_the_area_is_said() -> None:
    chip = NorFlash(SECTORS)
    chip.data[8:16] = b"littlefs"
    chip.data[SECTOR + 8 : SECTOR + 16] = b"littlefs"
    journal = open_journal(chip)
    assert "holds no journal (2 sectors with something else)" in journal.opened
    settle(journal)
    goes_on(chip, journal, 0)


def test_the_journal_of_an_area_of_another_size_is_not_taken() -> None:
    chip = NorFlash(8, bytes(made().data[: 8 * SECTOR]))
    assert "holds no journal" in open_journal(chip).opened


def test_a_lost_record_in_the_middle_ends_the_history_there() -> None:
    chip = made()
    spoil(chip, place_of(chip, 30))
    journal = open_journal(chip)
    assert journal.opened == "the journal was damaged (records 30 to 30 are missing): records 1 to 29 kept"
    assert (journal.epoch, journal.last_seq, numbers(journal)) == (OTHER_EPOCH, 29, list(range(1, 30)))
    again = goes_on(chip, journal, 29)
    assert numbers(again) == list(range(1, 31))


def test_a_lost_record_that_a_snapshot_covers_costs_nothing_else() -> None:
    chip = made(snapshot=40)
    spoil(chip, place_of(chip, 30))
    journal = open_journal(chip)
    assert journal.opened == (
        "the journal was damaged (records 30 to 30 are missing): records 1 to 60 kept"
        " and a snapshot up to record 40"
    )
    assert (journal.epoch, journal.last_snapshot()) == (OTHER_EPOCH, (40, b"state 40"))
    assert numbers(journal) == [*range(1, 30), *range(31, 61)]
    goes_on(chip, journal, 60)


def test_a_lost_snapshot_is_said() -> None:
    chip = made(snapshot=40)
    spoil(chip, bytes(chip.data).index(b"state 40"))
    journal = open_journal(chip)
    assert journal.opened == (
        "the journal was damaged (the snapshot up to record 40 is missing): records 1 to 60 kept"
    )
    assert (journal.snapshot_seq, journal.last_seq) == (0, 60)
    goes_on(chip, journal, 60)


def test_a_lost_snapshot_whose_records_are_erased_is_said_with_what_to_do() -> None:
    chip = NorFlash(SECTORS)
    journal = open_journal(chip, EPOCH)
    for number in range(1, 101):
        journal.append(bytes([number]) * 200)
        while journal.work(0, False):
            pass
    journal.snapshot(b"state 100")
    journal.prune(100)
    settle(journal)
    for number in range(101, 121):
        journal.append(bytes([number]) * 200)
        settle(journal)
    spoil(chip, bytes(chip.data).index(b"state 100"))
    first = numbers(journal)[0]
    journal = open_journal(chip)
    assert journal.opened == (
        f"the journal was damaged (the snapshot up to record 100 is missing): records {first} to 120 kept;"
        f" the snapshot up to record {first - 1} is lost, compare the orders with the order desk"
    )
    goes_on(chip, journal, 120)


def test_a_spoilt_head_loses_its_sector_and_says_so() -> None:
    chip = made(snapshot=10)
    spoil(chip, SECTOR + 5)
    journal = open_journal(chip)
    assert "the journal was damaged (records 14 to 28 are missing): records 1 to 13 kept" in journal.opened
    assert journal.last_seq == 13
    goes_on(chip, journal, 13)


def test_a_spoilt_head_of_the_newest_sector_is_no_cut() -> None:
    chip = made(records=50)
    spoil(chip, 3 * SECTOR + 5)
    journal = open_journal(chip)
    assert "records from 46 on are missing" in journal.opened
    assert (journal.last_seq, journal.epoch) == (45, OTHER_EPOCH)
    settle(journal)
    goes_on(chip, journal, 45)


def test_a_mark_beyond_the_end_is_no_cut() -> None:
    chip = made(mark=60)
    spoil(chip, place_of(chip, 60))
    journal = open_journal(chip)
    assert "mqtt has record 60, the journal ends at 59" in journal.opened
    assert (journal.delivered("mqtt"), journal.epoch) == (59, OTHER_EPOCH)
    goes_on(chip, journal, 59)


def test_a_snapshot_beyond_the_last_record_is_kept() -> None:
    chip = made(snapshot=60)
    spoil(chip, place_of(chip, 59), 200)
    spoil(chip, place_of(chip, 60), 200)
    journal = open_journal(chip)
    assert "record 59 is missing" in journal.opened
    assert (journal.last_seq, journal.last_snapshot()) == (60, (60, b"state 60"))
    goes_on(chip, journal, 60)


def test_an_unfinished_tail_is_no_damage() -> None:
    chip = made(records=20)
    dice = random.Random(9)
    place = place_of(chip, 20) // PAGE * PAGE + PAGE
    for count in (1, 17, 128, 256):
        copy = NorFlash(SECTORS, bytes(chip.data))
        copy.data[place : place + count] = dice.randbytes(count)
        journal = open_journal(copy)
        assert (journal.opened, journal.epoch, journal.last_seq) == ("", EPOCH, 20)
        goes_on(copy, journal, 20)


def test_a_record_that_claims_to_be_long_is_passed_over() -> None:
    chip = made(records=20)
    place = place_of(chip, 20) // PAGE * PAGE + PAGE
    head = entry(RECORD, 21, 0, bytes(16_000))
    chip.data[place : place + 21] = b"\x01" + head
    journal = open_journal(chip)
    assert (journal.opened, journal.cuts, journal.last_seq) == ("", 1, 20)
    goes_on(chip, journal, 20)


def test_a_record_inside_a_record_is_content() -> None:
    """An order may carry any bytes, also those of an entry."""
    fake = bytes(entry(RECORD, 2, 0, b"never said")) + b"never said"
    chip = NorFlash(SECTORS)
    journal = open_journal(chip, EPOCH)
    journal.append(fake * 40)
    settle(journal)
    assert [row[2] for row in open_journal(chip).replay()] == [fake * 40]


def test_a_half_erased_sector_is_no_damage() -> None:
    """With any part of it blank or garbage; it held only what a snapshot covers."""
    chip = made(snapshot=55, mark=60)
    dice = random.Random(3)
    for start, stop in ((0, 2048), (2048, 4096), (0, 4096), (256, 512), (0, 100), (3840, 4096)):
        for fill in (b"\xff" * (stop - start), dice.randbytes(stop - start)):
            copy = NorFlash(SECTORS, bytes(chip.data))
            copy.data[start:stop] = fill
            journal = open_journal(copy)
            assert (journal.opened, journal.epoch, journal.last_seq, journal.lost_records) == (
                "",
                EPOCH,
                60,
                0,
            )
            goes_on(copy, journal, 60)


def test_the_last_blank_sector_is_erased_again_before_it_is_used() -> None:
    """An eraser that was cut short may leave a sector that only looks blank."""
    chip = made(records=60, snapshot=60)
    journal = open_journal(chip, EPOCH)
    assert journal.free_bytes() < (SECTORS - 4) * SECTOR
    before = chip.erases[SECTORS - 1]
    settle(journal)
    assert chip.erases[SECTORS - 1] == before + 1


def anywhere(seed: int, do: Callable[[NorFlash, random.Random], None]) -> None:
    """After damage of a kind at a place by chance the book is one that there was, or nothing, and it is said."""
    dice = random.Random(seed)
    scans = recorded(ORDERS, COUNT)
    chip = NorFlash(SECTORS)
    whole = open_journal(chip, EPOCH)
    feed(whole, scans, Book())
    truth = records_of(scans)
    do(chip, dice)
    journal = open_journal(chip)
    where = f"seed {seed}: {journal.opened}"
    if "is lost, compare" in journal.opened or "holds no journal" in journal.opened:
        assert journal.epoch == OTHER_EPOCH, where
    else:
        assert is_book_after(recovered(journal), journal.last_seq, pictures(ORDERS, COUNT)), where
    assert (journal.epoch == OTHER_EPOCH) == bool(journal.opened), where
    for seq, _, record in journal.replay():
        assert record == truth[seq - 1], where
    if not journal.opened:
        # what is said to be whole lacks at most what cannot be told from a write that was cut
        assert whole.last_seq - 8 <= journal.last_seq, where
    settle(journal)
    goes_on(chip, journal, journal.last_seq)


def bit(chip: NorFlash, dice: random.Random) -> None:
    chip.data[dice.randrange(len(chip.data))] ^= 1 << dice.randrange(8)


def page(chip: NorFlash, dice: random.Random) -> None:
    place = dice.randrange(len(chip.data) // PAGE) * PAGE
    chip.data[place : place + PAGE] = dice.randbytes(PAGE)


def sector(chip: NorFlash, dice: random.Random) -> None:
    place = dice.randrange(SECTORS) * SECTOR
    chip.data[place : place + SECTOR] = dice.choice((b"\xff" * SECTOR, dice.randbytes(SECTOR), bytes(SECTOR)))


def swapped(chip: NorFlash, dice: random.Random) -> None:
    one, other = (dice.randrange(len(chip.data) // PAGE) * PAGE for _ in range(2))
    for at in range(PAGE):
        chip.data[one + at], chip.data[other + at] = chip.data[other + at], chip.data[one + at]


KINDS = {"bit": bit, "page": page, "sector": sector, "swapped pages": swapped}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere(kind: str) -> None:
    for seed in range(8):
        anywhere(seed, KINDS[kind])


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_damage_in_very_many_places(kind: str) -> None:
    for seed in range(100, 400):
        anywhere(seed, KINDS[kind])


def test_every_sector_says_which_it_is() -> None:
    chip = made()
    found = [head_of(bytearray(chip.data[at * SECTOR : at * SECTOR + PAGE]), SECTORS, at) for at in range(5)]
    assert [told[0] if told else None for told in found] == [0, 1, 2, 3, None]
    assert found[0] == (0, 1, bytes.fromhex(EPOCH))
    area = Area(chip)
    assert (area.oldest(), area.newest(), area.has(0)) == (-1, -1, False)
    assert not Walker(area, 0).next()
