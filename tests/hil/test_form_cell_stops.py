"""The form cell is held, suspended, stopped and aborted at every yield of its phases: no damage, one good part."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hil.bench import Bench
from host_tools.cellfile import CompiledCell, compile_cell
from tests.core.stop_points import Point, driven, give, policy, replaced

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "form_cell"

ORDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "pid": ("arch_liner", {"material": "petg", "thickness_mm": 2}),
    "on_off": ("battery_cover", {"material": "abs", "fit": "snug"}),
}
"""Between them these two run every phase and both ways to regulate the heater."""


@cache
def compiled() -> CompiledCell:
    return compile_cell(EXAMPLE, "sim")


def ordered(order: str) -> Bench:
    product, chosen = ORDERS[order]
    return Bench(compiled()).order(product, **chosen)


def place(generator: Any) -> int:
    """The line at which a phase waits, in a helper where it waits in one."""
    while getattr(generator, "gi_yieldfrom", None) is not None:
        generator = generator.gi_yieldfrom
    return int(generator.gi_frame.f_lineno)


@cache
def points() -> list[Point]:
    """Every yield that is reached: its first wait, and one in the middle of those it has in a loop."""
    found: list[Point] = []
    for order in ORDERS:
        bench = ordered(order)
        scans: dict[tuple[str, int], list[int]] = {}
        scan = 0
        last: object = None
        while bench.controller.book.open_jobs():
            bench.scan()
            scan += 1
            for run in bench.controller.sequencer.running:
                if run.wait is not None and run.wait is not last:
                    last = run.wait
                    scans.setdefault((run.name, place(run.generator)), []).append(scan)
        for (phase, _), waits in scans.items():
            for k in sorted({0, len(waits) // 2}):
                number = sum(name.startswith(f"{order}-{phase}-") for _, _, name in found) + 1
                found.append((order, waits[k], f"{order}-{phase}-{number}"))
    return found


def bench_at(point: Point) -> Bench:
    order, scan, _ = point
    return ordered(order).scan(scan)


def one_good_part(bench: Bench) -> None:
    """One was made as ordered: soft when it was drawn, under vacuum for as long as it was soft."""
    assert bench.counts[0] == 1
    assert bench.damage == []
    assert len(bench.made) == 1 + bench.counts[1]
    part = bench.made[-1]
    assert (part["sprung"], part["cuts"] >= 1) == (False, True)
    assert part["drawn_degc"] >= 110
    assert part["hottest_degc"] < 190


def what_a_person_says(bench: Bench) -> str:
    """About an interrupted item: gone is done; what sprang back after it was drawn is scrap, before that drawn anew."""
    if bench.made:
        return "done"
    part: Any = bench.board.plant.state()["part"]
    return "scrap" if part["sprung"] and "in cool" in bench.question else "resume"


POINTS = points()


CHOSEN = [
    pytest.param(point, id=point[2], marks=[] if point[0] == "pid" else pytest.mark.soak) for point in POINTS
]
"""Every place with one way to regulate; with the other one, and at the second kind of stop, in the soak."""


def test_every_phase_is_among_the_points() -> None:
    phases = {name.split("-")[1] for _, _, name in POINTS}
    assert phases == {"clamp", "heat", "draw", "cool", "trim", "demould", "release"}
    assert len(POINTS) >= 30


@pytest.mark.parametrize("point", CHOSEN)
@pytest.mark.parametrize("command", ["hold", pytest.param("suspend", marks=pytest.mark.soak)])
def test_held_at_any_yield_the_outputs_follow_at_once_and_the_item_goes_on(
    command: str, point: Point
) -> None:
    bench = bench_at(point)
    before = driven(bench)
    give(bench, command)
    bench.scan()
    expected = replaced(bench, "on_hold", before)
    assert driven(bench) == expected
    bench.run_to("Held" if command == "hold" else "Suspended")
    for _ in range(75):
        bench.scan()
        assert driven(bench) == expected
    assert bench.board.plant.state()["power_percent"] == 0
    assert bench.command("un" + command)["ok"]
    record = bench.run()
    assert (record["result"], record["interruptions"]) == ("good", 0)
    assert bench.counts == (1, 0)
    one_good_part(bench)


@pytest.mark.parametrize("point", CHOSEN)
@pytest.mark.parametrize(
    ("command", "ends_in"),
    [pytest.param("stop", "Stopped", marks=pytest.mark.soak), ("abort", "Aborted")],
)
def test_stopped_at_any_yield_the_outputs_follow_at_once_and_the_item_is_made_afterwards(
    command: str, ends_in: str, point: Point
) -> None:
    bench = bench_at(point)
    before = driven(bench)
    asked = policy(bench)
    give(bench, command)
    bench.scan()
    expected = replaced(bench, "on_" + command, before)
    assert driven(bench) == expected
    bench.run_to(ends_in)
    for _ in range(75):
        bench.scan()
        assert driven(bench) == expected
    assert bench.board.plant.state()["power_percent"] == 0
    assert (bench.question != "") == (asked == "ask")
    if bench.question:
        assert bench.answer(what_a_person_says(bench))["ok"]
    if ends_in == "Aborted":
        bench.command("clear")
        bench.run_to("Stopped")
    assert bench.command("reset")["ok"]
    bench.run()
    one_good_part(bench)
