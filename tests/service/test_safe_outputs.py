"""What the outputs really do when a controller ends: read at the board, which outlives it, not from the controller."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from board.remote import Observer
from cell_controller.cpython.runtime import CODE_SAFE
from host_tools.cellfile import compile_cell
from tests.service.process import Service, edit

SPEED = 10.0
WATCHDOG_S = 0.5
NOT_HELD = ("heartbeat",)
Observed = dict[str, Any]
StartBoard = Callable[..., tuple[str, Observer]]
StartService = Callable[..., Service]


def expected(cell_dir: Path, which: str) -> dict[str, int]:
    """The value that every output but the heartbeat has in the cell file, for `which` = safe or on_abort."""
    spec = compile_cell(cell_dir, "sim").spec
    return {entry["name"]: entry[which] for entry in spec["outputs"] if entry["name"] not in NOT_HELD}


def without_heartbeat(seen: Observed) -> dict[str, int]:
    return {name: value for name, value in seen["outputs"].items() if name not in NOT_HELD}


def at_work(start_board: StartBoard, start_service: StartService) -> tuple[Service, Observer]:
    """A service on a board of its own, in the middle of spraying: fan, green valve and lamps are on."""
    address, observer = start_board(speed=SPEED)
    service = start_service(speed=SPEED, board=f"remote:{address}")
    service.order("bonnet", colour="green")
    observer.wait_for(lambda seen: seen["outputs"]["valve_green"] == 1, "the valve opened", 20.0)
    return service, observer


def shut_after_ms(observer: Observer, since: int) -> int:
    """Board time of the last change of the green valve after change `since`: when it shut."""
    changes = [change for change in observer.timeline(since) if change["name"] == "valve_green"]
    assert changes, f"the valve did not change; time line {observer.timeline(since)}"
    assert changes[-1]["value"] == 0
    return int(changes[-1]["ms"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_told_to_end_stops_and_leaves_the_abort_values(
    number: int, cell_dir: Path, board_server: StartBoard, start_service: StartService
) -> None:
    service, observer = at_work(board_server, start_service)
    since = observer.timeline()[-1]["number"]
    told = observer.observe()["tick_ms"]
    assert service.terminate(number) == 0
    seen = observer.observe()
    assert without_heartbeat(seen) == expected(cell_dir, "on_abort")
    assert shut_after_ms(observer, since) - told < 0.5 * 1000 * SPEED
    assert seen["damage"] == []


def test_a_killed_service_drives_nothing_that_the_watchdog_relay_feeds(
    cell_dir: Path, board_server: StartBoard, start_service: StartService
) -> None:
    service, observer = at_work(board_server, start_service)
    since = observer.timeline()[-1]["number"]
    told = observer.observe()["tick_ms"]
    service.kill()
    seen = observer.wait_for(lambda seen: seen["relay"] == "dropped", "the relay dropped", 5.0)
    safe = expected(cell_dir, "safe")
    lamps = {name for name in safe if name.startswith("light_")}  # not wired through the relay: they may stay
    left_on = {
        name: value
        for name, value in without_heartbeat(seen).items()
        if value != safe[name] and name not in lamps
    }
    assert left_on == {}
    dropped = [change for change in observer.timeline(since) if change["name"] == "relay"]
    assert [change["value"] for change in dropped] == [0]
    assert dropped[0]["ms"] - told < (WATCHDOG_S + 0.5) * 1000 * SPEED
    assert shut_after_ms(observer, since) <= dropped[0]["ms"]
    assert seen["damage"] == []


def test_a_start_after_a_kill_moves_nothing_until_it_is_told_to(
    cell_dir: Path, board_server: StartBoard, start_service: StartService
) -> None:
    service, observer = at_work(board_server, start_service)
    service.kill()
    observer.wait_for(lambda seen: seen["relay"] == "dropped", "the relay dropped", 5.0)
    since = observer.timeline()[-1]["number"]
    service.auto = False
    service.start()
    observer.wait_for(lambda seen: seen["relay"] == "closed", "the heartbeat came back", 5.0)
    service.run_until(lambda: service.view["state_s"] >= 3, "three seconds of the board's clock in Aborted")
    assert service.state == "Aborted"
    assert service.question.startswith("item 0001 interrupted in spray")
    safe = expected(cell_dir, "on_abort")
    moved = [
        change
        for change in observer.timeline(since)
        if change["name"] in safe
        and not change["name"].startswith(("light_", "horn"))
        and change["value"] != safe[change["name"]]
    ]
    assert moved == []


def test_a_phase_that_never_yields_is_ended_with_the_abort_values(
    cell_dir: Path, board_server: StartBoard, start_service: StartService
) -> None:
    edit(
        cell_dir / "equipment.py",
        "        cell.valve(colour).off()\n",
        "        while cell.part_present.is_on:\n            pass\n",  # it is, for ever: no scan reads it again
    )
    service, observer = at_work(board_server, start_service)
    opened = observer.timeline()[-1]
    assert service.running.wait_end(10.0) == CODE_SAFE
    assert without_heartbeat(observer.observe()) == expected(cell_dir, "on_abort")
    assert shut_after_ms(observer, opened["number"]) - opened["ms"] < 8 * 1000 * SPEED
    assert "a phase does not yield" in service.log
    assert "equipment.py" in service.log, "the trace back names the place"
    service.disconnect()
    service.start()
    assert service.alarms[0].startswith("the controller was not stopped cleanly")


def test_a_control_thread_that_dies_leaves_the_abort_values(
    cell_dir: Path, board_server: StartBoard, start_service: StartService
) -> None:
    # A defect of the controller itself, put in where every scan passes.
    (cell_dir / "equipment.py").write_text(
        (cell_dir / "equipment.py").read_text()
        + "\n\nfrom cell_controller.core import lamps\n\n\n"
        + "def broken(self, now, shown=lamps.Lamps.show):\n"
        + "    if self._outputs.get(5):\n        raise RuntimeError('a defect')\n    shown(self, now)\n\n\n"
        + "lamps.Lamps.show = broken\n"
    )
    address, observer = board_server(speed=SPEED)
    service = start_service(speed=SPEED, board=f"remote:{address}")
    service.order("bonnet", colour="primer")
    code = service.running.wait_end()
    assert code not in (0, CODE_SAFE)
    assert "RuntimeError: a defect" in service.log
    assert without_heartbeat(observer.observe()) == expected(cell_dir, "on_abort")
    assert observer.observe()["damage"] == []


def test_at_the_start_of_the_process_every_output_has_its_abort_value(
    cell_dir: Path, board_server: StartBoard, start_service: StartService
) -> None:
    address, observer = board_server(speed=SPEED)
    service = start_service(speed=SPEED, board=f"remote:{address}", auto=False)
    seen = observer.wait_for(lambda seen: seen["relay"] == "closed", "the first heartbeat")
    safe = expected(cell_dir, "on_abort")
    lamps = ("light_", "horn")
    on = {n: v for n, v in without_heartbeat(seen).items() if v != safe[n] and not n.startswith(lamps)}
    assert on == {}
    assert service.state == "Aborted"
