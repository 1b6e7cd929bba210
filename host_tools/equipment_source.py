"""What equipment.py offers, read from its source without running it: a microcontroller cannot inspect functions."""

import ast
from dataclasses import dataclass, field
from pathlib import Path

from host_tools.toml_file import Problems, closest
from host_tools.words import ACTING, STATE_NUMBERS

RESUME_ARGUMENT = "resume_from"
"""The parameter by which a phase gets back its last mark; the controller gives it, never a recipe."""


@dataclass
class PhaseSource:
    """One function under @phase."""

    name: str
    args: list[str]
    required: list[str]
    needs: list[str]
    counts: str
    line: int
    marks: bool
    picks: list[tuple[str, str]]
    """(family, parameter) of each `cell.family(parameter)`: the parameter is the rest of a signal's name."""
    node: ast.FunctionDef


@dataclass
class StateSource:
    """One function under @state."""

    state: int
    function: str
    line: int
    node: ast.FunctionDef


@dataclass
class EquipmentSource:
    """All that the compiled cell says about equipment.py."""

    phases: list[PhaseSource] = field(default_factory=list)
    states: list[StateSource] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tree: ast.Module | None = None
    readable: bool = True
    """False if the file is there but is not Python: what it offers is then unknown."""


def read_equipment(path: Path, label: str, problems: Problems) -> EquipmentSource:
    """The phases, state routines and fault texts of the file at `path`; a missing file is an empty one."""
    found = EquipmentSource()
    if not path.exists():
        return found
    found.readable = False
    try:
        found.tree = ast.parse(path.read_text("utf-8"), str(path))
    except SyntaxError as error:
        problems.error(f"{label}:{error.lineno or 1}", f"is not Python: {error.msg}")
        return found
    except (OSError, ValueError) as error:
        problems.error(label, f"cannot be read: {error}")
        return found
    found.readable = True
    for node in found.tree.body:
        if isinstance(node, ast.FunctionDef):
            _function(node, label, found, problems)
        elif isinstance(node, ast.AsyncFunctionDef) and _decorators(node):
            problems.error(
                f"{label}:{node.lineno}",
                f"'{node.name}' is async; a phase is a plain generator: def, not async def",
            )
    found.texts = fault_texts(found.tree)
    return found


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, ast.Call | None, int]]:
    """The @phase and @state decorators of a function, with their call where they have one."""
    found = []
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        target = call.func if call is not None else decorator
        name = (
            target.attr
            if isinstance(target, ast.Attribute)
            else target.id
            if isinstance(target, ast.Name)
            else ""
        )
        if name in ("phase", "state"):
            found.append((name, call, decorator.lineno))
    return found


def _function(node: ast.FunctionDef, label: str, found: EquipmentSource, problems: Problems) -> None:
    for name, call, line in _decorators(node):
        where = f"{label}:{line}"
        if name == "phase":
            _phase(node, call, where, found, problems)
        else:
            _state(node, call, where, found, problems)


def _phase(
    node: ast.FunctionDef, call: ast.Call | None, where: str, found: EquipmentSource, problems: Problems
) -> None:
    if any(other.name == node.name for other in found.phases):
        problems.error(where, f"phase '{node.name}' is there twice; rename one")
        return
    arguments = node.args
    names = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    if not names:
        problems.error(where, f"phase '{node.name}' takes no cell; write def {node.name}(cell)")
        return
    if arguments.vararg is not None or arguments.kwarg is not None or arguments.posonlyargs:
        problems.error(where, f"phase '{node.name}' must name its parameters: no *args, no **kwargs, no /")
    positional = [argument.arg for argument in arguments.args]
    with_default = set(positional[len(positional) - len(arguments.defaults) :] if arguments.defaults else [])
    with_default |= {
        argument.arg
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default
    }
    needs: list[str] = []
    counts = ""
    for keyword in call.keywords if call is not None else []:
        literal = _literal(keyword.value)
        if (
            keyword.arg == "needs"
            and isinstance(literal, (tuple, list))
            and all(isinstance(n, str) for n in literal)
        ):
            needs = list(literal)
        elif keyword.arg == "needs" and isinstance(literal, str):
            problems.error(
                where, f'phase \'{node.name}\': needs = "{literal}" is one text; write needs=("{literal}",)'
            )
        elif keyword.arg == "counts" and isinstance(literal, str):
            counts = literal
        elif keyword.arg in ("needs", "counts"):
            problems.error(
                where,
                f"phase '{node.name}': {keyword.arg} must be written out as text, it is read without running the file",
            )
        else:
            problems.error(
                where,
                f"phase '{node.name}': unknown word '{keyword.arg}'; {closest(str(keyword.arg), ['needs', 'counts'])}",
            )
    found.phases.append(
        PhaseSource(
            name=node.name,
            args=names[1:],
            required=[name for name in names[1:] if name not in with_default and name != RESUME_ARGUMENT],
            needs=needs,
            counts=counts,
            line=node.lineno,
            marks=RESUME_ARGUMENT in names,
            picks=_picks(node, names),
            node=node,
        )
    )


def _picks(node: ast.FunctionDef, names: list[str]) -> list[tuple[str, str]]:
    found = []
    for inner in ast.walk(node):
        if (
            not isinstance(inner, ast.Call)
            or len(inner.args) != 1
            or not isinstance(inner.func, ast.Attribute)
        ):
            continue
        target, argument = inner.func, inner.args[0]
        of_cell = (
            isinstance(target.value, ast.Name) and target.value.id == names[0] and target.attr != "record"
        )
        if of_cell and isinstance(argument, ast.Name) and argument.id in names[1:]:
            pick = (target.attr, argument.id)
            if pick not in found:
                found.append(pick)
    return found


def _state(
    node: ast.FunctionDef, call: ast.Call | None, where: str, found: EquipmentSource, problems: Problems
) -> None:
    name = _literal(call.args[0]) if call is not None and len(call.args) == 1 else None
    if not isinstance(name, str):
        problems.error(where, f"'{node.name}': write the state's name as text, as in @state(\"Resetting\")")
        return
    if name not in ACTING:
        problems.error(
            where,
            f"'{node.name}': '{name}' is not an acting state that takes a routine; {closest(name, ACTING)}",
        )
        return
    number = STATE_NUMBERS[name]
    other = next((entry for entry in found.states if entry.state == number), None)
    if other is not None:
        problems.error(where, f"'{node.name}': {name} already has the routine '{other.function}'; keep one")
        return
    if len(node.args.args) != 1 or node.args.kwonlyargs or node.args.vararg or node.args.kwarg:
        problems.error(
            where, f"'{node.name}' must take the cell and nothing else; write def {node.name}(cell)"
        )
    found.states.append(StateSource(number, node.name, node.lineno, node))


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def fault_texts(tree: ast.Module) -> list[str]:
    """Every text that a phase can show: literal fault= and message= and what operator() says; sorted, each once."""
    texts = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for keyword in node.keywords:
            if keyword.arg in ("fault", "message") and _is_text(keyword.value):
                texts.add(str(_literal(keyword.value)))
        target = node.func
        name = (
            target.attr
            if isinstance(target, ast.Attribute)
            else target.id
            if isinstance(target, ast.Name)
            else ""
        )
        if name == "operator" and node.args and _is_text(node.args[0]):
            texts.add(str(_literal(node.args[0])))
    return sorted(texts)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
