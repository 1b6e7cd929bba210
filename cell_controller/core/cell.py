"""The cell as a phase sees it: its signals by name."""

from .phases import steps
from .signals import GOOD, WORD_BITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .outputs import Outputs
    from .signals import Inputs


class Input:
    """An input: `value` in steps of its resolution, `is_on` for a digital one, `is_good` for its quality."""

    def __init__(self, name: str, index: int, per_unit: int, inputs: "Inputs") -> None:
        self.name = name
        self.index = index
        self.per_unit = per_unit
        self.values = inputs.value
        self.qualities = inputs.quality

    @property
    def value(self) -> int:
        return self.values[self.index]

    @property
    def is_on(self) -> bool:
        i = self.index
        return self.values[i] != 0 and not self.qualities[i]  # good is 0

    @property
    def is_good(self) -> bool:
        return self.qualities[self.index] == GOOD


class Output:
    """An output: `on()`, `off()`, or `set(value)` in its unit."""

    def __init__(self, name: str, entry: "dict[str, Any]", place: int, outputs: "Outputs") -> None:
        self.name = name
        self.per_unit: int = entry["per_unit"]
        self.low: int = entry["lo"]
        self.high: int = entry["hi"]
        self.place = place
        self.word = place // WORD_BITS if place >= 0 else 0
        self.bit = 1 << place % WORD_BITS if place >= 0 else 0
        self._words = outputs.want_words
        self._analog = outputs.want_analog

    def on(self) -> None:
        """Switch on; an analog output goes to the top of its range."""
        bit = self.bit
        if bit:
            self._words[self.word] |= bit
        else:
            self.put(self.high)

    def off(self) -> None:
        """Switch off; an analog output goes to the bottom of its range."""
        bit = self.bit
        if bit:
            self._words[self.word] &= ~bit
        else:
            self.put(self.low)

    def set(self, value: "int | float | bool") -> None:
        """Set a value in the output's unit; for a digital one, on if it is not zero."""
        bit = self.bit
        if bit:
            if value:
                self._words[self.word] |= bit
            else:
                self._words[self.word] &= ~bit
        else:
            self.put(steps(value, self.per_unit))

    def put(self, value: int) -> None:
        """Set a value in steps of the resolution; it is kept inside the output's range."""
        if value < self.low:
            value = self.low
        elif value > self.high:
            value = self.high
        self._analog[-1 - self.place] = value

    def wanted(self) -> int:
        """The value last set, in steps of the resolution."""
        if self.bit:
            return 1 if self._words[self.word] & self.bit else 0
        return self._analog[-1 - self.place]


class Group:
    """Signals of one family: `cell.valve("green")` is `cell.valve_green`."""

    def __init__(self, start: str, cell: "Cell") -> None:
        self._start = start
        self._cell = cell

    def __call__(self, key: str) -> "Any":
        name = self._start + key
        signal = getattr(self._cell, name, None)
        if not isinstance(signal, (Input, Output)):
            raise ValueError("there is no " + name)
        return signal


class Cell:
    """Every signal of the cell as an attribute, and `record` for what was measured."""

    def __init__(
        self,
        spec: "dict[str, Any]",
        inputs: "Inputs",
        outputs: "Outputs",
        record: "Callable[[str, int, int], None]",
        has_item: "Callable[[], bool]",
    ) -> None:
        self._record = record
        self._has_item = has_item
        self._spec = spec
        self._inputs = inputs
        self._outputs = outputs

    def __getattr__(self, name: str) -> "Any":
        # reached once for what a phase uses, and for a mistake, which `check` finds before a machine does
        if name[:1] != "_":
            found = self._signal(name) or self._family(name)
            if found is not None:
                setattr(self, name, found)
                return found
        raise AttributeError("the cell has no signal " + name)

    @property
    def has_item(self) -> bool:
        """Whether an item is in work: begun and not ended, also while it is interrupted and the cell stands still."""
        return self._has_item()

    def _signal(self, name: str) -> "Input | Output | None":
        entries = self._spec["inputs"]
        for i in range(len(entries)):
            if entries[i]["name"] == name:
                return Input(name, i, entries[i]["per_unit"], self._inputs)
        entries = self._spec["outputs"]
        for i in range(len(entries)):
            if entries[i]["name"] == name:
                return Output(name, entries[i], self._outputs.place[i], self._outputs)
        return None

    def _family(self, name: str) -> "Group | None":
        start = name + "_"
        for entry in self._spec["inputs"] + self._spec["outputs"]:
            if entry["name"].startswith(start):
                return Group(start, self)
        return None

    def record(self, name: str, value: "int | float", per_unit: int = 1) -> None:
        """Put what was measured into the item's record: `value` in units, kept with `per_unit` steps a unit."""
        self._record(name, steps(value, per_unit), per_unit)
