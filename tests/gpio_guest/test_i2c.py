"""The drivers of chips on I2C on the kernel's own buses: a USB adapter, with chips made here behind it."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from board.device_link import FAULTED, RUNNING
from cell_controller.core.signals import BAD, GOOD
from hil.gpio_guest.guest import Guest
from hil.gpio_guest.usb_i2c import CONVERTER, EXPANDER, MODULES
from tests.gpio_guest.driver_rig import DriverRig, RefusedError, line

pytestmark = pytest.mark.gpio_guest

BACK_S = 10.0
VALVE, BRAKE, PART = 0x0001, 0x8000, 0x0002
"""A0 and B7 are outputs, A1 is an input."""


class Bench:
    """The adapter with its chips, and whose hand is on them."""

    def __init__(self, guest: Guest) -> None:
        self._program = guest.start_python("from hil.gpio_guest.usb_i2c import serve; serve()")
        self.bus: int = self.ask("plug")

    def ask(self, *words: object) -> Any:
        """A word to it; its answer."""
        self._program.tell(" ".join(map(str, words)) + "\n")
        return json.loads(self._program.line())

    def end(self) -> None:
        """Pull it for good; whoever used it has ended."""
        self.ask("pull")
        self._program.tell("", end=True)
        self._program.wait().checked()

    def plans(self) -> list[list[Any]]:
        """An expander and a converter on this bus."""
        expander = {"chip": "mcp23017", "address": EXPANDER, "bus": self.bus}
        converter = {"chip": "ads1115", "address": CONVERTER, "bus": self.bus}
        return [
            [
                "i2c",
                expander,
                [
                    line("A1", "part", False, settings={"pull": "up"}),
                    line("A0", "valve", True),
                    line("B7", "brake", True, safe=1, abort=1),
                ],
            ],
            ["i2c", converter, [line("0", "airflow", False, low=-32768, high=32767) | {"kind": "analog"}]],
        ]


@pytest.fixture
def bench(virt: Guest) -> Iterator[Bench]:
    virt.load(*MODULES)
    virt.preload("board.i2c_devices")
    made = Bench(virt)
    yield made
    made.end()


def until(rig: DriverRig, signal: str, wanted: tuple[int, int]) -> None:
    """Scan until it reads so."""
    deadline = time.monotonic() + BACK_S
    while (seen := rig.scan()[signal]) != wanted:
        if time.monotonic() > deadline:
            pytest.fail(f"{signal} reads {seen} after {BACK_S} s; {rig.ask('devices')}")


def until_driven(bench: Bench, levels: int) -> None:
    deadline = time.monotonic() + BACK_S
    while (seen := bench.ask("driven")) != levels:
        if time.monotonic() > deadline:
            pytest.fail(f"it drives {seen:#06x}, not {levels:#06x}, after {BACK_S} s")


def until_all(rig: DriverRig, state: str) -> None:
    deadline = time.monotonic() + BACK_S
    while set(seen := states(rig)) != {state}:
        if time.monotonic() > deadline:
            pytest.fail(f"{seen} after {BACK_S} s; {rig.ask('devices')}")
        rig.scan()


def states(rig: DriverRig) -> list[str]:
    return [status["state"] for status in rig.ask("devices")]


def test_outputs_inputs_and_a_converter_and_a_killed_controller(virt: Guest, bench: Bench) -> None:
    """The expander holds what it was told; the restart takes it over without a level between."""
    rig = DriverRig(virt, *bench.plans())
    until_driven(bench, BRAKE)
    rig.begin(valve=1, brake=0)
    until_driven(bench, VALVE)
    bench.ask("outside", PART)
    until(rig, "part", (1, GOOD))
    for millivolts in (2048, -1024):
        bench.ask("millivolts", 0, millivolts)
        until(rig, "airflow", (millivolts * 8, GOOD))
    rig.program.kill()
    assert bench.ask("driven") == VALVE
    again = DriverRig(virt, *bench.plans())
    until_driven(bench, BRAKE)
    assert bench.ask("driven_ever") == [0, BRAKE, VALVE, BRAKE]
    again.end()


def test_an_adapter_that_is_pulled_comes_back_with_its_outputs_at_abort_levels(
    virt: Guest, bench: Bench
) -> None:
    rig = DriverRig(virt, *bench.plans()).begin(valve=1, brake=0)
    until_driven(bench, VALVE)
    bench.ask("outside", PART)
    bench.ask("pull")
    until_all(rig, FAULTED)
    assert {quality for _, quality in rig.scan().values()} == {BAD}
    bench.ask("power_cycle")
    assert bench.ask("plug") == bench.bus
    until(rig, "part", (1, GOOD))
    until_all(rig, RUNNING)
    until_driven(bench, BRAKE)
    assert bench.ask("driven_ever") == [0, BRAKE]
    rig.ask("rearm")
    rig.scan()
    until_driven(bench, VALVE)
    rig.end()


def test_a_chip_without_power_is_set_up_again_and_a_silent_one_does_not_stop_the_other(
    virt: Guest, bench: Bench
) -> None:
    rig = DriverRig(virt, *bench.plans()).begin(valve=1, brake=0)
    until_driven(bench, VALVE)
    bench.ask("power_cycle")
    until_driven(bench, BRAKE)
    assert [status["losses"] for status in rig.ask("devices")] == [1, 0]
    until_all(rig, RUNNING)
    rig.ask("rearm")
    rig.scan()
    until_driven(bench, VALVE)
    bench.ask("silent", EXPANDER)
    until(rig, "part", (0, BAD))
    assert states(rig) == [FAULTED, RUNNING]
    bench.ask("millivolts", 0, 512)
    until(rig, "airflow", (4096, GOOD))
    bench.ask("heard")
    until_driven(bench, BRAKE)
    rig.end()


def test_a_bus_that_is_not_there_is_refused_with_the_remedy(virt: Guest) -> None:
    plan = ["i2c", {"chip": "mcp23017", "address": EXPANDER, "bus": 7}, [line("A1", "part", False)]]
    with pytest.raises(
        RefusedError, match="there is no /dev/i2c-7; on a Pi `sudo raspi-config nonint do_i2c 0`"
    ):
        DriverRig(virt, plan)
