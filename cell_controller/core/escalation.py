"""From a trip's consequence to a command: the mildest one that the state and the mode know, never milder than asked."""

from . import alarms as al
from . import packml as pm

_LADDER = ((al.HOLD, pm.CMD_HOLD), (al.STOP, pm.CMD_STOP), (al.ABORT, pm.CMD_ABORT))

# what a state has done already, or is doing
_SEVERITY = bytearray(len(pm.STATES))
for _state in (pm.HOLDING, pm.HELD):
    _SEVERITY[_state] = al.HOLD
for _state in (pm.STOPPING, pm.STOPPED):
    _SEVERITY[_state] = al.STOP
for _state in (pm.ABORTING, pm.ABORTED):
    _SEVERITY[_state] = al.ABORT


def escalate(table: bytes, state: int, demand: int) -> int:
    """The command that `demand` (HOLD, STOP or ABORT) leads to in `state` of a mode's table; 0 if none is needed.

    Where the state or the mode does not know Hold it is Stop, and where it does not know that it is Abort. In a waiting
    state nothing runs: a Hold it does not know commands nothing, the trip itself blocks Start.
    """
    if _SEVERITY[state] >= demand:
        return 0
    for consequence, command in _LADDER:
        if consequence < demand:
            continue
        if table[state * pm.COLUMNS + command]:
            return command
        if consequence == al.HOLD and pm.WAIT >> state & 1:
            return 0
    return 0
