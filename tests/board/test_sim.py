"""The simulated board: virtual time, noise from a seed, faults on the wire, its errors."""

import pytest

from board.sim import SimBoard
from cell_controller.core.signals import GOOD, KEEP, STALE
from cell_controller.errors import BoardError, FaultNameError
from hil.paint_plant import PaintPlant
from host_tools.cellfile import CompiledCell
from tests.board.images import Terminals


def opened(cell: CompiledCell, seed: int = 1, start_tick: int = 0) -> tuple[SimBoard, Terminals]:
    board = SimBoard(seed=seed, start_tick=start_tick)
    board.open(cell.spec, cell.wiring)
    terminals = Terminals(board, cell.spec)
    board.read(terminals.inputs)
    return board, terminals


def test_virtual_time_stands_still_until_somebody_sleeps(paint_cell: CompiledCell) -> None:
    board, _ = opened(paint_cell)
    assert board.tick() == board.tick() == 0
    board.sleep_until(86_400_000)
    assert board.tick() == 86_400_000


def test_sleeping_until_a_past_tick_moves_nothing(paint_cell: CompiledCell) -> None:
    board, _ = opened(paint_cell)
    board.sleep_until(500)
    board.sleep_until(400)
    assert board.tick() == 500


def test_the_clock_goes_on_across_the_wrap_of_the_tick(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell, start_tick=2**29 - 100)
    terminals.drive(clamp=1)
    for tick in (2**29 - 50, 50, 900):
        board.sleep_until(tick)
    assert board.tick() == 900
    assert terminals.read("clamp_closed") == 1


def test_the_same_seed_reads_the_same_and_another_does_not(paint_cell: CompiledCell) -> None:
    def readings(seed: int) -> list[list[int]]:
        board, terminals = opened(paint_cell, seed=seed)
        terminals.drive(booth_fan=1, valve_green=1, cure_lamp=50)
        seen = []
        for tick in range(10, 5000, 10):
            board.sleep_until(tick)
            board.read(terminals.inputs)
            seen.append(list(terminals.inputs.analog))
        return seen

    assert readings(7) == readings(7)
    assert readings(7) != readings(8)


def test_noise_moves_the_reading_around_the_true_value(paint_cell: CompiledCell) -> None:
    _, terminals = opened(paint_cell)
    terminals.drive(booth_fan=1)
    terminals.pass_time(20_000)
    seen = {terminals.read("airflow") for _ in range(500)}
    assert len(seen) > 4
    assert 590 <= min(seen) <= 600 <= max(seen) <= 610


def test_a_span_gives_counts_that_scale_back_to_the_value(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    terminals.drive(booth_fan=1)
    terminals.pass_time(20_000)
    true_value = board.plant.inputs[6]
    assert paint_cell.spec["inputs"][6]["name"] == "airflow"
    assert terminals.inputs.analog[0] == pytest.approx(true_value * 22, abs=130)


def test_make_safe_acts_without_a_scan_and_keeps_what_is_to_be_kept(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    terminals.drive(valve_green=1, wrap_roller=1)
    names = [entry["name"] for entry in paint_cell.spec["outputs"]]
    values = terminals.safe_values()
    values[names.index("wrap_roller")] = KEEP
    board.make_safe(values)
    driven = dict(zip(names, board.outputs, strict=True))
    assert (driven["valve_green"], driven["wrap_roller"], driven["booth_fan"]) == (0, 1, 1)


def test_a_write_after_make_safe_is_taken_even_if_it_says_the_same(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    terminals.drive(valve_green=1)
    board.make_safe(terminals.safe_values())
    board.write(terminals.outputs)
    assert (
        dict(zip([e["name"] for e in paint_cell.spec["outputs"]], board.outputs, strict=True))["valve_green"]
        == 1
    )


def test_a_faulty_wire_is_good_again_when_the_fault_is_gone(paint_cell: CompiledCell) -> None:
    board, terminals = opened(paint_cell)
    board.fault("airflow.stale", True)
    board.read(terminals.inputs)
    assert terminals.quality("airflow") == STALE
    board.fault("airflow.stale", False)
    board.read(terminals.inputs)
    assert terminals.quality("airflow") == GOOD


def test_an_unknown_fault_is_refused_with_the_nearest_name(paint_cell: CompiledCell) -> None:
    board, _ = opened(paint_cell)
    with pytest.raises(
        FaultNameError, match=r"no fault 'clamp\.jm' on this board; did you mean clamp\.jam\?"
    ):
        board.fault("clamp.jm", True)


def test_without_a_plant_the_inputs_follow_the_wiring(paint_cell: CompiledCell) -> None:
    board = SimBoard()
    board.open(paint_cell.spec, {"clamp_closed": {"follows": "clamp", "delay_ms": 300}})
    terminals = Terminals(board, paint_cell.spec)
    terminals.drive(clamp=1)
    terminals.pass_time(400)
    assert terminals.value("clamp_closed") == 1


@pytest.mark.parametrize("where", ["hil.no_such:Plant", "hil.paint_plant:NoSuch", "nothing", ""])
def test_a_plant_that_cannot_be_loaded_is_an_error(paint_cell: CompiledCell, where: str) -> None:
    with pytest.raises(BoardError, match="plant"):
        SimBoard().open(paint_cell.spec, {"board": {"plant": where}})


def test_a_cell_without_the_plants_signals_is_an_error_that_names_one(paint_cell: CompiledCell) -> None:
    spec = {**paint_cell.spec, "inputs": paint_cell.spec["inputs"][1:]}
    with pytest.raises(BoardError, match="PaintPlant needs the input 'clamp_closed'"):
        SimBoard(PaintPlant).open(spec, {})


def test_a_plant_that_asks_to_be_called_in_the_past_is_an_error(paint_cell: CompiledCell) -> None:
    class Stuck(PaintPlant):
        def step(self, now_ms: int, outputs: object) -> int:
            return now_ms

    with pytest.raises(BoardError, match="asks to be called at 0 ms"):
        SimBoard(Stuck).open(paint_cell.spec, {})


def test_a_scaled_clock_runs_that_many_times_as_fast(paint_cell: CompiledCell) -> None:
    board = SimBoard(speed=200.0)
    board.open(paint_cell.spec, paint_cell.wiring)
    board.sleep_until(2000)
    assert board.tick() >= 2000


@pytest.mark.parametrize("settings", [{"speed": -1}, {"on_death": "explode"}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(BoardError, match=r"speed = -1|on_death = 'explode'"):
        SimBoard(**settings)  # type: ignore[arg-type]  # what a person might pass
