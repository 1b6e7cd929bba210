"""Opening the journal's area after anything: a cut, a half-erased sector, a page of garbage.

What a cut leaves is no damage: an entry that was not whole was never said to be durable, and its number is given again.
Damage is what cannot come from a cut: a number missing between two good records, a snapshot or a delivered mark beyond
the last record. Then the unbroken history after the newest snapshot is kept, and the epoch is a new one.
"""

import struct

from .flash_records import (
    CHUNK,
    CHUNK_BODY,
    CHUNK_SIZE,
    MARKS,
    NO_LIMIT,
    PAGE,
    PAGES,
    RECORD,
    Area,
    Walker,
    crc32,
    head_of,
    marks_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BLANK = b"\xff" * PAGE


class Assembly:
    """The newest whole snapshot among the chunks that pass by."""

    def __init__(self) -> None:
        self.seq = 0  # of the newest whole one, 0 = none
        self.first = -1  # sector in which it begins
        self.total = 0
        self.crc = 0
        self._seq = 0
        self._first = -1
        self._told = (0, 0)
        self._have = 0
        self._run = 0

    def take(self, sector: int, seq: int, body: bytes) -> None:
        """The next chunk; those which do not go on from the ones before are passed over."""
        total, crc, offset = struct.unpack_from(CHUNK_BODY, body, 0)
        if offset == 0:
            self._seq, self._first, self._told, self._have, self._run = seq, sector, (total, crc), 0, 0
        elif seq != self._seq or (total, crc) != self._told or offset != self._have:
            return
        self._run = crc32(memoryview(body)[CHUNK_SIZE:], self._run)
        self._have += len(body) - CHUNK_SIZE
        if self._have == total and self._run == crc:
            self.seq, self.first, self.total, self.crc = seq, self._first, total, crc


class Found:
    """What an area holds. `said`: what is wrong, "" = nothing; `area` tells where everything lies."""

    def __init__(self, device: "Any") -> None:
        self.area = Area(device)
        self.epoch = b""
        self.head = -1  # newest sector, -1 = the area is empty
        self.page = PAGES  # next page of it that can be programmed
        self.stock = 0  # erased sectors behind it
        self.last = 0
        self.first = 0  # first record there is, 0 = none
        self.snapshot = Assembly()
        self.said = ""
        self.cuts = 0  # entries that a cut left unfinished
        self.lost = 0
        self.gone = 0
        self.prune = 0
        self.marks: "dict[str, int]" = {}
        self._noted = 0  # newest snapshot by the newest marks
        self._top = 0  # highest number that was given out, by what is left
        self._gaps: "list[tuple[int, int]]" = []  # missing from, to
        self._epoch_from = 0  # first sector of the newest epoch
        self._next: "dict[int, int]" = {}  # sector -> next record by its head
        page = bytearray(PAGE)
        self._read_heads(page)
        if self.head < 0:
            self._look_for_others(page)
        else:
            self._read_entries()
            if self._drop_half_erased():
                self._read_entries()
            self._judge()
            self._find_place(page)
        self._count_stock(page)

    def _read_heads(self, page: bytearray) -> None:
        area = self.area
        epochs = {}
        for place in range(area.sectors):
            area.device.readblocks(place, page, 0)
            told = head_of(page, area.sectors, place)
            if told is not None:
                sector, next_seq, epoch = told
                area.numbers[place] = sector
                self._next[sector] = next_seq
                epochs[sector] = epoch
        self.head = area.newest()
        if self.head < 0:
            return
        for place in range(area.sectors):  # older than a whole round: left over from before a power cut
            if 0 <= area.numbers[place] <= self.head - area.sectors:
                area.numbers[place] = -1
        self.epoch = epochs[self.head]
        self._epoch_from = sector = self.head
        limit = NO_LIMIT
        while sector >= 0:
            area.limit[sector % area.sectors] = limit
            limit = min(limit, self._next[sector])
            if epochs[sector] == self.epoch:
                self._epoch_from = sector
            sector = self._before(sector)

    def _before(self, sector: int) -> int:
        found = -1
        for number in self.area.numbers:
            if found < number < sector:
                found = number
        return found

    def _read_entries(self) -> None:
        area = self.area
        self._gaps = []
        self.first = 0
        self.snapshot = Assembly()
        oldest = area.oldest()
        # what was before the oldest sector was erased on purpose
        expected = min(self._next[oldest], area.limit[oldest % area.sectors])
        top = 0
        for place in range(area.sectors):
            area.last[place] = 0
        walker = Walker(area, oldest)
        while walker.next():
            place = walker.sector % area.sectors
            number = walker.number
            if walker.kind == MARKS:
                told, self.marks = marks_of(walker.body)
                self.lost, self.gone, self.prune, self._noted = told
                continue
            if number >= area.limit[place]:
                continue
            top = max(top, number)
            if walker.kind == CHUNK:
                self.snapshot.take(walker.sector, number, walker.body)
            elif walker.kind == RECORD and (
                number >= expected or (not self.first and number == expected - 1)
            ):
                # One less: it began in an older sector, was cut, and was written once more here.
                if not self.first:
                    self.first = number
                if number > expected:
                    self._gaps.append((expected, number - 1))
                expected = number + 1
                area.last[place] = number
        self.last = expected - 1
        self.cuts = walker.torn
        self._top = top
        last = 0
        sector = area.oldest()
        while sector >= 0:
            last = area.last[sector % area.sectors] = max(last, area.last[sector % area.sectors])
            sector = area.after(sector)

    def _drop_half_erased(self) -> bool:
        """The oldest sector may have been under the eraser: where it is not whole, and covered, it is no more."""
        area = self.area
        oldest = area.oldest()
        if oldest == self.head or area.last[oldest % area.sectors] > self.snapshot.seq:
            return False
        reaches = self._next[area.after(oldest)] - 1
        missing = [to for start, to in self._gaps if start <= reaches]
        if not missing or max(missing) > self.snapshot.seq or self.snapshot.first <= oldest:
            return False
        area.numbers[oldest % area.sectors] = -1
        return True

    def _judge(self) -> None:
        """Where the history ends, and whether that is what a cut may leave."""
        wrong = []
        snapshot = self.snapshot.seq
        base = snapshot or (self.first or self.last + 1) - 1
        known = self._next[self._epoch_from]  # what is missing below was said when this epoch began
        end = max(self.last, snapshot)
        for start, to in self._gaps:
            if to > base:
                end = min(end, max(base, start - 1))
            if to > base or to >= known:
                wrong.append("records %d to %d are missing" % (start, to))
        if snapshot and self.first > snapshot + 1:  # a newer snapshot covered what is not there any more
            end = snapshot
            wrong.append("records %d to %d are missing" % (snapshot + 1, self.first - 1))
        top = max(
            self._top, self._next[self.head] - 2
        )  # the head may have come with the front of one more record
        if not wrong and (top > end or (snapshot > self.last and snapshot >= known)):
            wrong.append("record %d is missing" % (self.last + 1))
        if not wrong and self._is_more_behind(end):
            wrong.append("records from %d on are missing" % (end + 1))
        if self._noted > snapshot:
            wrong.append("the snapshot up to record %d is missing" % self._noted)
        for name in sorted(self.marks):
            if self.marks[name] > end:
                wrong.append("%s has record %d, the journal ends at %d" % (name, self.marks[name], end))
                self.marks[name] = end
        self.last = end
        self.gone = min(self.gone, end)
        if wrong:
            self._say(wrong[0], base)

    def _is_more_behind(self, end: int) -> bool:
        """Whether the next sector, whose head is not whole, has good records that came later than all others."""
        area = self.area
        place = (self.head + 1) % area.sectors
        if area.numbers[place] >= 0:
            return False
        area.numbers[place] = self.head + 1
        walker = Walker(area, self.head + 1)
        more = False
        while not more and walker.next():
            more = walker.kind == RECORD and walker.number > end
        area.numbers[place] = -1
        return more

    def _say(self, reason: str, base: int) -> None:
        area = self.area
        for place in range(area.sectors):
            area.limit[place] = min(area.limit[place], self.last + 1)
            area.last[place] = min(area.last[place], self.last)
        if self.first and self.last >= self.first:
            saved = "records %d to %d kept" % (self.first, self.last)
        else:
            saved = "no records kept"
        if self.snapshot.seq:
            saved += " and a snapshot up to record %d" % self.snapshot.seq
        elif base:
            saved += "; the snapshot up to record %d is lost, compare the orders with the order desk" % base
        self.said = "the journal was damaged (%s): %s" % (reason, saved)
        self.epoch = b""

    def _look_for_others(self, page: bytearray) -> None:
        """Without any head: a new area is blank, or has the first page of a journal whose first write was cut."""
        used = 0
        for place in range(self.area.sectors):
            if not _is_blank(self.area.device, place, page, 0):
                used += 1
        if used > 1:
            self.said = (
                "the journal's area holds no journal (%d sectors with something else): the history starts anew"
                % used
            )

    def _find_place(self, page: bytearray) -> None:
        """The first page after everything that was ever programmed in the newest sector."""
        if not self.epoch:
            return  # a new epoch begins in a new sector
        device = self.area.device
        place = self.head % self.area.sectors
        number = PAGES
        while number > 0:
            device.readblocks(place, page, (number - 1) * PAGE)
            if page != _BLANK:
                break
            number -= 1
        self.page = number

    def _count_stock(self, page: bytearray) -> None:
        """Blank sectors behind the newest. The last of them may have been under the eraser: it is erased again."""
        area = self.area
        sector = self.head + 1
        while sector - self.head <= area.sectors and area.numbers[sector % area.sectors] < 0:
            if not _is_blank(area.device, sector % area.sectors, page, 0):
                break
            sector += 1
        self.stock = max(0, sector - self.head - 2)


def _is_blank(device: "Any", place: int, page: bytearray, number: int) -> bool:
    """Whether a sector is blank from a page on."""
    while number < PAGES:
        device.readblocks(place, page, number * PAGE)
        if page != _BLANK:
            return False
        number += 1
    return True
