"""The board of a Linux machine: images to devices and back, and what the loss of one device does to the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from board.contract import DevicePlan, Point
from board.device_link import FAULTED, RUNNING
from board.linux_board import LinuxBoard
from cell_controller.core.signals import BAD, GOOD, KEEP, STALE, InputImage, OutputImage
from cell_controller.errors import BoardError, FaultNameError
from tests.board import desk_device

DRIVERS = {"desk": "tests.board.desk_device", "broken": "tests.board.no_such_driver"}
SPAN = [0, 1000, 0, 100]


def signal(name: str, kind: str = "digital", **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "raw": [], "safe": 0, "on_abort": 0, **more}


SPEC: dict[str, Any] = {
    "inputs": [signal("door"), signal("shut"), signal("temp", "analog", raw=SPAN)],
    "outputs": [signal("valve"), signal("fan", "analog", raw=SPAN), signal("lamp")],
}

HERE = DevicePlan(
    "here",
    "desk",
    {},
    (
        Point("door", 0, 0, "digital", False, "in0", active_low=True),
        Point("valve", 0, 0, "digital", True, "out0", active_low=True, safe=1, abort=1),
    ),
)
THERE = DevicePlan(
    "there",
    "desk",
    {},
    (
        Point("shut", 1, 1, "digital", False, "in0"),
        Point("temp", 2, 0, "analog", False, "in1", low=0, high=1000),
        Point("fan", 1, 0, "analog", True, "out0", low=0, high=1000, abort=100),
        Point("lamp", 2, 1, "digital", True, "out1"),
    ),
)


class Desk:
    """The board with its two devices, and a scan."""

    def __init__(self, **more: Any) -> None:
        self.board = LinuxBoard("desk", [HERE, THERE], Path(), drivers=DRIVERS, **more)
        self.board.open(SPEC, {})
        self.here = desk_device.made["here"]
        self.there = desk_device.made["there"]
        self.inputs = InputImage(SPEC)
        self.outputs = OutputImage(SPEC)

    def scan(self, word: int = 0, fan: int = 0) -> list[int]:
        """One scan with these outputs; the qualities that it found."""
        self.board.read(self.inputs)
        self.outputs.words[0] = word
        self.outputs.analog[0] = fan
        self.board.write(self.outputs)
        return list(self.inputs.quality)

    def start(self) -> None:
        """The cell went through Resetting."""
        self.scan()
        self.board.rearm()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.board.close()


def test_inputs_of_all_devices_come_into_one_image_and_active_low_is_inverted(desk: Desk) -> None:
    desk.here.say(0)
    desk.there.say(1, 650)
    assert desk.scan() == [GOOD, GOOD, GOOD]
    assert desk.inputs.words == [0b11]
    assert desk.inputs.analog == [650]
    desk.here.say(1)
    desk.scan()
    assert desk.inputs.words == [0b10]


def test_outputs_go_to_their_devices_in_counts_at_the_terminal(desk: Desk) -> None:
    desk.start()
    desk.scan(0b11, 700)
    assert desk.here.driven == [0], "active low: on is low"
    assert desk.there.driven == [700, 1]
    desk.scan(0, 0)
    assert desk.here.driven == [1]


def test_before_the_first_reset_outputs_have_their_abort_values(desk: Desk) -> None:
    desk.scan(0b11, 700)
    assert desk.here.driven == [1]
    assert desk.there.driven == [100, 0]


def test_a_value_ages_to_stale_and_to_bad_and_keeps_its_count(desk: Desk) -> None:
    desk.there.say(1, 650)
    desk.there.now += 200
    assert desk.scan() == [GOOD, STALE, STALE]
    desk.there.now += 800
    assert desk.scan() == [GOOD, BAD, BAD]
    assert desk.inputs.analog == [650]
    assert [status.state for status in desk.board.devices()] == [RUNNING, FAULTED]
    assert "has not answered for 1000 ms" in desk.board.devices()[1].fault


def test_a_loss_however_short_is_bad_for_a_scan_and_leaves_that_device_at_its_abort_values(
    desk: Desk,
) -> None:
    desk.start()
    desk.scan(0b11, 700)
    desk.there.link.lost("unplugged")
    desk.there.say(1, 650)
    assert desk.scan(0b11, 700) == [GOOD, BAD, BAD]
    assert desk.scan(0b11, 700) == [GOOD, GOOD, GOOD]
    assert desk.there.driven == [100, 0]
    assert desk.here.driven == [0], "the other device goes on"
    lost = desk.board.devices()[1]
    assert (lost.losses, lost.fault, lost.waits_for_reset) == (1, "unplugged", True)
    desk.board.rearm()
    assert desk.there.driven == [700, 1]
    assert desk.board.devices()[1].fault == ""


def test_a_reset_while_a_device_is_away_does_not_let_its_outputs_come_back_by_themselves(desk: Desk) -> None:
    desk.start()
    desk.there.link.lost("unplugged")
    desk.board.rearm()
    desk.there.say(1, 650)
    desk.scan(0b11, 700)
    assert desk.there.driven == [100, 0]


def test_the_first_fault_is_kept(desk: Desk) -> None:
    desk.there.link.failed("nonsense")
    desk.there.link.lost("gone")
    assert desk.board.devices()[1].fault == "nonsense"


def test_make_safe_drives_values_in_steps_and_keeps_what_shall_be_kept(desk: Desk) -> None:
    desk.start()
    desk.scan(0b11, 700)
    desk.board.make_safe([0, KEEP, 0])
    assert desk.here.driven == [1]
    assert desk.there.driven == [700, 0]
    desk.board.make_safe([KEEP, 20, 1])
    assert desk.here.driven == [1]
    assert desk.there.driven == [200, 1]


def test_closing_closes_every_device_once(desk: Desk) -> None:
    desk.board.close()
    desk.board.close()
    assert (desk.here.closed, desk.there.closed) == (1, 1)


def test_a_device_whose_library_is_missing_is_named_with_the_remedy_and_the_rest_is_closed() -> None:
    board = LinuxBoard("desk", [HERE, DevicePlan("io", "broken", {}, THERE.points)], Path(), drivers=DRIVERS)
    with pytest.raises(BoardError, match=r"'broken' need the package .*pip install"):
        board.open(SPEC, {})


def test_faults_of_lines_are_there_only_where_they_were_allowed(desk: Desk) -> None:
    desk.board.line("io", "tcp://127.0.0.1:9")
    assert desk.board.faults() == []
    with pytest.raises(FaultNameError, match="known: none"):
        desk.board.fault("io.drop", True)
    allowed = Desk(line_faults=True)
    allowed.board.line("io", "tcp://127.0.0.1:9")
    assert "io.unplug" in allowed.board.faults()
    allowed.board.close()


def test_the_clock_starts_at_zero_and_is_slept_to(desk: Desk) -> None:
    before = desk.board.tick()
    assert before < 1000
    desk.board.sleep_until(before + 20)
    assert before + 20 <= desk.board.tick() < before + 500


def test_it_offers_random_bytes_folders_and_an_identity(desk: Desk) -> None:
    assert len(desk.board.random(8)) == 8
    assert desk.board.random(8) != desk.board.random(8)
    assert desk.board.folder("jobs") == Path("jobs")
    assert desk.board.identity()["model"]
