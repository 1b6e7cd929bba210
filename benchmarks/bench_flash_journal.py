"""What the journal on flash costs: the paint cell on a simulated chip, an order for each item, a broker connected."""

from itertools import pairwise
from typing import NamedTuple

from benchmarks.timing import row
from cell_controller.core.orders import LEAN_REMEMBERED, Book
from cell_controller.micropython.flash_records import PAGE, SECTOR
from hil.nor_flash import NorFlash
from tests.micropython.flash_script import Scan, feed, open_journal, recorded, records_of, remember

SECTORS = 32  # the area on a Pico W
ITEMS_A_DAY = 500
CYCLES = 100_000  # erases that a sector of a W25Q16 bears, by its data sheet
WARM = 12  # items that are not counted
ITEMS = 48


class Budget(NamedTuple):
    """Per item, and what follows from it."""

    records: float
    bytes: float  # of records, without heads and padding
    programs: float  # of a page
    erases_a_day: float  # of a sector
    years: float
    items_between: int  # made, at least, before the cell must stand still again; 0 = it did not have to


def measure(items: int = ITEMS, warm: int = WARM) -> Budget:
    """From a run of `warm` items and `items` more; the cell stands still between two orders."""
    scans = recorded(warm + items, 1)
    marks, chip = _made_of(scans)
    programs = (marks[-1][0] - marks[warm][0]) / items
    records = records_of(scans)[marks[warm][1] : marks[-1][1]]
    erases = programs * PAGE / SECTOR * ITEMS_A_DAY
    if max(chip.erases) - min(chip.erases) > 2:
        raise RuntimeError(f"the sectors do not wear alike: {chip.erases}")
    return Budget(
        len(records) / items,
        sum(map(len, records)) / items,
        programs,
        erases,
        CYCLES * SECTORS / erases / 365,
        _items_between(scans),
    )


def _made_of(scans: tuple[Scan, ...]) -> tuple[list[tuple[int, int, int]], NorFlash]:
    """(programs, records, erases) when 0, 1, 2 ... items were made, and the chip."""
    chip = NorFlash(SECTORS)
    journal = open_journal(chip, "00" * 8)
    marks: list[tuple[int, int, int]] = []

    def look(_: object) -> None:
        if len(marks) <= book.good:
            marks.append((sum(chip.programs), journal.last_seq, sum(chip.erases)))

    book = Book(lean=True)
    remember(book, LEAN_REMEMBERED)
    feed(journal, scans, book, look)
    return marks, chip


def _items_between(scans: tuple[Scan, ...]) -> int:
    """Fewest items between two holds of a cell that never stands still by itself; the first time from a new chip."""
    marks, _ = _made_of(tuple(scan._replace(standing=False) for scan in scans))
    holds = [item for item in range(1, len(marks)) if marks[item][2] > marks[item - 1][2]]
    return min((after - before for before, after in pairwise([0, *holds])), default=0)


def run() -> list[dict[str, object]]:
    """Nothing here is timed."""
    told = measure()
    peer = f"simulated chip, {SECTORS} sectors, {told.bytes:.0f} bytes of records an item"
    return [
        row("journal on flash, programs per item", told.programs, "pages", "<= 40", peer),
        row("journal on flash, items between two erasing pauses, fewest", told.items_between, "items"),
        row("journal on flash, 500 items a day", told.years, "years", ">= 5", f"{CYCLES} erases a sector"),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
