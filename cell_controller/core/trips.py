"""Trips: the emergency-stop chain, signals without a good value, and interlocks, before anything else in a scan."""

from . import alarms as al
from .signals import GOOD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .interlocks import Interlocks
    from .outputs import Outputs
    from .signals import Inputs

_CONSEQUENCE = {"none": al.NONE, "hold": al.HOLD, "stop": al.STOP, "abort": al.ABORT}


class Trips:
    """Raises the trips of one cell; what follows from them is for the controller."""

    def __init__(
        self,
        spec: "dict[str, Any]",
        inputs: "Inputs",
        outputs: "Outputs",
        interlocks: "Interlocks",
        alarms: al.Alarms,
    ) -> None:
        self._inputs = inputs
        self._outputs = outputs
        self._interlocks = interlocks
        self._alarms = alarms
        self._estop: int = spec["emergency_stop"]
        self._then = [_CONSEQUENCE[entry["on_bad"]] for entry in spec["inputs"]]
        self._watched = [i for i in range(len(self._then)) if self._then[i]]

    def look(self, now: int) -> None:
        """One scan."""
        inputs = self._inputs
        alarms = self._alarms
        i = self._estop
        if i >= 0:
            if not inputs.value[i] or inputs.quality[i] != GOOD:
                alarms.raise_(al.EMERGENCY_STOP, al.ABORT, 0, now, True)
            elif alarms.first_out or alarms.entries:
                alarms.gone(al.EMERGENCY_STOP)
        if inputs.bad_changed:
            inputs.bad_changed = False
            for i in self._watched:
                if inputs.quality[i] != GOOD:
                    alarms.raise_(al.SIGNAL + i, self._then[i], inputs.quality[i], now, True)
                else:
                    alarms.gone(al.SIGNAL + i)
        interlocks = self._interlocks
        if interlocks.due:
            interlocks.evaluate(now, self._outputs, alarms)
        if alarms.entries:
            interlocks.release(self._outputs, alarms)
