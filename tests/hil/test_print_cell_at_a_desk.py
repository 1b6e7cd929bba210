"""The print cell with its real drivers, against simulated devices: the desk that docs/print-cell.md describes."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.marlin_device import MarlinDevice
from hil.modbus_device import ModbusDevice
from hil.modbus_slave import ModbusSlave
from host_tools.cellfile import compile_cell
from tests.service.process import NAME, Service, edit

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "print_cell"
JOB = "bracket-left-m.gcode"
SPEED = 20.0
PART, EJECTOR = "di3", "do0"
"""Points of the remote I/O: the light barrier, which is inverted at a desk, and the ejector."""


class Desk:
    """The cell in a directory of its own, its devices, and the hands and eyes of whoever sits there."""

    def __init__(self, tmp_path: Path) -> None:
        self.directory = tmp_path / "cell"
        shutil.copytree(EXAMPLE, self.directory, ignore=shutil.ignore_patterns(".run", "__pycache__"))
        edit(self.directory / "cell.toml", 'name = "print-1"', f'name = "{NAME}"')
        plans = {plan.name: plan for plan in compile_cell(self.directory, "desk").plans}
        self.printer = MarlinDevice("tcp", speed=SPEED)
        self.power = ModbusDevice([ModbusSlave(plans["power"].settings)], "tcp")
        self.io = ModbusDevice([ModbusSlave(plans["io"].settings)], "tcp")
        for device, port in ((self.printer, 15020), (self.power, 15021), (self.io, 15022)):
            device.start()
            edit(self.directory / "wiring" / "desk.toml", f"tcp://127.0.0.1:{port}", device.address)
        self.service = Service(self.directory, tmp_path, speed=1.0, board="desk")

    def close(self) -> None:
        self.service.close()
        for device in (self.printer, self.power, self.io):
            device.stop()

    @property
    def printed(self) -> int:
        """Moves that the printer's motors made."""
        with self.printer.lock:
            return len(self.printer.carried_out)

    def lay(self, part: bool) -> None:
        """The light barrier sees a part, or none."""
        with self.io.lock:
            self.io.slaves[1].put(PART, int(part))

    def order(self) -> None:
        """A bracket; goes on when a third of it lies on the bed."""
        self.service.order("bracket", side="left")
        self.service.run_until(lambda: self.printed >= 200, "a third of the print")
        self.lay(True)

    def finish(self) -> dict[str, object]:
        """Until the order is made; the ejector clears the bed. The record of the last item."""

        def made() -> bool:
            with self.io.lock:
                if self.io.slaves[1].outputs()[EJECTOR]:
                    self.io.slaves[1].put(PART, 0)
            return int(self.service.view["queue"]) == 0

        self.service.run_until(made, "the order made", 120)
        return self.service.records[-1]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    made.service.start().make_ready()
    yield made
    made.close()


def moves() -> int:
    """How many moves the print file has."""
    return len(re.findall(r"^G1 ", (EXAMPLE / "jobs" / JOB).read_text(), re.MULTILINE))


@pytest.mark.soak
def test_a_bracket_is_printed_line_for_line(desk: Desk) -> None:
    desk.order()
    record = desk.finish()
    assert record["result"] == "good"
    assert desk.printed == moves()


@pytest.mark.soak
def test_a_print_whose_cable_was_off_goes_on_and_prints_no_line_twice(desk: Desk) -> None:
    desk.order()
    desk.printer.unplug()
    desk.service.run_to("Stopped", 30)
    assert desk.service.question.startswith("item 0001 interrupted in print_left_m")
    desk.printer.plug()
    assert desk.service.answer("resume")["ok"]
    desk.service.run_until(lambda: bool(desk.service.command("reset")["ok"]), "the printer to answer", 30)
    record = desk.finish()
    assert (record["result"], record["interruptions"]) == ("good", 1)
    assert desk.printed == moves()


@pytest.mark.soak
def test_a_printer_that_was_off_is_homed_over_an_empty_bed_and_begins_anew(desk: Desk) -> None:
    desk.order()
    desk.printer.power_cycle()
    desk.service.run_to("Stopped", 30)
    printed = desk.printed
    assert desk.service.answer("resume")["ok"]
    desk.service.run_until(lambda: bool(desk.service.command("reset")["ok"]), "the printer to answer", 30)
    desk.service.run_until(
        lambda: "no empty bed to home over" in desk.service.reason, "no homing into a part"
    )
    desk.service.run_to("Stopped")
    desk.lay(False)
    assert desk.service.command("reset")["ok"]
    assert desk.finish()["result"] == "good"
    assert desk.printed == printed + moves()


@pytest.mark.soak
def test_a_killed_controller_leaves_heat_and_its_next_start_takes_it_off(desk: Desk) -> None:
    desk.order()
    desk.service.kill()
    with desk.printer.lock:
        assert desk.printer.nozzle.target == 215  # what the contactor behind the watchdog relay is for
    desk.service.start()
    desk.service.run_until(
        lambda: desk.printer.nozzle.target == 0 and desk.printer.bed.target == 0, "no heat", 30
    )
    printed = desk.printed
    assert desk.service.answer("scrap")["ok"]
    assert desk.service.command("clear")["ok"]
    desk.service.run_to("Stopped")
    assert desk.service.command("reset")["ok"]
    desk.service.run_until(
        lambda: "no empty bed to home over" in desk.service.reason, "no homing into a part"
    )
    desk.service.run_to("Stopped")
    desk.lay(False)
    assert desk.service.command("reset")["ok"]
    desk.finish()
    assert [record["result"] for record in desk.service.records] == ["scrap", "good"]
    assert desk.printed == printed + moves()
