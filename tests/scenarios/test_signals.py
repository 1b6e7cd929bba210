"""Sensors that lie: stuck, flickering, out of range, stale; and limits that do not chatter."""

from typing import Any

import pytest

from cell_controller.core.signals import GOOD, STALE
from hil.bench import Bench, bench
from tests.core.stop_points import EXAMPLE

GREEN: dict[str, Any] = {"colour": "green"}


@pytest.mark.parametrize("fault", ["airflow.stale", "airflow.out_of_range"])
def test_a_signal_without_a_good_value_holds_and_its_outputs_stay_blocked(cell: Bench, fault: str) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault(fault).scan()
    assert cell.output("valve_green") == 0
    cell.run_to("Held")
    assert cell.reason in ("airflow has no good value", "spraying needs air and a closed door")
    assert cell.command("unhold")["name"] == "cause_stands"
    cell.fault(fault, on=False).scan(2)
    assert cell.command("unhold")["ok"]
    cell.run()
    assert cell.damage == []


def test_a_bad_signal_in_idle_blocks_the_start_and_nothing_else(cell: Bench) -> None:
    cell.make_ready().fault("airflow.stale").run_for(1)
    assert (cell.state, cell.reason) == ("Idle", "airflow has no good value")
    cell.order("bonnet", **GREEN).run_for(10)
    assert cell.state == "Idle"
    assert cell.command("start")["name"] == "cause_stands"
    cell.fault("airflow.stale", on=False).run_for(1)
    # gone, but nobody has seen it yet
    assert cell.command("start")["name"] == "not_acknowledged"
    cell.command("acknowledge")
    assert cell.reason == ""
    cell.run()
    assert cell.damage == []


@pytest.mark.parametrize("door", [True, False], ids=["door stands open", "door is closed"])
def test_a_digital_signal_that_is_not_good_is_violated_in_either_polarity(cell: Bench, door: bool) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    if door:
        cell.fault("door.open").run_to("Held")
    cell.fault("door_closed.stale").scan(2)
    index = [entry["name"] for entry in cell.spec["inputs"]].index("door_closed")
    assert cell.controller.inputs.quality[index] == STALE
    cell.run_to("Held")
    assert cell.output("valve_green") == 0
    assert cell.command("unhold")["name"] == "cause_stands"
    cell.fault("door.open", on=False).fault("door_closed.stale", on=False).scan(2)
    assert cell.controller.inputs.quality[index] == GOOD
    assert cell.command("unhold")["ok"]
    cell.run()
    assert cell.damage == []


def test_a_stuck_switch_is_found_by_the_phase_that_waits_for_it(cell: Bench) -> None:
    cell.fault("clamp_closed.stuck").order("bonnet", **GREEN).run_to("Held")
    assert cell.reason == "clamp did not close within 2 s"
    cell.fault("clamp_closed.stuck", on=False)
    cell.command("unhold")
    cell.run()
    assert cell.damage == []


def test_a_flickering_contact_under_the_gun_holds_once_and_does_not_chatter(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("door_closed.flicker").run_to("Held")
    changes = [0]
    last = [cell.output("valve_green")]

    def count(bench: Bench) -> None:
        if bench.output("valve_green") != last[0]:
            changes[0] += 1
            last[0] = bench.output("valve_green")

    cell.observers.append(count)
    cell.run_for(5)
    assert (cell.state, changes[0]) == ("Held", 0)
    cell.fault("door_closed.flicker", on=False).run_for(1)
    assert cell.command("unhold")["ok"]
    cell.run()
    assert cell.damage == []


def test_a_flickering_emergency_stop_aborts_once_and_stays_aborted(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("emergency_stop_ok.flicker").run_to("Aborted")
    cell.run_for(5)
    assert cell.state == "Aborted"
    assert [line for line in cell.log if line.endswith("-> Aborting")] == ["Execute -> Aborting"]
    cell.fault("emergency_stop_ok.flicker", on=False).run_for(1)
    cell.answer("resume")
    cell.make_ready()
    cell.run()
    assert cell.damage == []


def test_a_stale_emergency_stop_counts_as_open(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("emergency_stop_ok.stale").scan()
    assert cell.output("valve_green") == 0
    cell.run_to("Aborted")
    assert "emergency-stop chain is open" in cell.command("clear")["text"]


def test_a_carrier_that_cannot_be_read_suspends(cell: Bench) -> None:
    cell.fault("carrier.stale").order("bonnet", **GREEN).run_to("Suspended")
    assert cell.reason == "the carrier's number cannot be read"
    cell.fault("carrier.stale", on=False)
    cell.run()
    assert cell.damage == []


def test_a_meter_that_stands_still_costs_the_record_its_energy_and_nothing_else(cell: Bench) -> None:
    cell.fault("energy.frozen").order("bonnet", **GREEN)
    assert cell.run()["energy"] == 0
    assert cell.damage == []


@pytest.mark.parametrize("start_tick", [(1 << 29) - 20_480, (1 << 28) - 20_480])
def test_the_wrap_of_the_tick_in_the_middle_of_an_item_changes_nothing(start_tick: int) -> None:
    usual = bench(EXAMPLE).order("bonnet", **GREEN).run()
    across = bench(EXAMPLE, start_tick=start_tick)
    record = across.order("bonnet", **GREEN).run()
    assert {**record, "energy": 0} == {**usual, "energy": 0}
    assert across.damage == []
