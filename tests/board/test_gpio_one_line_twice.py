"""One GPIO line under two signals: inputs that share it each read it, two outputs on it are refused."""

from pathlib import Path

import pytest

from board.contract import DevicePlan, Point
from board.gpio_lines import GpioLines
from cell_controller.errors import BoardError
from tests.board.fake_gpiod import FakeKernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return FakeKernel(tmp_path, monkeypatch)


def point(name: str, at: str, is_output: bool = False, **settings: object) -> Point:
    return Point(name, 0, 0, "digital", is_output, at, settings=settings)


def opened(*points: Point) -> GpioLines:
    device = GpioLines(DevicePlan("gpio", "gpio", {}, points))
    device.open()
    return device


@pytest.mark.parametrize("again", ["GPIO5", "GPIO05", "line:GPIO5"])
def test_inputs_that_share_a_line_read_it_and_the_others_read_theirs(kernel: FakeKernel, again: str) -> None:
    pi = kernel.pi()
    pi["GPIO5"].level, pi["GPIO6"].level, pi["GPIO7"].level = 1, 0, 1
    device = opened(point("a", "GPIO5"), point("b", again), point("c", "GPIO6"), point("d", "GPIO7"))
    assert [count for count, _ in device.latest] == [1, 1, 0, 1]
    assert all(at >= 0 for _, at in device.latest)
    device.close()


def test_two_outputs_on_one_line_are_refused(kernel: FakeKernel) -> None:
    pi = kernel.pi()
    with pytest.raises(BoardError, match=r"'heater'.*'clamp'.*same line"):
        opened(point("clamp", "GPIO17", True), point("heater", "line:GPIO17", True))
    assert pi["GPIO17"].consumer == ""


def test_inputs_that_want_one_line_set_up_differently_are_refused(kernel: FakeKernel) -> None:
    kernel.pi()
    with pytest.raises(BoardError, match="same pull"):
        opened(point("a", "GPIO5", pull="up"), point("b", "GPIO5", pull="down"))
