"""The journal on a microcontroller's flash: the words of the journal on CPython, and instead of a thread `work()`.

The runtime calls `work` between two scans; a call programs at most one page, or erases at most one sector if the cell
stands still. Erased sectors are kept in stock. When the stock is nearly used up, `state` is 1, so that the core holds
the cell; what the hold still has to say goes into the reserve. See docs/flash-journal.md.
"""

import binascii
import struct

from ..core import events as ev
from .flash_records import (
    CHUNK,
    CHUNK_BODY,
    CHUNK_SIZE,
    MAX_RECORD,
    PAGE,
    PAGES,
    RECORD,
    SECTOR,
    Walker,
    crc32,
    entry,
)
from .flash_recovery import Found
from .flash_writer import RESERVE, Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ..errors import JournalError
else:
    try:
        from ..errors import JournalError
    except (ImportError, TypeError):  # MicroPython: no class with two built-in bases

        class JournalError(OSError):
            """Nothing can be made durable; finish to the safe point of the step, hold, refuse orders, make room."""


MAX_QUEUED = 64  # records
LEAST_SECTORS = 8
_WAITED_FOR_BY_NOTHING = (ev.STATE, ev.MODE, ev.ITEM_START, ev.ACTUAL, ev.STEP_END)


def is_lazy(record: bytes) -> bool:
    """Whether nothing in the core waits until this event is durable: it may share the page of the next ones."""
    return len(record) >= ev.SIZE and (record[8] | record[9] << 8) in _WAITED_FOR_BY_NOTHING


class FlashJournal(Writer):
    """A journal on a block device; what its members promise is said in `cell_controller/cpython/journal.py`.

    device: all of the area, at least 8 sectors. wall_ms: the wall clock, 0 while it is not known. new_epoch: 16 hex
    digits of fresh randomness, asked where the area is empty or damaged. lazy: which records may wait 100 ms for
    company. Used from one thread. Never raises for damage: `opened` says what was found. `cuts` counts the entries in
    the area that a power cut left unfinished, `lost_records` those that went before everybody had them.
    """

    def __init__(
        self,
        device: "Any",
        wall_ms: "Callable[[], int]",
        new_epoch: "Callable[[], str]",
        lazy: "Callable[[bytes], bool]" = is_lazy,
    ) -> None:
        found = Found(device)
        if found.area.sectors < LEAST_SECTORS:
            raise JournalError(
                "journal: an area of %d sectors; give it at least %d" % (found.area.sectors, LEAST_SECTORS)
            )
        epoch = found.epoch or binascii.unhexlify(new_epoch())
        if len(epoch) != 8:
            raise ValueError("an epoch has 16 hex digits")
        super().__init__(device, found, epoch, lazy)
        self._wall_ms = wall_ms
        self.opened = found.said
        self.cuts = found.cuts
        self.epoch: str = binascii.hexlify(epoch).decode()

    # --- what can be asked ---

    @property
    def snapshot_wanted(self) -> bool:
        """Whether so much was written since the last snapshot that the next chance for one should be taken."""
        if self._body is not None or self._due is not None or self.last_seq <= self.snapshot_seq:
            return False
        since = self._snapshot_first if self.snapshot_seq else self._area.oldest()
        often = self._quarter + 2 * self._snapshot_told[0] // SECTOR  # so that it is a small part of all
        return self._head - since >= min(often, 2 * self._quarter)

    @property
    def rest_wanted(self) -> bool:
        """Whether the cell had better stand still before its next item: the stock is low and something can be done."""
        if self._stock > self._enough:
            return False
        return self._body is not None or self._due is not None or self._erasable(0)

    def delivered(self, name: str) -> int:
        """Number of the last record that `name` has delivered, 0 at first."""
        return self._marks.get(name, 0)

    def free_bytes(self) -> int:
        """What can be written before the cell must hold for erasing, about."""
        return max(0, self._stock - RESERVE) * SECTOR + (PAGES - self._page) * PAGE

    def replay(self, from_seq: int = 1) -> "Iterator[tuple[int, int, bytes]]":
        """The durable records (seq, wall_ms, record) with seq >= from_seq, oldest first, read one by one.

        Records that are erased meanwhile are left out.
        """
        area = self._area
        end = self.durable_seq
        sector = area.oldest()
        while sector >= 0 and area.last[sector % area.sectors] < from_seq:
            sector = area.after(sector)
        if sector < 0 or from_seq > end:
            return
        walker = Walker(area, sector, True)
        while walker.next():
            number = walker.number
            if walker.kind != RECORD or number < from_seq:
                continue
            if number < area.limit[walker.sector % area.sectors]:
                from_seq = number + 1
                yield number, walker.wall_ms, walker.body
                if number >= end:
                    return

    def last_snapshot(self) -> "tuple[int, bytes] | None":
        """The newest whole snapshot as (seq, body). Raises JournalError if it cannot be read any more."""
        if not self.snapshot_seq:
            return None
        total, crc = self._snapshot_told
        body = bytearray(total)
        have = 0
        walker = Walker(self._area, self._snapshot_first)
        while walker.next():
            if walker.kind != CHUNK or walker.number != self.snapshot_seq:
                continue
            told = struct.unpack_from(CHUNK_BODY, walker.body, 0)
            if told[2] == 0:
                have = 0  # an earlier try was cut
            if told == (total, crc, have):
                size = len(walker.body) - CHUNK_SIZE
                body[have : have + size] = walker.body[CHUNK_SIZE:]
                have += size
                if have == total and crc32(body) == crc:
                    return self.snapshot_seq, bytes(body)
        raise JournalError("journal: the snapshot up to record %d cannot be read" % self.snapshot_seq)

    # --- what can be given ---

    def append(self, record: bytes) -> int:
        """Number and queue a record. Raises JournalError if closed, too long, or if the queue is full."""
        self._check_open()
        if len(record) > MAX_RECORD:
            raise JournalError("journal: a record of %d bytes; at most %d" % (len(record), MAX_RECORD))
        if len(self._queue) >= MAX_QUEUED:
            raise JournalError(
                "journal: %d records wait to be written (%s)" % (MAX_QUEUED, self.error or "too fast")
            )
        seq = self.last_seq + 1
        record = bytes(record)
        self._queue.append((seq, entry(RECORD, seq, max(0, self._wall_ms()), record), record))
        self.last_seq = seq
        if len(self._queue) == 1:
            self._queued_at = -1
        if not self._hurry and not self._lazy(record):
            self._hurry = True
        return seq

    def snapshot(self, body: bytes, seq: "int | None" = None) -> None:
        """Queue the state of the fold after record `seq` (default: the last one); written in slices after that record.

        Raises JournalError if it is longer than a quarter of the area.
        """
        self._check_open()
        at = self.last_seq if seq is None else seq
        if not 0 < at <= self.last_seq:
            raise ValueError("snapshot up to record %d: the journal has 1..%d" % (at, self.last_seq))
        if len(body) > self._quarter * SECTOR:
            raise JournalError(
                "journal: a snapshot of %d bytes; at most %d" % (len(body), self._quarter * SECTOR)
            )
        self._due = (at, bytes(body))

    def prune(self, before_seq: int) -> None:
        """Records below `before_seq` may go, once a snapshot covers them and every name has delivered them."""
        self._check_open()
        if before_seq > self._prune:
            self._prune = before_seq
            self._set_floor()
            self._marks_due = True

    def set_delivered(self, name: str, seq: int) -> None:
        """Move the mark of `name` forward; durable with the next page, within a minute.

        A name is known from its first mark on, which may be 0: records that it has not are kept while there is room,
        and counted in `lost_records` when they must go.
        """
        self._check_open()
        if seq > self.durable_seq:
            raise ValueError(
                "%s: record %d cannot be delivered, durable up to %d" % (name, seq, self.durable_seq)
            )
        if name in self._marks and seq <= self._marks[name]:
            return
        if name not in self._marks and (len(self._marks) >= 4 or len(name.encode()) > 16):
            raise ValueError("%s: at most 4 names of 16 bytes" % name)
        self._marks[name] = seq
        self._set_floor()
        self._marks_due = True

    def close(self, timeout_s: float = 5.0) -> bool:
        """Write what waits, without erasing, and take nothing more. False if something could not be written."""
        self._closed = True
        while (self._queue or self._marks_due) and not self._failures and self._has_page():
            self._program_page()
        return not self._queue and not self._fault

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError("journal is closed")
