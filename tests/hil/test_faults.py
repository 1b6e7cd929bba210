"""Every named fault is off by default and is shown to act on the signals; a fault that acts on nothing fails here."""

import itertools
from collections.abc import Callable

import pytest

from board.sim import SimBoard
from cell_controller.core.signals import GOOD, STALE
from cell_controller.errors import FaultNameError
from hil.faults import FaultSet, wire_faults
from hil.paint_plant import DEVICE_FAULTS
from host_tools.cellfile import CompiledCell
from tests.board.images import Terminals


def opened(cell: CompiledCell) -> tuple[SimBoard, Terminals]:
    board = SimBoard()
    board.open(cell.spec, cell.wiring)
    return board, Terminals(board, cell.spec)


def clamp_jam(t: Terminals) -> int:
    t.drive(clamp=1)
    t.pass_time(2000)
    return t.value("clamp_closed")


def open_switch(t: Terminals) -> int:
    t.drive(clamp=1)
    t.pass_time(2000)
    return t.value("clamp_open")


def air(t: Terminals) -> int:
    t.drive(booth_fan=1)
    t.pass_time(20_000)
    return t.value("airflow") // 50


def paint(t: Terminals) -> int:
    t.drive(valve_green=1)
    t.pass_time(2000)
    return t.value("paint_flow") // 40


def leak(t: Terminals) -> int:
    t.pass_time(2000)
    return t.value("paint_flow") // 40


def heat(t: Terminals) -> int:
    t.drive(cure_lamp=80)
    t.pass_time(10_000)
    return t.value("panel_temp") // 10


def roller(t: Terminals) -> int:
    t.drive(wrap_roller=1)
    t.pass_time(2000)
    return t.value("roller_home")


def leaves(t: Terminals) -> int:
    t.drive(stopper=1)
    t.pass_time(3000)
    return t.value("part_present")


# fault: how to see it, what is read without it, and with it
DEVICE_CASES: dict[str, tuple[Callable[[Terminals], int], int, int]] = {
    "airflow.low": (air, 12, 5),
    "carrier.wrong": (lambda t: t.read("carrier"), 1001, 6001),
    "clamp.jam": (clamp_jam, 1, 0),
    "clamp.open_switch_stuck": (open_switch, 0, 1),
    "door.open": (lambda t: t.read("door_closed"), 1, 0),
    "estop.open": (lambda t: t.read("emergency_stop_ok"), 1, 0),
    "lamp.dead": (heat, 7, 2),
    "paint.empty": (paint, 6, 0),
    "part.missing": (lambda t: t.read("part_present"), 1, 0),
    "roller.jam": (roller, 0, 1),
    "stand.jam": (leaves, 0, 1),
    "valve.leak": (leak, 0, 1),
}


def near(seen: int, expected: int) -> bool:
    """Noise may carry an analog reading across a rounding step."""
    return abs(seen - expected) <= (1 if expected > 1 and expected < 1000 else 0)


@pytest.mark.parametrize("name", sorted(DEVICE_FAULTS))
def test_a_device_fault_acts_and_is_off_by_default(paint_cell: CompiledCell, name: str) -> None:
    look, without, with_fault = DEVICE_CASES[name]
    board, terminals = opened(paint_cell)
    assert board.active_faults() == []
    assert near(max(0, look(terminals)), without)
    board, terminals = opened(paint_cell)
    board.fault(name, True)
    assert board.active_faults() == [name]
    assert near(max(0, look(terminals)), with_fault)


@pytest.mark.parametrize("name", ["clamp.jam", "roller.jam", "stand.jam"])
def test_what_was_jammed_moves_when_the_fault_is_cleared(paint_cell: CompiledCell, name: str) -> None:
    look, without, _ = DEVICE_CASES[name]
    board, terminals = opened(paint_cell)
    board.fault(name, True)
    look(terminals)
    board.fault(name, False)
    assert look(terminals) == without


def wire_names(cell: CompiledCell, kind: str) -> list[str]:
    return sorted(name.rpartition(".")[0] for name in wire_faults(cell.spec) if name.endswith("." + kind))


def busy(terminals: Terminals) -> None:
    """Everything that a sensor sees moves: for two seconds in one direction."""
    terminals.drive(booth_fan=1, valve_green=1, cure_lamp=90, clamp=1, wrap_roller=1)
    terminals.pass_time(2000)


def test_every_input_has_the_faults_of_a_wire(paint_cell: CompiledCell) -> None:
    every = sorted(entry["name"] for entry in paint_cell.spec["inputs"])
    assert wire_names(paint_cell, "flicker") == every
    assert wire_names(paint_cell, "stale") == every
    assert sorted(wire_names(paint_cell, "stuck") + wire_names(paint_cell, "frozen")) == every
    others = sorted(e["name"] for e in paint_cell.spec["inputs"] if e["kind"] != "digital")
    assert wire_names(paint_cell, "out_of_range") == others


@pytest.mark.parametrize(
    "fault",
    [
        "airflow.stuck",
        "panel_temp.stuck",
        "paint_flow.stuck",
        "clamp_closed.stuck",
        "clamp_open.stuck",
        "roller_home.stuck",
        "energy.frozen",
    ],
)
def test_a_stuck_signal_keeps_its_value_and_looks_good(paint_cell: CompiledCell, fault: str) -> None:
    signal = fault.rpartition(".")[0]
    board, terminals = opened(paint_cell)
    before = board.plant.inputs[[e["name"] for e in paint_cell.spec["inputs"]].index(signal)]
    board.fault(fault, True)
    busy(terminals)
    assert terminals.value(signal) == before
    assert terminals.quality(signal) == GOOD
    board.fault(fault, False)
    assert terminals.read(signal) != before


def test_stuck_is_off_by_default_and_the_same_signals_move(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    names = ["airflow", "panel_temp", "paint_flow", "clamp_closed", "clamp_open", "roller_home", "energy"]
    board.read(terminals.inputs)
    before = [terminals.value(name) for name in names]
    busy(terminals)
    assert all(terminals.value(name) != old for name, old in zip(names, before, strict=True))


@pytest.mark.parametrize("kind", ["stuck", "flicker", "stale", "out_of_range"])
def test_a_wire_fault_of_each_signal_acts_on_that_signal_alone(paint_cell: CompiledCell, kind: str) -> None:
    for signal in wire_names(paint_cell, kind):
        board, terminals = opened(paint_cell)
        busy(terminals)
        board.fault(f"{signal}.{kind}", True)
        qualities = []
        values: list[int] = []
        for _ in range(30):
            terminals.pass_time(10)
            values.append(terminals.value(signal))
            qualities.append(bytes(terminals.inputs.quality))
        entry = next(e for e in paint_cell.spec["inputs"] if e["name"] == signal)
        changed = [q.count(STALE) for q in qualities]
        assert set(changed) == ({1} if kind == "stale" else {0}), signal
        if kind == "flicker":
            noise = 0 if entry["kind"] == "digital" else 12
            edges = sum(abs(a - b) > noise for a, b in itertools.pairwise(values))
            assert edges >= 4, f"{signal} did not flicker: {values}"
        elif kind == "out_of_range":
            assert min(values) > entry["hi"] + (entry["hi"] - entry["lo"]) // 50, f"{signal} stays in range"
        else:
            assert len(set(values)) == 1, f"{signal} still moves: {values}"


def test_a_stale_signal_keeps_its_last_value(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    board.fault("airflow.stale", True)
    busy(terminals)
    assert terminals.value("airflow") == 0
    assert terminals.quality("airflow") == STALE


def test_a_second_fault_does_not_thaw_the_first(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    board.fault("airflow.stuck", True)
    busy(terminals)
    board.fault("door_closed.flicker", True)
    board.fault("door_closed.flicker", False)
    busy(terminals)
    assert terminals.value("airflow") == 0


def test_every_fault_says_what_it_does(paint_cell: CompiledCell) -> None:
    board, _ = opened(paint_cell)
    texts = board.fault_texts()
    assert sorted(texts) == board.faults()
    assert all(texts.values())


def test_an_unknown_fault_lists_the_known_ones() -> None:
    faults = FaultSet({"clamp.jam": "", "door.open": ""})
    with pytest.raises(FaultNameError, match=r"known: clamp\.jam, door\.open"):
        faults.switch("pump.dry", True)
