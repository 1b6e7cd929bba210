"""How long things take in a guest. Emulated: ratios and limits mean something, microseconds do not carry over to a Pi.

python -m hil.gpio_guest.measure [--edges 300]
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from hil.gpio_guest.errors import GuestError
from hil.gpio_guest.guest import Guest
from hil.gpio_guest.lines import Pl061Lines

INSIDE = "from hil.gpio_guest.measured import *;"
SOURCE, TARGET = 6, 0


@dataclass(frozen=True)
class Spread:
    """Of many times: microseconds."""

    count: int
    median_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True)
class CallCost:
    """Mean microseconds of one call of plain gpiod in Python, and of a loop without a call."""

    lines: int
    get_values_us: float
    set_values_us: float
    loop_us: float


@dataclass(frozen=True)
class ImageCost:
    """Mean microseconds of reading and of writing an image, by the driver and by hand with plain gpiod."""

    read_us: float
    write_us: float
    bare_read_us: float
    bare_write_us: float


def spread(times_ns: Sequence[int]) -> Spread:
    """Of at least one time in nanoseconds."""
    order = sorted(times_ns)
    at = [order[len(order) // 2], order[min(len(order) - 1, len(order) * 99 // 100)], order[-1]]
    return Spread(len(order), *(round(ns / 1000, 1) for ns in at))


def call_cost(guest: Guest, lines: int = 1, times: int = 1000) -> CallCost:
    """What get_values and set_values of `lines` lines cost in the guest. Raises GuestError."""
    told = guest.python(f"{INSIDE} calls(0, {lines}, {times})", timeout_s=60).checked()
    return CallCost(lines, *(round(int(ns) / 1000, 1) for ns in told.split()))


def image_cost(guest: Guest, times: int = 1000) -> ImageCost:
    """What an image of four inputs and three outputs costs in the guest. Raises GuestError."""
    told = guest.python(f"{INSIDE} image([4, 5, 6, 7], [0, 1, 2], {times})", timeout_s=60).checked()
    return ImageCost(*(round(int(ns) / 1000, 1) for ns in told.split()))


def edge_latency(guest: Guest, edges: int = 300) -> Spread:
    """From the kernel's time stamp of an edge until Python in the guest, which slept, has it. Raises GuestError."""
    guest.lines.power_on(SOURCE)
    program = guest.start_python(f"{INSIDE} edges({SOURCE}, {edges})")
    program.line()
    times = []
    for n in range(edges):
        guest.lines.set_input(SOURCE, 1 - n % 2)
        times.append(int(program.line()))
    program.wait().checked()
    return spread(times)


def reaction(guest: Guest, edges: int = 200) -> Spread:
    """From an edge that is made outside until Python inside has moved another line, seen outside.

    What it takes to ask QEMU and to hear of it is in that. Raises GuestError; board `virt` only.
    """
    if not isinstance(guest.lines, Pl061Lines):
        raise GuestError(f"{guest.machine.name} has no edges from outside; use virt")
    for line in (SOURCE, TARGET):
        guest.lines.power_on(line)
    guest.lines.watch()
    program = guest.start_python(f"{INSIDE} follow({SOURCE}, {TARGET})")
    program.line()
    seen = len(guest.qtest.settled())
    times = []
    for n in range(edges):
        began = time.monotonic_ns()
        guest.lines.set_input(SOURCE, 1 - n % 2)
        times.append(guest.qtest.wait_wire(seen + n + 1)[seen + n].at_ns - began)
    program.kill()
    return spread(times)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all of it as JSON, one line a figure."""
    parser = argparse.ArgumentParser(
        prog="python -m hil.gpio_guest.measure", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "--edges", type=int, default=300, metavar="N", help="edges of each figure, default 300"
    )
    edges = parser.parse_args(arguments).edges
    try:
        with Guest() as guest:
            print(json.dumps({"boot_s": round(guest.boot_s, 2), **guest.facts}), flush=True)
            for name, figure in (
                ("edge_latency", edge_latency(guest, edges)),
                ("reaction", reaction(guest, edges)),
                ("image_cost", image_cost(guest)),
                ("call_cost", call_cost(guest)),
                ("call_cost", call_cost(guest, lines=guest.machine.lines)),
            ):
                print(json.dumps({name: asdict(figure)}), flush=True)
    except GuestError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
