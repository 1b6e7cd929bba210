"""The shape of the files an engineer writes: keys, types and plain bounds. What needs other files is checked later."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from host_tools.scale import Quantity, quantity

Text = Annotated[str, StringConstraints(max_length=120)]
Number = Annotated[Quantity, BeforeValidator(quantity)]


def _level(value: object) -> object:
    if isinstance(value, (bool, int, Decimal, str)):
        return value
    raise ValueError('is not a value; write a number, "on" or "off"')


Level = Annotated[Any, BeforeValidator(_level)]
"""A value of an output: a number, a number with its unit, "on", "off", true, false; for stops also "keep"."""

Consequence = Literal["none", "hold", "stop", "abort"]
Seconds = Annotated[int, Field(ge=0, le=86400)]


class Table(BaseModel):
    """A TOML table in which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)


class CellTable(Table):
    """[cell]: who the cell is and which of its signals have a meaning to the controller itself."""

    name: str
    path: str = ""
    scan_ms: Annotated[int, Field(ge=1, le=1000)] = 10
    profile: Literal[2015, 2022] = 2022
    auto_start: bool = False
    emergency_stop: str = ""
    part_present: str = ""
    identity: str = ""
    energy: str = ""
    heartbeat: str = ""
    stack_light: dict[str, str] = Field(default_factory=dict)


class InputTable(Table):
    """[inputs.NAME]: a thing the controller reads. With a range it is analog, else digital."""

    text: Text = ""
    kind: Literal["", "digital", "analog", "identity", "counter"] = ""
    unit: Annotated[str, StringConstraints(max_length=16)] = ""
    range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    resolution: Number | None = None
    on_bad: Consequence = "none"


class OutputTable(Table):
    """[outputs.NAME]: a thing the controller drives, and what it does when things stop."""

    text: Text = ""
    unit: Annotated[str, StringConstraints(max_length=16)] = ""
    range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    resolution: Number | None = None
    safe: Level
    on_hold: Level = None
    on_stop: Level = None
    on_abort: Level = None


class Limit(Table):
    """A need of an interlock on a signal with a range."""

    min: Number | None = None
    max: Number | None = None
    hysteresis: Number | None = None


class InterlockTable(Table):
    """[interlocks.NAME]: outputs that must not be on unless the needs are met."""

    blocks: Annotated[list[str], Field(min_length=1)]
    needs: dict[str, Any]
    then: Consequence = "none"
    message: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    min_ms: Annotated[int, Field(ge=0, le=600_000)] = 0


class ModeTable(Table):
    """[modes.NAME]: a mode of the unit and the states it does not have."""

    number: Annotated[int, Field(ge=1, le=31)] | None = None
    disabled: list[str] = Field(default_factory=list)


class StateTable(Table):
    """[states.NAME]: the time limit of an acting state."""

    limit_s: Annotated[int, Field(ge=1, le=86400)]


class CellFile(Table):
    """cell.toml."""

    cell: CellTable
    inputs: dict[str, InputTable] = Field(default_factory=dict)
    outputs: dict[str, OutputTable] = Field(default_factory=dict)
    interlocks: dict[str, InterlockTable] = Field(default_factory=dict)
    modes: dict[str, ModeTable] = Field(default_factory=dict)
    states: dict[str, StateTable] = Field(default_factory=dict)


class Span(Table):
    """Two points that tie the raw counts of a channel to the signal's value."""

    raw: Annotated[list[int], Field(min_length=2, max_length=2)]
    value: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None


class WireTable(Table):
    """wiring/BOARD.toml, [SIGNAL]: where the signal is. Keys that only the board knows pass through to it."""

    model_config = ConfigDict(extra="allow", strict=True, arbitrary_types_allowed=True)

    channel: Annotated[str, StringConstraints(max_length=64)] = ""
    span: Span | None = None
    active_low: bool = False
    unit: str = ""
    relay: bool = False
    shared: bool = False
    pull_resistor: Literal["up", "down"] | None = None


class RecipeTable(Table):
    """[recipe]: which product this makes."""

    product: str
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    text: Text = ""
    planned_s: Seconds = 0


class ParameterTable(Table):
    """[parameters] NAME: a number the phases get; the range binds recipe, options and orders alike."""

    default: Number
    range: Annotated[list[Number], Field(min_length=2, max_length=2)]
    unit: Annotated[str, StringConstraints(max_length=16)] = ""
    resolution: Number | None = None
    text: Text = ""


class TextOption(Table):
    """A free text of the customer, bounded in length and characters."""

    kind: Literal["text"]
    text: Text = ""
    default: str = ""
    max_length: Annotated[int, Field(ge=1, le=200)]
    characters: Annotated[str, StringConstraints(min_length=1, max_length=300)]


class NumberOption(Table):
    """A free number of the customer within a range."""

    kind: Literal["number"]
    text: Text = ""
    default: Number
    range: Annotated[list[Number], Field(min_length=2, max_length=2)]
    unit: Annotated[str, StringConstraints(max_length=16)] = ""
    resolution: Number | None = None


class FileOption(Table):
    """A file of the customer, named by its sha256."""

    kind: Literal["file"]
    text: Text = ""
    default: str = ""


class ChoiceValue(Table):
    """What choosing a value changes; every other key is a parameter. `use`: what phases get instead of its name."""

    model_config = ConfigDict(extra="allow", strict=True, arbitrary_types_allowed=True)

    text: Text = ""
    skip: list[str] = Field(default_factory=list)
    add: list[str] = Field(default_factory=list)
    use: Annotated[str, StringConstraints(max_length=40)] = ""


class ExcludeTable(Table):
    """[[exclude]]: option values that do not go together."""

    when: Annotated[dict[str, str], Field(min_length=1)]
    message: Annotated[str, StringConstraints(min_length=1, max_length=120)]


class StepTable(Table):
    """[[step]]: one phase of the recipe, in the order in which they run."""

    phase: str
    name: str = ""
    operation: Text = ""
    on_interrupt: Literal["ask", "repeat", "scrap", "resume"] = "ask"
    max_hold_s: Seconds = 0
    on_resume: Literal["once", "again"] = "once"
    on_scrap: Literal["skip", "run"] = "skip"
    together: str = ""
    optional: bool = False
    planned_s: Seconds = 0
    set: dict[str, Any] = Field(default_factory=dict)


class RecipeFile(Table):
    """recipes/PRODUCT.toml."""

    recipe: RecipeTable
    parameters: dict[str, ParameterTable] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    exclude: list[ExcludeTable] = Field(default_factory=list)
    step: Annotated[list[StepTable], Field(min_length=1)]
