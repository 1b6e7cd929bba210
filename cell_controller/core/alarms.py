"""Alarms and trips: raised, acknowledged, cleared; the first one of a stop is kept as its reason.

An alarm has an id, a value for its text and a consequence. One with a consequence is a trip: it stays until its cause
is gone and a person has acknowledged it, and until then nothing starts.
"""

from . import events as ev

NONE = 0
HOLD = 1
STOP = 2
ABORT = 3
CONSEQUENCE_NAMES = ("none", "hold", "stop", "abort")

EMERGENCY_STOP = 1
UNCLEAN_START = 2
JOURNAL_STUCK = 4
STARVED = 5
WRONG_CARRIER = 6
PHASE_RAISED = 7
STATE_LIMIT = 8
NEED_LOST = 9
JOURNAL_DAMAGED = 11
HELD_TOO_LONG = 13
ORDER_PAUSED = 14
CLOSED_BADLY = 15
ROUTINE_FAULT = 16
NO_CARRIER = 17
PART_LEFT = 18
FROM_BACKUP = 19
JOURNAL_RESTS = 20
INTERLOCK = 100  # + index in spec["interlocks"]
SIGNAL = 400  #    + index in spec["inputs"]
FAULT = 700  #     + index in spec["faults"]


class Alarm:
    """One alarm: `active` while its cause stands, `acknowledged` once a person saw it; `value` goes into its text."""

    def __init__(self, alarm_id: int, consequence: int, value: int, tick: int, active: bool) -> None:
        self.id = alarm_id
        self.consequence = consequence
        self.value = value
        self.tick = tick
        self.active = active
        self.acknowledged = False


class Alarms:
    """The alarms of a cell, oldest first; an id is there once, which bounds them. `changes` wait to become events."""

    def __init__(self) -> None:
        self.entries: "list[Alarm]" = []
        self.first_out = 0
        self.first_out_value = 0
        self.demand = NONE  # the strongest consequence raised and not yet acted on
        self.changes: "list[tuple[int, int, int]]" = []

    def find(self, alarm_id: int) -> "Alarm | None":
        for entry in self.entries:
            if entry.id == alarm_id:
                return entry
        return None

    def raise_(self, alarm_id: int, consequence: int, value: int, tick: int, lasting: bool) -> None:
        """An alarm comes up. `lasting`: its cause stands until `gone`; otherwise it happened and is over."""
        entry = self.find(alarm_id)
        if entry is not None and entry.active and entry.consequence >= consequence:
            return
        if entry is not None:
            self.entries.remove(entry)
        self.entries.append(Alarm(alarm_id, consequence, value, tick, lasting))
        self.changes.append((ev.ALARM_RAISED, alarm_id, value))
        if consequence:
            if not self.first_out:
                self.first_out = alarm_id
                self.first_out_value = value
            if consequence > self.demand:
                self.demand = consequence

    def gone(self, alarm_id: int) -> None:
        """The cause of an alarm is gone. A trip stays until it is acknowledged as well."""
        entry = self.find(alarm_id)
        if entry is not None and entry.active:
            entry.active = False
            if entry.acknowledged or not entry.consequence:
                self._clear(entry)

    def acknowledge(self) -> None:
        """A person has seen what there is; what has no standing cause goes."""
        for entry in list(self.entries):
            if not entry.acknowledged:
                entry.acknowledged = True
                self.changes.append((ev.ALARM_ACKNOWLEDGED, entry.id, entry.value))
            if not entry.active:
                self._clear(entry)

    def _clear(self, entry: Alarm) -> None:
        self.entries.remove(entry)
        self.changes.append((ev.ALARM_CLEARED, entry.id, entry.value))

    def forget_first_out(self) -> None:
        """The stop is over: the next alarm is the first of the next one."""
        self.first_out = 0
        self.first_out_value = 0

    def standing(self) -> "list[Alarm]":
        """Trips whose cause still stands: while there is one, Clear and Unhold are refused with this list."""
        return [entry for entry in self.entries if entry.consequence and entry.active]

    def blocks_start(self) -> bool:
        """Whether any trip is left, its cause standing or not yet acknowledged."""
        for entry in self.entries:  # noqa: SIM110  # asked in every scan, and a generator is made of heap
            if entry.consequence:
                return True
        return False
