"""`rp2`: flash that is NOR. A program can only clear bits, an erase sets a sector; the power may go in either."""

import uctypes

from . import layout
from .shared import end, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EIO = 5
EINVAL = 22
_cells: bytearray = uctypes.bytearray_at(layout.CELLS, layout.STORAGE_BYTES)


def _cut() -> int:
    """Counts an operation; how the power goes in it, 0 where it stays."""
    words[layout.OPERATIONS] += 1
    if words[layout.OPERATIONS] != words[layout.CUT_AT]:
        return 0
    how: int = words[layout.CUT_HOW]
    if how == layout.BEFORE:
        end(layout.SAY_CUT)
    return how


def _noise() -> int:
    words[layout.SEED] = (words[layout.SEED] * 1103515245 + 12345) & 0x3FFFFFFF
    noise: int = words[layout.SEED] >> 16 & 0xFF
    return noise


def _program(at: int, data: "Any", first: int) -> None:
    """One page at `at`, from `data[first:]`."""
    how = _cut()
    cells = _cells
    for i in range(layout.PAGE):
        new = data[first + i]
        if cells[at + i] & new != new:
            words[layout.VIOLATIONS] += 1
            words[layout.VIOLATION_AT] = at + i
            raise OSError(EIO)
    if how == 0:
        for i in range(layout.PAGE):
            cells[at + i] = data[first + i]
        return
    for i in range(layout.PAGE):
        if how == layout.GARBAGE:
            cells[at + i] &= _noise()
        elif i < layout.PAGE // 2:
            cells[at + i] = data[first + i]
    end(layout.SAY_CUT)


def _erase(at: int) -> None:
    how = _cut()
    cells = _cells
    for i in range(layout.SECTOR):
        if how == layout.GARBAGE:
            cells[at + i] |= _noise()
        elif how == 0 or i < layout.SECTOR // 2:
            cells[at + i] = 0xFF
    if how:
        end(layout.SAY_CUT)


class Flash:
    """The part of the flash that Python may use, or `len` bytes of it from `start`."""

    def __init__(self, *, start: int = -1, len: int = -1) -> None:
        whole = layout.STORAGE_BYTES
        if start == -1:
            start = 0
        elif start < 0 or start >= whole or start % layout.SECTOR:
            raise ValueError
        if len == -1:
            len = whole - start
        elif len <= 0 or start + len > whole or len % layout.SECTOR:
            raise ValueError
        self._start = start
        self._size = len

    def readblocks(self, block: int, buffer: "Any", offset: int = 0) -> None:
        at = self._place(block, offset, len(buffer))
        cells = _cells
        for i in range(len(buffer)):
            buffer[i] = cells[at + i]

    def writeblocks(self, block: int, buffer: "Any", offset: "int | None" = None) -> None:
        """Programs; without `offset` erases first."""
        at = self._place(block, offset or 0, len(buffer))
        if (at | len(buffer)) % layout.PAGE:
            raise OSError(EINVAL)  # an RP2 would program something else
        if offset is None:
            for sector in range(at, at + len(buffer), layout.SECTOR):
                _erase(sector)
        for first in range(0, len(buffer), layout.PAGE):
            _program(at + first, buffer, first)

    def ioctl(self, command: int, argument: int) -> "int | None":
        if command == 4:
            return self._size // layout.SECTOR
        if command == 5:
            return layout.SECTOR
        if command == 6:
            _erase(self._place(argument, 0, layout.SECTOR))
        elif command > 3:
            return None
        return 0

    def _place(self, block: int, offset: int, size: int) -> int:
        at = block * layout.SECTOR + offset
        if at < 0 or at + size > self._size:
            raise OSError(EINVAL)  # an RP2 would reach into the next area
        return self._start + at
