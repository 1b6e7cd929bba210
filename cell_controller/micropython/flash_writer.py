"""The writing half of the journal on flash: which page is programmed when, which sector is erased when.

What is on flash is never changed in memory before the page that says it was read back.
"""

import struct

from ..core.ticks import add, diff
from .flash_records import (
    CHUNK,
    CHUNK_BODY,
    CHUNK_SIZE,
    ENTRY_SIZE,
    HEAD_SIZE,
    MARKS,
    NO_LIMIT,
    PAGE,
    PAGES,
    crc32,
    entry,
    marks_body,
    put_head,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .flash_recovery import Found

OK = 0
CANNOT_WRITE = 1
LAZY_MS = 100  # how long a record may wait that nothing waits for
FULL_PAGE = 6  # records that fill a page
MARKS_MS = 60_000  # how long delivered marks wait for a page that is written anyway
CHUNK_MS = 120_000  # how long a snapshot goes only into the rest of such pages
RETRY_MS = 1_000  # after errors in a row
RESERVE = 2  # sectors kept for what a hold still has to write
ERASE_MS = 45  # typical of the chips on these boards, for the text only
LEAST_CHUNK = 24  # bytes; less is not worth its 32 bytes of heads
BAD_PAGES = 3  # in a row, then it is said


class Writer:
    """Where the next page goes, what waits for it, and what is durable; `FlashJournal` is made of it."""

    def __init__(self, device: "Any", found: "Found", epoch: bytes, lazy: "Callable[[bytes], bool]") -> None:
        self._device = device
        self._area = found.area
        self._lazy = lazy
        self._epoch = epoch
        self._sectors = found.area.sectors
        self._quarter = self._sectors // 4
        self._enough = max(RESERVE + 2, self._quarter)
        self._closed = False
        # where the next page goes
        self._head = found.head
        self._page = found.page
        self._stock = found.stock
        # what is durable
        self.last_seq = self.durable_seq = found.last
        self.snapshot_seq = found.snapshot.seq
        self._snapshot_first = found.snapshot.first
        self._snapshot_told = (found.snapshot.total, found.snapshot.crc)
        self._marks = found.marks
        self._prune = found.prune
        self.lost_records = found.lost
        self._gone = found.gone
        self._floor = 0
        self._had = 0
        self._set_floor()
        self._count_lost(min(found.last, (found.first or found.last + 1) - 1))
        # what waits
        self._queue: "list[tuple[int, bytearray, bytes]]" = []  # (number, head of the entry, record)
        self._offset = -1  # bytes of the first record's body that are on flash, -1: its head is not either
        self._hurry = False
        self._queued_at = -1
        self._marks_due = bool(found.said)
        self._marks_at = -1
        self._due: "tuple[int, bytes] | None" = None
        self._body: "bytes | None" = None
        self._body_seq = 0
        self._body_crc = 0
        self._body_at = 0
        self._body_first = -1
        self._body_since = -1
        # one page being made, and what it will have done
        self._buffer = bytearray(PAGE)
        self._view = memoryview(self._buffer)
        self._check = bytearray(PAGE)
        self._blank = bytes(b"\xff" * PAGE)
        self._made_records = 0
        self._made_offset = -1
        self._made_started = 0
        self._made_marks = False
        self._made_chunk = 0
        self._fault = ""
        self._failures = 0
        self._retry_at = 0
        self._low = False
        self._look()

    @property
    def state(self) -> int:
        """0 = ok, 1 = the cell must hold: no erased sectors in stock, or the flash does not take what is written."""
        return CANNOT_WRITE if self._low or self._fault else OK

    @property
    def error(self) -> str:
        """Why `state` is 1; "" while it is 0."""
        if self._fault:
            return self._fault
        if not self._low:
            return ""
        count = 0
        while self._erasable(count):
            count += 1
        if not count:
            return "the journal is full since the last snapshot; finish the item in work, or end it, then it goes on"
        return "the journal has no erased sectors in stock: the cell must stand still for %d ms" % (
            count * ERASE_MS
        )

    def _set_floor(self) -> None:
        """Up to which record everybody has them, and up to which they may go without need."""
        had = -1
        for name in self._marks:
            if had < 0 or self._marks[name] < had:
                had = self._marks[name]
        self._had = NO_LIMIT if had < 0 else had
        self._floor = max(0, min(self._had, self._prune - 1))

    def _count_lost(self, upto: int) -> None:
        """Records up to this one are gone; say how many of them somebody did not have."""
        self.lost_records += max(0, upto - max(self._had, self._gone))
        self._gone = max(self._gone, upto)

    # --- a slice of work ---

    def work(self, now: int, may_erase: bool) -> bool:
        """One bounded slice: a page programmed, or, only if `may_erase`, a sector erased. False if there was nothing.

        now: the tick of the board. With nothing to do it allocates nothing.
        """
        if self._closed or (self._failures >= BAD_PAGES and diff(now, self._retry_at) < 0):
            return False
        if self._wants_page(now) and self._has_page():
            self._program_page()
        elif may_erase and self._erasable(0):
            # What allows it is on flash first, so that nothing counts as lost after a cut.
            if self._marks_due and self._has_page():
                self._program_page()
            else:
                self._erase()
        else:
            return False
        if self._failures:
            self._retry_at = add(now, RETRY_MS)
        return True

    def _wants_page(self, now: int) -> bool:
        if self._queue:
            if self._hurry or self._offset >= 0 or len(self._queue) >= FULL_PAGE:
                return True
            if self._queued_at < 0:
                self._queued_at = now
            if diff(now, self._queued_at) >= LAZY_MS:
                return True
        if self._marks_due:
            if self._marks_at < 0:
                self._marks_at = now
            if diff(now, self._marks_at) >= MARKS_MS:
                return True
        if self._body is None and self._due is not None and self._due[0] <= self.durable_seq:
            self._begin_snapshot(now)
        if self._body is None:
            return False
        return self._stock <= self._enough or diff(now, self._body_since) >= CHUNK_MS

    def _has_page(self) -> bool:
        return self._page < PAGES or self._stock > 0

    def _begin_snapshot(self, now: int) -> None:
        if self._due is None:
            return
        self._body_seq, self._body = self._due
        self._due = None
        self._body_crc = crc32(self._body)
        self._body_at = 0
        self._body_since = now

    def _look(self) -> None:
        """Whether the stock is too low to go on, or as large as it can be: one pause, not many."""
        if self._stock <= RESERVE:
            self._low = True
        elif not self._erasable(0):
            self._low = False

    # --- programming ---

    def _program_page(self) -> None:
        new = self._page >= PAGES
        sector = self._head + 1 if new else self._head
        page = 0 if new else self._page
        self._fill(sector, new)
        try:
            place = sector % self._sectors
            self._device.writeblocks(place, self._buffer, page * PAGE)
            self._device.readblocks(place, self._check, page * PAGE)
        except OSError as error:
            self._failed(place, page, "journal: the flash cannot be written: %s" % error)
            return
        if self._check != self._buffer:
            text = "journal: sector %d of the flash does not keep what is written; replace the board" % place
            self._failed(place, page, text)
            return
        self._failures = 0
        self._fault = ""
        if new:
            self._area.numbers[place] = sector
            self._area.limit[place] = NO_LIMIT
            self._area.last[place] = self._area.last[self._head % self._sectors] if self._head >= 0 else 0
            self._head = sector
            self._stock -= 1
            self._page = 0
        self._page += 1
        self._done(place, sector)
        if new and not self._made_marks:
            self._marks_due = True
        self._look()

    def _failed(self, place: int, page: int, text: str) -> None:
        """Try again: on the same page if it is still blank, else on the next, for none is programmed twice."""
        self._failures += 1
        if self._failures >= BAD_PAGES:
            self._fault = text
        if not self._is_page_blank(place, page):
            self._offset = -1  # the record begins again
            if page:
                self._page += 1
            else:
                self._stock = 0  # a sector without a whole head must be erased again
        self._look()

    def _fill(self, sector: int, new: bool) -> None:
        """Put into the buffer what waits, as much as goes into a page; `_made_...` say what that was."""
        buffer = self._buffer
        buffer[:] = self._blank
        buffer[0] = 0
        at = HEAD_SIZE if new else 1
        first = 0
        self._made_records = self._made_started = self._made_chunk = 0
        self._made_offset = self._offset
        self._made_marks = False
        if self._offset >= 0:
            at = self._put_record(at, 0, self._offset)
        begins = self._queue[0][0] + (1 if self._offset >= 0 else 0) if self._queue else self.last_seq + 1
        if new or (self._marks_due and not self._queue):
            first, at = self._put_marks(at, first)
        while self._made_records < len(self._queue) and at + ENTRY_SIZE <= PAGE:
            if self._made_offset >= 0:
                break
            first = first or at
            index = self._made_records
            number, head, _ = self._queue[index]
            buffer[at : at + ENTRY_SIZE] = head
            self._made_started = number
            at = self._put_record(at + ENTRY_SIZE, index, 0)
        if self._marks_due and not self._made_marks and self._made_offset < 0:
            first, at = self._put_marks(at, first)
        if self._body is not None and self._made_offset < 0:
            first = self._put_chunk(at, first)
        buffer[0] = first
        if new:
            put_head(buffer, sector, begins, self._sectors, self._epoch)

    def _put_record(self, at: int, index: int, offset: int) -> int:
        """Bytes of a record's body from `offset` on; returns what is free behind them."""
        record = self._queue[index][2]
        size = min(len(record) - offset, PAGE - at)
        self._buffer[at : at + size] = memoryview(record)[offset : offset + size]
        if offset + size == len(record):
            self._made_records = index + 1
            self._made_offset = -1
        else:
            self._made_offset = offset + size
        return at + size

    def _put_marks(self, at: int, first: int) -> "tuple[int, int]":
        """Returns (first entry of the page, what is free) with the marks in it, if they fit."""
        body = marks_body(self.lost_records, self._gone, self._prune, self.snapshot_seq, self._marks)
        end = at + ENTRY_SIZE + len(body)
        if end > PAGE:
            return first, at
        self._buffer[at : at + ENTRY_SIZE] = entry(MARKS, self.durable_seq, 0, body)
        self._buffer[at + ENTRY_SIZE : end] = body
        self._made_marks = True
        return first or at, end

    def _put_chunk(self, at: int, first: int) -> int:
        """The next part of the snapshot, if there is room for some of it."""
        whole = self._body
        begin = at + ENTRY_SIZE + CHUNK_SIZE
        if whole is None:
            return first
        size = min(len(whole) - self._body_at, PAGE - begin)
        if begin > PAGE or size < min(LEAST_CHUNK, len(whole) - self._body_at):
            return first
        body = struct.pack(CHUNK_BODY, len(whole), self._body_crc, self._body_at)
        body += whole[self._body_at : self._body_at + size]
        self._buffer[at : at + ENTRY_SIZE] = entry(CHUNK, self._body_seq, 0, body)
        self._buffer[at + ENTRY_SIZE : begin + size] = body
        self._made_chunk = size + 1
        return first or at

    def _done(self, place: int, sector: int) -> None:
        """The page is on flash: take out of the queue what was in it."""
        if self._made_started:
            self._area.last[place] = self._made_started
        for _ in range(self._made_records):
            self.durable_seq = self._queue.pop(0)[0]
        self._offset = self._made_offset
        if self._made_records:
            self._queued_at = -1
            self._hurry = False
            for waits in self._queue:
                if not self._lazy(waits[2]):
                    self._hurry = True
        if self._made_marks:
            self._marks_due = False
            self._marks_at = -1
        if self._made_chunk and self._body is not None:
            if self._body_at == 0:
                self._body_first = sector
            self._body_at += self._made_chunk - 1
            if self._body_at == len(self._body):
                self._snapshot_first = self._body_first
                self._snapshot_told = (len(self._body), self._body_crc)
                self.snapshot_seq = self._body_seq
                self._body = None
                self._marks_due = True

    # --- erasing ---

    def _erasable(self, ahead: int) -> bool:
        """Whether the sector behind the stock, `ahead` more of them, may be erased."""
        area = self._area
        old = self._head + 1 + self._stock + ahead - self._sectors  # what lies there
        if old >= self._head:
            return False
        if not area.has(old):
            return True
        last = area.last[old % self._sectors]
        if last > self.snapshot_seq or old >= self._snapshot_first:
            return False
        # What nobody has yet is kept while there is enough without it.
        return last <= self._floor or self._stock + ahead < self._enough

    def _erase(self) -> None:
        area = self._area
        sector = self._head + 1 + self._stock
        place = sector % self._sectors
        if area.numbers[place] >= 0:
            lost = self.lost_records
            self._count_lost(area.last[place])
            self._marks_due = self._marks_due or self.lost_records != lost
            area.numbers[place] = -1
        try:
            self._device.ioctl(6, place)
            good = self._is_blank(place)
        except OSError:
            good = False
        if good:
            self._failures = 0
            self._fault = ""
            self._stock += 1
        else:
            self._failures += 1
            if self._failures >= BAD_PAGES:
                self._fault = "journal: sector %d of the flash cannot be erased; replace the board" % place
        self._look()

    def _is_blank(self, place: int) -> bool:
        for page in range(PAGES):
            if not self._is_page_blank(place, page):
                return False
        return True

    def _is_page_blank(self, place: int, page: int) -> bool:
        try:
            self._device.readblocks(place, self._check, page * PAGE)
        except OSError:
            return False
        return self._check == self._blank
