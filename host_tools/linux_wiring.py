"""wiring/BOARD.toml for a Linux machine as the plans of its devices: what `board.linux_board` is made of.

Everything is resolved here: which driver a channel belongs to, places in the images, safe and abort values in counts at
the terminal. So what cannot work is said at the desk.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from board.contract import HOLD_LAST, DevicePlan, Point
from cell_controller.core.signals import KEEP
from host_tools.compile_signals import name_problem
from host_tools.devices.common import DeviceShape, PointShape
from host_tools.devices.local import is_own_name, local_device, local_point
from host_tools.models import Table, WireTable
from host_tools.signal_places import Signal, signals_of
from host_tools.toml_file import Problems, closest, model_of, shown

TARGET = "linux"
KINDS = ("modbus", "instrument", "marlin", "grbl")
"""Kinds of devices behind a line; each is host_tools.devices.KIND."""

OWN_PINS = ("gpio", "pulse", "pwm")
"""Local kinds that are the machine itself: they are not lost and come back."""

COUNT_LIMIT = 1 << 29


class LinuxTable(Table):
    """[board] of a Linux machine."""

    target: Literal["linux"]
    on_death: Literal["release", "hold_last"] = "hold_last"
    watchdog_ms: Annotated[int, Field(ge=100, le=10_000)] = 500
    watchdog: Annotated[str, StringConstraints(pattern=r"/dev/[a-z0-9]+")] = ""
    watchdog_s: Annotated[int, Field(ge=2, le=60)] = 10
    i2c: Annotated[int, Field(ge=0, le=99)] = 1


class LinuxWire(WireTable):
    """[SIGNAL] of a Linux machine: further keys belong to its channel, and the channel's device knows them."""

    model_config = ConfigDict(extra="allow", strict=True, arbitrary_types_allowed=True)


def is_linux(raw: Mapping[str, Any]) -> bool:
    """Whether a wiring file is for a Linux machine."""
    settings = raw.get("board")
    return isinstance(settings, dict) and settings.get("target") == TARGET


def compile_linux(
    raw: dict[str, Any], spec: dict[str, Any], directory: Path, label: str, problems: Problems
) -> list[DevicePlan]:
    """The plans of the devices of a wiring file; the spans that devices know go into `spec`.

    `raw`: the file's tables, numbers with a point as Decimal; the spans that it gives are in `spec` already.
    """
    board = model_of(LinuxTable, raw["board"], f"{label}, [board]", problems)
    if board is None:
        return []
    return _Compiler(raw, spec, directory, label, board, problems).run()


class _Compiler:
    def __init__(
        self,
        raw: dict[str, Any],
        spec: dict[str, Any],
        directory: Path,
        label: str,
        board: LinuxTable,
        problems: Problems,
    ) -> None:
        self.raw = raw
        self.spec = spec
        self.directory = directory
        self.label = label
        self.board = board
        self.problems = problems
        self.shapes: dict[str, DeviceShape] = {}
        self.kinds: dict[str, str] = {}
        self.points: dict[str, list[Point]] = {}
        self.taken: dict[tuple[str, str], str] = {}
        self.tables: dict[str, Any] = {}

    def run(self) -> list[DevicePlan]:
        self.tables = self._tables()
        for name, table in self.tables.items():
            self._device(name, table)
        for signal in signals_of(self.spec):
            wired = self.raw.get(signal.name)
            if isinstance(wired, dict) and isinstance(wired.get("channel"), str):
                self._signal(signal, wired)
        plans = [self._plan(name) for name in self.kinds if name in self.points]
        for name in self.shapes:
            if name not in self.points:
                self.problems.warn(
                    f"{self.label}, [devices.{name}]", "no signal is on it; wire one, or remove it"
                )
        self._together(plans)
        self._witnesses(plans)
        return plans

    def _tables(self) -> dict[str, Any]:
        tables = self.raw.get("devices", {})
        if isinstance(tables, dict):
            return tables
        self.problems.error(self.label, "devices must be a table of tables, as in [devices.NAME]")
        return {}

    # --- a device behind a line ---

    def _device(self, name: str, table: Any) -> None:
        where = f"{self.label}, [devices.{name}]"
        trouble = name_problem(name)
        if not trouble and is_own_name(name):
            trouble = "is what channels of the machine itself begin with; choose another name"
        if trouble:
            self.problems.error(where, f"'{name}' {trouble}")
            return
        if not isinstance(table, dict):
            self.problems.error(where, "must be a table")
            return
        kind = table.get("kind")
        if kind not in KINDS:
            said = "'kind' is missing" if kind is None else f"kind = {shown(kind)} is not known"
            self.problems.error(where, f"{said}; {closest(str(kind), KINDS)}")
            return
        found: DeviceShape | None = import_module(f"host_tools.devices.{kind}").shape(
            name, table, where, self.directory, self.problems
        )
        self.kinds[name] = str(kind)
        if found is not None:
            self.shapes[name] = found

    # --- a signal ---

    def _signal(self, signal: Signal, wired: dict[str, Any]) -> None:
        where = f"{self.label}, [{signal.name}]"
        table = model_of(LinuxWire, wired, where, self.problems)
        if table is None:
            return
        own = {key: _plain(value) for key, value in (table.model_extra or {}).items()}
        device, _, at = table.channel.partition(":")
        if device in self.tables:
            shape = self.shapes.get(device)
            point = None if shape is None else self._point(shape, table, at, own, where)
        else:
            local = local_point(
                table.channel, own, signal.entry["kind"], signal.is_output, where, self.problems
            )
            if local is None:
                return
            device, at, point, own = local.device, local.at, local.shape, dict(local.settings)
            if local.kind == "pulse":  # it begins again where the signal's range does
                for key in ("span", "shared"):
                    if key in wired:
                        self.problems.error(
                            where, f"{key}: one pulse is one step of one signal's resolution; remove it"
                        )
                point = replace(point, counts=(max(0, signal.entry["lo"]), signal.entry["hi"]))
            self.kinds.setdefault(device, local.kind)
        if (
            point is None
            or not self._fits(signal, point, table, where)
            or not self._free(device, at, signal, where)
        ):
            return
        if table.span is None:
            self._own_span(signal, point, where)
        self._counts(signal, point, where)
        self.points.setdefault(device, []).append(self._compiled(signal, point, table, at, own))

    def _point(
        self, shape: DeviceShape, table: LinuxWire, at: str, own: dict[str, Any], where: str
    ) -> PointShape | None:
        point = shape.points.get(at)
        if point is None:
            self.problems.error(
                where,
                f"channel = {shown(table.channel)}: the device has no point '{at}'; {closest(at, list(shape.points))}",
            )
            return None
        for key in own:
            if key not in point.keys:
                self.problems.error(
                    where,
                    f"unknown key '{key}' for channel = {shown(table.channel)}; {closest(key, point.keys)}",
                )
        return point

    def _fits(self, signal: Signal, point: PointShape, table: LinuxWire, where: str) -> bool:
        mine = signal.entry["kind"]
        if mine != point.kind or signal.is_output != point.is_output:
            about = f" ({point.text})" if point.text else ""
            self.problems.error(
                where,
                f"channel = {shown(table.channel)} is {_side(point.kind, point.is_output)}{about}; '{signal.name}' is "
                f"{_side(mine, signal.is_output)} in cell.toml; choose another channel",
            )
            return False
        if point.unit and signal.entry["unit"] != point.unit:
            self.problems.error(
                where,
                f"channel = {shown(table.channel)} gives {point.unit}, and cell.toml says "
                f"{shown(signal.entry['unit'])}; write unit = {shown(point.unit)} there",
            )
            return False
        return True

    def _free(self, device: str, at: str, signal: Signal, where: str) -> bool:
        first = self.taken.setdefault((device, at), signal.name)
        if first == signal.name or (not signal.is_output and self.raw[signal.name].get("shared") is True):
            return True
        self.problems.error(where, f"'{at}' of {device} is taken by '{first}'; a point carries one signal")
        return False

    def _own_span(self, signal: Signal, point: PointShape, where: str) -> None:
        """The device knows what its counts mean: the same line in whole numbers, as short as it can be."""
        if signal.entry["kind"] == "digital":
            return
        if point.span is None:
            low, high = point.counts
            if signal.entry["lo"] < low or signal.entry["hi"] > high:
                self.problems.error(
                    where,
                    f"gives counts {low}..{high}, and cell.toml's range does not lie in them; add span = "
                    f"{{ raw = [{low}, {high}] }}, or correct the range",
                )
            return
        raw0, raw1, first, second = point.span
        steps = signal.entry["per_unit"]
        slope = Fraction(second - first) * steps / (raw1 - raw0)
        offset = Fraction(first) * steps - slope * raw0  # value = slope * count + offset
        at = _whole_point(slope, offset)
        if at is None:
            self.problems.error(
                where, "resolution: the device's steps do not fall on it; make it finer in cell.toml"
            )
        elif slope != 1 or offset != 0:
            far = at + slope.denominator
            signal.entry["raw"] = [at, far, int(slope * at + offset), int(slope * far + offset)]

    def _counts(self, signal: Signal, point: PointShape, where: str) -> None:
        """An output's whole range lies in the counts of its channel."""
        if not signal.is_output or signal.entry["kind"] == "digital":
            return
        low, high = point.counts
        for value in (signal.entry["lo"], signal.entry["hi"]):
            count = _count(value, signal.entry["raw"])
            if not low <= count <= high:
                self.problems.error(
                    where, f"raw count {count} is outside {low}..{high}; correct the span or the range"
                )
                return

    def _compiled(
        self, signal: Signal, point: PointShape, table: LinuxWire, at: str, own: dict[str, Any]
    ) -> Point:
        entry = signal.entry
        safe = abort = 0
        if signal.is_output:
            safe = _terminal(int(entry["safe"]), entry, table.active_low)
            aborted = int(entry["safe"] if entry["on_abort"] == KEEP else entry["on_abort"])
            abort = _terminal(aborted, entry, table.active_low)
        low, high = point.counts
        if not signal.is_output and entry["kind"] in ("counter", "identity"):
            low, high = max(low, 0), min(high, COUNT_LIMIT - 1)
        return Point(
            signal.name,
            signal.index,
            signal.place,
            entry["kind"],
            signal.is_output,
            at,
            table.active_low,
            low,
            high,
            safe,
            abort,
            own,
        )

    # --- what a device becomes ---

    def _plan(self, name: str) -> DevicePlan:
        shape = self.shapes.get(name)
        if shape is None:
            kind = self.kinds[name]
            return DevicePlan(
                name,
                kind,
                local_device(kind, name, {**self.board.model_dump(), "cell": self.spec["name"]}),
                tuple(self.points[name]),
                self.board.on_death if kind == "gpio" else HOLD_LAST,  # PWM and expanders go on by themselves
            )
        return DevicePlan(name, self.kinds[name], shape.settings, tuple(self.points[name]), shape.on_death)

    def _together(self, plans: list[DevicePlan]) -> None:
        """What devices of one kind must agree on, as those that share a line."""
        modbus = [plan for plan in plans if plan.kind == "modbus"]
        if modbus:
            import_module("host_tools.devices.modbus").check_plans(modbus, self.label, self.problems)

    def _witnesses(self, plans: list[DevicePlan]) -> None:
        """Outputs of a device that was lost come back only through Resetting, so the cell must notice the loss."""
        inputs = self.spec["inputs"]
        chain = self.spec["emergency_stop"]
        for plan in plans:
            if plan.kind in OWN_PINS and not plan.name.startswith("gpiochip"):  # that one may be on USB
                continue
            seen = [
                p for p in plan.points if not p.is_output and inputs[p.index]["on_bad"] in ("stop", "abort")
            ]
            if any(p.is_output for p in plan.points) and not seen:
                self.problems.error(
                    self.label,
                    f"{plan.name} has outputs, and its loss would not stop the cell: they come back only through "
                    f'Resetting; give an input on it on_bad = "stop" or "abort", {plan.name}:link for one',
                )
            for point in plan.points:
                if not point.is_output and point.index == chain:
                    self.problems.warn(
                        f"{self.label}, [{point.signal}]",
                        "the emergency-stop contact is read over a line; wire it to a pin of the machine itself",
                    )


def _side(kind: str, is_output: bool) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} {'output' if is_output else 'input'}"


def _whole_point(slope: Fraction, offset: Fraction) -> int | None:
    """The first count at which the value is a whole number of steps; None if there is none."""
    wholes = (n for n in range(slope.denominator) if (slope * n + offset).denominator == 1)
    return next(wholes, None)


def _count(value: int, span: list[int]) -> int:
    if not span:
        return value
    return span[0] + (value - span[2]) * (span[1] - span[0]) // (span[3] - span[2])


def _terminal(value: int, entry: dict[str, Any], active_low: bool) -> int:
    if entry["kind"] == "digital":
        return value ^ 1 if active_low else value
    return _count(value, entry["raw"])


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    return value
