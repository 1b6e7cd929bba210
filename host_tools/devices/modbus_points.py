"""The description of a Modbus device, devices/MODEL.toml: where its points are and what its registers mean."""

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import Field

from board.modbus_plan import MOST_READ_BITS, MOST_READ_REGISTERS
from board.modbus_values import BIT_TABLES, Value
from host_tools.compile_signals import name_problem
from host_tools.devices.common import LINK, PointShape
from host_tools.models import Number, Table, Text
from host_tools.toml_file import Problems

ANSWER_MS = 100
COUNT_LIMIT = (1 << 29) - 1
DIGITAL = (0, 1)
LIMITS = {
    "u16": (0, 0xFFFF),
    "i16": (-0x8000, 0x7FFF),
    "u32": (0, 0xFFFF_FFFF),
    "i32": (-0x8000_0000, 0x7FFF_FFFF),
    "u64": (0, (1 << 64) - 1),
}
"""What the types of whole numbers can say."""

Address = Annotated[int, Field(ge=0, le=0xFFFF)]
Type = Literal["bit", "u16", "i16", "u32", "i32", "u64", "f32"]
WordOrder = Literal["big", "little"]


class TimeoutTable(Table):
    """[device.comms_timeout]: the holding register that takes the device's own comms time-out."""

    address: Address
    step_ms: Annotated[int, Field(ge=1, le=60_000)]
    default_ms: Annotated[int, Field(ge=0, le=600_000)]


class HeadTable(Table):
    """[device]: what holds for the device as a whole."""

    name: Text
    text: Text = ""
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    answer_ms: Annotated[int, Field(ge=5, le=10_000)] = ANSWER_MS
    max_bits: Annotated[int, Field(ge=1, le=MOST_READ_BITS)] = MOST_READ_BITS
    max_registers: Annotated[int, Field(ge=1, le=MOST_READ_REGISTERS)] = MOST_READ_REGISTERS
    gap: Annotated[int, Field(ge=0, le=124)] = 0
    read_back: bool = True
    write_single: bool = True
    write_multiple: bool = True
    word_order: WordOrder = "big"
    comms_timeout: TimeoutTable | None = None


class RegisterTable(Table):
    """[points.NAME]: one point."""

    table: Literal["coil", "discrete", "input", "holding"]
    address: Address
    type: Type | None = None
    bit: Annotated[int, Field(ge=0, le=15)] | None = None
    word_order: WordOrder | None = None
    scale: Number | None = None
    resolution: Number | None = None
    unit: Text = ""
    range: Annotated[list[Number], Field(min_length=2, max_length=2)] | None = None
    kind: Literal["analog", "counter", "identity"] | None = None
    access: Literal["in", "out"] = "in"
    poll: Literal["fast", "slow", "once"] = "fast"
    read_back: bool | None = None
    fallback: Number | None = None
    text: Text = ""


class DescriptionFile(Table):
    """devices/MODEL.toml of a Modbus device."""

    device: HeadTable
    points: Annotated[dict[str, RegisterTable], Field(min_length=1)]


class Points:
    """The points of a description on their way to shapes and settings."""

    def __init__(self, description: DescriptionFile, label: str, problems: Problems) -> None:
        self.head = description.device
        self.tables = description.points
        self.label = label
        self.problems = problems
        self.owners: dict[tuple[str, int], tuple[str, int]] = {}

    def run(self) -> tuple[dict[str, PointShape], dict[str, Any]]:
        shapes = {LINK: PointShape("digital", False, DIGITAL, text="1 while the device answers")}
        settings: dict[str, Any] = {}
        if not (self.head.write_single or self.head.write_multiple):
            self._error(
                "[device]", "write_single and write_multiple are both false; one of them must be true"
            )
        for name, point in self.tables.items():
            where = f"[points.{name}]"
            trouble = name_problem(name) or ("is the point that every device has" if name == LINK else "")
            if trouble:
                self._error(where, f"'{name}' {trouble}")
                continue
            made = self._point(name, point, where)
            if made is not None:
                shapes[name], settings[name] = made
        return shapes, settings

    def _error(self, where: str, what: str) -> None:
        self.problems.error(f"{self.label}, {where}", what)

    def _point(self, name: str, point: RegisterTable, where: str) -> tuple[PointShape, dict[str, Any]] | None:
        kind = self._type(point, where)
        if kind is None or not self._fits(point, kind, where):
            return None
        scaled = _scaled(point, kind)
        if isinstance(scaled, str):
            self._error(where, scaled)
            return None
        value, step = scaled
        if point.access == "out":
            self._own(name, point, value, where)
        fallback = self._fallback(point, value, step, where)
        order = point.word_order or self.head.word_order
        is_output = point.access == "out"
        read_back = self.head.read_back if point.read_back is None else point.read_back
        settings = {
            "table": point.table,
            "address": point.address,
            "type": kind,
            "bit": value.bit,
            "little": order == "little",
            "num": value.num,
            "den": value.den,
            "low": value.low,
            "high": value.high,
            "poll": point.poll,
            "is_output": is_output,
            "read_back": read_back if is_output else True,
            "fallback": fallback,
        }
        text = point.text or f"{point.table} {point.address}"
        if kind == "bit":
            return PointShape("digital", is_output, DIGITAL, text=text), settings
        span = (value.low, value.high, value.low * step, value.high * step)
        bare = point.scale is None and point.resolution is None and not point.unit
        shape = PointShape(
            point.kind or "analog",
            is_output,
            (value.low, value.high),
            point.unit,
            None if bare else span,
            text=text,
        )
        return shape, settings

    def _type(self, point: RegisterTable, where: str) -> str | None:
        if point.table in BIT_TABLES:
            if point.type not in (None, "bit") or point.bit is not None:
                self._error(where, f'table = "{point.table}" has bits: remove type and bit')
                return None
            return "bit"
        if point.type is None and point.bit is None:
            self._error(
                where, "'type' is missing; write what its registers hold: u16, i16, u32, i32, u64, f32 or bit"
            )
            return None
        kind = point.type or "bit"
        if (kind == "bit") != (point.bit is not None):
            self._error(
                where,
                f'bit = {point.bit} and type = "{kind}" do not go together; a bit has both, or bit only',
            )
            return None
        return kind

    def _fits(self, point: RegisterTable, kind: str, where: str) -> bool:
        """Whether the keys of the point go together; says what does not."""
        before = len(self.problems.errors)
        length = Value(kind).length
        if kind == "bit":
            for key in ("scale", "resolution", "unit", "range", "kind", "word_order"):
                if getattr(point, key):
                    self._error(where, f"{key} means nothing for a bit; remove it")
        elif length > self.head.max_registers:
            self._error(
                where,
                f'type = "{kind}" has {length} registers, and max_registers = {self.head.max_registers}',
            )
        if point.address + length > 0x10000:
            self._error(
                where, f'type = "{kind}" at address = {point.address} ends after 65535; correct the address'
            )
        if point.access == "out":
            if point.table not in ("coil", "holding"):
                self._error(where, f'access = "out": table = "{point.table}" can only be read; remove it')
            if length > 1 and not self.head.write_multiple:
                self._error(
                    where, f'type = "{kind}" is written in {length} registers, and write_multiple is false'
                )
            if kind == "u64":
                self._error(where, 'type = "u64" cannot be driven; choose another type')
            if point.poll != "fast" or point.kind not in (None, "analog"):
                self._error(where, 'poll and kind are for access = "in"; remove them')
        elif point.read_back is not None or point.fallback is not None:
            self._error(where, 'read_back and fallback are for access = "out"; remove them')
        return len(self.problems.errors) == before

    def _own(self, name: str, point: RegisterTable, value: Value, where: str) -> None:
        """An output shares no bit with another one."""
        for address in range(point.address, point.address + value.length):
            first, taken = self.owners.get((point.table, address), (name, 0))
            if taken & value.mask:
                self._error(
                    where, f"{point.table} {address} is written by '{first}' already; correct the address"
                )
                return
            self.owners[point.table, address] = first, taken | value.mask

    def _fallback(self, point: RegisterTable, value: Value, step: Decimal, where: str) -> int:
        if point.fallback is None:
            return max(value.low, min(value.high, 0))
        count = Fraction(point.fallback.value) / Fraction(step)
        if count.denominator != 1 or not value.low <= count <= value.high:
            self._error(where, f"fallback = {point.fallback} is not a value of the point; correct it")
            return 0
        return count.numerator


def _scaled(point: RegisterTable, kind: str) -> tuple[Value, Decimal] | str:
    """What the registers mean, and what one count is in units; or what is wrong."""
    if kind == "bit":
        return Value(bit=point.bit or 0), Decimal(1)
    scale = point.scale.value if point.scale is not None else Decimal(1)
    if point.resolution is None and kind == "f32":
        return "'resolution' is missing; write what one count of the signal is, as 0.1"
    step = point.resolution.value if point.resolution is not None else scale
    if scale <= 0 or step <= 0:
        return "scale and resolution are above 0; correct them"
    ratio = Fraction(scale) / Fraction(step)
    limits = _limits(point, kind, ratio, step)
    if isinstance(limits, str):
        return limits
    return Value(kind, num=ratio.numerator, den=ratio.denominator, low=limits[0], high=limits[1]), step


def _limits(point: RegisterTable, kind: str, ratio: Fraction, step: Decimal) -> tuple[int, int] | str:
    """Least and greatest count; or what is wrong."""
    most = [int(limit * ratio) for limit in LIMITS.get(kind, (-COUNT_LIMIT, COUNT_LIMIT))]
    if point.range is None:
        if kind == "f32" or max(map(abs, most)) > COUNT_LIMIT:
            return f"'range' is missing; write the values that the device gives, for type = \"{kind}\""
        return most[0], most[1]
    ends = [Fraction(end.value) / Fraction(step) for end in point.range]
    low, high = (int(end) for end in ends)
    if any(end.denominator != 1 for end in ends) or low >= high:
        return f"range = {_range_text(point.range)} is not a rising one in whole steps of {step}; correct it"
    if low < max(most[0], -COUNT_LIMIT) or high > min(most[1], COUNT_LIMIT):
        return (
            f'range = {_range_text(point.range)}: type = "{kind}" and counts up to {COUNT_LIMIT} do not hold that in '
            f"steps of {step}; narrow it, or coarsen the resolution"
        )
    return low, high


def _range_text(ends: list[Any]) -> str:
    return "[" + ", ".join(str(end) for end in ends) + "]"
