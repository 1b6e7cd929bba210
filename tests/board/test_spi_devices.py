"""A converter on SPI: the driver's own system calls, and a chip behind them."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from board import spi_devices
from board.contract import DevicePlan, Point
from board.device_link import FAULTED, NEVER, RUNNING
from board.spi_devices import SPI_IOC_MESSAGE, SPI_IOC_WR_MODE, Mcp3008, Transfer
from cell_controller.errors import BoardError
from tests.board.line_peer import wait_for


class FakeSpi:
    """An MCP3008 behind a spidev. `counts`: by input; `absent`: the data line is pulled high."""

    def __init__(self) -> None:
        self.counts = [0] * 8
        self.absent = False
        self.error = 0
        self.mode = -1

    def ioctl(self, file: int, request: int, argument: Any) -> int:
        """What the kernel does with a request."""
        os.fstat(file)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if request == SPI_IOC_WR_MODE:
            self.mode = argument[0]
            return 0
        assert request == SPI_IOC_MESSAGE
        assert self.mode == 0
        assert 0 < argument.speed_hz <= 1_350_000
        question = ctypes.string_at(argument.tx_buf, argument.len)
        ctypes.memmove(argument.rx_buf, self.answer(question), argument.len)
        return int(argument.len)

    def answer(self, question: bytes) -> bytes:
        """What the chip sends while it is asked."""
        if self.absent:
            return b"\xff" * len(question)
        assert question[0] == 1
        assert question[1] & 0x8F == 0x80, "single-ended"
        count = self.counts[question[1] >> 4 & 7]
        return bytes((0xFF, 0xF8 | count >> 8, count & 0xFF))


class Converter:
    """The device, opened, with the thread of its bus."""

    def __init__(self, *ats: str) -> None:
        points = tuple(Point(at, 0, 0, "analog", False, at, high=1023) for at in ats)
        self.device = Mcp3008(DevicePlan("mcp3008", "spi", {"bus": 0, "select": 1}, points))

    def until(self, what: Callable[[], bool]) -> None:
        wait_for(what, self.device.link.status)

    def state(self) -> str:
        self.device.link.begin_scan()
        return self.device.link.status().state


@pytest.fixture
def spi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSpi:
    made = FakeSpi()
    (tmp_path / "spidev0.1").touch()
    monkeypatch.setattr(spi_devices, "DEV", tmp_path)
    monkeypatch.setattr(spi_devices, "ioctl", made.ioctl)
    return made


@pytest.fixture
def made(spi: FakeSpi) -> Iterator[list[Converter]]:
    found: list[Converter] = []
    yield found
    for converter in found:
        converter.device.close()


@pytest.fixture
def converter(made: list[Converter]) -> Converter:
    made.append(Converter("3", "0", "link"))
    return made[0]


def test_a_transfer_is_as_the_kernel_has_it() -> None:
    assert ctypes.sizeof(Transfer) == SPI_IOC_MESSAGE >> 16 & 0x3FFF == 32
    assert (Transfer.len.offset, Transfer.bits_per_word.offset) == (16, 26)


def test_every_input_is_read(converter: Converter, spi: FakeSpi) -> None:
    spi.counts = [1, 0, 0, 1023, 0, 0, 0, 0]
    converter.device.open()
    converter.until(lambda: [count for count, _ in converter.device.latest] == [1023, 1, 1])
    assert converter.state() == RUNNING


def test_a_data_line_that_nothing_drives_is_no_reading(converter: Converter, spi: FakeSpi) -> None:
    spi.absent = True
    converter.device.open()
    converter.until(lambda: "no null bit" in converter.device.link.status().fault)
    assert converter.device.latest == [(0, NEVER)] * 3


def test_a_device_that_is_gone_is_lost_and_comes_back(converter: Converter, spi: FakeSpi) -> None:
    converter.device.open()
    converter.until(lambda: converter.state() == RUNNING)
    spi.error = errno.EIO
    converter.device.link.bad_ms = 50
    converter.until(lambda: converter.state() == FAULTED)
    assert "mcp3008 does not answer: Input/output error" in converter.device.link.status().fault
    spi.error = 0
    converter.until(lambda: converter.state() == RUNNING)


def test_only_its_link_can_be_wired(made: list[Converter]) -> None:
    made.append(Converter("link"))
    made[0].device.open()
    made[0].until(lambda: made[0].device.latest[0][0] == 1)


def test_a_bus_that_is_not_there_or_not_ours_is_refused_with_the_remedy(
    converter: Converter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as forbidden:
        forbidden.setattr("os.open", refused)
        with pytest.raises(BoardError, match="usermod -aG spi"):
            converter.device.open()
    (tmp_path / "spidev0.1").unlink()
    with pytest.raises(BoardError, match="raspi-config nonint do_spi 0"):
        converter.device.open()
