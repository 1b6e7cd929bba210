"""The routine of Resetting moves the machine to its start position: it has its outputs, also after a loss."""

from pathlib import Path

from board.contract import DevicePlan, Point
from cell_controller.core import packml as pm
from tests.board import desk_device
from tests.board.survival.live_cell import LiveCell

PLAN = DevicePlan(
    "io",
    "desk",
    {},
    (Point("link", 0, 0, "digital", False, "in0"), Point("home", 0, 0, "digital", True, "out0")),
)
EQUIPMENT = """
from cell_controller import state, until


@state("Resetting")
def go_home(cell):
    cell.home.on()
    yield until(cell.at_home, within_s=1, fault="did not get home")
    cell.home.off()
"""


def test_the_routine_of_resetting_has_the_outputs_of_a_device_that_was_lost(tmp_path: Path) -> None:
    (tmp_path / "equipment.py").write_text(EQUIPMENT)
    at_home = Point("at_home", 1, 1, "digital", False, "in1")
    cell = LiveCell(
        tmp_path,
        [DevicePlan("io", "desk", {}, (*PLAN.points, at_home))],
        {"desk": "tests.board.desk_device"},
    )
    device = desk_device.made["io"]

    def turn() -> bool:
        """The device answers; its switch follows its output."""
        device.now += 10
        device.say(1, *device.driven)
        return cell.state == pm.IDLE

    cell.until(lambda: turn() or not cell.controller.alarms.standing(), "alarms stand")
    for command in ("clear", "reset"):
        assert cell.command(command)["ok"]
        cell.until(lambda: turn() or cell.state == pm.STOPPED, f"after {command}")
    cell.until(turn, "Resetting does not end: its routine has no outputs")
    cell.close()
