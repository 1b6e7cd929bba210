"""An I2C bus of a Linux machine, and what every chip on it has."""

import errno
import os
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

import smbus2
from smbus2 import i2c_msg

from board.bus_worker import BusWorker
from board.contract import DevicePlan, Point
from board.device_link import NEVER, DeviceLink
from cell_controller.errors import BoardError, DeviceError

DEV = Path("/dev")
CLAIMED = Path("/sys/bus/i2c/devices")

I2C_TIMEOUT = 0x0702
TIMEOUT_10MS = 5
"""A transfer that hangs is given up after 50 ms; the kernel's own limit is a second."""

LINK = "link"


class I2cBus:
    """/dev/i2c-NUMBER."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._path = str(DEV / f"i2c-{number}")
        self._bus: smbus2.SMBus | None = None
        self.worker = BusWorker(f"I2C bus {number}", self.open, self.close)

    def write(self, address: int, register: int, data: bytes) -> None:
        """Bytes from `register` on. Raises OSError."""
        self._transfer(i2c_msg.write(address, bytes((register, *data))))

    def read(self, address: int, register: int, count: int) -> bytes:
        """`count` bytes from `register` on. Raises OSError."""
        answer = i2c_msg.read(address, count)
        self._transfer(i2c_msg.write(address, bytes((register,))), answer)
        return bytes(answer)

    def claimed_by(self, address: int) -> str:
        """The driver of the kernel that has the chip at `address`, "" if none."""
        driver = CLAIMED / f"{self.number}-{address:04x}" / "driver"
        return driver.resolve().name if driver.exists() else ""

    def open(self) -> None:
        """Raises BoardError with the remedy."""
        self.close()
        try:
            self._bus = smbus2.SMBus(self._path)
            ioctl(self._bus.fd or 0, I2C_TIMEOUT, TIMEOUT_10MS)
        except FileNotFoundError as error:
            raise BoardError(
                f"there is no {self._path}; on a Pi `sudo raspi-config nonint do_i2c 0` switches I2C on"
            ) from error
        except PermissionError as error:
            raise BoardError(
                f"no permission for {self._path}; `sudo usermod -aG i2c USER`, then log in again"
            ) from error
        except OSError as error:
            raise BoardError(f"{self._path} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """A second call does nothing."""
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.close()

    def _transfer(self, *messages: i2c_msg) -> None:
        """Of an adapter that was pulled the error is ENODEV, whatever its driver says.

        Its bus must be closed then: the kernel waits for that before it takes the adapter again.
        """
        if self._bus is None:
            raise DeviceError(f"I2C bus {self.number} is not open")
        try:
            self._bus.i2c_rdwr(*messages)
        except OSError as error:
            if os.path.exists(self._path):
                raise
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from error


class I2cChip:
    """What every chip has."""

    def __init__(self, plan: DevicePlan, bus: I2cBus) -> None:
        self.name = plan.name
        self.inputs: Sequence[Point] = [point for point in plan.points if not point.is_output]
        self.outputs: Sequence[Point] = [point for point in plan.points if point.is_output]
        self.latest = [(0, NEVER)] * len(self.inputs)
        self.link = DeviceLink(plan.name, plan.on_death, [point.abort for point in self.outputs])
        self._bus = bus
        self._address = int(plan.settings["address"])

    def open(self) -> None:
        """See Device.open: its bus's thread asks it from now on."""
        driver = self._bus.claimed_by(self._address)
        if driver:
            raise BoardError(
                f"{self.name}: the kernel's driver {driver} has the chip at {self._address:#04x}; take its overlay "
                "out of config.txt"
            )
        self.link.opened()
        self._bus.worker.start()

    def refresh(self) -> None:
        """See Device.refresh: the thread does."""

    def drive(self, counts: Sequence[int]) -> None:
        """See Device.drive."""
        self.link.want(counts)

    def make_safe(self, counts: Sequence[int]) -> None:
        """See Device.make_safe."""
        self.link.want(counts)

    def close(self) -> None:
        """See Device.close. The first chip that is closed ends the thread of the bus."""
        self._bus.worker.stop()
        self.link.closed()

    def _answered(self) -> None:
        for k, point in enumerate(self.inputs):
            if point.at == LINK:
                self.latest[k] = (1, self.link.clock())
        self.link.answered()
