"""The pins of the microcontroller boards: which there are, which are taken, and what each can do.

Sources: RP2040 datasheet (GPIO functions), Pico W datasheet (pins of the wireless chip), ESP32 series datasheet (pin
list, strapping pins), ESP-IDF (ADC2 and Wi-Fi).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

PIN = re.compile(r"GP(?:IO)?(\d{1,2})")


@dataclass(frozen=True)
class Chip:
    """One kind of board. `fixed` and `never_adc`: pin -> why not."""

    target: str
    title: str
    prefix: str
    pins: frozenset[int]
    fixed: Mapping[int, str]
    adc: frozenset[int]
    never_adc: Mapping[int, str]
    input_only: frozenset[int]
    uart_pins: Mapping[int, tuple[frozenset[int], frozenset[int]]]
    """Port -> (pins for tx, pins for rx)."""
    uart_default: Mapping[int, tuple[int, int]]
    """Port -> (tx, rx) where the wiring names none."""
    i2c_pins: Mapping[int, tuple[frozenset[int], frozenset[int]]]
    """Bus -> (pins for sda, pins for scl)."""
    pwm_hz: tuple[int, int]
    pwm_slice: Callable[[int], tuple[int, int]] | None = None
    """Pin -> (slice, channel), where pins share their PWM."""
    most_pwm: int = 16
    most_pwm_freqs: int = 8
    hard_irq: bool = True
    reserved_uart: Mapping[int, str] = field(default_factory=dict)

    def name(self, pin: int) -> str:
        """The pin as it is written on this board."""
        return f"{self.prefix}{pin}"


def _every(*ranges: tuple[int, int]) -> frozenset[int]:
    return frozenset(pin for first, last in ranges for pin in range(first, last + 1))


_PICO_W_WIRELESS = "belongs to the wireless chip of a Pico W"

PICO_W = Chip(
    target="rp2",
    title="a Pico W",
    prefix="GP",
    pins=_every((0, 22), (26, 28)),
    fixed={
        23: _PICO_W_WIRELESS,
        24: _PICO_W_WIRELESS,
        25: _PICO_W_WIRELESS,
        29: _PICO_W_WIRELESS,
    },
    adc=frozenset((26, 27, 28)),
    never_adc={},
    input_only=frozenset(),
    uart_pins={
        0: (frozenset((0, 12, 16, 28)), frozenset((1, 13, 17))),
        1: (frozenset((4, 8, 20)), frozenset((5, 9, 21))),
    },
    uart_default={0: (0, 1), 1: (4, 5)},
    i2c_pins={
        0: (frozenset((0, 4, 8, 12, 16, 20)), frozenset((1, 5, 9, 13, 17, 21))),
        1: (frozenset((2, 6, 10, 14, 18, 26)), frozenset((3, 7, 11, 15, 19, 27))),
    },
    pwm_hz=(8, 100_000),
    pwm_slice=lambda pin: ((pin >> 1) & 7, pin & 1),
)

_STRAPPING = "is read at reset to choose how the chip starts (strapping pin)"
_FLASH = "is wired to the flash inside the module"
_ADC2 = "its converter (ADC2) does not work while Wi-Fi is on"
_ANY_OUT = _every((4, 4), (13, 14), (16, 19), (21, 23), (25, 27), (32, 33))
_INPUT_ONLY = frozenset((34, 35, 36, 39))

ESP32 = Chip(
    target="esp32",
    title="an ESP32",
    prefix="GPIO",
    pins=_ANY_OUT | _INPUT_ONLY,
    fixed={
        **dict.fromkeys((0, 2, 5, 12, 15), _STRAPPING),
        **dict.fromkeys(range(6, 12), _FLASH),
        1: "is the console, which prints while the chip starts",
        3: "is the console",
    },
    adc=frozenset((32, 33)) | _INPUT_ONLY,
    never_adc=dict.fromkeys((4, 13, 14, 25, 26, 27), _ADC2),
    input_only=_INPUT_ONLY,
    uart_pins={1: (_ANY_OUT, _ANY_OUT | _INPUT_ONLY), 2: (_ANY_OUT, _ANY_OUT | _INPUT_ONLY)},
    uart_default={},
    i2c_pins={0: (_ANY_OUT, _ANY_OUT), 1: (_ANY_OUT, _ANY_OUT)},
    pwm_hz=(1, 40_000),
    hard_irq=False,
    reserved_uart={0: "is the console"},
)

CHIPS = {chip.target: chip for chip in (PICO_W, ESP32)}
"""By the `target` of [board]; the stand-in (unix) has the pins of a Pico W."""
