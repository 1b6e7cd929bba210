"""`cellctl check`: everything that is wrong with a cell directory, at once, before a machine finds it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transitions import Machine, MachineError

from cell_controller.core.packml import PROFILES, declaration
from host_tools.board_pins import CHIPS
from host_tools.cellfile import SIMULATED, CompiledCell, compile_all
from host_tools.compile_wiring import target_of, wiring_table
from host_tools.equipment_check import EquipmentCheck
from host_tools.linux_wiring import TARGET
from host_tools.reset_pins import EXPANDER, RPI, check_reset
from host_tools.toml_file import Problems, closest

ERROR = "error"
WARNING = "warning"

ON_DEATH = ("release", "hold_last", "device_fallback")


@dataclass(frozen=True)
class Finding:
    """One thing to mend (an error: the cell does not run) or to think about (a warning)."""

    severity: str
    text: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.text}"


def check(directory: str | Path, only: str = "") -> list[Finding]:
    """All findings about the cell of `directory` with each of its wiring files, errors first; empty if it is sound.

    `only`: the board whose wiring matters, beside the simulated one; by default that of every board.
    """
    directory = Path(directory)
    problems = Problems()
    named = [only] if only else [path.stem for path in (directory / "wiring").glob("*.toml")]
    boards = sorted({SIMULATED, *named})
    for board in boards:
        cell, source = compile_all(directory, board, problems)
        if cell is None:
            break
        _on_death(cell, problems)
        if target_of(cell) not in ("", RPI, TARGET):
            wiring_table(cell, problems)
        check_reset(cell, problems)
        if board == boards[-1]:
            EquipmentCheck(source, cell.spec, problems).run()
            _unused(cell.spec, problems)
            _emergency_stop(cell.spec, problems)
    _state_model(problems)
    return [Finding(ERROR, text) for text in problems.errors] + [
        Finding(WARNING, text) for text in problems.warnings
    ]


def _on_death(cell: CompiledCell, problems: Problems) -> None:
    """Name every output that nothing makes safe when the controller's process dies."""
    label = f"wiring/{cell.board}.toml"
    settings = cell.wiring.get("board", {})
    stated = settings.get("on_death") if isinstance(settings, dict) else None
    if stated is not None and stated not in ON_DEATH:
        problems.error(
            f"{label}, [board]", f"on_death = {stated!r} is not known; {closest(str(stated), ON_DEATH)}"
        )
        return
    if stated is None and cell.board == SIMULATED:
        return  # nothing real moves, and the file claims nothing
    of_devices = {point.signal: plan.on_death for plan in cell.plans for point in plan.points}
    on_death = stated or ("release" if target_of(cell) in CHIPS else "hold_last")
    heartbeat = cell.spec["heartbeat"]
    behind_relay, left = [], []
    for index, output in enumerate(cell.spec["outputs"]):
        if index == heartbeat:
            continue  # it drops by standing still
        wired = cell.wiring.get(output["name"], {})
        if isinstance(wired, dict) and wired.get("relay") is True:
            behind_relay.append(output["name"])
            continue
        keeps = isinstance(wired, dict) and str(wired.get("channel", "")).startswith(EXPANDER + ":")
        dies = of_devices.get(output["name"], on_death)
        released = dies == "release" and output["safe"] == 0 and not keeps  # an expander outlives a reset
        if not (dies == "device_fallback" or released):
            left.append(output["name"] if dies == on_death else f"{output['name']} ({dies})")
    if behind_relay and heartbeat < 0:
        problems.error(
            label,
            f"relay = true ({', '.join(behind_relay)}), but nothing feeds the relay; name heartbeat in [cell]",
        )
    if left:
        problems.warn(
            label,
            f'when the controller dies (on_death = "{on_death}") nothing makes these safe: {", ".join(left)}; '
            "put them behind the watchdog relay and write relay = true, or accept it",
        )


def _unused(spec: dict[str, Any], problems: Problems) -> None:
    used = set()
    for recipe in spec["recipes"]:
        label = f"recipe {recipe['product']}@{recipe['version']}"
        given = set()
        for step in recipe["steps"]:
            used.add(step["phase"])
            given |= {source for _, kind, source in step["args"] if kind != "value"}
        for param in recipe["params"]:
            if param["name"] not in given:
                problems.warn(
                    f"{label}, [parameters]",
                    f"no step takes '{param['name']}'; remove it, or set it in a step",
                )
        excluded = {name for rule in recipe["exclude"] for name, _ in rule["when"]}
        for option in recipe["options"]:
            acts = any(value["set"] or value["skip"] or value["add"] for value in option.get("values", []))
            if option["name"] not in given and option["name"] not in excluded and not acts:
                problems.warn(
                    f"{label}, [options.{option['name']}]",
                    "changes nothing: no step takes it and no value sets anything",
                )
    if spec["recipes"]:
        for phase in spec["phases"]:
            if phase["name"] not in used:
                problems.warn("equipment.py", f"no recipe uses phase '{phase['name']}'")


def _emergency_stop(spec: dict[str, Any], problems: Problems) -> None:
    index = spec["emergency_stop"]
    if index < 0 and spec["outputs"]:
        problems.warn(
            "cell.toml, [cell]",
            "no emergency_stop: the controller cannot follow the chain; wire a monitoring contact and name it here",
        )


def _state_model(problems: Problems) -> None:
    """The PackML declaration is one that `transitions` accepts, and every state of it can be reached and left."""
    for profile in PROFILES:
        where = f"state model {profile}"
        data: dict[str, Any] = declaration(profile)
        try:
            machine = Machine(model=None, auto_transitions=False, **data)
        except (MachineError, ValueError, TypeError, KeyError) as error:
            problems.error(where, f"transitions refuses it: {error}")
            continue
        for arc in machine.get_transitions():
            if arc.dest not in machine.states:  # transitions would find out only when it is taken
                problems.error(
                    where, f"from {arc.source} a transition leads to {arc.dest}, which is no state"
                )
        reached = {machine.initial}
        grown = True
        while grown:
            targets = {arc.dest for arc in machine.get_transitions() if arc.source in reached}
            grown = not targets <= reached
            reached |= targets
        for name in machine.states:
            if name not in reached:
                problems.error(where, f"state {name} cannot be reached")
            elif not machine.get_transitions(source=name):
                problems.error(where, f"state {name} cannot be left")
