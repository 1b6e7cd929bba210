"""Named faults: off by default, each turned on by a name a person can type, each shown by a test to act.

Two kinds: those of a device (`clamp.jam`), which a plant declares, and those of the wire between a signal and the
controller (`airflow.stuck`), which every input has.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from cell_controller.core.signals import GOOD, STALE
from cell_controller.errors import FaultNameError

FLICKER_MS = 50
"""A flickering signal is right for this long and wrong for as long."""

_WIRE_TEXTS = {
    "stuck": "keeps the value it has, and looks good",
    "flicker": "changes to a wrong value and back every 50 ms",
    "stale": "no longer arrives: last value, quality stale",
    "out_of_range": "reads beyond its range",
    "frozen": "the meter stands still",
}


def wire_faults(spec: Mapping[str, Any]) -> dict[str, str]:
    """The faults that the wire of each input of `spec` can have, with what each does."""
    found = {}
    for entry in spec["inputs"]:
        kinds = ["frozen" if entry["kind"] == "counter" else "stuck", "flicker", "stale"]
        if entry["kind"] != "digital":
            kinds.append("out_of_range")
        for kind in kinds:
            found[f"{entry['name']}.{kind}"] = _WIRE_TEXTS[kind]
    return found


class FaultSet:
    """Which faults there are and which are on."""

    def __init__(self, known: Mapping[str, str]) -> None:
        """`known`: name of each fault and what it does, in words."""
        self.known = dict(known)
        self._on: set[str] = set()

    def switch(self, name: str, on: bool) -> None:
        """Turn one fault on or off. Raises FaultNameError for a name that is not known."""
        if name not in self.known:
            near = difflib.get_close_matches(name, self.known, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise FaultNameError(
                f"no fault '{name}' on this board; {hint}known: {', '.join(sorted(self.known))}"
            )
        if on:
            self._on.add(name)
        else:
            self._on.discard(name)

    def is_on(self, name: str) -> bool:
        """Whether `name` is on; False for a name that is not known."""
        return name in self._on

    def active(self) -> list[str]:
        """The faults that are on, sorted."""
        return sorted(self._on)


class WireFaults:
    """Changes what the inputs read while a fault of their wire is on."""

    def __init__(self, spec: Mapping[str, Any], faults: FaultSet) -> None:
        self._inputs: Sequence[Mapping[str, Any]] = spec["inputs"]
        self._faults = faults
        self._index = {entry["name"]: i for i, entry in enumerate(self._inputs)}
        self._of_wire = wire_faults(spec)
        self._frozen: dict[int, int] = {}
        self.affected: list[tuple[int, str]] = []

    def refresh(self, values: Sequence[int]) -> None:
        """Take over which faults are on; a signal that stops moving keeps its value of `values`."""
        self.affected = []
        for name in self._faults.active():
            if name in self._of_wire:
                signal, _, kind = name.rpartition(".")
                self.affected.append((self._index[signal], kind))
        holding = {i for i, kind in self.affected if kind in ("stuck", "frozen", "stale")}
        self._frozen = {i: self._frozen.get(i, values[i]) for i in sorted(holding)}

    def apply(self, now_ms: int, values: list[int], quality: bytearray) -> None:
        """Change `values` (integer values, one an input) and `quality` in place, as they read at `now_ms`."""
        for i in range(len(quality)):
            quality[i] = GOOD
        wrong = (now_ms // FLICKER_MS) & 1
        for i, kind in self.affected:
            entry = self._inputs[i]
            if kind == "out_of_range":
                values[i] = int(entry["hi"]) + (int(entry["hi"]) - int(entry["lo"])) // 4 + 1
            elif kind == "flicker":
                if wrong:
                    values[i] = int(entry["hi"]) if values[i] == int(entry["lo"]) else int(entry["lo"])
            else:
                values[i] = self._frozen[i]
                if kind == "stale":
                    quality[i] = STALE
