"""What the registers of a Modbus device mean: type, word order and scale, to counts and back."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BIT_TABLES = ("coil", "discrete")
TABLES = (*BIT_TABLES, "input", "holding")

FORMATS = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "f32": ">f"}
"""Types of more than one bit, as `struct` writes them with the high word first."""


@dataclass(frozen=True)
class Value:
    """How one point lies in its registers.

    `kind`: "bit" or one of FORMATS. `bit`: 0..15, which bit of a register; 0 in a table of bits. `little`: the low word
    comes first. counts = number in the registers * `num` / `den`, rounded. Counts outside `low`..`high` are no values.
    """

    kind: str = "bit"
    bit: int = 0
    little: bool = False
    num: int = 1
    den: int = 1
    low: int = 0
    high: int = 1

    @property
    def length(self) -> int:
        """How many registers, or bits of a table of bits, it takes."""
        return 1 if self.kind == "bit" else struct.calcsize(FORMATS[self.kind]) // 2

    @property
    def mask(self) -> int:
        """The bits of each of its registers that are its own."""
        return 1 << self.bit if self.kind == "bit" else 0xFFFF

    def count(self, words: Sequence[int]) -> int | None:
        """The count in `words`, its registers in the order of their addresses; None where that is no value."""
        if self.kind == "bit":
            return words[0] >> self.bit & 1
        raw: int | float
        (raw,) = struct.unpack(FORMATS[self.kind], _bytes(words, self.little))
        if isinstance(raw, float):
            scaled = raw * self.num / self.den
            found = round(scaled) if math.isfinite(scaled) else self.high + 1
        else:
            found = (2 * raw * self.num + self.den) // (2 * self.den)
        return found if self.low <= found <= self.high else None

    def words(self, count: int) -> list[int]:
        """The registers that say `count`, which is brought into `low`..`high` first."""
        count = max(self.low, min(self.high, count))
        if self.kind == "bit":
            return [count << self.bit]
        whole = (2 * count * self.den + self.num) // (2 * self.num)
        raw = count * self.den / self.num if self.kind == "f32" else whole
        data = struct.pack(FORMATS[self.kind], raw)
        words = [int.from_bytes(data[k : k + 2], "big") for k in range(0, len(data), 2)]
        return words[::-1] if self.little else words


def value_of(point: Mapping[str, Any]) -> Value:
    """The Value that the settings of a point say; see host_tools.devices.modbus for their keys."""
    return Value(
        point["type"],
        point["bit"],
        point["little"],
        point["num"],
        point["den"],
        point["low"],
        point["high"],
    )


def _bytes(words: Sequence[int], little: bool) -> bytes:
    ordered = reversed(words) if little else words
    return b"".join(word.to_bytes(2, "big") for word in ordered)
