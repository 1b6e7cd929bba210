"""The contract of a plant, the physical side of a simulated cell, and what every plant needs to meet it.

A plant is a step `(time, outputs) -> (inputs, call_at)`: it is called when an output changed or when the time it asked
for has come, never in between. It has no clock and no randomness, so the same outputs at the same times give the same
inputs; noise is the board's.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cell_controller.errors import BoardError
from hil.faults import FaultSet

Spec = Mapping[str, Any]


class Plant(Protocol):
    """The physical side of a cell."""

    inputs: list[int]
    """What the sensors would read: one integer value an input, in the order of the cell, digital 0 or 1."""

    noise: list[tuple[int, int]]
    """(index of an analog input, bits): the board adds 2**bits equally likely values around the true one."""

    damage: list[str]
    """What must not happen and did, in words, first first; a scenario asserts that it is empty."""

    faults: FaultSet
    """The faults of its devices; the board adds those of the wires."""

    def step(self, now_ms: int, outputs: Sequence[int]) -> int:
        """Let time pass to `now_ms` under the former outputs, then take `outputs` over; the time of the next call.

        `now_ms` counts from 0 and never goes back. `outputs`: one integer value an output. The answer is later than
        `now_ms`.
        """

    def state(self) -> dict[str, object]:
        """What an observer may want to see, in words and numbers; plain values that JSON can carry."""


PlantFactory = Callable[[Spec], Plant]


def load_plant(where: str) -> PlantFactory:
    """The plant that a wiring file names as "package.module:Class". Raises BoardError with the reason."""
    module_name, _, class_name = where.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BoardError(
            f"plant '{where}' cannot be loaded: {error}; write plant = \"module:Class\""
        ) from error
    if not callable(factory):
        raise BoardError(f"plant '{where}' is not a class; write plant = \"module:Class\"")
    loaded: PlantFactory = factory
    return loaded


class PlantSignals:
    """Names of a compiled cell bound to positions, so that a plant can speak of signals."""

    def __init__(self, spec: Spec, plant: str) -> None:
        """`plant`: its name, for the message about a signal that the cell does not have."""
        self._plant = plant
        self._inputs = {entry["name"]: i for i, entry in enumerate(spec["inputs"])}
        self._outputs = {entry["name"]: i for i, entry in enumerate(spec["outputs"])}
        self._per_unit = {entry["name"]: int(entry["per_unit"]) for entry in spec["inputs"]}

    def input(self, name: str) -> int:
        """The position of an input. Raises BoardError where the cell has none of that name."""
        return self._find(self._inputs, name, "input")

    def output(self, name: str) -> int:
        """The position of an output. Raises BoardError where the cell has none of that name."""
        return self._find(self._outputs, name, "output")

    def per_unit(self, name: str) -> int:
        """How many steps of the input's value make one engineering unit."""
        return self._per_unit[name]

    def _find(self, table: Mapping[str, int], name: str, what: str) -> int:
        if name not in table:
            known = ", ".join(sorted(table))
            raise BoardError(
                f"{self._plant} needs the {what} '{name}', cell.toml has {known}; add it or use another plant"
            )
        return table[name]


class SteppedPlant:
    """A plant that moves in small steps while anything in it moves, and is brought up to date now and then at rest."""

    step_ms = 50
    """Continuous values move in steps of this size; small beside every time constant of the machine."""
    calm_ms = 1000
    """How often energy is brought up to date while nothing moves."""

    def __init__(self) -> None:
        self._now = 0

    def step(self, now_ms: int, outputs: Sequence[int]) -> int:
        """See Plant.step."""
        left = now_ms - self._now
        while left > 0:
            part_ms = min(left, self.step_ms) if self._moving() else left
            self._advance(part_ms)
            left -= part_ms
        self._now = now_ms
        self._take(outputs)
        self._sense()
        period = self.step_ms if self._moving() else self.calm_ms
        return now_ms - now_ms % period + period

    def _moving(self) -> bool:
        """Whether anything moves, warms up, or is about to."""
        raise NotImplementedError

    def _advance(self, dt: int) -> None:
        """`dt` ms pass with the outputs as they are."""
        raise NotImplementedError

    def _take(self, outputs: Sequence[int]) -> None:
        """These outputs act from now on."""
        raise NotImplementedError

    def _sense(self) -> None:
        """What the sensors see of it, into `inputs`."""
        raise NotImplementedError


def approach(value: int, target: int, dt_ms: int, tau_ms: int) -> int:
    """First-order lag in integers: `value` after `dt_ms` on its way to `target`; `dt_ms` well below `tau_ms`."""
    gap = target - value
    move = gap * dt_ms // tau_ms
    return target if move in (0, -1) and -tau_ms // dt_ms - 1 <= gap <= tau_ms // dt_ms + 1 else value + move


def slew(value: int, target: int, most: int) -> int:
    """`value` moved towards `target` by at most `most`."""
    if value < target:
        return min(target, value + most)
    return max(target, value - most)
