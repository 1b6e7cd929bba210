"""Makes the print files of jobs/: a bracket, left and right, in two sizes. They are real and may be printed.

    python examples/print_cell/make_jobs.py

It says the sha256 of each file; recipes/bracket.toml names the files by these. The files only move and extrude: homing
and temperatures are the cell's, so that one file serves every material.
"""

import hashlib
from collections.abc import Iterator
from math import hypot
from pathlib import Path

JOBS = Path(__file__).with_name("jobs")

LAYER_MM = 0.3
LINE_MM = 0.45
FILAMENT_MM2 = 2.405  # a round of 1.75 mm
PLATE_MM = 2.4  # the plate of the bracket; the boss on it makes it a left or a right one
BOSS_MM = 3.6
TRAVEL, FIRST, DRAW = 7200, 1200, 2400  # mm/min
MIDDLE = (100.0, 100.0)  # of the bed

SIZES_MM = {"m": (50.0, 30.0, 12.0), "l": (80.0, 48.0, 18.0)}
"""Long leg, short leg, width of both."""

Point = tuple[float, float]


class Pen:
    """Writes G-code: moves without and with plastic, positions in mm, the filament relative."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._at: Point = (0.0, 0.0)
        self._height = 0.0

    def say(self, line: str) -> None:
        """A line as it is."""
        self.lines.append(line)

    def lift(self, height: float) -> None:
        """The height of the next layer."""
        self._height = height
        self.say(f"G1 Z{height:.2f} F600")

    def go(self, to: Point) -> None:
        """Move without plastic."""
        self.say(f"G1 X{to[0]:.2f} Y{to[1]:.2f} F{TRAVEL}")
        self._at = to

    def draw(self, to: Point) -> None:
        """Move with plastic."""
        length = hypot(to[0] - self._at[0], to[1] - self._at[1])
        feed = FIRST if self._height <= LAYER_MM else DRAW
        self.say(f"G1 X{to[0]:.2f} Y{to[1]:.2f} E{length * LINE_MM * LAYER_MM / FILAMENT_MM2:.4f} F{feed}")
        self._at = to

    def ring(self, corners: list[Point]) -> None:
        """Once around, from the first corner."""
        for corner in [*corners[1:], corners[0]]:
            self.draw(corner)


def outline(size: str, inset: float) -> list[Point]:
    """The corners of the bracket's plate, `inset` mm inside its edge; the inner corner is at the origin."""
    long, short, width = SIZES_MM[size]
    a, b, c = inset, width - inset, -inset
    return [(a, a), (long + c, a), (long + c, b), (b, b), (b, short + c), (a, short + c)]


def boss(size: str, inset: float) -> list[Point]:
    """The corners of the boss near the end of the long leg."""
    long, _, width = SIZES_MM[size]
    start, end = long - width + inset, long - inset
    return [(start, inset), (end, inset), (end, width - inset), (start, width - inset)]


def fill(size: str, across: bool) -> Iterator[tuple[Point, Point]]:
    """Lines that fill both legs, each from one edge to the other; every second layer runs across."""
    long, short, width = SIZES_MM[size]
    edge, gap = 1.2, 1.8
    if across:
        x = edge
        while x < long - edge:
            yield (x, edge), (x, (short if x < width - edge else width) - edge)
            x += gap
    else:
        y = edge
        while y < short - edge:
            yield (edge, y), ((long if y < width - edge else width) - edge, y)
            y += gap


def bracket(side: str, size: str) -> str:
    """The print file of one bracket."""
    long, short, _ = SIZES_MM[size]

    def place(point: Point) -> Point:
        x = point[0] if side == "left" else long - point[0]
        return x + MIDDLE[0] - long / 2, point[1] + MIDDLE[1] - short / 2

    pen = Pen()
    pen.say(f"; bracket, {side}, size {size}; the cell homes the printer and sets the temperatures")
    for line in ("G21", "G90", "M83", "M107", "G92 E0"):
        pen.say(line)
    for number in range(1, round((PLATE_MM + BOSS_MM) / LAYER_MM) + 1):
        height = number * LAYER_MM
        pen.say(f"; layer {number}")
        pen.lift(height)
        if number == 2:
            pen.say("M106 S255")
        on_plate = height <= PLATE_MM + LAYER_MM / 2
        shape = outline if on_plate else boss
        for inset in (LINE_MM / 2, LINE_MM * 1.5):
            corners = [place(corner) for corner in shape(size, inset)]
            pen.go(corners[0])
            if number == 1 and inset < LINE_MM:
                pen.say("G1 E1.0 F2400")  # what the last file drew back
            pen.ring(corners)
        for start, end in fill(size, number % 2 == 0) if on_plate else ():
            pen.go(place(start))
            pen.draw(place(end))
    pen.say("G1 E-1.0 F2400")
    pen.lift(PLATE_MM + BOSS_MM + 20)
    pen.say("M107")
    pen.go((10.0, 190.0))
    return "\n".join(pen.lines) + "\n"


def jobs() -> dict[str, bytes]:
    """Name and bytes of every file."""
    return {
        f"bracket-{side}-{size}.gcode": bracket(side, size).encode("ascii")
        for side in ("left", "right")
        for size in SIZES_MM
    }


if __name__ == "__main__":
    JOBS.mkdir(exist_ok=True)
    for name, data in jobs().items():
        (JOBS / name).write_bytes(data)
        print(f"{hashlib.sha256(data).hexdigest()}  {name}, {data.count(b'G1 ')} moves")
