"""Where the time and the energy went: ISO 22400 time classes and energy per state, which add up to clock and meter."""

from . import packml_modes as modes
from .ticks import diff

# ISO 22400 elements as time classes; each millisecond of uptime falls in exactly one
PRODUCTION = 0  # APT
SETUP = 1  # AUST
DELAY = 2  # ADET, of this cell's own making or waiting for a person
LINE_DELAY = 3  # ADET, starved or blocked: charged to the line
DOWN = 4  # ADOT
IDLE = 5  # not allocated: nothing to do
PLANNED_DOWN = 6  # maintenance
CLASS_NAMES = ("APT", "AUST", "ADET", "ADET_line", "ADOT", "not_allocated", "planned_down")

_STOPPING_STATES = (2, 7)  # Stopped, Stopping
_ABORT_STATES = (1, 8, 9)  # Clearing, Aborting, Aborted
_SUSPEND_STATES = (5, 13, 14)
_WAITING_STATES = (2, 4, 17)
_CHANGEOVER_STATES = (3, 15, 16)


def time_class(state: int, mode: int, has_order: bool, changeover: bool, fault: bool) -> int:
    """The class of a PackML state. `changeover`: the product changes; `fault`: a trip led here."""
    if mode == modes.MAINTENANCE:
        return PLANNED_DOWN
    if mode == modes.MANUAL:
        return DELAY
    if state in _ABORT_STATES or (fault and state in _STOPPING_STATES):
        return DOWN
    if state == 6:
        return PRODUCTION
    if state in _SUSPEND_STATES:
        return LINE_DELAY
    if state in _CHANGEOVER_STATES:
        return SETUP if changeover else DELAY
    if state in _WAITING_STATES and not has_order:
        return IDLE
    return DELAY


class Ledger:
    """Totals since the start of the controller. `note` closes the time that passed under the last class and state."""

    def __init__(self) -> None:
        self.seconds = [0] * len(CLASS_NAMES)
        self.rest_ms = [0] * len(CLASS_NAMES)
        self.state_seconds = [0] * 18
        self.state_rest_ms = [0] * 18
        self.energy = [0] * 18  # by state, in steps of the meter
        self.energy_direct = 0  # while an item was in work in Execute
        self.energy_idle = 0
        self._since = 0
        self._meter = -1
        self._class = IDLE
        self._state = 9
        self.direct = False

    def start(self, now: int, meter: int) -> None:
        self._since = now
        self._meter = meter

    def note(self, now: int, meter: int, state: int, time_class_now: int, direct: bool) -> None:
        """From `now` on time and energy belong to `state`, `time_class_now`, and to an item if `direct`."""
        gone = diff(now, self._since)
        self._since = now
        _add(self.seconds, self.rest_ms, self._class, gone)
        _add(self.state_seconds, self.state_rest_ms, self._state, gone)
        if self._meter >= 0 and meter >= self._meter:
            used = meter - self._meter
            self.energy[self._state] += used
            if self.direct:
                self.energy_direct += used
            else:
                self.energy_idle += used
        self._meter = meter
        self._class = time_class_now
        self._state = state
        self.direct = direct

    def again(self, now: int, meter: int) -> None:
        """Close what has passed without a change, so that the totals are of this moment."""
        self.note(now, meter, self._state, self._class, self.direct)

    def split(self, now: int, meter: int, direct: bool) -> None:
        """An item begins or ends inside a state: from now on energy is direct or it is not."""
        self.note(now, meter, self._state, self._class, direct)

    def total_ms(self) -> "tuple[int, int]":
        """Uptime as (seconds, milliseconds): the sum of all classes."""
        seconds = 0
        rest = 0
        for i in range(len(self.seconds)):
            seconds += self.seconds[i]
            rest += self.rest_ms[i]
        return seconds + rest // 1000, rest % 1000


def _add(seconds: "list[int]", rest: "list[int]", i: int, ms: int) -> None:
    total = rest[i] + ms
    seconds[i] += total // 1000
    rest[i] = total % 1000
