"""What of the stand-in's processor outlives MicroPython: resets, watchdog, clock, pins, and the chips on I2C."""

import time

from hil.standin.device import layout
from hil.standin.parts import Shared, StandInError

WALL_AT_POWER_ON = 1_609_459_200
"""An RP2 believes that it is the first of January 2021."""
WATCHDOG_GRACE_S = 0.1
LATE_S = 0.03
"""Where the host looks later than this after its last look, the computer was busy: no reason to bite."""
CUTS = {"before": layout.BEFORE, "half": layout.HALF, "garbage": layout.GARBAGE}
EXPANDER_FIRST, CONVERTER_FIRST = 0x20, 0x48


class Chip:
    """The part of the board that is memory."""

    def __init__(self, shared: Shared, speed: float, serial: int, start_ms: int) -> None:
        self._words = shared.words
        self._bytes = shared.bytes
        self._speed = speed
        self._feeds = 0
        self._fed_at = 0.0
        self._watched = False
        self._looked_at = 0.0
        words = shared.words
        words[layout.START_MS] = start_ms & 0x3FFFFFFF
        words[layout.SPEED_MILLI] = max(1, round(speed * 1000))
        words[layout.UNIQUE] = serial & 0xFF
        words[layout.WIFI] = 1
        words[layout.SEED] = 1
        for gpio in range(32):
            self._bytes[layout.LEVEL + gpio] = layout.FLOATING

    # --- resets ---

    def reset(self, cause: int) -> None:
        """The processor starts again: its clock at the beginning, its pins inputs with the pull-down of an RP2."""
        words = self._words
        words[layout.RESET_CAUSE] = cause
        words[layout.WDT_MS] = 0
        self._watched = False
        since_us = time.monotonic_ns() // 1000
        words[layout.CLOCK_HIGH], words[layout.CLOCK_LOW] = since_us >> 30, since_us & 0x3FFFFFFF
        words[layout.WALL] = WALL_AT_POWER_ON
        for gpio in range(32):
            self._bytes[layout.MODE + gpio] = layout.IN
            self._bytes[layout.LATCH + gpio] = 0
            self._bytes[layout.PULL + gpio] = layout.PULL_DOWN
            words[layout.PWM_FREQ + gpio] = words[layout.PWM_DUTY + gpio] = 0
        for uart in range(2):
            words[layout.UART_ON + uart] = 0

    def power_on(self) -> None:
        """Power comes: chips on I2C forget too, while a reset of the processor leaves them as they were."""
        for at in range(layout.EXPANDERS, layout.CONVERTERS, layout.CHIP_BYTES):
            self._bytes[at : at + 22] = bytes((255, 255)) + bytes(20)
        for at in range(layout.CONVERTERS, layout.CONVERTERS + 4 * layout.CHIP_BYTES, layout.CHIP_BYTES):
            self._bytes[at : at + 2] = bytes((0x85, 0x83))

    def bites(self, now: float) -> bool:
        """Whether the watchdog was not fed in time."""
        late = now - self._looked_at
        self._looked_at = now
        limit_ms = self._words[layout.WDT_MS]
        if not limit_ms:
            return False
        feeds = self._words[layout.WDT_FEEDS]
        if feeds != self._feeds or not self._watched:
            self._feeds, self._fed_at, self._watched = feeds, now, True
        elif late > LATE_S:
            self._fed_at += late
        return now - self._fed_at > limit_ms / 1000 / self._speed + WATCHDOG_GRACE_S

    # --- flash ---

    @property
    def operations(self) -> int:
        """Pages programmed and sectors erased."""
        return int(self._words[layout.OPERATIONS])

    @property
    def violations(self) -> int:
        """Programs that would have set a bit."""
        return int(self._words[layout.VIOLATIONS])

    @property
    def violation_at(self) -> int:
        """Where the last of them was, in bytes from the start of the storage."""
        return int(self._words[layout.VIOLATION_AT])

    def cut_at(self, operation: int, how: str) -> None:
        """The power goes in the n-th operation from now. Raises StandInError for what is no operation or no way."""
        if operation < 1 or how not in CUTS:
            raise StandInError(f"cut_at({operation}, {how!r}): want 1 or more, and one of {', '.join(CUTS)}")
        self._words[layout.CUT_HOW] = CUTS[how]
        self._words[layout.CUT_AT] = (self.operations + operation) & 0xFFFFFFFF

    def no_cut(self) -> None:
        """Whatever was ordered by `cut_at` does not happen."""
        self._words[layout.CUT_AT] = 0

    # --- around it ---

    def wifi(self, there: bool) -> None:
        """The access point comes or goes; every loss is another one, so that nobody stays joined over it."""
        now = self._words[layout.WIFI]
        if there != bool(now & 1):
            self._words[layout.WIFI] = (now + 1) & 0xFFFFFFFF

    def i2c(self, address: int, there: bool) -> None:
        """A chip on I2C is there or does not answer. Raises StandInError for an address at which no chip is known."""
        self._bytes[chip_at(address) + layout.CHIP_THERE] = 1 if there else 0


def chip_at(address: int) -> int:
    """Where the chip at this I2C address has its bytes in the shared memory."""
    if EXPANDER_FIRST <= address < EXPANDER_FIRST + 8:
        return layout.EXPANDERS + layout.CHIP_BYTES * (address - EXPANDER_FIRST)
    if CONVERTER_FIRST <= address < CONVERTER_FIRST + 4:
        return layout.CONVERTERS + layout.CHIP_BYTES * (address - CONVERTER_FIRST)
    raise StandInError(
        f"no chip is known at I2C address {address:#x}: MCP23017 at 0x20..0x27, ADS1115 at 0x48..0x4b"
    )
