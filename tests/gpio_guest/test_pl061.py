"""The rig itself, with plain gpiod: what is done inside is seen outside, and the other way round, on a PL061."""

import errno

import pytest

from hil.gpio_guest.errors import GuestError
from hil.gpio_guest.guest import Guest, Program
from hil.gpio_guest.lines import Pl061Lines
from hil.gpio_guest.qtest import Wire

pytestmark = pytest.mark.gpio_guest

INSIDE = "from tests.gpio_guest.inside import *;"
LINE = 5
DEBOUNCE_MS = 200


def inside(guest: Guest, call: str, first: str) -> Program:
    """A function of tests.gpio_guest.inside in a process of the guest, past its `first` line."""
    program = guest.start_python(f"{INSIDE} {call}")
    told = program.line()
    assert told == first, told
    return program


def ended(program: Program) -> str:
    program.tell("", end=True)
    return program.wait().checked()


@pytest.fixture
def lines(virt: Guest) -> Pl061Lines:
    """All of them as when power comes."""
    assert isinstance(virt.lines, Pl061Lines)
    for line in range(virt.lines.count):
        virt.lines.power_on(line)
    return virt.lines


def test_the_chip_is_the_one_of_the_board_with_all_its_lines(virt: Guest) -> None:
    told = virt.python(f"{INSIDE} describe()").checked().splitlines()
    assert told[0] == f"gpiochip0 {virt.machine.chip} {virt.machine.lines}"
    assert [line.split()[0] for line in told[1:]] == [str(n) for n in range(virt.machine.lines)]


def test_an_output_is_driven_outside_as_it_is_set_inside(virt: Guest, lines: Pl061Lines) -> None:
    holder = inside(virt, f"hold({LINE}, 1)", "holding")
    assert (lines.is_output(LINE), lines.level(LINE)) == (True, 1)
    for level in (0, 1, 0):
        holder.tell(f"{level}\n")
        assert holder.line() == f"set {level}"
        assert lines.level(LINE) == level
    ended(holder)


def test_an_input_reads_inside_what_is_put_on_it_outside(virt: Guest, lines: Pl061Lines) -> None:
    reader = inside(virt, f"read({LINE})", "ready")
    assert not lines.is_output(LINE)
    for level in (1, 0, 1):
        lines.set_input(LINE, level)
        reader.tell("\n")
        assert reader.line() == str(level)
    ended(reader)


def test_active_low_turns_both_directions_over(virt: Guest, lines: Pl061Lines) -> None:
    holder = inside(virt, f"hold({LINE}, 1, active_low=True)", "holding")
    assert lines.level(LINE) == 0
    ended(holder)
    reader = inside(virt, f"read({LINE}, active_low=True)", "ready")
    lines.set_input(LINE, 1)
    reader.tell("\n")
    assert reader.line() == "0"
    ended(reader)


def test_nothing_outside_drives_a_line_that_the_guest_drives(virt: Guest, lines: Pl061Lines) -> None:
    holder = inside(virt, f"hold({LINE}, 1)", "holding")
    with pytest.raises(GuestError, match=f"line {LINE} is an output"):
        lines.set_input(LINE, 0)
    ended(holder)


def test_a_line_has_one_owner(virt: Guest, lines: Pl061Lines) -> None:
    holder = inside(virt, f"hold({LINE}, 1)", "holding")
    second = virt.python(f"{INSIDE} hold({LINE}, 0)")
    assert second.exit == 1
    assert f"[Errno {errno.EBUSY}]" in second.err
    assert lines.level(LINE) == 1
    ended(holder)


def test_edges_arrive_in_order_each_with_its_direction_and_time(virt: Guest, lines: Pl061Lines) -> None:
    count = 50
    seer = inside(virt, f"edges({LINE}, {count})", "ready 0")
    told = []
    for n in range(count):
        lines.set_input(LINE, 1 - n % 2)
        told.append(seer.line().split())
    ended(seer)
    assert [kind for kind, *_ in told] == ["rising", "falling"] * (count // 2)
    assert [int(number) for _, _, number, _ in told] == list(range(1, count + 1))
    times = [int(at) for _, at, _, _ in told]
    assert times == sorted(set(times))
    assert all(int(read) > int(at) for _, at, _, read in told)


def test_the_numbers_of_edges_tell_what_the_kernel_could_not_keep(virt: Guest, lines: Pl061Lines) -> None:
    """A full buffer drops the oldest: a counter must count by the number on the line, not by events."""
    kept, made = 8, 30
    seer = inside(virt, f"edges({LINE}, {kept}, buffer={kept})", "ready 0")
    for n in range(made):
        lines.set_input(LINE, 1 - n % 2)
        seer.tell("\n")
        assert seer.line() == "here"
    seer.tell("go\n")
    numbers = [int(seer.line().split()[2]) for _ in range(kept)]
    ended(seer)
    assert numbers == list(range(made - kept + 1, made + 1))


def test_debounce_lets_only_what_lasts_through(virt: Guest, lines: Pl061Lines) -> None:
    """Twenty changes in a row within the period, the last one rising, are one rising edge."""
    seer = inside(virt, f"edges({LINE}, 1, debounce_ms={DEBOUNCE_MS})", "ready 0")
    for level in [1, 0] * 10 + [1]:
        lines.set_input(LINE, level)
    told = [seer.line().split()[0], seer.line()]
    ended(seer)
    assert told == ["rising", "end 1"]


def test_after_sigkill_a_pl061_goes_on_driving(virt: Guest, lines: Pl061Lines, wire: Wire) -> None:
    """The kernel lets the line go, and the PL061's driver does nothing then: the last level stays on the wire."""
    holder = inside(virt, f"hold({LINE}, 1)", "holding")
    wire.mark()
    holder.kill()
    assert virt.python(f"{INSIDE} describe()").checked().splitlines()[1 + LINE].endswith("output None")
    assert (lines.is_output(LINE), lines.level(LINE)) == (True, 1)
    assert wire.changes() == []


@pytest.mark.parametrize("level", [1, 0])
def test_a_restart_takes_a_line_over_without_a_glitch(
    virt: Guest, lines: Pl061Lines, wire: Wire, level: int
) -> None:
    """To the same level the wire sees nothing at all, to the other one edge."""
    inside(virt, f"hold({LINE}, 1)", "holding").kill()
    wire.mark()
    holder = inside(virt, f"hold({LINE}, {level})", "holding")
    assert wire.changes() == ([] if level else [(LINE, 0)])
    assert (lines.is_output(LINE), lines.level(LINE)) == (True, level)
    ended(holder)


def test_a_request_as_input_lets_a_line_go(virt: Guest, lines: Pl061Lines, wire: Wire) -> None:
    """Now nothing drives it any more, and the pull takes it down."""
    inside(virt, f"hold({LINE}, 1)", "holding").kill()
    reader = inside(virt, f"read({LINE})", "ready")
    assert not lines.is_output(LINE)
    assert wire.changes()[-1] == (LINE, 0)
    ended(reader)


def test_the_wire_shows_every_pulse_that_the_guest_makes(virt: Guest, lines: Pl061Lines, wire: Wire) -> None:
    holder = inside(virt, f"hold({LINE}, 0)", "holding")
    wire.mark()
    holder.tell("1\n0\n" * 10)
    for _ in range(20):
        holder.line()
    assert wire.changes() == [(LINE, 1), (LINE, 0)] * 10
    ended(holder)
