"""A desk with Modbus devices: the real driver on a LinuxBoard, simulated devices at the other end of real bytes."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from board.contract import DevicePlan
from board.device_link import DeviceStatus
from board.linux_board import LinuxBoard
from cell_controller.core.signals import BAD, GOOD, WORD_BITS, InputImage, OutputImage
from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from tests.board.modbus_plans import numbered, plan_of, shape_of, spec_of

SCAN_S = 0.002
LIMIT_S = 3.0
LATE_MS = 350
ANSWER_MS = 200
"""More than the default: the machine of the tests may be busy."""
POINTS = ("link", "di0", "di1", "ai0", "do0", "do1", "do2", "ao0")


class Desk:
    """A board with devices, and scans. Signals are called DEVICE:POINT."""

    def __init__(self, plans: Sequence[DevicePlan]) -> None:
        """Opens the board."""
        plans = numbered(plans)
        spec = spec_of(plans)
        self.board = LinuxBoard("desk", plans, Path())
        self.inputs = InputImage(spec)
        self.outputs = OutputImage(spec)
        self._places = {f"{plan.name}:{point.at}": point for plan in plans for point in plan.points}
        self.board.open(spec, {})

    def close(self) -> None:
        """Let go of everything."""
        self.board.close()

    def scan(self) -> None:
        """One scan."""
        self.board.read(self.inputs)
        self.board.write(self.outputs)

    def until(self, what: str, condition: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
        """Scan until `condition`; how long that took in seconds. Says what it saw when it gives up."""
        began = time.monotonic()
        while True:
            self.scan()
            took = time.monotonic() - began
            if condition():
                return took
            if took > limit_s:
                raise AssertionError(f"not {what} after {limit_s} s: {self.board.devices()}")
            time.sleep(SCAN_S)

    def during(self, seconds: float, condition: Callable[[], bool]) -> None:
        """Scan for so long, during which `condition` holds in every scan."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.scan()
            assert condition(), self.board.devices()
            time.sleep(SCAN_S)

    def arm(self) -> None:
        """All devices answer, and the cell goes through Resetting."""
        self.until("running", lambda: all(status.state == "running" for status in self.board.devices()))
        self.scan()
        self.board.rearm()

    def status(self, name: str) -> DeviceStatus:
        """How one device is."""
        (found,) = [status for status in self.board.devices() if status.name == name]
        return found

    def value(self, name: str) -> int:
        """An input in the last scan."""
        point = self._places[name]
        if point.kind != "digital":
            return self.inputs.analog[point.place]
        return self.inputs.words[point.place // WORD_BITS] >> point.place % WORD_BITS & 1

    def good(self, name: str) -> bool:
        """Whether an input was good in the last scan."""
        return self.inputs.quality[self._places[name].index] == GOOD

    def bad(self, name: str) -> bool:
        """Whether an input was bad in the last scan."""
        return self.inputs.quality[self._places[name].index] == BAD

    def drive(self, name: str, count: int) -> None:
        """What an output shall be from the next scan on."""
        point = self._places[name]
        if point.kind != "digital":
            self.outputs.analog[point.place] = count
        else:
            word, bit = point.place // WORD_BITS, 1 << point.place % WORD_BITS
            self.outputs.words[word] = self.outputs.words[word] & ~bit | (bit if count else 0)


class Slaves:
    """Simulated devices of one model on one line, which is pulled and plugged with `line`; and plans for them."""

    def __init__(
        self, address: str, units: Sequence[int] = (1,), model: str = "demo_io", **table: Any
    ) -> None:
        """`address`: "tcp", or a path for a pty. `table`: further keys of [devices.NAME]."""
        self.table = {"model": model, "answer_ms": ANSWER_MS, **table}
        place = address if address.startswith("/") else "tcp://127.0.0.1:1"
        shapes = [shape_of("io", address=place, unit=unit, **self.table) for unit in units]
        self.slaves = [ModbusSlave(found.settings) for found in shapes]
        self.line = ModbusDevice(self.slaves, address, LATE_MS)

    def plans(self, points: Sequence[str] = POINTS) -> list[DevicePlan]:
        """A plan for each, called io1, io2 and so on by their units."""
        return [
            plan_of(f"io{slave.unit}", points, address=self.line.address, unit=slave.unit, **self.table)
            for slave in self.slaves
        ]
