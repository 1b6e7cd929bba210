"""A cell directory (cell.toml, wiring, equipment.py, recipes) compiled to the one table that the core reads."""

import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from board.contract import DevicePlan
from cell_controller.errors import CellFileError
from host_tools.compile_cell import compile_tables
from host_tools.compile_recipe import recipe_from_file
from host_tools.compile_signals import wire
from host_tools.equipment_source import EquipmentSource, read_equipment
from host_tools.linux_wiring import compile_linux, is_linux
from host_tools.models import CellFile
from host_tools.toml_file import Problems, model_of, read_toml

SIMULATED = "sim"
TABLES = ("board", "devices")
"""Tables of a wiring file that are no signals."""

_module_numbers = itertools.count(1)


@dataclass
class Equipment:
    """The functions of equipment.py: phases by name, routines of acting states by state number."""

    module: ModuleType | None
    phases: dict[str, Callable[..., Any]] = field(default_factory=dict)
    states: dict[int, Callable[..., Any]] = field(default_factory=dict)


@dataclass
class CompiledCell:
    """What `compile_cell` found. `spec` goes to the core, `wiring` (as written, [board] included) to the board."""

    spec: dict[str, Any]
    wiring: dict[str, Any]
    directory: Path
    board: str
    warnings: list[str] = field(default_factory=list)
    plans: list[DevicePlan] = field(default_factory=list)
    """What the board of a Linux machine is made of; empty for another board."""

    def load_equipment(self) -> Equipment:
        """Run equipment.py and take its functions. Raises CellFileError if it does not load."""
        return load_equipment(self.directory)


def compile_cell(directory: str | Path, board: str = SIMULATED) -> CompiledCell:
    """The cell of `directory`, wired for `board` (the name of a file in wiring/).

    Raises CellFileError with every problem found, one line each; nothing of the cell is run.
    """
    problems = Problems()
    cell, _ = compile_all(Path(directory), board, problems)
    if problems.errors or cell is None:
        raise CellFileError(problems.errors)
    return cell


def compile_all(
    directory: Path, board: str, problems: Problems
) -> tuple[CompiledCell | None, EquipmentSource]:
    """As `compile_cell`, but collects into `problems`; the cell is None if there is too little of it."""
    if not directory.is_dir():
        problems.error(str(directory), "is not a directory; `cellctl new` makes a cell directory")
        return None, EquipmentSource()
    source = read_equipment(directory / "equipment.py", "equipment.py", problems)
    raw = read_toml(directory / "cell.toml", "cell.toml", problems)
    model = model_of(CellFile, raw, "cell.toml", problems) if raw is not None else None
    spec = compile_tables(model, "cell.toml", problems) if model is not None else None
    wiring: dict[str, Any] = {}
    plans: list[DevicePlan] = []
    if spec is not None:
        wiring, plans = _wiring(directory, board, spec, problems)
        _needs(source, spec, problems)
    recipes = _recipes(directory, source, None if spec is None else _signals(spec), problems)
    if spec is None:
        return None, source
    spec["faults"] = source.texts
    spec["phases"] = [
        {"name": phase.name, "args": phase.args, "needs": phase.needs, "counts": phase.counts}
        for phase in source.phases
    ]
    spec["states"] = [{"state": entry.state, "function": entry.function} for entry in source.states]
    spec["recipes"] = recipes
    return CompiledCell(spec, wiring, directory, board, problems.warnings, plans), source


def _wiring(
    directory: Path, board: str, spec: dict[str, Any], problems: Problems
) -> tuple[dict[str, Any], list[DevicePlan]]:
    label = f"wiring/{board}.toml"
    path = directory / "wiring" / f"{board}.toml"
    if not path.exists():
        if board != SIMULATED:
            there = sorted(entry.stem for entry in path.parent.glob("*.toml"))
            known = ", ".join(there) if there else "none"
            problems.error(label, f"is missing, so board '{board}' cannot be wired; there are: {known}")
        return {}, []
    raw = read_toml(path, label, problems)
    if raw is None:
        return {}, []
    settings = raw.get("board", {})
    if not isinstance(settings, dict):
        problems.error(label, "board must be a table, as in [board]")
    tables = {name: table for name, table in raw.items() if name not in TABLES}
    wire(tables, spec, label, board != SIMULATED, problems)
    plans = compile_linux(raw, spec, directory, label, problems) if is_linux(raw) else []
    plain = _plain(raw)
    return plain if isinstance(plain, dict) else {}, plans


def _plain(value: object) -> object:
    """A TOML value without Decimal: drivers outside the core may have their decimals as float."""
    if isinstance(value, Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value


def _needs(source: EquipmentSource, spec: dict[str, Any], problems: Problems) -> None:
    inputs = [entry["name"] for entry in spec["inputs"]]
    for phase in source.phases:
        for name in phase.needs:
            if name not in inputs:
                where = f"equipment.py:{phase.line}"
                problems.error(
                    where,
                    f"phase '{phase.name}' needs '{name}', which is not an input of cell.toml; add [inputs.{name}]",
                )


def recipe_files(directory: Path) -> list[Path]:
    """The recipe files of a cell directory in the order of their names."""
    return sorted((directory / "recipes").glob("*.toml"))


def _signals(tables: dict[str, Any]) -> list[str]:
    return [entry["name"] for entry in [*tables["inputs"], *tables["outputs"]]]


def _recipes(
    directory: Path, source: EquipmentSource, signals: list[str] | None, problems: Problems
) -> list[dict[str, Any]]:
    recipes: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    for path in recipe_files(directory):
        file = f"recipes/{path.name}"
        recipe = recipe_from_file(path, file, source, signals, problems)
        if recipe is None:
            continue
        product = recipe["product"]
        if product in files:
            problems.error(
                f"{file}, [recipe]",
                f'product = "{product}" is made by {files[product]} already; a product has one recipe',
            )
            continue
        files[product] = file
        recipes.append(recipe)
    return recipes


def compile_recipe(
    path: str | Path,
    directory: str | Path | None = None,
    former: dict[str, Any] | None = None,
    running: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """One recipe file again, while the cell runs: (recipe, what to tell people).

    `directory`: the cell's, by default the folder above the file's. `former`: the recipe now in use; if the file's
    content differs from it and its version is not higher, the new one gets the next number, and a line says so.
    `running`: the spec of the cell that runs, whose signals and phases count, not what the files say by now. Raises
    CellFileError; the former recipe stays in use then.
    """
    path = Path(path)
    home = Path(directory) if directory is not None else path.parent.parent
    problems = Problems()
    source = read_equipment(home / "equipment.py", "equipment.py", problems)
    file = f"recipes/{path.name}"
    signals = _signals(running) if running is not None else _signal_names(home)
    recipe = recipe_from_file(path, file, source, signals, problems)
    if recipe is not None and running is not None:
        _only_what_runs(recipe, running, problems)
    if recipe is not None and former is not None and recipe["product"] != former["product"]:
        problems.error(
            f"{file}, [recipe]",
            f'product = "{recipe["product"]}" was "{former["product"]}"; give a new product a file of its own',
        )
    if problems.errors or recipe is None:
        raise CellFileError(problems.errors)
    return (recipe, []) if former is None else _numbered(recipe, former, file)


def _signal_names(directory: Path) -> list[str] | None:
    """The names of cell.toml's signals as far as it can be read now; its own mistakes are not the recipe's."""
    raw = read_toml(directory / "cell.toml", "cell.toml", Problems())
    tables = [] if raw is None else [raw.get(section, {}) for section in ("inputs", "outputs")]
    return [name for table in tables if isinstance(table, dict) for name in table] or None


def _only_what_runs(recipe: dict[str, Any], running: dict[str, Any], problems: Problems) -> None:
    """A recipe can change while the cell runs, equipment.py cannot."""
    args = {phase["name"]: phase["args"] for phase in running["phases"]}
    for number, step in enumerate(recipe["steps"], 1):
        given = {name for name, _, _ in step["args"]}
        if step["phase"] not in args or not given <= set(args[step["phase"]]):
            problems.error(
                f"recipe {recipe['product']}@{recipe['version']}, step {number} '{step['name']}'",
                f"phase '{step['phase']}' is not the one that runs: equipment.py has changed; start the cell again",
            )


def _numbered(recipe: dict[str, Any], former: dict[str, Any], file: str) -> tuple[dict[str, Any], list[str]]:
    """The recipe under a number of its own if it differs from the former one, and what to say about it."""
    written = recipe["version"]
    if written > former["version"]:
        return recipe, []
    if recipe | {"version": former["version"]} == former:
        return former, []
    recipe["version"] = former["version"] + 1
    line = f"{file}: changed, but still says version = {written}; "
    return recipe, [line + f"it is {recipe['product']}@{recipe['version']} here, write that in the file"]


def load_equipment(directory: str | Path) -> Equipment:
    """Run the equipment.py of `directory` as a module of its own and take the functions under @phase and @state.

    Raises CellFileError if the file is not right or raises while it is loaded. Without the file there is no phase.
    """
    path = Path(directory) / "equipment.py"
    problems = Problems()
    source = read_equipment(path, "equipment.py", problems)
    if problems.errors:
        raise CellFileError(problems.errors)
    if source.tree is None:
        return Equipment(None)
    module = ModuleType(f"cell_equipment_{next(_module_numbers)}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    try:
        # compiled here, not imported: byte code cached beside the file could be older than an edit of the same second
        exec(compile(source.tree, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise CellFileError([f"equipment.py: {type(error).__name__} while it was loaded: {error}"]) from error
    return Equipment(
        module,
        {phase.name: getattr(module, phase.name) for phase in source.phases},
        {entry.state: getattr(module, entry.function) for entry in source.states},
    )
