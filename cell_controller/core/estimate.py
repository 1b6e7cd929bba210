"""How long an item will take: its phases walked through on a scratch cell, adding up what they wait for.

Times that a phase states (a wait, a soak, a ramp) count in full; of a condition only its limit is known, and a tenth of
it counts. What items really took corrects this from the first one on (`Book.pace`).
"""

from .cell import Cell
from .outputs import Outputs
from .signals import InputImage, Inputs, OutputImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_WAITS = 400  # a phase that yields more often than this is not walked to its end


def item_ms(spec: "dict[str, Any]", phases: "dict[str, Any]", control: "dict[str, Any]") -> int:
    """Milliseconds for one item of a control recipe."""
    inputs = Inputs(spec, InputImage(spec))
    cell = Cell(spec, inputs, Outputs(spec, OutputImage(spec)), _no_record, _has_item)
    total = 0
    longest = 0
    group = ""
    for step in control["steps"]:
        planned = step["planned_s"] * 1000
        ms = _step_ms(cell, phases[step["phase"]], step["args"], planned)
        if group and step["together"] == group:
            longest = max(longest, ms)
            continue
        total += longest
        longest = ms
        group = step["together"]
    return total + longest


def _no_record(name: str, value: int, per_unit: int) -> None:
    """A walk measures nothing."""


def _has_item() -> bool:
    return True


def _step_ms(cell: Cell, phase: "Any", args: "list[list[Any]]", planned: int) -> int:
    given = {}
    for pair in args:
        given[pair[0]] = pair[1]
    total = 0
    try:
        walk = phase(cell, **given)
        for _ in range(MOST_WAITS):
            wait = next(walk)  # the form with a default is not on every MicroPython
            if wait is not None:
                total += wait.nominal_ms()
        walk.close()
    except StopIteration:
        return total
    except (
        Exception
    ):  # a phase that needs real values cannot be walked: what the recipe plans is all there is
        return planned
    return planned or total  # it still waits: what the recipe plans is the better word
