"""Finds in the portable core what would differ between CPython and MicroPython: `python -m host_tools.lint_core`.

The core is pure and runs on both runtimes from one source, so it has no clock, no randomness, no file, no float and no
order of a dict. Each rule here has a name; where one file may break one rule, ALLOWED says which and why.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

CORE = Path(__file__).resolve().parents[1] / "cell_controller" / "core"

# (file, rule) -> the reason. An entry that nothing needs any more is a finding of its own.
ALLOWED: dict[tuple[str, str], str] = {
    (
        "phases.py",
        "float",
    ): "engineers write seconds and units; they become integers before anything compares them",
}

RULES = {
    "import": "only modules that both runtimes have and that reach nothing outside",
    "effect": "no clock, disk, person or text run as code",
    "float": "integers only",
    "unordered": "nothing that has another order on each runtime",
    "implementation": "no question which runtime this is",
    "syntax": "no syntax that MicroPython lacks or treats differently",
    "f-string": "only plain values inside the braces",
    "async": "one pure step, no waiting",
    "missing": "no name that MicroPython lacks",
    "yield-in-finally": "a closed generator ends",
    "allowed": "no entry in ALLOWED that nothing needs",
}

_IMPORTS = {"array", "binascii", "collections", "errno", "hashlib", "struct"}
_CALLS = {
    "open": ("effect", "open() reaches the disk; the board or the journal does that"),
    "input": ("effect", "input() waits for a person"),
    "print": ("effect", "print() is output; emit an event"),
    "eval": ("effect", "eval() runs text"),
    "exec": ("effect", "exec() runs text"),
    "float": ("float", "float() differs between 32 and 64 bits; scale to an integer"),
    "round": ("float", "round() works on floats; scale to an integer"),
    "complex": ("float", "complex() is made of floats"),
    "set": (
        "unordered",
        "a set has another order on each runtime; use a list, a dict as an index or a bit mask",
    ),
    "frozenset": ("unordered", "a frozenset has another order on each runtime; use a tuple or a bit mask"),
    "id": ("unordered", "id() differs in every run"),
    "hash": ("unordered", "hash() differs between the runtimes"),
    "vars": ("missing", "vars() is not on MicroPython"),
}
_MISSING_NAMES = {
    "BlockingIOError",
    "BrokenPipeError",
    "ConnectionError",
    "ConnectionResetError",
    "FileExistsError",
    "FileNotFoundError",
    "InterruptedError",
    "IsADirectoryError",
    "PermissionError",
    "TimeoutError",
}
_MISSING_METHODS = {
    "bit_count",
    "bit_length",
    "capitalize",
    "casefold",
    "expandtabs",
    "ljust",
    "removeprefix",
    "removesuffix",
    "rjust",
    "swapcase",
    "title",
    "translate",
    "zfill",
}
_MISSING_DUNDERS = {
    "__class_getitem__",
    "__format__",
    "__index__",
    "__init_subclass__",
    "__mro__",
    "__set_name__",
    "__slots__",
}
_DICT_VIEWS = {"items", "keys", "values"}
_IN_ORDER = {"enumerate", "filter", "iter", "list", "map", "next", "tuple", "zip"}
_FLOAT_FORMAT = re.compile(r"%[-+ #0]*[\d*]*(\.[\d*]+)?[eEfFgG]")


class Finding(NamedTuple):
    """One place that breaks one rule."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


def yields_in_finally(tree: ast.AST) -> list[tuple[int, str]]:
    """Each `yield` inside a `finally`, as (line, its source).

    Closing a generator runs its `finally`; a yield there keeps it alive, so an aborted phase would go on.
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Try, ast.TryStar)):
            for inner in _same_function(node.finalbody):
                if isinstance(inner, (ast.Yield, ast.YieldFrom)):
                    found.add((inner.lineno, ast.unparse(inner).removeprefix("(").removesuffix(")")))
    return sorted(found)


def _same_function(nodes: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below, without those of functions defined inside."""
    for node in nodes:
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _same_function(list(ast.iter_child_nodes(node)))


def _is_dict_type(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _is_dict_type(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.BinOp):
        return _is_dict_type(annotation.left) or _is_dict_type(annotation.right)
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return isinstance(annotation, ast.Name) and annotation.id in ("dict", "set", "frozenset")


def _is_dict(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "dict"
    return isinstance(value, (ast.Dict, ast.DictComp))


def _viewed_dict(node: ast.expr) -> ast.expr | None:
    """The dict in `d.items()`, `d.keys()` or `d.values()`."""
    if isinstance(node, ast.Call) and not node.args and isinstance(node.func, ast.Attribute):
        return node.func.value if node.func.attr in _DICT_VIEWS else None
    return None


def _known_dicts(nodes: Sequence[ast.AST]) -> set[str]:
    """The names (`table`, `self.table`) that are assigned or annotated as a dict among these nodes."""
    names = set()
    for node in nodes:
        targets: list[ast.expr] = []
        if isinstance(node, ast.arg) and _is_dict_type(node.annotation):
            names.add(node.arg)
        elif isinstance(node, ast.AnnAssign) and (_is_dict_type(node.annotation) or _is_dict(node.value)):
            targets = [node.target]
        elif isinstance(node, ast.Assign) and _is_dict(node.value):
            targets = node.targets
        names.update(
            ast.unparse(target) for target in targets if isinstance(target, (ast.Name, ast.Attribute))
        )
    return names


class _Lint(ast.NodeVisitor):
    """Collects the findings of one file as (line, rule, text)."""

    def __init__(self, tree: ast.Module) -> None:
        self.found: list[tuple[int, str, str]] = []
        everywhere = _known_dicts(list(ast.walk(tree)))
        top = _known_dicts(list(_same_function(tree.body)))
        self._dicts = [top | {name for name in everywhere if "." in name}]
        for line, text in yields_in_finally(tree):
            self.found.append((line, "yield-in-finally", f"`{text}` keeps a closed generator alive"))

    def add(self, node: ast.AST, rule: str, text: str) -> None:
        assert rule in RULES, rule
        self.found.append((getattr(node, "lineno", 1), rule, text))

    def _check_iterated(self, node: ast.expr) -> None:
        if isinstance(node, (ast.Dict, ast.DictComp)) or ast.unparse(node) in self._dicts[-1]:
            text = f"iterating over the dict `{ast.unparse(node)}` has another order on each runtime; use sorted()"
            self.add(node, "unordered", text)

    # what is not part of the program at run time

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    # scopes

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.args.posonlyargs:
            self.add(node, "syntax", "positional-only parameters are not on MicroPython")
        self._type_parameters(node)
        arguments = [*node.args.args, *node.args.kwonlyargs]
        local = _known_dicts([*arguments, *_same_function(node.body)])
        self._dicts.append(self._dicts[-1] | local)
        for child in [*node.decorator_list, *node.body, *node.args.defaults]:
            self.visit(child)
        for default in node.args.kw_defaults:
            if default is not None:
                self.visit(default)
        self._dicts.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.keywords:
            self.add(node, "syntax", "class keywords and metaclasses are not on MicroPython")
        if len(node.bases) > 1:
            self.add(node, "syntax", "MicroPython resolves several base classes differently; use one")
        self._type_parameters(node)
        self.generic_visit(node)

    def _type_parameters(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        if getattr(node, "type_params", None):
            self.add(node, "syntax", "type parameters are not on MicroPython")

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    # imports

    def _check_import(self, node: ast.AST, module: str) -> None:
        if module.split(".")[0] not in _IMPORTS and not module.startswith("cell_controller.core"):
            text = f"import of {module}: the core has {', '.join(sorted(_IMPORTS))} and itself"
            self.add(node, "import", text)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._check_import(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level > 1:
            self.add(node, "import", "import from above the core")
        elif not node.level:
            self._check_import(node, node.module or "")

    # values

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, (float, complex)):
            self.add(node, "float", f"{node.value!r} differs between 32 and 64 bits; scale to an integer")

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div):
            self.add(node, "float", "`/` makes a float; use //")
        text = node.left.value if isinstance(node.left, ast.Constant) else None
        if isinstance(node.op, ast.Mod) and isinstance(text, str) and _FLOAT_FORMAT.search(text):
            self.add(node, "float", f"{text!r} formats a float")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.op, ast.Div):
            self.add(node, "float", "`/=` makes a float; use //=")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _MISSING_NAMES:
            self.add(node, "missing", f"{node.id} is not on MicroPython; catch OSError and look at errno")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr == "implementation":
            self.add(node, "implementation", "the core is the same on every runtime; it does not ask which")
        if node.attr in _MISSING_METHODS or node.attr in _MISSING_DUNDERS:
            self.add(node, "missing", f".{node.attr} is not on MicroPython")
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id in _MISSING_DUNDERS:
                self.add(node, "missing", f"{target.id} does nothing on MicroPython")
        self.generic_visit(node)

    # displays, calls and loops

    def visit_Set(self, node: ast.Set) -> None:
        self.add(node, "unordered", "a set has another order on each runtime; use a tuple or a bit mask")
        self.generic_visit(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self.add(node, "unordered", "a set has another order on each runtime; use a list or a bit mask")
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        if None in node.keys:
            self.add(node, "syntax", "`{**a}` is not on MicroPython; copy and update")
        self.generic_visit(node)

    def _check_display(self, node: ast.List | ast.Tuple) -> None:
        if isinstance(node.ctx, ast.Load) and any(isinstance(entry, ast.Starred) for entry in node.elts):
            self.add(node, "syntax", "`[*a, b]` is not on MicroPython; add lists")
        self.generic_visit(node)

    visit_List = visit_Tuple = _check_display

    def visit_Slice(self, node: ast.Slice) -> None:
        if node.step is not None:
            self.add(node, "syntax", "a slice with a step is not on MicroPython")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        arguments = list(node.args)
        if isinstance(function, ast.Name):
            if function.id in _CALLS:
                self.add(node, *_CALLS[function.id])
            if function.id == "next" and len(arguments) > 1:
                self.add(node, "missing", "next() takes no default on MicroPython; catch StopIteration")
            if function.id in _IN_ORDER:
                for argument in arguments:
                    self._check_iterated(argument)
            if function.id in ("sorted", "len"):  # they leave no order that could differ
                arguments = [_viewed_dict(argument) or argument for argument in arguments]
        elif isinstance(function, ast.Attribute):
            if function.attr == "join" and arguments:
                self._check_iterated(arguments[0])
            if function.attr == "popitem":
                self.add(node, "unordered", "popitem() takes another entry on each runtime")
            if _viewed_dict(node):
                text = f"`{ast.unparse(node)}` has another order on each runtime; use sorted()"
                self.add(node, "unordered", text)
        for child in [function, *arguments, *node.keywords]:
            self.visit(child)

    def visit_For(self, node: ast.For) -> None:
        self._check_iterated(node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._check_iterated(node.iter)
        if node.is_async:
            self.add(node.iter, "syntax", "async comprehensions are not on MicroPython")
        self.generic_visit(node)

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self._check_iterated(node.value)
        self.generic_visit(node)

    # syntax

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self._check_field(part)
        self.generic_visit(node)

    def _check_field(self, field: ast.FormattedValue) -> None:
        for inner in ast.walk(field.value):
            nested = isinstance(inner, (ast.JoinedStr, ast.Lambda, ast.Dict, ast.DictComp, ast.Slice))
            if nested or (isinstance(inner, ast.Constant) and isinstance(inner.value, str)):
                text = f"`{ast.unparse(inner)}` inside the braces of an f-string; give it a name first"
                self.add(field, "f-string", text)
                return
        spec = field.format_spec
        if isinstance(spec, ast.JoinedStr) and any(isinstance(p, ast.FormattedValue) for p in spec.values):
            self.add(field, "f-string", "braces in a format specification")

    def visit_Match(self, node: ast.Match) -> None:
        self.add(node, "syntax", "match is not on MicroPython")
        self.generic_visit(node)

    def visit_TryStar(self, node: ast.TryStar) -> None:
        self.add(node, "syntax", "except* is not on MicroPython")
        self.generic_visit(node)

    def _asynchronous(self, node: ast.AST) -> None:
        self.add(node, "async", "the core is one pure step; nothing in it waits")

    visit_AsyncFunctionDef = visit_AsyncFor = visit_AsyncWith = visit_Await = _asynchronous


def lint_source(source: str, name: str) -> list[Finding]:
    """The findings in the text of one core file `name`, without those that ALLOWED allows it; unused ones are added."""
    tree = ast.parse(source, name)
    lint = _Lint(tree)
    lint.visit(tree)
    file = Path(name).name
    used, findings = set(), []
    for line, rule, text in sorted(lint.found):
        if (file, rule) in ALLOWED:
            used.add((file, rule))
        else:
            findings.append(Finding(name, line, rule, text))
    for entry in sorted(set(ALLOWED) - used):
        if entry[0] == file:
            findings.append(
                Finding(name, 1, "allowed", f"nothing needs the entry {entry} in ALLOWED; remove it")
            )
    return findings


def lint_files(paths: Sequence[Path]) -> list[Finding]:
    """The findings in files and in folders of them."""
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return [finding for file in files for finding in lint_source(file.read_text(), str(file))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the findings, one a line; returns 1 where there are any."""
    parser = argparse.ArgumentParser(prog="python -m host_tools.lint_core", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, default=[CORE], help="files or folders (the core)")
    findings = lint_files(parser.parse_args(arguments).paths)
    for finding in findings:
        sys.stdout.write(f"{finding}\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
