"""The stack light and the heartbeat: outputs that show the controller's state and belong to no phase."""

from . import alarms as al
from .stack_light import (
    AMBER_FLASH,
    AMBER_SOLID,
    BLUE_FLASH,
    BLUE_SOLID,
    GREEN_FLASH,
    GREEN_SOLID,
    HORN_FLASH,
    HORN_SOLID,
    RED_FLASH,
    RED_SOLID,
    stack_light,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .outputs import Outputs

FLASH_MS = 512
HEARTBEAT_MS = 128  # powers of two divide the tick's period: no jump at its wrap

_SOLID = (RED_SOLID, AMBER_SOLID, GREEN_SOLID, BLUE_SOLID, HORN_SOLID)
_FLASH = (RED_FLASH, AMBER_FLASH, GREEN_FLASH, BLUE_FLASH, HORN_FLASH)
_COLOURS = ("red", "amber", "green", "blue", "horn")


class Lamps:
    """Drives the lamps that the cell has; the heartbeat toggles as long as scans complete, in every state."""

    def __init__(self, spec: "dict[str, Any]", outputs: "Outputs") -> None:
        self._outputs = outputs
        self._lamps: "list[int]" = [spec["stack_light"][colour] for colour in _COLOURS]
        self._heartbeat: int = spec["heartbeat"]
        self.lights = 0
        self._phase = -1
        self._beat = -1
        for i in self._lamps:
            if i >= 0:
                outputs.own(i)
        if self._heartbeat >= 0:
            outputs.own(self._heartbeat)

    def change(self, state: int, alarms: al.Alarms) -> None:
        """The state or the alarms changed."""
        starved = 0
        for alarm in (al.STARVED, al.PART_LEFT, al.NO_CARRIER, al.WRONG_CARRIER):
            if alarms.find(alarm) is not None:
                starved = 1
        blocked = 1 if alarms.find(al.ORDER_PAUSED) is not None else 0
        self.lights = stack_light(state, starved, blocked, 0, 0)
        self._phase = -1

    def show(self, now: int) -> None:
        """Drive lamps and heartbeat for this scan."""
        beat = now // HEARTBEAT_MS & 1
        if beat != self._beat:
            self._beat = beat
            if self._heartbeat >= 0:
                self._outputs.show(self._heartbeat, beat != 0)
            phase = now // FLASH_MS & 1
            if phase != self._phase:
                self._phase = phase
                self._drive(phase)

    def _drive(self, phase: int) -> None:
        for k in range(len(self._lamps)):
            if self._lamps[k] >= 0:
                lit = self.lights & _SOLID[k] or (phase and self.lights & _FLASH[k])
                self._outputs.show(self._lamps[k], bool(lit))
