"""The body of a simulated printer or router: moves that take time in a planner, and heaters that take time to heat.

Times in ms of the machine's own clock, positions in mm, temperatures in degC.
"""

import math
from collections import deque
from dataclasses import dataclass, field

AXES = "XYZE"
ROOM_DEGC = 22.0


@dataclass
class Heater:
    """Goes to its target in a straight line; `rate`: degC a second when heating, half of it when cooling."""

    rate: float
    target: float = 0.0
    degc: float = ROOM_DEGC

    def step(self, ms: int) -> None:
        """Time passes."""
        aim = max(self.target, ROOM_DEGC)
        most = self.rate * ms / 1000 * (1 if aim > self.degc else 0.5)
        self.degc += max(-most, min(most, aim - self.degc))

    @property
    def is_there(self) -> bool:
        """Within a degree of the target."""
        return abs(self.degc - self.target) <= 1


@dataclass
class Block:
    """One planned move: the line it came from, where it goes, and how long it takes."""

    line: str
    target: dict[str, float]
    ms: float


@dataclass
class Planner:
    """Moves that were taken in and are carried out one after another."""

    size: int = 16
    most_ms: float = math.inf
    """No move takes longer: for tests in a hurry."""
    blocks: deque[Block] = field(default_factory=deque)
    planned: dict[str, float] = field(default_factory=lambda: dict.fromkeys(AXES, 0.0))
    actual: dict[str, float] = field(default_factory=lambda: dict.fromkeys(AXES, 0.0))
    feed: float = 1500.0
    relative: bool = False
    relative_e: bool = False
    spent: float = 0.0
    """ms already worked on the first block."""

    @property
    def is_full(self) -> bool:
        return len(self.blocks) >= self.size - 1

    def add(self, line: str, words: dict[str, float]) -> None:
        """Plan a straight move; `words`: its numbers by letter."""
        if words.get("F", 0) > 0:
            self.feed = words["F"]
        target = dict(self.planned)
        for axis in AXES:
            if axis in words:
                relative = self.relative_e if axis == "E" else self.relative
                target[axis] = words[axis] + (self.planned[axis] if relative else 0)
        way = math.dist([self.planned[a] for a in "XYZ"], [target[a] for a in "XYZ"])
        way = way or abs(target["E"] - self.planned["E"])
        self.blocks.append(Block(line, target, min(way / self.feed * 60_000, self.most_ms)))
        self.planned = target

    def step(self, ms: int) -> list[str]:
        """Time passes; the lines of the moves that ended."""
        ended = []
        self.spent += ms
        while self.blocks and self.spent >= self.blocks[0].ms:
            block = self.blocks.popleft()
            self.spent -= block.ms
            self.actual = block.target
            ended.append(block.line)
        if not self.blocks:
            self.spent = 0.0
        return ended

    def drop(self) -> None:
        """Whatever was planned is not carried out."""
        self.blocks.clear()
        self.planned = dict(self.actual)
        self.spent = 0.0


def words_of(text: str) -> dict[str, float]:
    """The numbers of a line by their letters: "G1 X2 F100" gives G 1, X 2, F 100. What is no number is left out."""
    found: dict[str, float] = {}
    letter, digits = "", ""
    for character in text.upper() + " ":
        if character in "+-.0123456789":
            digits += character
            continue
        if letter:
            try:
                found.setdefault(letter, float(digits) if digits else 0.0)
            except ValueError:
                found.setdefault(letter, 0.0)
        letter, digits = (character, "") if character.isalpha() else ("", "")
    return found
