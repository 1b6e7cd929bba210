"""A snapshot of a quiet controller holds all that a later scan depends on."""

import copy
import io
import random
from pathlib import Path
from typing import Any

import pytest

from cell_controller.core import snapshot, trace
from cell_controller.core.controller import Controller
from hil.recorded_bench import RecordedBench
from host_tools.cellfile import CompiledCell, compile_cell

PAINT_CELL = Path(__file__).resolve().parents[2] / "examples" / "paint_cell"
COMMANDS = (
    "reset",
    "start",
    "stop",
    "hold",
    "unhold",
    "suspend",
    "unsuspend",
    "abort",
    "clear",
    "acknowledge",
)
# looked at within one scan, by people only, or worked out again when it is missing
PERISHABLE = {"touched", "touched_count", "tap", "crash", "_made", "_made_keys"}
HOST_ONLY = (".control",)  # of a job that has ended, a snapshot drops the control recipe


@pytest.fixture(scope="module")
def compiled() -> CompiledCell:
    return compile_cell(PAINT_CELL)


def step(bench: RecordedBench, chance: random.Random) -> None:
    """Something that may happen to a cell."""
    what = chance.randrange(12)
    if what < 2:
        bench.command(chance.choice(COMMANDS))
    elif what == 2:
        bench.fault(chance.choice(bench.board.faults()), chance.random() < 0.7)
    elif what == 3:
        bench.command("mode", mode=chance.choice((1, 2, 3)))
    elif what == 4:
        bench.command("take_control" if chance.random() < 0.5 else "release_control")
    elif what == 5:
        change_recipe(bench, chance)
    elif what == 6:
        bench.writable = not bench.writable
    elif what < 10:
        make_something(bench)
    bench.scan(chance.choice((1, 3, 40, 300)))


def change_recipe(bench: RecordedBench, chance: random.Random) -> None:
    recipe = copy.deepcopy(bench.controller.production.recipes[0])
    recipe["params"][0]["default"] = chance.choice((1, 2))
    bench.controller.offer_recipe(recipe)


def make_something(bench: RecordedBench) -> None:
    """The cell is brought back to life as a person does it, and gets an order."""
    for name in bench.board.active_faults():
        bench.fault(name, False)
    bench.writable = True
    bench.flush()
    bench.command("mode", mode=1)
    for command in ("acknowledge", "clear", "acknowledge", "unhold", "unsuspend", "reset", "acknowledge"):
        if bench.question:
            bench.answer("done")
        bench.command(command)
        bench.scan(60)
    bench.ask("order.submit", order_id=f"o{bench.scans}", product="bonnet", options={"colour": "primer"})
    bench.command("start")
    bench.scan(1100)


def bench_after(compiled: CompiledCell, seed: int, steps: int) -> RecordedBench:
    """A bench on which something happened, with a new segment wherever one could begin."""
    bench = RecordedBench(compiled, seed, (1 << 29) - 20_000)
    chance = random.Random(seed)
    for _ in range(steps):
        step(bench, chance)
        bench.turn()
    bench.end()
    return bench


@pytest.mark.parametrize("seed", range(3))
def test_a_restored_controller_goes_on_to_the_same_bytes(compiled: CompiledCell, seed: int) -> None:
    bench = bench_after(compiled, seed, 60)
    assert len(bench.traces) > 5, "the cell was hardly ever quiet"
    for number, data in enumerate(bench.traces):
        player = trace.Player(bench.equipment.phases, bench.equipment.states)
        trace.play_all(io.BytesIO(data).read, player)
        assert player.different_at == -1, f"seed {seed}, segment {number}: {player.different_in} differ"


def differences(one: Any, other: Any, path: str, seen: list[object]) -> list[str]:
    """Where two controllers differ, by the names of what they keep."""
    if any(entry is one for entry in seen) or callable(one) or path.endswith(HOST_ONLY):
        return []
    if isinstance(one, (int, str, bytes, bytearray, type(None))):
        return [] if one == other else [f"{path}: {one!r} and {other!r}"]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f"{path}: {len(one)} and {len(other)} entries"]
        pairs = [(f"{path}[{i}]", one[i], other[i]) for i in range(len(one))]
    elif isinstance(one, dict):
        pairs = [(f"{path}[{key}]", one[key], other.get(key)) for key in one]
    else:
        seen.append(one)
        pairs = [
            (f"{path}.{name}", value, getattr(other, name))
            for name, value in vars(one).items()
            if name not in PERISHABLE
        ]
    return [text for name, a, b in pairs for text in differences(a, b, name, seen)]


def restored(bench: RecordedBench) -> Controller:
    fresh = Controller(bench.spec, bench.equipment.phases, bench.equipment.states)
    snapshot.restore(fresh, snapshot.take(bench.controller))
    return fresh


@pytest.mark.parametrize("seed", range(2))
def test_nothing_that_changes_is_left_out_of_a_snapshot(compiled: CompiledCell, seed: int) -> None:
    """A new attribute of the core that a scan changes shows up here by its name: list it in snapshot.STATE."""
    bench = RecordedBench(compiled, seed)
    chance = random.Random(seed)
    compared = 0
    for _ in range(60):
        step(bench, chance)
        if snapshot.is_quiet(bench.controller):
            compared += 1
            assert differences(bench.controller, restored(bench), "controller", []) == []
    assert compared > 5


def test_the_comparison_sees_a_difference(compiled: CompiledCell) -> None:
    bench = RecordedBench(compiled)
    other = restored(bench)
    other.ledger.seconds[3] += 1
    assert differences(bench.controller, other, "c", []) == ["c.ledger.seconds[3]: 0 and 1"]


def test_a_controller_at_work_has_no_snapshot(compiled: CompiledCell) -> None:
    bench = RecordedBench(compiled)
    bench.order("bonnet", colour="primer").run_to_step("spray")
    assert not snapshot.is_quiet(bench.controller)
    assert not bench.turn()
    with pytest.raises(snapshot.SnapshotError, match="at work"):
        snapshot.take(bench.controller)


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(4), b"\x02\x00\x00\x00lele", b"\xff" * 40])
def test_what_is_no_snapshot_is_refused(compiled: CompiledCell, data: bytes) -> None:
    bench = RecordedBench(compiled)
    with pytest.raises(ValueError, match=r"snapshot|record|value"):
        snapshot.restore(bench.controller, data)
