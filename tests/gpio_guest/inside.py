"""What tests run inside the guest with nothing but gpiod: each function is a process there.

    guest.python("from tests.gpio_guest.inside import read; read(3)")

They print lines for the host, and end when their standard input does.
"""

import sys
import time
from collections.abc import Iterable
from datetime import timedelta

import gpiod
from gpiod.line import Bias, Direction, Edge, Value

CHIP = "/dev/gpiochip0"
LEVELS = (Value.INACTIVE, Value.ACTIVE)


def request(settings: dict[int, gpiod.LineSettings], buffer: int | None = None) -> gpiod.LineRequest:
    """Lines of the chip, each with its settings."""
    config: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None] = dict(settings.items())
    return gpiod.request_lines(CHIP, config, "test", event_buffer_size=buffer)


def tell(*words: object) -> None:
    """A line to the host."""
    print(*words, flush=True)


def describe() -> None:
    """The chip, and each line's name and user."""
    with gpiod.Chip(CHIP) as chip:
        info = chip.get_info()
        tell(info.name, info.label, info.num_lines)
        for offset in range(info.num_lines):
            line = chip.get_line_info(offset)
            tell(offset, line.name, line.direction.name.lower(), line.consumer)


def hold(line: int, level: int, active_low: bool = False) -> None:
    """Drive a line, then what the host writes, a level a line."""
    settings = gpiod.LineSettings(
        direction=Direction.OUTPUT, output_value=LEVELS[level], active_low=active_low
    )
    with request({line: settings}) as lines:
        tell("holding")
        for word in sys.stdin:
            lines.set_value(line, LEVELS[int(word)])
            tell("set", word.strip())


def read(line: int, active_low: bool = False, bias: str = "AS_IS") -> None:
    """Print a line's level whenever the host writes a line."""
    settings = gpiod.LineSettings(direction=Direction.INPUT, active_low=active_low, bias=Bias[bias])
    with request({line: settings}) as lines:
        tell("ready")
        for _ in sys.stdin:
            tell(LEVELS.index(lines.get_value(line)))


def edges(line: int, count: int, debounce_ms: int = 0, buffer: int = 0) -> None:
    """Print `count` events: rising or falling, kernel's ns, its number on the line, ns at which it was read.

    Where `buffer` is given, the kernel keeps that many, and none is read before the host writes "go"; until then each
    of the host's lines is answered, which is after the kernel has taken every edge made before.
    """
    settings = gpiod.LineSettings(
        direction=Direction.INPUT,
        edge_detection=Edge.BOTH,
        debounce_period=timedelta(milliseconds=debounce_ms),
    )
    with request({line: settings}, buffer or None) as lines:
        tell("ready", LEVELS.index(lines.get_value(line)))
        while buffer and sys.stdin.readline() != "go\n":
            tell("here")
        seen = 0
        while seen < count and lines.wait_edge_events(timedelta(seconds=5)):
            for event in lines.read_edge_events():
                now = time.monotonic_ns()
                kind = "rising" if event.event_type is event.Type.RISING_EDGE else "falling"
                tell(kind, event.timestamp_ns, event.line_seqno, now)
                seen += 1
        tell("end", LEVELS.index(lines.get_value(line)))
