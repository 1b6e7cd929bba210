"""The hardware watchdog: fed often enough and no more, stopped by an orderly end only."""

import errno
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from board import watchdog_device
from board.watchdog_device import FEEDS, MAGIC_CLOSE, WDIOC_SETTIMEOUT, HardwareWatchdog
from cell_controller.errors import BoardError


class FakeWatchdog:
    """A file that keeps what is written, and the one request. `takes`: the longest time-out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.takes = 15
        self.rounds_to = 0
        path.touch()

    def ioctl(self, file: int, request: int, argument: bytes) -> bytes:
        """See the kernel's watchdog-api."""
        assert request == WDIOC_SETTIMEOUT
        (seconds,) = struct.unpack("i", argument)
        if not 0 < seconds <= self.takes:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return struct.pack("i", self.rounds_to or seconds)

    @property
    def heard(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def hardware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWatchdog:
    made = FakeWatchdog(tmp_path / "watchdog")
    monkeypatch.setattr(watchdog_device, "ioctl", made.ioctl)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_it_is_fed_four_times_in_its_time(hardware: FakeWatchdog, clock: list[float]) -> None:
    watchdog = HardwareWatchdog(str(hardware.path), 10)
    watchdog.open()
    for _ in range(1000):
        clock[0] += 0.01
        watchdog.feed()
    assert hardware.heard == b"\0" * (1 + FEEDS)


def test_a_shorter_time_of_the_hardware_counts(hardware: FakeWatchdog, clock: list[float]) -> None:
    hardware.rounds_to = 4
    watchdog = HardwareWatchdog(str(hardware.path), 10)
    watchdog.open()
    assert watchdog.timeout_s == 4
    clock[0] += 1.0
    watchdog.feed()
    assert hardware.heard == b"\0\0"


def test_an_orderly_end_stops_it_and_a_killed_process_does_not(hardware: FakeWatchdog) -> None:
    watchdog = HardwareWatchdog(str(hardware.path), 10)
    watchdog.open()
    assert MAGIC_CLOSE not in hardware.heard
    watchdog.close()
    watchdog.close()
    assert hardware.heard == b"\0" + MAGIC_CLOSE
    watchdog.feed()
    assert hardware.heard == b"\0" + MAGIC_CLOSE


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EBUSY, "remove RuntimeWatchdogSec from"),
        (errno.EACCES, "a rule of udev"),
        (errno.ENOENT, "dtparam=watchdog=on"),
        (errno.ENOTTY, "is it a watchdog?"),
    ],
)
def test_one_that_cannot_be_had_is_refused_with_the_remedy(
    hardware: FakeWatchdog, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    def refused(*_: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.open" if number != errno.ENOTTY else "board.watchdog_device.ioctl", refused)
    with pytest.raises(BoardError, match=said):
        HardwareWatchdog(str(hardware.path), 10).open()


def test_a_time_that_it_does_not_take_is_refused_and_it_does_not_run_on(hardware: FakeWatchdog) -> None:
    with pytest.raises(BoardError, match=r"watchdog_s = 60; a Pi's takes 1\.\.15"):
        HardwareWatchdog(str(hardware.path), 60).open()
    assert hardware.heard == MAGIC_CLOSE


def test_one_that_cannot_be_fed_is_logged_and_the_scan_goes_on(
    hardware: FakeWatchdog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watchdog = HardwareWatchdog(str(hardware.path), 10)
    watchdog.open()

    def refused(*_: Any) -> int:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    with monkeypatch.context() as broken:
        broken.setattr("os.write", refused)
        watchdog._due = 0.0
        watchdog.feed()
    assert "cannot be fed" in caplog.text
    watchdog.close()
