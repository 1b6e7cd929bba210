"""What the equipment file does in an acting state, with its time limit: one generator at a time."""

from . import alarms as al
from . import events as ev
from . import packml as pm
from .phases import FAULT, READY
from .sequencer import close_generator
from .ticks import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .cell import Cell
    from .context import Context

BUSY = 0
COMPLETE = 1
TOO_LONG = 2
WRONG = 3

# what a fault in a routine leads to where Hold would say nothing: the state itself is already on the way down
_CONSEQUENCE = {pm.STOPPING: al.ABORT, pm.CLEARING: al.ABORT, pm.HOLDING: al.STOP}


class Routine:
    """The routine of the present acting state; states without one complete at once."""

    def __init__(
        self, spec: "dict[str, Any]", functions: "dict[int, Any]", cell: "Cell", context: "Context"
    ) -> None:
        self.functions = functions
        self.cell = cell
        self.context = context
        self.limits: "list[int]" = spec["state_limits_ms"]
        self.state = 0
        self.crash = ""
        self._generator: "Any" = None
        self._wait: "Any" = None
        self._since = 0
        self._stuck = False
        self._fault_ids: "dict[str, int]" = {}
        for i in range(len(spec["faults"])):
            self._fault_ids[spec["faults"][i]] = i

    def begin(self, state: int, now: int) -> None:
        """An acting state is entered: its routine, if it has one, runs from the next poll on."""
        self.end()
        self.state = state
        self._since = now
        self._stuck = False
        function = self.functions.get(state)
        self._generator = None
        if function is not None:
            try:
                self._generator = function(self.cell)
            except Exception as error:
                self._raised(error, now)

    def end(self) -> bool:
        """The state is left; False if the routine would not close."""
        generator = self._generator
        self._generator = None
        self._wait = None
        return generator is None or close_generator(generator)

    def poll(self, now: int) -> int:
        """One scan: BUSY, COMPLETE, TOO_LONG or WRONG."""
        if self._generator is None:
            return WRONG if self._stuck else COMPLETE
        limit = self.limits[self.state]
        if limit and diff(now, self._since) >= limit:
            self.end()
            return TOO_LONG
        if self._stuck:
            return BUSY
        wait = self._wait
        if wait is not None:
            answer = wait.poll(now)
            if answer == FAULT:
                return self._fault(now)
            if answer != READY:
                return BUSY
        try:
            wait = next(self._generator)
        except StopIteration:
            self._generator = None
            return COMPLETE
        except Exception as error:  # whatever an equipment file raises is a reason to abort, and is said
            self._raised(error, now)
            return WRONG
        self._wait = wait
        if wait is not None:
            wait.begin(now)
        return BUSY

    def _fault(self, now: int) -> int:
        wait = self._wait
        number = self._fault_ids.get(wait.fault, -1)
        alarm = al.FAULT + number if number >= 0 else al.ROUTINE_FAULT
        if self.state == pm.ABORTING:  # nothing is left to stop; it is said, and Aborted comes
            self.context.alarms.raise_(alarm, al.NONE, wait.within_ms, now, False)
            self.end()
            return COMPLETE
        self._stuck = True
        self.context.alarms.raise_(alarm, _CONSEQUENCE.get(self.state, al.HOLD), wait.within_ms, now, False)
        return BUSY

    def _raised(self, error: Exception, now: int) -> None:
        self.crash = "routine of %s: %s: %s" % (pm.STATES[self.state], type(error).__name__, error)
        self._generator = None
        self._stuck = True
        self.context.emit(ev.RAISED, self.state, 0, 0)
        self.context.alarms.raise_(al.PHASE_RAISED, al.ABORT, -self.state, now, False)

    def waits(self) -> str:
        """What the routine waits for, for people."""
        return self._wait.text() if self._wait is not None else ""
