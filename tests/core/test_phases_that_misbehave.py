"""Nothing that a phase or a routine does wrong moves an output after a stop, or keeps the cell from its state."""

from pathlib import Path

import pytest

from hil.bench import Bench
from tests.core.small_cell import small
from tests.core.stop_points import driven, give, replaced

STEP = '[[step]]\nphase = "work"\non_interrupt = "ask"\n'

PHASES = {
    "writes in finally": """
        @phase
        def work(cell):
            try:
                cell.valve.on()
                yield wait(1000)
            finally:
                cell.valve.on()
                cell.heater.set(80)
                cell.drain.off()
        """,
    "raises while it is closed": """
        @phase
        def work(cell):
            try:
                cell.valve.on()
                yield wait(1000)
            except GeneratorExit:
                cell.heater.set(80)
                raise ValueError("not now")
        """,
    "swallows the end and writes on": """
        @phase
        def work(cell):
            cell.valve.on()
            try:
                yield wait(1000)
            except GeneratorExit:
                cell.motor.on()
                cell.heater.set(80)
        """,
}


def _expect_stopped(cell: Bench, command: str) -> None:
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    cell.run_for(0.2)
    before = driven(cell)
    give(cell, command)
    cell.scan()
    expected = replaced(cell, "on_" + command, before)
    assert driven(cell) == expected
    for _ in range(200):
        cell.scan()
        assert driven(cell) == expected
    assert cell.question.startswith("item 0001 interrupted in work")


@pytest.mark.parametrize("what", PHASES)
@pytest.mark.parametrize("command", ["stop", "abort"])
def test_a_phase_moves_nothing_once_it_is_stopped(what: str, command: str, tmp_path: Path) -> None:
    cell = small(tmp_path, PHASES[what], STEP)
    _expect_stopped(cell, command)
    assert cell.state == ("Stopped" if command == "stop" else "Aborted")


def test_a_phase_that_would_not_end_is_said(tmp_path: Path) -> None:
    cell = small(tmp_path, PHASES["raises while it is closed"], STEP)
    _expect_stopped(cell, "stop")
    assert any("would not end" in line for line in cell.log)


def test_a_phase_that_raises_aborts_and_what_it_wrote_never_reaches_the_board(tmp_path: Path) -> None:
    cell = small(
        tmp_path,
        """
        @phase
        def work(cell):
            yield wait(100)
            cell.heater.set(80)
            cell.valve.on()
            raise ValueError("no such thing")
        """,
        STEP,
    )
    seen: list[tuple[int, int]] = []
    cell.observers.append(lambda bench: seen.append((bench.output("valve"), bench.output("heater"))))
    cell.order("thing").run_to("Aborted")
    cell.run_for(1)
    assert set(seen) == {(0, 0)}
    assert cell.reason == "the equipment file failed in step 1; see the log"
    assert "no such thing" in cell.controller.sequencer.crash


def test_a_phase_that_raises_at_once_aborts(tmp_path: Path) -> None:
    cell = small(
        tmp_path,
        """
        @phase
        def work(cell):
            cell.valve.on()
            cell.no_such_signal.on() if cell.level.value < 0 else 1 // cell.level.value
            yield
        """,
        STEP,
    )
    cell.order("thing").run_to("Aborted")
    assert cell.output("valve") == 0
    assert "ZeroDivisionError" in cell.controller.sequencer.crash


ROUTINES = [
    "Clearing",
    "Resetting",
    "Starting",
    "Holding",
    "Unholding",
    "Suspending",
    "Unsuspending",
    "Stopping",
]


def _drive_to(cell: Bench, state: str) -> None:
    """Give what leads to an acting state of a cell that was just switched on."""
    cell.command("clear")
    if state == "Clearing":
        return
    cell.run_to("Stopped").command("reset")
    if state == "Resetting":
        return
    cell.run_to("Idle").ask("order.submit", order_id="a", product="thing", options={})
    if state == "Starting":
        return
    cell.run_until(lambda: cell.output("valve") == 1, "the valve")
    name = {"Holding": "hold", "Unholding": "hold", "Suspending": "suspend", "Unsuspending": "suspend"}
    cell.command(name.get(state, "stop"))
    if state.startswith("Un"):
        cell.run_to("Held" if state == "Unholding" else "Suspended")
        cell.command(state[:-3].lower() if state == "Unholding" else "unsuspend")


WORK = """
@phase
def work(cell):
    cell.valve.on()
    yield wait(1000)
    cell.valve.off()
"""


@pytest.mark.parametrize("state", ROUTINES)
def test_a_routine_that_raises_leads_to_aborted_with_nothing_driven(state: str, tmp_path: Path) -> None:
    routine = f"""
@state("{state}")
def routine(cell):
    cell.heater.set(50)
    yield
    raise ValueError("broken")
"""
    cell = small(tmp_path, WORK + routine, STEP)
    _drive_to(cell, state)
    cell.run_to("Aborted", within_s=5)
    assert cell.reason == f"the equipment file failed in {state}; see the log"
    assert driven(cell) == {"valve": 0, "motor": 0, "heater": 0, "drain": 1}


@pytest.mark.parametrize("state", ROUTINES)
def test_a_routine_that_never_ends_leads_to_aborted_in_its_limit(state: str, tmp_path: Path) -> None:
    routine = f"""
@state("{state}")
def routine(cell):
    cell.heater.set(50)
    while True:
        yield wait(100)
"""
    cell = small(tmp_path, WORK + routine, STEP, tables=f"[states.{state}]\nlimit_s = 2")
    _drive_to(cell, state)
    cell.run_to("Aborted", within_s=5)
    assert cell.reason == f"{state} took longer than its limit"
    assert driven(cell) == {"valve": 0, "motor": 0, "heater": 0, "drain": 1}


@pytest.mark.parametrize("bad", ["raise ValueError('broken')", "while True: yield wait(100)"])
def test_aborting_always_ends_in_aborted_with_the_outputs_locked(bad: str, tmp_path: Path) -> None:
    routine = f"""
@state("Aborting")
def routine(cell):
    cell.heater.set(50)
    cell.valve.on()
    yield
    {bad}
"""
    cell = small(tmp_path, WORK + routine, STEP, tables="[states.Aborting]\nlimit_s = 2")
    cell.order("thing").run_until(lambda: cell.output("valve") == 1, "the valve")
    give(cell, "abort")
    for _ in range(300):
        cell.scan()
        assert driven(cell) == {"valve": 0, "motor": 0, "heater": 0, "drain": 1}
    assert cell.state == "Aborted"


@pytest.mark.parametrize(
    ("state", "ends_in"),
    [
        ("Clearing", "Aborted"),
        ("Resetting", "Stopped"),
        ("Starting", "Stopped"),
        ("Holding", "Stopped"),
        ("Unholding", "Stopped"),
        ("Suspending", "Stopped"),
        ("Unsuspending", "Stopped"),
        ("Stopping", "Aborted"),
    ],
)
def test_a_condition_that_does_not_come_in_a_routine_escalates(
    state: str, ends_in: str, tmp_path: Path
) -> None:
    routine = f"""
@state("{state}")
def routine(cell):
    yield until(cell.ready, within_s=1, fault="it is not ready")
"""
    cell = small(tmp_path, WORK + routine, STEP)
    _drive_to(cell, state)
    cell.run_to(ends_in, within_s=5)
    assert cell.reason == "it is not ready within 1 s"
