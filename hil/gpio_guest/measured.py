"""What `measure` runs inside the guest. Prints numbers, one line of them each."""

import time
from collections.abc import Callable, Iterable

import gpiod
from gpiod.line import Direction, Edge, Value

from board.contract import DevicePlan, Point
from board.gpio_lines import GpioLines

CHIP = "/dev/gpiochip0"
LEVELS = (Value.INACTIVE, Value.ACTIVE)


def _request(settings: dict[int, gpiod.LineSettings]) -> gpiod.LineRequest:
    config: dict[Iterable[int | str] | int | str, gpiod.LineSettings | None] = dict(settings.items())
    return gpiod.request_lines(CHIP, config, "measure")


def calls(first: int, count: int, times: int) -> None:
    """Mean nanoseconds of get_values and of set_values of `count` lines from `first` on."""
    offsets = range(first, first + count)
    inputs = _request({n: gpiod.LineSettings(direction=Direction.INPUT) for n in offsets})
    get_ns = _mean_ns(lambda k: inputs.get_values(), times)
    inputs.release()
    outputs = _request({n: gpiod.LineSettings(direction=Direction.OUTPUT) for n in offsets})
    both: list[dict[int | str, Value]] = [dict.fromkeys(offsets, level) for level in LEVELS]
    set_ns = _mean_ns(lambda k: outputs.set_values(both[k & 1]), times)
    outputs.release()
    print(get_ns, set_ns, _mean_ns(lambda k: None, times), flush=True)


def _mean_ns(call: Callable[[int], object], times: int) -> int:
    began = time.monotonic_ns()
    for k in range(times):
        call(k)
    return (time.monotonic_ns() - began) // times


def edges(line: int, count: int) -> None:
    """For each of `count` edges, nanoseconds from the kernel's time stamp until it is in Python's hands."""
    lines = _request({line: gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH)})
    print("ready", flush=True)
    for _ in range(count):
        event = lines.read_edge_events(1)[0]
        now = time.monotonic_ns()
        print(now - event.timestamp_ns, flush=True)


def follow(source: int, target: int) -> None:
    """Drive `target` as `source` is, edge by edge, until standard input ends with the process."""
    seen = gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH)
    lines = _request({source: seen, target: gpiod.LineSettings(direction=Direction.OUTPUT)})
    print("ready", flush=True)
    while True:
        for event in lines.read_edge_events():
            lines.set_value(target, LEVELS[event.event_type is event.Type.RISING_EDGE])


def image(inputs: list[int], outputs: list[int], times: int) -> None:
    """Mean nanoseconds of reading and of writing an image: by the driver, then by hand with plain gpiod."""
    points = [Point(f"in{n}", k, k, "digital", False, f"gpiochip0:{n}") for k, n in enumerate(inputs)]
    points += [Point(f"out{n}", k, k, "digital", True, f"gpiochip0:{n}") for k, n in enumerate(outputs)]
    driver = GpioLines(DevicePlan("gpiochip0", "gpio", {}, tuple(points)))
    driver.open()
    driver.link.rearm()
    both = [[level] * len(outputs) for level in (0, 1)]
    told = [_mean_ns(lambda k: driver.refresh(), times), _mean_ns(lambda k: driver.drive(both[k & 1]), times)]
    driver.close()
    reader = _request({n: gpiod.LineSettings(direction=Direction.INPUT) for n in inputs})
    writer = _request({n: gpiod.LineSettings(direction=Direction.OUTPUT) for n in outputs})
    levels: list[dict[int | str, Value]] = [dict.fromkeys(outputs, level) for level in LEVELS]
    told.append(_mean_ns(lambda k: reader.get_values(), times))
    told.append(_mean_ns(lambda k: writer.set_values(levels[k & 1]), times))
    reader.release()
    writer.release()
    print(*told, flush=True)
