"""A Raspberry Pi's pins with Linux's driver of them: lines, levels, and what stays on them when their process dies.

QEMU's pin controller knows no edges and no pulls; those are tested on a PL061.
"""

import pytest

from hil.gpio_guest.guest import Guest, Program
from tests.gpio_guest.test_pl061 import INSIDE, ended, inside

pytestmark = pytest.mark.gpio_guest

LINES = (4, 17, 27, 53)
"""One of each ten or so, and the last: they are spread over the controller's registers."""

OUTPUT, FREE = "output test", "output None"


@pytest.fixture
def line(pi: Guest) -> int:
    pi.lines.power_on(17)
    return 17


def held(guest: Guest, line: int, level: int) -> Program:
    return inside(guest, f"hold({line}, {level})", "holding")


def told(guest: Guest, line: int) -> str:
    """What the kernel says of a line: its direction and its user."""
    return guest.python(f"{INSIDE} describe()").checked().splitlines()[1 + line].split(maxsplit=2)[2]


def test_the_chip_has_all_lines_by_their_names(pi: Guest) -> None:
    described = pi.python(f"{INSIDE} describe()").checked().splitlines()
    assert described[0] == f"gpiochip0 {pi.machine.chip} {pi.machine.lines}"
    assert [line.split()[1] for line in described[1:29]][17] == "GPIO17"
    assert len(described) == 1 + pi.machine.lines


@pytest.mark.parametrize("line", LINES)
def test_an_output_is_driven_as_it_is_set(pi: Guest, line: int) -> None:
    pi.lines.power_on(line)
    holder = held(pi, line, 1)
    assert (pi.lines.is_output(line), pi.lines.level(line)) == (True, 1)
    for level in (0, 1, 0):
        holder.tell(f"{level}\n")
        assert holder.line() == f"set {level}"
        assert pi.lines.level(line) == level
    ended(holder)


def test_an_input_reads_what_is_put_on_it(pi: Guest, line: int) -> None:
    reader = inside(pi, f"read({line})", "ready")
    for level in (1, 0, 1):
        pi.lines.set_input(line, level)
        reader.tell("\n")
        assert reader.line() == str(level)
    ended(reader)


def test_bias_is_taken(pi: Guest, line: int) -> None:
    """The model has no pulls, so this says only that the driver accepts the request."""
    ended(inside(pi, f"read({line}, bias='PULL_UP')", "ready"))


def test_after_sigkill_the_kernels_own_default_makes_the_line_an_input(pi: Guest, line: int) -> None:
    """Its pull then decides: on real pins of a Raspberry Pi down for 9..27 and up for 2..8, whatever it drove.

    The kernel's own list, which `gpioinfo` shows, goes on saying that it is an output.
    """
    holder = held(pi, line, 1)
    holder.kill()
    assert told(pi, line) == FREE
    assert not pi.lines.is_output(line)


def test_after_sigkill_on_raspberry_pi_os_the_line_stays_driven(pi_that_persists: Guest) -> None:
    """Its kernel has persist_gpio_outputs on, unless config.txt says dtparam=strict_gpiod."""
    line = 17
    held(pi_that_persists, line, 1).kill()
    assert told(pi_that_persists, line) == FREE
    assert (pi_that_persists.lines.is_output(line), pi_that_persists.lines.level(line)) == (True, 1)


@pytest.mark.parametrize("level", [0, 1])
def test_a_restart_drives_what_it_asks_for(pi_that_persists: Guest, level: int) -> None:
    line = 27
    held(pi_that_persists, line, 1).kill()
    again = held(pi_that_persists, line, level)
    assert told(pi_that_persists, line) == OUTPUT
    assert (pi_that_persists.lines.is_output(line), pi_that_persists.lines.level(line)) == (True, level)
    ended(again)
