"""The journal on flash is the same on every runtime, and a slice with nothing to do takes no memory."""

import pytest

from tests.runtimes.runtimes import Runtime, missing

FOLDER = "tests/micropython/portable"
PATHS = ("cell_controller", "hil/__init__.py", "hil/nor_flash.py")


def run(runtime: str, script: str) -> str:
    reason = missing(runtime)
    if reason:
        pytest.skip(f"runtime {runtime}: {reason}")
    return Runtime(runtime).run(f"{FOLDER}/{script}", paths=PATHS)


@pytest.fixture(scope="module")
def on_cpython() -> str:
    return run("cpython", "flash_journal_table.py")


def test_the_scripted_life_has_everything_in_it(on_cpython: str) -> None:
    assert "is another" not in on_cpython
    assert "the journal was damaged (record" in on_cpython
    assert "holds no journal" in on_cpython


@pytest.mark.parametrize("runtime", ["unix", "wasm", "wasm_newest"])
def test_a_life_with_cuts_and_damage_is_the_same_as_on_cpython(runtime: str, on_cpython: str) -> None:
    assert run(runtime, "flash_journal_table.py") == on_cpython


def test_a_slice_with_nothing_to_do_allocates_nothing() -> None:
    """Only the Unix port locks its heap in the middle of a script."""
    assert run("unix", "flash_journal_heap.py") == ("6000 0 399\nthe lock catches an allocation: True\n")
