"""The printer of the print cell behaves like one: heat takes time, a reset forgets, and damage is noticed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hil.print_plant import (
    CANCELLED,
    DEVICE_FAULTS,
    DONE,
    FAILED,
    IDLE,
    INTERRUPTED,
    NOT_HOMED,
    PAUSED,
    RUNNING,
    UNATTENDED_MS,
    PrintPlant,
)
from host_tools.cellfile import CompiledCell, compile_cell

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "print_cell"
KEY = 0x7A8D5DA
HOT = {"nozzle_set": 2150, "bed_set": 600}


class DrivenPrinter:
    """The print plant with outputs and inputs by name, called as a board calls it: at `call_at` and on changes."""

    def __init__(self, cell: CompiledCell) -> None:
        self.plant = PrintPlant(cell.spec)
        self.now_ms = 0
        self.calls = 0
        self._names_in = [entry["name"] for entry in cell.spec["inputs"]]
        self._names_out = [entry["name"] for entry in cell.spec["outputs"]]
        self.outputs = [0] * len(self._names_out)
        self.call_at = self.plant.step(0, self.outputs)

    def drive(self, **values: int) -> "DrivenPrinter":
        """Change outputs at the present time."""
        for name, value in values.items():
            self.outputs[self._names_out.index(name)] = value
        self.call_at = self.plant.step(self.now_ms, self.outputs)
        return self

    def run(self, ms: int) -> "DrivenPrinter":
        """Let `ms` pass."""
        end = self.now_ms + ms
        while self.call_at <= end:
            self.now_ms = self.call_at
            self.calls += 1
            self.call_at = self.plant.step(self.now_ms, self.outputs)
        self.now_ms = end
        return self

    def read(self, name: str) -> int:
        """What the sensor reads, in steps of its resolution."""
        return self.plant.inputs[self._names_in.index(name)]

    def fault(self, name: str, on: bool = True) -> "DrivenPrinter":
        """Turn a device's fault on or off; the plant notices at its next step, which is now."""
        self.plant.faults.switch(name, on)
        return self.drive()

    def until(self, name: str, least: int, most: int, limit_ms: int = 120_000) -> int:
        """How long it takes, in steps of 50 ms, until the sensor reads `least`..`most`."""
        start = self.now_ms
        while not least <= self.read(name) <= most:
            self.run(50)
            assert self.now_ms - start <= limit_ms, f"{name} still reads {self.read(name)}"
        return self.now_ms - start

    @property
    def state(self) -> int:
        """What the printer's driver tells."""
        return self.read("printer_state")


@pytest.fixture(scope="module")
def print_cell() -> CompiledCell:
    return compile_cell(EXAMPLE, "sim")


@pytest.fixture
def printer(print_cell: CompiledCell) -> DrivenPrinter:
    """Just switched on, with nothing on its bed."""
    return DrivenPrinter(print_cell)


@pytest.fixture
def ready(printer: DrivenPrinter) -> DrivenPrinter:
    """Homed and hot."""
    printer.drive(printer_enable=1).run(3000)
    printer.drive(home=1, **HOT).run(5000)
    printer.drive(home=0).until("nozzle", 2130, 2150)
    printer.until("bed", 590, 600)
    return printer


@pytest.fixture
def printing(ready: DrivenPrinter) -> DrivenPrinter:
    """In the middle of a file."""
    ready.drive(job=KEY).run(6000)
    return ready


def test_a_printer_homes_before_it_takes_a_file(printer: DrivenPrinter) -> None:
    assert (printer.state, printer.read("printer_ready"), printer.read("printer_link")) == (NOT_HOMED, 0, 1)
    printer.drive(printer_enable=1, job=KEY).run(1000)
    assert (printer.state, printer.read("printer_done")) == (FAILED, 0)
    printer.drive(job=0, home=1).run(2000)
    assert printer.read("printer_ready") == 0
    printer.run(1500)
    assert (printer.state, printer.read("printer_ready")) == (IDLE, 1)


def test_heat_comes_and_goes_in_time(printer: DrivenPrinter) -> None:
    printer.drive(printer_enable=1, **HOT)
    assert 10_000 <= printer.until("nozzle", 2120, 2150) <= 25_000
    assert printer.until("bed", 580, 600) <= 25_000
    printer.run(60_000)
    assert (printer.read("nozzle"), printer.read("bed")) == (2150, 600)
    printer.drive(nozzle_set=0, bed_set=0)
    assert 10_000 <= printer.until("bed", 0, 380) <= 30_000


def test_a_file_is_printed_and_its_key_stays_until_another_is_wanted(ready: DrivenPrinter) -> None:
    ready.drive(job=KEY).run(100)
    assert (ready.state, ready.read("printer_job"), ready.read("printer_unreset")) == (RUNNING, KEY, 1)
    assert 11_800 <= ready.until("progress", 1000, 1000) <= 16_100
    assert (ready.state, ready.read("printer_done"), ready.read("printer_unreset")) == (DONE, KEY, 1)
    ready.drive(job=0).run(10_000)
    assert (ready.state, ready.read("printer_job"), ready.read("printer_done")) == (DONE, KEY, 0)
    assert ready.read("bed_clear") == 0


def test_a_file_that_is_taken_back_is_cancelled(printing: DrivenPrinter) -> None:
    printing.drive(job=0).run(500)
    at = printing.read("progress")
    printing.run(5000)
    assert (printing.state, printing.read("progress")) == (CANCELLED, at)


def test_a_pause_comes_after_the_moves_that_are_planned_and_ends(printing: DrivenPrinter) -> None:
    printing.drive(pause=1)
    assert 100 <= printing.until("printer_state", PAUSED, PAUSED) <= 500
    at = printing.read("progress")
    printing.run(60_000)
    assert (printing.read("progress"), printing.read("nozzle")) == (at, 2150)
    printing.drive(pause=0)
    printing.until("progress", 1000, 1000)
    assert printing.plant.damage == []


def test_m112_ends_heat_and_position_and_the_printer_starts_anew(printing: DrivenPrinter) -> None:
    printing.drive(printer_enable=0).run(1000)
    assert printing.read("printer_link") == 0
    printing.drive(job=0, nozzle_set=0, bed_set=0).run(2000)
    assert (printing.state, printing.read("printer_unreset"), printing.read("printer_ready")) == (
        FAILED,
        0,
        0,
    )
    assert printing.read("nozzle") < 2100
    printing.plant.remove_part()
    printing.drive(printer_enable=1, home=1).run(4000)
    assert (printing.state, printing.read("printer_ready")) == (IDLE, 1)


def test_the_ejector_takes_a_cold_part_off(printing: DrivenPrinter) -> None:
    printing.until("progress", 1000, 1000)
    printing.drive(job=0, nozzle_set=0, bed_set=0).until("bed", 0, 400)
    printing.drive(ejector=1).run(500)
    assert (printing.read("ejector_home"), printing.read("bed_clear")) == (0, 0)
    printing.run(1500)
    assert printing.read("bed_clear") == 1
    printing.drive(ejector=0).run(2000)
    assert printing.read("ejector_home") == 1
    (part,) = printing.plant.made
    assert part.state()["key"] == KEY
    assert part.state()["per_mille"] == 1000
    assert printing.plant.damage == []


def test_a_hand_takes_a_part_off(printing: DrivenPrinter) -> None:
    assert printing.read("bed_clear") == 0
    printing.plant.remove_part()
    assert printing.read("bed_clear") == 1
    assert printing.plant.made == []


# --- faults: each does what it says ---


def fails(printer: DrivenPrinter) -> bool:
    return printer.run(1000).state == FAILED


def stands_still(printer: DrivenPrinter) -> bool:
    at = printer.run(500).read("progress")
    return printer.run(20_000).read("progress") == at and printer.state == RUNNING


def is_deaf(printer: DrivenPrinter) -> bool:
    before = printer.read("progress"), printer.read("printer_state")
    printer.drive(nozzle_set=0, bed_set=0, job=0).run(20_000)
    seen = printer.read("progress"), printer.read("printer_state")
    return printer.read("printer_link") == 0 and seen == before and printer.plant.printer.nozzle > 210_000


def starts_anew(printer: DrivenPrinter) -> bool:
    silent = printer.run(200).read("printer_link") == 0
    printer.run(5000)
    return silent and (printer.state, printer.read("printer_unreset")) == (FAILED, 0)


def gets_cold(printer: DrivenPrinter) -> bool:
    return printer.run(10_000).read("nozzle") < 1700


def runs_away(printer: DrivenPrinter) -> bool:
    hot = printer.drive(nozzle_set=0).run(20_000).read("nozzle") > 3000
    return hot and printer.drive(printer_enable=0).run(30_000).read("nozzle") < 1500


def is_not_found(printer: DrivenPrinter) -> bool:
    printer.drive(job=0).run(1000)
    return printer.drive(job=KEY + 1).run(1000).state == FAILED and printer.read("printer_job") == KEY


def is_lost(printer: DrivenPrinter) -> bool:
    printer.drive(job=0).run(1000)
    printer.plant.remove_part()
    return printer.drive(home=1).run(5000).state == NOT_HOMED


def sticks(printer: DrivenPrinter) -> bool:
    printer.drive(job=0, bed_set=0).until("bed", 0, 400)
    return printer.drive(ejector=1).run(20_000).read("bed_clear") == 0


def stays(printer: DrivenPrinter) -> bool:
    return printer.drive(ejector=1).run(20_000).read("ejector_home") == 1


def opens(name: str) -> Callable[[DrivenPrinter], bool]:
    return lambda printer: printer.read(name) == 0


FAULTS: dict[str, Callable[[DrivenPrinter], bool]] = {
    "door.open": opens("door_closed"),
    "ejector.jam": stays,
    "estop.open": opens("emergency_stop_ok"),
    "nozzle.runaway": runs_away,
    "part.sticks": sticks,
    "printer.cold": gets_cold,
    "printer.fails": fails,
    "printer.jam": stands_still,
    "printer.link": is_deaf,
    "printer.lost": is_lost,
    "printer.nofile": is_not_found,
    "printer.reset": starts_anew,
    "smoke.there": opens("no_smoke"),
}


def test_every_fault_has_its_test() -> None:
    assert set(FAULTS) == set(DEVICE_FAULTS)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_does_what_it_says_and_nothing_while_it_is_off(
    name: str, print_cell: CompiledCell, printing: DrivenPrinter
) -> None:
    printing.fault(name)
    assert FAULTS[name](printing)
    sound = DrivenPrinter(print_cell)
    sound.drive(printer_enable=1).run(3000)
    sound.drive(home=1, **HOT).run(5000)
    sound.drive(home=0).run(40_000)
    sound.drive(job=KEY).run(6000)
    assert not FAULTS[name](sound)


@pytest.mark.parametrize(("go_on", "begins_at"), [(1, 300), (0, 0)])
def test_a_print_whose_cable_was_off_can_go_on_or_begin_anew(
    printing: DrivenPrinter, go_on: int, begins_at: int
) -> None:
    printing.fault("printer.link").run(5000)
    printing.drive(job=0).run(5000)
    printing.fault("printer.link", False).run(1000)
    assert (printing.state, printing.read("printer_unreset"), printing.read("printer_ready")) == (
        INTERRUPTED,
        1,
        1,
    )
    printing.drive(go_on=go_on, job=KEY).run(100)
    assert printing.state == RUNNING
    assert begins_at <= printing.read("progress") <= begins_at + 300


def test_a_print_that_was_reset_or_is_another_cannot_go_on(printing: DrivenPrinter) -> None:
    printing.fault("printer.link").run(5000)
    printing.drive(job=0).fault("printer.link", False).run(1000)
    assert printing.drive(go_on=1, job=KEY + 1).run(100).state == FAILED
    printing.drive(job=0).run(100)
    assert printing.drive(job=KEY).run(100).state == FAILED


# --- damage ---


def on_a_cold_bed(printer: DrivenPrinter) -> None:
    printer.drive(pause=1, bed_set=0).run(30_000)
    printer.drive(pause=0).run(2000)


def onto_a_part(printer: DrivenPrinter) -> None:
    printer.drive(job=0).run(1000)
    printer.drive(job=KEY).run(1000)


def homed_again(printer: DrivenPrinter) -> None:
    printer.drive(job=0).run(1000)
    printer.drive(home=1).run(1000)


def door_open(printer: DrivenPrinter) -> None:
    printer.fault("door.open").run(2000)


def homed_with_the_door_open(printer: DrivenPrinter) -> None:
    printer.plant.remove_part()
    printer.fault("door.open").drive(job=0).run(500)
    printer.drive(home=1).run(2000)


DAMAGE: dict[str, Callable[[DrivenPrinter], object]] = {
    "printed behind an open door": door_open,
    "homed behind an open door": homed_with_the_door_open,
    "printed with a cold nozzle": lambda printer: printer.drive(nozzle_set=0).run(9000),
    "printed on a cold bed": on_a_cold_bed,
    "printed into the ejector": lambda printer: printer.drive(ejector=1).run(300),
    "printed onto a part": onto_a_part,
    "homed into a part": homed_again,
    "heated into smoke": lambda printer: printer.fault("smoke.there").run(2000),
    "nozzle burnt": lambda printer: printer.fault("nozzle.runaway").run(60_000),
    "hot for 15 minutes without printing": lambda printer: printer.drive(pause=1).run(UNATTENDED_MS + 10_000),
    "pushed a part that still sticks": lambda printer: printer.drive(job=0, ejector=1).run(2000),
}


@pytest.mark.parametrize("text", DAMAGE)
def test_damage_is_noticed_once(printing: DrivenPrinter, text: str) -> None:
    assert printing.plant.damage == []
    DAMAGE[text](printing)
    assert printing.plant.damage.count(text) == 1


def test_a_door_that_pauses_the_print_at_once_does_no_damage(printing: DrivenPrinter) -> None:
    printing.fault("door.open").run(50)
    printing.drive(pause=1).run(30_000)
    assert printing.plant.damage == []


# --- energy and calls ---


def test_the_meter_adds_up_the_power(printer: DrivenPrinter) -> None:
    printer.drive(printer_enable=1, bed_set=1200).run(600_000)
    before = printer.read("meter")
    printer.run(360_000)
    assert printer.read("meter") - before == pytest.approx(175, abs=1)  # 15 + 160 W: 0.1 Wh in 0.1 h


def test_the_meter_does_not_depend_on_when_the_plant_is_called(print_cell: CompiledCell) -> None:
    def after_a_minute(pause_ms: int) -> int:
        printer = DrivenPrinter(print_cell)
        printer.drive(printer_enable=1, **HOT)
        for _ in range(60_000 // pause_ms):
            printer.run(pause_ms).drive()
        return printer.read("meter")

    assert after_a_minute(50) == after_a_minute(60_000)


def test_at_rest_the_plant_is_called_once_a_second(printer: DrivenPrinter) -> None:
    printer.run(10_000)
    printer.calls = 0
    printer.run(60_000)
    assert printer.calls == 60
