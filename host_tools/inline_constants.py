"""Module constants become their values before byte code is made: on a board a name costs heap, a number in code none.

What is replaced, in the sources of one image taken together:

- a name in capitals that its module assigns once, at the top, and never again in any scope, where the value is a small
  integer or a short text: written down, computed from other such constants, or one of `(A, B) = range(2)`;
- the same name where another module imports it, or reads it through an imported module;
- blocks that are only for typing.

An assignment or an import that nothing needs then is left out. Whatever is not certain stays as it is: a name that is
bound twice, in a class, a function or a `try`, one that is set from outside or asked for by a text.
The text is edited in place, so every line keeps its number.
"""

import ast
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TypeGuard

SHORT = 10
"""The longest text that MicroPython keeps as a name; a longer one would be kept again in every module."""
SMALL = 1 << 30
"""Integers below this, and not below its negative, lie in the byte code itself."""

Value = int | str
_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.FloorDiv: operator.floordiv,
}
_UNARY: dict[type[ast.unaryop], Callable[[int], int]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
_TYPING = "TYPE_CHECKING"


@dataclass(frozen=True)
class _Parsed:
    """One source. `flags` and `blocks`: `TYPE_CHECKING = False` and what stands under it; `tree`: the rest.

    `bound`: how often each name is bound in the rest, in all scopes. `fixed`: see there.
    """

    source: bytes
    whole: ast.Module
    tree: ast.Module
    flags: list[ast.stmt]
    blocks: list[ast.If]
    bound: Counter[str]
    fixed: frozenset[str]


@dataclass
class _Module:
    """One module of the image, and what is known of it so far."""

    name: str
    package: str
    parsed: _Parsed
    constants: dict[str, Value] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)  # its name here: (module, name there)
    aliases: dict[str, str] = field(default_factory=dict)  # its name here: module

    @property
    def body(self) -> list[ast.stmt]:
        return self.parsed.tree.body

    def once(self, name: str) -> bool:
        """Whether nothing else in the module, in no scope, is called so."""
        return self.parsed.bound[name] == 1


@dataclass(frozen=True)
class _Edit:
    start: int
    end: int
    text: bytes


def inlined(
    sources: Mapping[str, bytes], users: Iterable[bytes] = (), named: Iterable[str] = ()
) -> dict[str, bytes]:
    """The sources, by their path in the image, with constants replaced.

    `users`: sources that stay as they are but read the constants of these. `named`: texts by which something may be
    asked for, such as those of a wiring. Raises SyntaxError for a source that does not parse.
    """
    texts = frozenset(text for text in named if text.isupper())
    return dict(_inlined(tuple(sorted(sources.items())), tuple(users), texts))


@lru_cache(maxsize=4)
def _inlined(
    sources: tuple[tuple[str, bytes], ...], users: tuple[bytes, ...], named: frozenset[str]
) -> tuple[tuple[str, bytes], ...]:
    modules = {}
    for path, source in sources:
        name = _name_of(path)
        package = name if PurePosixPath(path).name == "__init__.py" else name.rpartition(".")[0]
        modules[name] = _Module(name, package, _parsed(source))
    others = [_parsed(source) for source in users]
    fixed = named.union(*(parsed.fixed for parsed in others), *(one.parsed.fixed for one in modules.values()))
    for module in modules.values():
        _resolve_imports(module, modules)
    waiting = True
    while waiting:  # a constant may be made of another module's
        waiting = sum(_find_constants(module, modules, fixed) for module in modules.values()) > 0
    needs = _Needs(fixed)
    for parsed in others:
        needs.look(parsed.whole, None, modules)
    for module in modules.values():
        needs.look(module.parsed.tree, module, modules)
    while any([needs.follow(module) for module in modules.values()]):  # noqa: C419  # every one of them
        pass
    return tuple((path, _rewritten(modules[_name_of(path)], modules, needs)) for path, _ in sources)


def _name_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@lru_cache(maxsize=512)
def _parsed(source: bytes) -> _Parsed:
    whole = ast.parse(source)
    flags = [node for node in whole.body if _is_typing_flag(node)]
    blocks = [node for node in whole.body if _is_for_typing(node)]
    reads = [node for node in ast.walk(whole) if isinstance(node, ast.Name) and node.id == _TYPING]
    if len(flags) != 1 or len(reads) != 1 + len(blocks):
        flags, blocks = [], []
    # the module is looked at without these: what they import is bound for nobody
    body: list[ast.stmt] = []
    for node in whole.body:
        if isinstance(node, ast.If) and node in blocks:
            body += node.orelse
        elif node not in flags:
            body.append(node)
    tree = ast.Module(body, [])
    return _Parsed(source, whole, tree, flags, blocks, Counter(_bindings(tree)), frozenset(_fixed(tree)))


def _is_typing_flag(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Assign)
        and [ast.unparse(target) for target in node.targets] == [_TYPING]
        and isinstance(node.value, ast.Constant)
        and node.value.value is False
    )


def _is_for_typing(node: ast.stmt) -> TypeGuard[ast.If]:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == _TYPING


def _bindings(tree: ast.AST) -> Iterator[str]:
    """Every name that is bound anywhere in it, once for each time; `global` and `nonlocal` count as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            yield from node.names
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name


def _fixed(tree: ast.AST) -> Iterator[str]:
    """Names that this code sets on an object, or that a text in it is: these are left alone everywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


# --- which constants ---


def _resolve_imports(module: _Module, modules: Mapping[str, _Module]) -> None:
    """What the module imports at its top from others of the image, under names that nothing else in it has."""
    for node in module.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname and module.once(alias.asname) and alias.name in modules:
                    module.aliases[alias.asname] = alias.name
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, module.package)
            for alias in node.names:
                here = alias.asname or alias.name
                if not module.once(here):
                    continue
                if f"{base}.{alias.name}" in modules:
                    module.aliases[here] = f"{base}.{alias.name}"
                elif base in modules:
                    module.imported[here] = (base, alias.name)


def _base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, node.module] if node.module else above)


def _find_constants(module: _Module, modules: Mapping[str, _Module], fixed: frozenset[str]) -> int:
    """Take what can be worked out now into `module.constants`; how many are new."""
    before = len(module.constants)
    for node in module.body:
        for name, value in _assigned(node, module, modules):
            fits = len(value) <= SHORT if isinstance(value, str) else -SMALL <= value < SMALL
            if name.isupper() and module.once(name) and name not in fixed and fits:
                module.constants[name] = value
    return len(module.constants) - before


def _assigned(node: ast.stmt, module: _Module, modules: Mapping[str, _Module]) -> list[tuple[str, Value]]:
    """(name, value) of every constant that a statement at the top of a module assigns, if all of it is constant."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        target: ast.expr = node.target
        value = node.value
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
    else:
        return []
    if isinstance(target, ast.Name):
        found = _value(value, module, modules)
        return [] if found is None else [(target.id, found)]
    if not isinstance(target, ast.Tuple) or not isinstance(value, ast.Call):
        return []
    names = [entry.id for entry in target.elts if isinstance(entry, ast.Name)]
    if (
        len(names) == len(target.elts)
        and isinstance(value.func, ast.Name)
        and value.func.id == "range"
        and not module.parsed.bound["range"]
        and len(value.args) == 1
        and not value.keywords
        and _value(value.args[0], module, modules) == len(names)
    ):
        return list(zip(names, range(len(names)), strict=True))
    return []


def _value(node: ast.expr, module: _Module, modules: Mapping[str, _Module]) -> Value | None:
    """What an expression is, if it is certain."""
    if isinstance(node, ast.Constant):
        return node.value if type(node.value) in (int, str) else None  # type: ignore[return-value]
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _constant(node, module, modules)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        inner = _value(node.operand, module, modules)
        return _UNARY[type(node.op)](inner) if isinstance(inner, int) else None
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left = _value(node.left, module, modules)
        right = _value(node.right, module, modules)
        if not isinstance(left, int) or not isinstance(right, int):
            return None
        if isinstance(node.op, (ast.LShift, ast.RShift)) and not 0 <= right <= 64:
            return None
        if isinstance(node.op, ast.FloorDiv) and not right:
            return None
        return int(_BINARY[type(node.op)](left, right))
    return None


def _constant(node: ast.AST, module: _Module, modules: Mapping[str, _Module]) -> Value | None:
    """The value of `NAME` or `module.NAME` where it is read."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        if node.id in module.imported:
            base, name = module.imported[node.id]
            return modules[base].constants.get(name)
        return module.constants.get(node.id)
    if (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and isinstance(node.value, ast.Name)
    ):
        base = module.aliases.get(node.value.id, "")
        return modules[base].constants.get(node.attr) if base else None
    return None


# --- what is still needed ---


class _Needs:
    """Which names something still asks for when all that can be replaced is replaced."""

    def __init__(self, fixed: frozenset[str]) -> None:
        self.anywhere = set(
            fixed
        )  # asked of any object: as an attribute, by a text, by an import from elsewhere
        self.of: dict[str, set[str]] = {}  # asked of one module
        self.inside: dict[str, set[str]] = {}  # names that a module itself reads

    def look(self, tree: ast.AST, module: _Module | None, modules: Mapping[str, _Module]) -> None:
        """Take note of what a tree reads; `module` is None where nothing of it is replaced."""
        inside = self.inside.setdefault(module.name if module else "", set())
        waiting: list[tuple[ast.AST, bool]] = [(tree, module is not None)]
        while waiting:
            node, replaced = waiting.pop()
            replaced = replaced and not isinstance(node, ast.JoinedStr)
            if module is not None and replaced and _constant(node, module, modules) is not None:
                continue
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                inside.add(node.id)
            elif isinstance(node, ast.Attribute):
                base = node.value.id if isinstance(node.value, ast.Name) else ""
                other = module.aliases.get(base, "") if module is not None else ""
                (self.of.setdefault(other, set()) if other else self.anywhere).add(node.attr)
            elif isinstance(node, ast.ImportFrom):
                self._import(node, tree, module, modules)
            waiting += [(child, replaced) for child in ast.iter_child_nodes(node)]

    def _import(
        self, node: ast.ImportFrom, tree: ast.AST, module: _Module | None, modules: Mapping[str, _Module]
    ) -> None:
        top = isinstance(tree, ast.Module) and node in tree.body
        base = _base(node, module.package if module is not None else "")
        for alias in node.names:
            here = alias.asname or alias.name
            if module is None or not top or not _is_constant_import(here, module, modules):
                known = base in modules and alias.name != "*"
                (self.of.setdefault(base, set()) if known else self.anywhere).add(alias.name)

    def follow(self, module: _Module) -> bool:
        """What is still read of what a module imports must be where it comes from; True if that was news."""
        news = False
        for here, (base, name) in module.imported.items():
            wanted = self.of.setdefault(base, set())
            if name not in wanted and self.asked(here, module):
                wanted.add(name)
                news = True
        return news

    def asked(self, name: str, module: _Module) -> bool:
        """Whether something still reads `name` of a module."""
        own = self.inside[module.name] | self.of.get(module.name, set())
        return name in own or name in self.anywhere or "*" in self.anywhere


def _is_constant_import(here: str, module: _Module, modules: Mapping[str, _Module]) -> bool:
    base, name = module.imported.get(here, ("", ""))
    return bool(base) and name in modules[base].constants


# --- the text ---


def _rewritten(module: _Module, modules: Mapping[str, _Module], needs: _Needs) -> bytes:
    source = module.parsed.source
    lines = [0]
    for line in source.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))

    def edit(node: ast.stmt | ast.expr, text: str) -> _Edit:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = lines[node.lineno - 1] + node.col_offset
        end = lines[node.end_lineno - 1] + node.end_col_offset
        breaks = source[start:end].count(b"\n") - text.count("\n")
        return _Edit(
            start, end, text.encode() + b"\n" * breaks if isinstance(node, ast.stmt) else text.encode()
        )

    edits = [edit(flag, "pass") for flag in module.parsed.flags]
    edits += [edit(block.test, "False") for block in module.parsed.blocks]  # the compiler leaves it out
    for statement in module.body:
        text = _statement(statement, module, modules, needs)
        if text is not None:
            edits.append(edit(statement, text))
            continue
        for expression, value in _replaced(statement, module, modules):
            one = edit(expression, _written(value))
            digits_and_dot = source[one.end : one.end + 1] == b"." and one.text.isdigit()
            edits.append(_Edit(one.start, one.end, b"(%s)" % one.text) if digits_and_dot else one)
    result = source
    for one in sorted(edits, key=lambda entry: entry.start, reverse=True):
        result = result[: one.start] + one.text + result[one.end :]
    return result


def _statement(node: ast.stmt, module: _Module, modules: Mapping[str, _Module], needs: _Needs) -> str | None:
    """What stands for a whole statement at the top, None if it stays."""
    assigned = _assigned(node, module, modules)
    if assigned and all(name in module.constants and not needs.asked(name, module) for name, _ in assigned):
        return "pass"
    if isinstance(node, ast.ImportFrom) and _base(node, module.package) != "__future__":
        kept = [alias for alias in node.names if _is_needed(alias, node, module, modules, needs)]
        if len(kept) < len(node.names):
            if not kept:
                return "pass"
            return ast.unparse(ast.ImportFrom(node.module, kept, node.level))
    return None


def _is_needed(
    alias: ast.alias, node: ast.ImportFrom, module: _Module, modules: Mapping[str, _Module], needs: _Needs
) -> bool:
    """Whether something is left that reads what is imported; another module may read it from this one."""
    here = alias.asname or alias.name
    constant = _is_constant_import(here, module, modules)
    if not constant and here not in module.aliases:
        return True
    return needs.asked(here, module)


def _replaced(
    statement: ast.stmt, module: _Module, modules: Mapping[str, _Module]
) -> Iterator[tuple[ast.expr, Value]]:
    """The expressions of a statement that become values. Inside an f-string nothing does: MicroPython's are simple."""
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            continue
        value = _constant(node, module, modules)
        if value is not None and isinstance(node, ast.expr):
            yield node, value
        else:
            waiting += ast.iter_child_nodes(node)


def _written(value: Value) -> str:
    """A value as an expression that can stand anywhere."""
    if isinstance(value, str) or value < 0:
        return f"({value!a})"
    return str(value)
