"""What devices cost a scan, beside the simulated board with the same signals; and how soon a loss shows and is over.

Each kind of device is at the other end of a real pseudo-terminal or TCP connection, simulated in this process.
"""

import importlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.timing import half_quartiles, paired, row
from board.contract import Board
from board.sim import SimBoard
from cell_controller.core.signals import BAD, GOOD
from tests.board.survival.live_cell import LiveCell

KINDS = ("modbus", "instrument", "marlin", "grbl")
SCANS = 2_000
CUTS = 5
LIMIT_S = 10.0


@contextmanager
def running(kind: str) -> Iterator[tuple[Any, LiveCell]]:
    """The rig of one kind and a cell on it, ready."""
    with tempfile.TemporaryDirectory() as folder:
        rig = importlib.import_module(f"tests.board.rigs.{kind}").Rig(Path(folder))
        rig.start()
        cell = LiveCell(Path(folder), rig.plans)
        try:
            cell.make_ready()
            yield rig, cell
        finally:
            cell.close()
            rig.stop()


def image_s(board: Board, cell: LiveCell) -> float:
    """Seconds of one reading and one writing of the images, outputs changing."""
    inputs, outputs = cell.controller.input_image, cell.controller.output_image
    first = outputs.words[0]
    began = time.perf_counter()
    for n in range(SCANS):
        board.read(inputs)
        outputs.words[0] = first ^ (n & 1)
        board.write(outputs)
    outputs.words[0] = first
    return (time.perf_counter() - began) / SCANS


def cost(kind: str) -> list[dict[str, object]]:
    """Rows of what one kind costs a scan."""
    with running(kind) as (_, cell):
        peer = SimBoard()
        peer.open(cell.spec, {})
        found = paired(lambda: image_s(cell.board, cell), lambda: image_s(peer, cell), rounds=5)
        signals = len(cell.spec["inputs"]) + len(cell.spec["outputs"])
        name = f"image read and write, {kind}, {signals} signals"
        against = f"simulated board, {found.second * 1e6:.1f} us"
        return [
            row(name, found.ratio, "x simulated", None, against, found.spread),
            row(f"{name}, absolute", found.first * 1e6, "us"),
        ]


def wait_s(cell: LiveCell, probe: str, quality: int) -> float:
    """How long until the probe has that quality in a scan."""
    began = time.monotonic()
    while cell.quality(probe) != quality:
        if time.monotonic() - began > LIMIT_S:
            raise RuntimeError(f"{probe} did not get quality {quality} within {LIMIT_S} s: {cell.describe()}")
        cell.scan()
    return time.monotonic() - began


def cuts(kind: str) -> list[dict[str, object]]:
    """Rows of how soon an unplugged line is bad and, plugged in again, good."""
    away, back = [], []
    with running(kind) as (rig, cell):
        for _ in range(CUTS):
            rig.unplug()
            away.append(wait_s(cell, rig.probe, BAD) * 1000)
            rig.plug()
            back.append(wait_s(cell, rig.probe, GOOD) * 1000)
        bar = f"<= {rig.bad_within_s * 1000:.0f}"
    return [
        row(
            f"{kind}: from unplug to bad",
            median(away),
            "ms",
            bar,
            "the time that is stated",
            half_quartiles(away),
        ),
        row(f"{kind}: from plug to good", median(back), "ms", None, "", half_quartiles(back)),
    ]


def run() -> list[dict[str, object]]:
    """All rows."""
    return [line for kind in KINDS for line in [*cost(kind), *cuts(kind)]]
