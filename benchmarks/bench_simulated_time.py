"""How much faster than the clock the example cell is simulated: every scan run, plant and noise included."""

import time
from pathlib import Path
from statistics import median

from benchmarks.timing import half_quartiles, row
from cell_controller.core.ticks import diff
from hil.bench import Bench, bench

CELL = Path(__file__).resolve().parents[1] / "examples" / "paint_cell"
ITEMS = 8  # an order that takes minutes, so that many phases and their waits have their part
ROUNDS = 9


def speed(cell: Bench) -> tuple[float, float]:
    """(simulated seconds per second, microseconds of one scan) over one order. Raises RuntimeError if it went wrong."""
    before = cell.board.tick()
    start = time.perf_counter()
    record = cell.order("bonnet", count=ITEMS, colour="burgundy", finish="gloss").run(within_s=3600)
    taken = time.perf_counter() - start
    if record["result"] != "good":
        raise RuntimeError(f"the cell made scrap: {record}; {cell.describe()}")
    simulated_ms = diff(cell.board.tick(), before)
    return simulated_ms / 1000 / taken, taken * 1e6 / (simulated_ms / cell.spec["scan_ms"])


def run() -> list[dict[str, object]]:
    """One cell, one order a round."""
    cell = bench(CELL)
    speed(cell)
    rounds = [speed(cell) for _ in range(ROUNDS)]
    speeds = [entry[0] for entry in rounds]
    scan_us = [entry[1] for entry in rounds]
    peer = f"the clock, scan of {cell.spec['scan_ms']} ms"
    return [
        row(
            "simulated time, example cell",
            median(speeds),
            "x real time",
            ">= 500",
            peer,
            half_quartiles(speeds),
        ),
        row(
            "simulated time, scan with plant and noise", median(scan_us), "us", spread=half_quartiles(scan_us)
        ),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
