"""Steps of an item: several at a time, a person's, their timers while held, and what becomes of each when cut."""

from pathlib import Path

import pytest

from hil.bench import Bench
from tests.core.small_cell import put, small

TWO = """
@phase(counts="pass")
def left(cell, resume_from=0):
    for turn in range(resume_from, 3):
        cell.valve.on()
        yield wait(1000)
        cell.valve.off()
        yield mark(turn + 1, of=3)

@phase
def right(cell):
    cell.motor.on()
    yield wait(5000)
    cell.motor.off()

@phase
def last(cell):
    yield wait(100)
"""


def _together(left: str, right: str) -> str:
    return f"""
[[step]]
phase = "left"
on_interrupt = "{left}"
together = "both"
[[step]]
phase = "right"
on_interrupt = "{right}"
together = "both"
[[step]]
phase = "last"
on_interrupt = "repeat"
"""


def _cut(cell: Bench) -> Bench:
    cell.order("thing").run_until(lambda: cell.view["item"].get("mark") == 1, "one pass")
    cell.run_for(0.3).command("abort")
    return cell.run_to("Aborted")


def test_neighbours_of_one_group_run_at_the_same_time_and_the_next_step_waits_for_both(
    tmp_path: Path,
) -> None:
    record = small(tmp_path, TWO, _together("ask", "ask")).order("thing").run()
    left, right, last = record["steps"]
    assert abs(left["start_ms"] - right["start_ms"]) <= 10
    assert left["end_ms"] < right["end_ms"] <= last["start_ms"]


@pytest.mark.parametrize(
    ("left", "right", "asked", "begun", "left_mark"),
    [
        ("repeat", "repeat", "", [2, 2], 3),
        ("resume", "repeat", "", [2, 2], 3),
        ("repeat", "ask", "right", [2, 2], 3),
        ("ask", "repeat", "left, pass 2 of 3", [2, 2], 3),
        ("ask", "ask", "left, pass 2 of 3 and right", [2, 2], 3),
    ],
)
def test_each_of_two_steps_at_a_time_has_its_own_policy(
    left: str, right: str, asked: str, begun: list[int], left_mark: int, tmp_path: Path
) -> None:
    cell = _cut(small(tmp_path, TWO, _together(left, right)))
    if asked:
        assert cell.question == f"item 0001 interrupted in {asked}: resume | repeat | scrap | done?"
        assert cell.answer("repeat")["ok"]
    assert cell.question == ""
    cell.make_ready()
    record = cell.run()
    assert [step["begun"] for step in record["steps"][:2]] == begun
    assert record["steps"][0]["mark"] == left_mark
    assert cell.counts == (1, 0)


def test_done_is_said_only_of_the_step_that_was_asked_about(tmp_path: Path) -> None:
    cell = _cut(small(tmp_path, TWO, _together("repeat", "ask")))
    cell.answer("done")
    cell.make_ready()
    left, right, _ = cell.run()["steps"]
    assert (left["begun"], left["said_done"]) == (2, 0)
    assert (right["begun"], right["said_done"]) == (1, 1)


def test_one_step_whose_policy_is_scrap_scraps_the_item(tmp_path: Path) -> None:
    cell = _cut(small(tmp_path, TWO, _together("ask", "scrap")))
    assert cell.question == ""
    cell.make_ready()
    cell.run()
    assert cell.counts == (1, 1)


def test_resume_goes_on_from_the_mark_and_asks_where_there_is_none(tmp_path: Path) -> None:
    steps = '[[step]]\nphase = "left"\non_interrupt = "resume"\n'
    cell = _cut(small(tmp_path, TWO, steps))
    assert cell.question == ""
    pulses = [0]
    last = [0]

    def count(bench: Bench) -> None:
        pulses[0] += bench.output("valve") and not last[0]
        last[0] = bench.output("valve")

    cell.observers.append(count)
    cell.make_ready()
    cell.run()
    assert pulses[0] == 2
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    cell.command("abort")
    cell.run_to("Aborted")
    assert cell.question.startswith("item 0002 interrupted in left")


PERSON = """
@phase
def look(cell):
    yield operator("Is the weld clean?")

@phase
def measure(cell):
    yield operator("Gap in mm", expects="value")
"""


def test_a_persons_step_waits_for_the_confirmation_and_for_the_value(tmp_path: Path) -> None:
    cell = small(tmp_path, PERSON, '[[step]]\nphase = "look"\n[[step]]\nphase = "measure"\n')
    assert cell.ask("confirm")["name"] == "nothing_to_confirm"
    cell.order("thing").run_to_step("look").run_for(600)
    assert (cell.state, cell.view["waiting_for"]) == ("Execute", "Is the weld clean?")
    assert cell.ask("confirm")["ok"]
    cell.run_to_step("measure").scan(2)
    assert cell.ask("confirm")["name"] == "bad_order"
    assert cell.ask("confirm", value="wide")["name"] == "bad_order"
    assert cell.ask("confirm", value=3)["ok"]
    record = cell.run()
    assert record["steps"][1]["actual"] == [["entered", 3000, 1000]]


def test_a_persons_step_is_not_confirmed_while_the_cell_is_held(tmp_path: Path) -> None:
    cell = small(tmp_path, PERSON, '[[step]]\nphase = "look"\n')
    cell.order("thing").run_to_step("look").scan(2).command("hold")
    cell.run_to("Held")
    assert cell.ask("confirm")["name"] == "nothing_to_confirm"
    cell.command("unhold")
    cell.run_to("Execute").scan(2)
    assert cell.ask("confirm")["ok"]
    cell.run()


TIMERS = {
    # what is waited for, and how long after Unhold it ends when it was held for 3 s after 1 s
    'wait(2000, held="stop")': 1.0,
    'wait(2000, held="run")': 0.0,
    'wait(2000, held="restart")': 2.0,
    "soak(cell.level, min=10, for_s=2)": 2.0,
    "ramp(cell.heater, to=80, over_s=2)": 1.0,
    'together(wait(2000, held="run"), wait(2000))': 1.0,
}


@pytest.mark.parametrize("command", ["hold", "suspend"])
@pytest.mark.parametrize("what", TIMERS)
def test_a_timer_says_what_it_does_while_the_item_is_held(what: str, command: str, tmp_path: Path) -> None:
    then = "    cell.valve.on()\n    yield wait(100)\n    cell.valve.off()\n"
    phase = f"@phase\ndef work(cell):\n    yield {what}\n{then}"
    cell = small(tmp_path, phase, '[[step]]\nphase = "work"\n')
    put(cell, level=500).order("thing").run_to_step("work").run_for(1)
    cell.command(command)
    cell.run_to("Held" if command == "hold" else "Suspended").run_for(3)
    assert cell.output("valve") == 0
    cell.command("un" + command)
    cell.run_to("Execute")
    start = cell.board.tick()
    cell.run_until(lambda: cell.output("valve") == 1, "the valve")
    assert abs((cell.board.tick() - start) / 1000 - TIMERS[what]) <= 0.06


def test_a_time_limit_starts_again_after_a_hold(tmp_path: Path) -> None:
    phase = '@phase\ndef work(cell):\n    yield until(cell.ready, within_s=2, fault="not ready")\n'
    cell = small(tmp_path, phase, '[[step]]\nphase = "work"\n')
    cell.order("thing").run_to_step("work").run_for(1.5)
    cell.command("hold")
    cell.run_to("Held").run_for(10)
    assert cell.reason == ""
    cell.command("unhold")
    cell.run_to("Execute").run_for(1.5)
    assert cell.state == "Execute"
    cell.run_to("Held", within_s=1)
    assert cell.reason == "not ready within 2 s"


def test_an_order_completed_out_of_a_hold_leaves_nothing_behind_for_the_next_one(tmp_path: Path) -> None:
    cell = small(tmp_path, TWO, '[[step]]\nphase = "left"\n', keys='part_present = "shut"')
    put(cell, shut=0).order("thing").run_to("Suspended")
    assert cell.command("complete")["ok"]
    assert cell.run_until(lambda: cell.job_state("ord-1") == "Ended/Closed", "its end").counts == (0, 0)
    put(cell, shut=1).order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    cell.command("hold")
    cell.run_to("Held").command("unhold")
    # what was wanted in this hold comes back, not what was wanted in the last one
    cell.run_to("Execute").scan(2)
    assert cell.output("valve") == 1
    cell.run()
