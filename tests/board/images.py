"""Signals by name in the images of a board, for tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from board.contract import Board
from cell_controller.core.signals import WORD_BITS, InputImage, OutputImage

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"


class Terminals:
    """A board's images with names: what a person with a multimeter would use."""

    def __init__(self, board: Board, spec: Mapping[str, Any]) -> None:
        self.board = board
        self.spec = spec
        self.inputs = InputImage(dict(spec))
        self.outputs = OutputImage(dict(spec))
        self._beat = 0

    def drive(self, **values: int) -> None:
        """Change some outputs (raw counts for an analog one with a span) and write the image."""
        for name, value in values.items():
            digital, k = self._place("outputs", name)
            if not digital:
                self.outputs.analog[k] = value
            elif value:
                self.outputs.words[k // WORD_BITS] |= 1 << k % WORD_BITS
            else:
                self.outputs.words[k // WORD_BITS] &= ~(1 << k % WORD_BITS)
        self.board.write(self.outputs)

    def beat(self) -> None:
        """Change the heartbeat and write."""
        self._beat ^= 1
        self.drive(heartbeat=self._beat)

    def pass_time(self, ms: int, scan_ms: int = 10) -> None:
        """Scan for `ms` of the board's time."""
        tick = self.board.tick()
        for _ in range(ms // scan_ms):
            tick += scan_ms
            self.board.sleep_until(tick)
            self.board.read(self.inputs)
            self.board.write(self.outputs)

    def pass_until(self, name: str, least: int, most: int = 1 << 29, limit_ms: int = 60_000) -> None:
        """Scan until an input reads `least`..`most`; says what it read when that takes longer than `limit_ms`."""
        for _ in range(limit_ms // 10):
            self.pass_time(10)
            if least <= self.value(name) <= most:
                return
        raise AssertionError(f"{name} reads {self.value(name)} after {limit_ms} ms, not {least}..{most}")

    def value(self, name: str) -> int:
        """An input of the last reading, in steps of its resolution."""
        digital, k = self._place("inputs", name)
        if digital:
            return self.inputs.words[k // WORD_BITS] >> k % WORD_BITS & 1
        count = self.inputs.analog[k]
        span = next(entry["raw"] for entry in self.spec["inputs"] if entry["name"] == name)
        if not span:
            return count
        return int(span[2] + (count - span[0]) * (span[3] - span[2]) // (span[1] - span[0]))

    def count(self, name: str, value: int) -> int:
        """What drives an output to `value`, in steps: raw counts where its channel has a span."""
        span = next(entry["raw"] for entry in self.spec["outputs"] if entry["name"] == name)
        if not span:
            return value
        return int(span[0] + (value - span[2]) * (span[1] - span[0]) // (span[3] - span[2]))

    def quality(self, name: str) -> int:
        """The quality of an input in the last reading."""
        return self.inputs.quality[[entry["name"] for entry in self.spec["inputs"]].index(name)]

    def read(self, name: str) -> int:
        """A fresh reading of one input."""
        self.board.read(self.inputs)
        return self.value(name)

    def safe_values(self) -> list[int]:
        """The safe value of every output."""
        return [int(entry["safe"]) for entry in self.spec["outputs"]]

    def _place(self, side: str, name: str) -> tuple[bool, int]:
        entries = self.spec[side]
        found = next(entry for entry in entries if entry["name"] == name)
        digital = found["kind"] == "digital"
        alike = [entry["name"] for entry in entries if (entry["kind"] == "digital") == digital]
        return digital, alike.index(name)
