"""A GPIO chip on USB that goes between being found and being asked: no scan ends by that, no start by a traceback."""

import errno
from pathlib import Path

import pytest

from board.contract import DevicePlan, Point
from board.gpio_lines import AGAIN_MS, GpioLines
from cell_controller.errors import BoardError
from tests.board.fake_gpiod import FakeKernel, FakeOpenChip, failed


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return FakeKernel(tmp_path, monkeypatch)


def device() -> GpioLines:
    points = (
        Point("a", 0, 0, "digital", False, "gpiochip1:0"),
        Point("b", 0, 0, "digital", True, "gpiochip1:1"),
    )
    return GpioLines(DevicePlan("gpiochip1", "gpio", {}, points))


def gone(self: FakeOpenChip) -> None:
    raise failed(errno.ENODEV)


def test_a_chip_that_leaves_while_it_is_opened_again_is_tried_again(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = kernel.chip("gpiochip1", "ftdi-cbus", ["x", "y"])
    pins = device()
    now = [5_000]
    pins.link.clock = lambda: now[0]
    pins.open()
    chip.unplug()
    pins.refresh()
    chip.plug()
    with monkeypatch.context() as moment:
        moment.setattr(FakeOpenChip, "get_info", gone)
        now[0] += AGAIN_MS
        pins.refresh()
    now[0] += AGAIN_MS
    pins.refresh()
    assert pins.link.status().state == "running"
    pins.close()


def test_one_that_leaves_while_the_board_opens_is_said_as_a_board_error(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.chip("gpiochip1", "ftdi-cbus", ["x", "y"])
    monkeypatch.setattr(FakeOpenChip, "get_info", gone)
    with pytest.raises(BoardError, match="gpiodetect"):
        device().open()
