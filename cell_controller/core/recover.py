"""After a start: the order book as the journal knows it."""

from . import events as ev

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from .orders import Book

    class Read(Protocol):
        """What is read of a journal."""

        def last_snapshot(self) -> tuple[int, bytes] | None: ...

        def replay(self, from_seq: int = 1) -> Iterator[tuple[int, int, bytes]]: ...


def recover(journal: "Read", book: "Book") -> "Book":
    """`book`, which must be new, filled: the last snapshot and every record after it."""
    start = 1
    snapshot = journal.last_snapshot()
    if snapshot is not None:
        start = snapshot[0] + 1
        book.load(snapshot[1])
    for _, _, data in journal.replay(start):
        _, tick, kind, source, a, b = ev.fields(data)
        book.apply(tick, kind, source, a, b, data[ev.SIZE :])
    return book
