"""cell.toml as the tables that the core reads: roles, interlocks, modes, limits of states."""

import re
from typing import Any

from host_tools.compile_signals import check_names, compile_input, compile_output, name_problem, scaled
from host_tools.models import CellFile, InterlockTable, Limit
from host_tools.scale import range_text
from host_tools.toml_file import Problems, closest, model_of, shown
from host_tools.words import (
    ACTING,
    DEFAULT_LIMIT_MS,
    DEFAULT_MODES,
    NEVER_DISABLED,
    STATE_NUMBERS,
    STATES,
    disabled_mask,
)

CELL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
MAX_SIGNALS = 480
"""Twenty words of 24 bits: more is not one cell."""

LIGHTS = ("red", "amber", "green", "blue", "horn")

MUST_BE, AT_LEAST, AT_MOST = 0, 1, 2
"""The operators of an interlock's need."""


def compile_tables(model: CellFile, label: str, problems: Problems) -> dict[str, Any]:
    """The spec without phases, states, faults and recipes."""
    cell = model.cell
    if not CELL_NAME.fullmatch(cell.name):
        problems.error(
            f"{label}, [cell]",
            f"name = {shown(cell.name)}: use letters, digits, - _ . (a letter or digit first), at most 40",
        )
    check_names(list(model.inputs), list(model.outputs), label, problems)
    inputs = [compile_input(name, table, label, problems) for name, table in model.inputs.items()]
    outputs = [compile_output(name, table, label, problems) for name, table in model.outputs.items()]
    for section, entries in (("inputs", inputs), ("outputs", outputs)):
        if len(entries) > MAX_SIGNALS:
            problems.error(
                f"{label}, [{section}]", f"{len(entries)} signals, more than {MAX_SIGNALS}; make it two cells"
            )
    spec: dict[str, Any] = {
        "format": 1,
        "name": cell.name,
        "path": _path(cell.path, label, problems),
        "scan_ms": cell.scan_ms,
        "profile": cell.profile,
        "auto_start": int(cell.auto_start),
        "inputs": inputs,
        "outputs": outputs,
    }
    roles = (
        ("emergency_stop", "digital"),
        ("part_present", "digital"),
        ("identity", "identity"),
        ("energy", "counter"),
    )
    for role, kind in roles:
        spec[role] = _role(role, getattr(cell, role), kind, inputs, label, problems)
    spec["heartbeat"] = _index(cell.heartbeat, outputs, f"{label}, [cell]", "heartbeat", "output", problems)
    spec["stack_light"] = _stack_light(cell.stack_light, outputs, label, problems)
    spec["interlocks"] = [
        _interlock(name, table, inputs, outputs, label, problems) for name, table in model.interlocks.items()
    ]
    spec["modes"] = _modes(model, label, problems)
    spec["state_limits_ms"] = _limits(model, label, problems)
    return spec


def _path(path: str, label: str, problems: Problems) -> str:
    levels = path.split("/") if path else []
    bad = any(not level or set(level) & set("+#\0") or level != level.strip() for level in levels)
    if bad or path.startswith("$") or len(path) > 200:
        problems.error(
            f"{label}, [cell]",
            f"path = {shown(path)}: write enterprise/site/area/line, no empty level, none of + # $, at most 200",
        )
    return path


def _index(
    name: str, entries: list[dict[str, Any]], where: str, key: str, section: str, problems: Problems
) -> int:
    """The place of signal `name` among `entries`, -1 if it is "" or unknown."""
    if not name:
        return -1
    names = [entry["name"] for entry in entries]
    if name in names:
        return names.index(name)
    problems.error(where, f"{key} = {shown(name)} is not an {section} of this cell; {closest(name, names)}")
    return -1


def _role(
    role: str, name: str, kind: str, inputs: list[dict[str, Any]], label: str, problems: Problems
) -> int:
    where = f"{label}, [cell]"
    index = _index(name, inputs, where, role, "input", problems)
    if index >= 0 and inputs[index]["kind"] != kind:
        problems.error(
            where,
            f'{role} = {shown(name)} is {inputs[index]["kind"]}; it must be {kind}: write kind = "{kind}" there',
        )
    return index


def _stack_light(
    lights: dict[str, str], outputs: list[dict[str, Any]], label: str, problems: Problems
) -> dict[str, int]:
    where = f"{label}, [cell.stack_light]"
    for colour in lights:
        if colour not in LIGHTS:
            problems.error(where, f"unknown key '{colour}'; {closest(colour, LIGHTS)}")
    return {
        colour: _index(lights.get(colour, ""), outputs, where, colour, "output", problems)
        for colour in LIGHTS
    }


def _interlock(
    name: str,
    table: InterlockTable,
    inputs: list[dict[str, Any]],
    outputs: list[dict[str, Any]],
    label: str,
    problems: Problems,
) -> dict[str, Any]:
    where = f"{label}, [interlocks.{name}]"
    trouble = name_problem(name)
    if trouble:
        problems.error(where, f"'{name}' {trouble}")
    blocks = []
    for output in table.blocks:
        index = _index(output, outputs, where, "blocks", "output", problems)
        if index in blocks:
            problems.error(where, f"blocks names '{output}' twice; once is enough")
        elif index >= 0:
            blocks.append(index)
    if not table.needs:
        problems.error(
            where,
            "needs is empty, so it never trips; say what must be true, as in needs = { door_closed = true }",
        )
    needs: list[list[int]] = []
    for signal, need in table.needs.items():
        index = _index(signal, inputs, where, "needs", "input", problems)
        if index >= 0:
            needs.extend(_need(index, inputs[index], need, where, problems))
    return {
        "name": name,
        "message": table.message,
        "blocks": blocks,
        "needs": needs,
        "then": table.then,
        "min_ms": table.min_ms,
    }


def _need(index: int, entry: dict[str, Any], need: object, where: str, problems: Problems) -> list[list[int]]:
    """[[input, operator, value, hysteresis]] of what one signal must be."""
    name = entry["name"]
    spelled = f"needs {name} = {shown(need)}"
    if entry["kind"] == "digital":
        if isinstance(need, bool) or need in ("on", "off"):
            return [[index, MUST_BE, int(need is True or need == "on"), 0]]
        problems.error(where, f"{spelled}: a digital signal needs true or false")
        return []
    if not isinstance(need, dict):
        limits = range_text(entry["lo"], entry["hi"], entry["per_unit"], entry["unit"])
        problems.error(
            where, f"{spelled}: a signal with the range {limits} needs a limit, as in {{ min = 1 }}"
        )
        return []
    limit = model_of(Limit, need, f"{where} needs {name}", problems)
    if limit is None:
        return []
    if limit.min is None and limit.max is None:
        problems.error(where, f"{spelled}: neither min nor max; write one, as in {{ min = 1 }}")
        return []
    steps, unit = entry["per_unit"], entry["unit"]
    hysteresis = 0
    if limit.hysteresis is not None:
        hysteresis = (
            scaled(limit.hysteresis, steps, unit, f"{where} needs {name}", "hysteresis", problems) or 0
        )
        if hysteresis < 0:
            problems.error(
                where, f"needs {name}: hysteresis = {limit.hysteresis} is negative; write 0 or more"
            )
    found = []
    for key, operator, bound in (("min", AT_LEAST, limit.min), ("max", AT_MOST, limit.max)):
        if bound is None:
            continue
        value = scaled(bound, steps, unit, f"{where} needs {name}", key, problems)
        if value is None:
            continue
        cleared = value + hysteresis if operator == AT_LEAST else value - hysteresis
        if not (entry["lo"] <= value <= entry["hi"] and entry["lo"] <= cleared <= entry["hi"]):
            limits = range_text(entry["lo"], entry["hi"], steps, unit)
            beyond = "" if not hysteresis else f" with hysteresis {limit.hysteresis}"
            problems.error(
                where, f"needs {name}: {key} = {bound}{beyond} is outside the signal's range {limits}"
            )
            continue
        found.append([index, operator, value, hysteresis])
    if len(found) == 2 and found[0][2] + hysteresis > found[1][2] - hysteresis:
        problems.error(
            where, f"needs {name}: min = {limit.min} and max = {limit.max} leave nothing between them"
        )
    return found


def _modes(model: CellFile, label: str, problems: Problems) -> list[dict[str, Any]]:
    modes = {
        name: {"number": number, "name": name, "disabled": disabled}
        for name, (number, disabled) in DEFAULT_MODES.items()
    }
    for name, table in model.modes.items():
        where = f"{label}, [modes.{name}]"
        number = table.number
        if name in DEFAULT_MODES:
            fixed = DEFAULT_MODES[name][0]
            if number not in (None, fixed):
                problems.error(where, f"number = {number}: {name} is mode {fixed}; leave number out")
            number = fixed
        elif number is None:
            problems.error(where, "'number' is missing; a mode of your own has one of 4..31")
            continue
        elif number <= 3:
            problems.error(where, f"number = {number} belongs to a mode of the standard; take one of 4..31")
            continue
        disabled = []
        for state in table.disabled:
            if state in NEVER_DISABLED:
                problems.error(where, f"disabled: {state} exists in every mode; remove it from the list")
            elif state not in STATE_NUMBERS or state == "Undefined":
                problems.error(where, f"disabled: '{state}' is not a state; {closest(state, STATES[1:])}")
            else:
                disabled.append(state)
        taken = next(
            (other for other, entry in modes.items() if entry["number"] == number and other != name), None
        )
        if taken is not None:
            problems.error(where, f"number = {number} is the number of mode {taken}; take another of 4..31")
        modes[name] = {"number": number, "name": name, "disabled": disabled_mask(disabled)}
    return sorted(modes.values(), key=lambda mode: int(str(mode["number"])))


def _limits(model: CellFile, label: str, problems: Problems) -> list[int]:
    limits = [DEFAULT_LIMIT_MS if name in ACTING else 0 for name in STATES]
    for name, table in model.states.items():
        if name not in ACTING:
            problems.error(
                f"{label}, [states.{name}]",
                f"'{name}' is not an acting state with a time limit; {closest(name, ACTING)}",
            )
            continue
        limits[STATE_NUMBERS[name]] = table.limit_s * 1000
    return limits
