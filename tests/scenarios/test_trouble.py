"""Trouble at the booth: each fault stops what it must, says why, and the item is finished when it is gone."""

from typing import Any

import pytest

from hil.bench import Bench

VALVES = ("valve_burgundy", "valve_green", "valve_primer")
GREEN: dict[str, Any] = {"colour": "green"}


def _finish(cell: Bench, items: int = 1) -> None:
    cell.run()
    assert cell.counts == (items, 0)
    assert cell.damage == []


HOLDS: dict[str, tuple[str, dict[str, Any], str]] = {
    # fault: product, options, and the reason of the hold without its time limit
    "clamp.jam": ("bonnet", GREEN, "clamp did not close within"),
    "airflow.low": ("bonnet", GREEN, "booth air did not build up within"),
    "paint.empty": ("bonnet", GREEN, "paint does not flow within"),
    "lamp.dead": ("bonnet", GREEN, "panel did not reach the temperature within"),
    "stand.jam": ("bonnet", GREEN, "carrier did not leave within"),
    "roller.jam": (
        "roof",
        {"colour": "tartan", "pattern": "5f" * 32},
        "roller did not come down within",
    ),
}


@pytest.mark.parametrize("fault", HOLDS)
def test_a_device_that_fails_holds_the_cell_and_the_item_goes_on_afterwards(cell: Bench, fault: str) -> None:
    product, options, reason = HOLDS[fault]
    # given the fault, when an item that needs the device is ordered
    cell.fault(fault).order(product, **options)
    # then the cell holds and says what was not there in which time
    cell.run_to("Held", within_s=200)
    assert cell.reason.startswith(reason)
    assert [cell.output(valve) for valve in VALVES] == [0, 0, 0]
    assert cell.output("cure_lamp") == 0
    # when it is repaired and somebody gives Unhold, then the same item is finished
    cell.fault(fault, on=False)
    assert cell.command("unhold")["ok"]
    _finish(cell)
    assert cell.records[0]["serial"] == 1
    assert cell.records[0]["held_ms"] > 0


def test_a_fault_that_stays_holds_again(cell: Bench) -> None:
    cell.fault("clamp.jam").order("bonnet", **GREEN).run_to("Held")
    assert cell.command("unhold")["ok"]
    cell.run_to("Execute").run_to("Held")
    assert cell.reason == "clamp did not close within 2 s"
    cell.fault("clamp.jam", on=False).command("unhold")
    _finish(cell)


def test_a_door_opened_while_spraying_shuts_the_gun_in_that_scan(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("door.open").scan()
    assert cell.output("valve_green") == 0
    cell.run_to("Held")
    assert cell.reason == "spraying needs air and a closed door"
    # Unhold, Start and Clear are refused while it stands open, with what to do
    reply = cell.command("unhold")
    assert (reply["name"], reply["text"]) == (
        "cause_stands",
        "first remove the cause: spraying needs air and a closed door",
    )
    cell.fault("door.open", on=False)
    assert cell.command("unhold")["ok"]
    _finish(cell)


def test_a_door_opened_while_nothing_needs_it_is_no_trouble(cell: Bench) -> None:
    cell.make_ready().fault("door.open").run_for(5)
    assert (cell.state, cell.reason) == ("Idle", "")
    cell.fault("door.open", on=False).order("bonnet", **GREEN)
    _finish(cell)


def test_air_lost_under_the_gun_holds_and_the_panel_is_not_sprayed_without_it(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("airflow.low").run_to("Held")
    assert cell.reason == "spraying needs air and a closed door"
    assert cell.output("valve_green") == 0
    cell.fault("airflow.low", on=False).run_for(5)
    assert cell.command("unhold")["ok"]
    _finish(cell)


def test_the_emergency_stop_acts_within_one_scan_and_its_return_moves_nothing(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("cure_lamp", 40)
    cell.fault("estop.open").scan()
    assert (cell.output("cure_lamp"), cell.output("booth_fan")) == (0, 1)
    cell.run_to("Aborted")
    assert cell.reason == "emergency-stop chain is open"
    # Clear is refused with the list while the chain is open
    assert cell.command("clear")["text"] == "first remove the cause: emergency-stop chain is open"
    outputs = {name: value for name, value in cell.outputs.items() if name[:5] not in ("light", "heart")}
    cell.fault("estop.open", on=False).run_for(10)
    assert cell.state == "Aborted"
    assert {name: cell.output(name) for name in outputs} == outputs
    # Clear, Reset and Start are separate acts
    assert cell.command("reset")["name"] == "not_allowed_in_state"
    assert cell.command("clear")["ok"]
    cell.run_to("Stopped").run_for(2)
    assert cell.state == "Stopped"
    assert cell.command("reset")["ok"]
    _finish(cell)


def test_clear_is_refused_with_every_cause_that_stands(cell: Bench) -> None:
    cell.fault("airflow.stale").fault("estop.open").run_for(1)
    text = cell.command("clear")["text"]
    assert "emergency-stop chain is open" in text
    assert "airflow has no good value" in text
    cell.fault("estop.open", on=False).scan()
    assert cell.command("clear")["text"] == "first remove the cause: airflow has no good value"
    cell.fault("airflow.stale", on=False).scan(2)
    assert cell.command("clear")["ok"]
    assert cell.damage == []


def test_a_part_taken_away_holds_the_running_step(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("part.missing").run_to("Held")
    assert cell.reason == "the running step needs part_present"
    # Unhold is accepted, but nothing comes back on before the part does
    assert cell.command("unhold")["ok"]
    cell.run_to("Execute").run_for(2)
    assert cell.output("valve_green") == 0
    cell.fault("part.missing", on=False)
    _finish(cell)


def test_the_gun_does_not_come_back_for_a_part_that_stays_away(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green")
    cell.fault("part.missing").run_to("Held")
    cell.command("unhold")
    cell.run_to("Execute").run_to("Held", within_s=6)
    assert cell.output("valve_green") == 0
    cell.fault("part.missing", on=False).command("unhold")
    _finish(cell)


def test_no_part_suspends_the_cell_and_it_goes_on_by_itself(cell: Bench) -> None:
    cell.fault("part.missing").order("bonnet", **GREEN).run_to("Suspended")
    assert cell.reason == "waiting for a part on the stand"
    assert "AmberFlash" in cell.view["stack_light"]
    cell.run_for(60)
    assert cell.state == "Suspended"
    cell.fault("part.missing", on=False)
    _finish(cell)
    assert cell.reason == ""


def test_the_wrong_carrier_suspends_before_anything_moves_and_goes_on_by_itself(cell: Bench) -> None:
    cell.make_ready().fault("carrier.wrong")
    assert cell.ask("order.submit", order_id="a", product="bonnet", options=GREEN, carriers=[1001])["ok"]
    cell.run_to("Suspended")
    assert cell.reason == "carrier 6001 is on the stand, the order wants another"
    assert cell.output("clamp") == 0
    assert cell.records == []
    cell.fault("carrier.wrong", on=False)
    _finish(cell)
    assert cell.records[0]["carrier"] == 1001


def test_a_starved_cell_that_is_stopped_forgets_what_it_waited_for(cell: Bench) -> None:
    cell.fault("part.missing").order("bonnet", **GREEN).run_to("Suspended")
    cell.command("stop")
    cell.run_to("Stopped")
    assert cell.reason == ""
    cell.fault("part.missing", on=False)
    assert cell.command("reset")["ok"]
    _finish(cell)


def test_a_valve_that_leaks_is_said_and_still_ends_in_aborted(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("valve_green").run_for(1)
    cell.fault("valve.leak").command("abort")
    cell.run_to("Aborted", within_s=10)
    assert "paint still flows within 5 s" in cell.view["alarms"]
    cell.fault("valve.leak", on=False).run_for(2)
    cell.answer("resume")
    cell.make_ready()
    _finish(cell)


def test_a_hold_longer_than_the_recipe_allows_interrupts_the_step(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_step("cure").run_for(5)
    cell.command("hold")
    cell.run_to("Held").run_for(299)
    assert cell.view["alarms"] == []
    cell.run_for(2)
    assert cell.view["alarms"] == ["held for longer than the recipe allows"]
    # the recipe says repeat, so nobody is asked
    assert cell.question == ""
    assert cell.command("unhold")["ok"]
    _finish(cell)
    cure = cell.records[0]["steps"][2]
    assert (cure["name"], cure["begun"]) == ("cure", 2)


def test_a_suspension_longer_than_the_recipe_allows_interrupts_the_step(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_step("cure").run_for(5)
    cell.command("suspend")
    cell.run_to("Suspended").run_for(301)
    # a cell that suspended for too long is in trouble of its own: it holds
    assert (cell.state, cell.reason) == ("Held", "held for longer than the recipe allows")
    assert cell.command("unhold")["ok"]
    _finish(cell)


def test_the_panel_too_hot_for_the_lamp_stops_the_cell(cell: Bench) -> None:
    cell.order("bonnet", **GREEN).run_to_output("cure_lamp", 40)
    cell.fault("panel_temp.stuck").run_for(1)
    cell.fault("panel_temp.stuck", on=False)
    cell.fault("panel_temp.out_of_range").run_for(1)
    assert cell.state in ("Stopping", "Stopped", "Held")
    assert cell.output("cure_lamp") == 0
    cell.fault("panel_temp.out_of_range", on=False).run_for(30)
    if cell.state == "Held":
        assert cell.command("unhold")["ok"]
    else:
        assert cell.command("reset")["ok"]
    _finish(cell)
