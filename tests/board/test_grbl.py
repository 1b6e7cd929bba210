"""A router with GRBL as a device of a board: real bytes over a pty, and what the cell sees of trouble."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from board.device_link import RUNNING
from board.gcode_job import DONE, FAILED, HALTED, INTERRUPTED
from board.grbl import make
from cell_controller.core.signals import BAD, GOOD
from tests.board.grbl_world import moves_of
from tests.board.rigs.gcode import Bench, Driven
from tests.board.rigs.grbl import Rig


class Cell(Driven):
    """The router, its driver, its job files."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder)
        self.bench = Bench(folder)
        self.rig.start()
        super().__init__(make(self.rig.plans, self.bench)[0])
        self.device.open()

    def ready(self) -> "Cell":
        """The cell was Reset, and the router homed."""
        self.until("link", lambda: self.quality("link") == GOOD)
        self.rearm()
        self.set(enable=1, home=1)
        self.until("ready", lambda: self.get("ready") == 1)
        self.set(home=0)
        return self

    def mill(self, count: int = 300) -> tuple[int, list[str]]:
        """Start a job of so many moves; its key and the moves."""
        moves = moves_of(count)
        key = self.bench.job("part.nc", "(a part)\n" + "\n".join(moves) + "\nM5\nM30\n")
        self.set(job=key)
        self.until("moves", lambda: len(self.rig.device.carried_out) > 10)
        return key, moves

    def stop(self) -> None:
        self.device.close()
        self.rig.stop()


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    """A router that is ready."""
    found = Cell(tmp_path)
    try:
        yield found.ready()
    finally:
        found.stop()


def test_a_job_is_milled_and_its_key_proves_it(cell: Cell) -> None:
    key, moves = cell.mill()
    cell.until("done", lambda: cell.get("done_job") == key)
    assert cell.rig.device.carried_out == moves
    assert (cell.get("state"), cell.get("progress"), cell.get("unreset")) == (DONE, 1000, 1)


def test_unplugged_it_goes_on_after_a_reset_of_the_cell_with_the_very_next_move(cell: Cell) -> None:
    key, moves = cell.mill()
    cell.rig.unplug()
    cell.until("bad", lambda: cell.quality("link") == BAD)
    cell.rig.plug()
    cell.until("interrupted", lambda: cell.quality("link") == GOOD and cell.get("state") == INTERRUPTED)
    assert (cell.get("unreset"), cell.device.link.status().waits_for_reset) == (1, True)
    count = len(cell.rig.device.carried_out)
    cell.set(job=0, resume=1)
    cell.rearm()
    cell.set(job=key)
    cell.until("done", lambda: cell.get("done_job") == key)
    assert count < len(moves)
    assert cell.rig.device.carried_out == moves


def test_switched_off_and_on_the_job_is_failed(cell: Cell) -> None:
    cell.mill()
    cell.rig.power_cycle()
    cell.until("lost", lambda: cell.device.link.status().losses == 1)
    cell.until("failed", lambda: cell.quality("link") == GOOD and cell.get("state") == FAILED)
    assert (cell.get("unreset"), cell.get("done_job")) == (0, 0)


def test_enable_going_off_stops_at_once_and_it_stays_locked(cell: Cell) -> None:
    cell.mill()
    cell.set(enable=0)
    cell.until("locked", lambda: cell.rig.device.state == "Alarm", 0.5)
    cell.until("halted", lambda: cell.get("state") == HALTED)
    count = len(cell.rig.device.carried_out)
    cell.set(job=0, enable=1)
    cell.until("unlocked", lambda: cell.rig.device.state == "Idle")
    assert len(cell.rig.device.carried_out) == count
    assert cell.device.link.status().state == RUNNING


@pytest.mark.soak  # the survival suite does as much with every device
@pytest.mark.parametrize("trouble", ["nonsense", "for_another", "flood", "late"])
def test_trouble_makes_inputs_bad_in_the_stated_time_and_ends_by_itself(cell: Cell, trouble: str) -> None:
    getattr(cell.rig, trouble)(True)
    began = time.monotonic()
    cell.until("bad", lambda: cell.quality("link") == BAD, 5)
    assert time.monotonic() - began < cell.rig.bad_within_s
    getattr(cell.rig, trouble)(False)
    cell.until("good", lambda: cell.quality("link") == GOOD, 8)
