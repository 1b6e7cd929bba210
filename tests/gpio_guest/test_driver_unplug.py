"""A chip that goes and comes back, as a GPIO expander on USB does: here its driver is taken from it and given back."""

import time
from collections.abc import Iterator

import pytest

from board.device_link import FAULTED, RUNNING
from cell_controller.core.signals import BAD, GOOD
from hil.gpio_guest.guest import Guest
from hil.gpio_guest.image import Image
from tests.gpio_guest.driver_rig import DriverRig, gpio, line

pytestmark = pytest.mark.gpio_guest

CLAMP, FAN, DOOR, PULSES = 0, 1, 4, 6
POINTS = (
    line("gpiochip0:0", "clamp", True),
    line("gpiochip0:1", "fan", True, safe=1, abort=1),
    line("gpiochip0:4", "door", False),
)
COUNTER = line("gpiochip0:6", "energy", False, kind="counter", high=9999)
BACK_S = 10.0
SAME_NUMBER = (6, 9)
"""From here on a chip whose lines were in use when it went comes back as what it was: seen on 6.12, and not on 6.1."""


class Plug:
    """The chip's."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def pull(self) -> None:
        self._driver("unbind")

    def put(self) -> None:
        self._driver("bind")

    def _driver(self, what: str) -> None:
        chip = self._guest.machine.chip
        self._guest.python(f"open('/sys/bus/amba/drivers/pl061_gpio/{what}', 'w').write('{chip}')").checked()


@pytest.fixture
def plug(image: Image, virt: Guest) -> Iterator[Plug]:
    if image.kernel_version < SAME_NUMBER:
        pytest.skip(f"kernel {image.release} gives a chip that comes back another number")
    for number in range(virt.lines.count):
        virt.lines.power_on(number)
    made = Plug(virt)
    yield made
    if virt.run("busybox", "test", "-e", "/dev/gpiochip0").exit:
        made.put()


def until(rig: DriverRig, signal: str, value: tuple[int, int]) -> None:
    """Scan until it reads so."""
    deadline = time.monotonic() + BACK_S
    while (seen := rig.scan()[signal]) != value:
        if time.monotonic() > deadline:
            pytest.fail(f"{signal} reads {seen} after {BACK_S} s; {rig.ask('devices')}")


def states(rig: DriverRig) -> list[str]:
    return [status["state"] for status in rig.ask("devices")]


def test_a_lost_chip_makes_its_inputs_bad_and_its_outputs_come_back_safe(virt: Guest, plug: Plug) -> None:
    rig = DriverRig(virt, gpio(*POINTS)).begin(clamp=1, fan=0)
    plug.pull()
    assert rig.scan()["door"][1] == BAD
    assert states(rig) == [FAULTED]
    virt.lines.set_input(DOOR, 1)
    plug.put()
    until(rig, "door", (1, GOOD))
    assert states(rig) == [RUNNING]
    assert (virt.lines.level(CLAMP), virt.lines.level(FAN)) == (0, 1)
    rig.ask("rearm")
    rig.scan()
    assert (virt.lines.level(CLAMP), virt.lines.level(FAN)) == (1, 0)
    rig.end()


def test_a_counter_goes_on_from_where_it_was(virt: Guest, plug: Plug) -> None:
    rig = DriverRig(virt, ["pulse", {}, [COUNTER]])
    for level in (1, 0, 1, 0):
        virt.lines.set_input(PULSES, level)
        rig.scan()
    assert rig.scan()["energy"] == (2, GOOD)
    plug.pull()
    assert rig.scan()["energy"] == (2, BAD)
    plug.put()
    until(rig, "energy", (2, GOOD))
    virt.lines.set_input(PULSES, 1)
    until(rig, "energy", (3, GOOD))
    rig.end()
