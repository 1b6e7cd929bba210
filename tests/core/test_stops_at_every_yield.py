"""Hold, Suspend, Stop and Abort at every yield of every phase of the example cell."""

import pytest

from tests.core.stop_points import Point, bench_at, driven, give, points, policy, replaced

POINTS = points()


def _name(point: Point) -> str:
    return point[2]


def test_every_phase_of_the_example_is_among_the_points() -> None:
    phases = {name.split("-")[1] for _, _, name in POINTS}
    assert phases == {"clamp", "spray", "cure", "wrap", "pinstripe", "release"}


@pytest.mark.parametrize("point", POINTS, ids=_name)
@pytest.mark.parametrize("command", ["hold", "suspend"])
def test_held_at_any_yield_the_outputs_follow_at_once_and_the_item_goes_on(
    command: str, point: Point
) -> None:
    bench = bench_at(point)
    before = driven(bench)
    generators = [run.generator for run in bench.controller.sequencer.running]
    give(bench, command)
    bench.scan()
    expected = replaced(bench, "on_hold", before)
    assert driven(bench) == expected
    bench.run_to("Held" if command == "hold" else "Suspended")
    for _ in range(150):
        bench.scan()
        assert driven(bench) == expected
    assert [run.generator for run in bench.controller.sequencer.running] == generators
    assert bench.question == ""
    assert bench.job_state("ord-1") == "Interrupted"
    assert bench.command("un" + command)["ok"]
    record = bench.run()
    assert (record["serial"], record["result"], record["interruptions"]) == (1, "good", 0)
    assert record["held_ms"] >= 1500
    assert bench.counts == (1, 0)
    assert bench.damage == []


@pytest.mark.parametrize("point", POINTS, ids=_name)
@pytest.mark.parametrize(("command", "ends_in"), [("stop", "Stopped"), ("abort", "Aborted")])
def test_stopped_at_any_yield_the_outputs_follow_at_once_and_the_item_is_asked_for(
    command: str, ends_in: str, point: Point
) -> None:
    bench = bench_at(point)
    before = driven(bench)
    asked = policy(bench)
    give(bench, command)
    bench.scan()
    expected = replaced(bench, "on_" + command, before)
    assert driven(bench) == expected
    assert bench.controller.sequencer.running == []
    bench.run_to(ends_in)
    for _ in range(150):
        bench.scan()
        assert driven(bench) == expected
    assert bench.job_state("ord-1") == "Interrupted"
    assert (bench.question != "") == (asked == "ask")
    if bench.question:
        bench.command("clear")
        bench.run_to("Stopped")
        assert bench.command("reset")["name"] == "question_open"
    left = len(bench.made) == 1  # then it is released, whatever the phase had still to see
    if ends_in == "Aborted" and bench.state == "Aborted":
        bench.command("clear")
        bench.run_to("Stopped")
    if bench.question:
        assert bench.answer("done" if left else "resume")["ok"]
    assert bench.command("reset")["ok"]
    bench.run()
    assert bench.counts == (1, 1 if asked == "scrap" else 0)
    assert bench.records[0]["interruptions"] == 1
    assert bench.damage == []
