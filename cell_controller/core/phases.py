"""What an equipment file is written with: phases, state routines, and what they may wait for.

    @phase
    def close(cell):
        cell.clamp.on()
        yield until(cell.clamp_closed, within_s=2, fault="clamp did not close")

A phase is a generator. It sets outputs and yields what it waits for; the controller resumes it when that is there.
Seconds and engineering units may be written with a decimal point: they are rounded to milliseconds and to the
signal's resolution here, and nothing else in the core sees a fraction.
"""

from .signals import GOOD
from .ticks import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from .cell import Input, Output

    Phase = Callable[..., Generator["Wait | None", None, None]]

WAITING = 0
READY = 1
FAULT = 2

_WIDE = 1 << 29


def steps(value: "int | float", per_unit: int) -> int:
    """An engineering value in steps of the resolution, rounded to the nearest; whole numbers stay exact."""
    if isinstance(value, int):
        return value * per_unit
    scaled = value * per_unit
    return int(scaled + 0.5) if scaled >= 0 else -int(0.5 - scaled)


def phase(function: "Phase | None" = None, needs: "tuple[str, ...]" = (), counts: str = "") -> "Any":
    """Marks a function as a phase that recipes can name.

    `needs`: digital inputs that must be true while it runs and before its outputs come back after Unholding.
    `counts`: the word for its marks ("coat 2 of 3"). The host reads both from the source when it compiles the cell.
    """
    if function is not None:
        return function
    return _same


def state(name: str) -> "Callable[[Phase], Phase]":
    """Marks a function as the routine of an acting PackML state, by the state's name ("Resetting")."""
    return _same


def _same(function: "Phase") -> "Phase":
    return function


class Wait:
    """What a phase yields. `begin` starts it, `poll` answers WAITING, READY or FAULT, `held` says a hold is over."""

    fault = ""
    within_ms = 0
    started = 0

    def begin(self, now: int) -> None:
        self.started = now

    def poll(self, now: int) -> int:
        return READY

    def held(self, since: int, now: int) -> None:
        """The item was held from `since` until `now`: time limits start again, a hold is nobody's fault."""
        self.started = now

    def text(self) -> str:
        """What a person would say it waits for."""
        return ""

    def nominal_ms(self) -> int:
        """How long it is expected to take; where only its limit is known, a tenth of that."""
        return self.within_ms // 10


class _Until(Wait):
    def __init__(self, signal: "Input", low: int, high: int, within_ms: int, fault: str) -> None:
        self.signal = signal
        self._values = signal.values
        self._qualities = signal.qualities
        self._index = signal.index
        self.low = low
        self.high = high
        self.within_ms = within_ms
        self.fault = fault

    def _met(self) -> bool:
        i = self._index
        return self._qualities[i] == GOOD and self.low <= self._values[i] <= self.high

    def poll(self, now: int) -> int:
        if self._met():
            return READY
        if self.within_ms and diff(now, self.started) >= self.within_ms:
            return FAULT
        return WAITING

    def text(self) -> str:
        return self.signal.name


class _Wait(Wait):
    def __init__(self, ms: int, held: str) -> None:
        if held not in ("stop", "run", "restart"):
            raise ValueError("wait: held is 'stop', 'run' or 'restart'")
        self.ms = ms
        self._held = held

    def poll(self, now: int) -> int:
        return READY if diff(now, self.started) >= self.ms else WAITING

    def held(self, since: int, now: int) -> None:
        if self._held == "stop":
            self.started += diff(now, since)
        elif self._held == "restart":
            self.started = now

    def nominal_ms(self) -> int:
        return self.ms

    def text(self) -> str:
        return "%d.%d s" % (self.ms // 1000, self.ms % 1000 // 100)


class _Soak(_Until):
    """The signal inside its limits for a time without a break."""

    def __init__(self, signal: "Input", low: int, high: int, for_ms: int, within_ms: int, fault: str) -> None:
        _Until.__init__(self, signal, low, high, within_ms, fault)
        self.for_ms = for_ms
        self._inside = False
        self._since = 0

    def begin(self, now: int) -> None:
        self.started = now
        self._inside = False

    def poll(self, now: int) -> int:
        if self._met():
            if not self._inside:
                self._inside = True
                self._since = now
            if diff(now, self._since) >= self.for_ms:
                return READY
            return WAITING  # the limit is for getting there, the soak itself has its own time
        self._inside = False
        if self.within_ms and diff(now, self.started) >= self.within_ms:
            return FAULT
        return WAITING

    def held(self, since: int, now: int) -> None:
        self.begin(now)

    def nominal_ms(self) -> int:
        return self.for_ms + self.within_ms // 10


class _Ramp(Wait):
    """An analog output on its way to a value, in a straight line over a time."""

    def __init__(self, output: "Output", target: int, over_ms: int) -> None:
        self.output = output
        self.target = target
        self.over_ms = over_ms
        self._from = 0

    def begin(self, now: int) -> None:
        self.started = now
        self._from = self.output.wanted()

    def poll(self, now: int) -> int:
        gone = diff(now, self.started)
        if gone >= self.over_ms:
            self.output.put(self.target)
            return READY
        self.output.put(self._from + (self.target - self._from) * gone // self.over_ms)
        return WAITING

    def held(self, since: int, now: int) -> None:
        self.started += diff(now, since)

    def nominal_ms(self) -> int:
        return self.over_ms

    def text(self) -> str:
        return self.output.name


class _Together(Wait):
    def __init__(self, waits: "tuple[Wait, ...]") -> None:
        self.waits = waits
        self._done = bytearray(len(waits))  # 1: this one is there

    def begin(self, now: int) -> None:
        for k in range(len(self.waits)):
            self._done[k] = 0
            self.waits[k].begin(now)

    def poll(self, now: int) -> int:
        left = 0
        done = self._done
        k = 0
        for entry in self.waits:
            if not done[k]:
                answer = entry.poll(now)
                if answer == FAULT:
                    self.fault = entry.fault
                    self.within_ms = entry.within_ms
                    return FAULT
                if answer == READY:
                    done[k] = 1
                else:
                    left += 1
            k += 1
        return WAITING if left else READY

    def held(self, since: int, now: int) -> None:
        for entry in self._open():
            entry.held(since, now)

    def _open(self) -> "list[Wait]":
        return [self.waits[k] for k in range(len(self.waits)) if not self._done[k]]

    def nominal_ms(self) -> int:
        return max([entry.nominal_ms() for entry in self.waits]) if self.waits else 0

    def text(self) -> str:
        return " and ".join([entry.text() for entry in self._open()])


class Mark(Wait):
    """A place in a phase from which it can go on: made durable before the phase goes on."""

    def __init__(self, number: int, of: int) -> None:
        self.number = number
        self.of = of


class Operator(Wait):
    """A person's step: a text is shown, and the phase waits for a confirmation or a value."""

    def __init__(self, message: str, expects: str) -> None:
        self.message = message
        self.expects = expects
        self.confirmed = False

    def poll(self, now: int) -> int:
        return READY if self.confirmed else WAITING

    def text(self) -> str:
        return self.message


def _ms(seconds: "int | float | None") -> int:
    return 0 if seconds is None else steps(seconds, 1000)


def _limits(
    signal: "Input", on: bool, low: "int | float | None", high: "int | float | None"
) -> "tuple[int, int]":
    if low is None and high is None:
        wanted = 1 if on else 0
        return wanted, wanted
    return (
        -_WIDE if low is None else steps(low, signal.per_unit),
        _WIDE if high is None else steps(high, signal.per_unit),
    )


def until(
    signal: "Input",
    on: bool = True,
    min: "int | float | None" = None,
    max: "int | float | None" = None,
    within_s: "int | float | None" = None,
    fault: str = "",
) -> Wait:
    """Wait until a digital input is on (or off: `on=False`), or an analog one is inside `min` .. `max` (its unit).

    A signal that is not good counts as not there. After `within_s` seconds the cell holds with `fault` as its reason.
    """
    low, high = _limits(signal, on, min, max)
    return _Until(signal, low, high, _ms(within_s), fault)


def wait(ms: int, held: str = "stop") -> Wait:
    """Wait for a time. While the item is held the time stops (`stop`), goes on (`run`) or starts again (`restart`)."""
    return _Wait(ms, held)


def soak(
    signal: "Input",
    for_s: "int | float",
    on: bool = True,
    min: "int | float | None" = None,
    max: "int | float | None" = None,
    within_s: "int | float | None" = None,
    fault: str = "",
) -> Wait:
    """Wait until the signal was inside its limits for `for_s` seconds without a break; a hold starts it again.

    `within_s` is the time to get inside, `fault` what is said when it does not.
    """
    low, high = _limits(signal, on, min, max)
    return _Soak(signal, low, high, _ms(for_s), _ms(within_s), fault)


def ramp(output: "Output", to: "int | float", over_s: "int | float") -> Wait:
    """Take an analog output to a value in a straight line over a time; a hold stops it and it goes on from there."""
    return _Ramp(output, steps(to, output.per_unit), _ms(over_s))


def together(*waits: Wait) -> Wait:
    """Wait until all of them are there."""
    return _Together(waits)


def mark(number: int, of: int = 0) -> Wait:
    """Note how far the phase is, durably. After an interruption it can go on from the last mark if the phase has a
    parameter `resume_from`, which is then that number (0 otherwise)."""
    return Mark(number, of)


def operator(message: str, expects: str = "confirm") -> Wait:
    """Show a person a text and wait for the confirmation (`expects="confirm"`) or a value (`expects="value"`)."""
    return Operator(message, expects)
