"""A copy of the core in which every function says that it ran: it shows that a runtime executed a file."""

import ast
import shutil
from pathlib import Path

from tests.runtimes.runtimes import ROOT

CORE = ROOT / "cell_controller" / "core"


def instrument(source: str) -> str:
    """The source with `_executed[0] = 1` as the first thing each function does."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            says = ast.parse("_executed[0] = 1").body
            node.body[_after_docstring(node.body) : _after_docstring(node.body)] = says
    tree.body[_after_docstring(tree.body) : _after_docstring(tree.body)] = ast.parse("_executed = [0]").body
    return ast.unparse(ast.fix_missing_locations(tree))


def _after_docstring(body: list[ast.stmt]) -> int:
    first = body[0] if body else None
    is_text = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return 1 if is_text else 0


def has_functions(path: Path) -> bool:
    """Whether the file defines any function that could be called."""
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text())))


def instrumented_core(folder: Path) -> None:
    """Write the package with its core instrumented below `folder`."""
    package = folder / "cell_controller"
    (package / "core").mkdir(parents=True)
    shutil.copy(ROOT / "cell_controller" / "__init__.py", package)
    for path in CORE.glob("*.py"):
        (package / "core" / path.name).write_text(instrument(path.read_text()))
