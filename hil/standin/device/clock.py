"""`time` as on an RP2: ticks that wrap at 2**30, counted from power-on, and scaled by the stand-in's speed."""

import time as _time
from time import mktime

from . import layout
from .shared import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("mktime",)

_PERIOD = 1 << 30
_MASK = _PERIOD - 1
_HALF = _PERIOD >> 1
_port: "Any" = _time
_now_us = _port.ticks_us
_since: int = words[layout.CLOCK_HIGH] << 30 | words[layout.CLOCK_LOW]
_start_us: int = words[layout.START_MS] * 1000
_speed: int = words[layout.SPEED_MILLI]
_plain_us = _start_us - _since

irqs: "list[Any]" = []
"""Of pins: the port has no interrupts, so they are delivered whenever the program looks at the clock or sleeps."""


_busy = bytearray(1)


def _interrupts() -> None:
    """One pulse of each pin; a handler that looks at the clock is not interrupted itself."""
    if _busy[0]:
        return
    _busy[0] = 1
    try:
        for irq in irqs:
            irq.deliver()
    finally:
        _busy[0] = 0


def _elapsed_us() -> int:
    if irqs:
        _interrupts()
    if _speed == 1000:
        return _now_us() + _plain_us  # type: ignore[no-any-return]
    return (_now_us() - _since) * _speed // 1000 + _start_us  # type: ignore[no-any-return]


def ticks_us() -> int:
    return _elapsed_us() & _MASK


def ticks_ms() -> int:
    return _elapsed_us() // 1000 & _MASK


def ticks_cpu() -> int:
    return _elapsed_us() & _MASK


def ticks_diff(end: int, start: int) -> int:
    return ((end - start + _HALF) & _MASK) - _HALF


def ticks_add(ticks: int, delta: int) -> int:
    return (ticks + delta) & _MASK


def sleep_us(us: int) -> None:
    if irqs:
        _interrupts()
    if us > 0:
        _port.sleep_us(us * 1000 // _speed)


def sleep_ms(ms: int) -> None:
    sleep_us(ms * 1000)


def sleep(seconds: "float") -> None:
    sleep_us(int(seconds * 1000000))


def time_ns() -> int:
    return (words[layout.WALL] * 1000000 + _elapsed_us() - _start_us) * 1000  # type: ignore[no-any-return]


def time() -> int:
    """Seconds since 1970; after power-on an RP2 believes that it is the first of January 2021."""
    return time_ns() // 1000000000


def gmtime(seconds: "int | None" = None) -> "tuple[int, ...]":
    return _port.gmtime(time() if seconds is None else seconds)  # type: ignore[no-any-return]


def localtime(seconds: "int | None" = None) -> "tuple[int, ...]":
    """A board knows no time zone."""
    return gmtime(seconds)


class RTC:
    """The real-time clock; it is set in whole seconds."""

    def __init__(self, id: int = 0) -> None:
        pass

    def datetime(self, new: "tuple[int, ...] | None" = None) -> "tuple[int, ...] | None":
        """(year, month, day, weekday, hour, minute, second, 0)."""
        if new is None:
            at = gmtime()
            return (at[0], at[1], at[2], at[6], at[3], at[4], at[5], 0)
        wanted = int(_port.mktime((new[0], new[1], new[2], new[4], new[5], new[6], 0, 0)))
        words[layout.WALL] += wanted - time()
        return None
