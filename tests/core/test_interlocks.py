"""Interlocks: they block always, trip only while an output is on or wanted, and their limits do not chatter."""

from pathlib import Path

import pytest

from cell_controller.core.ticks import add
from hil.bench import Bench
from tests.core.small_cell import put, small

WORK = """
@phase
def work(cell):
    cell.valve.on()
    cell.heater.set(50)
    yield until(cell.ready)
    cell.valve.off()
"""
STEP = '[[step]]\nphase = "work"\non_interrupt = "repeat"\n'
LEVEL = """
[interlocks.level_high_enough]
blocks = ["valve", "drain"]
needs = { level = { min = 40, hysteresis = 5 } }
then = "hold"
message = "the level is too low"
"""
SLOW = """
[interlocks.not_too_full]
blocks = ["valve"]
needs = { level = { max = 80 } }
then = "stop"
message = "the level is too high"
min_ms = 200
"""
ONLY_BLOCKS = """
[interlocks.shut_first]
blocks = ["valve"]
needs = { shut = true }
then = "none"
message = "shut it first"
"""


def _cell(directory: Path, tables: str) -> Bench:
    cell = small(directory, WORK, STEP, tables=tables)
    return put(cell, level=500, shut=1)


def test_a_limit_trips_at_its_value_and_is_over_only_past_its_hysteresis(tmp_path: Path) -> None:
    cell = _cell(tmp_path, LEVEL)
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    put(cell, level=400).scan(2)
    assert cell.state == "Execute"
    put(cell, level=399).scan()
    assert (cell.output("valve"), cell.output("drain")) == (0, 1)
    cell.run_to("Held")
    assert cell.reason == "the level is too low"
    for level in (400, 449):
        put(cell, level=level).scan(2)
        assert cell.command("unhold")["name"] == "cause_stands"
    put(cell, level=450).scan(2)
    assert cell.command("unhold")["ok"]
    cell.run_until(lambda: cell.output("valve") == 1, "the valve")
    put(cell, level=401, ready=1)
    cell.run()


def test_around_its_limit_it_holds_once(tmp_path: Path) -> None:
    cell = _cell(tmp_path, LEVEL)
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    for turn in range(100):
        put(cell, level=399 + turn % 3).scan()
    raised = [line for line in cell.log if line == "the level is too low"]
    assert (cell.state, len(raised)) == ("Held", 1)


def test_a_violation_shorter_than_its_time_does_nothing_and_a_longer_one_blocks_and_trips(
    tmp_path: Path,
) -> None:
    cell = _cell(tmp_path, SLOW)
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    for _ in range(5):
        put(cell, level=900).scan(19)
        assert (cell.state, cell.output("valve")) == ("Execute", 1)
        put(cell, level=500).scan()
    put(cell, level=900).scan(20)
    assert cell.output("valve") == 1
    cell.scan()
    assert cell.output("valve") == 0
    cell.run_to("Stopped")
    assert cell.reason == "the level is too high"


def test_an_output_is_blocked_although_nobody_wanted_it_when_the_time_was_up(tmp_path: Path) -> None:
    cell = _cell(tmp_path, SLOW)
    put(cell, level=900).run_for(1)
    seen: list[int] = []
    cell.observers.append(lambda bench: seen.append(bench.output("valve")))
    cell.order("thing").run_to("Stopped")
    assert set(seen) == {0}


@pytest.mark.parametrize("tables", [LEVEL, SLOW])
def test_what_is_violated_for_a_week_is_still_blocked(tables: str, tmp_path: Path) -> None:
    """The tick comes round in 6.2 days, and a difference turns negative in half of that."""
    cell = _cell(tmp_path, tables)
    put(cell, level=900 if tables is SLOW else 100).run_for(1)
    controller = cell.controller
    now = cell.board.tick()
    for _ in range(14):
        now = add(now, 12 * 3600 * 1000)
        cell.board.sleep_until(now)
        cell.scan()
        assert controller.outputs.any_on([0]) is False
        controller.outputs.want_words[0] |= 1  # as a phase would
        controller.outputs.write()
        assert cell.output("valve") == 0
        controller.outputs.want_words[0] &= ~1


def test_one_without_a_consequence_blocks_and_lets_the_phase_wait(tmp_path: Path) -> None:
    cell = _cell(tmp_path, ONLY_BLOCKS)
    put(cell, shut=0)
    cell.order("thing").run_to("Execute").run_for(1)
    assert (cell.state, cell.output("valve"), cell.output("heater")) == ("Execute", 0, 50)
    put(cell, shut=1).scan()
    assert cell.output("valve") == 1
    put(cell, ready=1)
    cell.run()


@pytest.mark.parametrize("mode", ["Production", "Maintenance", "Manual"])
def test_it_holds_in_every_mode(mode: str, tmp_path: Path) -> None:
    cell = _cell(tmp_path, LEVEL)
    cell.command("take_control")
    assert cell.command("mode", mode=mode)["ok"]
    cell.make_ready().ask("order.submit", order_id="a", product="thing")
    assert cell.command("start")["ok"]
    cell.run_until(lambda: cell.output("valve") == 1, "the valve")
    put(cell, level=100).scan()
    assert cell.output("valve") == 0
    cell.run_to("Stopped" if mode == "Manual" else "Held")
    assert cell.reason == "the level is too low"


def test_a_cause_that_is_gone_still_waits_for_a_person(tmp_path: Path) -> None:
    cell = _cell(tmp_path, LEVEL)
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    put(cell, level=100).scan(3)
    put(cell, level=500).run_for(10)
    assert cell.state == "Held"
    assert [alarm.active for alarm in cell.controller.alarms.entries] == [False]
    cell.command("stop")
    cell.run_to("Stopped").run_for(5)
    assert cell.controller.alarms.blocks_start()
    assert cell.command("reset")["ok"]  # which acknowledges
    assert not cell.controller.alarms.blocks_start()
