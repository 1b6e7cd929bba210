"""The project's GPIO driver on a Raspberry Pi's pins, found by their names; what they do when it dies.

That is not the driver's to decide: it is the kernel's, by persist_gpio_outputs, and what `on_death` of a wiring file
must say follows from it.
"""

import pytest

from board.contract import HOLD_LAST, RELEASE
from cell_controller.core.signals import GOOD
from hil.gpio_guest.guest import Guest
from tests.gpio_guest.driver_rig import DriverRig, RefusedError, gpio, line

pytestmark = pytest.mark.gpio_guest

CLAMP, FAN, DOOR = 17, 45, 4
POINTS = (
    line("GPIO17", "clamp", True),
    line("GPIO45", "fan", True, safe=1, abort=1),
    line("GPIO4", "door", False, settings={"pull": "up"}),
)


def rig(guest: Guest, on_death: str) -> DriverRig:
    for number in (CLAMP, FAN, DOOR):
        guest.lines.power_on(number)
    return DriverRig(guest, gpio(*POINTS), on_death=on_death)


def levels(guest: Guest) -> tuple[int, int]:
    assert guest.lines.is_output(CLAMP)
    assert guest.lines.is_output(FAN)
    return guest.lines.level(CLAMP), guest.lines.level(FAN)


def test_pins_are_found_by_their_names_and_act(pi: Guest) -> None:
    board = rig(pi, RELEASE)
    assert levels(pi) == (0, 1)
    board.begin(clamp=1, fan=0)
    assert levels(pi) == (1, 0)
    pi.lines.set_input(DOOR, 1)
    assert board.scan() == {"door": (1, GOOD)}
    board.end()


def test_a_pin_that_is_not_there_is_refused(pi: Guest) -> None:
    with pytest.raises(RefusedError, match="GPIO99"):
        DriverRig(pi, gpio(line("GPIO99", "clamp", True)))


def test_sigkill_releases_on_the_kernels_own_default_and_a_restart_is_safe(pi: Guest) -> None:
    rig(pi, RELEASE).begin(clamp=1, fan=0).program.kill()
    assert not pi.lines.is_output(CLAMP)
    assert not pi.lines.is_output(FAN)
    again = DriverRig(pi, gpio(*POINTS))
    assert levels(pi) == (0, 1)
    again.end()


def test_sigkill_holds_on_raspberry_pi_os_and_a_restart_is_safe(pi_that_persists: Guest) -> None:
    guest = pi_that_persists
    rig(guest, HOLD_LAST).begin(clamp=1, fan=0).program.kill()
    assert levels(guest) == (1, 0)
    again = DriverRig(guest, gpio(*POINTS))
    assert levels(guest) == (0, 1)
    again.end()


def test_an_orderly_end_also_lets_go_on_the_kernels_own_default(pi: Guest) -> None:
    """A line whose safe level is high then needs a pull that keeps it there."""
    board = rig(pi, RELEASE)
    board.end()
    assert not pi.lines.is_output(FAN)
