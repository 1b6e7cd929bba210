"""Phases that wait, each for something else, until the test has seen enough."""

from cell_controller import operator, phase, ramp, soak, state, together, until, wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    Waits = Generator[Any, None, None]


@phase(needs=("part_present",))  # type: ignore[untyped-decorator]
def fill(cell: "Any") -> "Waits":
    cell.valve.on()
    yield until(cell.level, min=90, within_s=9000, fault="level did not rise")
    cell.valve.off()


@phase
def rest(cell: "Any") -> "Waits":
    yield wait(9000000)


@phase
def warm(cell: "Any") -> "Waits":
    yield ramp(cell.heater, to=100, over_s=9000)


@phase
def settle(cell: "Any") -> "Waits":
    yield soak(cell.pressure, min=4, for_s=9000, within_s=10, fault="no pressure")


@phase
def both(cell: "Any") -> "Waits":
    yield together(
        wait(9000000, held="run"),
        until(cell.door_closed, on=False, within_s=9000, fault="door did not open"),
        wait(10),
    )


@phase
def person(cell: "Any") -> "Waits":
    yield operator("look at the part")


@phase
def sampling(cell: "Any") -> "Waits":
    scans = 0
    while True:
        scans = scans + 1 & 0xFFFF
        if cell.level.value > 500:
            cell.drain.on()
        else:
            cell.drain.off()
        cell.heater.set(scans & 63)
        yield


@phase
def touch(cell: "Any") -> "Waits":
    cell.valve.on()
    yield wait(20)
    cell.record("level_mm", cell.level.value, 10)
    cell.valve.off()


@state("Resetting")
def reset(cell: "Any") -> "Waits":
    if not cell.door_closed.is_on:
        yield until(cell.door_closed, within_s=9000, fault="door did not close")
