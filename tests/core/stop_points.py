"""Every place at which a phase of the example cell waits, and a bench that stands there."""

from functools import cache
from pathlib import Path
from typing import Any

from cell_controller.core.envelope import Request
from cell_controller.core.signals import KEEP
from hil.bench import Bench
from host_tools.cellfile import CompiledCell, compile_cell

EXAMPLE = Path(__file__).parents[2] / "examples" / "paint_cell"

ORDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "painted": ("bonnet", {"colour": "green", "pinstripe": "Al"}),
    "wrapped": ("roof", {"colour": "tartan", "pattern": "5f" * 32, "pinstripe": "Al"}),
}
"""Between them these two orders run every phase of the example cell, through every one of its yields."""

Point = tuple[str, int, str]
"""Which order, the scan at which the wait has just begun, and which wait it is, for the test's name."""


@cache
def compiled() -> CompiledCell:
    return compile_cell(EXAMPLE, "sim")


def ordered(order: str, **options: Any) -> Bench:
    """A bench on which the order was accepted in the last scan."""
    product, chosen = ORDERS[order]
    return Bench(compiled(), **options).order(product, **chosen)


@cache
def points() -> list[Point]:
    """Every yield that is reached, found by running the orders and watching what the phases wait for."""
    found: list[Point] = []
    for order in ORDERS:
        bench = ordered(order)
        seen: list[object] = []
        counts: dict[str, int] = {}
        scan = 0
        while bench.controller.book.open_jobs():
            bench.scan()
            scan += 1
            for run in bench.controller.sequencer.running:
                if run.wait is not None and not any(run.wait is wait for wait in seen):
                    seen.append(run.wait)
                    counts[run.name] = counts.get(run.name, 0) + 1
                    found.append((order, scan, f"{order}-{run.name}-{counts[run.name]}"))
    return found


def bench_at(point: Point) -> Bench:
    """A bench at this point: the wait began in its last scan."""
    order, scan, _ = point
    return ordered(order).scan(scan)


def give(bench: Bench, command: str, name: str = "now") -> None:
    """A command for the next scan, as the person at the machine gives it."""
    request = Request("local")
    request.id, request.issuer, request.verb, request.args = name, "test", "command", {"command": command}
    bench.controller.request(request)


def owned(bench: Bench) -> set[str]:
    """Outputs that belong to no phase: the lamps and the heartbeat."""
    spec = bench.spec
    places = [*spec["stack_light"].values(), spec["heartbeat"]]
    return {spec["outputs"][i]["name"] for i in places if i >= 0}


def driven(bench: Bench) -> dict[str, int]:
    """The outputs that phases write, as the board drives them."""
    skip = owned(bench)
    return {name: value for name, value in bench.outputs.items() if name not in skip}


def replaced(bench: Bench, key: str, before: dict[str, int]) -> dict[str, int]:
    """What `on_hold`, `on_stop` or `on_abort` of the cell file make of the outputs that were driven `before`."""
    wanted = {entry["name"]: int(entry[key]) for entry in bench.spec["outputs"]}
    return {name: before[name] if wanted[name] == KEEP else wanted[name] for name in before}


def policy(bench: Bench) -> str:
    """`on_interrupt` of the step that runs, "" between two steps."""
    item = bench.controller.book.item
    running = item.running_steps() if item is not None else []
    return (
        str(item.control["steps"][running[0].number]["on_interrupt"]) if item is not None and running else ""
    )
