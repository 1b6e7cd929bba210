"""After a controller that was killed: a process of its own drives the outputs, as far as they can be reached."""

from dataclasses import replace
from pathlib import Path

import pytest

from board.make_safe import main, make_safe
from host_tools.cellfile import CompiledCell, compile_cell
from tests.board import desk_device
from tests.board.fake_gpiod import FakeKernel

CELL = """
[cell]
name = "oven-1"
[inputs.door]
[outputs.heater]
safe = "off"
[outputs.fan]
safe = "off"
on_abort = "on"
[outputs.lamp]
safe = "on"
on_abort = "keep"
"""

WIRING = """
[board]
target = "linux"
watchdog = "/dev/watchdog"
[door]
channel = "GPIO4"
[heater]
channel = "GPIO17"
active_low = true
[fan]
channel = "GPIO22"
[lamp]
channel = "GPIO27"
"""


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    (tmp_path / "dev").mkdir()
    made = FakeKernel(tmp_path / "dev", monkeypatch)
    made.pi()
    made.chip("gpiochip1", "ftdi-cbus", ["fan"])
    return made


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "cell" / "wiring").mkdir(parents=True)
    (tmp_path / "cell" / "cell.toml").write_text(CELL)
    (tmp_path / "cell" / "wiring" / "pi.toml").write_text(WIRING)
    return tmp_path / "cell"


@pytest.fixture
def split(directory: Path) -> CompiledCell:
    """The cell, its fan on a chip of its own that can be unplugged."""
    cell = compile_cell(directory, "pi")
    (plan,) = cell.plans
    fan = tuple(replace(point, at="gpiochip1:0") for point in plan.points if point.signal == "fan")
    rest = tuple(point for point in plan.points if point.signal != "fan")
    return replace(cell, plans=[replace(plan, points=rest), replace(plan, name="gpiochip1", points=fan)])


def test_outputs_go_to_their_abort_values_and_the_lines_are_given_back(
    kernel: FakeKernel, directory: Path
) -> None:
    pi, _ = kernel.chips.values()
    pi["GPIO17"].level, pi["GPIO27"].level = 0, 0  # as a killed controller left them: the heater is on
    words = [str(directory), "--board", "pi", "--broker", "10.0.0.2:1883", "--no-auto"]
    assert main(words) == 0
    assert [pi["GPIO17"].level, pi["GPIO22"].level] == [1, 1]
    assert pi["GPIO27"].level == 1, "an output that an abort keeps is safe: nobody knows what it was"
    assert pi["GPIO17"].consumer == ""


def test_a_device_that_is_away_is_named_and_the_others_are_made_safe(
    kernel: FakeKernel, split: CompiledCell
) -> None:
    pi, usb = kernel.chips.values()
    assert make_safe(split) == []
    assert usb["fan"].level == 1
    usb.unplug()
    pi["GPIO17"].level = 0
    (trouble,) = make_safe(split)
    assert pi["GPIO17"].level == 1
    assert "gpiochip1:0" in trouble


def test_a_device_that_does_not_answer_is_named(split: CompiledCell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_device.DeskDevice, "open", lambda self: self.link.opened())
    monkeypatch.setattr("board.linux_board.FIRST_READING_S", 0.02)
    assert make_safe(split, {"gpio": "tests.board.desk_device"}) == [
        "gpio does not answer, so nobody knows what its outputs do",
        "gpiochip1 does not answer, so nobody knows what its outputs do",
    ]


def test_troubles_are_said_and_make_the_exit_code_1(
    kernel: FakeKernel, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pi, _ = kernel.chips.values()
    pi["GPIO17"].consumer = "somebody"
    assert main([str(directory), "--board", "pi"]) == 1
    assert "GPIO17 ('somebody') is in use" in capsys.readouterr().err


def test_a_cell_that_does_not_compile_is_said(
    kernel: FakeKernel, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "wiring" / "pi.toml").unlink()
    assert main([str(directory), "--board", "pi"]) == 1
    assert "wiring/pi.toml" in capsys.readouterr().err


@pytest.mark.parametrize("board", ["sim", "remote:127.0.0.1:4000"])
def test_nothing_is_to_be_done_for_a_simulated_board(directory: Path, board: str) -> None:
    assert main([str(directory), "--board", board]) == 0
    assert main([str(directory)]) == 0


def test_after_an_orderly_end_the_outputs_are_left_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--board", "rpi"]) == 1, "there is no such cell"
    capsys.readouterr()
    monkeypatch.setenv("SERVICE_RESULT", "success")
    assert main([str(tmp_path), "--board", "rpi"]) == 0
    assert capsys.readouterr().err == ""
