"""The lines of a printer's pauses: how much of `pause_gcode` and `resume_gcode` it has, also after a lost line.

A pause may lift the head, and the way back is right only behind all of it. So both are one sequence, each line of which
is sent once, like those of a job.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Aside:
    """The tag of a line: in the how manieth pause, and its place in the sequence."""

    pause: int
    place: int


class Asides:
    """The sequence, and which line is the next."""

    def __init__(self, pause: Sequence[bytes], resume: Sequence[bytes]) -> None:
        self._lines = (*pause, *resume)
        self._standing = len(pause)
        self._pause = 0
        self._next = len(self._lines)

    def drop(self) -> None:
        """A job begins: what the one before had left does not matter."""
        self._pause += 1
        self._next = len(self._lines)

    def begin(self) -> list[tuple[bytes, Aside]]:
        """A pause begins: the lines to be told."""
        self._pause += 1
        self._next = 0
        return self._upto(self._standing)

    def rest(self) -> list[tuple[bytes, Aside]]:
        """The pause ends, or goes on after a loss: the lines that are still to be told."""
        return self._upto(len(self._lines))

    @property
    def has_begun(self) -> bool:
        """Whether the printer has all or some of `pause_gcode`, and something is left to be told."""
        return self._next > 0 or not self._standing

    def sent(self, tag: Aside) -> None:
        """A line is on its way."""
        self._next = tag.place + 1

    def lost(self, tags: Iterable[object]) -> None:
        """What of these lines in flight is ours has not arrived."""
        ours = (tag.place for tag in tags if isinstance(tag, Aside) and tag.pause == self._pause)
        self._next = min([self._next, *ours])

    def _upto(self, end: int) -> list[tuple[bytes, Aside]]:
        return [(self._lines[place], Aside(self._pause, place)) for place in range(self._next, end)]
