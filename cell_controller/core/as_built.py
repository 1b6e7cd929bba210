"""The item in work and its as-built record: what was asked, what was done, step by step, and by whom."""

from . import codec
from . import events as ev
from .ticks import diff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_ACTUALS = 200  # measured values kept in one record


class Step:
    """One step as it went: ticks and meter readings relative to the item, marks, how often it was begun."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun = 0
        self.start_ms = 0
        self.end_ms = -1
        self.energy_start = -1
        self.energy = 0
        self.mark = 0
        self.of = 0
        self.done = False
        self.skipped = False  # a person said it was done
        self.running = False


class Item:
    """The item in work. `started` carries the control recipe, its hash, the carrier and the meter reading."""

    def __init__(self, serial: int, job: int, tick: int, started: "Any") -> None:
        self.serial = serial
        self.job = job
        self.control: "dict[str, Any]" = started["control"]
        self.hash: str = started["hash"]
        self.carrier: int = started["carrier"]
        self.recipe_version: int = started["version"]
        self.steps = [Step(i) for i in range(len(self.control["steps"]))]
        self.actuals: "list[list[Any]]" = []
        self.answers: "list[list[Any]]" = []
        self.interruptions = 0
        self.interrupted = False
        self.question = False
        self.answer = 0
        self.scrapped = False  # a person said so; only what clears it away is still done
        self.held_ms = 0
        self._held_at = -1
        self.stood_ms = 0  # interrupted, until a step was begun again
        self._stood_at = -1
        self._base = tick
        self._elapsed = 0
        self.energy = 0
        self._meter: int = started["energy"]

    def elapsed(self, tick: int) -> int:
        """Milliseconds of work on the item until `tick`; time without power does not count."""
        return self._elapsed + diff(tick, self._base)

    def cut(self, last_tick: int, tick: int) -> None:
        """The controller was off: the clock and the meter go on from here."""
        self._elapsed += diff(last_tick, self._base)
        self._base = tick
        self._meter = -1
        self._end_hold(last_tick)
        if self._stood_at >= 0:
            self.stood_ms += diff(last_tick, self._stood_at)
            self._stood_at = tick

    def meter(self, reading: int) -> None:
        """A meter reading: what was used since the last one is the item's."""
        if self._meter >= 0 and reading >= self._meter:
            self.energy += reading - self._meter
        self._meter = reading

    def running_steps(self) -> "list[Step]":
        return [step for step in self.steps if step.running]

    def apply(self, tick: int, kind: int, source: int, a: int, b: int, carried: bytes) -> None:
        """Take one event of this item in."""
        if kind == ev.ANSWER:
            self._answered(source, b, carried)
        elif kind == ev.INTERRUPTED:
            self.interrupted = True
            self.interruptions += 1
            self.question = b == 1
            self.answer = 0
            self._end_hold(tick)
            self._stood_at = tick
        elif kind == ev.HELD_ITEM:
            self._end_hold(tick)
            if a:
                self._held_at = tick
        elif source < len(self.steps):
            self._apply_step(self.steps[source], tick, kind, a, b, carried)

    def _end_hold(self, tick: int) -> None:
        if self._held_at >= 0:
            self.held_ms += diff(tick, self._held_at)
            self._held_at = -1

    def _apply_step(self, step: Step, tick: int, kind: int, a: int, b: int, carried: bytes) -> None:
        if kind == ev.STEP_START:
            if self._stood_at >= 0:
                self.stood_ms += diff(tick, self._stood_at)
                self._stood_at = -1
            self.meter(b)
            self.interrupted = False
            step.begun += 1
            step.running = True
            step.done = False
            step.end_ms = -1
            if step.begun == 1:
                step.start_ms = self.elapsed(tick)
            step.energy_start = self.energy
        elif kind == ev.STEP_END:
            self.meter(b)
            step.running = False
            step.done = True
            step.end_ms = self.elapsed(tick)
            step.energy += self.energy - step.energy_start
        elif kind == ev.MARK:
            step.mark = a
            step.of = b
        elif kind == ev.ACTUAL and len(self.actuals) < MOST_ACTUALS:
            self.actuals.append([step.number, carried.decode(), a, b])

    def _answered(self, answer: int, place: int, carried: bytes) -> None:
        """`place`: step + 1 of which it is said; 0: every step that still runs."""
        said = codec.unpack(carried)
        running = [step for step in self.running_steps() if not place or step.number == place - 1]
        if not place:
            self.question = False
            self.answer = answer
        self.scrapped = self.scrapped or answer == ev.SCRAP_IT
        name = running[0].number if running else -1
        self.answers.append([name, answer, said])
        for step in running:
            step.running = False
            if answer == ev.DONE:
                step.done = True
                step.skipped = True
            elif answer == ev.REPEAT:
                step.mark = 0

    def record(self, tick: int, order_id: str, product: str, issuer: str, result: int) -> "dict[str, Any]":
        """The as-built record; times in ms from the item's start, energy in steps of the meter."""
        control = self.control
        steps = []
        for step in self.steps:
            if not step.begun and not step.skipped:
                continue
            entry = control["steps"][step.number]
            steps.append(
                {
                    "name": entry["name"],
                    "phase": entry["phase"],
                    "operation": entry["operation"],
                    "set": entry["args"],
                    "start_ms": step.start_ms,
                    "end_ms": step.end_ms,
                    "energy": step.energy,
                    "begun": step.begun,
                    "done": 1 if step.done else 0,
                    "said_done": 1 if step.skipped else 0,
                    "mark": step.mark,
                    "actual": [[e[1], e[2], e[3]] for e in self.actuals if e[0] == step.number],
                }
            )
        return {
            "serial": self.serial,
            "order_id": order_id,
            "product": product,
            "version": self.recipe_version,
            "hash": self.hash,
            "options": control["options"],
            "params": control["params"],
            "carrier": self.carrier,
            "duration_ms": self.elapsed(tick),
            "held_ms": self.held_ms,
            "stood_ms": self.stood_ms,
            "energy": self.energy,
            "interruptions": self.interruptions,
            "answers": [[e[0], ev.ANSWER_NAMES[e[1]], e[2]] for e in self.answers],
            "commanded_by": issuer,
            "result": ev.RESULT_NAMES[result],
            "steps": steps,
        }
