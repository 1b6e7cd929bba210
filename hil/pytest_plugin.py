"""pytest plugin: the fixture `cell`, a cell directory on a bench, one test for any board.

    def test_a_jammed_clamp_holds_the_cell(cell):
        cell.fault("clamp.jam").order("bonnet", colour="burgundy").run_to("Held")
        assert cell.reason == "clamp did not close within 2 s"

The cell is that of the marker `@pytest.mark.cell_dir("path")`, else the directory of the test file if it has a
cell.toml, else the ini option `cell_dir`. This module is loaded by every pytest run of everyone who has the package
installed, so what is heavy is imported only by a test that asks for the fixture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from hil.bench import Bench
    from hil.standin_bench import Flashed, StandInBench

BOARDS = ("sim", "standin")
"""The boards a test can run on: the simulated board in virtual time, or a stand-in for a microcontroller."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cell-board`, `--uf2` and the ini option `cell_dir`."""
    group = parser.getgroup("cell", "cells on a bench")
    group.addoption(
        "--cell-board", default="sim", metavar="BOARD", help=f"board of `cell`: {', '.join(BOARDS)}"
    )
    group.addoption("--uf2", metavar="PATH", help="a genuine UF2 of MicroPython for the tests that want one")
    parser.addini("cell_dir", "cell directory of tests that do not lie in one", default="examples/paint_cell")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, and refuse a board that is not known before any test runs."""
    config.addinivalue_line("markers", "cell_dir(path): the cell directory that the fixture `cell` takes")
    board = config.getoption("--cell-board")
    if board not in BOARDS:
        raise pytest.UsageError(f"--cell-board {board}: there is no such board; known: {', '.join(BOARDS)}")


def cell_directory(request: pytest.FixtureRequest) -> Path:
    """The cell directory of the test that asks. Raises UsageError naming the places that were looked at."""
    own = request.path.parent
    marker = request.node.get_closest_marker("cell_dir")
    if marker is not None:
        marked = Path(str(marker.args[0]))
        places = [own / marked, request.config.rootpath / marked]
    else:
        places = [own, request.config.rootpath / str(request.config.getini("cell_dir"))]
    for place in places:
        if (place / "cell.toml").is_file():
            return place
    looked = ", ".join(str(place) for place in places)
    raise pytest.UsageError(
        f"fixture `cell`: no cell.toml in {looked}; put the test beside one or mark it with cell_dir(path)"
    )


@pytest.fixture(scope="session")
def flashed_boards(tmp_path_factory: pytest.TempPathFactory) -> "Flashed":
    """The flash of stand-in boards that carry a cell's application, made once a cell."""
    from hil.standin_bench import Flashed

    return Flashed(tmp_path_factory.mktemp("stand-in"))


@pytest.fixture
def cell(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[Bench | StandInBench]":
    """A cell on the board that `--cell-board` names, freshly started: Aborted, outputs at their abort values."""
    directory = cell_directory(request)
    if request.config.getoption("--cell-board") == "sim":
        from hil.bench import bench

        yield bench(directory)
        return
    from hil.standin_bench import StandInBench

    flashed: Flashed = request.getfixturevalue("flashed_boards")
    board = StandInBench(directory, flashed.copy(directory, tmp_path / "flash.bin"))
    yield board
    board.close()
