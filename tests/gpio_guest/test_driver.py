"""The project's GPIO driver on a kernel: what a board promises, with the lines watched from outside the machine."""

from collections.abc import Iterator

import pytest

from board.device_link import RUNNING
from cell_controller.core.signals import GOOD
from hil.gpio_guest.guest import Guest
from hil.gpio_guest.lines import Pl061Lines
from hil.gpio_guest.qtest import Wire
from tests.gpio_guest.driver_rig import DriverRig, RefusedError, gpio, line

pytestmark = pytest.mark.gpio_guest

CLAMP, FAN, LAMP = 0, 1, 2
DOOR, PART, PULSES = 4, 5, 6
DEBOUNCE_MS = 200

OUTPUTS = (
    line("gpiochip0:0", "clamp", True),
    line("gpiochip0:1", "fan", True, safe=1, abort=1),
    line("gpiochip0:2", "lamp", True, active_low=True, safe=1, abort=1),
)
INPUTS = (line("gpiochip0:4", "door", False), line("gpiochip0:5", "part", False, active_low=True))
SAFE = {CLAMP: 0, FAN: 1, LAMP: 1}


@pytest.fixture(autouse=True)
def lines(virt: Guest) -> Pl061Lines:
    """All lines as when power comes."""
    assert isinstance(virt.lines, Pl061Lines)
    for number in range(virt.lines.count):
        virt.lines.power_on(number)
    return virt.lines


@pytest.fixture
def rig(virt: Guest) -> Iterator[DriverRig]:
    made = DriverRig(virt, gpio(*OUTPUTS, *INPUTS))
    yield made
    made.end()


def driven(lines: Pl061Lines) -> dict[int, int]:
    """The outputs as they are outside; none may be let go."""
    assert all(lines.is_output(number) for number in SAFE)
    return {number: lines.level(number) for number in SAFE}


def test_outputs_are_safe_when_open_returns(rig: DriverRig, lines: Pl061Lines) -> None:
    assert driven(lines) == SAFE


def test_no_output_ever_was_anything_else_on_the_way_there(
    virt: Guest, wire: Wire, lines: Pl061Lines
) -> None:
    wire.mark()
    DriverRig(virt, gpio(*OUTPUTS)).end()
    assert wire.changes() == [(FAN, 1), (LAMP, 1)]


def test_outputs_wait_for_a_reset_of_the_cell(rig: DriverRig, lines: Pl061Lines) -> None:
    rig.scan(clamp=1, fan=0)
    assert driven(lines) == SAFE
    rig.ask("rearm")
    rig.scan()
    assert driven(lines) == {CLAMP: 1, FAN: 0, LAMP: 1}


def test_each_output_acts_and_no_other(rig: DriverRig, lines: Pl061Lines, wire: Wire) -> None:
    rig.begin(clamp=0, fan=0, lamp=0)
    assert driven(lines) == {CLAMP: 0, FAN: 0, LAMP: 1}
    wire.mark()
    for name, number, level in (("clamp", CLAMP, 1), ("fan", FAN, 1), ("lamp", LAMP, 0), ("clamp", CLAMP, 0)):
        rig.scan(**{name: level ^ (name == "lamp")})
        assert driven(lines)[number] == level
    told = wire.changes()
    assert told == [(CLAMP, 1), (FAN, 1), (LAMP, 0), (CLAMP, 0)]


def test_inputs_are_read_with_good_quality_and_turned_over_where_wired_so(
    rig: DriverRig, lines: Pl061Lines
) -> None:
    assert rig.scan() == {"door": (0, GOOD), "part": (1, GOOD)}
    lines.set_input(DOOR, 1)
    lines.set_input(PART, 1)
    assert rig.scan() == {"door": (1, GOOD), "part": (0, GOOD)}
    assert [(status["state"], status["fault"]) for status in rig.ask("devices")] == [(RUNNING, "")]


def test_make_safe_acts_at_once_and_keeps_the_kept(rig: DriverRig, lines: Pl061Lines) -> None:
    rig.begin(clamp=1, fan=0, lamp=1)
    rig.ask("safe", "clamp=0", "lamp=0")
    assert driven(lines) == {CLAMP: 0, FAN: 0, LAMP: 1}


def test_an_input_may_bounce(virt: Guest, lines: Pl061Lines) -> None:
    """The kernel debounces: what does not last is never read."""
    rig = DriverRig(virt, gpio(line("gpiochip0:4", "door", False, settings={"debounce_ms": DEBOUNCE_MS})))
    seen = set()
    for _ in range(5):
        lines.set_input(DOOR, 1)
        lines.set_input(DOOR, 0)
        seen.add(rig.scan()["door"])
    assert seen == {(0, GOOD)}
    lines.set_input(DOOR, 1)
    for _ in range(1000):
        if rig.scan()["door"] == (1, GOOD):
            break
    else:
        pytest.fail("the level lasts and is not read")
    rig.end()


def test_after_sigkill_the_outputs_are_held_and_a_restart_makes_them_safe_without_a_glitch(
    virt: Guest, lines: Pl061Lines, wire: Wire
) -> None:
    """Each line goes once to its safe level, and one that has it already shows nothing."""
    rig = DriverRig(virt, gpio(*OUTPUTS, *INPUTS)).begin(clamp=1, fan=0, lamp=0)
    wire.mark()
    rig.program.kill()
    assert driven(lines) == {CLAMP: 1, FAN: 0, LAMP: 1}
    assert wire.changes() == []
    again = DriverRig(virt, gpio(*OUTPUTS, *INPUTS))
    assert driven(lines) == SAFE
    assert wire.changes() == [(CLAMP, 0), (FAN, 1)]
    again.end()


def test_an_orderly_end_leaves_the_outputs_as_they_were_made_safe(
    virt: Guest, lines: Pl061Lines, wire: Wire
) -> None:
    rig = DriverRig(virt, gpio(*OUTPUTS)).begin(clamp=1)
    rig.ask("safe", "clamp=0", "fan=1", "lamp=0")
    wire.mark()
    rig.end()
    assert (driven(lines), wire.changes()) == (SAFE, [])


def test_a_second_controller_is_refused_and_told_who_has_the_line(virt: Guest, rig: DriverRig) -> None:
    with pytest.raises(RefusedError, match=r"gpiochip0:0 \('cell-controller'\).* is in use"):
        DriverRig(virt, gpio(*OUTPUTS))


def test_a_pull_on_a_chip_without_pulls_is_taken_and_not_there(virt: Guest) -> None:
    """The kernel says nothing of a pull that it cannot make: on such a chip a wired one is needed."""
    rig = DriverRig(virt, gpio(line("gpiochip0:4", "door", False, settings={"pull": "up"})))
    assert rig.scan()["door"] == (0, GOOD)
    rig.end()


def test_open_drain_is_refused_or_never_driven_high(virt: Guest, lines: Pl061Lines) -> None:
    """The kernel makes it of a line that can be let go: low is driven, high is not."""
    rig = DriverRig(virt, gpio(line("gpiochip0:0", "clamp", True, settings={"drive": "open_drain"})))
    rig.begin(clamp=1)
    assert not lines.is_output(CLAMP)
    rig.scan(clamp=0)
    assert (lines.is_output(CLAMP), lines.level(CLAMP)) == (True, 0)
    rig.end()
