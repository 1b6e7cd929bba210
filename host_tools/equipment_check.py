"""What can be seen wrong in equipment.py without running it: each line names the place, the trouble and the remedy."""

import ast
import inspect
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from cell_controller.core import phases as vocabulary
from host_tools.equipment_source import EquipmentSource
from host_tools.lint_core import yields_in_finally
from host_tools.scale import ScaleError, decimal_text, quantity, range_text, to_integer
from host_tools.toml_file import Problems, closest

WORDS = ("until", "wait", "soak", "ramp", "together", "mark", "operator")
"""What a phase yields."""

WAITS_FOR_A_SIGNAL = ("until", "soak")

INPUT_MEMBERS = ("value", "is_on", "is_good", "name", "per_unit")
OUTPUT_MEMBERS = ("on", "off", "set", "name", "per_unit")

FOREIGN = (
    "time",
    "random",
    "threading",
    "socket",
    "asyncio",
    "os",
    "subprocess",
    "multiprocessing",
    "signal",
)
"""Modules that would make a phase wait, decide or reach outside where no scan sees it."""


class EquipmentCheck:
    """Looks through one equipment file; every finding goes to `problems`."""

    def __init__(self, source: EquipmentSource, spec: dict[str, Any], problems: Problems) -> None:
        self.source = source
        self.problems = problems
        self.inputs = {entry["name"]: entry for entry in spec["inputs"]}
        self.outputs = {entry["name"]: entry for entry in spec["outputs"]}
        self.names = [*self.inputs, *self.outputs]
        self.families = _families(self.names)
        self.marked = [phase.node for phase in source.phases] + [routine.node for routine in source.states]
        self.signatures = {word: inspect.signature(getattr(vocabulary, word)) for word in WORDS}

    def run(self) -> None:
        """All of the checks."""
        tree = self.source.tree
        if tree is None:
            return
        for line, _ in yields_in_finally(tree):
            self.error(
                line,
                "yield in finally: an aborted phase is closed, so this would stop the closing; move it out",
            )
        self._imports(tree)
        generators = {
            node.name: _is_generator(node) for node in tree.body if isinstance(node, ast.FunctionDef)
        }
        for marked in self.marked:
            self._generator(marked)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.args.args:
                self._function(node, generators)

    def error(self, line: int, what: str) -> None:
        """A finding that stops the cell."""
        self.problems.error(f"equipment.py:{line}", what)

    def warn(self, line: int, what: str) -> None:
        """A finding to read."""
        self.problems.warn(f"equipment.py:{line}", what)

    def _imports(self, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                if module.partition(".")[0] in FOREIGN:
                    remedy = (
                        "yield wait(ms)"
                        if module == "time"
                        else "give it to the cell as a signal or parameter"
                    )
                    self.error(
                        node.lineno,
                        f"import {module}: a phase sees the world through its cell only; {remedy}",
                    )

    def _generator(self, node: ast.FunctionDef) -> None:
        if not _is_generator(node):
            self.error(
                node.lineno,
                f"'{node.name}' never yields, so it would all happen in one scan; add a yield",
            )

    def _function(self, node: ast.FunctionDef, generators: dict[str, bool]) -> None:
        """`node`: a phase, a routine or a helper; its first parameter is the cell if it is one of the first two."""
        first = node.args.args[0].arg
        if node not in self.marked and first != "cell":
            return
        for inner in _own_nodes(node):
            if (
                isinstance(inner, ast.Attribute)
                and isinstance(inner.value, ast.Name)
                and inner.value.id == first
            ):
                self._signal(inner)
            if isinstance(inner, ast.Attribute):
                self._member(inner, first)
            if isinstance(inner, ast.Call):
                self._call(inner, first)
            if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call):
                self._forgotten(inner.value, generators)
            if isinstance(inner, ast.Yield) and isinstance(inner.value, ast.Call):
                name = _called(inner.value)
                if generators.get(name, False):
                    self.error(
                        inner.lineno, f"yield {name}(...) waits for nothing; write yield from {name}(...)"
                    )
            if isinstance(inner, ast.While):
                self._endless(inner)

    def _signal(self, node: ast.Attribute) -> None:
        if (
            node.attr not in self.names
            and node.attr not in self.families
            and node.attr not in ("record", "has_item")
        ):
            near = closest(node.attr, [*self.names, *self.families])
            self.error(node.lineno, f"cell.{node.attr}: no signal of cell.toml has that name; {near}")

    def _member(self, node: ast.Attribute, first: str) -> None:
        """`cell.NAME.member` asks an input or an output for something it has."""
        name = _signal_name(node.value, first)
        if name in self.inputs and node.attr not in INPUT_MEMBERS:
            more = (
                "an input cannot be driven"
                if node.attr in OUTPUT_MEMBERS
                else closest(node.attr, INPUT_MEMBERS)
            )
            self.error(node.lineno, f"cell.{name}.{node.attr}: '{name}' is an input; {more}")
        elif name in self.outputs and node.attr not in OUTPUT_MEMBERS:
            self.error(
                node.lineno,
                f"cell.{name}.{node.attr}: '{name}' is an output; {closest(node.attr, OUTPUT_MEMBERS)}",
            )

    def _call(self, node: ast.Call, first: str) -> None:
        target = node.func
        if (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == first
        ):
            self._family(node, target.attr)
        if isinstance(target, ast.Attribute) and target.attr == "set" and len(node.args) == 1:
            self._driven(node.lineno, _signal_name(target.value, first), "set", node.args[0])
        word = _called(node)
        if word in WORDS and isinstance(target, ast.Name):
            self._word(node, word, first)

    def _family(self, node: ast.Call, family: str) -> None:
        if family not in self.families or family in self.names or len(node.args) != 1:
            return
        member = node.args[0]
        if not isinstance(member, ast.Constant) or not isinstance(member.value, str):
            return
        if f"{family}_{member.value}" not in self.names:
            known = [name.removeprefix(family + "_") for name in self.names if name.startswith(family + "_")]
            near = closest(member.value, known)
            self.error(
                node.lineno,
                f'cell.{family}("{member.value}"): no signal {family}_{member.value} in cell.toml; {near}',
            )

    def _word(self, node: ast.Call, word: str, first: str) -> None:
        parameters = self.signatures[word].parameters
        names = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        for name in names:
            if name not in parameters:
                self.error(node.lineno, f"{word}: unknown word '{name}'; {closest(name, list(parameters))}")
        for keyword in node.keywords:
            if keyword.arg in ("fault", "message") and not _is_text(keyword.value):
                self.error(
                    keyword.value.lineno,
                    f"{word}: {keyword.arg} must be a text written out: every text is numbered before the cell runs",
                )
        if word == "operator" and node.args and not _is_text(node.args[0]):
            self.error(
                node.lineno,
                "operator: write the text out: every text is numbered before the cell runs",
            )
        if word == "wait":
            held = next((keyword.value for keyword in node.keywords if keyword.arg == "held"), None)
            if isinstance(held, ast.Constant) and held.value not in ("stop", "run", "restart"):
                self.error(
                    node.lineno, f"wait: held = {held.value!r} is not one of: 'stop', 'run', 'restart'"
                )
        if word in WAITS_FOR_A_SIGNAL:
            if "within_s" not in names:
                self.warn(node.lineno, f"{word} without within_s waits for ever; give it a time and a fault")
            elif "fault" not in names:
                self.warn(node.lineno, f"{word} with within_s but without fault; say in it what went wrong")
            self._limits(node, word, first)
        if word == "ramp" and node.args:
            to = next((keyword.value for keyword in node.keywords if keyword.arg == "to"), None)
            self._driven(node.lineno, _signal_name(node.args[0], first), "ramp to", to)

    def _driven(self, line: int, name: str, what: str, value: ast.expr | None) -> None:
        """A value written out for an output lies within its range; the controller would cut it off silently."""
        entry = self.outputs.get(name)
        if entry is not None and isinstance(value, ast.Constant) and entry["kind"] != "digital":
            self._limit(line, f"cell.{name}: {what}", value.value, entry)
        elif entry is not None and what == "ramp to" and entry["kind"] == "digital":
            self.error(
                line, f"ramp(cell.{name}): '{name}' is digital; only an output with a range can be ramped"
            )

    def _limits(self, node: ast.Call, word: str, first: str) -> None:
        """Literal limits of until and soak lie within the signal's range, on its steps."""
        name = _signal_name(node.args[0], first) if node.args else ""
        if name in self.outputs:
            self.error(
                node.lineno, f"{word}(cell.{name}): '{name}' is an output; wait for the input that proves it"
            )
        entry = self.inputs.get(name)
        if entry is None:
            return
        for keyword in node.keywords:
            if keyword.arg not in ("min", "max"):
                continue
            if entry["kind"] == "digital":
                self.error(
                    node.lineno,
                    f"{word}(cell.{name}): {keyword.arg} on a digital input; leave it out, or on=False",
                )
                continue
            if isinstance(keyword.value, ast.Constant):
                self._limit(node.lineno, f"{word}(cell.{name}): {keyword.arg}", keyword.value.value, entry)

    def _limit(self, line: int, what: str, value: object, entry: dict[str, Any]) -> None:
        steps, unit = entry["per_unit"], entry["unit"]
        try:
            number = to_integer(
                quantity(Decimal(repr(value)) if isinstance(value, float) else value), steps, unit
            )
        except ScaleError as error:
            self.error(line, f"{what} = {value!r} {error}")
            return
        if not entry["lo"] <= number <= entry["hi"]:
            limits = range_text(entry["lo"], entry["hi"], steps, unit)
            self.error(line, f"{what} = {decimal_text(number, steps)} is outside the signal's range {limits}")

    def _forgotten(self, node: ast.Call, generators: dict[str, bool]) -> None:
        word = _called(node)
        if word in WORDS and isinstance(node.func, ast.Name):
            self.error(node.lineno, f"{word}(...) alone waits for nothing; write yield {word}(...)")
        elif isinstance(node.func, ast.Name) and generators.get(word, False):
            self.error(node.lineno, f"{word}(...) alone does nothing; write yield from {word}(...)")

    def _endless(self, node: ast.While) -> None:
        always = isinstance(node.test, ast.Constant) and bool(node.test.value)
        ways_out = (ast.Yield, ast.YieldFrom, ast.Break, ast.Return, ast.Raise)
        if always and not any(isinstance(inner, ways_out) for inner in _own_nodes(node)):
            self.error(
                node.lineno, "this loop neither yields nor ends, so the scan would never end; yield in it"
            )


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Everything inside `node` but not inside a function defined in it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        yield child
        yield from _own_nodes(child)


def _is_generator(node: ast.FunctionDef) -> bool:
    return any(isinstance(inner, (ast.Yield, ast.YieldFrom)) for inner in _own_nodes(node))


def _called(node: ast.Call) -> str:
    target = node.func
    return (
        target.attr
        if isinstance(target, ast.Attribute)
        else target.id
        if isinstance(target, ast.Name)
        else ""
    )


def _signal_name(node: ast.expr, first: str) -> str:
    """`name` for the expression `cell.name`, else ""."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == first:
        return node.attr
    return ""


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _families(names: list[str]) -> list[str]:
    """The first parts of names, by which a phase picks a signal: `cell.valve("green")`."""
    found: list[str] = []
    for name in names:
        parts = name.split("_")
        for cut in range(1, len(parts)):
            family = "_".join(parts[:cut])
            if family not in found:
                found.append(family)
    return found
