"""The form of the journal on flash, and reading it: pages, sector heads, entries.

A sector of 4096 bytes is 16 pages of 256. A page is programmed once, whole, and not again before its sector is erased,
so a cut can only harm what is not durable yet. Byte 0 of a page says where the first entry that begins in it is (0 =
none begins, 255 = the page is blank). Page 0 of a sector starts with its head, which counts sectors from 0 for ever:
sector number s lies at s % sectors, so all of them wear alike. What is left of a page is 0xFF.

An entry is 20 bytes and its body; only the body of a record goes on in the next pages and the next sector. Its checksum
covers all that follows it, number and time included. All numbers are little-endian.
"""

import binascii
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SECTOR = 4096
PAGE = 256
PAGES = SECTOR // PAGE

# first entry, magic, number of the sector, number of the next record that begins, sectors of the area, 0, epoch, crc
HEAD = "<B3sIIHH8sI"
HEAD_SIZE = 28
MAGIC = b"cj1"

# crc, bytes of the body, kind, number, wall clock in ms
ENTRY = "<IHHIQ"
ENTRY_SIZE = 20
RECORD = 1  # number of the record
MARKS = 2  #  body: MARKS_BODY, then for each name its length, the name, the number delivered
CHUNK = 3  #  part of a snapshot up to the record `number`; body: CHUNK_BODY, then its bytes

MARKS_BODY = "<IIII"  # records lost undelivered, all up to this number gone, prune before, newest snapshot
CHUNK_BODY = "<III"  # bytes of the snapshot, their crc, offset of this part
CHUNK_SIZE = 12
MAX_RECORD = 16_384
NO_LIMIT = (1 << 30) - 1


def crc32(data: "Any", before: int = 0) -> int:
    """The checksum of bytes that follow those with the checksum `before`."""
    return binascii.crc32(data, before) & 0xFFFFFFFF


def entry(kind: int, number: int, wall_ms: int, body: "Any") -> bytearray:
    """The 20 bytes in front of a body."""
    head = bytearray(ENTRY_SIZE)
    struct.pack_into(ENTRY, head, 0, 0, len(body), kind, number, wall_ms)
    struct.pack_into("<I", head, 0, crc32(body, crc32(memoryview(head)[4:])))
    return head


def put_head(page: bytearray, sector: int, next_seq: int, sectors: int, epoch: bytes) -> None:
    """Put the head of a sector into its first page; the pointer in byte 0 is there already."""
    struct.pack_into(HEAD, page, 0, page[0], MAGIC, sector, next_seq, sectors, 0, epoch, 0)
    struct.pack_into("<I", page, HEAD_SIZE - 4, crc32(memoryview(page)[: HEAD_SIZE - 4]))


def head_of(page: bytearray, sectors: int, place: int) -> "tuple[int, int, bytes] | None":
    """(number of the sector, next record, epoch) of a first page; None if it is no head of this area's journal."""
    _, magic, sector, next_seq, of, _, epoch, crc = struct.unpack_from(HEAD, page, 0)
    if magic != MAGIC or of != sectors or sector % sectors != place:
        return None
    if crc != crc32(memoryview(page)[: HEAD_SIZE - 4]):
        return None
    return sector, next_seq, epoch


def marks_body(lost: int, gone: int, prune: int, snapshot: int, marks: "dict[str, int]") -> bytes:
    """What the newest entry of this kind says holds."""
    body = struct.pack(MARKS_BODY, lost, gone, prune, snapshot)
    for name in sorted(marks):
        raw = name.encode()
        body += struct.pack("<B", len(raw)) + raw + struct.pack("<I", marks[name])
    return body


def marks_of(body: bytes) -> "tuple[tuple[int, int, int, int], dict[str, int]]":
    """((lost, gone, prune, snapshot), delivered by name) of a body whose checksum is right."""
    marks = {}
    at = struct.calcsize(MARKS_BODY)
    while at < len(body):
        size = body[at]
        marks[body[at + 1 : at + 1 + size].decode()] = struct.unpack_from("<I", body, at + 1 + size)[0]
        at += 5 + size
    lost, gone, prune, snapshot = struct.unpack_from(MARKS_BODY, body, 0)
    return (lost, gone, prune, snapshot), marks


class Area:
    """A block device as a ring of sectors: which number lies where, and up to which record each one reaches.

    numbers: by place, -1 = no part of the journal. last: the highest record that begins in the sector or before it.
    limit: records from this number on in this sector do not count; a later sector gave their numbers again.
    """

    def __init__(self, device: "Any") -> None:
        self.device = device
        self.sectors: int = device.ioctl(4, 0)
        self.numbers = [-1] * self.sectors
        self.last = [0] * self.sectors
        self.limit = [NO_LIMIT] * self.sectors

    def has(self, sector: int) -> bool:
        return sector >= 0 and self.numbers[sector % self.sectors] == sector

    def oldest(self) -> int:
        """The lowest number there is, -1 if there is none."""
        found = -1
        for number in self.numbers:
            if number >= 0 and (found < 0 or number < found):
                found = number
        return found

    def newest(self) -> int:
        return max(self.numbers)

    def after(self, sector: int) -> int:
        """The next sector there is after a number, -1 behind the newest."""
        found = -1
        for number in self.numbers:
            if number > sector and (found < 0 or number < found):
                found = number
        return found


class Walker:
    """Goes through the good entries of an area from one sector on, in order; what is no whole entry is passed over.

    After `next()`: kind, number, wall_ms, sector (where it begins), and `body`, which for a record is there only with
    `keep`.
    """

    def __init__(self, area: Area, sector: int, keep: bool = False) -> None:
        self._area = area
        self._keep = keep
        self._page = bytearray(PAGE)
        self._view = memoryview(self._page)
        self._sector = sector  # of the page that is in memory
        self._number = -1  # of that page
        self._at = PAGE
        self.sector = sector
        self.kind = 0
        self.number = 0
        self.wall_ms = 0
        self.body = b""
        self.torn = 0  # entries that began and were not whole

    def next(self) -> bool:
        """The next entry whose checksum is right; False at the end."""
        while True:
            if self._at + ENTRY_SIZE > PAGE:
                if not self._turn(False):
                    return False
                self._at = self._page[0] or PAGE
                continue
            crc, length, kind, number, wall_ms = struct.unpack_from(ENTRY, self._page, self._at)
            if crc == 0xFFFFFFFF and length == 0xFFFF:
                self._at = PAGE
                continue
            sector, page = self._sector, self._number
            if kind in (RECORD, MARKS, CHUNK) and self._whole(crc, length, kind):
                self.sector, self.kind, self.number, self.wall_ms = sector, kind, number, wall_ms
                return True
            # The next page says by itself where its first entry is.
            self._sector, self._number, self._at = sector, page, PAGE
            self.torn += 1

    def _whole(self, crc: int, length: int, kind: int) -> bool:
        """Read the entry at `_at` to its end; `_at` is behind it then."""
        start = self._at + ENTRY_SIZE
        end = start + length
        if length > MAX_RECORD or (kind != RECORD and end > PAGE):
            return False
        stop = min(end, PAGE)
        found = crc32(self._view[self._at + 4 : stop])
        keep = self._keep or kind != RECORD
        parts = [bytes(self._view[start:stop])] if keep else []
        left = end - stop
        while left:
            if not self._turn(True):
                return False
            start = HEAD_SIZE if self._number == 0 else 1
            stop = start + min(left, PAGE - start)
            found = crc32(self._view[start:stop], found)
            if keep:
                parts.append(bytes(self._view[start:stop]))
            left -= stop - start
        if found != crc:
            return False
        self._at = stop
        self.body = parts[0] if len(parts) == 1 else b"".join(parts)
        return True

    def _turn(self, unbroken: bool) -> bool:
        """Read the next page there is; `unbroken`: only if it is the very next one of the journal."""
        area = self._area
        if not area.has(self._sector):  # erased while somebody was reading
            self._number = PAGES
        if self._number + 1 < PAGES:
            self._number += 1
        else:
            sector = area.after(self._sector)
            if sector < 0 or (unbroken and sector != self._sector + 1):
                return False
            self._sector = sector
            self._number = 0
        area.device.readblocks(self._sector % area.sectors, self._page, self._number * PAGE)
        return True
