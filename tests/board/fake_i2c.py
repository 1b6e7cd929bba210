"""An I2C bus below smbus2, for tests: the library's own code runs, and its system calls end here.

Chips keep registers as the real ones do. A chip can be silent, lose its power, or answer nonsense; the bus can be
unplugged.
"""

import errno
import os
import time
from pathlib import Path
from typing import Any, Protocol

import pytest
import smbus2.smbus2

from board import i2c_bus

I2C_RDWR = 0x0707
I2C_FUNCS = 0x0705
I2C_M_RD = 1


def failed(number: int) -> OSError:
    """The error that the kernel's `number` becomes."""
    return OSError(number, os.strerror(number))


class Registers(Protocol):
    """A chip: what is written to it, and what it answers."""

    def write(self, data: bytes) -> None: ...
    def read(self, count: int) -> bytes: ...


class FakeBus:
    """/dev/i2c-1 in `directory`, which stands for /dev, and the chips on it by address."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = directory / "i2c-1"
        self.path.touch()
        self.chips: dict[int, Registers] = {}
        self.silent: dict[int, int] = {}
        """Address -> number of the error that a transfer ends with."""
        self.writes: list[bytes] = []
        self.asked: list[int] = []
        self.timeout_10ms = 0
        self.hangs = False
        """Every transfer hangs until the kernel gives it up."""
        monkeypatch.setattr(i2c_bus, "DEV", directory)
        monkeypatch.setattr(i2c_bus, "CLAIMED", directory / "claimed")
        monkeypatch.setattr(i2c_bus, "ioctl", self._ioctl)
        monkeypatch.setattr(smbus2.smbus2, "ioctl", self._ioctl)

    def unplug(self) -> None:
        """The adapter is gone."""
        self.path.unlink()

    def plug(self) -> None:
        """The adapter is back."""
        self.path.touch()

    def _ioctl(self, file: int, request: int, argument: Any) -> int:
        if request == I2C_FUNCS:
            argument.value = 1
            return 0
        if os.fstat(file).st_nlink == 0:
            # as i2c-tiny-usb, and for good: an adapter that comes back must be opened anew
            raise failed(errno.EIO)
        if request == i2c_bus.I2C_TIMEOUT:
            self.timeout_10ms = argument
            return 0
        assert request == I2C_RDWR, hex(request)
        for k in range(argument.nmsgs):
            self._message(argument.msgs[k])
        return int(argument.nmsgs)

    def _message(self, message: Any) -> None:
        self.asked.append(message.addr)
        if self.hangs:
            time.sleep(self.timeout_10ms / 100)
            raise failed(errno.ETIMEDOUT)
        if message.addr in self.silent or message.addr not in self.chips:
            raise failed(self.silent.get(message.addr, errno.EREMOTEIO))
        chip = self.chips[message.addr]
        if message.flags & I2C_M_RD:
            for k, byte in enumerate(chip.read(message.len)):
                message.buf[k] = bytes((byte,))
        else:
            data = bytes(message.buf[k][0] for k in range(message.len))
            if len(data) > 1:
                self.writes.append(data)
            chip.write(data)


class FakeMcp23017:
    """Registers 0x00..0x15 in sequence, two a pair; `outside`: what is on the pins from outside, a bit each."""

    def __init__(self) -> None:
        self.outside = 0
        self.shorted = 0
        self.nonsense = False
        self.history: list[int] = []
        self.power_cycle()

    def power_cycle(self) -> None:
        """All registers as after power-on."""
        self.registers = bytearray(0x16)
        self.registers[0:2] = b"\xff\xff"
        self._pointer = 0

    def word(self, register: int) -> int:
        """A pair of registers, A in the low byte."""
        return int.from_bytes(self.registers[register : register + 2], "little")

    @property
    def driven(self) -> int:
        """The pins that it drives high."""
        return self.word(0x14) & ~self.word(0x00)

    def write(self, data: bytes) -> None:
        """The register, then what goes into it and the next ones."""
        self._pointer = data[0]
        for byte in data[1:]:
            self.registers[self._pointer] = byte
            self._pointer += 1
        self.history.append(self.driven)

    def read(self, count: int) -> bytes:
        """Registers from the pointer on; GPIO shows the pins."""
        if self.nonsense:
            return b"\xa5" * count
        direction = self.word(0x00)
        pins = (self.outside & direction) | (self.driven & ~self.shorted)
        self.registers[0x12:0x14] = pins.to_bytes(2, "little")
        found = bytes(self.registers[self._pointer : self._pointer + count])
        self._pointer += count
        return found


class FakeAds1115:
    """Conversions of `millivolts` by input, done at once unless `slow`."""

    GAINS = (6144, 4096, 2048, 1024, 512, 256)

    def __init__(self) -> None:
        self.millivolts = [0.0] * 4
        self.slow = False
        self.nonsense = False
        self.power_cycle()

    def power_cycle(self) -> None:
        """As after power-on."""
        self._config = 0x8583
        self._result = 0
        self._pointer = 0

    def write(self, data: bytes) -> None:
        """The register, and the configuration, which starts a conversion."""
        self._pointer = data[0]
        if len(data) == 3 and data[0] == 1:
            self._config = int.from_bytes(data[1:], "big")
            mux, gain = self._config >> 12 & 7, self._config >> 9 & 7
            assert mux >= 4, "only inputs against ground"
            count = round(self.millivolts[mux - 4] / self.GAINS[gain] * 32768)
            self._result = max(-32768, min(32767, count))
            if self.slow:
                self._config &= 0x7FFF

    def read(self, count: int) -> bytes:
        """The register that was chosen, again and again."""
        if self.nonsense:
            return b"\xa5" * count
        word = self._config if self._pointer == 1 else self._result & 0xFFFF
        return (word.to_bytes(2, "big") * count)[:count]
