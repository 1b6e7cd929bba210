"""Pins, converters and PWM. What the host drives and what is driven here lies in the shared memory, a byte a GPIO."""

from . import layout
from .clock import irqs
from .shared import memory, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_level = memory(layout.LEVEL, 32)
_mode = memory(layout.MODE, 32)
_latch = memory(layout.LATCH, 32)
_pull = memory(layout.PULL, 32)
_SLICES = 8
_TOP = 65535


def _number(name: "Any") -> int:
    if isinstance(name, Pin):
        return name.number
    if isinstance(name, str):
        if name in ("LED", "WL_GPIO0"):
            return layout.GPIOS - 1
        name = int(name[2:]) if name[:2] == "GP" else -1
    if not 0 <= name < layout.GPIOS - 1:
        raise ValueError("invalid pin")
    number: int = name
    return number


def release() -> None:
    """A soft reset stops PWM and interrupts; pins stay as they were."""
    for i in range(layout.GPIOS):
        words[layout.PWM_DUTY + i] = 0


class Pin:
    """One GPIO."""

    IN = layout.IN
    OUT = layout.OUT
    OPEN_DRAIN = layout.OPEN_DRAIN
    ALT = layout.ALT
    PULL_UP = layout.PULL_UP
    PULL_DOWN = layout.PULL_DOWN
    IRQ_RISING = 8
    IRQ_FALLING = 4

    def __init__(self, name: "Any", mode: int = -1, pull: "int | None" = -1, *, value: "Any" = None) -> None:
        self.number = _number(name)
        self.init(mode, pull, value=value)

    def init(self, mode: int = -1, pull: "int | None" = -1, *, value: "Any" = None) -> None:
        """The level is set before the driver is switched on."""
        n = self.number
        if value is not None:
            _latch[n] = 1 if value else 0
        if pull != -1:
            _pull[n] = pull or 0
        if mode != -1:
            _mode[n] = mode

    def value(self, level: "Any" = None) -> "int | None":
        n = self.number
        if level is not None:
            _latch[n] = 1 if level else 0
            return None
        mode = _mode[n]
        if mode == 1 or (mode == 2 and not _latch[n]):
            return _latch[n]
        found = _level[n]
        return found if found < 2 else _pull[n] & 1

    __call__ = value

    def on(self) -> None:
        _latch[self.number] = 1

    def off(self) -> None:
        _latch[self.number] = 0

    high = on
    low = off

    def toggle(self) -> None:
        _latch[self.number] ^= 1

    def irq(
        self, handler: "Callable[[Any], Any] | None" = None, trigger: int = 12, hard: bool = False
    ) -> None:
        """Called for every pulse that the plant gives, when the program next looks at the clock or sleeps."""
        for i in range(len(irqs)):
            if irqs[i].pin.number == self.number:
                del irqs[i]
                break
        if handler is not None:
            irqs.append(_Irq(self, handler, 2 if trigger & 12 == 12 else 1))

    def __repr__(self) -> str:
        return "Pin(GPIO%d, mode=%d)" % (self.number, _mode[self.number])


class _Irq:
    def __init__(self, pin: Pin, handler: "Callable[[Any], Any]", edges: int) -> None:
        self.pin = pin
        self._handler = handler
        self._edges = edges
        self._word = layout.EDGES + pin.number
        self._seen: int = words[self._word]

    def deliver(self) -> None:
        """One pulse, if one has come."""
        if words[self._word] != self._seen:
            self._seen = (self._seen + 1) & 0xFFFFFFFF
            for _ in range(self._edges):
                self._handler(self.pin)


class ADC:
    """One channel of the converter: 12 bits, spread over 16."""

    CORE_TEMP = 4

    def __init__(self, channel: "Any") -> None:
        number = channel if isinstance(channel, int) and channel < 5 else _number(channel) - 26
        if not 0 <= number <= 4:
            raise ValueError("Pin doesn't have ADC capabilities")
        self._word = layout.ADC + number

    def read_u16(self) -> int:
        count: int = words[self._word]
        return count & 0xFFF0 | count >> 12


class PWM:
    """PWM of one GPIO; the two of a slice share their frequency."""

    def __init__(self, pin: "Any", **settings: int) -> None:
        self._pin = _number(pin)
        _mode[self._pin] = layout.ALT
        self.init(**settings)

    def init(self, *, freq: int = -1, duty_u16: int = -1, duty_ns: int = -1, invert: int = 0) -> None:
        if freq != -1:
            self.freq(freq)
        if duty_u16 != -1:
            self.duty_u16(duty_u16)
        if duty_ns != -1:
            self.duty_ns(duty_ns)

    def freq(self, hz: int = -1) -> "int | None":
        if hz == -1:
            found: int = words[layout.PWM_FREQ + self._pin]
            return found
        if not 8 <= hz <= 62500000:
            raise ValueError("freq out of range")
        for i in range(self._pin % 16 & 14, layout.GPIOS - 1, 2 * _SLICES):
            words[layout.PWM_FREQ + i] = words[layout.PWM_FREQ + i + 1] = hz
        return None

    def duty_u16(self, duty: int = -1) -> "int | None":
        if duty == -1:
            found: int = words[layout.PWM_DUTY + self._pin]
            return found
        words[layout.PWM_DUTY + self._pin] = _TOP if duty > _TOP else duty
        return None

    def duty_ns(self, ns: int = -1) -> "int | None":
        hz = words[layout.PWM_FREQ + self._pin]
        if ns == -1:
            return words[layout.PWM_DUTY + self._pin] * 1000000000 // (_TOP * hz) if hz else 0
        return self.duty_u16(ns * hz * _TOP // 1000000000)

    def deinit(self) -> None:
        words[layout.PWM_DUTY + self._pin] = 0
