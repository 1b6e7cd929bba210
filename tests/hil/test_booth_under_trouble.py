"""Whatever goes wrong with the example cell and whenever it stops: no damage, one good part out for one ordered."""

from typing import Any

import pytest

from hil.bench import Bench
from hil.paint_plant import DEVICE_FAULTS
from host_tools.cellfile import CompiledCell

BONNET = ("bonnet", {"colour": "burgundy", "pinstripe": "ADA"})
ROOF = ("roof", {"colour": "tartan", "pattern": "ab" * 32})
MOST_TRIES = 8

# how long the trouble lasts: longer than any time limit of a phase that could notice it
TROUBLE_S = 12


def recover(cell: Bench) -> None:
    """What a sensible person does until the order is made: looks, answers, clears, resets, starts."""
    for _ in range(MOST_TRIES):
        if not cell.controller.book.open_jobs():
            return
        if cell.question:
            # a person sees whether the part has left the stand
            cell.answer("done" if cell.board.plant.state()["made"] else "resume")
        cell.command("acknowledge")
        command = {
            "Held": "unhold",
            "Suspended": "unsuspend",
            "Aborted": "clear",
            "Stopped": "reset",
            "Idle": "start",
        }
        if cell.state in command:
            cell.command(command[cell.state])
        cell.run_for(2)
        if cell.state == "Execute":
            cell.run_until(lambda: cell.state != "Execute", "the end of Execute", 120)
        cell.run_for(1)


def one_good_part(cell: Bench) -> None:
    """The order is made, the plant let one good part go and what was scrapped, and nothing was hurt."""
    assert not cell.controller.book.open_jobs(), cell.describe()
    assert cell.controller.book.good == 1
    made = cell.board.plant.state()["made"]
    assert isinstance(made, list)
    assert len(made) == 1 + cell.controller.book.scrapped, f"{len(made)} parts left for one ordered: {made}"
    assert cell.damage == []


def ordered(paint_cell: CompiledCell, what: tuple[str, dict[str, Any]]) -> Bench:
    return Bench(paint_cell).order(what[0], **what[1])


WIRES = [
    "airflow.flicker",
    "airflow.out_of_range",
    "airflow.stale",
    "panel_temp.stale",
    "clamp_closed.flicker",
]


@pytest.mark.parametrize("what", [BONNET, ROOF], ids=["bonnet", "roof"])
@pytest.mark.parametrize("fault", sorted([*DEVICE_FAULTS, *WIRES]))
def test_a_fault_at_any_time_does_no_damage_and_the_part_is_made_in_the_end(
    paint_cell: CompiledCell, fault: str, what: tuple[str, dict[str, Any]]
) -> None:
    for start_s in (0.3, 6, 19):
        cell = ordered(paint_cell, what)
        cell.run_for(start_s)
        cell.fault(fault)
        cell.run_for(TROUBLE_S)
        cell.fault(fault, False)
        cell.run_for(1)
        recover(cell)
        one_good_part(cell)


@pytest.mark.parametrize("what", [BONNET, ROOF], ids=["bonnet", "roof"])
@pytest.mark.parametrize("command", ["hold", "suspend", "stop", "abort"])
def test_a_stop_at_any_time_does_no_damage_and_the_part_is_made_in_the_end(
    paint_cell: CompiledCell, command: str, what: tuple[str, dict[str, Any]]
) -> None:
    planned_s = 43 if what is BONNET else 29
    # uneven steps, so that every phase is met in its middle and near its ends
    for start_ms in range(150, planned_s * 1000, 3370):
        cell = ordered(paint_cell, what)
        cell.run_for(start_ms / 1000)
        if not cell.controller.book.open_jobs():
            continue
        cell.command(command)
        cell.run_for(5)
        recover(cell)
        one_good_part(cell)


@pytest.mark.parametrize("command", ["hold", "suspend", "stop", "abort"])
def test_a_stop_while_the_part_leaves_lets_no_second_one_go(paint_cell: CompiledCell, command: str) -> None:
    for start_s in (0.2, 0.9, 1.2, 1.5, 1.65):
        cell = ordered(paint_cell, ("bonnet", {"colour": "primer"}))
        cell.run_to_step("release").run_for(start_s)
        cell.command(command)
        cell.run_for(5)
        recover(cell)
        one_good_part(cell)
