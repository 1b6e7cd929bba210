"""What outputs do when a board is told to make them safe, and when a device is lost in the scan of a Reset."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from board.contract import DevicePlan, Point
from board.device_link import DeviceLink
from board.linux_board import LinuxBoard
from cell_controller.core.signals import OutputImage
from tests.board import desk_device

DRIVERS = {"desk": "tests.board.desk_device"}


def output(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "digital", "raw": [], "safe": 0, "on_abort": 0}


SPEC: dict[str, Any] = {"inputs": [], "outputs": [output("far"), output("near")]}
PLANS = [
    DevicePlan("far", "desk", {}, (Point("far", 0, 0, "digital", True, "out0"),)),
    DevicePlan("near", "desk", {}, (Point("near", 1, 1, "digital", True, "out0"),)),
]


def working() -> LinuxBoard:
    """A board whose two outputs are on."""
    board = LinuxBoard("desk", PLANS, Path(), drivers=DRIVERS)
    board.open(SPEC, {})
    board.rearm()
    board.write(both_on())
    return board


def both_on() -> OutputImage:
    image = OutputImage(SPEC)
    image.words[0] = 0b11
    return image


def test_a_device_that_is_away_does_not_delay_what_makes_the_others_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = working()
    far, near = desk_device.made["far"], desk_device.made["near"]
    seen: list[list[int]] = []

    def wait_for_the_line(counts: Sequence[int]) -> None:
        far.link.want(counts)
        seen.append(near.driven)  # here a device that is away waits a second

    monkeypatch.setattr(far, "make_safe", wait_for_the_line)
    board.make_safe([0, 0])
    board.close()
    assert seen == [[0]]


def test_a_scan_that_comes_to_its_end_after_all_does_not_undo_what_made_outputs_safe() -> None:
    board = working()
    supervisor = threading.Thread(target=board.make_safe, args=([0, 0],))
    supervisor.start()
    supervisor.join()
    board.write(both_on())
    driven = [desk_device.made[name].driven for name in ("far", "near")]
    board.close()
    assert driven == [[0], [0]]


def test_a_write_that_hangs_does_not_keep_the_others_from_being_made_safe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = working()
    inside, go_on = threading.Event(), threading.Event()

    def hang(counts: Sequence[int]) -> None:
        if threading.current_thread() is scan:
            inside.set()
            go_on.wait(5.0)

    monkeypatch.setattr(desk_device.made["far"], "drive", hang)
    scan = threading.Thread(target=board.write, args=(both_on(),))
    scan.start()
    assert inside.wait(5.0)
    board.make_safe([0, 0])
    assert desk_device.made["near"].driven == [0]
    go_on.set()
    scan.join()
    board.close()


def test_a_reset_in_the_scan_that_has_not_noticed_a_loss_yet_gives_nothing_back() -> None:
    link = DeviceLink("io", "hold_last", [0])
    link.opened()
    link.answered()
    link.begin_scan()
    link.rearm()
    link.want([1])
    assert link.wanted()[1] == [1]
    link.begin_scan()  # the scan reads,
    link.lost("power was off")  # the device's thread sees the loss and the return,
    link.answered()
    link.rearm()  # and the cell, which knows of neither, is in Resetting
    assert link.wanted()[1] == [0]
    link.begin_scan()
    link.rearm()
    assert link.wanted()[1] == [1]


def test_a_driver_that_fails_by_a_mistake_leaves_no_other_device_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = LinuxBoard("desk", PLANS, Path(), drivers=DRIVERS)
    opened = desk_device.DeskDevice.open

    def fail(self: desk_device.DeskDevice) -> None:
        if self.name == "near":
            raise ValueError("nobody thought of this")
        opened(self)

    monkeypatch.setattr(desk_device.DeskDevice, "open", fail)
    with pytest.raises(ValueError, match="nobody"):
        board.open(SPEC, {})
    assert desk_device.made["far"].closed == 1
