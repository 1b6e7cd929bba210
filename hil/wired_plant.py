"""A plant without a line of Python: inputs that follow outputs, as wiring/sim.toml says. For cells that have none yet.

[clamp_closed]
follows = "clamp"       # on when the output is on ...
delay_ms = 800          # ... and was for this long

[clamp_open]
follows = "clamp"
inverted = true         # the switch at the other end
delay_ms = 800

[door_closed]
rest = 1                # what it reads when it follows nothing

[panel_temp]
follows = "cure_lamp"
rest = 20               # where it goes with the output off, and `full` with the output at its top,
full = 90
delay_ms = 10000        # in this time from one to the other
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from cell_controller.errors import BoardError
from hil.faults import FaultSet
from hil.plant import PlantSignals, Spec, slew

KEYS = ("delay_ms", "follows", "full", "inverted", "rest")
"""What this plant reads of an input's table; the rest of the table is the board's and the core's."""
OTHER_KEYS = ("active_low", "channel", "relay", "shared", "span", "unit")

STEP_MS = 50
CALM_MS = 1000
SCALE = 1000
"""Positions are thousandths of the way from rest to full, times the delay: whole numbers for any speed."""


class _Follower:
    """One input: where it is between rest and full, and where its output sends it."""

    def __init__(self, output: int, delay_ms: int, rest: int, full: int, digital: bool, top: int) -> None:
        self.output = output
        self.delay_ms = max(1, delay_ms)
        self.rest = rest
        self.full = full
        self.digital = digital
        self.top = top
        self.position = 0

    def target(self, value: int) -> int:
        """Where `value` of the output sends it, in thousandths of the way times the delay."""
        share = SCALE if self.digital and value else SCALE * value // self.top
        return share * self.delay_ms

    def reading(self) -> int:
        """The integer value of the input."""
        if self.digital:
            # a limit switch: on when it got there, off as soon as it leaves, at either end
            end = 0 if self.rest else SCALE * self.delay_ms
            return 1 if self.position == end else 0
        return self.rest + (self.full - self.rest) * self.position // (SCALE * self.delay_ms)


class WiredPlant:
    """The plant of a cell whose wiring/sim.toml names none. Without any table every input reads its rest.

    At rest a digital input is off, but the emergency-stop chain is closed and a part is there; an identity is 1; an
    analog input reads 0, or the nearest value of its range.
    """

    def __init__(self, spec: Spec, wiring: Mapping[str, Any]) -> None:
        """Raises BoardError for a key nobody knows, an output that does not exist, a value that is no number."""
        names = PlantSignals(spec, "wiring/sim.toml")
        self.damage: list[str] = []
        self.noise: list[tuple[int, int]] = []
        self._followers: dict[int, _Follower] = {}
        self._fault_of: dict[int, str] = {}
        self.inputs = []
        known: dict[str, str] = {}
        for i, entry in enumerate(spec["inputs"]):
            table = wiring.get(entry["name"], {})
            self._check_keys(entry["name"], table)
            self.inputs.append(self._value(entry, table, "rest", _rest(spec, i)))
            if "follows" in table:
                self._follow(spec, names, i, table, known)
        self.faults = FaultSet(known)
        self._outputs = [0] * len(spec["outputs"])
        self._now = 0

    def _check_keys(self, name: str, table: Mapping[str, Any]) -> None:
        for key in sorted(table):
            if key not in KEYS and key not in OTHER_KEYS:
                raise BoardError(f"wiring/sim.toml, [{name}]: unknown key '{key}'; known: {', '.join(KEYS)}")

    def _value(self, entry: Mapping[str, Any], table: Mapping[str, Any], key: str, default: int) -> int:
        value = table.get(key)
        if value is None:
            return default
        if not isinstance(value, int | float | Decimal):
            raise BoardError(f"wiring/sim.toml, [{entry['name']}]: {key} = {value!r} is not a number")
        return int(value) if entry["kind"] == "digital" else int(value * entry["per_unit"])

    def _follow(
        self, spec: Spec, names: PlantSignals, i: int, table: Mapping[str, Any], known: dict[str, str]
    ) -> None:
        entry = spec["inputs"][i]
        output_name = str(table["follows"])
        output = names.output(output_name)
        delay_ms = table.get("delay_ms", 0)
        if not isinstance(delay_ms, int) or not 0 <= delay_ms <= 3_600_000:
            raise BoardError(
                f"wiring/sim.toml, [{entry['name']}]: delay_ms = {delay_ms} is outside 0..3600000"
            )
        digital = entry["kind"] == "digital"
        inverted = bool(table.get("inverted", False))
        rest = self.inputs[i]
        full = self._value(entry, table, "full", 1 if digital else int(entry["hi"]))
        if digital:
            rest, full = (1, 0) if inverted else (0, 1)
            self.inputs[i] = rest
        top = max(1, int(spec["outputs"][output]["hi"]))
        self._followers[i] = _Follower(output, delay_ms, rest, full, digital, top)
        self._fault_of[i] = f"{output_name}.dead"
        known[f"{output_name}.dead"] = "the output is driven and nothing moves"

    def step(self, now_ms: int, outputs: Sequence[int]) -> int:
        """See Plant.step."""
        passed = now_ms - self._now
        self._now = now_ms
        moving = False
        for i, follower in self._followers.items():
            driven = self._outputs[follower.output]
            if self.faults.is_on(self._fault_of[i]):
                driven = 0
            follower.position = slew(follower.position, follower.target(driven), SCALE * passed)
            self.inputs[i] = follower.reading()
            moving = moving or follower.position != follower.target(outputs[follower.output])
        self._outputs = list(outputs)
        period = STEP_MS if moving else CALM_MS
        return now_ms - now_ms % period + period

    def state(self) -> dict[str, object]:
        """Nothing but the inputs: there is no machine behind them."""
        return {}


def _rest(spec: Spec, i: int) -> int:
    """What an input reads when nothing is said about it."""
    entry = spec["inputs"][i]
    if entry["kind"] == "digital":
        return 1 if i in (spec["emergency_stop"], spec["part_present"]) else 0
    return max(int(entry["lo"]), min(int(entry["hi"]), 1 if entry["kind"] == "identity" else 0))
