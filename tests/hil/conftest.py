"""The example cell's plant, ready to be driven."""

from pathlib import Path

import pytest

from host_tools.cellfile import CompiledCell, compile_cell
from tests.hil.bench_plant import DrivenPlant

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"


@pytest.fixture(scope="session")
def paint_cell() -> CompiledCell:
    """The example cell, compiled for the simulated board."""
    return compile_cell(EXAMPLE, board="sim")


@pytest.fixture
def booth(paint_cell: CompiledCell) -> DrivenPlant:
    """The paint plant at rest, a part on its stand."""
    return DrivenPlant(paint_cell.spec)
