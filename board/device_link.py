"""What a lost link does, decided here for every device: its life, the quality of its inputs, and its outputs.

A reading is good while it is young, stale when older than `stale_ms`, bad when older than `bad_ms`. A link is lost
when its line breaks, when the device says that it was switched off, or when it has not answered for `bad_ms`: then all
inputs are bad at once, for at least one scan, so that the cell's file decides what the cell does (`on_bad`,
interlocks). The outputs of a lost device are wanted at their abort values from that moment on, also when it is back,
until the cell goes through Resetting while the device answers. A device begins so: a controller comes up Aborted.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cell_controller.core.signals import BAD, GOOD, STALE

CLOSED = "closed"
"""Life of a device: not opened, or let go of."""
READY = "ready"
"""Life of a device: opened, and it has not answered yet."""
RUNNING = "running"
"""Life of a device: it answers."""
FAULTED = "faulted"
"""Life of a device: it does not; the first fault is kept until the cell is Reset."""

NEVER = -1
"""A time of measurement: there is no value yet."""


@dataclass(frozen=True)
class DeviceStatus:
    """How one device is, for people: `answered_ms` is how long ago it answered, NEVER if it has not yet."""

    name: str
    state: str
    on_death: str
    fault: str = ""
    """The first fault since the cell was last Reset; "" if there was none."""
    answered_ms: int = NEVER
    losses: int = 0
    waits_for_reset: bool = False
    """Its outputs are at their abort values until the cell goes through Resetting."""


STALE_MS = 200
BAD_MS = 1000
MOST_TEXT = 200


def now_ms() -> int:
    """The clock of all devices: milliseconds since some moment, never going back."""
    return time.monotonic_ns() // 1_000_000


class DeviceLink:
    """The link to one device. The device's thread tells it what happened, the board's thread asks what follows."""

    def __init__(
        self,
        name: str,
        on_death: str,
        abort: Sequence[int] = (),
        stale_ms: int = STALE_MS,
        bad_ms: int = BAD_MS,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`abort`: counts of the outputs after a loss. 0 < `stale_ms` < `bad_ms`."""
        self.name = name
        self.on_death = on_death
        self.stale_ms = stale_ms
        self.bad_ms = bad_ms
        self.clock = clock
        self._abort = list(abort)
        self._free: Sequence[int] = ()
        self._lock = threading.Lock()
        self._state = CLOSED
        self._fault = ""
        self._answered_at = NEVER
        self._opened_at = 0
        self._lost_at = NEVER
        self._losses = 0
        self._told_losses = 0
        self._latched = bool(self._abort)
        self._image = list(abort)
        self._changes = 0
        self._all_bad = False
        self._over = False  # let go of: what its thread still tells is late

    # --- the device's side ---

    def opened(self) -> None:
        """The line is open; nothing has been heard yet."""
        with self._lock:
            if self._state != FAULTED:
                self._state = READY
            self._opened_at = self.clock()

    def answered(self) -> None:
        """An exchange went well."""
        with self._lock:
            if not self._over:
                self._state = RUNNING
                self._answered_at = self.clock()

    def failed(self, text: str) -> None:
        """An exchange went wrong: late, nonsense, somebody else's. Alone it changes nothing but the first fault."""
        with self._lock:
            self._fault = self._fault or text[:MOST_TEXT]

    def lost(self, text: str) -> None:
        """The line broke, or the device was switched off: nothing is known of its outputs any more."""
        with self._lock:
            if not self._over:
                self._lose(text)

    def wanted(self) -> tuple[int, list[int]]:
        """Number of the last change, and what the outputs shall be now, one count each."""
        with self._lock:
            return self._changes, self._wanted()

    # --- the board's side ---

    def begin_scan(self) -> None:
        """Once before the qualities of a scan are asked for."""
        with self._lock:
            now = self.clock()
            since = self._answered_at if self._state == RUNNING else self._opened_at
            if self._state in (RUNNING, READY) and now - since >= self.bad_ms:
                self._lose(f"{self.name} has not answered for {self.bad_ms} ms")
            self._all_bad = self._told_losses != self._losses or self._state in (FAULTED, CLOSED)
            self._told_losses = self._losses

    def quality(self, measured_at: int, now: int) -> int:
        """GOOD, STALE or BAD of a value measured at `measured_at`, in this scan."""
        if self._all_bad or measured_at == NEVER or measured_at < self._lost_at:
            return BAD
        age = now - measured_at
        return GOOD if age < self.stale_ms else STALE if age < self.bad_ms else BAD

    def let_free(self, outputs: Sequence[int]) -> None:
        """These, by their place, follow the image also after a loss: lamps and the heartbeat, which the controller has
        for itself. A relay that feeds a device would not close before a Reset, and without the device there is none.
        """
        with self._lock:
            self._free = outputs

    def want(self, counts: Sequence[int]) -> None:
        """What the outputs shall be, were it not for a loss."""
        if list(counts) == self._image:
            return
        with self._lock:
            before = self._wanted()
            self._image = list(counts)
            if self._wanted() != before:
                self._change()

    def rearm(self) -> None:
        """The cell goes through Resetting. A device that is away stays as it is: it waits for the next one.

        So does one whose loss no scan has seen yet, though it is back.
        """
        with self._lock:
            if self._state == RUNNING and self._told_losses == self._losses:
                self._fault = ""
                if self._latched:
                    self._latched = False
                    self._change()

    def closed(self) -> None:
        """Let go of."""
        with self._lock:
            self._state = CLOSED
            self._over = True
            self._change()

    def status(self) -> DeviceStatus:
        """How the device is."""
        with self._lock:
            ago = NEVER if self._answered_at == NEVER else self.clock() - self._answered_at
            return DeviceStatus(
                self.name, self._state, self.on_death, self._fault, ago, self._losses, self._latched
            )

    # --- inside, with the lock held ---

    def _lose(self, text: str) -> None:
        self._fault = self._fault or text[:MOST_TEXT]
        if self._state != FAULTED:
            self._losses += 1
        self._state = FAULTED
        self._lost_at = self.clock()
        if self._abort and not self._latched:
            self._latched = True
            self._change()

    def _wanted(self) -> list[int]:
        if not self._latched:
            return list(self._image)
        found = list(self._abort)
        for k in self._free:
            found[k] = self._image[k]
        return found

    def _change(self) -> None:
        self._changes += 1
