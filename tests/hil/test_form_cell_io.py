"""The form cell on its remote I/O: what the wiring files promise, and an item made over Modbus."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from board.linux_board import LinuxBoard
from cell_controller.core import packml as pm
from cell_controller.core.controller import Controller
from cell_controller.core.envelope import Request
from hil.form_plant import FormPlant
from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from host_tools.cellfile import CompiledCell, compile_cell
from host_tools.check import check

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "form_cell"
FASTER = 4  # the cell's time and the machine's; not that of the line
WITHIN_S = 60


@pytest.mark.parametrize("board", ["io", "rpi"])
def test_the_module_falls_back_to_what_the_cell_calls_safe(board: str) -> None:
    """Its description says what it drives without a controller; the cell's file what is safe. They must agree."""
    cell = compile_cell(EXAMPLE, board)
    (io1,) = [plan for plan in cell.plans if plan.name == "io1"]
    assert io1.on_death == "device_fallback"
    outputs = [point for point in io1.points if point.is_output]
    assert len(outputs) >= 12
    fallback = {point.signal: io1.settings["points"][point.at]["fallback"] for point in outputs}
    assert fallback == {point.signal: point.safe for point in outputs}
    assert (fallback["extractor"], fallback["heater"]) == (1, 0)


def test_check_finds_nothing_but_that_a_network_reads_the_emergency_stop() -> None:
    (found,) = [str(finding) for finding in check(EXAMPLE)]
    assert "wiring/io.toml, [emergency_stop_ok]: the emergency-stop contact is read over a line" in found


class MachineOnTheLine:
    """The forming machine behind the registers of its devices, in quick time, in a thread of its own."""

    def __init__(self, cell: CompiledCell) -> None:
        self.slaves = {plan.name: ModbusSlave(plan.settings) for plan in cell.plans}
        self.device = ModbusDevice(list(self.slaves.values()), "tcp")
        self.plant = FormPlant(cell.spec)
        self._spec = cell.spec
        self._points = {p.signal: (plan.name, p.at) for plan in cell.plans for p in plan.points}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self.device.start()
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(5)
        self.device.stop()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._ending.wait(0.005):
            with self.device.lock:
                driven = [self._value(entry) for entry in self._spec["outputs"]]
                self.plant.step(int((time.monotonic() - began) * 1000) * FASTER, driven)
                for entry, value in zip(self._spec["inputs"], self.plant.inputs, strict=True):
                    self._show(entry, value)

    def _value(self, entry: dict[str, Any]) -> int:
        device, at = self._points[entry["name"]]
        count, span = self.slaves[device].get(at) or 0, entry["raw"]
        return count if not span else span[2] + (count - span[0]) * (span[3] - span[2]) // (span[1] - span[0])

    def _show(self, entry: dict[str, Any], value: int) -> None:
        device, at = self._points[entry["name"]]
        span = entry["raw"]
        if at != "link":
            count = (
                value
                if not span
                else span[0] + (value - span[2]) * (span[1] - span[0]) // (span[3] - span[2])
            )
            self.slaves[device].put(at, count)


class Quick:
    """The controller of the cell on the real driver, its time running FASTER than that of the line."""

    def __init__(self, cell: CompiledCell, board: LinuxBoard) -> None:
        equipment = cell.load_equipment()
        self.controller = Controller(cell.spec, equipment.phases, equipment.states)
        self.board = board
        self._period_s = cell.spec["scan_ms"] / 1000 / FASTER
        self._durable = 0
        self._state = pm.ABORTED
        board.read(self.controller.input_image)
        self.controller.boot(board.tick() * FASTER)

    def until(self, state: int) -> None:
        deadline = time.monotonic() + WITHIN_S
        while self.controller.machine.state != state:
            assert time.monotonic() < deadline, f"{pm.STATES[self.controller.machine.state]}, not {state}"
            self._scan()

    def ask(self, verb: str, **args: Any) -> None:
        request = Request("local")
        request.id, request.issuer, request.verb, request.args = f"{verb}{args}", "test", verb, args
        self.controller.request(request)
        for _ in range(100):
            self._scan()
            for reply in self.controller.take_replies():
                assert reply.as_dict()["ok"], reply.as_dict()
                return
        raise AssertionError(f"no reply to {verb} {args}")

    def _scan(self) -> None:
        controller = self.controller
        self.board.read(controller.input_image)
        controller.scan(self.board.tick() * FASTER, self._durable)
        self._durable += len(controller.take_records())
        if controller.machine.state != self._state:
            self._state = controller.machine.state
            if self._state == pm.RESETTING:
                self.board.rearm()
        self.board.write(controller.output_image)
        time.sleep(self._period_s)


@pytest.fixture
def machine_and_cell() -> Iterator[tuple[MachineOnTheLine, Quick]]:
    cell = compile_cell(EXAMPLE, "io")
    patient = {
        "stale_ms": 3000,
        "bad_ms": 5000,
        "answer_ms": 1000,
    }  # the tests' machine may stand still for a moment
    cell.plans = [replace(plan, settings={**plan.settings, **patient}) for plan in cell.plans]
    machine = MachineOnTheLine(cell)
    machine.start()
    address = {"address": machine.device.address}
    plans = [replace(plan, settings={**plan.settings, **address}) for plan in cell.plans]
    board = LinuxBoard("io", plans, EXAMPLE)
    board.open(cell.spec, cell.wiring)
    try:
        yield machine, Quick(cell, board)
    finally:
        board.close()
        machine.stop()


@pytest.mark.soak
def test_an_item_is_made_over_modbus(machine_and_cell: tuple[MachineOnTheLine, Quick]) -> None:
    machine, cell = machine_and_cell
    cell.ask("command", command="clear")
    cell.until(pm.STOPPED)
    cell.ask("command", command="reset")
    cell.until(pm.IDLE)
    cell.ask(
        "order.submit",
        order_id="a",
        product="arch_liner",
        count=1,
        options={"material": "petg", "thickness_mm": 2},
    )
    cell.until(pm.EXECUTE)
    cell.until(pm.COMPLETE)
    with machine.device.lock:
        (part,) = machine.plant.made
        damage = machine.plant.damage
    assert part.state()["cuts"] == 1
    assert not part.sprung
    assert part.drawn_at >= 112_000
    assert damage == []
    assert cell.controller.book.good == 1
