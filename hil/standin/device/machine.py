"""`machine` as on an RP2: the parts of it that a cell, a loader or a tool uses."""

from . import layout
from .buses import I2C, UART
from .clock import RTC
from .pins import ADC, PWM, Pin
from .shared import end, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ("ADC", "I2C", "PWM", "RTC", "UART", "WDT", "Pin", "SoftI2C")

SoftI2C = I2C
PWRON_RESET = layout.PWRON_RESET
WDT_RESET = layout.WDT_RESET
LONGEST_MS = 8388


class WDT:
    """The watchdog: once begun it cannot be stopped, and it bites through a soft reset too."""

    def __init__(self, id: int = 0, timeout: int = 5000) -> None:
        if id:
            raise ValueError
        if not 0 < timeout <= LONGEST_MS:
            raise ValueError("timeout exceeds %d" % LONGEST_MS)
        self.feed()
        words[layout.WDT_MS] = timeout

    def feed(self) -> None:
        words[layout.WDT_FEEDS] = (words[layout.WDT_FEEDS] + 1) & 0xFFFF


def reset() -> "NoReturn":
    end(layout.SAY_RESET)


def soft_reset() -> "NoReturn":
    raise SystemExit


def reset_cause() -> int:
    """An RP2 cannot tell `reset()` from the watchdog: both are WDT_RESET."""
    cause: int = words[layout.RESET_CAUSE]
    return cause


def unique_id() -> bytes:
    return bytes((0xE6, 0x61, 0x64, 0x08, 0x43, 0x2C, 0x8B, words[layout.UNIQUE]))


def freq(*new: int) -> "int | None":
    return None if new else 125000000


def idle() -> None:
    pass


def disable_irq() -> int:
    return 0


def enable_irq(state: int) -> None:
    pass
