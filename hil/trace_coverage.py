"""What a made trace must contain: each thing is noted when it happens, and what never happened is named."""

from cell_controller.core import alarms as al
from cell_controller.core import events as ev
from cell_controller.core import orders
from cell_controller.core import packml as pm
from hil.bench import Bench

ORDER_VERBS = (
    "submit",
    "start",
    "revoke_start",
    "update",
    "cancel",
    "clear",
    "pause",
    "resume",
    "stop",
    "abort",
)
HAPPENINGS = (
    "clean start",
    "unclean start",
    "start with an item open",
    "wrap in Execute",
    "journal not writable",
    "durable lag",
    "recipe taken over between items",
    "recipe taken over after an item",
    "control released",
    "control taken",
    "command without control",
    "phase raised",
    "phase closed badly",
    "pause",
    "update",
    "scrap",
    "scrap taken away",
    "wrong carrier",
)
_ALARMS = {
    al.CLOSED_BADLY: "phase closed badly",
    al.JOURNAL_STUCK: "journal not writable",
    al.WRONG_CARRIER: "wrong carrier",
}


def reachable(bench: Bench, mode: int) -> set[int]:
    """The states that some command or state complete leads to in a mode, from where it can be entered."""
    table = pm.compile_table(bench.controller.profile, bench.controller.disabled_masks[mode])
    found = {pm.ABORTED}
    edge = [pm.ABORTED]
    while edge:
        state = edge.pop()
        for command in range(1, pm.COLUMNS):
            target = table[state * pm.COLUMNS + command]
            if target and target not in found:
                found.add(target)
                edge.append(target)
    return found


class Coverage:
    """Counts what happened on a bench; `missing` names what did not."""

    def __init__(self, bench: Bench) -> None:
        self.commands: set[tuple[int, int, int]] = set()  # mode, state, command
        self.happened: set[str] = set()
        self.faults: set[str] = set()
        self.answers: set[int] = set()
        self.job_states: set[int] = set()
        self.verbs: set[str] = set()
        self._booted = -1
        self._ended = -1
        self._bench = bench
        self._wanted = {mode: reachable(bench, mode) for mode in bench.controller.disabled_masks}
        self._before = (bench.controller.mode, bench.controller.machine.state)
        self._tick = bench.board.tick()

    def left(self, mode: int, state: int) -> list[int]:
        """The commands (1..10) not yet given in a state of a mode, the allowed ones last."""
        table = self._bench.controller.machine.table
        left = [c for c in range(1, len(pm.COMMANDS)) if (mode, state, c) not in self.commands]
        return sorted(left, key=lambda c: (table[state * pm.COLUMNS + c] != 0, c))

    def wanted(self, mode: int) -> set[int]:
        """The states of a mode in which every command is given."""
        return self._wanted[mode]

    def note(self, what: str) -> None:
        """Something of HAPPENINGS happened."""
        if what not in HAPPENINGS:
            raise ValueError(f"'{what}' is not in HAPPENINGS")
        self.happened.add(what)

    def record(self, data: bytes) -> None:
        """An event of the controller."""
        _, tick, kind, source, a, b = ev.fields(data)
        mode, state = self._before
        if kind == ev.COMMAND and 1 <= source < len(pm.COMMANDS):
            self.commands.add((mode, state, source))
        elif kind == ev.ANSWER:
            self.answers.add(source)
        elif kind == ev.ORDER_STATE:
            self.job_states.add(source)
        elif kind == ev.RAISED and a == 1:
            self.note("phase raised")
        elif kind == ev.ALARM and a == ev.ALARM_RAISED and source in _ALARMS:
            self.note(_ALARMS[source])
        elif kind == ev.BOOT:
            self._booted = tick
            self.note("unclean start" if source == ev.UNCLEAN else "clean start")
        elif kind == ev.ITEM_END:
            self._ended = tick
            if source == ev.SCRAP:
                self.note("scrap")
        elif kind == ev.RECIPE and tick != self._booted:
            after = tick == self._ended
            self.note("recipe taken over after an item" if after else "recipe taken over between items")
        elif kind == ev.ORDER_CHANGED:
            self.note("pause" if source == orders.PAUSED and b == 1 else "update")

    def scanned(self) -> None:
        """After a scan."""
        controller = self._bench.controller
        tick = self._bench.board.tick()
        if tick < self._tick and controller.machine.state == pm.EXECUTE and self._before[1] == pm.EXECUTE:
            self.note("wrap in Execute")
        self._tick = tick
        self._before = (controller.mode, controller.machine.state)

    def missing(self) -> list[str]:
        """Everything a trace must contain and this one does not, in words."""
        found = []
        for mode in sorted(self._wanted):
            for state in sorted(self._wanted[mode]):
                for command in range(1, len(pm.COMMANDS)):
                    if (mode, state, command) not in self.commands:
                        found.append(f"mode {mode}: {pm.COMMANDS[command]} in {pm.STATES[state]}")
        found += [f"fault {name}" for name in self._bench.board.faults() if name not in self.faults]
        found += [name for name in HAPPENINGS if name not in self.happened]
        found += [f"answer {ev.ANSWER_NAMES[n]}" for n in range(1, 5) if n not in self.answers]
        found += [f"job state {orders.STATE_NAMES[n]}" for n in range(1, 8) if n not in self.job_states | {2}]
        for verb in ORDER_VERBS:
            for outcome in ("accepted", "refused"):
                if f"order.{verb} {outcome}" not in self.verbs:
                    found.append(f"order.{verb} {outcome}")
        return found
