"""Signals and wiring of a cell as the integers and indices that the core reads."""

import re
from typing import Any

from host_tools.models import InputTable, OutputTable, Span, WireTable
from host_tools.scale import (
    KEEP,
    LIMIT,
    VALUE_LIMIT,
    Quantity,
    ScaleError,
    per_unit,
    quantity,
    range_text,
    to_integer,
)
from host_tools.toml_file import Problems, closest, model_of, shown

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
RESERVED = ("record", "board", "devices")
"""Names that a phase's cell, or the wiring file, needs for itself."""

STOPS = ("on_hold", "on_stop", "on_abort")


def name_problem(name: str) -> str:
    """What is wrong with the name of a signal, step, option or parameter; "" if nothing is."""
    if not NAME.fullmatch(name):
        return "is not a name; use small letters, digits and _, a letter first, at most 40"
    return ""


def scaled(value: object, steps: int, unit: str, where: str, key: str, problems: Problems) -> int | None:
    """`value` as an integer, or None after one line about `key` at `where`."""
    try:
        return to_integer(quantity(value), steps, unit)
    except ScaleError as error:
        problems.error(where, f"{key} = {value if isinstance(value, Quantity) else shown(value)} {error}")
        return None


def steps_of(resolution: Quantity | None, where: str, problems: Problems) -> int:
    """Integer steps in one unit for the resolution as written; 1 by default and after an error."""
    if resolution is None:
        return 1
    try:
        return per_unit(resolution)
    except ScaleError as error:
        problems.error(where, f"resolution = {resolution} {error}")
        return 1


def range_of(
    bounds: list[Quantity], steps: int, unit: str, where: str, problems: Problems
) -> tuple[int, int] | None:
    """Lower and upper end as integers, or None after saying what is wrong."""
    lo = scaled(bounds[0], steps, unit, where, "range, lower end", problems)
    hi = scaled(bounds[1], steps, unit, where, "range, upper end", problems)
    if lo is None or hi is None:
        return None
    if lo >= hi:
        problems.error(where, f"range = [{bounds[0]}, {bounds[1]}] is empty; write the lower end first")
        return None
    return lo, hi


def compile_input(name: str, table: InputTable, label: str, problems: Problems) -> dict[str, Any]:
    """One entry of spec["inputs"]."""
    where = f"{label}, [inputs.{name}]"
    kind = table.kind or ("analog" if table.range is not None else "digital")
    steps, bounds = 1, (0, 1)
    if kind == "digital":
        for key in ("range", "resolution"):
            if getattr(table, key) is not None:
                problems.error(
                    where, f'{key} belongs to an analog signal; remove it or write kind = "analog"'
                )
        if table.unit:
            problems.error(where, f"unit = {shown(table.unit)} without a range; add range = [lower, upper]")
    else:
        steps = steps_of(table.resolution, where, problems)
        if table.range is not None:
            bounds = range_of(table.range, steps, table.unit, where, problems) or (0, VALUE_LIMIT)
        elif kind == "analog":
            problems.error(where, "an analog signal needs its range; add range = [lower, upper]")
        else:
            bounds = (0, VALUE_LIMIT)
    return {
        "name": name,
        "text": table.text or name.replace("_", " "),
        "kind": kind,
        "unit": table.unit,
        "per_unit": steps,
        "lo": bounds[0],
        "hi": bounds[1],
        "on_bad": table.on_bad,
        "raw": [],
    }


def compile_output(name: str, table: OutputTable, label: str, problems: Problems) -> dict[str, Any]:
    """One entry of spec["outputs"]."""
    where = f"{label}, [outputs.{name}]"
    kind = "analog" if table.range is not None else "digital"
    steps, bounds = 1, (0, 1)
    if table.range is not None:
        steps = steps_of(table.resolution, where, problems)
        bounds = range_of(table.range, steps, table.unit, where, problems) or (0, VALUE_LIMIT)
    elif table.unit or table.resolution is not None:
        problems.error(where, "unit and resolution belong to an analog output; add range = [lower, upper]")
    entry: dict[str, Any] = {
        "name": name,
        "text": table.text or name.replace("_", " "),
        "kind": kind,
        "unit": table.unit,
        "per_unit": steps,
        "lo": bounds[0],
        "hi": bounds[1],
    }
    safe = _level(table.safe, entry, where, "safe", False, problems)
    entry["safe"] = safe
    for key in STOPS:
        value = getattr(table, key)
        entry[key] = safe if value is None else _level(value, entry, where, key, True, problems)
    entry["raw"] = []
    return entry


def _level(
    value: object, entry: dict[str, Any], where: str, key: str, may_keep: bool, problems: Problems
) -> int:
    """The integer of an output's value as written; the lower end after an error."""
    spelled = f"{key} = {shown(value)}"
    lo, hi = int(entry["lo"]), int(entry["hi"])
    if value == "keep":
        if not may_keep:
            problems.error(
                where, f"{spelled}: a safe value must be one that a dead controller can have; write a value"
            )
            return lo
        return KEEP
    if entry["kind"] == "digital":
        if value in ("on", "off"):
            return 1 if value == "on" else 0
        if isinstance(value, bool):
            return int(value)
        keep = ' or "keep"' if may_keep else ""
        problems.error(where, f'{spelled}: a digital output is "on" or "off"{keep}')
        return lo
    if value == "off" and lo <= 0 <= hi:
        return 0
    if isinstance(value, bool) or value in ("on", "off"):
        problems.error(
            where,
            f"{spelled}: an analog output needs a number within {range_text(lo, hi, entry['per_unit'], entry['unit'])}",
        )
        return lo
    number = scaled(value, entry["per_unit"], entry["unit"], where, key, problems)
    if number is None:
        return lo
    if not lo <= number <= hi:
        limits = range_text(lo, hi, entry["per_unit"], entry["unit"])
        problems.error(where, f"{spelled} is outside {limits}; choose a value in the range")
        return lo
    return number


def check_names(inputs: list[str], outputs: list[str], label: str, problems: Problems) -> None:
    """Every signal has one name of its own."""
    for section, names in (("inputs", inputs), ("outputs", outputs)):
        for name in names:
            trouble = name_problem(name)
            if trouble:
                problems.error(f"{label}, [{section}.{name}]", f"'{name}' {trouble}")
            elif name in RESERVED:
                problems.error(
                    f"{label}, [{section}.{name}]",
                    f"'{name}' is a word of the controller; choose another name",
                )
    for name in outputs:
        if name in inputs:
            problems.error(
                f"{label}, [outputs.{name}]", f"'{name}' is an input too; signals have one name each"
            )


def wire(
    tables: dict[str, Any], spec: dict[str, Any], label: str, must_be_wired: bool, problems: Problems
) -> None:
    """Put the raw spans of the wiring into `spec` and say what does not fit.

    `tables`: the wiring file without [board] and [devices].
    """
    signals = {entry["name"]: entry for entry in [*spec["inputs"], *spec["outputs"]]}
    channels: dict[str, str] = {}
    for name, table in tables.items():
        where = f"{label}, [{name}]"
        if name not in signals:
            problems.error(where, f"no signal '{name}' in cell.toml; {closest(name, list(signals))}")
            continue
        if not isinstance(table, dict):
            problems.error(label, f"{name} = {shown(table)}: must be a table, as in [{name}]")
            continue
        wired = model_of(WireTable, table, where, problems)
        if wired is None:
            continue
        entry = signals[name]
        if wired.unit and wired.unit != entry["unit"]:
            problems.error(
                where,
                f"unit = {shown(wired.unit)} but cell.toml says {shown(entry['unit'])}; one of them is wrong",
            )
        if must_be_wired and not wired.channel:
            problems.error(where, "'channel' is missing; say where the signal is connected")
        if wired.channel and not wired.shared:
            if wired.channel in channels:
                first = channels[wired.channel]
                problems.error(
                    where,
                    f"channel = {shown(wired.channel)} is taken by '{first}'; a channel carries one signal",
                )
            channels.setdefault(wired.channel, name)
        if wired.active_low and entry["kind"] != "digital":
            problems.error(
                where,
                f"active_low = true: '{name}' is {entry['kind']}; only a digital signal can be inverted",
            )
        if wired.span is not None:
            entry["raw"] = _span(wired.span, entry, where, problems)
    if must_be_wired:
        for name in signals:
            if name not in tables:
                problems.error(
                    label, f"signal '{name}' of cell.toml is not wired; add [{name}] with its channel"
                )


def _span(span: Span, entry: dict[str, Any], where: str, problems: Problems) -> list[int]:
    """[raw0, raw1, value0, value1] in integers, or [] after an error."""
    if entry["kind"] == "digital":
        problems.error(where, f"span: '{entry['name']}' is digital; a span belongs to an analog signal")
        return []
    raw0, raw1 = span.raw
    lo, hi = int(entry["lo"]), int(entry["hi"])
    if span.value is not None:
        first = scaled(span.value[0], entry["per_unit"], entry["unit"], where, "span.value, first", problems)
        second = scaled(
            span.value[1], entry["per_unit"], entry["unit"], where, "span.value, second", problems
        )
        if first is None or second is None:
            return []
        lo, hi = first, second
    if raw0 == raw1 or lo == hi:
        problems.error(where, "span: both points are the same; give two different ones")
        return []
    product = max(abs(raw1 - raw0), abs(raw0), abs(raw1)) * abs(hi - lo)
    if product >= LIMIT:
        problems.error(
            where,
            f"span: {abs(raw1 - raw0)} raw counts x {abs(hi - lo)} steps = {product}, not below {LIMIT}; "
            "coarsen the resolution in cell.toml or the raw counts",
        )
        return []
    return [raw0, raw1, lo, hi]
