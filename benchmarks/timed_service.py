"""The service with a board that notes how late each scan begins: `python -m benchmarks.timed_service DIR BROKER FILE`.

The file gets one lateness a line, in microseconds, when the service has ended.
"""

import sys
import time
from pathlib import Path

import board.sim
from board.sim import SimBoard
from cell_controller.core.ticks import diff
from cell_controller.cpython import service

LATE_US: list[int] = []


class TimedBoard(SimBoard):
    """The simulated board in real time; notes how long after its due time each wait came back."""

    def sleep_until(self, tick: int) -> None:
        due_ns = self._origin_ns + diff(tick, self._start_tick) * 1_000_000
        super().sleep_until(tick)
        LATE_US.append((time.monotonic_ns() - due_ns) // 1000)


def main(directory: str, broker: str, file: str) -> int:
    """Run until SIGTERM; the service's exit code comes back."""
    vars(board.sim)["SimBoard"] = TimedBoard  # what the service opens as "sim"
    status = service.run(
        directory, "sim", broker, journal=Path(file).with_suffix(".journal"), on_line=_silent
    )
    Path(file).write_text("\n".join(str(value) for value in LATE_US))
    return status


def _silent(_line: str) -> None:
    """What the service says is not of interest here."""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
