"""Interlocks: conditions that block outputs, and trip while a blocked output is on or wanted.

A blocked output has its safe value, in every mode and state. An input that is not good violates every condition on
it, in either polarity. Only what changed is looked at: each condition on an analog value keeps a window inside which
its answer cannot change.
"""

from . import alarms as al
from .signals import GOOD, Inputs
from .ticks import diff

EQUALS = 0
AT_LEAST = 1
AT_MOST = 2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .outputs import Outputs

_WIDE = 1 << 29
_CONSEQUENCE = {"none": al.NONE, "hold": al.HOLD, "stop": al.STOP, "abort": al.ABORT}


class Interlocks:
    """All interlocks of a cell. `blocked_words`, `blocked_values` and `blocked_analog` are what outputs obey."""

    def __init__(self, spec: "dict[str, Any]", inputs: Inputs) -> None:
        self.inputs = inputs
        interlocks = spec["interlocks"]
        count = len(interlocks)
        self.active: "list[int]" = []  # violated at the moment
        self._since = [0] * count
        self._bad_terms = [0] * count
        self._tripped = bytearray(count)
        self._ripe = bytearray(
            count
        )  # violated for its minimum time; kept, for the tick comes round in 3 days
        self._min_ms: "list[int]" = [entry["min_ms"] for entry in interlocks]
        self._then = [_CONSEQUENCE[entry["then"]] for entry in interlocks]
        self._terms: "list[list[int]]" = []  # [signal, op, limit, hysteresis, interlock, violated]
        self._by_signal: "list[list[list[int]]]" = [[] for _ in inputs.value]
        for number in range(count):
            for need in interlocks[number]["needs"]:
                term = [need[0], need[1], need[2], need[3], number, 0]
                self._terms.append(term)
                self._by_signal[need[0]].append(term)
                inputs.watched[need[0]] = 1
        self.blocks: "list[list[int]]" = [entry["blocks"] for entry in interlocks]
        self._changed = True
        self.due = True  # `evaluate` has something to do in this scan

    def prime(self, now: int) -> None:
        """Look at every condition once: before the first scan and after a jump of the inputs."""
        for signal in range(len(self._by_signal)):
            if self._by_signal[signal]:
                self._look(signal, now)

    def update(self, now: int) -> None:
        """Take over the inputs that changed in this scan."""
        inputs = self.inputs
        for k in range(inputs.touched_count):
            self._look(inputs.touched[k], now)

    def _look(self, signal: int, now: int) -> None:
        value = self.inputs.value[signal]
        good = self.inputs.quality[signal] == GOOD
        calm_lo = -_WIDE
        calm_hi = _WIDE
        for term in self._by_signal[signal]:
            op = term[1]
            limit = term[2]
            if op == EQUALS:
                bad = value != limit
            elif op == AT_LEAST:
                # once violated it must come back by the hysteresis
                edge = limit + term[3] if term[5] else limit
                bad = value < edge
            else:
                edge = limit - term[3] if term[5] else limit
                bad = value > edge
            bad = bad or not good
            if bad != (term[5] != 0):
                self._turn(term, bad, now)
            if op == AT_LEAST:
                edge = limit + term[3] if term[5] else limit
                if value < edge:
                    calm_hi = min(calm_hi, edge - 1)
                else:
                    calm_lo = max(calm_lo, edge)
            elif op == AT_MOST:
                edge = limit - term[3] if term[5] else limit
                if value > edge:
                    calm_lo = max(calm_lo, edge + 1)
                else:
                    calm_hi = min(calm_hi, edge)
        self.inputs.keep_calm(signal, calm_lo, calm_hi)

    def _turn(self, term: "list[int]", bad: bool, now: int) -> None:
        number = term[4]
        term[5] = 1 if bad else 0
        self._bad_terms[number] += 1 if bad else -1
        if bad and self._bad_terms[number] == 1:
            self._since[number] = now
            self._ripe[number] = 0
            self.active.append(number)
        elif not bad and self._bad_terms[number] == 0:
            self.active.remove(number)
        else:
            return
        self._changed = True
        self.due = True

    def evaluate(self, now: int, outputs: "Outputs", alarms: al.Alarms) -> None:
        """Block what is violated, trip what is violated while wanted, let go of what is over."""
        waiting = False
        watching = False
        for number in self.active:
            if not self._ripe[number]:
                if diff(now, self._since[number]) < self._min_ms[number]:
                    waiting = True
                    continue
                self._ripe[number] = 1
                self._changed = True
            if self._then[number] and not self._tripped[number]:
                if outputs.any_on(self.blocks[number]):
                    self._tripped[number] = 1
                    alarms.raise_(al.INTERLOCK + number, self._then[number], 0, now, True)
                else:
                    watching = True
        if self._changed:
            outputs.block_nothing()
            for number in self.active:
                if self._ripe[number]:
                    outputs.block(self.blocks[number])
        self._changed = False
        self.due = waiting or watching

    def release(self, outputs: "Outputs", alarms: al.Alarms) -> None:
        """A trip's cause is gone when the condition is true again, or nothing wants the outputs any more."""
        for number in range(len(self.blocks)):
            if self._tripped[number] and (
                not self._bad_terms[number] or not outputs.any_wanted(self.blocks[number])
            ):
                self._tripped[number] = 0
                self.due = True  # where only the want is gone it may come again
                alarms.gone(al.INTERLOCK + number)
