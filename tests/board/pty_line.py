"""A serial line for tests: two ends with a path each, and bytes go from one to the other. Parity works each time."""

import contextlib
import select
import threading
from pathlib import Path
from typing import Self

from hil.serial_ends import PtyEnd

TURN_S = 0.001


class PtyLine:
    """`near` and `far` are paths of the ends; `with` lays and removes the line.

    `unplug` takes the line out at the near end, `plug` lays a new one there under the same path.
    """

    def __init__(self, directory: Path) -> None:
        self.near = str(directory / "near")
        self.far = str(directory / "far")
        self._ends = [PtyEnd(self.near), PtyEnd(self.far)]
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pty line", daemon=True)

    def __enter__(self) -> Self:
        for end in self._ends:
            end.plug()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join(5)
        for end in self._ends:
            end.unplug()

    def unplug(self) -> None:
        """Whoever has the near end open finds it gone."""
        with self._lock:
            self._ends[0].unplug()

    def plug(self) -> None:
        """There is a near end again."""
        with self._lock:
            self._ends[0].plug()

    def _run(self) -> None:
        while not self._stopping.is_set():
            waits = [descriptor for end in self._ends for descriptor in end.waits]
            if waits:
                with contextlib.suppress(OSError, ValueError):  # unplugged meanwhile
                    select.select(waits, [], [], TURN_S)
            else:
                self._stopping.wait(TURN_S)
            with self._lock:
                self._turn()

    def _turn(self) -> None:
        there = [end.attached() for end in self._ends]
        for source, target, somebody in ((0, 1, there[1]), (1, 0, there[0])):
            data = self._ends[source].read()
            if data and somebody:
                self._ends[target].write(data)
