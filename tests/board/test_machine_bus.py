"""Devices on the bus of a microcontroller: lost, flaky, reset, and what that costs a scan."""

from typing import Any

import pytest

from cell_controller.core.signals import BAD, GOOD, STALE
from host_tools.cellfile import CompiledCell
from host_tools.compile_wiring import compile_wiring
from tests.board.images import Terminals
from tests.board.machine_rig import MachineRig

EXPANDER = 0x20
CONVERTER = 0x48
SCAN_MS = 10

ADS = [2, "ads1115:0x48", CONVERTER, [[0xC3E3, 0, 6], [0xD3E3, 1, 7], [0xE3E3, 2, 8]], 90, 1000]
"""The three analog inputs of the paint cell on a converter."""


class Wired:
    """The paint cell's board on fake hardware, with its analog inputs on a converter; `scan` is one scan."""

    def __init__(self, cell: CompiledCell) -> None:
        table = compile_wiring(cell)
        self.rig = MachineRig({**table, "adc": [], "devices": [*table["devices"], ADS]})
        self.rig.open(cell.spec, cell.wiring)
        self.world = self.rig.world
        self.terminals = Terminals(self.rig, cell.spec)
        self.most_failures = 0

    def scan(self, count: int = 1) -> None:
        for _ in range(count):
            before = self.world.failures
            self.rig.clock.now += SCAN_MS
            self.rig.board.read(self.terminals.inputs)
            self.rig.board.write(self.terminals.outputs)
            self.most_failures = max(self.most_failures, self.world.failures - before)

    def lose(self, address: int, lost: int = 1) -> None:
        self.world.dead[address] = lost

    def quality(self, name: str) -> int:
        return self.terminals.quality(name)


@pytest.fixture
def wired(pico_cell: CompiledCell) -> Wired:
    made = Wired(pico_cell)
    made.scan(5)
    return made


def test_at_work_every_signal_is_good_and_nothing_fails(wired: Wired) -> None:
    wired.scan(50)
    assert set(wired.terminals.inputs.quality) == {GOOD}
    assert wired.world.failures == 0
    assert wired.rig.board.trouble == ""


def test_the_converter_brings_each_channel_to_its_own_signal(wired: Wired) -> None:
    wired.world.devices[CONVERTER].counts[:3] = [100, 200, -300 & 0xFFFF]
    wired.scan(8)
    assert wired.terminals.inputs.analog[:3] == [100, 200, -300]


def test_no_analog_value_is_good_before_each_channel_was_converted(pico_cell: CompiledCell) -> None:
    made = Wired(pico_cell)
    seen = []
    for _ in range(5):
        made.scan()
        seen.append([made.quality(name) for name in ("airflow", "paint_flow", "panel_temp")])
    assert seen == [[BAD] * 3, [BAD] * 3, [GOOD] * 3, [GOOD] * 3, [GOOD] * 3]


def test_one_lost_reading_changes_no_quality(wired: Wired) -> None:
    for _ in range(20):
        wired.lose(EXPANDER)
        wired.scan()
        wired.lose(EXPANDER, 0)
        wired.scan(2)
        assert wired.quality("roller_home") == GOOD
    wired.terminals.drive(light_red=1)
    assert wired.rig.output("light_red") == 1


def test_a_silent_expander_is_stale_then_bad_and_keeps_its_last_levels(wired: Wired) -> None:
    assert wired.terminals.value("roller_home") == 1
    wired.lose(EXPANDER)
    seen = []
    for _ in range(110):
        wired.scan()
        seen.append(wired.quality("roller_home"))
        assert wired.terminals.value("roller_home") == 1
    assert seen == [GOOD] * 2 + [STALE] * 97 + [BAD] * 11
    assert wired.rig.board.trouble == "mcp23017:0x20"


def test_a_silent_converter_is_stale_then_bad_and_the_expander_stays_good(wired: Wired) -> None:
    wired.lose(CONVERTER)
    wired.scan(20)
    assert wired.quality("airflow") == STALE
    wired.scan(100)
    assert wired.quality("airflow") == BAD
    assert wired.quality("roller_home") == GOOD


@pytest.mark.parametrize("lost", [(EXPANDER,), (CONVERTER,), (EXPANDER, CONVERTER)])
def test_a_scan_waits_for_at_most_one_failing_transfer(wired: Wired, lost: tuple[int, ...]) -> None:
    for address in lost:
        wired.lose(address)
    for k in range(500):
        wired.terminals.drive(light_red=k & 1)
        wired.scan()
    assert wired.most_failures == 1
    assert wired.world.timeout_us == 2000


def test_a_dead_bus_is_asked_less_and_less_often(wired: Wired) -> None:
    wired.lose(EXPANDER)
    wired.lose(CONVERTER)
    wired.scan(300)
    before = wired.world.failures
    wired.scan(3200 // SCAN_MS)
    assert wired.world.failures - before <= 2 * 3


def test_quality_stays_bad_where_a_silence_outlasts_the_tick(wired: Wired) -> None:
    wired.lose(EXPANDER)
    wired.scan(200)
    for _ in range(8):
        wired.rig.clock.now += 100_000_000
        wired.scan()
        assert wired.quality("roller_home") == BAD


def test_a_device_that_answers_again_is_set_up_and_good_within_two_seconds(wired: Wired) -> None:
    wired.terminals.drive(light_red=1, horn=1)
    for address in (EXPANDER, CONVERTER):
        wired.lose(address)
    wired.scan(1000)
    wired.terminals.drive(horn=0)
    wired.world.devices[EXPANDER].power_on()
    for address in (EXPANDER, CONVERTER):
        wired.lose(address, 0)
    wired.scan(200)
    assert set(wired.terminals.inputs.quality) == {GOOD}
    assert (wired.rig.output("light_red"), wired.rig.output("horn")) == (1, 0)
    assert wired.rig.board.trouble == ""


def test_outputs_of_a_lost_expander_stay_and_those_on_pins_still_act(wired: Wired) -> None:
    wired.terminals.drive(light_red=1, clamp=1)
    wired.lose(EXPANDER)
    wired.terminals.drive(light_red=0, clamp=0)
    wired.scan(50)
    assert (wired.rig.output("light_red"), wired.rig.output("clamp")) == (1, 0)
    wired.lose(EXPANDER, 0)
    wired.scan(200)
    assert wired.rig.output("light_red") == 0


def test_an_expander_that_was_reset_between_two_scans_gets_its_outputs_back_in_the_next(wired: Wired) -> None:
    wired.terminals.drive(light_red=1)
    wired.world.devices[EXPANDER].power_on()
    assert wired.rig.output("light_red") == 0
    wired.scan()
    assert wired.rig.output("light_red") == 1
    assert wired.world.failures == 0


def test_a_reset_that_changed_no_level_is_mended_by_the_refresh(wired: Wired) -> None:
    device: Any = wired.world.devices[EXPANDER]
    device.power_on()
    wired.scan(13)
    assert device.is_output(0)


def test_a_device_that_is_silent_at_the_start_is_bad_and_comes_later(pico_cell: CompiledCell) -> None:
    table = compile_wiring(pico_cell)
    rig = MachineRig(table)
    rig.world.dead[EXPANDER] = 1
    rig.open(pico_cell.spec, pico_cell.wiring)
    terminals = Terminals(rig, pico_cell.spec)
    terminals.read("roller_home")
    assert terminals.quality("roller_home") == BAD
    assert terminals.quality("clamp_open") == GOOD
    rig.world.dead[EXPANDER] = 0
    terminals.pass_time(2000)
    assert terminals.quality("roller_home") == GOOD


def test_make_safe_tries_a_device_that_is_being_left_alone(wired: Wired) -> None:
    wired.terminals.drive(light_red=1)
    wired.lose(EXPANDER)
    wired.scan(100)
    wired.lose(EXPANDER, 0)
    wired.rig.board.make_safe(wired.terminals.safe_values())
    assert wired.rig.output("light_red") == 0


def test_a_device_of_an_unknown_kind_is_refused(pico_cell: CompiledCell) -> None:
    rig = MachineRig({**compile_wiring(pico_cell), "devices": [[9, "x", 0x20, [], [], [], [], [], 0, 0]]})
    with pytest.raises(ValueError, match="device 9 is not known to this controller"):
        rig.open(pico_cell.spec, pico_cell.wiring)
