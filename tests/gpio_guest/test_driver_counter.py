"""The project's pulse counter on a kernel: every pulse counts once, whatever else the controller does meanwhile."""

from typing import Any

import pytest

from cell_controller.core.signals import GOOD
from hil.gpio_guest.guest import Guest
from hil.gpio_guest.lines import HostLines
from tests.gpio_guest.driver_rig import DriverRig

pytestmark = pytest.mark.gpio_guest

PULSES = 6


def counting(virt: Guest, high: int = 9999, room: int = 1024, **settings: Any) -> DriverRig:
    virt.lines.power_on(PULSES)
    point = {
        "signal": "energy",
        "kind": "counter",
        "is_output": False,
        "at": f"gpiochip0:{PULSES}",
        "high": high,
    }
    return DriverRig(virt, ["pulse", {}, [{**point, "settings": settings}]], room=room)


def pulse(rig: DriverRig, lines: HostLines, count: int, scan_every: int = 1) -> None:
    """So many pulses; the kernel has taken each level before the next comes."""
    for n in range(count):
        for level in (1, 0):
            lines.set_input(PULSES, level)
            rig.scan() if n % scan_every == scan_every - 1 else rig.ask("devices")


def count(rig: DriverRig) -> int:
    value, quality = rig.scan()["energy"]
    assert quality == GOOD
    return value


def test_every_pulse_is_counted_once(virt: Guest) -> None:
    rig = counting(virt)
    assert count(rig) == 0
    pulse(rig, virt.lines, 40)
    assert count(rig) == 40
    rig.end()


def test_falling_edges_are_counted_where_wired_so(virt: Guest) -> None:
    rig = counting(virt, edge="falling")
    virt.lines.set_input(PULSES, 1)
    assert count(rig) == 0
    virt.lines.set_input(PULSES, 0)
    assert count(rig) == 1
    rig.end()


def test_pulses_between_two_scans_are_not_lost(virt: Guest) -> None:
    rig = counting(virt)
    pulse(rig, virt.lines, 60, scan_every=30)
    assert count(rig) == 60
    rig.end()


def test_the_count_goes_round_at_its_greatest(virt: Guest) -> None:
    rig = counting(virt, high=9)
    pulse(rig, virt.lines, 12)
    assert count(rig) == 2
    rig.end()


def test_more_than_the_kernel_has_room_for_is_counted_all_the_same_and_told(virt: Guest) -> None:
    room, more = 32, 20
    rig = counting(virt, room=room)
    pulse(rig, virt.lines, room + more, scan_every=10 * room)
    assert count(rig) == room + more
    assert f"no room for {more} edges" in rig.ask("devices")[0]["fault"]
    rig.end()
