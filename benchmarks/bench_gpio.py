"""A scan's share of GPIO: the driver beside the same calls of gpiod written by hand.

What lies below the Python part of gpiod does nothing here, so the difference of the two is the driver's own work, and
the ratio is greater than on a machine, where the kernel takes its time as well.
"""

import time
from collections.abc import Callable
from typing import Any, cast
from unittest import mock

import gpiod
from gpiod import _ext
from gpiod.line import Value

from benchmarks.timing import paired, row
from board import gpio_lines
from board.contract import DevicePlan, Point
from board.gpio_chips import Line
from board.gpio_lines import GpioLines

LINES = 14
"""Inputs, and as many outputs: all the pins of a Pi that are free."""

CALLS = 5_000
ROUNDS = 15


class NoKernel:
    """A request whose lines are all low."""

    def __init__(self, offsets: list[int]) -> None:
        self.offsets = offsets
        self.written: dict[int, Value] = {}

    def get_values(self, offsets: list[int], values: list[Value]) -> None:
        """See _ext.Request."""
        values[:] = [Value.INACTIVE] * len(offsets)

    def set_values(self, values: dict[int, Value]) -> None:
        """See _ext.Request."""
        self.written = values

    def release(self) -> None:
        """See _ext.Request."""


def request(path: str, config: dict[int, Any], consumer: str) -> gpiod.LineRequest:
    """What gpiod.request_lines gives, without a chip."""
    made = gpiod.LineRequest(cast("_ext.Request", NoKernel(list(config))))
    made._lines = list(config)
    made._name_map = {}
    made._offsets = list(config)
    return made


def device() -> GpioLines:
    """The driver, opened and past its first Reset."""
    points = [Point(f"in{n}", n, n, "digital", False, f"GPIO{n}") for n in range(LINES)]
    points += [Point(f"out{n}", n, n, "digital", True, f"GPIO{n + LINES}") for n in range(LINES)]
    made = GpioLines(DevicePlan("gpio", "gpio", {}, tuple(points)))
    with (
        mock.patch.object(gpiod, "request_lines", request),
        mock.patch.object(gpio_lines, "find_line", lambda at: Line("/dev/gpiochip0", int(at[4:]), at)),
    ):
        made.open()
    made.refresh()
    made.link.rearm()
    return made


def microseconds(call: Callable[[int], object]) -> float:
    """Time of one call, µs; it gets the number of its turn."""
    start = time.perf_counter()
    for n in range(CALLS):
        call(n)
    return (time.perf_counter() - start) / CALLS * 1e6


def run() -> list[dict[str, object]]:
    """An image read, an image that changed written, and one that did not."""
    driver = device()
    inputs = request("", dict.fromkeys(range(LINES)), "")
    outputs = request("", {n + LINES: None for n in range(LINES)}, "")
    levels = (Value.INACTIVE, Value.ACTIVE)
    images = ([0] * LINES, [1] * LINES)

    def write(n: int) -> None:
        image = images[n & 1]
        outputs.set_values({offset + LINES: levels[count] for offset, count in enumerate(image)})

    read = paired(
        lambda: microseconds(lambda _: driver.refresh()),
        lambda: microseconds(lambda _: inputs.get_values()),
        ROUNDS,
    )
    written = paired(
        lambda: microseconds(lambda n: driver.drive(images[n & 1])), lambda: microseconds(write), ROUNDS
    )
    same = microseconds(lambda _: driver.drive(images[0]))
    return [
        row(
            f"GPIO, {LINES} inputs read: beside bare gpiod",
            round(read.ratio, 2),
            "x",
            None,
            f"{read.first:.1f} µs and {read.second:.1f} µs, without the system call",
            round(read.spread, 2),
        ),
        row(
            f"GPIO, {LINES} outputs changed: beside bare gpiod",
            round(written.ratio, 2),
            "x",
            None,
            f"{written.first:.1f} µs and {written.second:.1f} µs, without the system call",
            round(written.spread, 2),
        ),
        row(f"GPIO, {LINES} outputs, nothing changed", round(same, 2), "us", None, "no call of gpiod"),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
