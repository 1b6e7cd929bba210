"""Modbus devices for the survival suite, real bytes: a remote I/O on TCP, and the same on a serial line with parity."""

from pathlib import Path
from typing import Any

from board.contract import DevicePlan
from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from tests.board.modbus_plans import plan_of, shape_of
from tests.board.rigs.on_a_line import LineRig

POINTS = ("link", "di0", "ai0", "do0", "do1", "ao0")


class Rig(LineRig):
    """The remote I/O on TCP."""

    kind = "modbus"
    probe = "di0"

    def __init__(self, tmp_path: Path) -> None:
        """`tmp_path`: where a serial line has its path."""
        self._make("tcp", address="tcp://127.0.0.1:1")

    def _make(self, line: str, **table: Any) -> None:
        self.slave = ModbusSlave(shape_of("io1", model="demo_io", **table).settings)
        self.device = ModbusDevice([self.slave], line)
        table["address"] = self.device.address
        self.plans: list[DevicePlan] = [plan_of("io1", POINTS, model="demo_io", **table)]
        self.bad_within_s: float = self.plans[0].settings["bad_ms"] / 1000

    def outputs(self) -> dict[str, int]:
        with self.device.lock:
            return {name: count for name, count in self.slave.outputs().items() if name in POINTS}


class SerialRig(Rig):
    """The remote I/O on a serial line, 19,200 8E1."""

    def __init__(self, tmp_path: Path) -> None:
        """`tmp_path`: where the line has its path."""
        path = str(tmp_path / "rs485")
        self._make(path, address=path, baud=19_200, parity="even")
