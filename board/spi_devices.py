"""Chips on the SPI buses of a Linux machine: the converter MCP3008.

/dev/spidev is spoken to directly: it is one system call, and the usual library for it has no wheels to install.
"""

import ctypes
import os
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

from board.bus_worker import BusWorker
from board.contract import Device, DevicePlan, Point, Services
from board.device_link import NEVER, DeviceLink
from cell_controller.errors import BoardError, DeviceError

DEV = Path("/dev")
SPEED_HZ = 1_000_000
"""An MCP3008 takes 1.35 MHz at 2.7 V."""

SPI_IOC_MESSAGE = 0x40206B00
SPI_IOC_WR_MODE = 0x40016B01
"""Requests of linux/spi/spidev.h for one transfer, and for the mode."""

LINK = "link"


def make(plans: Sequence[DevicePlan], board: Services) -> list[Device]:
    """A device for each plan. Settings: `bus` and `select` of its /dev/spidevBUS.SELECT."""
    return [Mcp3008(plan) for plan in plans]


class Transfer(ctypes.Structure):
    """struct spi_ioc_transfer of linux/spi/spidev.h."""

    _fields_ = (
        ("tx_buf", ctypes.c_uint64),
        ("rx_buf", ctypes.c_uint64),
        ("len", ctypes.c_uint32),
        ("speed_hz", ctypes.c_uint32),
        ("delay_usecs", ctypes.c_uint16),
        ("bits_per_word", ctypes.c_uint8),
        ("cs_change", ctypes.c_uint8),
        ("nbits_and_pad", ctypes.c_uint32),
    )


class SpiDevice:
    """/dev/spidevBUS.SELECT."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = -1

    def open(self) -> None:
        """Raises BoardError with the remedy."""
        self.close()
        try:
            self._file = os.open(self._path, os.O_RDWR)
            ioctl(self._file, SPI_IOC_WR_MODE, b"\0")
        except FileNotFoundError as error:
            raise BoardError(
                f"there is no {self._path}; on a Pi `sudo raspi-config nonint do_spi 0` switches SPI on"
            ) from error
        except PermissionError as error:
            raise BoardError(
                f"no permission for {self._path}; `sudo usermod -aG spi USER`, then log in again"
            ) from error
        except OSError as error:
            raise BoardError(f"{self._path} cannot be opened: {error.strerror}") from error

    def exchange(self, data: bytes) -> bytes:
        """Send `data`; what came meanwhile, as many bytes. Raises OSError."""
        sent = ctypes.create_string_buffer(data, len(data))
        got = ctypes.create_string_buffer(len(data))
        transfer = Transfer(ctypes.addressof(sent), ctypes.addressof(got), len(data), SPEED_HZ, 0, 8)
        ioctl(self._file, SPI_IOC_MESSAGE, transfer)
        return got.raw

    def close(self) -> None:
        """A second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


class Mcp3008:
    """Eight inputs against ground, counts 0..1023. Each chip has a thread; in the kernel they wait for each other."""

    def __init__(self, plan: DevicePlan) -> None:
        self.name = plan.name
        self.inputs: Sequence[Point] = plan.points
        self.outputs: Sequence[Point] = ()
        self.latest = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(plan.name, plan.on_death)
        path = str(DEV / f"spidev{plan.settings.get('bus', 0)}.{plan.settings.get('select', 0)}")
        self._spi = SpiDevice(path)
        self._numbers = [(k, int(p.at)) for k, p in enumerate(self.inputs) if p.at != LINK] or [(-1, 0)]
        self._worker = BusWorker(path, self._spi.open, self._spi.close)
        self._worker.add(self)

    def open(self) -> None:
        """See Device.open."""
        self.link.opened()
        self._worker.start()

    def refresh(self) -> None:
        """See Device.refresh: the thread does."""

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive: it has no outputs."""

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe: it has no outputs."""

    def close(self) -> None:
        """See Device.close."""
        self._worker.stop()
        self.link.closed()

    def turn(self) -> None:
        """See bus_worker.Chip: every input once."""
        for k, number in self._numbers:
            # a start bit, single-ended and the number; then a null bit and ten bits of value
            answer = self._spi.exchange(bytes((1, 8 + number << 4, 0)))
            if answer[1] & 4:
                raise DeviceError(f"{self.name}: no null bit before the value; nothing drives the data line")
            if k >= 0:
                self.latest[k] = ((answer[1] & 3) << 8 | answer[2], self.link.clock())
        for k, point in enumerate(self.inputs):
            if point.at == LINK:
                self.latest[k] = (1, self.link.clock())
        self.link.answered()
