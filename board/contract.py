"""The contract of a board: what every back end promises to the controller, real or simulated."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from cell_controller.core.signals import InputImage, OutputImage

Spec = Mapping[str, Any]
"""A compiled cell: its signals in the order of cell.toml."""

Wiring = Mapping[str, Any]
"""One wiring file: a table a signal, and `board` for what concerns the board as a whole."""

RELEASE = "release"
"""What outputs do when the controller dies: they drop to zero at once."""
HOLD_LAST = "hold_last"
"""What outputs do when the controller dies: they stay as they were, until a watchdog relay cuts them."""
DEVICE_FALLBACK = "device_fallback"
"""What outputs do when the controller dies: the device drives its own safe values after its comms time-out."""

ON_DEATH = (RELEASE, HOLD_LAST, DEVICE_FALLBACK)


class Board(Protocol):
    """Where signals meet hardware, and where the time comes from.

    One thread owns a board. A scan is `tick`, `read`, (the controller), `write`, `sleep_until`. No member but `open`
    raises for trouble with the hardware: a scan must end, so trouble is told in the quality of the inputs.
    """

    name: str
    """What `--board` is called with, for messages: "sim", "remote:127.0.0.1:4000"."""

    on_death: str
    """What the outputs do when the controller's process dies: one of ON_DEATH."""

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """Connect; outputs are at their safe values before this returns. Raises BoardError with the remedy."""

    def read(self, image: InputImage) -> None:
        """Fill `image`: latest values, raw counts where a signal has a span, and one quality a signal.

        A value that could not be had keeps its last count, with quality stale, and bad when the link stays away.
        """

    def write(self, image: OutputImage) -> None:
        """Drive the outputs as `image` says, all of them together. Does not wait for them to act."""

    def tick(self) -> int:
        """Milliseconds of the board's clock modulo 2**29; never goes back, indifferent to the wall clock."""

    def sleep_until(self, tick: int) -> None:
        """Return when the board's clock has reached `tick`; at once where it is past."""

    def make_safe(self, values: Sequence[int]) -> None:
        """Drive `values` now, one integer an output in the order of the cell, KEEP to leave one as it is.

        For the ways out of a process where no further scan comes.
        """

    def close(self) -> None:
        """Let go of the hardware; what the outputs do then is `on_death`. A second call does nothing."""

    def fault(self, name: str, on: bool) -> None:
        """Turn a named fault on or off. Simulated boards only; FaultNameError lists the names there are."""

    def faults(self) -> list[str]:
        """The names that `fault` takes, sorted; none on a board with real hardware."""
