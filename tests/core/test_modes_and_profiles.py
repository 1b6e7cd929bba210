"""The same cell under the 2015 profile, and in modes that lack states the others have."""

from pathlib import Path

import pytest

from hil.bench import Bench
from tests.core.small_cell import put, small

WORK = """
@phase
def work(cell):
    cell.valve.on()
    yield until(cell.ready)
    cell.valve.off()
"""
STEP = '[[step]]\nphase = "work"\non_interrupt = "repeat"\n'


def _cell(directory: Path, keys: str = "", tables: str = "") -> Bench:
    return small(directory, WORK, STEP, keys=f'part_present = "shut"\n{keys}', tables=tables)


def _start_in(cell: Bench, mode: str) -> Bench:
    cell.command("take_control")
    assert cell.command("mode", mode=mode)["ok"]
    cell.make_ready().ask("order.submit", order_id="a", product="thing", count=2)
    assert cell.command("start")["ok"]
    return cell.run_to("Execute")


@pytest.mark.parametrize("profile", [2015, 2022])
def test_an_order_is_made_under_either_profile(profile: int, tmp_path: Path) -> None:
    cell = put(_cell(tmp_path, f"profile = {profile}"), ready=1, shut=1)
    cell.order("thing", 2).run()
    assert cell.counts == (2, 0)
    states = [line.split(" -> ")[1] for line in cell.log if " -> " in line]
    cell.run_to("Idle")
    assert states[-1] in ("Execute", "Completing")


def test_complete_is_no_command_of_2015(tmp_path: Path) -> None:
    cell = put(_cell(tmp_path, "profile = 2015"), shut=0)
    cell.order("thing").run_to("Execute")
    assert cell.command("complete")["name"] == "unknown_command"


@pytest.mark.parametrize("mode", ["Maintenance", "Manual"])
def test_where_there_is_no_suspended_a_missing_part_is_waited_for_in_execute(
    mode: str, tmp_path: Path
) -> None:
    cell = _start_in(put(_cell(tmp_path), ready=1, shut=0), mode)
    cell.run_for(30)
    assert (cell.state, cell.reason) == ("Execute", "waiting for a part on the stand")
    put(cell, shut=1).run_until(lambda: cell.counts[0] == 1, "an item")
    assert cell.reason == ""


def test_where_there_is_no_held_a_fault_of_a_phase_stops(tmp_path: Path) -> None:
    work = WORK.replace("until(cell.ready)", 'until(cell.ready, within_s=1, fault="not ready")')
    cell = put(small(tmp_path, work, STEP), shut=1)
    _start_in(cell, "Manual").run_to("Stopped", within_s=5)
    assert cell.reason == "not ready within 1 s"
    assert cell.output("valve") == 0
    assert cell.job_state("a") == "Interrupted"


def test_without_completing_and_clearing_an_order_still_ends_and_the_next_one_is_made(tmp_path: Path) -> None:
    lean = """
    [modes.Production]
    number = 1
    disabled = ["Completing", "Clearing", "Resetting", "Starting", "Unholding"]
    """
    cell = put(_cell(tmp_path, tables=lean), ready=0, shut=1)
    cell.order("thing").order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    cell.command("hold")
    cell.run_to("Held").command("unhold")
    cell.run_until(lambda: cell.output("valve") == 1, "the valve")
    cell.command("abort")
    cell.run_to("Aborted")
    cell.make_ready()
    put(cell, ready=1)
    cell.run()
    assert (cell.counts, cell.reason) == ((2, 0), "")
    assert [cell.job_state(name) for name in ("ord-1", "ord-2")] == ["Ended/Completed"] * 2


def test_a_complete_by_a_person_ends_the_order_also_where_completing_is_skipped(tmp_path: Path) -> None:
    lean = '[modes.Production]\nnumber = 1\ndisabled = ["Completing"]\n'
    cell = put(_cell(tmp_path, tables=lean), shut=0)
    cell.order("thing").run_to("Suspended")
    assert cell.command("complete")["ok"]
    cell.scan(2)
    assert cell.job_state("ord-1") == "Ended/Closed"


def test_the_state_of_a_mode_is_looked_at_before_the_mode_changes(tmp_path: Path) -> None:
    cell = _start_in(put(_cell(tmp_path), ready=0, shut=1), "Manual")
    assert cell.command("mode", mode="Production")["name"] == "mode_leaving_not_allowed"
    assert "Hold" not in cell.view["allowed"]
    cell.command("stop")
    cell.run_to("Stopped")
    assert cell.command("mode", mode=1)["ok"]
