"""A printer with Marlin as a device of a board: real bytes over a pty, and what the cell sees of trouble."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.device_link import FAULTED, RUNNING
from board.gcode_job import CANCELLED, DONE, FAILED, INTERRUPTED, PAUSED
from board.gcode_job import RUNNING as JOB_RUNS
from board.marlin import make
from cell_controller.core.signals import BAD, GOOD, InputImage, OutputImage
from tests.board.gcode_controller import HEAT, board_of
from tests.board.marlin_world import moves_of
from tests.board.rigs.gcode import Bench, Driven
from tests.board.rigs.marlin import Rig

ROOT = Path(__file__).resolve().parents[2]
HEAD = "; sliced\nM104 S200\nM109 S200\n"


class Cell(Driven):
    """The printer, its driver, its job files."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder)
        self.bench = Bench(folder)
        self.rig.start()
        super().__init__(make(self.rig.plans, self.bench)[0])
        self.device.open()

    @property
    def printer(self) -> object:
        return self.rig.device

    def ready(self) -> "Cell":
        """The cell was Reset: the printer answers, outputs follow."""
        self.until("link", lambda: self.quality("link") == GOOD)
        self.rearm()
        self.set(enable=1)
        return self

    def print_moves(self, count: int = 200) -> tuple[int, list[str]]:
        """Start a job of so many moves; its key and the moves."""
        moves = moves_of(count)
        key = self.bench.job("part.gcode", HEAD + "\n".join(moves) + "\nM104 S0\n")
        self.set(job=key)
        self.until("moves", lambda: len(self.rig.device.carried_out) > 10)
        return key, moves

    def stop(self) -> None:
        self.device.close()
        self.rig.stop()


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    """A printer that answers, in a cell that was Reset."""
    found = Cell(tmp_path)
    yield found.ready()
    found.stop()


def test_a_job_is_printed_and_its_key_proves_it(cell: Cell) -> None:
    key, moves = cell.print_moves()
    assert cell.get("state") == JOB_RUNS
    assert (cell.get("last_job"), cell.get("done_job")) == (key, 0)
    assert 0 < cell.get("progress") < 1000
    cell.until("done", lambda: cell.get("done_job") == key)
    assert cell.rig.device.carried_out == moves
    assert (cell.get("state"), cell.get("progress"), cell.get("unreset")) == (DONE, 1000, 1)
    cell.set(job=0)
    cell.until("no longer done", lambda: cell.get("done_job") == 0)


def test_heaters_follow_outputs(cell: Cell) -> None:
    cell.set(nozzle_set=1805, bed_set=600)
    cell.until("set", lambda: cell.rig.outputs() == {"nozzle_set": 1805, "bed_set": 600})
    cell.until("hot", lambda: cell.get("nozzle") > 1790)


def test_home_and_ready(cell: Cell) -> None:
    assert (cell.get("ready"), cell.get("state")) == (0, 1)
    cell.set(home=1)
    cell.until("ready", lambda: cell.get("ready") == 1)
    assert cell.get("state") == 2
    cell.until("position", lambda: cell.quality("x") == GOOD)


def test_a_missing_file_fails_with_its_key_and_folder(cell: Cell) -> None:
    cell.set(job=0x1234567)
    cell.until("failed", lambda: cell.get("state") == FAILED)
    assert "no file in jobs/ has a sha256 that begins with 1234567" in cell.device.link.status().fault


def test_a_refused_line_fails_before_anything_moves(cell: Cell) -> None:
    cell.set(job=cell.bench.job("bad.gcode", "G1 X1\nM112\n"))
    cell.until("failed", lambda: cell.get("state") == FAILED)
    assert "bad.gcode, line 2 'M112': is the emergency stop" in cell.device.link.status().fault
    assert cell.rig.device.carried_out == []


def test_pause_and_cancel(cell: Cell) -> None:
    cell.print_moves(2000)
    cell.set(pause=1)
    cell.until("paused", lambda: cell.get("state") == PAUSED)
    cell.set(pause=0)
    cell.until("running", lambda: cell.get("state") == JOB_RUNS)
    cell.set(job=0)
    cell.until("cancelled", lambda: cell.get("state") == CANCELLED)
    assert cell.rig.outputs()["nozzle_set"] == 0
    assert cell.get("done_job") == 0


def test_a_key_that_is_given_again_while_its_job_is_being_cancelled_begins_it_anew(cell: Cell) -> None:
    key, _ = cell.print_moves()
    cell.rig.device.speed = 5.0
    cell.set(job=0)
    cell.until("cancelling", lambda: cell.rig.outputs()["nozzle_set"] == 0)
    assert cell.get("state") == JOB_RUNS  # the moves that the printer has
    cell.set(job=key)
    cell.until("begun again", lambda: cell.rig.outputs()["nozzle_set"] == 2000)


def test_unplugged_it_goes_on_after_a_reset_of_the_cell_with_the_very_next_move(cell: Cell) -> None:
    key, moves = cell.print_moves()
    cell.rig.unplug()
    cell.until("bad", lambda: cell.quality("link") == BAD)
    cell.rig.plug()
    cell.until("interrupted", lambda: cell.quality("link") == GOOD and cell.get("state") == INTERRUPTED)
    assert (cell.get("unreset"), cell.device.link.status().waits_for_reset) == (1, True)
    cell.until("heat off", lambda: cell.rig.outputs()["nozzle_set"] == 0)
    count = len(cell.rig.device.carried_out)
    cell.set(job=0, resume=1)
    cell.rearm()
    cell.set(job=key)
    cell.until("done", lambda: cell.get("done_job") == key)
    assert count < len(moves)
    assert cell.rig.device.carried_out == moves


def test_switched_off_and_on_the_job_is_failed(cell: Cell) -> None:
    key, _ = cell.print_moves()
    cell.rig.power_cycle()
    cell.until("lost", lambda: cell.device.link.status().losses == 1)
    cell.until("failed", lambda: cell.quality("link") == GOOD and cell.get("state") == FAILED)
    assert (cell.get("unreset"), cell.get("done_job")) == (0, 0)
    cell.rearm()
    cell.set(job=0)
    cell.set(job=key, resume=1)
    cell.until(
        "refused",
        lambda: (
            "reset or switched off" in cell.device.link.status().fault
            or "cannot go on" in cell.device.link.status().fault
        ),
    )
    assert cell.get("done_job") == 0


def test_enable_going_off_is_the_emergency_stop_and_only_a_reset_helps(cell: Cell) -> None:
    cell.print_moves()
    cell.set(enable=0)
    cell.until("killed", lambda: cell.rig.device.killed, 0.5)
    cell.until("bad", lambda: cell.quality("link") == BAD)
    cell.set(job=0, enable=1)
    assert cell.device.link.status().state == FAULTED
    cell.rig.power_cycle()
    cell.until("back", lambda: cell.device.link.status().state == RUNNING)
    assert cell.device.link.status().waits_for_reset
    cell.rearm()
    cell.set(nozzle_set=500)
    cell.until("follows", lambda: cell.rig.outputs()["nozzle_set"] == 500)


@pytest.mark.soak  # the survival suite does as much with every device
@pytest.mark.parametrize("trouble", ["nonsense", "for_another", "flood", "late"])
def test_trouble_makes_inputs_bad_in_the_stated_time_and_ends_by_itself(cell: Cell, trouble: str) -> None:
    getattr(cell.rig, trouble)(True)
    began = time.monotonic()
    cell.until("bad", lambda: cell.quality("link") == BAD, 5)
    assert time.monotonic() - began < cell.rig.bad_within_s
    getattr(cell.rig, trouble)(False)
    cell.until("good", lambda: cell.quality("link") == GOOD, 8)


def test_make_safe_returns_when_it_is_done(cell: Cell) -> None:
    cell.set(nozzle_set=500)
    cell.until("hot", lambda: cell.rig.outputs()["nozzle_set"] == 500)
    began = time.monotonic()
    cell.device.make_safe([0] * len(cell.device.outputs))
    assert time.monotonic() - began < 1
    cell.until("off", lambda: cell.rig.outputs()["nozzle_set"] == 0, 0.3)


def test_a_killed_controller_leaves_the_heat_and_the_next_one_turns_it_off(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.start()
    command = [sys.executable, "-m", "tests.board.gcode_controller", rig.device.address, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "heating\n"
            deadline = time.monotonic() + 5
            while rig.outputs()["nozzle_set"] != HEAT:
                assert time.monotonic() < deadline, rig.outputs()
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
    gap_until = time.monotonic() + 0.3
    while time.monotonic() < gap_until:
        assert rig.outputs()["nozzle_set"] == HEAT  # on_death = hold_last says so
        time.sleep(0.01)
    board, spec = board_of(rig.device.address, tmp_path)
    board.open(spec, {})
    inputs, outputs = InputImage(spec), OutputImage(spec)
    outputs.analog[1] = HEAT  # whatever the image says: it waits for a Reset
    deadline = time.monotonic() + 3
    while rig.outputs()["nozzle_set"] != 0:
        assert time.monotonic() < deadline, (rig.outputs(), board.devices())
        board.read(inputs)
        board.write(outputs)
        time.sleep(0.01)
    assert board.devices()[0].waits_for_reset
    board.close()
    rig.stop()
