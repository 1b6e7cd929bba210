"""Pulse counters: what is counted, what is not, and what happens when more comes than the kernel has room for."""

from pathlib import Path
from typing import Any

import pytest
from gpiod.line import Bias, Edge

from board.contract import DevicePlan, Point
from board.device_link import FAULTED, RUNNING
from board.gpio_edges import AGAIN_MS, MOST_EVENTS, ROOM, Pulses
from cell_controller.errors import BoardError
from tests.board.fake_gpiod import FakeKernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    return FakeKernel(tmp_path, monkeypatch)


class Meter:
    """A counter on GPIO4, opened, with a clock that the test moves; its kernel's time is another."""

    def __init__(self, kernel: FakeKernel, low: int = 0, high: int = 9999, **settings: Any) -> None:
        self.pi = kernel.pi()
        point = Point("energy", 0, 0, "counter", False, "GPIO4", low=low, high=high, settings=settings)
        self.device = Pulses(DevicePlan("pulse", "pulse", {"consumer": "cell paint-1"}, (point,)))
        self.now = 5_000
        self.device.link.clock = lambda: self.now
        self.ms = 0.0
        self.device.open()

    def pulse(self, count: int = 1, every_ms: float = 20.0) -> None:
        """So many pulses, each as long as its pause."""
        for _ in range(count):
            self.pi.edge("GPIO4", 1, self.ms)
            self.pi.edge("GPIO4", 0, self.ms + every_ms / 2)
            self.ms += every_ms

    def scan(self, ms: int = 10) -> int:
        """The count after a scan `ms` later."""
        self.now += ms
        self.device.refresh()
        self.device.link.begin_scan()
        return self.device.latest[0][0]

    def fault(self) -> str:
        return self.device.link.status().fault


def test_each_pulse_is_counted_once_from_nought(kernel: FakeKernel) -> None:
    meter = Meter(kernel)
    assert meter.scan() == 0
    meter.pulse(3)
    assert meter.scan() == 3
    assert meter.scan() == 3
    meter.pulse()
    assert meter.scan() == 4
    assert meter.pi["GPIO4"].consumer == "cell paint-1"


@pytest.mark.parametrize(("edge", "counted"), [("rising", 1), ("falling", 0)])
def test_the_edge_that_counts_can_be_chosen(kernel: FakeKernel, edge: str, counted: int) -> None:
    meter = Meter(kernel, edge=edge, pull="up")
    settings = meter.pi["GPIO4"].settings
    assert settings is not None
    assert Edge(settings.edge_detection) is (Edge.RISING if edge == "rising" else Edge.FALLING)
    assert Bias(settings.bias) is Bias.PULL_UP
    meter.pi.edge("GPIO4", 1, 0)
    assert meter.scan() == counted
    meter.pi.edge("GPIO4", 0, 1)
    assert meter.scan() == 1


def test_after_the_greatest_count_comes_the_least(kernel: FakeKernel) -> None:
    meter = Meter(kernel, low=1, high=5)
    assert meter.scan() == 1
    meter.pulse(4)
    assert meter.scan() == 5
    meter.pulse(1)
    assert meter.scan() == 1
    meter.pulse(12)
    assert meter.scan() == 3


def test_edges_soon_after_one_that_counted_do_not_count_by_the_kernels_time(kernel: FakeKernel) -> None:
    meter = Meter(kernel, debounce_ms=5)
    for at_ms in (0.0, 0.8, 2.1, 4.9, 5.0, 7.0, 12.0):
        meter.pi.edge("GPIO4", 1, at_ms)
    assert meter.scan() == 3  # 0, 5 and 12


def test_one_scan_takes_a_bounded_number_and_the_rest_comes_with_the_next(kernel: FakeKernel) -> None:
    meter = Meter(kernel)
    meter.pulse(MOST_EVENTS + 10)
    assert meter.scan() == MOST_EVENTS
    assert meter.scan() == MOST_EVENTS + 10
    assert meter.fault() == ""


def test_edges_that_the_kernel_dropped_are_told_and_counted(kernel: FakeKernel) -> None:
    meter = Meter(kernel)
    meter.pulse(ROOM + 76)
    for _ in range(ROOM // MOST_EVENTS):
        count = meter.scan()
    assert count == ROOM + 76
    assert "no room for 76 edges" in meter.fault()
    assert meter.device.link.status().state == RUNNING


def test_with_a_debounce_dropped_edges_are_told_but_nobody_knows_whether_they_count(
    kernel: FakeKernel,
) -> None:
    meter = Meter(kernel, debounce_ms=1)
    meter.pulse(ROOM + 76)
    for _ in range(ROOM // MOST_EVENTS):
        count = meter.scan()
    assert count == ROOM
    assert "no room for 76 edges" in meter.fault()


def test_an_unplugged_chip_is_lost_and_its_count_goes_on_when_it_is_back(kernel: FakeKernel) -> None:
    meter = Meter(kernel)
    meter.pulse(7)
    assert meter.scan() == 7
    meter.pi.unplug()
    meter.scan()
    status = meter.device.link.status()
    assert (status.state, status.fault) == (FAULTED, "pulse: No such device")
    meter.scan(AGAIN_MS)
    meter.pi.plug()
    meter.scan(AGAIN_MS)
    meter.pulse(2)
    assert meter.scan() == 9
    assert meter.device.link.status().state == RUNNING


def test_a_line_that_somebody_has_is_refused(kernel: FakeKernel) -> None:
    meter = Meter(kernel)
    with pytest.raises(BoardError, match=r"GPIO4 \('cell paint-1'\) is in use"):
        Pulses(DevicePlan("pulse", "pulse", {}, meter.device.inputs)).open()  # type: ignore[arg-type]
    meter.device.close()
    meter.device.close()
    assert meter.pi["GPIO4"].consumer == ""
