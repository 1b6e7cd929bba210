"""The test sheet of the example cell on a stand-in board: the real application, flashed, wired to the plant."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import examples.paint_cell.test_paint_cell as sheet
from hil.standin_bench import Flashed, StandInBench
from tests.service.process import ROOT

CELL = ROOT / "examples" / "paint_cell"


@pytest.fixture
def cell(flashed_boards: Flashed, tmp_path: Path) -> Iterator[StandInBench]:
    """In place of the bench of the same name."""
    board = StandInBench(CELL, flashed_boards.copy(CELL, tmp_path / "flash.bin"))
    yield board
    board.close()


for _name, _test in vars(sheet).items():
    if _name.startswith("test_"):
        globals()[_name] = _test
