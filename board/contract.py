"""The contract of a board: what every back end promises to the controller, real or simulated.

A board is asked for a few things, each a protocol of its own: a clock, signals, a watchdog, random bytes and files, who
it is, how its devices are. A device is one thing behind a board: a computer's pins, a remote I/O, a scale, a printer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from board.device_link import DeviceLink, DeviceStatus
from board.transport import SerialSettings, Transport
from cell_controller.core.signals import InputImage, OutputImage

Spec = Mapping[str, Any]
"""A compiled cell: its signals in the order of cell.toml."""

Wiring = Mapping[str, Any]
"""One wiring file: a table a signal, `board` for what concerns the board as a whole, `devices` for what is on it."""

RELEASE = "release"
"""What outputs do when the controller dies: they drop to zero at once."""
HOLD_LAST = "hold_last"
"""What outputs do when the controller dies: they stay as they were, until a watchdog relay cuts them."""
DEVICE_FALLBACK = "device_fallback"
"""What outputs do when the controller dies: the device drives its own safe values after its comms time-out."""

ON_DEATH = (RELEASE, HOLD_LAST, DEVICE_FALLBACK)


class Clock(Protocol):
    """The time a cell lives in."""

    def tick(self) -> int:
        """Milliseconds of the board's clock modulo 2**29; never goes back, indifferent to the wall clock."""

    def sleep_until(self, tick: int) -> None:
        """Return when the board's clock has reached `tick`; at once where it is past."""


class Signals(Protocol):
    """The images of a scan, and the ways out of a process in which no further scan comes."""

    on_death: str
    """What the outputs do when the controller's process dies: one of ON_DEATH; a device may state its own."""

    def read(self, image: InputImage) -> None:
        """Fill `image`: latest values, raw counts where a signal has a span, and one quality a signal.

        A value that could not be had keeps its last count, with quality stale, and bad when the link stays away.
        """

    def write(self, image: OutputImage) -> None:
        """Drive the outputs as `image` says, all of them together. Does not wait for them to act."""

    def make_safe(self, values: Sequence[int]) -> None:
        """Drive `values` now, one integer an output in the order of the cell, KEEP to leave one as it is."""

    def rearm(self) -> None:
        """The cell goes through Resetting: outputs of devices that were lost and are back follow the image again."""


class Watchdog(Protocol):
    """What resets the machine when scans stop."""

    def feed(self) -> None:
        """A whole scan is done."""


class Files(Protocol):
    """Random bytes, and room for files: what a driver may need besides its line."""

    def random(self, count: int) -> bytes:
        """`count` bytes that nobody can guess; on a simulated board they follow from its seed."""

    def folder(self, name: str) -> Path:
        """The cell's folder of that name, as "jobs"; it need not exist."""


class Identity(Protocol):
    """Who the machine is."""

    def identity(self) -> Mapping[str, str]:
        """ "model", "serial" and what else tells one machine from another; "" where the machine does not say."""


class Board(Clock, Signals, Watchdog, Files, Identity, Protocol):
    """Where signals meet hardware, and where the time comes from.

    One thread owns a board. A scan is `tick`, `read`, (the controller), `write`, `feed`, `sleep_until`. No member but
    `open` raises for trouble with the hardware: a scan must end, so trouble is told in the quality of the inputs.
    """

    name: str
    """What `--board` is called with, for messages: "sim", "remote:127.0.0.1:4000", "rpi"."""

    simulated: bool
    """Nothing real moves: the controller may clear and reset it by itself."""

    def open(self, spec: Spec, wiring: Wiring) -> None:
        """Connect; outputs that can be reached are at their safe values before this returns.

        Raises BoardError with the remedy for what will not come back by itself: a missing pin, a missing library. A
        device behind a cable that is away is no reason: its inputs are bad until it answers.
        """

    def close(self) -> None:
        """Let go of the hardware; what the outputs do then is `on_death`. A second call does nothing."""

    def devices(self) -> list[DeviceStatus]:
        """How each device is; none on a board without devices of its own."""

    def fault(self, name: str, on: bool) -> None:
        """Turn a named fault on or off; FaultNameError lists the names there are."""

    def faults(self) -> list[str]:
        """The names that `fault` takes, sorted; on real hardware those of its lines, where `run` allowed them."""


class Services(Files, Protocol):
    """What a driver gets from its board."""

    def line(self, name: str, address: str, settings: SerialSettings | None = None) -> Transport:
        """The line at `address` (see board.transport), not opened. `name`: the device's, for faults and recordings."""


@dataclass(frozen=True)
class Point:
    """One signal on a device, as the wiring was compiled.

    Everything is in raw counts at the terminal: integers below 2**30; a digital signal that is `active_low` has been
    inverted already, and its board inverts it back.

    `index`: its place in spec["inputs"] or spec["outputs"]. `place`: its bit among the digital signals of its side, or
    its place among the others.
    """

    signal: str
    index: int
    place: int
    kind: str
    """"digital", "analog", "counter" or "identity"."""
    is_output: bool
    at: str
    """Where on the device: what the channel says after the device's name, as "do3" or "GPIO17"."""
    active_low: bool = False
    low: int = 0
    high: int = 1
    """Least and greatest count."""
    safe: int = 0
    abort: int = 0
    """An output's count when nobody drives it, and after an abort; where that is "keep", the safe one."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the signal's table that only this kind of device knows."""


@dataclass(frozen=True)
class DevicePlan:
    """One device of a wiring file: what `[devices.NAME]` says, completed and checked, and the signals on it."""

    name: str
    kind: str
    settings: Mapping[str, Any]
    points: tuple[Point, ...]
    on_death: str = HOLD_LAST


class Device(Protocol):
    """One thing behind a board. `inputs` and `outputs` keep their order; lists of counts follow it.

    The board's thread calls everything here. A device that waits for a line has a thread of its own and shares with the
    board's only `latest` (entries are replaced whole) and its DeviceLink.
    """

    @property
    def name(self) -> str: ...

    @property
    def link(self) -> DeviceLink: ...

    @property
    def inputs(self) -> Sequence[Point]: ...

    @property
    def outputs(self) -> Sequence[Point]: ...

    @property
    def latest(self) -> Sequence[tuple[int, int]]:
        """Count of each input and when it was measured, in ms of the link's clock; (0, NEVER) at first."""

    def open(self) -> None:
        """Begin; outputs that can be reached at once are at their safe counts. Raises BoardError, see Board.open."""

    def refresh(self) -> None:
        """Before `latest` is read in a scan. Does not wait for a line."""

    def drive(self, counts: Sequence[int]) -> None:
        """What the outputs shall be from now on, one count each, every scan. Does not wait for a line."""

    def make_safe(self, counts: Sequence[int]) -> None:
        """As `drive`, but returns when it is done or after at most a second."""

    def close(self) -> None:
        """Let go. A second call does nothing."""
