"""What state the cell may go to next: the PackML state model (ANSI/ISA-TR88.00.02), 2022 and 2015.

The model is written down once, as a few masks. `declaration` spells it out for the `transitions` library, which checks
and draws it; `compile_table` makes the flat byte table that runs: `table[state * COLUMNS + command]` is the next state,
0 where the command is refused. A mask has bit n for state (or command) number n.
"""

from .refusals import (
    ACCEPTED,
    MODE_ENTERING_NOT_ALLOWED,
    MODE_LEAVING_NOT_ALLOWED,
    MODE_NOT_ENABLED,
    MODE_UNKNOWN,
    NOT_ALLOWED_IN_STATE,
    NOT_KNOWN_IN_MODE,
    STATE_NOT_IN_MODE,
    UNKNOWN_COMMAND,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STATES = (
    "Undefined",
    "Clearing",
    "Stopped",
    "Starting",
    "Idle",
    "Suspended",
    "Execute",
    "Stopping",
    "Aborting",
    "Aborted",
    "Holding",
    "Held",
    "Unholding",
    "Suspending",
    "Unsuspending",
    "Resetting",
    "Completing",
    "Complete",
)
(
    UNDEFINED,
    CLEARING,
    STOPPED,
    STARTING,
    IDLE,
    SUSPENDED,
    EXECUTE,
    STOPPING,
    ABORTING,
    ABORTED,
    HOLDING,
    HELD,
    UNHOLDING,
    SUSPENDING,
    UNSUSPENDING,
    RESETTING,
    COMPLETING,
    COMPLETE,
) = range(18)

# "Undefined" and state complete (SC) are no commands a station can give; SC is what an acting state reports at its end.
COMMANDS = (
    "Undefined",
    "Reset",
    "Start",
    "Stop",
    "Hold",
    "Unhold",
    "Suspend",
    "Unsuspend",
    "Abort",
    "Clear",
    "Complete",
)
(
    NO_COMMAND,
    CMD_RESET,
    CMD_START,
    CMD_STOP,
    CMD_HOLD,
    CMD_UNHOLD,
    CMD_SUSPEND,
    CMD_UNSUSPEND,
    CMD_ABORT,
    CMD_CLEAR,
    CMD_COMPLETE,
) = range(11)
SC = 11
COLUMNS = 12

PROFILES = (2022, 2015)

WAIT = 0x20A34  # Stopped, Idle, Suspended, Aborted, Held, Complete
ACTING = 0x1F5CA
CLEARED = 0x00086  # superstate: Clearing, Stopped, Stopping
RUNNING = 0x3FC78  # superstate: everything that Stop ends
NEVER_DISABLED = 0x00254  # Stopped, Idle, Execute, Aborted
WAY_BACK = 0x0905A  # Clearing, Starting, Idle, Execute, Unholding, Resetting: what stopped the cell is over
MODE_CHANGE_STATES = 0x00214  # Stopped, Idle, Aborted: the default of a mode

# Where state complete leads, by state number; Execute ends by the Complete command in 2022, by SC in 2015.
_SC_TARGET = bytes((0, 2, 0, 6, 0, 0, 0, 2, 9, 0, 11, 0, 6, 5, 6, 4, 17, 0))

# Where a command leads and the states that allow it, by command number.
_TARGET = bytes((0, 15, 3, 7, 10, 12, 13, 14, 8, 1, 16))
_ALLOWED_IN = (
    0,
    0x20004,  # Reset: Stopped, Complete
    0x00010,  # Start: Idle
    RUNNING,  # Stop
    0x00060,  # Hold: Suspended, Execute
    0x00800,  # Unhold: Held
    0x00040,  # Suspend: Execute
    0x00020,  # Unsuspend: Suspended
    0x3FCFE,  # Abort: all but Aborting, Aborted
    0x00200,  # Clear: Aborted
    0x00860,  # Complete: Suspended, Execute, Held
)
_HOLD_2015 = 0x00040  # Execute alone
_HOLD_OPTION_2015 = 0x07028  # Starting, Suspended, Unholding, Suspending, Unsuspending
_HOLD_OPTION_2022 = 0x37018  # Starting, Idle, Unholding, Suspending, Unsuspending, Completing, Complete

_BY_BIT = {1 << command: command for command in range(1, COLUMNS)}


def command_name(command: int) -> str:
    """The name of a command, `SC` for state complete."""
    return "SC" if command == SC else COMMANDS[command]


def _allowed_in(profile: int, command: int, hold_also_in: int) -> int:
    """The states that allow a command (1..10) where no state is disabled."""
    if command == CMD_HOLD:
        return (_ALLOWED_IN[CMD_HOLD] if profile == 2022 else _HOLD_2015) | hold_also_in
    if command == CMD_COMPLETE and profile != 2022:
        return 0
    return _ALLOWED_IN[command]


def _arcs(profile: int, hold_also_in: int) -> "Iterator[tuple[int, int, int]]":
    """Every transition (state, command or SC, next state) of a profile, checked."""
    if profile not in PROFILES:
        raise ValueError("PackML profile %d is not known; use 2022 or 2015" % profile)
    optional = _HOLD_OPTION_2022 if profile == 2022 else _HOLD_OPTION_2015
    if hold_also_in & ~optional:
        raise ValueError(
            "Hold cannot be allowed in %s in the %d profile; it may be in %s"
            % (state_names(hold_also_in & ~optional), profile, state_names(optional))
        )
    for state in range(1, len(STATES)):
        target = _SC_TARGET[state]
        if state == EXECUTE and profile == 2015:
            target = COMPLETING
        if target:
            yield state, SC, target
        for command in range(1, len(COMMANDS)):
            if _allowed_in(profile, command, hold_also_in) >> state & 1:
                yield state, command, _TARGET[command]


def declaration(profile: int = 2022, hold_also_in: int = 0) -> "dict[str, object]":
    """The model as data for `transitions.Machine(model, **declaration(2022))`; what `check` proves and `draw` draws.

    Gives `states` (names), `transitions` (dicts of trigger, source, dest) and `initial`. `hold_also_in` is a mask of
    further states that allow Hold; the ones a profile leaves to the machine builder, else ValueError.
    """
    return {
        "states": list(STATES[1:]),
        "transitions": [
            {"trigger": command_name(command), "source": STATES[state], "dest": STATES[target]}
            for state, command, target in _arcs(profile, hold_also_in)
        ],
        "initial": "Aborted",
    }


def state_names(mask: int) -> str:
    """The states of a mask as text, for messages: `Held, Complete`."""
    names = [STATES[state] for state in range(len(STATES)) if mask >> state & 1]
    return ", ".join(names) if names else "no state"


def all_disabled(disabled: int) -> int:
    """The mask of disabled states with what it implies: without its wait state an acting state has no purpose.

    Raises ValueError for a state that the standard requires, and for bits that are no state.
    """
    wrong = disabled & (NEVER_DISABLED | 1)
    if wrong:
        raise ValueError("%s cannot be disabled; leave it out of `disabled`" % state_names(wrong))
    if disabled < 0 or disabled >> len(STATES):
        raise ValueError("disabled states %d: only bits 1..17 are states" % disabled)
    if disabled >> HELD & 1:
        disabled |= 1 << HOLDING | 1 << UNHOLDING
    if disabled >> SUSPENDED & 1:
        disabled |= 1 << SUSPENDING | 1 << UNSUSPENDING
    if disabled >> COMPLETE & 1:
        disabled |= 1 << COMPLETING
    return disabled


def compile_table(profile: int = 2022, disabled: int = 0, hold_also_in: int = 0) -> bytes:
    """The table one mode runs by, 18 * 12 bytes: `table[state * COLUMNS + command]` is the next state or 0.

    A disabled acting state is skipped to where its SC leads; where that is disabled too, the command is refused. The
    rows of disabled states keep their exits, so that a cell found in one can still be stopped and aborted.
    """
    disabled = all_disabled(disabled)
    table = bytearray(len(STATES) * COLUMNS)
    for state, command, target in _arcs(profile, hold_also_in):
        if disabled >> target & 1:
            target = _SC_TARGET[target]
            if disabled >> target & 1:
                target = UNDEFINED
        table[state * COLUMNS + command] = target
    return bytes(table)


def allowed_mask(table: bytes, state: int) -> int:
    """The commands that the state allows now, bit n for command n (1..10): the mask that is published."""
    mask = 0
    row = state * COLUMNS
    for command in range(1, len(COMMANDS)):
        if table[row + command]:
            mask |= 1 << command
    return mask


def state_requested(table: bytes, state: int) -> int:
    """PackTag StateRequested: the wait state, or Execute, that the state is on its way to; itself when it is there."""
    if state == EXECUTE:
        return EXECUTE
    target = table[state * COLUMNS + SC]
    return target if target else state


def command_refusal(
    table: bytes, state: int, command: int, profile: int = 2022, hold_also_in: int = 0
) -> int:
    """0 where `table` allows a station's command (1..10), else the code of the reason.

    `profile` and `hold_also_in` are those the table was made with: they tell a command that the state never allows from
    one that only this mode does not know.
    """
    if not 0 < command < len(COMMANDS) or (command == CMD_COMPLETE and profile != 2022):
        return UNKNOWN_COMMAND
    if table[state * COLUMNS + command]:
        return ACCEPTED
    if _allowed_in(profile, command, hold_also_in) >> state & 1:
        return NOT_KNOWN_IN_MODE
    return NOT_ALLOWED_IN_STATE


def mode_change_refusal(
    current_mode: int,
    target: int,
    state: int,
    enabled_modes: int,
    disabled_masks: "dict[int, int]",
    transition_masks: "dict[int, int]",
) -> int:
    """0 where the mode may change from `current_mode` to `target` in `state`, else the code of the reason.

    `enabled_modes` has bit n for mode n. `disabled_masks` gives the disabled states of a mode (none where it is not
    named), `transition_masks` the states in which a mode may be entered and left (Stopped, Idle, Aborted where it is
    not named). The state does not change with the mode, so the new mode must have it.
    """
    if not 0 < target < 32:
        return MODE_UNKNOWN
    if not enabled_modes >> target & 1:
        return MODE_NOT_ENABLED
    if not transition_masks.get(current_mode, MODE_CHANGE_STATES) >> state & 1:
        return MODE_LEAVING_NOT_ALLOWED
    if not transition_masks.get(target, MODE_CHANGE_STATES) >> state & 1:
        return MODE_ENTERING_NOT_ALLOWED
    if all_disabled(disabled_masks.get(target, 0)) >> state & 1:
        return STATE_NOT_IN_MODE
    return ACCEPTED


def prioritise(pending: int) -> int:
    """The command to serve first out of a mask of commands: Abort, Stop, Hold, SC, then the others by number; 0: none.

    Mask with what the state allows first, else a command that is refused anyway hides one that is not.
    """
    if not pending:
        return 0
    if pending & 0x100:
        return CMD_ABORT
    if pending & 0x008:
        return CMD_STOP
    if pending & 0x010:
        return CMD_HOLD
    if pending & 0x800:
        return SC
    return _BY_BIT.get(pending & -pending, 0)


class StateMachine:
    """The state of the cell and the commands that wait for the next scan.

    Abort and Stop are latches of their own: setting one is a single assignment that nothing can undo, from a phase that
    raised, a trip or another thread. `state` is read-only for everyone else.
    """

    def __init__(self, table: bytes, state: int = ABORTED) -> None:
        self.state = state
        self.abort = 0
        self.stop = 0
        self.pending = 0
        self.use(table)

    def use(self, table: bytes) -> None:
        """Takes the table of another mode. The state stays; whether it may is `mode_change_refusal`'s answer."""
        self.table = table
        self._moves = [
            allowed_mask(table, state) | (1 << SC if table[state * COLUMNS + SC] else 0)
            for state in range(len(STATES))
        ]

    def request(self, command: int) -> None:
        """Puts a command (1..10) or SC up for the next step; many may wait, one is served."""
        if command == CMD_ABORT:
            self.abort = 1
        elif command == CMD_STOP:
            self.stop = 1
        else:
            self.pending |= 1 << command

    def step_needed(self) -> bool:
        """Whether a command waits for the next step; most scans have none."""
        return self.pending != 0 or self.abort != 0 or self.stop != 0

    def step(self) -> int:
        """Serves the first of the waiting commands that the state allows, and forgets the others.

        Returns the command, SC, or 0 where the state stays. Once in every scan; allocates nothing.
        """
        pending = self.pending
        if self.abort:
            self.abort = 0
            pending |= 0x100
        if self.stop:
            self.stop = 0
            pending |= 0x008
        if not pending:
            return 0
        self.pending = 0
        state = self.state
        command = prioritise(pending & self._moves[state])
        if command:
            self.state = self.table[state * COLUMNS + command]
        return command
