"""The forming machine behaves like one: heat lags, vacuum draws what is soft, each fault does what it says."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hil.form_plant import DEVICE_FAULTS, FormPlant, lag
from host_tools.cellfile import CompiledCell, compile_cell
from tests.hil.bench_plant import DrivenPlant

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "form_cell"


class Machine(DrivenPlant):
    """The forming plant with outputs and inputs by name."""

    plant: FormPlant  # type: ignore[assignment]  # in place of the booth

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.plant = FormPlant(spec)
        self.now_ms = 0
        self.calls = 0
        self._names_in = [entry["name"] for entry in spec["inputs"]]
        self._names_out = [entry["name"] for entry in spec["outputs"]]
        self.outputs = [0] * len(self._names_out)
        self.call_at = self.plant.step(0, self.outputs)

    def told(self, name: str) -> Any:
        """What an observer sees that no sensor shows."""
        return self.plant.state()[name]


@pytest.fixture(scope="module")
def form_cell() -> CompiledCell:
    return compile_cell(EXAMPLE, "sim")


@pytest.fixture
def machine(form_cell: CompiledCell) -> Machine:
    """At rest, a sheet in its frame."""
    return Machine(form_cell.spec)


def clamped(machine: Machine) -> Machine:
    machine.drive(clamp=1, extractor=1)
    machine.run(3000)
    machine.drive(clamp=0)
    return machine


def heating(machine: Machine, power: int = 100) -> Machine:
    clamped(machine).drive(heater_contactor=1, heater=power)
    return machine


def hot(machine: Machine) -> Machine:
    """A sheet of about 160 degC, the heater off."""
    heating(machine).time_until("sheet_temp", 1600)
    machine.drive(heater=0, heater_contactor=0)
    machine.run(100)
    return machine


def drawn(machine: Machine) -> Machine:
    """On the mould, under vacuum."""
    hot(machine).drive(mould_up=1, vacuum_pump=1)
    machine.run(1300)
    machine.drive(mould_up=0, vacuum_valve=1)
    machine.run(1500)
    return machine


# --- what it does ---


def test_a_sheet_lies_ready_at_the_start(machine: Machine) -> None:
    assert (machine.read("part_present"), machine.read("carrier")) == (1, 2001)
    assert (machine.read("clamp_open"), machine.read("clamp_closed")) == (1, 0)
    assert (machine.read("mould_is_down"), machine.read("mould_is_up"), machine.read("die_home")) == (1, 0, 1)
    assert (machine.read("sheet_temp"), machine.read("bank_temp"), machine.read("vacuum")) == (200, 20, 0)


def test_the_frame_takes_its_time_and_stays_without_either_coil(machine: Machine) -> None:
    machine.drive(clamp=1)
    assert 700 <= machine.time_until("clamp_closed", 1) <= 900
    machine.drive(clamp=0)
    machine.run(60_000)
    assert machine.read("clamp_closed") == 1


def test_the_mould_stops_where_its_coil_leaves_it(machine: Machine) -> None:
    clamped(machine).drive(mould_up=1)
    machine.run(600)
    machine.drive(mould_up=0)
    machine.run(60_000)
    assert (machine.read("mould_is_up"), machine.read("mould_is_down")) == (0, 0)
    machine.drive(mould_up=1)
    assert machine.time_until("mould_is_up", 1) <= 700
    machine.drive(mould_up=0, mould_down=1)
    assert 1100 <= machine.time_until("mould_is_down", 1) <= 1300


def test_the_sheet_follows_the_bank_and_the_bank_its_power(machine: Machine) -> None:
    heating(machine).run(1000)
    assert machine.read("sheet_temp") < 240
    assert 15_000 <= machine.time_until("sheet_temp", 1600) <= 30_000
    peak = machine.read("sheet_temp")
    machine.drive(heater=0, heater_contactor=0)
    machine.run(3000)
    assert machine.read("sheet_temp") > peak + 30  # the bank still heats
    machine.run(200_000)
    assert 195 <= machine.read("sheet_temp") <= 205


def test_half_the_power_is_half_the_heat_in_the_end(machine: Machine) -> None:
    heating(machine, 50).run(300_000)
    assert machine.read("bank_temp") == 270
    assert machine.read("sheet_temp") == pytest.approx(200 + 2500 * 55 // 100, abs=2)


def test_without_its_contactor_the_heater_gives_nothing(machine: Machine) -> None:
    clamped(machine).drive(heater=100)
    machine.run(20_000)
    assert machine.read("bank_temp") == 20
    assert machine.told("power_percent") == 0


def test_the_fan_cools_faster_than_still_air(form_cell: CompiledCell) -> None:
    still, blown = drawn(Machine(form_cell.spec)), drawn(Machine(form_cell.spec))
    blown.drive(cooling_fan=1)
    slow, fast = (machine.time_until("sheet_temp", 0, 650) for machine in (still, blown))
    assert fast * 2 < slow


def test_a_soft_sheet_is_drawn_and_keeps_its_shape_if_it_cools_under_vacuum(machine: Machine) -> None:
    drawn(machine).drive(cooling_fan=1)
    machine.run(20_000)
    machine.drive(vacuum_valve=0, cooling_fan=0)
    machine.run(1000)
    part = machine.told("part")
    assert 130 <= part["drawn_degc"] <= 170
    assert (part["vacuum_mbar"], part["sprung"]) == (pytest.approx(810, abs=15), False)


def test_a_part_that_loses_its_vacuum_while_it_is_soft_springs_back(machine: Machine) -> None:
    drawn(machine).drive(vacuum_valve=0)
    machine.run(1500)
    assert machine.told("part")["sprung"] is True


def test_a_cold_sheet_is_not_drawn(machine: Machine) -> None:
    clamped(machine).drive(mould_up=1, vacuum_pump=1, vacuum_valve=1)
    machine.run(5000)
    assert machine.read("vacuum") > 700
    assert machine.told("part")["drawn_degc"] == 0


def test_heated_again_a_part_forgets_its_shape(machine: Machine) -> None:
    drawn(machine).drive(vacuum_valve=0)
    machine.run(2000)
    machine.drive(mould_down=1)
    machine.run(1500)
    machine.drive(mould_down=0, heater_contactor=1, heater=100)
    machine.run(12_000)
    assert machine.told("part")["drawn_degc"] == 0
    assert machine.plant.damage == []


def test_a_pump_without_a_sealed_mould_makes_no_vacuum(machine: Machine) -> None:
    clamped(machine).drive(vacuum_pump=1, vacuum_valve=1)
    machine.run(5000)
    assert machine.read("vacuum") == 60


def test_a_valve_that_is_off_lets_the_air_in(machine: Machine) -> None:
    drawn(machine).drive(vacuum_valve=0)
    assert machine.time_until("vacuum", 0, 50) <= 3000


def test_frames_leave_over_the_lowered_stopper_and_follow_each_other(machine: Machine) -> None:
    machine.plant.next_carriers[:] = [77]
    seen = []
    for _ in range(2):
        machine.drive(stopper=1)
        machine.run(1000)
        assert machine.read("part_present") == 0
        machine.drive(stopper=0)
        machine.run(1000)
        seen.append(machine.read("carrier"))
    assert seen == [77, 2002]
    clamped(machine).drive(stopper=1)
    machine.run(10_000)
    assert machine.read("part_present") == 1  # a clamped one does not leave


def test_a_removed_sheet_is_followed_by_the_next(machine: Machine) -> None:
    machine.plant.remove_part()
    machine.drive()
    assert machine.read("part_present") == 0
    machine.run(2000)
    assert machine.read("carrier") == 2002
    assert machine.plant.made == []


@pytest.mark.parametrize(
    ("driven", "watts"),
    [
        ({}, 60),
        ({"extractor": 1}, 180),
        ({"extractor": 1, "cooling_fan": 1, "vacuum_pump": 1}, 730),
        ({"heater": 50, "heater_contactor": 1}, 2060),
    ],
)
def test_the_meter_adds_up_the_power(machine: Machine, driven: dict[str, int], watts: int) -> None:
    machine.drive(**driven)
    before = machine.read("energy")
    machine.run(3_600_000)
    assert machine.read("energy") - before == pytest.approx(watts, abs=2)


def test_at_rest_the_plant_is_called_once_a_second(machine: Machine) -> None:
    machine.run(10_000)
    machine.calls = 0
    machine.run(60_000)
    assert machine.calls == 60


def test_the_plant_does_not_depend_on_when_it_is_called(form_cell: CompiledCell) -> None:
    """A scan of another length is no other physics: a lag must not jump where it is asked often."""

    def after_half_a_minute(pause_ms: int) -> int:
        machine = heating(Machine(form_cell.spec), 40)
        for _ in range(30_000 // pause_ms):
            machine.run(pause_ms)
            machine.drive()
        return machine.read("sheet_temp")

    assert after_half_a_minute(10) == pytest.approx(after_half_a_minute(1000), abs=6)


@pytest.mark.parametrize("dt_ms", [1, 10, 50])
@pytest.mark.parametrize(("start", "target"), [(20_000, 520_000), (520_000, 20_000), (20_051, 20_000)])
def test_a_lag_arrives_and_moves_by_no_more_than_its_share(start: int, target: int, dt_ms: int) -> None:
    value, steps = start, 0
    while value != target:
        moved = lag(value, target, dt_ms, 10_000)
        share = abs(target - value) * dt_ms / 10_000
        assert abs(moved - value) <= max(share + 1, 50)
        assert abs(target - moved) < abs(target - value)
        value, steps = moved, steps + 1
    assert steps > 0


# --- what goes wrong with it ---

DAMAGE: dict[str, tuple[str, dict[str, int], str]] = {
    "heated without air": ("clamped", {"heater_contactor": 1, "heater": 50, "extractor": 0}, ""),
    "heated with the door open": ("clamped", {"heater_contactor": 1, "heater": 50}, "door.open"),
    "heated a loose sheet": ("rest", {"extractor": 1, "heater_contactor": 1, "heater": 50}, ""),
    "heated with the mould up": ("clamped", {"heater_contactor": 1, "heater": 50, "mould_up": 1}, ""),
    "sheet burnt": ("clamped", {"heater_contactor": 1, "heater": 90}, ""),
    "heater bank burnt out": ("clamped", {"heater_contactor": 1, "heater": 100}, ""),
    "vacuum on without a sheet": ("clamped", {"vacuum_pump": 1, "vacuum_valve": 1}, "sheet.missing"),
    "mould moved into a loose sheet": ("rest", {"mould_up": 1}, ""),
    "part torn off the mould": ("drawn", {"mould_down": 1}, ""),
    "moved behind an open door": ("clamped", {"mould_up": 1}, "door.open"),
    "mould moved under the die": ("clamped", {"mould_up": 1, "trim_die": 1}, ""),
    "hot sheet fell out of its frame": ("hot", {"unclamp": 1}, ""),
    "both coils of the mould driven": ("clamped", {"mould_up": 1, "mould_down": 1}, ""),
    "both coils of the clamp driven": ("clamped", {"clamp": 1, "unclamp": 1}, ""),
}
BEGINNINGS: dict[str, Callable[[Machine], Machine]] = {
    "rest": lambda machine: machine,
    "clamped": clamped,
    "heating": heating,
    "hot": hot,
    "drawn": drawn,
}


@pytest.mark.parametrize("text", DAMAGE)
def test_damage_is_noticed_once(machine: Machine, text: str) -> None:
    begin, driven, fault = DAMAGE[text]
    BEGINNINGS[begin](machine)
    assert machine.plant.damage == []
    if fault:
        machine.fault(fault)
    machine.drive(**driven)
    machine.run(60_000)
    assert machine.plant.damage.count(text) == 1


def test_a_machine_that_reacts_at_once_does_no_damage(machine: Machine) -> None:
    heating(machine).run(5000)
    machine.fault("door.open")
    machine.run(40)
    machine.drive(heater=0, heater_contactor=0)
    machine.run(60_000)
    assert machine.plant.damage == []


def read_after(machine: Machine, name: str, ms: int, **driven: int) -> int:
    machine.drive(**driven)
    machine.run(ms)
    return machine.read(name)


FAULTS: dict[str, tuple[str, dict[str, int], int, str, int]] = {
    "carrier.wrong": ("rest", {}, 0, "carrier", 7001),
    "clamp.jam": ("rest", {"clamp": 1}, 5000, "clamp_closed", 0),
    "contactor.welded": ("heating", {"heater_contactor": 0}, 5000, "contactor_closed", 1),
    "door.open": ("rest", {}, 0, "door_closed", 0),
    "estop.open": ("rest", {}, 0, "emergency_stop_ok", 0),
    "extraction.clogged": ("rest", {"extractor": 1}, 5000, "airflow_ok", 0),
    "heater.dead": ("heating", {}, 60_000, "bank_temp", 20),
    "heater.stuck_on": ("heating", {"heater": 0}, 100_000, "bank_temp", 520),
    "io.silent": ("heating", {}, 5000, "contactor_closed", 0),
    "mould.jam": ("clamped", {"mould_up": 1}, 5000, "mould_is_up", 0),
    "sensor.open": ("rest", {}, 0, "sheet_temp", 4000),
    "sheet.missing": ("rest", {}, 0, "part_present", 0),
    "stand.jam": ("rest", {"stopper": 1}, 5000, "part_present", 1),
    "trim.jam": ("clamped", {"trim_die": 1}, 5000, "die_home", 1),
    "vacuum.leak": ("drawn", {}, 10_000, "vacuum", 210),
}
"""Fault: where the machine stands, what is driven then, for how long, what a sensor reads with it, not without."""


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_does_what_it_says(form_cell: CompiledCell, fault: str) -> None:
    begin, driven, ms, name, expected = FAULTS[fault]
    seen = []
    for on in (True, False):
        machine = Machine(form_cell.spec)
        BEGINNINGS[begin](machine)
        machine.run(100)
        machine.fault(fault, on)
        seen.append(read_after(machine, name, ms, **driven))
    assert seen[0] == pytest.approx(expected, abs=10 if name == "bank_temp" else 0)
    assert seen[1] != pytest.approx(expected, abs=10 if name == "bank_temp" else 0)


def test_a_dead_fan_cools_no_better_than_still_air(form_cell: CompiledCell) -> None:
    still, dead = drawn(Machine(form_cell.spec)), drawn(Machine(form_cell.spec))
    dead.fault("fan.dead")
    dead.drive(cooling_fan=1)
    assert dead.time_until("sheet_temp", 0, 650) == still.time_until("sheet_temp", 0, 650)


def test_a_silent_remote_io_keeps_the_extraction_and_drops_the_rest(machine: Machine) -> None:
    drawn(machine).fault("io.silent")
    machine.run(3000)
    assert machine.read("airflow_ok") == 1
    assert machine.read("vacuum") < 50
    machine.fault("io.silent", False)
    machine.run(3000)
    assert machine.read("vacuum") > 700


def test_every_fault_of_the_machine_is_shown() -> None:
    assert {*FAULTS, "fan.dead"} == set(DEVICE_FAULTS)
