"""A recorded run of the paint cell, and how a runtime gives it to a journal on flash."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from cell_controller.core import codec
from cell_controller.core import events as ev
from cell_controller.core import packml as pm
from cell_controller.core.orders import COMPLETED, Book
from cell_controller.core.recover import recover
from cell_controller.micropython.flash_journal import FlashJournal
from hil.bench import bench
from hil.nor_flash import NorFlash

EPOCH = "00112233445566aa"
OTHER_EPOCH = "ffeeddccbbaa9988"
SCAN_MS = 10
STANDING = (pm.IDLE, pm.STOPPED, pm.ABORTED)


class Scan(NamedTuple):
    """The events of one scan, its tick, and whether the cell stood still after it."""

    tick: int
    records: list[bytes]
    standing: bool


@cache
def recorded(orders: int, count: int) -> tuple[Scan, ...]:
    """The scans with events of so many orders of `count` bonnets, from the first start on."""
    scans = [Scan(0, [], True)]
    cell = bench("examples/paint_cell")
    scans.append(Scan(cell.board.tick(), list(cell.journal), True))
    seen = len(cell.journal)

    def look(cell: Any) -> None:
        nonlocal seen
        if len(cell.journal) > seen:
            scans.append(
                Scan(cell.board.tick(), cell.journal[seen:], cell.controller.machine.state in STANDING)
            )
            seen = len(cell.journal)

    cell.observers.append(look)
    for _ in range(orders):
        cell.order("bonnet", count=count, colour="burgundy").run()
        cell.run_for(3)
    return tuple(scans)


def records_of(scans: tuple[Scan, ...]) -> list[bytes]:
    """All records in order; the one at [n] is number n + 1."""
    return [record for scan in scans for record in scan.records]


def apply(book: Book, record: bytes) -> None:
    """One record into a book."""
    _, tick, kind, source, a, b = ev.fields(record)
    book.apply(tick, kind, source, a, b, record[ev.SIZE :])


def remember(book: Book, count: int) -> None:
    """So many orders that ended earlier, as in a cell that has worked for a while."""
    stored = next(data for data in records_of(recorded(6, 2)) if ev.fields(data)[2] == ev.ORDER_STORED)
    order: Any = codec.unpack(stored[ev.SIZE :])
    for number in range(1001, 1001 + count):
        order["order_id"] = f"ord-{number}"
        book.apply(0, ev.ORDER_STORED, 0, number, 0, codec.pack(order))
        book.apply(0, ev.ORDER_STATE, COMPLETED, number, 0, b"")


def picture(value: object) -> object:
    """Everything that an order book knows, for comparing."""
    if isinstance(value, Book):
        item = None if value.item is None else picture(value.item)
        return value.dump(), item, value.clean, value.last_tick
    if isinstance(value, list | tuple):
        return [picture(part) for part in value]
    if hasattr(value, "__dict__"):
        return {name: picture(part) for name, part in sorted(vars(value).items())}
    return value


@cache
def pictures(orders: int, count: int) -> list[tuple[object, bytes]]:
    """The book after every number of records, and its dump; without `last_tick` and `clean`, which no dump has."""
    book = Book()
    seen = [(_whole(book), book.dump())]
    for record in records_of(recorded(orders, count)):
        apply(book, record)
        seen.append((_whole(book), book.dump()))
    return seen


def _whole(book: Book) -> object:
    return None if book.item is None else picture(book.item)


def is_book_after(book: Book, count: int, of: list[tuple[object, bytes]]) -> bool:
    """Whether a recovered book is the one after `count` records."""
    return (_whole(book), book.dump()) == of[count]


def open_journal(flash: NorFlash, epoch: str = OTHER_EPOCH) -> FlashJournal:
    """The journal after a start; `epoch` is what it takes if it needs a new one."""
    return FlashJournal(flash, lambda: 1_700_000_000_000, lambda: epoch)


def recovered(journal: FlashJournal) -> Book:
    """The book as a start makes it."""
    return recover(journal, Book())


def feed(
    journal: FlashJournal,
    scans: tuple[Scan, ...],
    book: Book,
    look: Callable[[Scan], object] = lambda scan: None,
    acknowledge: bool = True,
    slices: int = 4,
) -> None:
    """Give a journal the rest of a recorded run as a runtime does; `book` is the one it was opened with.

    Between two scans there are some slices of work; the broker acknowledges everything durable at once; snapshots are
    taken between two items; a cell that must hold stands still until the journal goes on.
    """
    journal.set_delivered("mqtt", journal.delivered("mqtt"))
    number = 0
    standing = True
    tick = 0
    for scan in scans:
        for late in range(1, min(30, (scan.tick - tick) // SCAN_MS)):
            for _ in range(slices):
                journal.work(tick + late * SCAN_MS, standing)
        tick, standing = scan.tick, scan.standing
        fresh = [record for n, record in enumerate(scan.records, number + 1) if n > journal.last_seq]
        number += len(scan.records)
        for record in fresh:
            journal.append(record)
            apply(book, record)
        for _ in range(slices):
            journal.work(tick, standing)
        while journal.state:
            if book.item is None and journal.snapshot_wanted:
                journal.snapshot(book.dump())
            assert journal.work(tick, True), f"it stands still and nothing happens: {journal.error}"
        if acknowledge:
            journal.set_delivered("mqtt", journal.durable_seq)
        if book.item is None and journal.snapshot_wanted:
            journal.snapshot(book.dump())
            journal.prune(journal.last_seq)
        look(scan)
    settle(journal, tick)


def settle(journal: FlashJournal, tick: int = 0, still: bool = True) -> None:
    """Time passes until nothing is left to do."""
    for _ in range(4):
        for _ in range(2_000):
            if not journal.work(tick, still):
                break
        else:
            raise AssertionError(f"it does not come to rest: {journal.error or 'no error'}")
        tick += 121_000
