"""NOR flash as a block device: a program only clears bits of a whole page, only an erase sets them, power can fail.

Runs on CPython and on MicroPython. What a real chip would take silently, and spoil, is an error here.
"""

SECTOR = 4096
PAGE = 256
BLANK = 0xFF
HOW = ("before", "half", "garbage")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NorError(ValueError):
    """The chip was used in a way that it cannot do; the message says what, where and what it can."""


class PowerCut(Exception):
    """The supply failed in the middle of a program or erase, or it has not come back yet."""


class NorFlash:
    """`sectors` of 4096 bytes. `programs` and `erases` count by sector; `operations` counts both since the power came.

    image: what it holds at first (default: blank). `data` is what is in it now. seed: of the garbage that cuts leave.
    """

    def __init__(self, sectors: int = 32, image: "bytes | None" = None, seed: int = 1) -> None:
        self.sectors = sectors
        self.data = bytearray(image) if image is not None else bytearray(b"\xff" * (sectors * SECTOR))
        if len(self.data) != sectors * SECTOR:
            raise NorError(f"an image of {len(self.data)} bytes for {sectors} sectors")
        self.programs = [0] * sectors
        self.erases = [0] * sectors
        self.operations = 0
        self.dead = False
        self.fails = 0  # so many programs from now on leave a bit as it was, as a worn page does
        self._cut = 0
        self._how = HOW[0]
        self._random = seed * 2654435761 % 0x7FFFFFFF or 1

    # --- power ---

    def cut_at(self, operation: int, how: str) -> None:
        """Power fails at the n-th program or erase from now (1 = the next): before it, half-way, or with garbage."""
        if how not in HOW or operation < 1:
            raise NorError(f"cut at operation 1.. and before, half or garbage, not {operation} {how}")
        self._cut = self.operations + operation
        self._how = how

    def power_up(self) -> None:
        """The supply is back; nothing is cut any more."""
        self.dead = False
        self.operations = 0
        self._cut = 0

    def _begin(self) -> bool:
        """Count an operation; True if power fails in it."""
        if self.dead:
            raise PowerCut("no power")
        self.operations += 1
        self.dead = self.operations == self._cut
        return self.dead

    def _garbage(self, count: int) -> bytes:
        made = bytearray(count)
        state = self._random
        for i in range(count):
            state = (state * 48271) % 0x7FFFFFFF
            made[i] = state >> 12 & 0xFF
        self._random = state
        return bytes(made)

    # --- the block device ---

    def readblocks(self, block: int, buf: "Any", off: int = 0) -> None:
        """Read into `buf` from byte `off` of a sector on."""
        if self.dead:
            raise PowerCut("no power")
        start = self._start(block, off, len(buf))
        buf[:] = self.data[start : start + len(buf)]

    def writeblocks(self, block: int, buf: "Any", off: "int | None" = None) -> None:
        """Program whole pages. Never erases; the form without `off`, which would, is an error."""
        if off is None:
            raise NorError("writeblocks without off would erase; erase by ioctl(6), then program")
        if off % PAGE or len(buf) % PAGE or not len(buf):
            raise NorError(f"sector {block}: {len(buf)} bytes at {off} are no whole pages of {PAGE}")
        start = self._start(block, off, len(buf))
        for page in range(start, start + len(buf), PAGE):
            self._program(block, page, bytes(buf[page - start : page - start + PAGE]))

    def _program(self, block: int, start: int, new: bytes) -> None:
        old = self.data[start : start + PAGE]
        wanted = int.from_bytes(new, "little")
        if wanted & int.from_bytes(old, "little") != wanted:
            at = 0
            while new[at] & old[at] == new[at]:
                at += 1
            raise NorError(
                f"sector {block}, byte {start - block * SECTOR + at}: programming {new[at]} over {old[at]}"
                " would set bits; erase first"
            )
        cut = self._begin()
        if cut and self._how == "before":
            raise PowerCut(f"before a program in sector {block}")
        if cut and self._how == "half":
            new = new[: PAGE // 2] + old[PAGE // 2 :]
        elif cut:
            noise = self._garbage(PAGE)
            new = bytes([noise[i] & old[i] for i in range(PAGE)])
        elif self.fails:
            self.fails -= 1
            at = 0
            while new[at] == old[at]:
                at += 1
            new = new[:at] + old[at : at + 1] + new[at + 1 :]
        self.programs[block] += 1
        self.data[start : start + PAGE] = new
        if cut:
            raise PowerCut(f"in a program in sector {block}")

    def ioctl(self, op: int, arg: int = 0) -> int:
        """4 = how many sectors, 5 = bytes in one, 6 = erase sector `arg`; others are accepted and do nothing."""
        if op == 4:
            return self.sectors
        if op == 5:
            return SECTOR
        if op == 6:
            self._erase(arg)
        return 0

    def _erase(self, block: int) -> None:
        start = self._start(block, 0, SECTOR)
        cut = self._begin()
        if cut and self._how == "before":
            raise PowerCut(f"before the erase of sector {block}")
        self.erases[block] += 1
        stop = start + (SECTOR // 2 if cut else SECTOR)
        self.data[start:stop] = b"\xff" * (stop - start)
        if cut:
            if self._how == "garbage":
                self.data[start : start + SECTOR] = self._garbage(SECTOR)
            raise PowerCut(f"in the erase of sector {block}")

    def _start(self, block: int, off: int, size: int) -> int:
        if not 0 <= block < self.sectors or not 0 <= off <= SECTOR - size:
            raise NorError(f"sector {block}, {size} bytes at {off}: outside of {self.sectors} sectors")
        return block * SECTOR + off
