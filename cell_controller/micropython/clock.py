"""The clocks of a microcontroller: a counter that wraps, and the wall clock once a server has told it."""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_time: "Any" = time  # MicroPython's has ticks


class Clock:
    """Milliseconds and microseconds by the board's wrapping counters; wall time is 0 until `set_wall`."""

    def __init__(self) -> None:
        self._wall_s = (
            0  # seconds since 1970 at _wall_at; kept small so that nothing here is a long number for long
        )
        self._wall_rest_ms = 0
        self._wall_at = _time.ticks_ms()
        self._begun = _time.ticks_ms()
        self._up_s = 0
        self.known = False

    def us(self) -> int:
        """A microsecond counter, for `us_since`."""
        return int(_time.ticks_us())

    def us_since(self, begun: int) -> int:
        """Microseconds since `begun`, right for about 9 minutes."""
        return int(_time.ticks_diff(_time.ticks_us(), begun))

    def ms(self) -> int:
        """A millisecond counter, for `ms_since`."""
        return int(_time.ticks_ms())

    def ms_since(self, begun: int) -> int:
        """Milliseconds since `begun`, right for some days."""
        return int(_time.ticks_diff(_time.ticks_ms(), begun))

    def sleep_ms(self, ms: int) -> None:
        """Wait; for the ways out only."""
        _time.sleep_ms(ms)

    def uptime_ms(self) -> int:
        """Since the start; call it at least every few days."""
        while self.ms_since(self._begun) >= 1000000:
            self._begun = _time.ticks_add(self._begun, 1000000)
            self._up_s += 1000
        return self._up_s * 1000 + self.ms_since(self._begun)

    def set_wall(self, wall_ms: int) -> None:
        """A server said what time it is, in ms since 1970."""
        self._wall_at = _time.ticks_ms()
        self._wall_s = wall_ms // 1000
        self._wall_rest_ms = wall_ms % 1000
        self.known = True

    def wall_ms(self) -> int:
        """Milliseconds since 1970; 0 while nobody has said."""
        if not self.known:
            return 0
        since = self.ms_since(self._wall_at)
        if since >= 1000000:
            self._wall_at = _time.ticks_add(self._wall_at, 1000000)
            self._wall_s += 1000
            since -= 1000000
        return self._wall_s * 1000 + self._wall_rest_ms + since
