"""Where each signal of a compiled cell is in the images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cell_controller.core.signals import WORD_BITS


@dataclass(frozen=True)
class Signal:
    """One signal of the cell: `place` is its bit among the digital ones of its side, or its place among the others."""

    index: int
    place: int
    is_output: bool
    entry: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.entry["name"])

    @property
    def word(self) -> int:
        return self.place // WORD_BITS

    @property
    def mask(self) -> int:
        return 1 << self.place % WORD_BITS


def signals_of(spec: Mapping[str, Any]) -> Iterator[Signal]:
    """Every signal of the cell with its place in the images."""
    for side in ("inputs", "outputs"):
        digital = others = 0
        for index, entry in enumerate(spec[side]):
            if entry["kind"] == "digital":
                yield Signal(index, digital, side == "outputs", entry)
                digital += 1
            else:
                yield Signal(index, others, side == "outputs", entry)
                others += 1
