"""A waiting scan takes no heap, on 64-bit and on 32-bit objects: a controller that waits for days collects nothing."""

import os
from collections.abc import Iterator

import pytest

from cell_controller.core import codec, orders
from host_tools.cellfile import compile_cell
from tests.runtimes.runtimes import CACHE, ROOT, Runtime

CELL = "tests/runtimes/waiting_cell"
NEEDS = ("cell_controller", f"{CELL}/equipment.py")
SCANS = 1000
CASES = (
    "Aborted",
    "Stopped",
    "Resetting",
    "Idle",
    "Idle:paused",
    "Execute:slow",
    "Execute:warm",
    "Execute:busy",
    "Held",
    "Held:person",
    "Suspended:person",
)


@pytest.fixture(scope="module")
def compiled() -> Iterator[str]:
    """The compiled waiting cell, as a file below the project, where every runtime finds it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE.parent / f"waiting-{os.getpid()}.bin"
    path.write_bytes(codec.pack(compile_cell(ROOT / CELL).spec))
    yield path.relative_to(ROOT).as_posix()
    path.unlink()


def lines(runtime: Runtime, compiled: str, *cases: str) -> list[list[str]]:
    said = runtime.run("scan_allocates_nothing.py", compiled, *cases, paths=(*NEEDS, compiled), timeout_s=60)
    return [line.split() for line in said.splitlines() if line]


def test_waiting_scans_allocate_nothing_in_any_state(micropython: Runtime, compiled: str) -> None:
    found = lines(micropython, compiled, *CASES)
    expected = []
    for case in CASES:
        state = case.partition(":")[0]
        expected.append([case, state, state, str(SCANS), "wrapped"])
    assert found == expected


def test_a_word_of_more_than_30_bits_is_heap_on_a_microcontroller_and_not_on_64_bits(
    micropython: Runtime, compiled: str
) -> None:
    """What proves that the 32-bit ports see what a Pico would, and that the 64-bit one alone would not be enough."""
    [found] = lines(micropython, compiled, "wide:Idle")
    assert found[:3] == ["wide:Idle", "Idle", "Idle"]
    assert (int(found[3]) == SCANS) == (micropython.name == "unix")


def test_the_heap_is_the_same_after_any_number_of_orders(micropython: Runtime, compiled: str) -> None:
    """Orders of two items, each with its own id and option: of the old ones nothing is left."""
    said = micropython.run("heap_of_orders.py", compiled, paths=(*NEEDS, compiled), heap_kb=64 * 1024)
    good, remembered, first, second, third, last = [int(part) for part in said.split()]
    assert good == 380
    assert remembered <= orders.LEAN_REMEMBERED + 1
    said = f"heap after 100, 130, 160 and 190 orders: {first} {second} {third} {last}"
    assert last - second < 1024, said
    assert last - first < 3072, f"{said}; one list may have grown once"
