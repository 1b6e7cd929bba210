"""Who commands, in which mode, and who comes first when several things happen at once."""

from typing import Any

import pytest

from hil.bench import Bench
from tests.core.stop_points import give

MOVES = ["start", "unhold", "unsuspend", "clear", "reset", "hold", "suspend", "complete"]


def _remote(cell: Bench, command: str, issuer: str = "desk-1", **args: object) -> dict[str, object]:
    return cell.ask("command", origin="mqtt", issuer=issuer, command=command, **args)


def test_a_remote_may_stop_and_abort_without_control_and_nothing_else(cell: Bench) -> None:
    cell.make_ready().command("take_control")
    for command in [*MOVES, "mode", "acknowledge"]:
        assert _remote(cell, command, mode="Manual")["name"] == "not_in_control"
    assert _remote(cell, "stop")["ok"]
    cell.run_to("Stopped")
    assert _remote(cell, "abort")["ok"]
    cell.run_to("Aborted")
    assert cell.damage == []


def test_control_is_given_to_a_remote_by_name_and_taken_back_at_the_machine(cell: Bench) -> None:
    cell.make_ready()
    assert _remote(cell, "take_control")["name"] == "not_in_control"
    assert cell.command("release_control", to="desk-1")["ok"]
    assert cell.view["control"] == "desk-1"
    assert _remote(cell, "stop")["ok"]
    cell.run_to("Stopped")
    assert _remote(cell, "reset", issuer="desk-2")["name"] == "not_in_control"
    # who stands at the machine has no control now either, but may stop it and take control at any time
    assert cell.command("reset")["name"] == "not_in_control"
    assert _remote(cell, "reset")["ok"]
    assert cell.command("take_control")["ok"]
    assert _remote(cell, "start")["name"] == "not_in_control"
    assert cell.damage == []


def test_with_control_at_the_machine_an_order_waits_for_a_start(cell: Bench) -> None:
    cell.make_ready().command("take_control")
    reply = cell.ask("order.submit", order_id="a", product="bonnet", options={"colour": "primer"})
    assert "starts when someone gives Start" in reply["text"]
    cell.run_for(30)
    assert cell.state == "Idle"
    assert cell.command("start")["ok"]
    cell.run()
    assert cell.damage == []


def test_start_without_an_order_is_refused(cell: Bench) -> None:
    cell.make_ready()
    assert cell.command("start")["name"] == "no_order"


def test_complete_is_refused_while_an_item_is_in_work(cell: Bench) -> None:
    cell.order("bonnet", colour="primer").run_to_step("spray")
    assert cell.command("complete")["name"] == "item_in_work"
    cell.run()
    assert cell.damage == []


def test_a_mode_changes_only_where_nothing_runs(cell: Bench) -> None:
    assert cell.command("mode", mode="Manual")["ok"]
    assert cell.view["mode"] == "Manual"
    assert cell.command("mode", mode="Dancing")["name"] == "mode_unknown"
    assert cell.command("mode", mode="Production")["ok"]
    cell.order("bonnet", colour="primer").run_to_step("spray")
    assert cell.command("mode", mode="Manual")["name"] == "mode_leaving_not_allowed"
    cell.run()
    assert cell.damage == []


def test_in_manual_mode_nothing_starts_by_itself(cell: Bench) -> None:
    cell.make_ready().command("mode", mode="Manual")
    cell.ask("order.submit", order_id="a", product="bonnet", options={"colour": "primer"})
    cell.run_for(30)
    assert cell.state == "Idle"
    assert cell.command("mode", mode="Production")["ok"]
    cell.run()
    assert cell.damage == []


def test_every_command_and_its_answer_is_in_the_journal(cell: Bench) -> None:
    cell.command("start")
    cell.command("dance")
    cell.command("clear")
    said = [line for line in cell.log if " by bench: " in line]
    assert said == [
        "start by bench: refused, code 1",
        "undefined by bench: refused, code 3",
        "clear by bench: accepted",
    ]


@pytest.mark.parametrize("command", [*MOVES[:2], "unsuspend", "complete", "hold", "suspend"])
def test_a_command_that_the_state_does_not_allow_is_refused_with_those_it_does(
    cell: Bench, command: str
) -> None:
    reply = cell.command(command)
    assert reply["name"] == "not_allowed_in_state"
    assert reply["text"].endswith("is not allowed in Aborted; allowed now: Clear")


def test_a_person_who_suspends_the_cell_is_the_one_who_lets_it_go_on(cell: Bench) -> None:
    cell.order("bonnet", colour="primer").run_to_step("spray").command("suspend")
    cell.run_to("Suspended").run_for(60)
    assert cell.state == "Suspended"
    assert cell.command("unsuspend")["ok"]
    cell.run()
    assert cell.damage == []


def test_a_full_disk_finishes_to_the_safe_point_then_holds_and_refuses_orders(cell: Bench) -> None:
    cell.order("bonnet", colour="green").run_to_output("valve_green")
    # given a journal that takes nothing any more: the coat is finished, its valve shut, and the next one not begun
    cell.writable = False
    cell.run_to("Held", within_s=10)
    assert cell.reason == "the journal cannot be written: free space on its disk"
    assert cell.output("valve_green") == 0
    assert cell.ask("order.submit", order_id="b", product="bonnet")["name"] == "journal_unwritable"
    assert cell.command("unhold")["name"] == "cause_stands"
    # when there is space again, then it goes on and nothing is missing
    cell.writable = True
    cell.flush()
    cell.scan(2)
    assert cell.command("unhold")["ok"]
    record = cell.run()
    assert record["steps"][1]["mark"] == 2
    assert cell.counts == (1, 0)
    assert cell.damage == []


def test_with_a_full_disk_nothing_is_started(cell: Bench) -> None:
    cell.make_ready().command("take_control")
    cell.ask("order.submit", order_id="a", product="bonnet", options={"colour": "primer"})
    cell.writable = False
    cell.scan(2)
    assert cell.command("start")["name"] in ("journal_unwritable", "cause_stands")
    cell.run_for(5)
    assert cell.state == "Idle"
    # a stop is taken and answered all the same
    assert cell.command("stop")["ok"]
    cell.run_to("Stopped")


def test_a_slow_disk_makes_the_cell_wait_not_fail(cell: Bench) -> None:
    cell.order("bonnet", colour="primer")
    cell.hold_back = True
    cell.run_for(30)
    # nothing moves on an intent that is not durable
    assert (cell.state, cell.output("clamp"), cell.output("valve_primer")) == ("Execute", 0, 0)
    cell.flush()
    cell.scan(2)
    assert cell.output("clamp") == 1
    cell.hold_back = False
    cell.flush()
    cell.run()
    assert cell.damage == []


@pytest.mark.parametrize(
    ("first", "second", "served"),
    [
        ("hold", "stop", "stop"),
        ("stop", "hold", "stop"),
        ("suspend", "hold", "hold"),
        ("stop", "abort", "abort"),
    ],
)
def test_of_two_commands_in_one_scan_the_stronger_is_done_and_the_other_is_told(
    cell: Bench, first: str, second: str, served: str
) -> None:
    cell.order("bonnet", colour="primer").run_to_step("spray")
    give(cell, first, "one")
    give(cell, second, "two")
    cell.scan(3)
    names = {reply["id"]: reply["name"] for reply in cell.replies}
    expected = {"one": first, "two": second}
    for key, command in expected.items():
        assert names[key] == ("accepted" if command == served else "superseded")
    ends = {"stop": "Stopped", "hold": "Held", "abort": "Aborted"}
    cell.run_to(ends[served])
    assert cell.damage == []


def test_a_remote_that_calls_itself_auto_or_local_has_no_control(cell: Bench) -> None:
    for name in ("auto", "local"):
        cell.command("take_control" if name == "local" else "release_control")
        reply = cell.ask("command", origin="mqtt", issuer=name, command="mode", mode="Maintenance")
        assert reply["name"] == "not_in_control"


def test_packtags_are_acted_on_once_for_each_request(cell: Bench) -> None:
    cell.make_ready()
    tags: dict[str, Any] = {"CntrlCmd": 3, "CmdChangeRequest": True}
    assert cell.ask("packtags", **tags)["text"] == "accepted stop"
    cell.run_to("Stopped")
    assert cell.ask("packtags", CntrlCmd=3, CmdChangeRequest=1)["text"] == "nothing new is requested"
    cell.ask("packtags", CntrlCmd=0, CmdChangeRequest=False)
    assert cell.ask("packtags", CntrlCmd=1, CmdChangeRequest=1)["text"] == "accepted reset"
    assert cell.ask("packtags", CntrlCmd=99, CmdChangeRequest=1)["name"] == "unknown_command"
    assert cell.ask("packtags", UnitMode=2, UnitModeChangeRequest=1)["text"] in ("mode Maintenance",)
    assert not cell.ask("packtags", Speed=1)["ok"]
