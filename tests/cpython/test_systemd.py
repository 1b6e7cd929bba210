"""What systemd hears of the service, on a socket like its own; a scan that hangs says nothing."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from board.contract import DevicePlan
from board.linux_board import LinuxBoard
from cell_controller.core.signals import InputImage, OutputImage
from cell_controller.cpython.systemd import Notifier
from tests.board import desk_device

WATCHDOG_S = 0.3
SPEC: dict[str, Any] = {"inputs": [], "outputs": []}


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0.0)

    def heard(self, within_s: float = 0.0) -> list[str]:
        """What came; waits for the first up to `within_s`."""
        found = []
        self._socket.settimeout(within_s)
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except (TimeoutError, BlockingIOError):
                return found
            self._socket.settimeout(0.0)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1e6)))
    made = Systemd(address)
    yield made
    made.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_ready_and_stopping_are_said(service: Systemd) -> None:
    notifier = Notifier()
    notifier.ready("scans every 10 ms")
    notifier.stopping()
    assert service.heard() == ["READY=1\nSTATUS=scans every 10 ms", "STOPPING=1"]


def test_each_time_out_has_three_feedings(service: Systemd, clock: list[float]) -> None:
    notifier = Notifier()
    for _ in range(300):
        clock[0] += WATCHDOG_S / 100
        notifier.feed()
    assert service.heard() == ["WATCHDOG=1"] * 9


def test_an_abstract_socket_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = f"cell-test-{tmp_path.name}"
    made = Systemd("\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    Notifier().ready()
    assert made.heard() == ["READY=1"]
    made.close()


def test_without_systemd_nothing_is_sent_and_nothing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    notifier = Notifier()
    notifier.ready()
    notifier.feed()
    notifier.stopping()


def test_without_a_watchdog_nobody_is_fed(service: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC")
    Notifier().feed()
    assert service.heard() == []


def test_a_systemd_that_does_not_listen_does_not_hold_up_a_scan(service: Systemd, clock: list[float]) -> None:
    notifier = Notifier()
    for _ in range(5_000):  # far more than its socket holds
        clock[0] += WATCHDOG_S
        notifier.feed()
    assert 0 < len(service.heard()) < 5_000
    service.close()
    clock[0] += WATCHDOG_S
    notifier.feed()


def test_a_scan_that_hangs_stops_the_feeding(service: Systemd, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, hanging, goes_on, ended = (threading.Event() for _ in range(4))

    def refresh(_: desk_device.DeskDevice) -> None:
        if hangs.is_set():
            hanging.set()
            goes_on.wait(10)

    monkeypatch.setattr(desk_device.DeskDevice, "refresh", refresh)
    plans = [DevicePlan("here", "desk", {}, ())]
    board = LinuxBoard("desk", plans, Path(), drivers={"desk": "tests.board.desk_device"})
    board.open(SPEC, {})
    scanning = threading.Thread(target=scan_until, args=(board, ended.is_set))
    scanning.start()
    try:
        assert set(service.heard(within_s=5)) == {"WATCHDOG=1"}
        assert set(service.heard(within_s=5)) == {"WATCHDOG=1"}, "it is fed again and again"
        hangs.set()
        assert hanging.wait(5)
        service.heard()
        assert service.heard(within_s=2 * WATCHDOG_S) == []
        goes_on.set()
        assert set(service.heard(within_s=5)) == {"WATCHDOG=1"}
    finally:
        goes_on.set()
        ended.set()
        scanning.join(5)
        board.close()


def scan_until(board: LinuxBoard, ended: Callable[[], bool]) -> None:
    """Scans as the runtime makes them: fed after each."""
    notifier = Notifier()
    inputs, outputs = InputImage(SPEC), OutputImage(SPEC)
    tick = board.tick()
    while not ended():
        tick += 5
        board.sleep_until(tick)
        board.read(inputs)
        board.write(outputs)
        board.feed()
        notifier.feed()
