"""One test a cell of the table in docs/when-things-stop.md: what stops the cell, and what each thing does then."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hil.bench import Bench
from tests.core.small_cell import put, small
from tests.core.stop_points import driven, give, ordered, replaced

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "when-things-stop.md"
COLUMNS = ["outputs", "generator", "timers", "item", "job"]
DWELL_MS = 4500


def _spraying() -> Bench:
    """A bonnet in its second green coat, one second into it."""
    bench = ordered("painted")
    bench.run_until(lambda: bench.view["item"].get("mark") == 1, "one coat")
    return bench.run_to_output("valve_green").run_for(1)


def _command(name: str) -> Callable[[Bench], object]:
    def stop(bench: Bench) -> None:
        give(bench, name)
        bench.scan()

    return stop


def _lose_the_board(bench: Bench) -> None:
    for entry in bench.spec["inputs"]:
        bench.fault(f"{entry['name']}.stale")
    bench.scan()


def _find_the_board(bench: Bench) -> None:
    for entry in bench.spec["inputs"]:
        bench.fault(f"{entry['name']}.stale", False)


# row of the table: how it is done, how its cause is removed, the state it leads to, the outputs it asks for
STOPS: dict[str, tuple[Callable[[Bench], object], Callable[[Bench], object], str, str]] = {
    "Hold": (_command("hold"), lambda bench: None, "Held", "on_hold"),
    "Suspend": (_command("suspend"), lambda bench: None, "Suspended", "on_hold"),
    "Stop": (_command("stop"), lambda bench: None, "Stopped", "on_stop"),
    "Abort": (_command("abort"), lambda bench: None, "Aborted", "on_abort"),
    "boot": (lambda bench: bench.restart(), lambda bench: None, "Aborted", "on_abort"),
    "lost board link": (_lose_the_board, _find_the_board, "Aborted", "on_abort"),
    "emergency stop": (
        lambda bench: bench.fault("estop.open").scan(),
        lambda bench: bench.fault("estop.open", False),
        "Aborted",
        "on_abort",
    ),
}
PAUSES = ["Hold", "Suspend"]
ENDS = [row for row in STOPS if row not in PAUSES]
ELSEWHERE = {
    "SIGTERM": ["tests/service/test_stopping.py", "tests/service/test_safe_outputs.py"],
    "kill": ["tests/service/test_safe_outputs.py", "tests/service/test_power_cuts.py"],
    "lost MQTT link": ["tests/service/test_bad_environment.py"],
}


def _stopped(row: str) -> Bench:
    stop, _, state, _ = STOPS[row]
    bench = _spraying()
    stop(bench)
    return bench.run_to(state)


def _go_on(bench: Bench, row: str, answer: str = "resume") -> Bench:
    """Remove the cause, and give what leads back to Execute."""
    STOPS[row][1](bench)
    bench.scan(3)
    if row in PAUSES:
        assert bench.command("un" + row.lower())["ok"]
    else:
        assert bench.answer(answer)["ok"]
        if bench.state == "Aborted":
            assert bench.command("clear")["ok"]
            bench.run_to("Stopped")
        assert bench.command("reset")["ok"]
    return bench.run_to("Execute")


@pytest.mark.parametrize("row", STOPS)
def test_outputs(row: str) -> None:
    """Replaced in the scan that stops, and not moved again before somebody lets them."""
    stop, _, state, key = STOPS[row]
    bench = _spraying()
    before = driven(bench)
    stop(bench)
    expected = replaced(bench, key, before)
    assert driven(bench) == expected
    bench.run_to(state)
    for _ in range(300):
        bench.scan()
        assert driven(bench) == expected
    assert bench.damage == []


@pytest.mark.parametrize("row", PAUSES)
def test_generator_is_kept_and_resumed_where_it_was(row: str) -> None:
    bench = _spraying()
    (run,) = bench.controller.sequencer.running
    STOPS[row][0](bench)
    bench.run_to(STOPS[row][2]).run_for(10)
    assert [entry.generator for entry in bench.controller.sequencer.running] == [run.generator]
    _go_on(bench, row)
    assert [entry.generator for entry in bench.controller.sequencer.running] == [run.generator]


@pytest.mark.parametrize("row", ENDS)
def test_generator_is_closed(row: str) -> None:
    bench = _spraying()
    (run,) = bench.controller.sequencer.running
    STOPS[row][0](bench)
    assert bench.controller.sequencer.running == []
    if row != "boot":  # nobody is left to close those of a killed process
        with pytest.raises(StopIteration):
            next(run.generator)


@pytest.mark.parametrize("row", PAUSES)
def test_timers_do_what_the_wait_says(row: str) -> None:
    """The dwell of a coat stands still: what was left of it is sprayed afterwards."""
    bench = _stopped(row).run_for(60)
    _go_on(bench, row).run_to_output("valve_green")
    start = bench.board.tick()
    bench.run_until(lambda: bench.output("valve_green") == 0, "the end of the coat")
    assert abs(bench.board.tick() - start - (DWELL_MS - 1000)) <= 60


@pytest.mark.parametrize("row", ENDS)
def test_timers_are_gone(row: str) -> None:
    """Whoever resumes it sprays a whole coat."""
    bench = _go_on(_stopped(row), row).run_to_output("valve_green")
    start = bench.board.tick()
    bench.run_until(lambda: bench.output("valve_green") == 0, "the end of the coat")
    assert abs(bench.board.tick() - start - DWELL_MS) <= 60


@pytest.mark.parametrize("row", PAUSES)
def test_item_stays_in_work(row: str) -> None:
    bench = _stopped(row)
    assert (bench.question, bench.step) == ("", "spray")
    _go_on(bench, row)
    record = bench.run()
    assert (record["interruptions"], record["result"]) == (0, "good")


@pytest.mark.parametrize("row", ENDS)
def test_item_is_interrupted_with_its_step_and_asked_for(row: str) -> None:
    bench = _stopped(row)
    assert bench.question == "item 0001 interrupted in spray, coat 2 of 2: resume | repeat | scrap | done?"
    _go_on(bench, row)
    record = bench.run()
    assert (record["serial"], record["interruptions"], record["result"]) == (1, 1, "good")
    assert bench.damage == []


@pytest.mark.parametrize("row", STOPS)
def test_job_is_interrupted_and_goes_on_with_its_count(row: str) -> None:
    bench = _stopped(row)
    assert bench.job_state("ord-1") == "Interrupted"
    bench.run_for(60)
    assert bench.job_state("ord-1") == "Interrupted"
    _go_on(bench, row)
    assert bench.job_state("ord-1") == "Running"
    bench.run()
    assert (bench.job_state("ord-1"), bench.counts) == ("Ended/Completed", (1, 0))


def test_the_page_has_a_row_for_each_and_says_something_in_every_cell() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| **")]
    table = {}
    for line in rows:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        table[cells[0].strip("*")] = cells[1:]
    assert sorted(table) == sorted([*STOPS, *ELSEWHERE])
    assert all(len(cells) == len(COLUMNS) and all(cells) for cells in table.values())


def test_the_tests_the_page_names_are_there() -> None:
    text = PAGE.read_text()
    for names in ELSEWHERE.values():
        for name in names:
            assert name in text
    for name in re.findall(r"tests/[a-z_/]+\.py", text):
        assert (ROOT / name).is_file(), name


def test_what_a_hold_kept_on_is_off_once_it_lasted_too_long(tmp_path: Path) -> None:
    equipment = """
    @phase
    def warm(cell):
        cell.heater.set(60)
        yield until(cell.ready, within_s=60, fault="never ready")
    """
    steps = """
    [[step]]
    phase = "warm"
    max_hold_s = 2
    on_interrupt = "repeat"
    """
    bench = small(tmp_path, equipment, steps)
    bench.order("thing").run_to_output("heater", 60)
    bench.command("hold")
    bench.run_to("Held").run_for(1)
    assert bench.output("heater") == 60, "on_hold keeps it"
    bench.run_for(2)
    assert bench.output("heater") == 0
    assert bench.command("unhold")["ok"]
    put(bench, ready=1)
    bench.run_to("Complete")
