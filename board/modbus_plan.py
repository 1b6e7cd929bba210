"""Which registers of a Modbus device go into which request: pure functions, tested against one request a register."""

from collections.abc import Iterable
from dataclasses import dataclass

from board.modbus_values import BIT_TABLES
from board.transport import SerialSettings

MOST_READ_BITS, MOST_READ_REGISTERS = 2000, 125
MOST_WRITE_BITS, MOST_WRITE_REGISTERS = 1968, 123
"""What one request can carry (MODBUS Application Protocol Specification V1.1b3, 6.1, 6.3, 6.11, 6.12)."""

SILENCE_CHARACTERS = 3.5
LEAST_SILENCE_S = 0.00175
"""Silence before a frame on a serial line; a fixed time above 19,200 baud (MODBUS over Serial Line V1.02, 2.5.1.1)."""


@dataclass(frozen=True, order=True)
class Block:
    """`count` bits or registers of one table from `address` on."""

    table: str
    address: int
    count: int = 1

    @property
    def end(self) -> int:
        return self.address + self.count

    def holds(self, other: "Block") -> bool:
        """Whether all of `other` is in it."""
        return self.table == other.table and self.address <= other.address and other.end <= self.end

    def part(self, words: list[int], other: "Block") -> list[int]:
        """Of its `words` those of `other`, which it holds."""
        start = other.address - self.address
        return words[start : start + other.count]

    def __str__(self) -> str:
        if self.count == 1:
            return f"{self.table} {self.address}"
        return f"{self.table} {self.address}..{self.end - 1}"


def coalesce(wanted: Iterable[Block], most_bits: int, most_registers: int, gap: int = 0) -> list[Block]:
    """The fewest requests that hold every wanted block whole, in the order of tables and addresses.

    A request is at most `most_bits` or `most_registers` long, and reads across at most `gap` unwanted ones at a time.
    Every wanted block must be that short itself.
    """
    found: list[Block] = []
    for block in sorted(set(wanted)):
        most = most_bits if block.table in BIT_TABLES else most_registers
        if block.count > most:
            raise ValueError(f"{block} is longer than the {most} of one request")
        last = found[-1] if found else None
        if last is not None and last.table == block.table and block.address <= last.end + gap:
            joined = Block(last.table, last.address, max(last.end, block.end) - last.address)
            if joined.count <= most:
                found[-1] = joined
                continue
        found.append(block)
    return found


def frame_bytes(block: Block, writing: bool) -> tuple[int, int]:
    """How long the question and the answer about `block` are on a serial line (RTU), in bytes."""
    data = (block.count + 7) // 8 if block.table in BIT_TABLES else 2 * block.count
    if not writing:
        return 8, 5 + data
    return (8 if block.count == 1 else 9 + data), 8


def character_s(serial: SerialSettings) -> float:
    """How long a character takes on the line, in seconds."""
    return (1 + serial.bits + (serial.parity != "none") + serial.stop_bits) / serial.baud


def silence_s(serial: SerialSettings) -> float:
    """How long the line must be silent before a frame, in seconds."""
    return LEAST_SILENCE_S if serial.baud > 19_200 else SILENCE_CHARACTERS * character_s(serial)
