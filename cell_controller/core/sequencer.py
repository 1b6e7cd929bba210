"""Runs the phases of one item, one step after the other, several at a time where the recipe says so.

A step's start is durable before its phase moves anything; so is a mark before the phase goes on. A phase only runs
while the cell is in Execute; what it wrote is replaced, and its generator closed or kept, by those who stop it.
"""

from . import alarms as al
from . import events as ev
from .phases import FAULT, READY, Mark, Operator
from .signals import GOOD
from .ticks import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .as_built import Item
    from .cell import Cell
    from .context import Context

GONE_WRONG = 1
ITEM_DONE = 2
BUSY = 0


class Running:
    """A step whose phase is alive."""

    def __init__(self, number: int, name: str, generator: "Any", needs: "list[int]", after: int) -> None:
        self.number = number
        self.name = name
        self.generator = generator
        self.needs = needs
        self.after = after  # goes on when this event is durable
        self.wait: "Any" = None
        self.stuck = False  # its fault was raised; goes on after the hold


class Sequencer:
    """The steps of the item in work."""

    def __init__(
        self, spec: "dict[str, Any]", phases: "dict[str, Any]", cell: "Cell", context: "Context"
    ) -> None:
        self.context = context
        self.cell = cell
        self.running: "list[Running]" = []
        self.item: "Item | None" = None
        self.plan: "list[int]" = []
        self._phases = phases
        self._entries: "dict[str, dict[str, Any]]" = {}
        for entry in spec["phases"]:
            self._entries[entry["name"]] = entry
        self._index: "dict[str, int]" = {}
        for i in range(len(spec["inputs"])):
            self._index[spec["inputs"][i]["name"]] = i
        self._fault_ids: "dict[str, int]" = {}
        for i in range(len(spec["faults"])):
            self._fault_ids[spec["faults"][i]] = i
        self._current = 0  # step whose phase runs right now, for what it records
        self._held_at = 0
        self.crash = ""  # what the last phase that raised said, for the log of the host

    def begin(self, item: "Item") -> None:
        """Take an item up: all of its steps, or what is left of them after an interruption."""
        self.item = item
        steps = item.control["steps"]
        touched = item.interruptions > 0
        self.plan = []
        for i in range(len(steps)):
            if item.scrapped:
                if steps[i]["on_scrap"] == "run" and not item.steps[i].done:
                    self.plan.append(i)
            elif not item.steps[i].done or (touched and steps[i]["on_resume"] == "again"):
                self.plan.append(i)
        if not item.scrapped and all(step.done for step in item.steps):
            self.plan = []  # cut after its last step: nothing is left to do

    def poll(self, now: int, durable: int) -> int:
        """One scan: BUSY, ITEM_DONE, or GONE_WRONG when a phase raised."""
        if not self.running and not self._next_steps(now):
            return ITEM_DONE
        inputs = self.context.inputs
        for run in self.running:
            for i in run.needs:
                if not inputs.value[i] or inputs.quality[i] != GOOD:
                    self.context.alarms.raise_(al.NEED_LOST, al.HOLD, i, now, False)
                    return BUSY
        ended = False
        for run in self.running:
            if run.stuck or run.after > durable:
                continue
            wait = run.wait
            if wait is not None:
                answer = wait.poll(now)
                if answer != READY:
                    if answer == FAULT:
                        self._fault(run, now)
                    continue
            elif run.generator is None and not self._create(run):
                return GONE_WRONG
            self._current = run.number
            try:
                wait = next(run.generator)
            except StopIteration:
                self._end(run, now)
                ended = True
                continue
            except Exception as error:  # whatever an equipment file raises is a reason to abort, and is said
                self._raised(run, error)
                return GONE_WRONG
            run.wait = wait
            if wait is not None:
                wait.begin(now)
                if isinstance(wait, Mark):
                    run.after = self.context.emit(ev.MARK, run.number, wait.number, wait.of)
        if ended:
            self.running = [run for run in self.running if run.generator is not None]
            if not self.running and not self._next_steps(now):
                return ITEM_DONE
        return BUSY

    def _next_steps(self, now: int) -> bool:
        """Begin the next step, or the next group of steps that go together; False if none is left."""
        item = self.item
        if item is None or not self.plan:
            return False
        steps = item.control["steps"]
        group = steps[self.plan[0]]["together"]
        while self.plan:
            number = self.plan[0]
            if self.running and (not group or steps[number]["together"] != group):
                break
            self.plan.pop(0)
            entry = steps[number]
            needs = [self._index[name] for name in self._entries[entry["phase"]]["needs"]]
            seq = self.context.emit(ev.STEP_START, number, item.serial, self.context.energy())
            self.running.append(Running(number, entry["phase"], None, needs, seq))
        return True

    def _create(self, run: Running) -> bool:
        item = self.item
        entry = self._entries[run.name]
        given: "dict[str, Any]" = {}
        if item is not None:
            for pair in item.control["steps"][run.number]["args"]:
                given[pair[0]] = pair[1]
            if "resume_from" in entry["args"]:
                given["resume_from"] = item.steps[run.number].mark
        try:
            run.generator = self._phases[run.name](self.cell, **given)
        except Exception as error:
            self._raised(run, error)
            return False
        return True

    def _fault(self, run: Running, now: int) -> None:
        wait = run.wait
        run.stuck = True
        number = self._fault_ids.get(wait.fault, -1)
        alarm = al.FAULT + number if number >= 0 else al.ROUTINE_FAULT
        self.context.alarms.raise_(alarm, al.HOLD, wait.within_ms, now, False)

    def _raised(self, run: Running, error: Exception) -> None:
        self.crash = "phase %s: %s: %s" % (run.name, type(error).__name__, error)
        run.generator = None
        self.context.emit(ev.RAISED, run.number, 1, 0)
        self.context.alarms.raise_(al.PHASE_RAISED, al.ABORT, run.number, self.context.now, False)

    def _end(self, run: Running, now: int) -> None:
        run.generator = None
        item = self.item
        if item is not None:
            self.context.emit(ev.STEP_END, run.number, item.serial, self.context.energy())

    def record(self, name: str, value: int, per_unit: int) -> None:
        """A phase's measured value, into the item's record."""
        self.context.emit(ev.ACTUAL, self._current, value, per_unit, name.encode())

    def hold(self, now: int) -> None:
        """The item is held: nothing is resumed until `go_on`."""
        self._held_at = now
        if self.item is not None:
            self.context.emit(ev.HELD_ITEM, 0, 1, 0)

    def missing_need(self) -> int:
        """The first input that a running phase needs and that is not on, or -1."""
        inputs = self.context.inputs
        for run in self.running:
            for i in run.needs:
                if not inputs.value[i] or inputs.quality[i] != GOOD:
                    return i
        return -1

    def go_on(self, now: int) -> None:
        """The hold is over: time limits start again, each timer by its own rule."""
        for run in self.running:
            run.stuck = False
            if run.wait is not None:
                run.wait.held(self._held_at, now)
        if self.item is not None:
            self.context.emit(ev.HELD_ITEM, 0, 0, 0)

    def held_too_long(self, now: int) -> bool:
        """Whether a running step is held for longer than its recipe allows."""
        item = self.item
        if item is None:
            return False
        for run in self.running:
            limit = item.control["steps"][run.number]["max_hold_s"]
            if limit and diff(now, self._held_at) >= limit * 1000:
                return True
        return False

    def close(self) -> bool:
        """End every generator; what they write or raise while closing changes nothing. False if one would not end."""
        clean = True
        for run in self.running:
            if run.generator is not None and not close_generator(run.generator):
                clean = False
        self.running = []
        self.plan = []
        self.item = None
        return clean

    def waits(self) -> str:
        """What the running phases wait for, for people."""
        return ", ".join(
            [run.wait.text() for run in self.running if run.wait is not None and run.wait.text()]
        )

    def operator(self) -> "Operator | None":
        """The person's step that is open, or None."""
        for run in self.running:
            if isinstance(run.wait, Operator) and not run.wait.confirmed:
                return run.wait
        return None

    def operator_step(self) -> int:
        """The number of the person's step that is open, or 0."""
        for run in self.running:
            if isinstance(run.wait, Operator) and not run.wait.confirmed:
                return run.number
        return 0


def close_generator(generator: "Any") -> bool:
    """Close a phase; False when it raised or went on instead of ending."""
    try:
        generator.close()
    except (
        Exception
    ):  # a phase that objects to being stopped is stopped all the same; the caller raises the alarm
        return False
    return True
