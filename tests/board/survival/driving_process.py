"""A controller to be killed: a live cell that drives outputs, and says so when it has driven them for a while.

python -m tests.board.survival.driving_process PLANS DIRECTORY SIGNAL=COUNT...
"""

import pickle
import sys
from pathlib import Path

from board.contract import DevicePlan
from tests.board.survival.live_cell import LiveCell

SCANS = 50


def main(file: str, directory: str, wanted: list[str]) -> None:
    """Drive `wanted` for ever. `file`: the plans, pickled by the test."""
    plans: list[DevicePlan] = pickle.loads(Path(file).read_bytes())
    points = {point.signal: point for plan in plans for point in plan.points}
    cell = LiveCell(Path(directory), plans)
    cell.make_ready()
    for word in wanted:
        signal, _, count = word.partition("=")
        cell.want(points[signal], int(count))
    for scan in range(1_000_000):
        cell.scan()
        if scan == SCANS:
            sys.stdout.write("driving\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
