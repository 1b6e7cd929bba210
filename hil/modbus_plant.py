"""The simulated machine of a cell behind its simulated Modbus devices: the real driver has something to drive."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from board.contract import DevicePlan, Point
from board.modbus_points import LINK
from board.sim import SimBoard
from cell_controller.core.signals import KEEP
from hil.modbus_slave import ModbusSlave
from hil.output_stage import OutputStage
from hil.serial_device import SerialDevice

TURN_S = 0.005


class ModbusPlant:
    """Carries outputs from the devices to the plant and inputs back, in a thread; `with` starts and stops it.

    Between them stands the watchdog relay of the wiring file, if the cell has a heartbeat. Outputs of the cell that are
    not on Modbus have their safe values.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        wiring: Mapping[str, Any],
        plans: Sequence[DevicePlan],
        slaves: Mapping[str, ModbusSlave],
        lines: Sequence[SerialDevice],
        sim: SimBoard,
    ) -> None:
        """`slaves`: by the name of their plan. `lines`: what the slaves are on. `sim`: open, with the cell's plant."""
        self.sim = sim
        self._forced: dict[tuple[str, str], int] = {}
        self._spec = spec
        self._slaves = slaves
        self._lines = lines
        self._stage = OutputStage(spec, wiring, sim.speed)
        points = [(plan.name, point) for plan in plans for point in plan.points if plan.name in slaves]
        self._outputs = [(name, point) for name, point in points if point.is_output]
        self._inputs = [(name, point) for name, point in points if not point.is_output and point.at != LINK]
        self._safe = [0 if entry["safe"] == KEEP else int(entry["safe"]) for entry in spec["outputs"]]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plant", daemon=True)

    def __enter__(self) -> "ModbusPlant":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join(5)

    def turn(self) -> None:
        """Carry everything over once."""
        with ExitStack() as stack:
            for line in self._lines:
                stack.enter_context(line.lock)
            values = list(self._safe)
            for name, point in self._outputs:
                values[point.index] = self._value(point, self._slaves[name].get(point.at) or 0)
            now = time.monotonic()
            self._stage.heartbeat(values, now)
            self._stage.watch(now)
            self._stage.commanded = values
            through = self._stage.through_relay()
            if through != self.sim.outputs:
                self.sim.drive(through)
            self.sim.advance()
            for name, point in self._inputs:
                count = self._count(point, self.sim.plant.inputs[point.index])
                self._slaves[name].put(point.at, self._forced.get((name, point.at), count))

    def force(self, channel: str, count: str) -> None:
        """An input, DEVICE:POINT, reads `count` whatever the plant says. Raises KeyError where it is not wired."""
        name, _, at = channel.partition(":")
        if (name, at) not in [(device, point.at) for device, point in self._inputs]:
            raise KeyError(channel)
        self._forced[name, at] = int(count)

    def free(self, channel: str) -> None:
        """The plant says again what it reads."""
        name, _, at = channel.partition(":")
        self._forced.pop((name, at), None)

    def _run(self) -> None:
        while not self._stopping.wait(TURN_S):
            self.turn()

    def _value(self, point: Point, count: int) -> int:
        if point.kind == "digital":
            return count ^ point.active_low
        span: list[int] = self._spec["outputs"][point.index]["raw"]
        if not span:
            return count
        return span[2] + (count - span[0]) * (span[3] - span[2]) // (span[1] - span[0])

    def _count(self, point: Point, value: int) -> int:
        if point.kind == "digital":
            return value ^ point.active_low
        span: list[int] = self._spec["inputs"][point.index]["raw"]
        if not span:
            return value
        return span[0] - (span[2] - value) * (span[1] - span[0]) // (span[3] - span[2])
