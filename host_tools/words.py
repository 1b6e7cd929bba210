"""PackML's words as the files spell them, taken from the state model that runs."""

from collections.abc import Iterable

from cell_controller.core.packml import ACTING as ACTING_MASK
from cell_controller.core.packml import EXECUTE, STATES, all_disabled
from cell_controller.core.packml import NEVER_DISABLED as NEVER_DISABLED_MASK
from cell_controller.core.packml_modes import DEFAULT_DISABLED, MAINTENANCE, MANUAL, PRODUCTION, mode_name

__all__ = [
    "ACTING",
    "DEFAULT_LIMIT_MS",
    "DEFAULT_MODES",
    "NEVER_DISABLED",
    "STATES",
    "STATE_NUMBERS",
    "disabled_mask",
]

STATE_NUMBERS = {name: number for number, name in enumerate(STATES)}

ACTING = tuple(name for number, name in enumerate(STATES) if ACTING_MASK >> number & 1 and number != EXECUTE)
"""The states that an equipment file may give a routine, and a cell file a time limit; Execute has neither."""

DEFAULT_LIMIT_MS = 30_000

NEVER_DISABLED = tuple(name for number, name in enumerate(STATES) if NEVER_DISABLED_MASK >> number & 1)

DEFAULT_MODES: dict[str, tuple[int, int]] = {
    mode_name(number): (number, DEFAULT_DISABLED[number]) for number in (PRODUCTION, MAINTENANCE, MANUAL)
}
"""Mode name: its number and the mask of the states it does not have."""


def disabled_mask(names: Iterable[str]) -> int:
    """Bit n set for state number n; the acting states that go with a disabled wait state are disabled too."""
    mask = 0
    for name in names:
        mask |= 1 << STATE_NUMBERS[name]
    return all_disabled(mask)
